//! What one probe costs the prober: keep-alive, and with a fresh TCP connection each time.
//!
//! Divan's table is wall time against a small server on a thread of its own; the lines below it are CPU time of the
//! probing thread alone (Linux), which is what probing a fleet costs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;

use divan::Bencher;
use pilothouse_domain::{Outcome, ProbeConfig, Protocol, Target};
use pilothouse_serving::{Credential, ModelClient, Transport, TransportConfig};
use pilothouse_testkit::{number_table, target};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
    // Not when a test run only wants to know that it starts.
    if std::env::args().any(|argument| argument == "--bench") {
        print_cpu_table();
    }
}

/// A server that costs as little as possible: one thread per connection, one canned answer per request.
static SERVER: LazyLock<u16> = LazyLock::new(|| {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
});

fn answer(mut stream: TcpStream) {
    const BODY: &str = r#"{"model_name":"m","model_version":"2","outputs":[{"name":"p","shape":[1,2],"datatype":"FP64","data":[0.25,0.75]}]}"#;
    let reply =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    let mut buffer = [0; 16 * 1024];
    // A probe's request fits one read.
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) && stream.write_all(reply.as_bytes()).is_ok() {}
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

fn client() -> ModelClient {
    let url = format!("http://127.0.0.1:{}/", *SERVER).parse().expect("the URL is valid");
    let target = Target {
        model: Some("m".into()),
        probe_input: Some(number_table(&["a", "b"], &[&[1.0, 2.0]])),
        prompts: None,
        ..target(&url, Protocol::OpenInference)
    };
    let transport = Transport::new(TransportConfig { system_proxy: false });
    ModelClient::new(transport, &target, &ProbeConfig::default(), Credential::None, None).expect("the target is usable")
}

fn probe(runtime: &Runtime, client: &ModelClient, fresh: bool) {
    let report = runtime.block_on(client.probe(fresh));
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
}

#[divan::bench]
fn keep_alive(bencher: Bencher) {
    let (runtime, client) = (runtime(), client());
    bencher.bench_local(|| probe(&runtime, &client, false));
}

#[divan::bench]
fn fresh_connection(bencher: Bencher) {
    let (runtime, client) = (runtime(), client());
    bencher.bench_local(|| probe(&runtime, &client, true));
}

/// CPU time of this thread in nanoseconds, from the kernel's scheduler statistics.
fn thread_cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_cpu_table() {
    const PROBES: u32 = 5_000;
    for (name, fresh) in [("keep_alive", false), ("fresh_connection", true)] {
        let (runtime, client) = (runtime(), client());
        probe(&runtime, &client, fresh);
        let Some(before) = thread_cpu_ns() else { return };
        for _ in 0..PROBES {
            probe(&runtime, &client, fresh);
        }
        let Some(after) = thread_cpu_ns() else { return };
        let microseconds = (after - before) as f64 / f64::from(PROBES) / 1_000.0;
        println!("result: {name}: CPU of the client alone for one probe = {microseconds:.1} µs");
    }
}
