//! Redirects: how far they are followed, and that no credential leaves its origin.

use http::HeaderName;
use pilothouse_domain::{Outcome, TargetFailure};
use pilothouse_serving::Credential;
use pilothouse_testkit::{Behaviour, FakeServer, quick_probe_config};

use crate::support::{client_of, client_with, failed, ready_target};

const SECRET: &str = "marker-secret-0815";

fn credentials() -> Vec<Credential> {
    vec![
        Credential::Bearer(SECRET.into()),
        Credential::Basic { username: "ann".into(), password: SECRET.into() },
        Credential::Header { name: HeaderName::from_static("x-api-key"), value: SECRET.into() },
    ]
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_fourth_is_not() {
    let chain = |length: usize| {
        let mut routes = vec![("/v2/models/m/ready".to_owned(), Behaviour::redirect(302, "/hop1"))];
        for hop in 1..length {
            routes.push((format!("/hop{hop}"), Behaviour::redirect(307, &format!("/hop{}", hop + 1))));
        }
        routes.push((format!("/hop{length}"), Behaviour::status(200, "")));
        Behaviour::Routes(routes)
    };
    let server = FakeServer::start(chain(3)).await;
    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!((report.outcome, server.requests().len(), server.connections()), (Outcome::Ok, 4, 1), "{report:?}");

    let server = FakeServer::start(chain(4)).await;
    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!((report.outcome, server.requests().len()), (failed(TargetFailure::RedirectRefused), 4));
}

#[tokio::test]
async fn a_redirect_elsewhere_is_followed_without_a_credential_only() {
    let elsewhere = FakeServer::start(Behaviour::status(200, "")).await;
    let location = elsewhere.at("/landing").to_string();
    let server = FakeServer::start(Behaviour::redirect(307, &location)).await;
    for credential in credentials() {
        let client = client_with(&ready_target(&server), &quick_probe_config(), credential);
        let report = client.probe(false).await;
        assert_eq!(report.outcome, failed(TargetFailure::RedirectRefused), "{report:?}");
        assert_eq!(report.http_status, Some(307));
        assert!(!report.detail.unwrap().contains(SECRET));
    }
    assert_eq!(elsewhere.connections(), 0, "nothing reached the other origin");

    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!((report.outcome, elsewhere.requests().len()), (Outcome::Ok, 1));
}

#[tokio::test]
async fn within_its_origin_the_credential_is_kept() {
    let routes = [("/v2/models/m/ready", Behaviour::redirect(308, "/other")), ("/other", Behaviour::status(200, ""))];
    let server = FakeServer::start(Behaviour::routes(routes)).await;
    let client = client_with(&ready_target(&server), &quick_probe_config(), Credential::Bearer(SECRET.into()));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert!(server.requests().iter().all(|request| request.mentions(SECRET)));
}

#[tokio::test]
async fn after_a_redirect_elsewhere_the_first_connection_is_still_kept() {
    let elsewhere = FakeServer::start(Behaviour::status(200, "")).await;
    let server = FakeServer::start(Behaviour::redirect(307, elsewhere.url().as_str())).await;
    let client = client_of(&ready_target(&server));
    client.probe(false).await;
    let report = client.probe(false).await;
    assert!(!report.reused, "the second hop is new each time");
    assert_eq!((server.connections(), elsewhere.connections()), (1, 2));
}
