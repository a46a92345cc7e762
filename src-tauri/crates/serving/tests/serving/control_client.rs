//! The clients of control planes follow the same rules as probes.

use std::collections::BTreeMap;

use pilothouse_domain::Network;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::network::Proxy;
use pilothouse_serving::{ServingError, read_capped};
use pilothouse_testkit::{Authority, Behaviour, FakeServer, ForwardProxy, Reply, Validity};
use secrecy::SecretString;

use crate::support::transport;

#[tokio::test]
async fn redirects_stay_within_the_origin() {
    let elsewhere = FakeServer::start(Behaviour::json("{}")).await;
    let server = FakeServer::start(Behaviour::routes([
        ("/away", Behaviour::redirect(307, elsewhere.url().as_str())),
        ("/here", Behaviour::redirect(307, "/there")),
        ("/there", Behaviour::json(r#"{"ok":1}"#)),
        ("/loop", Behaviour::redirect(307, "/loop")),
    ]))
    .await;
    let client = transport().http_client(&Tls::default(), None).unwrap();
    let get = |path: &str| client.get(server.at(path)).header("x-api-key", "marker-secret").send();
    assert!(get("/away").await.unwrap_err().is_redirect());
    assert_eq!(elsewhere.connections(), 0);
    assert!(get("/loop").await.unwrap_err().is_redirect());
    let body = read_capped(get("/here").await.unwrap(), 1_000).await.unwrap();
    assert_eq!(&body[..], br#"{"ok":1}"#);
    assert_eq!(server.requests()[0].header("user-agent"), Some(pilothouse_serving::USER_AGENT));
}

#[tokio::test]
async fn bodies_are_capped() {
    let client = transport().http_client(&Tls::default(), None).unwrap();
    let body = "x".repeat(10_000);
    for reply in [Reply::json(200, &body), Reply::json(200, &body).chunked()] {
        let server = FakeServer::start(reply).await;
        let get = || client.get(server.url().clone()).send();
        let error = read_capped(get().await.unwrap(), 9_999).await.unwrap_err();
        assert!(matches!(error, ServingError::AnswerTooLarge { limit_bytes: 9_999 }));
        assert_eq!(read_capped(get().await.unwrap(), 10_000).await.unwrap().len(), 10_000);
    }
    let server = FakeServer::start(Behaviour::CloseMidBody(Reply::json(200, &body))).await;
    let response = client.get(server.at("/?token=marker-secret")).send().await.unwrap();
    let error = read_capped(response, 100_000).await.unwrap_err();
    assert!(!error.to_string().contains("marker-secret"), "{error}");
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
    let through = transport().by_way_of(&way, &secrets).unwrap();
    let response = through.http_client(&tls, None).unwrap().get(server.url().clone()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(proxy.requests()[0].method, "CONNECT");

    let direct = transport();
    assert!(direct.http_client(&tls, None).unwrap().get(server.url().clone()).send().await.is_ok());
    assert!(direct.http_client(&Tls::default(), None).unwrap().get(server.url().clone()).send().await.is_err());
    let missing = Tls { ca_file: Some("/nonexistent.pem".into()), ..Tls::default() };
    assert!(matches!(direct.http_client(&missing, None), Err(ServingError::CaFile { .. })));
}
