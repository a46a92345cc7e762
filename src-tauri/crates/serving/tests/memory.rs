//! How much memory one probe takes, whatever the server sends. A program of its own, since every allocation is counted.

use std::time::Duration;

use peak_alloc::PeakAlloc;
use pilothouse_domain::{Outcome, ProbeConfig, Protocol, Target, TargetFailure as F};
use pilothouse_serving::{Credential, ModelClient, Transport, TransportConfig};
use pilothouse_testkit::{Reply, WireServer, number_table, prompt_set, quick_probe_config, target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The limit of an answer's body in these probes.
const BODY_MAX: usize = 256 * 1024;
/// What a probe may hold at its peak beyond what it held before, in bodies: its own while the buffer grows (twice), the pieces in
/// flight at both ends, the largest head, and the connection's own buffers.
const PEAK_FACTOR: usize = 6;

/// On a busy machine many small pieces may take longer than the probe: then its time ends it.
const ENDLESS: [F; 2] = [F::ResponseTooLarge, F::TotalTimeout];

async fn check(server: &WireServer, protocol: Protocol, expect: &[F]) {
    check_within(server, protocol, expect, BODY_MAX).await;
}

async fn check_within(server: &WireServer, protocol: Protocol, expect: &[F], body_max: usize) {
    let mut target: Target = target(server.url(), protocol);
    target.model = Some("m".into());
    if protocol.generates_text() {
        target.prompts = Some(prompt_set(&["hello"], &[]));
    } else {
        target.probe_input = Some(number_table(&["a"], &[&[1.0]]));
    }
    let transport = Transport::new(TransportConfig { system_proxy: false });
    let probe = ProbeConfig { max_response_bytes: body_max as u32, ..quick_probe_config() };
    let client = ModelClient::new(transport, &target, &probe, Credential::None, None).expect("the target is usable");
    // What is made once for the process is not counted.
    client.probe(true).await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let report = tokio::time::timeout(Duration::from_mins(1), client.probe(true)).await.expect("a probe ends");
    let peak = MEMORY.peak_usage() - before;
    assert!(expect.iter().any(|reason| report.outcome == Outcome::TargetFailed(*reason)), "{report:?}");
    assert!(peak <= PEAK_FACTOR * body_max, "{protocol:?}: one probe held {peak} bytes at its peak: {report:?}");
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

async fn answering(body: String) -> WireServer {
    WireServer::saying(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await
}

#[tokio::test]
async fn one_probe_takes_little_memory_whatever_it_is_sent() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let spaces = vec![b' '; 64 * 1024];
    let server = WireServer::endless(head, spaces.clone()).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;
    let server = WireServer::endless(chunked, chunk(&spaces)).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;
    // One byte in a chunk: as much framing as can be.
    let server = WireServer::endless(chunked, chunk(b" ").repeat(1_000)).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;
    let server = WireServer::endless("HTTP/1.1 200 OK\r\n", "x: y\r\n".repeat(1_000)).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;
    let server = WireServer::endless("", "\r\n".repeat(1_000)).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;
    let server = WireServer::endless("", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000)).await;
    check(&server, Protocol::Mlflow, &ENDLESS).await;

    // A million zeros in a thousand bytes, again and again.
    let zeros = vec![b'0'; 1_000_000];
    for (name, packed) in [
        ("gzip", Reply::bytes(200, Vec::new()).with_gzip_body(&zeros).into_body()),
        ("deflate", Reply::bytes(200, Vec::new()).with_deflate_body(&zeros).into_body()),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {name}\r\n\r\n");
        let server = WireServer::endless(head, packed).await;
        check(&server, Protocol::Mlflow, &ENDLESS).await;
    }
    drop(zeros);

    // A list that opens a level with each byte.
    let nested = format!("{{\"predictions\":{}", "[".repeat(BODY_MAX - 100));
    check(&answering(nested).await, Protocol::Mlflow, &[F::BodyMalformed]).await;

    // As many values as fit into the largest answer that is read by default.
    for item in ["0,", "[],", "{},", "{\"\":0},"] {
        let body_max = ProbeConfig::default().max_response_bytes as usize;
        let values = format!("{{\"predictions\":[{}0]}}", item.repeat((body_max - 100) / item.len()));
        check_within(&answering(values).await, Protocol::Mlflow, &ENDLESS, body_max).await;
    }

    // Streams: one line without an end, and events without end that say nothing or little.
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    for piece in ["data: ".to_owned() + &"x".repeat(1_000), ": \n\n".repeat(1_000), "data\n".repeat(1_000)] {
        let server = WireServer::endless(stream, piece).await;
        check(&server, Protocol::OpenAi, &ENDLESS).await;
    }
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let server = WireServer::endless(stream, event.repeat(500)).await;
    check(&server, Protocol::OpenAi, &ENDLESS).await;
}
