//! What stands behind a bare URL.

use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Protocol, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, DetectFailure, Detection, detect};
use pilothouse_testkit::{BearerGate, Behaviour, FakeServer};
use url::Url;

use crate::support::{failed, ours, transport};

async fn detected(url: &Url, credential: Credential) -> Result<Detection, DetectFailure> {
    detect(&transport(), url, &credential, &Tls::default(), None).await
}

fn mlserver() -> Behaviour {
    Behaviour::routes([
        ("/v2", Behaviour::json(include_str!("../data/mlserver-1.7.1-server.json"))),
        ("/v2/repository/index", Behaviour::json(include_str!("../data/mlserver-1.7.1-index.json"))),
        ("/v2/models/bc/ready", Behaviour::status(200, "")),
    ])
}

#[tokio::test]
async fn mlserver_with_its_models() {
    let server = FakeServer::start(mlserver()).await;
    for path in ["/", "/v2", "/v2/models/bc/infer"] {
        let found = detected(&server.at(path), Credential::None).await.unwrap();
        assert_eq!((found.protocol, found.server.as_deref()), (Some(Protocol::OpenInference), Some("mlserver")));
        assert_eq!(
            (found.server_version.as_deref(), found.predict.as_deref()),
            (Some("1.7.1"), Some("/v2/models/bc/infer"))
        );
        assert_eq!(found.models.len(), 1);
        assert_eq!(
            (found.models[0].versions.as_slice(), found.models[0].ready),
            (&["2".to_owned(), "1".to_owned()][..], Some(true))
        );
        assert!(found.confidence > 0.9 && !found.needs_auth && found.base_url == *server.url());
    }
    assert!(
        server.requests().iter().all(|request| request.method == "GET" || request.path() == "/v2/repository/index")
    );
}

#[tokio::test]
async fn triton_lists_only_versions_that_are_there() {
    let server = FakeServer::start(Behaviour::routes([
        ("/v2", Behaviour::json(include_str!("../data/triton-2.51.0-server.json"))),
        ("/v2/repository/index", Behaviour::json(include_str!("../data/triton-2.51.0-index.json"))),
        ("/v2/models/bc/ready", Behaviour::status(400, r#"{"error":"Model version not ready"}"#)),
    ]))
    .await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!(found.server.as_deref(), Some("triton"));
    assert_eq!((found.models[0].versions.as_slice(), found.models[0].ready), (&["2".to_owned()][..], Some(false)));
}

#[tokio::test]
async fn kserve_lists_its_models_the_old_way() {
    let server = FakeServer::start(Behaviour::routes([
        ("/v2", Behaviour::json(r#"{"name":"kserve","version":"0.21.0","extensions":["model_repository_extension"]}"#)),
        ("/v1/models", Behaviour::json(r#"{"models":["bc"]}"#)),
        ("/v2/models/bc/ready", Behaviour::json(r#"{"name":"bc","ready":true}"#)),
    ]))
    .await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!((found.server.as_deref(), found.models[0].name.as_str()), (Some("kserve"), "bc"));
    assert_eq!(found.models[0].ready, Some(true));
}

#[tokio::test]
async fn mlflows_two_servers_are_told_apart() {
    let scoring = FakeServer::start(Behaviour::routes([
        ("/ping", Behaviour::json("\n")),
        ("/health", Behaviour::json("\n")),
        ("/version", Behaviour::json("3.17.2")),
        ("/openapi.json", Behaviour::json(r#"{"openapi":"3.1.0","paths":{"/invocations":{"post":{}}}}"#)),
    ]))
    .await;
    let found = detected(&scoring.at("/invocations"), Credential::None).await.unwrap();
    assert_eq!((found.protocol, found.predict.as_deref()), (Some(Protocol::Mlflow), Some("/invocations")));
    assert_eq!((found.server.as_deref(), found.server_version.as_deref()), (Some("mlflow"), Some("3.17.2")));
    assert!(found.confidence > 0.9);

    let tracking = FakeServer::start(Behaviour::routes([
        ("/health", Behaviour::status(200, "OK")),
        ("/version", Behaviour::status(200, "3.17.2")),
    ]))
    .await;
    let found = detected(tracking.url(), Credential::None).await.unwrap();
    assert_eq!((found.protocol, found.server.as_deref()), (None, Some("mlflow")));
    assert!(found.evidence.iter().any(|line| line.contains("tracking server")));
}

#[tokio::test]
async fn a_page_for_every_path_is_nothing() {
    let server = FakeServer::start(Behaviour::status(200, "<!doctype html><title>App</title>")).await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!((found.protocol, found.server.as_deref()), (None, Some("unknown")));
    assert!(server.requests().len() <= 8);
}

#[tokio::test]
async fn a_gate_asks_for_a_credential_and_opens_with_it() {
    let server = FakeServer::start(mlserver()).await;
    let gate = BearerGate::start(server.url(), "open-sesame-123").await;
    let found = detected(gate.url(), Credential::None).await.unwrap();
    assert!(found.needs_auth && found.protocol.is_none());
    let found = detected(gate.url(), Credential::Bearer("open-sesame-123".into())).await.unwrap();
    assert!(!found.needs_auth && found.protocol == Some(Protocol::OpenInference));
    assert!(!format!("{found:?}").contains("open-sesame"));
}

#[tokio::test]
async fn nothing_there_is_a_failure_with_its_reason() {
    let failure = detected(&"http://127.0.0.1:1/".parse().unwrap(), Credential::None).await.unwrap_err();
    assert_eq!(failure.outcome, failed(TargetFailure::ConnectionRefused));
    let failure = detected(&"ftp://127.0.0.1/".parse().unwrap(), Credential::None).await.unwrap_err();
    assert_eq!(failure.outcome, ours(UnknownReason::Misconfigured));
    let failure = detected(&"http://ann:pw@127.0.0.1/".parse().unwrap(), Credential::None).await.unwrap_err();
    assert!(!failure.to_string().contains("pw@"));
    let server = FakeServer::start(Behaviour::not_http()).await;
    let failure = detected(server.url(), Credential::None).await.unwrap_err();
    assert_eq!(failure.outcome, failed(TargetFailure::BodyMalformed));
}
