//! What watching a fleet costs this process: `cargo bench --bench probing`.
//!
//! The whole engine is measured (scheduler, connections, checks, health, storage with its roll-ups), with the processor
//! time of all its threads; the targets run in a child process, so that theirs is not counted. Every case has a process of
//! its own, so that its memory is not another one's. This program is all three: a variable says which.

#[cfg(unix)]
mod unix {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    use pilothouse_domain::endpoint::Tls;
    use pilothouse_domain::{Endpoint, ProbeConfig, Target};
    use pilothouse_engine::{CollectReport, Engine, SystemClock};
    use pilothouse_secrets::Secrets;
    use pilothouse_store::{OpenOptions, Store};
    use pilothouse_testkit::{Authority, Behaviour, FakeServer, Validity, endpoint, number_table};
    use rustix::time::{ClockId, clock_gettime};
    use url::Url;

    /// Says which part of the benchmark this process is.
    const ROLE: &str = "PILOTHOUSE_BENCH_ROLE";
    const INTERVAL_MS: u32 = 15_000;
    /// Two intervals: by then every endpoint has its metadata, its connection and its place in the interval.
    const SETTLE: Duration = Duration::from_secs(30);
    const MEASURE: Duration = Duration::from_secs(30);

    struct Case {
        name: &'static str,
        endpoints: u32,
        fresh_connection_every: u32,
        tls: bool,
    }

    const CASES: [Case; 4] = [
        Case { name: "100 endpoints", endpoints: 100, fresh_connection_every: 10, tls: false },
        Case { name: "1,000 endpoints, keep-alive", endpoints: 1_000, fresh_connection_every: 1_000, tls: false },
        Case { name: "1,000 endpoints, fresh connections", endpoints: 1_000, fresh_connection_every: 1, tls: false },
        Case { name: "1,000 endpoints, fresh TLS connections", endpoints: 1_000, fresh_connection_every: 1, tls: true },
    ];

    pub(crate) fn main() {
        match std::env::var(ROLE).as_deref() {
            Ok("targets") => serve(std::env::var_os("PILOTHOUSE_BENCH_TLS").is_some()),
            Ok(number) => measure(&CASES[number.parse::<usize>().expect("the number of a case")]),
            // `cargo test --benches` only wants to know that it starts.
            Err(_) if !std::env::args().any(|argument| argument == "--bench") => {}
            Err(_) => {
                for (number, case) in CASES.iter().enumerate() {
                    let status = this_program(&number.to_string()).status().expect("this program can be started");
                    assert!(status.success(), "{}: {status}", case.name);
                }
            }
        }
    }

    fn this_program(role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.env(ROLE, role);
        command
    }

    /// One small model server for all endpoints, until standard input is closed. Says its address and, with TLS, the
    /// authority that signed for it.
    #[expect(clippy::print_stdout, reason = "tells the parent process where it serves")]
    fn serve(tls: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async {
            let answer = r#"{"model_name":"m","model_version":"2","outputs":[{"name":"p","shape":[1,2],"datatype":"FP64","data":[0.25,0.75]}]}"#;
            let metadata = r#"{"name":"m","platform":"p","inputs":[{"name":"input","datatype":"FP64","shape":[-1,2]}],"outputs":[]}"#;
            let behaviour = Behaviour::routes([
                ("/v2/models/m", Behaviour::json(metadata)),
                ("/v2/models/m/infer", Behaviour::json(answer)),
            ]);
            let authority = Authority::new();
            let server = if tls {
                FakeServer::start_tls(behaviour, &authority.server(&["localhost"], Validity::Valid)).await
            } else {
                FakeServer::start(behaviour).await
            };
            println!("{}", if tls { server.url_as("localhost") } else { server.url().clone() });
            print!("{}", authority.pem());
            println!("end");
            std::io::stdout().flush().expect("the parent reads");
            let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
            let _ = closed.await;
        });
    }

    /// The child process, ended when this is dropped.
    struct Targets(Child);

    impl Drop for Targets {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn targets(tls: bool, folder: &Path) -> (Targets, Url, Tls) {
        let mut command = this_program("targets");
        if tls {
            command.env("PILOTHOUSE_BENCH_TLS", "1");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the targets start");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let url = lines.next().expect("the targets say where they are").parse().expect("a URL");
        let pem: String = lines.take_while(|line| line != "end").map(|line| line + "\n").collect();
        let file = folder.join("authority.pem");
        std::fs::write(&file, pem).expect("the authority is written");
        let settings = Tls { ca_file: tls.then_some(file), ..Tls::default() };
        (Targets(child), url, settings)
    }

    fn watched(case: &Case, number: u32, url: &Url, tls: &Tls) -> Endpoint {
        let base = endpoint(&format!("endpoint {number:04}"), url);
        let target = Target {
            model: Some("m".to_owned()),
            probe_input: Some(number_table(&["a", "b"], &[&[1.0, 2.0]])),
            prompts: None,
            tls: tls.clone(),
            ..base.target
        };
        let fresh_connection_every = case.fresh_connection_every;
        let probe = ProbeConfig { interval_ms: INTERVAL_MS, fresh_connection_every, ..ProbeConfig::default() };
        Endpoint { target, probe, ..base }
    }

    /// Processor time of this process so far, user and system.
    fn cpu() -> Duration {
        Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time")
    }

    /// Resident memory of this process in MiB, where the system tells it.
    fn resident_mib() -> Option<f64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1_024.0)
    }

    #[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
    fn measure(case: &Case) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_targets, url, tls) = targets(case.tls, folder.path());
        let database = folder.path().join("pilothouse.db");
        let store = Store::open(&database, &OpenOptions::default()).expect("a new file");
        for number in 0..case.endpoints {
            store.add_endpoint(&watched(case, number, &url, &tls)).expect("an endpoint is stored");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async {
            let engine = Engine::new(store, &database, Secrets::memory(), Arc::new(SystemClock::default()));
            let engine = engine.expect("an engine");
            assert!(engine.watch().await.expect("the engine watches"));
            tokio::time::sleep(SETTLE).await;
            let (before, cpu_before, from) = (engine.report(), cpu(), engine.now());
            tokio::time::sleep(MEASURE).await;
            let (after, spent, to) = (engine.report(), cpu().saturating_sub(cpu_before), engine.now());
            let resident = resident_mib();
            engine.store().flush().expect("the probes are stored");
            let CollectReport { probes, ok, late_ms_p99, .. } = after;
            let n = probes - before.probes;
            assert_eq!((ok - before.ok, n > 0), (n, true), "every target answers");
            let per_thousand = spent.as_secs_f64() / n as f64 * 1_000.0;
            println!("result: {}: CPU for 1,000 probes = {per_thousand:.3} s", case.name);
            println!("result: {}: probes per CPU-second = {:.0}", case.name, 1_000.0 / per_thousand);
            if let Some(late) = late_ms_p99 {
                println!("result: {}: start lateness p99 = {late:.1} ms", case.name);
            }
            let summaries = engine.store().fleet_summaries(from, to).expect("what was stored");
            let mut medians: Vec<f64> = summaries.values().filter_map(|summary| summary.p50_us).collect();
            medians.sort_by(f64::total_cmp);
            if let Some(median) = medians.get(medians.len() / 2) {
                println!("result: {}: recorded latency p50 = {:.2} ms", case.name, median / 1_000.0);
            }
            if let Some(mib) = resident {
                println!("result: {}: resident memory = {mib:.1} MiB", case.name);
            }
            engine.stop().await;
        });
    }
}

fn main() {
    #[cfg(unix)]
    unix::main();
}
