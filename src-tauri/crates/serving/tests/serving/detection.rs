//! What stands behind a bare URL.

use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Protocol, TargetFailure, UnknownReason};
use pilothouse_serving::detect::{CredentialHint, MAX_REQUESTS, Need, Role};
use pilothouse_serving::{Credential, DetectFailure, Detection, detect};
use pilothouse_testkit::{Authority, BearerGate, Behaviour, FakeServer, Reply, Validity, WireServer};
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
    assert!(found.advice.is_some_and(|advice| advice.contains("tracking server")) && found.role == Role::ControlPlane);
}

#[tokio::test]
async fn a_page_for_every_path_is_nothing() {
    let server = FakeServer::start(Behaviour::status(200, "<!doctype html><title>App</title>")).await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!((found.protocol, found.server.as_deref()), (None, Some("page")));
    assert!(server.requests().len() <= MAX_REQUESTS && found.requests == server.requests().len());
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

#[tokio::test]
async fn a_thousand_models_are_listed_with_few_requests() {
    let entries: Vec<String> =
        (0..1_000).map(|at| format!(r#"{{"name":"m{at}","version":"1","state":"READY"}}"#)).collect();
    let server = FakeServer::start(Behaviour::routes([
        ("/v2", Behaviour::json(include_str!("../data/triton-2.51.0-server.json"))),
        ("/v2/repository/index", Behaviour::json(&format!("[{}]", entries.join(",")))),
    ]))
    .await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!(found.models.len(), 1_000);
    // Those that were asked are not ready; the others are as the index says.
    assert_eq!((found.models[0].ready, found.models[999].ready), (Some(false), Some(true)));
    assert_eq!((found.requests, server.requests().len()), (MAX_REQUESTS, MAX_REQUESTS));
}

#[tokio::test]
async fn a_path_that_is_no_base_leads_to_the_origin() {
    let document = r#"{"openapi":"3.1.0","info":{"title":"risk"},"paths":{"/risk/predict_now":{"post":{
        "requestBody":{"content":{"application/json":{"schema":{"type":"array","items":{"type":"array"}}}}}}}}}"#;
    let server = FakeServer::start(Behaviour::routes([("/openapi.json", Behaviour::json(document))])).await;
    let found = detected(&server.at("/risk/predict_now"), Credential::None).await.unwrap();
    assert_eq!((found.protocol, &found.base_url), (Some(Protocol::Json), server.url()));
    let template = found.template.unwrap();
    assert_eq!((template.path.as_str(), template.body), ("/risk/predict_now", serde_json::json!("{{rows}}")));
    assert!(server.requests().len() <= MAX_REQUESTS);
}

#[tokio::test]
async fn no_redirect_to_another_origin_is_followed() {
    let elsewhere = FakeServer::start(mlserver()).await;
    let server = FakeServer::start(Behaviour::redirect(307, elsewhere.at("/v2").as_str())).await;
    let found = detected(server.url(), Credential::Bearer("open-sesame-123".into())).await.unwrap();
    assert_eq!(found.protocol, None);
    assert!(elsewhere.requests().is_empty());
    let there = found
        .needs
        .iter()
        .any(|need| matches!(need, Need::Address { url, .. } if url.starts_with(elsewhere.url().as_str())));
    assert!(there, "{:?}", found.needs);
    // The same without a credential: what answers there is not what was asked.
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert!(found.protocol.is_none() && elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_refusal_names_the_scheme_it_wants() {
    let locked = Reply::json(401, "no").with_header("www-authenticate", "Basic realm=\"models\"");
    let server = FakeServer::start(Behaviour::Reply(locked)).await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert!(found.needs_auth);
    assert!(
        matches!(&found.needs[..], [Need::Credential { credential: CredentialHint::Basic, .. }]),
        "{:?}",
        found.needs
    );
}

#[tokio::test]
async fn a_plain_port_asked_by_https_is_told() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // A server of plain HTTP answers a TLS greeting with a complaint in plain HTTP.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let complains = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 2_048];
            if stream.read(&mut greeting).await.is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
            }
        }
    });
    let url: Url = format!("https://127.0.0.1:{port}/").parse().unwrap();
    let found = detected(&url, Credential::None).await.unwrap();
    complains.abort();
    assert_eq!(found.protocol, None);
    assert!(
        matches!(&found.needs[..], [Need::Address { url, .. }] if *url == format!("http://127.0.0.1:{port}/")),
        "{:?}",
        found.needs
    );
}

#[tokio::test]
async fn a_cloud_is_known_without_a_request() {
    let url = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/churn/invocations".parse().unwrap();
    let found = detected(&url, Credential::None).await.unwrap();
    assert_eq!((found.server.as_deref(), found.requests), (Some("sagemaker"), 0));
    assert!(found.needs_auth && found.models[0].name == "churn");
}

#[tokio::test]
async fn an_untrusted_certificate_asks_for_its_authority() {
    let authority = Authority::new();
    let server = FakeServer::start_tls(mlserver(), &authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let found = detected(server.url(), Credential::None).await.unwrap();
    assert_eq!(found.protocol, None);
    assert!(
        matches!(&found.needs[..], [Need::CaFile { why }] if why.contains("issuer is unknown")),
        "{:?}",
        found.needs
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let tls = Tls { ca_file: Some(file), ..Tls::default() };
    let found = detect(&transport(), server.url(), &Credential::None, &tls, None).await.unwrap();
    assert_eq!(found.server.as_deref(), Some("mlserver"));
}

#[tokio::test]
async fn servers_without_an_end_are_given_up() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let endless = WireServer::endless(head, "[[],".repeat(4_000)).await;
    let interim = WireServer::endless("", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await;
    let silent = WireServer::saying("").await;
    for server in [endless, interim, silent] {
        let found = tokio::time::timeout(std::time::Duration::from_mins(1), detected(server.url(), Credential::None));
        let found = found.await.expect("a detection ends");
        assert!(found.as_ref().is_ok_and(|found| found.protocol.is_none()) || found.is_err(), "{found:?}");
        assert!(server.connections() <= MAX_REQUESTS);
    }
}
