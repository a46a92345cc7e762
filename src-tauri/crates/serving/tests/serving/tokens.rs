//! Credentials that must be obtained: tokens are fetched apart from the measured request, kept, renewed when refused, and
//! never shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pilothouse_domain::{Auth, Outcome, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, ModelClient, ProbeReport, Transport, detect};
use pilothouse_testkit::{Behaviour, FakeServer, number_table, quick_probe_config};
use url::Url;

use crate::support::{failed, ours, ready_target, transport};

const SECRET: &str = "marker-client-secret-4711";

/// Issues `marker-token-1`, `marker-token-2`, …
fn rotating_tokens(expires_in: u32) -> Behaviour {
    let issued = AtomicU32::new(0);
    Behaviour::answer(move |_| {
        let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
        let body =
            format!(r#"{{"access_token":"marker-token-{number}","token_type":"Bearer","expires_in":{expires_in}}}"#);
        Behaviour::json(&body)
    })
}

/// Answers as a model server to those whose `Authorization` is among these, else with this refusal that echoes it.
fn guarded(accepted: &'static [&'static str], status: u16) -> Behaviour {
    Behaviour::answer(move |request| {
        let sent = request.header("authorization").unwrap_or("nothing");
        if accepted.contains(&sent) {
            return Behaviour::json(r#"{"ready":true}"#);
        }
        Behaviour::status(status, &format!(r#"{{"error":"you sent {sent}"}}"#))
    })
}

fn oauth2(token_url: &Url) -> Auth {
    let json = serde_json::json!({
        "kind": "oauth2", "token_url": token_url, "client_id": "pilothouse", "secret": "k",
        "scopes": ["models:read", "models:predict"], "audience": "models",
    });
    serde_json::from_value(json).expect("a credential")
}

fn credential(auth: &Auth) -> Credential {
    let secrets = BTreeMap::from([("k".to_owned(), SECRET.into())]);
    Credential::resolve(auth, &secrets).expect("its secret is given")
}

fn client(transport: &Arc<Transport>, api: &FakeServer, auth: &Auth) -> ModelClient {
    let target = ready_target(api);
    ModelClient::new(Arc::clone(transport), &target, &quick_probe_config(), credential(auth), None)
        .expect("the target is usable")
}

fn assert_no_marker(report: &ProbeReport) {
    assert!(!format!("{report:?}").contains("marker"), "{report:?}");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_who_need_it() {
    let tokens = FakeServer::start(rotating_tokens(3600)).await;
    let api = FakeServer::start(guarded(&["Bearer marker-token-1"], 401)).await;
    let transport = transport();
    let clients: Vec<ModelClient> =
        (0..8).map(|_| client(&transport, &api, &oauth2(&tokens.at("oauth/token")))).collect();
    let reports = futures_util::future::join_all(clients.iter().map(|client| client.probe(false))).await;
    for report in &reports {
        assert_eq!((report.outcome, report.http_status), (Outcome::Ok, Some(200)), "{report:?}");
        assert_no_marker(report);
    }
    let [asked] = &tokens.requests()[..] else { panic!("{:?}", tokens.requests()) };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/oauth/token"));
    // RFC 6749 §2.3.1: base64 of the encoded name and secret.
    let basic = "Basic cGlsb3Rob3VzZTptYXJrZXItY2xpZW50LXNlY3JldC00NzEx";
    assert_eq!(asked.header("authorization"), Some(basic));
    let body = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!(body, "grant_type=client_credentials&scope=models%3Aread+models%3Apredict&audience=models");
    assert_eq!(clients[0].probe(true).await.outcome, Outcome::Ok);
    assert_eq!(tokens.requests().len(), 1);
}

#[tokio::test]
async fn entra_is_oauth2_with_its_own_address() {
    let tokens = FakeServer::start(rotating_tokens(3600)).await;
    let api = FakeServer::start(guarded(&["Bearer marker-token-1"], 401)).await;
    let auth = serde_json::json!({
        "kind": "entra", "tenant": "contoso.example", "client_id": "app-1", "secret": "k",
        "scope": "https://ml.azure.com/.default", "authority": tokens.url(),
    });
    let report = client(&transport(), &api, &serde_json::from_value(auth).unwrap()).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    let asked = &tokens.requests()[0];
    assert_eq!(asked.target, "/contoso.example/oauth2/v2.0/token");
    assert_eq!(asked.header("authorization"), None);
    let body = String::from_utf8(asked.body.clone()).unwrap();
    let expect = "grant_type=client_credentials&scope=https%3A%2F%2Fml.azure.com%2F.default&client_id=app-1\
                  &client_secret=marker-client-secret-4711";
    assert_eq!(body, expect);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_only_the_second_request_counts() {
    let tokens = FakeServer::start(rotating_tokens(3600)).await;
    let api = FakeServer::start(guarded(&["Bearer marker-token-1"], 401)).await;
    let client = client(&transport(), &api, &oauth2(tokens.url()));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    // The server now wants a newer one, as after a key rotation.
    api.set(guarded(&["Bearer marker-token-2"], 401));
    let report = client.probe(true).await;
    assert_eq!((report.outcome, report.http_status), (Outcome::Ok, Some(200)), "{report:?}");
    assert!(!report.reused && report.phases.connect.is_some(), "the reported request is the fresh one: {report:?}");
    assert_eq!((tokens.requests().len(), api.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_server_that_refuses_every_token_is_unauthorized_and_not_besieged() {
    let tokens = FakeServer::start(rotating_tokens(3600)).await;
    let api = FakeServer::start(guarded(&[], 401)).await;
    let client = client(&transport(), &api, &oauth2(tokens.url()));
    for expect in [(2, 2), (2, 3), (2, 4)] {
        let report = client.probe(false).await;
        assert_eq!(report.outcome, failed(TargetFailure::Unauthorized), "{report:?}");
        assert_eq!(report.detail.as_deref(), Some("the server answered 401: you sent Bearer ••••"));
        assert_eq!((tokens.requests().len(), api.requests().len()), expect);
    }
    // 403 is an answer about rights, which a new token would not change.
    api.set(guarded(&[], 403));
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::Forbidden));
    assert_eq!(tokens.requests().len(), 2);
}

#[tokio::test]
async fn a_failing_token_server_is_our_failure_and_is_named() {
    let check = async |behaviour: Behaviour, expect: &str| {
        let tokens = FakeServer::start(behaviour).await;
        let api = FakeServer::start(guarded(&[], 401)).await;
        let client = client(&transport(), &api, &oauth2(&tokens.at("token?tenant=marker-query")));
        let report = client.probe(false).await;
        assert_eq!(report.outcome, ours(UnknownReason::TokenUnavailable), "{report:?}");
        let detail = report.detail.clone().unwrap();
        let host = format!("127.0.0.1:{}", tokens.url().port().unwrap());
        assert!(detail.contains(&host) && detail.contains(expect), "{detail}");
        assert_no_marker(&report);
        assert_eq!((report.total_us, report.http_status, api.requests().len()), (None, None, 0));
        let failure = client.predict(&number_table(&["x"], &[&[1.0]])).await.unwrap_err();
        assert_eq!(failure.outcome, ours(UnknownReason::TokenUnavailable));
        assert_eq!(tokens.requests().len(), 1, "the failure is kept for a moment");
    };
    let echo = |request: &pilothouse_testkit::RecordedRequest| {
        let sent = request.header("authorization").unwrap_or_default().to_owned();
        let body = format!(r#"{{"error":"invalid_client","error_description":"AADSTS7000215: {sent} or {SECRET}?"}}"#);
        Behaviour::status(401, &body)
    };
    check(Behaviour::answer(echo), "it refused (invalid_client): AADSTS7000215").await;
    check(Behaviour::status(400, r#"{"error":"invalid_scope"}"#), "it refused (invalid_scope)").await;
    check(Behaviour::status(503, "<html><title>busy</title></html>"), "is not JSON").await;
    check(Behaviour::json(r#"{"token":"marker-x"}"#), "lacks or misspells").await;
    check(Behaviour::json(r#"{"access_token":7,"token_type":"Bearer"}"#), "lacks or misspells").await;
    check(Behaviour::json(""), "empty").await;
    let broken = r#"{"access_token":"marker\nbroken","token_type":"Bearer"}"#;
    let tokens = FakeServer::start(Behaviour::json(broken)).await;
    let api = FakeServer::start(guarded(&[], 401)).await;
    let report = client(&transport(), &api, &oauth2(tokens.url())).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::TokenUnavailable), "{report:?}");
    check(Behaviour::redirect(302, "http://127.0.0.1:1/?marker"), "redirect").await;
    check(Behaviour::gzip_bomb(100), "").await;
    check(Behaviour::json(&format!(r#"{{"access_token":"{}"}}"#, "x".repeat(300_000))), "more than").await;
    check(Behaviour::Close, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_hangs_is_given_up() {
    let tokens = FakeServer::start(Behaviour::Hang).await;
    let api = FakeServer::start(guarded(&[], 401)).await;
    let report = client(&transport(), &api, &oauth2(tokens.url())).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::TokenUnavailable), "{report:?}");
    assert!(report.detail.unwrap().contains("within"));
}

#[tokio::test]
async fn detection_uses_the_same_tokens() {
    let tokens = FakeServer::start(rotating_tokens(3600)).await;
    let api = FakeServer::start(Behaviour::answer(|request| match (request.header("authorization"), request.path()) {
        (Some("Bearer marker-token-1"), "/v2") => {
            Behaviour::json(r#"{"name":"mlserver","version":"1.7.1","extensions":[]}"#)
        }
        (Some("Bearer marker-token-1"), _) => Behaviour::status(404, r#"{"detail":"Not Found"}"#),
        _ => Behaviour::status(401, "{}"),
    }))
    .await;
    let (transport, tls) = (transport(), pilothouse_domain::endpoint::Tls::default());
    let credential = credential(&oauth2(tokens.url()));
    let found = detect(&transport, api.url(), &credential, &tls, None).await.unwrap();
    assert_eq!(found.server.as_deref(), Some("mlserver"), "{found:?}");
    assert_eq!(tokens.requests().len(), 1);
    tokens.set(Behaviour::status(500, "{}"));
    let elsewhere = crate::support::transport();
    let failure = detect(&elsewhere, api.url(), &credential, &tls, None).await.unwrap_err();
    assert_eq!(failure.outcome, ours(UnknownReason::TokenUnavailable), "{failure:?}");
}

#[tokio::test]
async fn a_key_in_the_query_is_sent_and_shown_nowhere() {
    let auth: Auth = serde_json::from_str(r#"{"kind":"query","name":"api key","secret":"k"}"#).unwrap();
    let api = FakeServer::start(Behaviour::answer(|request| {
        Behaviour::status(403, &format!(r#"{{"error":"{} may not"}}"#, request.target))
    }))
    .await;
    let client = client(&transport(), &api, &auth);
    let report = client.probe(false).await;
    assert_eq!(api.requests()[0].target, "/v2/models/m/ready?api+key=marker-client-secret-4711");
    assert_eq!(report.outcome, failed(TargetFailure::Forbidden));
    let detail = report.detail.as_deref();
    assert_eq!(detail, Some("the server answered 403: /v2/models/m/ready?api+key=•••• may not"));

    let other = FakeServer::start(Behaviour::json("{}")).await;
    let to = other.at("elsewhere?api+key=marker-client-secret-4711");
    api.set(Behaviour::redirect(307, to.as_str()));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::RedirectRefused), "{report:?}");
    assert_no_marker(&report);
    assert!(other.requests().is_empty());
}

/// An answer of STS to `AssumeRole` (API version 2011-06-15).
fn assumed(number: u32) -> Behaviour {
    Behaviour::status(
        200,
        &format!(
            r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
            <AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>marker-role-secret</SecretAccessKey>
            <SessionToken>marker-session-{number}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>
            </Credentials><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/watch/p</Arn>
            <AssumedRoleId>A:p</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"#
        ),
    )
}

fn sigv4(sts: &FakeServer) -> Auth {
    let json = serde_json::json!({
        "kind": "aws_sigv4", "region": "eu-central-1",
        "source": {"from": "static", "access_key_id": "AKIA1", "secret": "k"},
        "assume_role": {"role_arn": "arn:aws:iam::1:role/watch", "external_id": "ext-1", "sts_url": sts.url()},
    });
    serde_json::from_value(json).expect("a credential")
}

#[tokio::test]
async fn a_role_is_taken_on_and_taken_on_again_when_it_expired() {
    let turn = AtomicU32::new(0);
    let sts = FakeServer::start(Behaviour::answer(move |_| assumed(turn.fetch_add(1, Ordering::SeqCst) + 1))).await;
    let api = FakeServer::start(Behaviour::json(r#"{"ready":true}"#)).await;
    let client = client(&transport(), &api, &sigv4(&sts));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let signed = |number: usize| {
        let request = api.requests()[number].clone();
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        (header("authorization"), header("x-amz-security-token"))
    };
    let (authorization, session) = signed(0);
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=ASIA1/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/sagemaker/aws4_request"), "{authorization}");
    assert_eq!(session, "marker-session-1");
    let asked = &sts.requests()[0];
    let body = String::from_utf8(asked.body.clone()).unwrap();
    assert!(body.contains("Action=AssumeRole") && body.contains("ExternalId=ext-1"), "{body}");
    assert!(asked.header("authorization").unwrap().contains("Credential=AKIA1/"));

    let expired = r#"{"__type":"ExpiredTokenException","message":"The security token included is expired"}"#;
    api.set(Behaviour::Script(vec![Behaviour::status(403, expired), Behaviour::json(r#"{"ready":true}"#)]));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert_eq!((signed(2).1.as_str(), sts.requests().len()), ("marker-session-2", 2));

    let refused = r"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we
        calculated does not match</Message></Error></ErrorResponse>";
    api.set(Behaviour::status(403, refused));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::Forbidden));
    let detail = report.detail.unwrap();
    assert!(detail.contains("SignatureDoesNotMatch: The request signature we calculated"), "{detail}");
}

#[tokio::test]
async fn a_role_that_may_not_be_taken_on_is_our_failure() {
    let denied = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized to perform \
         sts:AssumeRole with {SECRET}</Message></Error></ErrorResponse>"
    );
    let sts = FakeServer::start(Behaviour::status(403, &denied)).await;
    let api = FakeServer::start(Behaviour::json("{}")).await;
    let report = client(&transport(), &api, &sigv4(&sts)).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::TokenUnavailable), "{report:?}");
    let detail = report.detail.clone().unwrap();
    assert!(detail.contains("arn:aws:iam::1:role/watch") && detail.contains("AccessDenied"), "{detail}");
    assert_no_marker(&report);
    sts.set(Behaviour::Close);
    let report = client(&transport(), &api, &sigv4(&sts)).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::TokenUnavailable), "{report:?}");
    assert!(api.requests().is_empty());
}
