//! Servers that break the rules of TCP, TLS and HTTP on purpose or by accident: each gives a clear outcome within its
//! time limits.

use std::time::Duration;

use pilothouse_domain::{Outcome, Protocol, Target, TargetFailure as F};
use pilothouse_serving::{Credential, ProbeReport};
use pilothouse_testkit::{
    Authority, Behaviour, FakeServer, Reply, StreamEnd, Validity, WireServer, number_table, quick_probe_config,
    read_head, target,
};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::support::{client_of, client_with, failed, reached, ready_target};

/// Far beyond every limit of a probe: only what would never end meets it.
const NEVER: Duration = Duration::from_mins(1);

fn at(url: &Url) -> Target {
    Target { model: Some("m".into()), ..target(url, Protocol::OpenInference) }
}

async fn probe(url: &Url) -> ProbeReport {
    tokio::time::timeout(NEVER, client_of(&at(url)).probe(false)).await.expect("a probe ends within its limits")
}

/// One probe of a server that answers with these bytes and keeps the connection open.
async fn check(bytes: impl Into<Vec<u8>>, outcome: Outcome, detail: &str) {
    let bytes: Vec<u8> = bytes.into();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    let server = WireServer::saying(bytes).await;
    let report = probe(server.url()).await;
    assert_eq!(report.outcome, outcome, "{shown}: {report:?}");
    let said = report.detail.unwrap_or_default();
    assert!(said.contains(detail) && said.is_empty() == detail.is_empty(), "{shown}: {said}");
    assert_eq!(server.connections(), 1, "{shown}");
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn silence_after_each_step_has_its_own_reason() {
    let hangs = |said: &'static str| WireServer::saying(said);
    for (said, reason, phases) in [
        ("", F::FirstByteTimeout, "dcsw"),
        ("H", F::TotalTimeout, "dcswr"),
        ("HTTP/1.1 200 OK\r\n", F::TotalTimeout, "dcswr"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", F::TotalTimeout, "dcswr"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", F::TotalTimeout, "dcswr"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", F::TotalTimeout, "dcswr"),
        ("HTTP/1.1 200 OK\r\n\r\n{}", F::TotalTimeout, "dcswr"),
    ] {
        let server = hangs(said).await;
        let report = probe(server.url()).await;
        assert_eq!(report.outcome, failed(reason), "{said:?}: {report:?}");
        assert_eq!(reached(&report.phases), phases, "{said:?}: {report:?}");
    }
}

#[tokio::test]
async fn silence_in_the_tls_greeting_is_a_connect_timeout() {
    let server = WireServer::start(|stream, _| async move {
        // Held open, not read.
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let mut url = server.url().clone();
    url.set_scheme("https").unwrap();
    let report = probe(&url).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (failed(F::ConnectTimeout), "dct"), "{report:?}");
    assert!(report.detail.unwrap().contains("TLS handshake"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_that_accepts_nobody_is_a_connect_timeout() {
    // A full queue of connections: Linux drops further greetings, as a firewall does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let report = probe(&format!("http://{address}/").parse().unwrap()).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (failed(F::ConnectTimeout), "dc"), "{report:?}");
}

#[tokio::test]
async fn a_request_that_is_not_read_is_a_total_timeout() {
    let server = WireServer::start(|mut stream, _| async move {
        read_head(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    // More than both ends' buffers hold.
    let text = "x".repeat(32 << 20);
    let mut rows = number_table(&["a"], &[&[1.0]]);
    rows.rows[0][0] = pilothouse_domain::Cell::Text(text);
    let target = Target { probe_input: Some(rows), ..target(server.url(), Protocol::Mlflow) };
    let report = tokio::time::timeout(NEVER, client_of(&target).probe(false)).await.expect("it ends");
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (failed(F::TotalTimeout), "dcs"), "{report:?}");
}

#[tokio::test]
async fn one_byte_at_a_time_ends_at_the_limit() {
    let slow = Behaviour::Trickle(Duration::from_millis(100), Reply::json(200, &"x".repeat(1_000)));
    let server = FakeServer::start(slow).await;
    assert_eq!(probe(server.url()).await.outcome, failed(F::TotalTimeout));
    // The same in the head, where no byte of a body ever comes.
    let server = WireServer::start(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(b"y").await?;
        }
    })
    .await;
    let report = probe(server.url()).await;
    assert_eq!((report.outcome, report.http_status), (failed(F::TotalTimeout), None), "{report:?}");
}

#[tokio::test]
async fn what_has_no_end_is_cut_off() {
    let chunk = || [b"8000\r\n".as_slice(), &vec![b' '; 0x8000], b"\r\n"].concat();
    for (head, piece, reason) in [
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 0x8000], F::ResponseTooLarge),
        ("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", vec![b' '; 0x8000], F::ResponseTooLarge),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk(), F::ResponseTooLarge),
        ("HTTP/1.1 200 OK\r\nx: ", vec![b'y'; 0x1000], F::ResponseTooLarge),
        ("HTTP/1.1 200 OK\r\n", b"x: y\r\n".to_vec(), F::ResponseTooLarge),
        ("HTTP/1.1 ", vec![b'2'; 0x1000], F::BodyMalformed),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n".to_vec(), F::BodyMalformed),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;", vec![b'z'; 0x1000], F::BodyMalformed),
    ] {
        let server = WireServer::endless(head, piece).await;
        let report = probe(server.url()).await;
        assert_eq!(report.outcome, failed(reason), "{head:?}: {report:?}");
    }
    // Interim answers and blank lines before an answer are allowed (RFC 9112 §2.2), but neither more of them than a head may
    // hold at once nor for longer than the answer may take.
    for piece in ["HTTP/1.1 103 Early Hints\r\n\r\n", "\r\n"] {
        let server = WireServer::endless("", piece).await;
        let report = probe(server.url()).await;
        let ended = [F::ResponseTooLarge, F::TotalTimeout].iter().any(|reason| report.outcome == failed(*reason));
        assert!(ended, "{piece:?}: {report:?}");
    }
}

#[tokio::test]
async fn ten_thousand_headers_and_a_header_of_a_megabyte_are_refused() {
    let many = "x-number: 7\r\n".repeat(10_000);
    let too_large = failed(F::ResponseTooLarge);
    check(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"), too_large, "headers").await;
    let long = "y".repeat(1 << 20);
    check(format!("HTTP/1.1 200 OK\r\nx: {long}\r\ncontent-length: 0\r\n\r\n"), too_large, "headers").await;
    // As many as real gateways send, and more.
    let some = "x-number: 7\r\n".repeat(90);
    check(format!("HTTP/1.1 200 OK\r\n{some}content-length: 0\r\n\r\n"), Outcome::Ok, "").await;
}

#[tokio::test]
async fn bombs_of_every_encoding_are_not_unpacked() {
    let zeros = vec![b'0'; 2_000_000];
    let too_large = failed(F::ResponseTooLarge);
    for reply in
        [Reply::bytes(200, Vec::new()).with_gzip_body(&zeros), Reply::bytes(200, Vec::new()).with_deflate_body(&zeros)]
    {
        let server = FakeServer::start(reply).await;
        let report = probe(server.url()).await;
        assert_eq!((report.outcome, report.response_bytes), (too_large, 0), "{report:?}");
    }
    // A bomb in a bomb: the inner one stays packed, as nobody asked for two layers.
    let inner = Reply::bytes(200, Vec::new()).with_gzip_body(&zeros).into_body();
    let nested = Reply::bytes(200, Vec::new()).with_gzip_body(&inner);
    let server = FakeServer::start(nested.clone()).await;
    let report = probe(server.url()).await;
    assert_eq!(report.outcome, failed(F::ProtocolViolation));
    assert!((1..10_000).contains(&report.response_bytes), "{report:?}");
    let twice = Reply::bytes(200, nested.into_body()).with_header("content-encoding", "gzip, gzip");
    let server = FakeServer::start(twice).await;
    let report = probe(server.url()).await;
    assert_eq!(report.outcome, failed(F::BodyMalformed));
    assert!(report.detail.unwrap().contains("`gzip, gzip`"));
}

#[tokio::test]
async fn lengths_that_are_not_true() {
    // Too long: the rest never comes, or the connection ends.
    let server = FakeServer::start(Behaviour::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".into())).await;
    assert_eq!(probe(server.url()).await.outcome, failed(F::ConnectionReset));
    let malformed = failed(F::BodyMalformed);
    let head = "HTTP/1.1 200 OK\r\n";
    check(format!("{head}content-length: -1\r\n\r\n"), malformed, "HTTP/1.1").await;
    check(format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"), malformed, "HTTP/1.1").await;
    check(format!("{head}content-length: two\r\n\r\n{{}}"), malformed, "HTTP/1.1").await;
    for size in ["zz", "", "-5", "0x2", "fffffffffffffffff", "2 2", "ffffffffffffffff0"] {
        check(format!("{head}transfer-encoding: chunked\r\n\r\n{size}\r\n{{}}\r\n0\r\n\r\n"), malformed, "chunk").await;
    }
    // The size says two, and three come.
    check(format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{ }}\r\n0\r\n\r\n"), malformed, "chunk").await;
    // A length beside chunks is a trick to smuggle a second answer; chunks count (RFC 9112 §6.3).
    check(
        format!("{head}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        Outcome::Ok,
        "",
    )
    .await;
}

#[tokio::test]
async fn what_follows_an_answer_is_never_taken_for_the_next_one() {
    let smuggled = format!("{}HTTP/1.1 500 Smuggled\r\ncontent-length: 0\r\n\r\n", ok("{}"));
    for bytes in [smuggled, format!("{}garbage", ok("{}")), format!("{}{}", ok("{}"), "x".repeat(1 << 20))] {
        let server = WireServer::saying(bytes).await;
        let client = client_of(&at(server.url()));
        for _ in 0..4 {
            let report = tokio::time::timeout(NEVER, client.probe(false)).await.expect("it ends");
            assert_eq!((report.outcome, report.reused), (Outcome::Ok, false), "{report:?}");
        }
        assert_eq!(server.connections(), 4);
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
    check(format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{hints}{}", ok("{}")), Outcome::Ok, "").await;
    // Nobody asked to switch.
    let switched = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    check(switched, failed(F::ProtocolViolation), "101").await;
    check("HTTP/1.1 100 Continue\r\n\r\n", failed(F::TotalTimeout), "time limit").await;
}

#[tokio::test]
async fn older_and_other_forms_of_http() {
    // HTTP/1.0: the end of the connection ends the answer.
    let server = FakeServer::start(Behaviour::Raw(b"HTTP/1.0 200 OK\r\nserver: old\r\n\r\n{}".into())).await;
    let report = probe(server.url()).await;
    assert_eq!((report.outcome, report.response_bytes), (Outcome::Ok, 2), "{report:?}");
    let malformed = failed(F::BodyMalformed);
    check("HTTP/2.0 200 OK\r\n\r\n", malformed, "HTTP/1.1").await;
    check("ICY 200 OK\r\n\r\n", malformed, "HTTP/1.1").await;
    check("HTTP/1.1 200 OK\r\nbad header\r\n\r\n", malformed, "HTTP/1.1").await;
    check("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", malformed, "HTTP/1.1").await;
    check("HTTP/1.1 99999 OK\r\n\r\n", malformed, "HTTP/1.1").await;
    check("SSH-2.0-OpenSSH_9.2p1 Debian\r\n", malformed, "speaks SSH").await;
    // An alert of TLS ("unexpected message"): a port of https that was asked by http.
    check(b"\x15\x03\x01\x00\x02\x02\x0a".to_vec(), malformed, "https://").await;
    // What a gRPC server says first: SETTINGS, and GOAWAY with "protocol error".
    let settings = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x3f\xff\xff".to_vec();
    let goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01".to_vec();
    check(settings.clone(), malformed, "HTTP/2").await;
    check(goaway.clone(), malformed, "HTTP/2").await;
    check([settings, goaway].concat(), malformed, "HTTP/2").await;
}

#[tokio::test]
async fn an_answer_before_the_requests_end_counts_and_does_not_block_the_next_probe() {
    let server = WireServer::start(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await?;
        // The rest of the request is never read, and the connection not closed.
        std::future::pending().await
    })
    .await;
    let mut rows = number_table(&["a"], &[&[1.0]]);
    rows.rows[0][0] = pilothouse_domain::Cell::Text("x".repeat(32 << 20));
    let target = Target { probe_input: Some(rows), ..target(server.url(), Protocol::Mlflow) };
    let client = client_of(&target);
    for _ in 0..2 {
        let report = tokio::time::timeout(NEVER, client.probe(false)).await.expect("it ends");
        assert_eq!((report.outcome, report.http_status), (failed(F::RequestRejected), Some(413)), "{report:?}");
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_reset_in_the_body_is_one() {
    let head = Reply::json(200, "");
    let reset = Behaviour::Stream(head, vec![(Duration::ZERO, b"{\"a".to_vec())], StreamEnd::Reset);
    let server = FakeServer::start(reset).await;
    let report = probe(server.url()).await;
    assert_eq!((report.outcome, report.http_status), (failed(F::ConnectionReset), Some(200)), "{report:?}");
}

#[tokio::test]
async fn connections_closed_at_random_are_no_failures() {
    // Each second, third or fifth answer ends its connection, with and without having said so.
    let step = |at: usize| match at % 5 {
        1 | 3 => Reply::json(200, "{}").then_close(),
        4 => Reply::json(200, "{}").with_header("connection", "close").then_close(),
        _ => Reply::json(200, "{}"),
    };
    let server = FakeServer::start(Behaviour::Script((0..60).map(|at| step(at * at).into()).collect())).await;
    let client = client_of(&ready_target(&server));
    for at in 0..60 {
        assert_eq!(client.probe(false).await.outcome, Outcome::Ok, "probe {at}");
    }
    assert_eq!(server.requests().len(), 60, "no request was made twice");
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let circle = [("/v2/models/m/ready", Behaviour::redirect(302, "/b")), ("/b", Behaviour::redirect(302, "/b"))];
    let server = FakeServer::start(Behaviour::routes(circle)).await;
    let report = probe(server.url()).await;
    assert_eq!((report.outcome, server.requests().len()), (failed(F::RedirectRefused), 4), "{report:?}");
    assert!(report.detail.unwrap().contains("more than 3 redirects"));
}

#[tokio::test]
async fn no_redirect_leads_from_https_to_http() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plain = FakeServer::start(Behaviour::status(200, "")).await;
    let to_plain = Behaviour::redirect(307, plain.url().as_str());
    let server = FakeServer::start_tls(to_plain, &authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let mut target = at(server.url());
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    target.tls.ca_file = Some(file);
    for credential in [Credential::None, Credential::Bearer("marker-secret-2207".into())] {
        let report = client_with(&target, &quick_probe_config(), credential).probe(false).await;
        assert_eq!(report.outcome, failed(F::RedirectRefused), "{report:?}");
        assert!(report.detail.unwrap().contains("from https to unprotected"));
    }
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn a_server_on_ipv6_alone_is_reached() {
    let serve = |mut stream: tokio::net::TcpStream, _| async move {
        loop {
            read_head(&mut stream).await?;
            stream.write_all(ok("{}").as_bytes()).await?;
        }
    };
    let Ok(server) = WireServer::start_ipv6(serve).await else {
        // This machine has no IPv6: then the address itself cannot be reached, and that is said.
        let report = probe(&"http://[::1]:9/".parse().unwrap()).await;
        assert_ne!(report.outcome, Outcome::Ok);
        return;
    };
    let report = probe(server.url()).await;
    assert_eq!((report.outcome, reached(&report.phases).as_str()), (Outcome::Ok, "dcswr"), "{report:?}");
}

#[tokio::test]
async fn bodies_that_are_no_predictions_say_what_is_wrong() {
    let nested = format!(r#"{{"predictions":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (reply, reason, detail) in [
        (Reply::bytes(200, vec![0xff, 0xfe, b'{', 0x80]), F::BodyMalformed, "not JSON"),
        (Reply::json(200, "{\"predictions\": [\"\u{0}\"]}"), F::BodyMalformed, "not JSON"),
        (Reply::bytes(200, b"{\"predictions\": [\"\xff\"]}".to_vec()), F::BodyMalformed, "UTF-8"),
        (Reply::json(200, "{\"predictions\": [1"), F::BodyMalformed, "ends too early"),
        (Reply::json(200, "{\"predictions\": [1]} trailing"), F::BodyMalformed, "not JSON"),
        (Reply::json(200, ""), F::BodyMalformed, "it is empty"),
        (Reply::json(200, &nested), F::BodyMalformed, "nested"),
        (
            Reply::bytes(200, b"<html>Sign in</html>".to_vec()).with_header("content-type", "text/html"),
            F::BodyMalformed,
            "<html>",
        ),
        (Reply::json(200, "[1]"), F::ProtocolViolation, "not an object"),
        (Reply::json(200, r#"{"predictions": [1, 2]}"#), F::WrongShape, "1 rows were sent and 2"),
        (Reply::json(200, r#"{"predictions": [NaN]}"#), F::NotFinite, "row 1"),
        (Reply::json(200, r#"{"predictions": [-Infinity]}"#), F::NotFinite, "row 1"),
        (Reply::json(200, r#"{"predictions": [1e999]}"#), F::BodyMalformed, "number"),
    ] {
        let server = FakeServer::start(reply.clone()).await;
        let rows = number_table(&["a"], &[&[1.0]]);
        let target = Target { probe_input: Some(rows), ..target(server.url(), Protocol::Mlflow) };
        let report = client_of(&target).probe(false).await;
        assert_eq!(report.outcome, failed(reason), "{reply:?}: {report:?}");
        let said = report.detail.unwrap();
        assert!(said.contains(detail) && said.chars().count() <= 300, "{said}");
    }
    // What the content type says is not trusted: a server that calls its JSON a text is understood.
    let text = Reply::bytes(200, br#"{"predictions": [1]}"#.to_vec()).with_header("content-type", "text/plain");
    let server = FakeServer::start(text).await;
    let target =
        Target { probe_input: Some(number_table(&["a"], &[&[1.0]])), ..target(server.url(), Protocol::Mlflow) };
    assert_eq!(client_of(&target).probe(false).await.outcome, Outcome::Ok);
}
