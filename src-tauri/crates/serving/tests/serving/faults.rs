//! Every fault of the wire and of HTTP.

use std::time::Duration;

use pilothouse_domain::TargetFailure as F;
use pilothouse_domain::{Outcome, ProbeConfig, Protocol, UnknownReason};
use pilothouse_serving::{Credential, ModelClient};
use pilothouse_testkit::{Behaviour, FakeServer, Reply, number_table, quick_probe_config, target};
use proptest::prelude::*;

use crate::support::{client_of, client_with, failed, ours, reached, ready_target, transport};

/// One fault: its outcome, the phases it reaches, and whether a status is known.
async fn check(behaviour: Behaviour, outcome: Outcome, phases: &str, status: Option<u16>) {
    let server = FakeServer::start(behaviour).await;
    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!(report.outcome, outcome, "{report:?}");
    assert_eq!(reached(&report.phases), phases, "{report:?}");
    assert_eq!(report.http_status, status, "{report:?}");
    assert_eq!(report.detail.is_none(), outcome == Outcome::Ok, "{report:?}");
    assert!(report.total_us.is_some() && !report.reused);
}

#[tokio::test]
async fn a_good_answer_has_every_phase() {
    check(Behaviour::status(200, ""), Outcome::Ok, "dcswr", Some(200)).await;
}

#[tokio::test]
async fn statuses_have_their_reason() {
    for (status, reason) in [
        (401, F::Unauthorized),
        (403, F::Forbidden),
        (404, F::ModelNotFound),
        (418, F::RequestRejected),
        (429, F::RateLimited),
        (500, F::ServerError),
        (400, F::NotReady),
        (503, F::NotReady),
    ] {
        check(Behaviour::status(status, r#"{"error":"no"}"#), failed(reason), "dcswr", Some(status)).await;
    }
}

#[tokio::test]
async fn a_page_is_no_readiness() {
    let page = Behaviour::status(200, "<html><title>Sign in</title></html>");
    check(page, failed(F::ProtocolViolation), "dcswr", Some(200)).await;
}

#[tokio::test]
async fn silence_is_a_first_byte_timeout() {
    check(Behaviour::Hang, failed(F::FirstByteTimeout), "dcsw", None).await;
}

#[tokio::test]
async fn an_answer_that_never_ends_is_a_total_timeout() {
    check(Behaviour::HangInHead, failed(F::TotalTimeout), "dcswr", None).await;
    let trickle = Behaviour::Trickle(Duration::from_millis(100), Reply::json(200, &"x".repeat(100)));
    check(trickle, failed(F::TotalTimeout), "dcswr", Some(200)).await;
}

#[tokio::test]
async fn a_slow_first_byte_within_the_limit_is_no_failure() {
    let slow = Behaviour::DelayFirstByte(Duration::from_millis(60), Box::new(Behaviour::status(200, "")));
    let server = FakeServer::start(slow).await;
    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok);
    // The pause is the server's: it lies in `wait` and nowhere else.
    assert!(report.phases.wait.unwrap() >= 59_000 && report.phases.receive.unwrap() < 59_000, "{report:?}");
}

#[tokio::test]
async fn lost_connections_are_resets() {
    check(Behaviour::Reset, failed(F::ConnectionReset), "dcsw", None).await;
    check(Behaviour::Close, failed(F::ConnectionReset), "dcsw", None).await;
    let half = Behaviour::CloseMidBody(Reply::json(200, &"x".repeat(1_000)));
    check(half, failed(F::ConnectionReset), "dcswr", Some(200)).await;
    let half = Behaviour::CloseMidBody(Reply::json(200, &"x".repeat(9_000)).chunked());
    check(half, failed(F::ConnectionReset), "dcswr", Some(200)).await;
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    check(Behaviour::not_http(), failed(F::BodyMalformed), "dcswr", None).await;
    let encoded = Reply::json(200, "{}").with_header("content-encoding", "br");
    check(encoded.into(), failed(F::BodyMalformed), "dcswr", Some(200)).await;
    let damaged = Reply::json(200, "not gzip at all").with_header("content-encoding", "gzip");
    check(damaged.into(), failed(F::BodyMalformed), "dcswr", Some(200)).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes a server sends, a probe ends with an outcome: nothing panics, nothing is left waiting.
    #[test]
    fn any_bytes_on_the_wire_give_an_outcome(
        head in proptest::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 301 X\r\nlocation: \r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.1 999 \r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n",
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = FakeServer::start(Behaviour::Raw([head.as_bytes(), &rest].concat())).await;
            let report = client_of(&ready_target(&server)).probe(false).await;
            assert!(!matches!(report.outcome, Outcome::Unknown(_)), "{report:?}");
            assert!(report.detail.is_none_or(|detail| detail.chars().count() <= 300));
        });
    }
}

#[tokio::test]
async fn bodies_are_capped_whether_announced_streamed_or_packed() {
    let huge = " ".repeat(300_000);
    check(Behaviour::json(&huge), failed(F::ResponseTooLarge), "dcswr", Some(200)).await;
    check(Reply::json(200, &huge).chunked().into(), failed(F::ResponseTooLarge), "dcswr", Some(200)).await;
    check(Behaviour::gzip_bomb(50_000_000), failed(F::ResponseTooLarge), "dcswr", Some(200)).await;
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let reply = Reply::json(200, "").with_header("x-long", &"y".repeat(200_000));
    check(reply.into(), failed(F::ResponseTooLarge), "dcswr", None).await;
}

#[tokio::test]
async fn compressed_answers_are_counted_unpacked() {
    let body = " ".repeat(10_000);
    let server = FakeServer::start(Reply::json(200, "").with_gzip_body(body.as_bytes())).await;
    let report = client_of(&ready_target(&server)).probe(false).await;
    assert_eq!((report.outcome, report.response_bytes), (Outcome::Ok, 10_000));
    assert!(server.requests()[0].header("accept-encoding").unwrap().contains("gzip"));
}

#[tokio::test]
async fn nothing_listening_is_refused() {
    let server = FakeServer::start(Behaviour::Close).await;
    let target = ready_target(&server);
    drop(server);
    // The port is free once the listener's task has ended.
    let client = client_of(&target);
    let mut report = client.probe(false).await;
    for _ in 0..200 {
        if report.outcome == failed(F::ConnectionRefused) {
            break;
        }
        tokio::task::yield_now().await;
        report = client.probe(false).await;
    }
    assert_eq!(report.outcome, failed(F::ConnectionRefused), "{report:?}");
    assert_eq!((reached(&report.phases).as_str(), report.http_status), ("dc", None));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_the_targets_only_while_we_are_online() {
    let target = target(&"http://no-such-model.invalid/".parse().unwrap(), Protocol::Mlflow);
    // Resolving takes as long as the system's resolver takes; the limit must not decide this test.
    let probe = ProbeConfig { connect_timeout_ms: 60_000, ..ProbeConfig::default() };
    let report = client_with(&target, &probe, Credential::None).probe(false).await;
    // A machine with a network may still have nobody to ask for names.
    let expect = if pilothouse_serving::transport::failure::network_is_up() {
        [failed(F::DnsFailed), ours(UnknownReason::ResolverFailed)]
    } else {
        [ours(UnknownReason::NoNetwork); 2]
    };
    assert!(expect.contains(&report.outcome) && reached(&report.phases) == "d", "{report:?}");
}

#[tokio::test]
async fn unusable_settings_are_ours_and_send_nothing() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let mut target = ready_target(&server);
    target.tls.ca_file = Some("/nonexistent/authority.pem".into());
    target.url.set_scheme("https").unwrap();
    let report = client_of(&target).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::Misconfigured));
    assert_eq!((reached(&report.phases).as_str(), report.total_us), ("", None));
    assert!(report.detail.unwrap().contains("/nonexistent/authority.pem"));
    assert_eq!(server.connections(), 0);

    let credential = Credential::Bearer("two\nlines".into());
    let error = ModelClient::new(transport(), &ready_target(&server), &quick_probe_config(), credential, None);
    assert_eq!(error.err().unwrap().outcome(), ours(UnknownReason::Misconfigured));
}

#[tokio::test]
async fn rows_that_do_not_fit_the_model_are_ours() {
    let metadata = r#"{"name":"m","inputs":[{"name":"x","datatype":"FP64","shape":[-1,30]}],"outputs":[]}"#;
    let server = FakeServer::start(Behaviour::json(metadata)).await;
    let mut target = ready_target(&server);
    target.probe_input = Some(number_table(&["a", "b"], &[&[1.0, 2.0]]));
    let report = client_of(&target).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::Misconfigured));
    assert!(report.detail.unwrap().contains("takes 30 values per row"));
}

#[tokio::test]
async fn a_secret_that_the_server_echoes_is_redacted() {
    let token = "marker-secret-4711-abcdefgh";
    let server = FakeServer::start(Behaviour::status(401, &format!(r#"{{"error":"unknown key {token}"}}"#))).await;
    let client = client_with(&ready_target(&server), &quick_probe_config(), Credential::Bearer(token.into()));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(F::Unauthorized));
    let detail = report.detail.unwrap();
    assert!(detail.contains("unknown key") && !detail.contains("4711"), "{detail}");
    let failure = client.ready().await.unwrap_err();
    assert!(!failure.to_string().contains("4711"), "{failure}");
    let expected = format!("Bearer {token}");
    assert_eq!(server.requests()[0].header("authorization"), Some(expected.as_str()));
}

#[tokio::test]
async fn requests_say_who_asks() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    client_of(&ready_target(&server)).probe(false).await;
    let request = &server.requests()[0];
    assert_eq!(request.header("user-agent"), Some(pilothouse_serving::USER_AGENT));
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/v2/models/m/ready"));
    let host = format!("127.0.0.1:{}", server.url().port().unwrap());
    assert_eq!(request.header("host"), Some(host.as_str()));
    assert_eq!(request.header("content-length"), None);
}
