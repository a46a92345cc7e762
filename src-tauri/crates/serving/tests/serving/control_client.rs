//! The clients of control planes follow the same rules as probes.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::network::Proxy;
use pilothouse_domain::{Network, TargetFailure};
use pilothouse_serving::{ControlCall, ControlClient, Exchange};
use pilothouse_testkit::{Authority, Behaviour, FakeServer, ForwardProxy, Reply, Validity};
use secrecy::SecretString;
use url::Url;

use crate::support::{failed, ours, transport};

const KEY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-api-key"), HeaderValue::from_static("marker-secret"));

async fn get(client: &ControlClient, url: &Url, max_answer_bytes: usize) -> Exchange {
    let call = ControlCall {
        method: &Method::GET,
        url,
        headers: &[KEY],
        body: None,
        credential: None,
        time_limit: Duration::from_secs(10),
        max_answer_bytes,
    };
    client.call(&call).await
}

fn client(tls: &Tls) -> ControlClient {
    transport().control_client(tls, None)
}

#[tokio::test]
async fn a_redirect_is_the_answer() {
    let elsewhere = FakeServer::start(Behaviour::json("{}")).await;
    let server = FakeServer::start(Behaviour::routes([
        ("/away", Behaviour::redirect(307, elsewhere.url().as_str())),
        ("/here", Behaviour::redirect(307, "/there")),
        ("/there", Behaviour::json(r#"{"ok":1}"#)),
    ]))
    .await;
    let client = client(&Tls::default());
    for path in ["/away", "/here"] {
        let answer = get(&client, &server.at(path), 1_000).await;
        assert_eq!((answer.status, &answer.failure), (Some(307), &None), "{path}");
        assert!(answer.headers.contains_key("location"), "{path}");
    }
    assert_eq!((elsewhere.connections(), server.requests().len()), (0, 2));
    let answer = get(&client, &server.at("/there"), 1_000).await;
    assert_eq!((answer.status, &answer.body[..]), (Some(200), &br#"{"ok":1}"#[..]));
    assert_eq!(server.requests()[0].header("user-agent"), Some(pilothouse_serving::USER_AGENT));
    assert_eq!(server.requests()[0].header("x-api-key"), Some("marker-secret"));
}

#[tokio::test]
async fn bodies_are_capped() {
    let client = client(&Tls::default());
    let body = "x".repeat(10_000);
    for reply in [Reply::json(200, &body), Reply::json(200, &body).chunked()] {
        let server = FakeServer::start(reply).await;
        let answer = get(&client, server.url(), 9_999).await;
        let failure = answer.failure.unwrap();
        assert_eq!((failure.outcome, answer.status), (failed(TargetFailure::ResponseTooLarge), Some(200)));
        assert_eq!(get(&client, server.url(), 10_000).await.body.len(), 10_000);
    }
    let server = FakeServer::start(Behaviour::CloseMidBody(Reply::json(200, &body))).await;
    let failure = get(&client, &server.at("/?token=marker-secret"), 100_000).await.failure.unwrap();
    assert!(!failure.detail.contains("marker-secret"), "{failure:?}");
}

#[tokio::test]
async fn private_authorities_and_proxies_are_shared() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let server = FakeServer::start_tls(Behaviour::json("{}"), &authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let tls = Tls { ca_file: Some(file), ..Tls::default() };
    let proxy = ForwardProxy::start_with_login("ann", "hunter2").await;
    let (username, secret) = (Some("ann".into()), Some("proxy-password".into()));
    let way = Network::Proxy(Box::new(Proxy { url: proxy.url().clone(), username, secret, bypass: Vec::new() }));
    let secrets = BTreeMap::from([("proxy-password".to_owned(), SecretString::from("hunter2"))]);
    let through = transport().by_way_of(&way, &secrets).unwrap().control_client(&tls, None);
    assert_eq!(get(&through, server.url(), 1_000).await.status, Some(200));
    assert_eq!(proxy.requests()[0].method, "CONNECT");

    assert_eq!(get(&client(&tls), server.url(), 1_000).await.status, Some(200));
    let untrusted = get(&client(&Tls::default()), server.url(), 1_000).await;
    assert_eq!(untrusted.failure.unwrap().outcome, failed(TargetFailure::CertificateInvalid));
    let missing = Tls { ca_file: Some("/nonexistent.pem".into()), ..Tls::default() };
    let unusable = get(&client(&missing), server.url(), 1_000).await;
    assert_eq!(unusable.failure.unwrap().outcome, ours(pilothouse_domain::UnknownReason::Misconfigured));
    assert_eq!(unusable.phases.send, None, "nothing was sent");
}
