//! Every server's captured answers, read by all rules.

use http::{HeaderMap, HeaderName, HeaderValue};
use pilothouse_domain::Protocol;
use proptest::prelude::*;
use url::Url;

use super::captures::{CAPTURES, Capture, JSON, Line, NOT_FOUND, PAGE, TEXT};
use super::judge;
use crate::detect::address::{Hints, base_of};
use crate::detect::finding::{CredentialHint, Finding, Need, Role};
use crate::detect::reply::{Ask, Replies, Reply, Seen};

const COMMON: [&str; 7] = ["/v2", "/v1/models", "/version", "/ping", "/openapi.json", "/health", "/"];

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

impl Capture {
    fn answer(&self, ask: &Ask) -> Reply {
        let key = match ask.port {
            Some(port) => format!("{port}{}", ask.path()),
            None if ask.method == http::Method::OPTIONS => format!("OPTIONS {}", ask.path()),
            None => ask.path(),
        };
        let (status, pairs, body) = self
            .lines
            .iter()
            .find(|(path, ..)| *path == key)
            .map_or(self.other, |(_, status, pairs, body)| (*status, *pairs, *body));
        Reply::new(ask.clone(), Some(status), headers(pairs), body.as_bytes().to_vec())
    }

    /// Asks as the prober does, without a network.
    fn judge(&self) -> (Finding, Vec<Finding>, usize) {
        let url: Url = self.url.parse().unwrap();
        let (base, hints) = base_of(&url);
        let mut replies = Replies(COMMON.iter().map(|path| self.answer(&Ask::get(path))).collect());
        replies.0.push(self.answer(&Ask::get("/metrics")));
        for _ in 0..2 {
            let (best, others) = judge(Seen { replies: &replies, hints: &hints, base: &base }, 0.1);
            let asks = best.asks.into_iter().chain(others.into_iter().flat_map(|other| other.asks));
            for ask in asks {
                if replies.to(&ask).is_none() && replies.0.len() < 13 {
                    replies.0.push(self.answer(&ask));
                }
            }
        }
        let (best, others) = judge(Seen { replies: &replies, hints: &hints, base: &base }, 0.1);
        (best, others, replies.0.len())
    }
}

/// The matrix: no server is read as another one.
#[test]
fn every_server_is_told_from_every_other() {
    for capture in CAPTURES {
        let (best, others, _) = capture.judge();
        assert_eq!((best.server.as_str(), best.role), (capture.server, capture.role), "{}: {best:#?}", capture.url);
        if let Some(word) = capture.protocol {
            assert_eq!(best.protocol_word, Some(word), "{best:#?}");
        }
        assert!(best.confidence > 0.0 && best.confidence <= 1.0 && !best.evidence.is_empty(), "{best:#?}");
        // Telling several servers alike is told; for these captures nothing comes near, except that KServe has two protocols.
        let near: Vec<&str> = others.iter().map(|other| other.server.as_str()).collect();
        assert!(near.is_empty(), "{} is also read as {near:?}", capture.server);
    }
}

fn of(server: &str, at: usize) -> Finding {
    CAPTURES.iter().filter(|capture| capture.server == server).nth(at).unwrap().judge().0
}

#[test]
fn models_versions_and_readiness_are_listed() {
    let check = |server: &str, at: usize, expect: &[(&str, &[&str], Option<bool>)]| {
        let found = of(server, at);
        let models: Vec<(&str, Vec<&str>, Option<bool>)> = found
            .models
            .iter()
            .map(|model| (model.name.as_str(), model.versions.iter().map(String::as_str).collect(), model.ready))
            .collect();
        let expect: Vec<(&str, Vec<&str>, Option<bool>)> =
            expect.iter().map(|(name, versions, ready)| (*name, versions.to_vec(), *ready)).collect();
        assert_eq!(models, expect, "{server}");
    };
    check("mlserver", 0, &[("bc", &["2", "1"], Some(true))]);
    check("triton", 0, &[("bc", &["2"], Some(true))]);
    check("kserve", 0, &[("bc", &[], Some(true))]);
    check("tensorflow-serving", 0, &[("half_plus_two", &["123"], Some(true))]);
    check("torchserve", 0, &[("m", &["1.0", "2.0"], Some(true))]);
    check("torchserve", 1, &[("m", &["1.0"], Some(false))]);
    check("bentoml", 0, &[("BC", &["v2"], None)]);
    check("ray-serve", 0, &[("bc", &[], None)]);
    check("ray-dashboard", 0, &[("bc", &[], Some(true))]);
    check("vllm", 0, &[("tiny", &[], None)]);
    check("llama.cpp", 2, &[("tiny-v1", &[], Some(true)), ("tiny-v2", &[], Some(false))]);
    check("ollama", 0, &[("llama3.2:latest", &[], None)]);
}

#[test]
fn server_versions_are_told() {
    let check = |server: &str, version: &str| assert_eq!(of(server, 0).version.as_deref(), Some(version), "{server}");
    check("mlserver", "1.7.1");
    check("triton", "2.51.0");
    check("mlflow", "3.17.2");
    check("torchserve", "0.12.0");
    check("bentoml", "1.4.39");
    check("ray-dashboard", "2.60.0");
    check("vllm", "0.32.0");
    check("ollama", "0.5.1");
    check("kubernetes", "v1.20.2");
    check("prometheus", "2.42.0+ds");
}

#[test]
fn ports_lead_to_each_other() {
    let inference = of("torchserve", 0);
    assert_eq!((inference.management_port, inference.serving_port), (Some(8081), None));
    let management = of("torchserve", 1);
    assert_eq!((management.management_port, management.serving_port), (Some(8081), Some(8080)));
    assert_eq!(of("ray-dashboard", 0).serving_port, Some(8200));
}

#[test]
fn a_refusal_says_what_it_wants() {
    let check = |server: &str, at: usize, expect: CredentialHint, words: &str| {
        let found = of(server, at);
        let need = found.needs.iter().find_map(|need| match need {
            Need::Credential { credential, why } => Some((credential.clone(), why.clone())),
            _ => None,
        });
        let (credential, why) = need.unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!(credential, expect, "{server}");
        assert!(why.contains(words), "{why}");
    };
    check("torchserve", 2, CredentialHint::Bearer, "key_file.json");
    check("litserve", 1, CredentialHint::Header { name: "X-API-Key".into() }, "LIT_SERVER_API_KEY");
    check("llama.cpp", 1, CredentialHint::Bearer, "--api-key");
    check("mlflow", 2, CredentialHint::Basic, "password");
    check("kubernetes", 0, CredentialHint::Kubeconfig, "kubeconfig");
    check("s3", 0, CredentialHint::AwsSigv4 { region: None }, "SigV4");
}

#[test]
fn templates_come_from_the_servers_own_description() {
    let fastapi = of("fastapi", 0);
    let template = fastapi.template.unwrap();
    assert_eq!((template.path.as_str(), template.body), ("/predict", serde_json::json!({"instances": "{{rows}}"})));
    let bento = of("bentoml", 0).template.unwrap();
    assert_eq!((bento.path.as_str(), bento.prediction.as_str()), ("/predict", ""));
    assert_eq!(of("litserve", 0).template.unwrap().path, "/predict");
}

/// Answers to the common routes alone; anything else is 404.
fn alone(lines: &'static [Line]) -> Finding {
    let capture = Capture { server: "", protocol: None, role: Role::Other, url: "http://h:1", other: NOT_FOUND, lines };
    capture.judge().0
}

#[test]
fn look_alikes_are_not_mistaken() {
    let check = |lines: &'static [Line]| {
        let found = alone(lines);
        assert_eq!(found.protocol().filter(|_| found.confidence > 0.5), None, "{found:#?}");
    };
    check(&[("/v2", 200, JSON, r#"{"name":"Docker registry"}"#)]);
    check(&[("/v2", 200, JSON, "{}"), ("/health", 200, TEXT, "ok")]);
    check(&[("/ping", 200, TEXT, "pong"), ("/version", 200, TEXT, "1.2.3")]);
    check(&[("/v1/models", 200, JSON, r#"{"data":"none"}"#)]);
    check(&[("/openapi.json", 200, JSON, r#"{"openapi":"3.1.0","paths":{"/users":{"post":{}}}}"#)]);
    check(&[("/health", 200, JSON, r#"{"status":"ok"}"#)]);
    check(&[]);
    assert!(of("triton", 0).needs.is_empty());
    let triton = alone(&[("/v2", 403, TEXT, r#"{"error":"This API is restricted, expecting header 'x-admin'"}"#)]);
    assert_eq!(triton.server, "triton");
    let named = alone(&[("/v2", 200, JSON, r#"{"name":"<b>","version":"1","extensions":[]}"#)]);
    assert_eq!((named.server.as_str(), named.protocol()), ("unknown", Some(Protocol::OpenInference)));
}

#[test]
fn a_redirect_and_a_tls_port_lead_on() {
    const AWAY: &[(&str, &str)] = &[("location", "https://models.example.com/")];
    const LOGIN: &[(&str, &str)] = &[("location", "https://sso.example.com/login?next=x")];
    let everywhere = |headers: &'static [(&'static str, &'static str)], status: u16, body: &'static str| {
        Capture {
            server: "",
            protocol: None,
            role: Role::Other,
            url: "http://h:1",
            other: (status, headers, body),
            lines: &[],
        }
        .judge()
        .0
    };
    let found = everywhere(AWAY, 301, "");
    assert!(
        found
            .needs
            .iter()
            .any(|need| matches!(need, Need::Address { url, .. } if url == "https://models.example.com/"))
    );
    let found = everywhere(LOGIN, 302, "");
    assert!(matches!(found.needs.as_slice(), [Need::Credential { .. }]), "{found:#?}");
    let found = everywhere(TEXT, 400, "Client sent an HTTP request to an HTTPS server.\n");
    assert!(found.needs.iter().any(|need| matches!(need, Need::Address { url, .. } if url == "https://h:1/")));
}

#[test]
fn a_thousand_models_are_listed() {
    let index: Vec<String> =
        (0..1_000).map(|at| format!(r#"{{"name":"m{at}","version":"1","state":"READY"}}"#)).collect();
    let replies = Replies(vec![
        Reply::new(
            Ask::get("/v2"),
            Some(200),
            HeaderMap::new(),
            br#"{"name":"triton","version":"2","extensions":[]}"#.to_vec(),
        ),
        Reply::new(Ask::repository_index(), Some(200), HeaderMap::new(), format!("[{}]", index.join(",")).into_bytes()),
    ]);
    let base = "http://h:1/".parse().unwrap();
    let (found, _) = judge(Seen { replies: &replies, hints: &Hints::default(), base: &base }, 0.1);
    assert_eq!(found.models.len(), 1_000);
    assert!(found.asks.len() <= 5);
}

proptest! {
    /// Answers of any bytes to every route give a finding.
    #[test]
    fn any_bytes_never_panic(
        bodies in proptest::collection::vec((100_u16..600, proptest::collection::vec(any::<u8>(), 0..80)), COMMON.len()),
    ) {
        read_all(&bodies);
    }

    /// So do answers put together from pieces of real ones.
    #[test]
    fn nearly_right_answers_never_panic(
        bodies in proptest::collection::vec(
            (
                proptest::sample::select(vec![200_u16, 400, 401, 403, 404, 500]),
                proptest::collection::vec(
                    proptest::sample::select(vec![
                        "{", "}", "[", "]", ",", ":", "\"models\"", "\"data\"", "\"id\"", "\"name\"", "\"version\"", "\"error\"",
                        "\"status\"", "\"paths\"", "\"openapi\"", "\"post\"", "\"x\"", "1", "null", "<title", "</title", "<html",
                        "{\"models\":[", "{\"object\":\"list\",\"data\":[", "{\"name\":\"triton\",\"extensions\":[]}",
                        "{\"code\":200,\"type\":\"AException\",\"message\":\"m\"}", "/-/routes", "3.17.2", "é",
                    ]),
                    0..12,
                ).prop_map(|pieces| pieces.concat().into_bytes()),
            ),
            COMMON.len(),
        ),
    ) {
        read_all(&bodies);
    }
}

fn read_all(bodies: &[(u16, Vec<u8>)]) {
    const FURTHER: [&str; 7] =
        ["/-/routes", "/docs.json", "/schema.json", "/metrics", "/api/tags", "/api/version", "/models"];
    let base = "http://h:8081/".parse().unwrap();
    let (_, hints) = base_of(&"http://h:8081/v1/models/m:predict".parse().unwrap());
    let asks = COMMON.iter().map(|path| Ask::get(path));
    let further = FURTHER.iter().map(|path| Ask::get(path)).chain([Ask::options(), Ask::repository_index()]);
    let mut replies: Vec<Reply> = Vec::new();
    for (ask, (status, body)) in asks.zip(bodies).chain(further.zip(bodies)) {
        replies.push(Reply::new(ask, Some(*status), headers(PAGE), body.clone()));
    }
    let replies = Replies(replies);
    let (found, others) = judge(Seen { replies: &replies, hints: &hints, base: &base }, 0.1);
    assert!((0.0..=1.0).contains(&found.confidence));
    assert!(others.iter().all(|other| other.confidence <= found.confidence));
}
