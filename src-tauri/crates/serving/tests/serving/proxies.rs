//! Proxies: forwarded requests, tunnels, and that their failures are ours.

use std::sync::Arc;

use pilothouse_domain::{Outcome, Protocol, Target, UnknownReason};
use pilothouse_serving::{Credential, ModelClient, Transport, TransportConfig};
use pilothouse_testkit::{
    Authority, BearerGate, Behaviour, FakeServer, ForwardProxy, Validity, quick_probe_config, target,
};
use url::Url;

use crate::support::{client_with, failed, ours, reached, ready_target};

fn through(proxy: &Url) -> Arc<Transport> {
    Transport::new(TransportConfig { system_proxy: false, proxy: Some(proxy.clone()) }).expect("the proxy is usable")
}

fn client(proxy: &Url, target: &Target, credential: Credential) -> ModelClient {
    ModelClient::new(through(proxy), target, &quick_probe_config(), credential, None).expect("the target is usable")
}

fn with_login(proxy: &ForwardProxy, user: &str, password: &str) -> Url {
    let mut url = proxy.url().clone();
    url.set_username(user).expect("http has users");
    url.set_password(Some(password)).expect("http has passwords");
    url
}

#[tokio::test]
async fn http_is_forwarded_in_absolute_form() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let proxy = ForwardProxy::start_with_login("ann", "hunter2").await;
    let login = with_login(&proxy, "ann", "hunter2");
    let report = client(&login, &ready_target(&server), Credential::Bearer("token".into())).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcswr"), "{report:?}");
    assert_eq!(proxy.requests()[0].target, server.at("/v2/models/m/ready").as_str());
    let request = &server.requests()[0];
    assert_eq!((request.target.as_str(), request.header("proxy-authorization")), ("/v2/models/m/ready", None));
    assert_eq!(request.header("authorization"), Some("Bearer token"));
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_sees_no_credential() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server =
        FakeServer::start_tls(Behaviour::status(200, ""), &authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let proxy = ForwardProxy::start_with_login("ann", "hunter2").await;
    let mut target = Target { model: Some("m".into()), ..target(server.url(), Protocol::OpenInference) };
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    target.tls.ca_file = Some(file);
    let report =
        client(&with_login(&proxy, "ann", "hunter2"), &target, Credential::Bearer("token".into())).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dctswr"), "{report:?}");
    let tunnel = &proxy.requests()[0];
    assert_eq!((tunnel.method.as_str(), tunnel.header("authorization")), ("CONNECT", None));
    assert_eq!(server.requests()[0].header("proxy-authorization"), None);

    let report = client(proxy.url(), &target, Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");
}

#[tokio::test]
async fn a_proxys_failure_is_ours() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let demanding = ForwardProxy::start_with_login("ann", "hunter2").await;
    let report = client(demanding.url(), &ready_target(&server), Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");

    let not_a_proxy = FakeServer::start(Behaviour::not_http()).await;
    let mut https = ready_target(&server);
    https.url.set_scheme("https").unwrap();
    let report = client(not_a_proxy.url(), &https, Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");

    let gone: Url = "http://127.0.0.1:1/".parse().unwrap();
    let report = client(&gone, &ready_target(&server), Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_proxys_password_is_in_no_detail() {
    let proxy = ForwardProxy::start_with_login("ann", "other").await;
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let report =
        client(&with_login(&proxy, "ann", "hunter2"), &ready_target(&server), Credential::None).probe(false).await;
    assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
}

#[tokio::test]
async fn a_gate_lets_in_who_has_the_token() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let gate = BearerGate::start(server.url(), "open-sesame-123").await;
    let target = Target { url: gate.url().clone(), ..ready_target(&server) };
    let probe = |credential| {
        let client = client_with(&target, &quick_probe_config(), credential);
        async move { client.probe(false).await.outcome }
    };
    assert_eq!(probe(Credential::None).await, failed(pilothouse_domain::TargetFailure::Unauthorized));
    assert_eq!(probe(Credential::Bearer("wrong".into())).await, failed(pilothouse_domain::TargetFailure::Unauthorized));
    assert_eq!(probe(Credential::Bearer("open-sesame-123".into())).await, Outcome::Ok);
    assert_eq!((gate.requests().len(), server.requests().len()), (3, 1));
    assert!(!server.requests()[0].mentions("open-sesame"));
}
