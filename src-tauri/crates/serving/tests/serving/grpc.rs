//! gRPC against a server that answers as it is told: what came is judged as over REST, and phases are measured.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Cell, FacetState, Outcome, ProbeConfig, Protocol, Target, TargetFailure, UnknownReason};
use pilothouse_serving::detect::{CredentialHint, Need, Role};
use pilothouse_serving::{Credential, HeaderName, detect};
use pilothouse_testkit::{
    Authority, Behaviour, FakeServer, ForwardProxy, GrpcCall, GrpcReply, GrpcServer, Validity, WireServer,
    number_table, quick_probe_config, target,
};

use crate::support::{client_of, client_with, failed, ours, reached, transport};

const TRITON_METADATA: &[u8] = include_bytes!("../data/triton-2.51.0-grpc-metadata.pb");
const TRITON_SERVER: &[u8] = include_bytes!("../data/triton-2.51.0-grpc-server.pb");
const TRITON_INDEX: &[u8] = include_bytes!("../data/triton-2.51.0-grpc-index.pb");
const TRITON_INFER: &[u8] = include_bytes!("../data/triton-2.51.0-grpc-infer.pb");
const YES: &[u8] = b"\x08\x01";

/// What a Triton answers, as it was recorded.
fn triton(call: &GrpcCall) -> GrpcReply {
    let message = match call.path.rsplit('/').next() {
        Some("ServerMetadata") => TRITON_SERVER,
        Some("ModelMetadata") => TRITON_METADATA,
        Some("RepositoryIndex") => TRITON_INDEX,
        Some("ModelInfer") => TRITON_INFER,
        Some("ModelReady" | "ServerReady" | "ServerLive" | "Check") => YES,
        _ => return GrpcReply::Refusal(12, ""),
    };
    GrpcReply::Message(Bytes::from_static(message))
}

/// A target whose probes ask for the predictions of two rows.
fn predicting(server: &GrpcServer) -> Target {
    let rows = number_table(&["a", "b"], &[&[20.5, 21.0], &[11.0, 14.5]]);
    Target { probe_input: Some(rows), ..ready(server) }
}

/// A target whose probes ask whether the model is ready.
fn ready(server: &GrpcServer) -> Target {
    Target { model: Some("tumours".into()), ..target(server.url(), Protocol::OpenInferenceGrpc) }
}

#[tokio::test]
async fn a_prediction_is_timed_in_every_phase_and_its_connection_is_kept() {
    let server = GrpcServer::start(triton).await;
    let client = client_of(&predicting(&server));
    let first = client.probe(true).await;
    assert_eq!((first.outcome, first.detail.as_deref()), (Outcome::Ok, None));
    assert_eq!((first.version.as_ref().map(|version| version.0.as_str()), first.http_status), (Some("1"), None));
    assert_eq!((reached(&first.phases).as_str(), first.reused), ("dcswr", false));
    let second = client.probe(false).await;
    assert_eq!((reached(&second.phases).as_str(), second.reused), ("swr", true));
    assert!(second.phases.wait <= second.total_us, "{second:?}");

    let predicted = client.predict(predicting(&server).probe_input.as_ref().unwrap()).await.unwrap();
    assert_eq!(predicted.rows, [[Cell::Number(0.0)], [Cell::Number(1.0)]]);
    let metadata = client.metadata().await.unwrap();
    assert_eq!((metadata.server.as_deref(), metadata.versions.len()), (Some("triton 2.51.0"), 1));
    let facets = client.facets().await;
    assert_eq!((facets.live.state, facets.ready.state), (FacetState::Ok, FacetState::Ok));

    let call = &server.calls()[0];
    let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("application/grpc"));
    assert_eq!((header("te"), header("grpc-accept-encoding")), (Some("trailers"), Some("identity")));
    assert!(header("user-agent").unwrap().starts_with("pilothouse/"));
}

#[tokio::test]
async fn every_code_is_judged_as_its_like_over_rest() {
    use TargetFailure as F;
    let check = async |code: u32, message: &'static str, expect: TargetFailure, words: &str| {
        for late in [false, true] {
            let server = GrpcServer::start(move |call| match call.path.rsplit('/').next() {
                Some("ModelInfer") if late => GrpcReply::LateRefusal(code, message),
                Some("ModelInfer") => GrpcReply::Refusal(code, message),
                _ => triton(call),
            });
            let server = server.await;
            let report = client_of(&predicting(&server)).probe(false).await;
            assert_eq!(report.outcome, failed(expect), "{code}: {report:?}");
            assert_eq!(report.detail.as_deref(), Some(words), "{code}");
            assert_eq!(report.http_status, None, "200 would say that all is well");
        }
    };
    check(16, "", F::Unauthorized, "the server answered UNAUTHENTICATED").await;
    check(7, "no", F::Forbidden, "the server answered PERMISSION_DENIED: no").await;
    check(5, "no%20model", F::ModelNotFound, "the server answered NOT_FOUND: no model").await;
    check(3, "shape", F::RequestRejected, "the server answered INVALID_ARGUMENT: shape").await;
    check(8, "slow down", F::RateLimited, "the server answered RESOURCE_EXHAUSTED: slow down").await;
    let too_large = "SERVER: Received message larger than max (5 vs. 4)";
    check(8, too_large, F::RequestRejected, &format!("the server answered RESOURCE_EXHAUSTED: {too_large}")).await;
    check(12, "", F::ProtocolViolation, "the server answered UNIMPLEMENTED").await;
    check(14, "loading", F::ServerError, "the server answered UNAVAILABLE: loading").await;
    check(14, "it is not ready", F::NotReady, "the server answered UNAVAILABLE: it is not ready").await;
    check(4, "", F::ServerError, "the server answered DEADLINE_EXCEEDED").await;
    check(13, "%1B[31mred%0Anext", F::ServerError, "the server answered INTERNAL: [31mred next").await;
    check(42, "", F::ServerError, "the server answered UNKNOWN").await;
}

#[tokio::test]
async fn whatever_the_server_does_has_an_outcome_in_time() {
    use TargetFailure as F;
    let trailers = |status: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        trailers
    };
    let limits = ProbeConfig { max_response_bytes: 100_000, ..quick_probe_config() };
    let check = async |reply: GrpcReply, expect: Outcome, words: &str| {
        let said = format!("{reply:?}").chars().take(60).collect::<String>();
        let server = GrpcServer::start(move |_| reply.clone()).await;
        let report = client_with(&ready(&server), &limits, Credential::None).probe(false).await;
        assert_eq!(report.outcome, expect, "{said}: {report:?}");
        assert!(report.detail.as_deref().unwrap_or_default().contains(words), "{said}: {report:?}");
        assert!(report.detail.unwrap_or_default().chars().count() <= 300, "{said}");
    };
    let bytes = |bytes: &'static [u8], status| GrpcReply::Bytes(Bytes::from_static(bytes), trailers(status));
    check(GrpcReply::Silence, failed(F::FirstByteTimeout), "sent no byte").await;
    check(GrpcReply::HeadAlone, failed(F::TotalTimeout), "did not end").await;
    check(GrpcReply::Endless, failed(F::ResponseTooLarge), "more than 100000 bytes").await;
    check(GrpcReply::Reset(0x8), failed(F::ConnectionReset), "gave up the call").await;
    check(GrpcReply::Reset(0xb), failed(F::RateLimited), "asked too much").await;
    check(GrpcReply::GoAway(0), failed(F::ConnectionReset), "").await;
    check(GrpcReply::GoAway(0xb), failed(F::ConnectionReset), "without an answer").await;
    check(GrpcReply::Gone, failed(F::ConnectionReset), "without an answer").await;
    check(GrpcReply::Http(200, "text/html", "<title>Hi</title>"), failed(F::ProtocolViolation), "not gRPC").await;
    check(GrpcReply::Http(404, "text/plain", "no route"), failed(F::ProtocolViolation), "(no route)").await;
    check(GrpcReply::Http(401, "application/json", r#"{"error":"who?"}"#), failed(F::Unauthorized), "401: who?").await;
    check(GrpcReply::Http(503, "text/plain", "no upstream"), failed(F::NotReady), "503: no upstream").await;
    check(GrpcReply::Bytes(Bytes::new(), HeaderMap::new()), failed(F::ProtocolViolation), "without the status").await;
    check(bytes(b"", "0"), failed(F::ProtocolViolation), "no message").await;
    check(bytes(b"\0\0\0\0\x09abc", "0"), failed(F::ProtocolViolation), "cut off").await;
    check(bytes(b"\x01\0\0\0\x03abc", "0"), failed(F::ProtocolViolation), "compressed").await;
    check(bytes(b"\0\xff\xff\xff\xff", "0"), failed(F::ProtocolViolation), "cut off").await;
    check(bytes(b"\0\0\0\0\x02\xff\xff", "0"), failed(F::BodyMalformed), "a word on the health").await;
    check(bytes(b"\0\0\0\0\x00", "0"), failed(F::NotReady), "ready: false").await;
    check(bytes(b"\0\0\0\0\x02\x08\x01", "ok"), failed(F::ProtocolViolation), "the status `ok`").await;
}

#[tokio::test]
async fn a_server_of_something_else_is_named() {
    let check = async |url: &url::Url, words: &str| {
        let target = Target { model: Some("m".into()), ..target(url, Protocol::OpenInferenceGrpc) };
        let report = client_of(&target).probe(false).await;
        assert_eq!(report.outcome, failed(TargetFailure::BodyMalformed), "{report:?}");
        assert!(report.detail.as_deref().unwrap_or_default().contains(words), "{report:?}");
    };
    let saying = |bytes: &'static [u8]| {
        WireServer::start(move |mut stream, _| async move {
            tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await?;
            // Whoever speaks the wrong protocol is heard to the end.
            let mut rest = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.map(drop)
        })
    };
    check(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.url(), "speaks HTTP/1.1 on this port").await;
    check(saying(b"SSH-2.0-OpenSSH_9.2\r\n").await.url(), "speaks SSH").await;
    check(saying(b"\x15\x03\x01\0\x02\x02\x28\0\0").await.url(), "grpcs://").await;
}

#[tokio::test]
async fn a_kept_connection_that_went_away_is_replaced_once() {
    // The second call finds the connection closed by a server that has enough of it.
    let server = GrpcServer::start(|_| GrpcReply::Message(Bytes::from_static(YES))).await;
    let client = client_of(&ready(&server));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert_eq!(server.connections(), 1, "kept");
    assert_eq!(client.probe(true).await.outcome, Outcome::Ok);
    assert_eq!(server.connections(), 2, "fresh");

    let calls = std::sync::atomic::AtomicUsize::new(0);
    let server = GrpcServer::start(move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        1 => GrpcReply::Gone,
        _ => GrpcReply::Message(Bytes::from_static(YES)),
    });
    let server = server.await;
    let client = client_of(&ready(&server));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let replaced = client.probe(false).await;
    assert_eq!((replaced.outcome, replaced.reused, server.connections()), (Outcome::Ok, false, 2));
}

#[tokio::test]
async fn credentials_are_metadata_of_the_call() {
    let check = async |credential: Credential, name: &str, value: &str| {
        let server = GrpcServer::start(triton).await;
        let client = client_with(&ready(&server), &quick_probe_config(), credential);
        assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
        assert_eq!(server.calls()[0].headers.get(name).map(|value| value.to_str().unwrap()), Some(value));
    };
    check(Credential::Bearer("t0ken".to_owned().into()), "authorization", "Bearer t0ken").await;
    let basic = Credential::Basic { username: "ann".into(), password: "secret".to_owned().into() };
    check(basic, "authorization", "Basic YW5uOnNlY3JldA==").await;
    let name = HeaderName::from_static("triton-grpc-protocol-x-admin");
    let header = Credential::Header { name, value: "sekret".to_owned().into() };
    check(header, "triton-grpc-protocol-x-admin", "sekret").await;
    // A secret that the server repeats is in no detail.
    let server = GrpcServer::start(|_| GrpcReply::Refusal(16, "no user has the token t0ken-of-mine")).await;
    let credential = Credential::Bearer("t0ken-of-mine".to_owned().into());
    let report = client_with(&ready(&server), &quick_probe_config(), credential).probe(false).await;
    assert!(!report.detail.unwrap().contains("t0ken"), "redacted");
}

#[tokio::test]
async fn tls_is_agreed_upon_with_h2() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let server = GrpcServer::start_tls(&authority.server(&["127.0.0.1"], Validity::Valid), triton).await;
    let mut target = predicting(&server);
    let untrusted = client_of(&target).probe(true).await;
    assert_eq!(untrusted.outcome, failed(TargetFailure::CertificateInvalid), "{untrusted:?}");
    target.tls.ca_file = Some(ca_file.clone());
    let report = client_of(&target).probe(true).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dctswr"), "{report:?}");

    // A server that agrees to HTTP/1.1 alone is no server of gRPC, and the other way round.
    let over_rest = Target { protocol: Protocol::OpenInference, ..target.clone() };
    let report = client_of(&over_rest).probe(true).await;
    assert!(report.detail.as_deref().unwrap().contains("does not speak HTTP/1.1 over TLS"), "{report:?}");
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_even_without_tls() {
    let server = GrpcServer::start(triton).await;
    let proxy = ForwardProxy::start().await;
    let network = serde_json::json!({ "kind": "proxy", "url": proxy.url() });
    let network = serde_json::from_value(network).unwrap();
    let way = transport().by_way_of(&network, &BTreeMap::default()).unwrap();
    let client =
        pilothouse_serving::ModelClient::new(way, &predicting(&server), &quick_probe_config(), Credential::None, None);
    let report = client.unwrap().probe(true).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert!(reached(&report.phases).contains('u'), "{report:?}");
}

#[tokio::test]
async fn the_health_service_alone_can_be_watched() {
    let server = GrpcServer::start(|call| match (&*call.path, &call.message[..]) {
        ("/grpc.health.v1.Health/Check", b"") => GrpcReply::Message(Bytes::from_static(YES)),
        ("/grpc.health.v1.Health/Check", b"\x0a\x04risk") => GrpcReply::Message(Bytes::from_static(b"\x08\x02")),
        ("/grpc.health.v1.Health/Check", _) => GrpcReply::Refusal(5, "unknown service"),
        _ => GrpcReply::Refusal(12, "unknown method"),
    });
    let server = server.await;
    let mut target = target(server.url(), Protocol::GrpcHealth);
    let check = async |target: &Target, expect: Outcome, words: Option<&str>| {
        let report = client_of(target).probe(false).await;
        assert_eq!((report.outcome, report.detail.as_deref()), (expect, words));
    };
    check(&target, Outcome::Ok, None).await;
    target.model = Some("risk".into());
    check(&target, failed(TargetFailure::NotReady), Some("the health service answered NOT_SERVING")).await;
    let facets = client_of(&target).facets().await;
    assert_eq!((facets.live.state, facets.ready.state), (FacetState::Ok, FacetState::Failed), "{facets:?}");
    target.model = Some("other".into());
    let words = "the server answered NOT_FOUND: unknown service";
    check(&target, failed(TargetFailure::ModelNotFound), Some(words)).await;
    let rows = number_table(&["a"], &[&[1.0]]);
    assert_eq!(client_of(&target).predict(&rows).await.unwrap_err().outcome, ours(UnknownReason::Misconfigured));
}

/// What detection says of a server, by its address and, where there is one, the credential.
async fn found(url: &str) -> pilothouse_serving::Detection {
    let url = url.parse().expect("the URL is valid");
    let found = detect(&transport(), &url, &Credential::None, &Tls::default(), None).await;
    let found = found.expect("something is recognised");
    assert!(!found.evidence.is_empty() && found.requests <= 12, "{found:?}");
    found
}

#[tokio::test]
async fn a_server_is_recognised_by_its_scheme_and_without_it() {
    let server = GrpcServer::start(triton).await;
    for url in [server.url().as_str(), &server.url().as_str().replace("http://", "grpc://")] {
        let found = found(url).await;
        assert_eq!((found.protocol, found.server.as_deref()), (Some(Protocol::OpenInferenceGrpc), Some("triton")));
        assert_eq!((found.server_version.as_deref(), found.base_url.as_str()), (Some("2.51.0"), server.url().as_str()));
        let model = &found.models[0];
        assert_eq!(
            (model.name.as_str(), model.versions.as_slice(), model.ready),
            ("tumours", &["1".to_owned()][..], Some(true))
        );
        assert!(found.confidence > 0.9 && found.role == Role::Model && !found.needs_auth);
    }
    assert!(server.calls().iter().all(|call| !call.path.ends_with("ModelInfer")), "nothing is predicted");
}

#[tokio::test]
async fn what_a_server_of_grpc_lacks_is_told() {
    let health = |call: &GrpcCall| {
        if call.path.starts_with("/grpc.health") {
            GrpcReply::Message(Bytes::from_static(YES))
        } else {
            GrpcReply::Refusal(12, "unknown service")
        }
    };
    let server = GrpcServer::start(health).await;
    let told = found(server.url().as_str()).await;
    assert_eq!((told.protocol, told.role), (Some(Protocol::GrpcHealth), Role::Model), "{told:?}");

    let server = GrpcServer::start(|_| GrpcReply::Refusal(12, "unknown service")).await;
    let told = found(server.url().as_str()).await;
    assert_eq!((told.protocol, told.title.as_str()), (None, "A gRPC server"), "{told:?}");
    assert!(told.advice.unwrap().contains("REST port"));

    let server = GrpcServer::start(|_| GrpcReply::Refusal(16, "who are you?")).await;
    let told = found(server.url().as_str()).await;
    assert!(told.needs_auth && told.evidence[0].contains("UNAUTHENTICATED: who are you?"), "{told:?}");

    let restricted = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'";
    let server = GrpcServer::start(move |_| GrpcReply::Refusal(14, restricted)).await;
    let told = found(server.url().as_str()).await;
    assert_eq!((told.protocol, told.server.as_deref()), (Some(Protocol::OpenInferenceGrpc), Some("triton")));
    let wanted = CredentialHint::Header { name: "triton-grpc-protocol-key".into() };
    assert!(matches!(&told.needs[..], [Need::Credential { credential, .. }] if *credential == wanted), "{told:?}");

    let restricted = |call: &GrpcCall| {
        if call.path.ends_with("RepositoryIndex") { GrpcReply::Refusal(7, "this is restricted") } else { triton(call) }
    };
    let server = GrpcServer::start(restricted).await;
    let told = found(server.url().as_str()).await;
    assert_eq!(told.protocol, Some(Protocol::OpenInferenceGrpc));
    assert!(matches!(&told.needs[..], [Need::ModelName { why }] if why.contains("this is restricted")), "{told:?}");

    // A server of HTTP/1.1 under the scheme of gRPC.
    let server = FakeServer::start(Behaviour::json("{}")).await;
    let url = server.url().as_str().replace("http://", "grpc://").parse().unwrap();
    let failure = detect(&transport(), &url, &Credential::None, &Tls::default(), None).await.unwrap_err();
    assert_eq!(failure.outcome, failed(TargetFailure::BodyMalformed), "{failure:?}");
    assert!(failure.detail.contains("speaks HTTP/1.1"), "{failure:?}");
}

#[tokio::test]
async fn a_large_table_goes_in_several_calls() {
    // What is answered does not matter here: it does not fit the rows.
    let server = GrpcServer::start(|call| {
        if call.message.len() > 4 * 1024 * 1024 { GrpcReply::Refusal(8, "larger than max") } else { triton(call) }
    });
    let server = server.await;
    let rows = vec![&[1.0, 2.0][..]; 400_000];
    let failure = client_of(&ready(&server)).predict(&number_table(&["a", "b"], &rows)).await.unwrap_err();
    assert_eq!(failure.outcome, failed(TargetFailure::WrongShape), "the calls were let in: {failure:?}");
    let largest = server.calls().iter().map(|call| call.message.len()).max();
    assert!(largest > Some(1_000_000), "{largest:?}");
}
