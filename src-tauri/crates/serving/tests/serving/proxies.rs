//! Proxies: forwarded requests, tunnels, and that their failures are ours.

use std::collections::BTreeMap;
use std::path::Path;

use pilothouse_domain::network::Proxy;
use pilothouse_domain::{Network, Outcome, ProbeConfig, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, ModelClient};
use pilothouse_testkit::{
    Authority, BearerGate, Behaviour, FakeServer, ForwardProxy, SocksProxy, Validity, quick_probe_config,
};
use secrecy::SecretString;
use url::Url;

use crate::support::{client_with, failed, ours, reached, ready_target, transport};

const PASSWORD: &str = "hunter2";

/// `target`, through this proxy.
fn by(proxy: &Url, target: Target) -> Target {
    let proxy = Proxy { url: proxy.clone(), username: None, secret: None, bypass: Vec::new() };
    Target { network: Network::Proxy(Box::new(proxy)), ..target }
}

/// `target`, through this proxy as the user `ann`.
fn by_as_ann(proxy: &Url, target: Target) -> Target {
    let (username, secret) = (Some("ann".into()), Some("proxy-password".into()));
    let proxy = Proxy { url: proxy.clone(), username, secret, bypass: Vec::new() };
    Target { network: Network::Proxy(Box::new(proxy)), ..target }
}

fn client(target: &Target, credential: Credential) -> ModelClient {
    let secrets = BTreeMap::from([("proxy-password".to_owned(), SecretString::from(PASSWORD))]);
    let transport = transport().by_way_of(&target.network, &secrets).expect("the way is usable");
    ModelClient::new(transport, target, &quick_probe_config(), credential, None).expect("the target is usable")
}

/// A server with TLS, and a target of it that trusts its authority.
async fn private_server(folder: &Path) -> (FakeServer, Target, Authority) {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"], Validity::Valid);
    let server = FakeServer::start_tls(Behaviour::status(200, ""), &certificate).await;
    let mut target = ready_target(&server);
    let file = folder.join("authority.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    target.tls.ca_file = Some(file);
    (server, target, authority)
}

#[tokio::test]
async fn http_is_forwarded_in_absolute_form() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let proxy = ForwardProxy::start_with_login("ann", PASSWORD).await;
    let target = by_as_ann(proxy.url(), ready_target(&server));
    let report = client(&target, Credential::Bearer("token".into())).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcswr"), "{report:?}");
    assert_eq!(proxy.requests()[0].target, server.at("/v2/models/m/ready").as_str());
    let request = &server.requests()[0];
    assert_eq!((request.target.as_str(), request.header("proxy-authorization")), ("/v2/models/m/ready", None));
    assert_eq!(request.header("authorization"), Some("Bearer token"));
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_sees_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let (server, target, _authority) = private_server(folder.path()).await;
    let proxy = ForwardProxy::start_with_login("ann", PASSWORD).await;
    let with_login = by_as_ann(proxy.url(), target.clone());
    let report = client(&with_login, Credential::Bearer("token".into())).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcutswr"), "{report:?}");
    let tunnel = &proxy.requests()[0];
    assert_eq!((tunnel.method.as_str(), tunnel.header("authorization")), ("CONNECT", None));
    assert_eq!(server.requests()[0].header("proxy-authorization"), None);

    let report = client(&by(proxy.url(), target), Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");
    assert!(report.detail.unwrap().contains("the endpoint's network settings"));
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (server, target, authority) = private_server(folder.path()).await;
    let proxy = ForwardProxy::start_tls(&authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let report = client(&by(proxy.url(), target.clone()), Credential::None).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcutswr"), "{report:?}");
    assert_eq!((proxy.requests()[0].method.as_str(), server.requests().len()), ("CONNECT", 1));

    let plain = FakeServer::start(Behaviour::status(200, "")).await;
    let forwarded = Target { tls: target.tls.clone(), ..ready_target(&plain) };
    let report = client(&by(proxy.url(), forwarded), Credential::None).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcuswr"), "{report:?}");

    let stranger = ForwardProxy::start_tls(&Authority::new().server(&["127.0.0.1"], Validity::Valid)).await;
    let report = client(&by(stranger.url(), target), Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");
    assert!(report.detail.unwrap().contains("is not valid"));
}

#[tokio::test]
async fn socks_carries_http_and_https() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, private, _authority) = private_server(folder.path()).await;
    let proxy = SocksProxy::start().await;
    let report = client(&by(proxy.url(), private), Credential::Bearer("token".into())).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcutswr"), "{report:?}");

    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let named = Target { url: server.url_as("localhost"), ..ready_target(&server) };
    let port = server.url().port().unwrap();
    let report = client(&by(proxy.url(), named.clone()), Credential::None).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcuswr"), "{report:?}");
    assert!(!proxy.targets()[1].starts_with("localhost"), "the name was resolved here: {:?}", proxy.targets());
    let report = client(&by(&proxy.url_that_resolves(), named), Credential::None).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert_eq!(proxy.targets()[2], format!("localhost:{port}"));
}

#[tokio::test]
async fn socks_asks_for_a_login() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let proxy = SocksProxy::start_with_login("ann", PASSWORD).await;
    let report = client(&by_as_ann(proxy.url(), ready_target(&server)), Credential::None).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");

    let other = SocksProxy::start_with_login("ann", "another").await;
    let refused = client(&by_as_ann(other.url(), ready_target(&server)), Credential::None).probe(false).await;
    let nobody = client(&by(proxy.url(), ready_target(&server)), Credential::None).probe(false).await;
    for report in [refused, nobody] {
        assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");
        assert!(report.detail.as_ref().unwrap().contains("user and password"), "{report:?}");
        assert!(!format!("{report:?}").contains(PASSWORD), "{report:?}");
    }
}

/// The proxy reaches the server's machine, and nothing listens there: that is the server's failure.
#[tokio::test]
async fn a_server_that_is_gone_is_down_behind_socks_too() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let target = ready_target(&server);
    let proxy = SocksProxy::start().await;
    drop(server);
    let report = client(&by(proxy.url(), target), Credential::None).probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::ConnectionRefused), "{report:?}");
}

#[tokio::test]
async fn a_proxys_failure_is_ours() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let demanding = ForwardProxy::start_with_login("ann", PASSWORD).await;
    let report = client(&by(demanding.url(), ready_target(&server)), Credential::None).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{report:?}");

    let not_a_proxy = FakeServer::start(Behaviour::not_http()).await;
    let mut https = ready_target(&server);
    https.url.set_scheme("https").unwrap();
    let socks: Url = not_a_proxy.url().as_str().replacen("http", "socks5", 1).parse().unwrap();
    let gone: Url = "http://127.0.0.1:1/".parse().unwrap();
    for (proxy, target) in [(not_a_proxy.url(), https), (&socks, ready_target(&server)), (&gone, ready_target(&server))]
    {
        let report = client(&by(proxy, target), Credential::None).probe(false).await;
        assert_eq!(report.outcome, ours(UnknownReason::ProxyFailed), "{proxy} {report:?}");
    }
    assert_eq!(server.connections(), 0);
}

/// A proxy that takes the connection and then says nothing.
#[tokio::test]
async fn a_silent_proxy_is_ours() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = silent.local_addr().unwrap();
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let url: Url = format!("socks5://{place}").parse().unwrap();
    let secrets = BTreeMap::new();
    let target = by(&url, ready_target(&server));
    let transport = transport().by_way_of(&target.network, &secrets).unwrap();
    let probe = ProbeConfig { connect_timeout_ms: 100, ..quick_probe_config() };
    let report = ModelClient::new(transport, &target, &probe, Credential::None, None).unwrap().probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (ours(UnknownReason::ProxyFailed), "dcu"));
}

#[tokio::test]
async fn what_is_bypassed_needs_no_proxy() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let proxy = Proxy {
        url: "http://127.0.0.1:1/".parse().unwrap(),
        username: None,
        secret: None,
        bypass: vec!["127.0.0.0/8".into()],
    };
    let target = Target { network: Network::Proxy(Box::new(proxy)), ..ready_target(&server) };
    let report = client(&target, Credential::None).probe(false).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcswr"), "{report:?}");
}

#[tokio::test]
async fn the_proxys_password_is_in_no_detail() {
    let proxy = ForwardProxy::start_with_login("ann", "other").await;
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let report = client(&by_as_ann(proxy.url(), ready_target(&server)), Credential::None).probe(false).await;
    assert!(!format!("{report:?}").contains(PASSWORD), "{report:?}");
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
    assert_eq!(probe(Credential::None).await, failed(TargetFailure::Unauthorized));
    assert_eq!(probe(Credential::Bearer("wrong".into())).await, failed(TargetFailure::Unauthorized));
    assert_eq!(probe(Credential::Bearer("open-sesame-123".into())).await, Outcome::Ok);
    assert_eq!((gate.requests().len(), server.requests().len()), (3, 1));
    assert!(!server.requests()[0].mentions("open-sesame"));
}
