//! Kill -9 while writing. The test starts its own binary again as a child that writes and says what was acknowledged,
//! kills it in the middle, opens the file and compares.
//!
//! What must hold: the file is sound; every acknowledged durable write is there; of the probes only the last, unflushed
//! ones may miss.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic; clippy does not see that its helper functions belong to tests"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use pilothouse_domain::endpoint::{ProbeConfig, Target};
use pilothouse_domain::{AuditEntry, Endpoint, EndpointId, Environment, Outcome, Phases, Probe, Protocol, TimestampMs};
use pilothouse_store::{OpenOptions, Store};

const FOLDER: &str = "PILOTHOUSE_CRASH_TEST_FOLDER";
const ROUNDS: u64 = 8;
const MONDAY: i64 = 1_767_571_200_000;

fn probe(endpoint: EndpointId, number: i64) -> Probe {
    Probe {
        endpoint,
        due: TimestampMs(MONDAY + number),
        late_us: 0,
        outcome: Outcome::Ok,
        http_status: Some(200),
        version: Some(format!("{}", number % 7).as_str().into()),
        phases: Phases::default(),
        total_us: Some(1_000 + number as u32 % 500),
        reused: true,
        response_bytes: 100,
        detail: None,
        generation: None,
    }
}

fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        id: EndpointId(0),
        name: name.to_owned(),
        environment: Environment("staging".to_owned()),
        target: Target::new("http://127.0.0.1:1/".parse().unwrap(), Protocol::OpenInference),
        probe: ProbeConfig::default(),
        evaluation: None,
        control_plane: None,
        metrics: None,
        paused: false,
        created: TimestampMs(MONDAY),
        revision: 0,
    }
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("pilothouse.db"), &OpenOptions { batch_rows: 50, batch_ms: 20, ..OpenOptions::default() })
        .unwrap()
}

fn count_probes(store: &Store, endpoint: EndpointId) -> Vec<i64> {
    let mut numbers = Vec::new();
    let (from, to) = (TimestampMs(0), TimestampMs(i64::MAX));
    store.read_samples(endpoint, from, to, &mut |probe| numbers.push(probe.due.0 - MONDAY)).unwrap();
    numbers
}

/// Not a test of its own: the child of the test below, which writes until it is killed.
#[test]
fn child_writes_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let watched = store.endpoint_by_name("watched").unwrap().unwrap().id;
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| {
        writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
    };
    say(format!("\nready {}", std::process::id()));
    let first = count_probes(&store, watched).last().map_or(0, |last| last + 1);
    for number in first.. {
        store.append_probe(probe(watched, number)).unwrap();
        match number % 40 {
            7 => {
                store.flush().unwrap();
                say(format!("probe {number}"));
            }
            17 => {
                let name = format!("endpoint {number}");
                let id = store.add_endpoint(&endpoint(&name)).unwrap();
                // A durable write carries the probes before it.
                say(format!("endpoint {id}\nprobe {number}"));
            }
            27 => {
                let entry = AuditEntry {
                    id: 0,
                    at: TimestampMs(MONDAY + number),
                    who: "ada".to_owned(),
                    action: "test".to_owned(),
                    endpoint: None,
                    reason: number.to_string(),
                    before: serde_json::Value::Null,
                    after: serde_json::Value::Null,
                    evidence: serde_json::Value::Null,
                };
                let id = store.append_audit(&entry).unwrap();
                say(format!("audit {id}"));
            }
            37 => {
                store.set_setting("last", &number.into()).unwrap();
                say(format!("setting {number}"));
            }
            _ => {}
        }
    }
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let watched = store.add_endpoint(&endpoint("watched")).unwrap();
    store.close().unwrap();
    let (mut endpoints, mut audits) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different number of acknowledgements each round, so that the kill falls on another moment.
        let kill_after = 5 + (round * 2_654_435_761 % 60) as usize;
        let (mut acknowledged, mut last_probe, mut last_setting) = (0, None, None);
        let mut killed = false;
        // After the kill, the pipe still holds what was acknowledged before it.
        while let Some(Ok(line)) = lines.next() {
            let Some((what, number)) = line.split_once(' ').and_then(|(what, n)| Some((what, n.parse::<i64>().ok()?)))
            else {
                continue;
            };
            match what {
                "probe" => last_probe = Some(number),
                "endpoint" => endpoints.push(number),
                "audit" => audits = number,
                "setting" => last_setting = Some(number),
                _ => continue,
            }
            acknowledged += 1;
            if acknowledged >= kill_after && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "round {round}: the child ended by itself after {acknowledged} acknowledgements");

        let sound: String = rusqlite::Connection::open(folder.path().join("pilothouse.db"))
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "round {round}");
        let store = open(folder.path());
        let numbers = count_probes(&store, watched);
        assert_eq!(
            numbers,
            (0..numbers.len() as i64).collect::<Vec<_>>(),
            "round {round}: a probe in the middle misses"
        );
        let stored = numbers.last().copied();
        assert!(stored >= last_probe, "round {round}: {stored:?} stored, {last_probe:?} acknowledged");
        let known: Vec<_> = store.endpoints().unwrap().iter().map(|e| e.id.0).collect();
        assert!(endpoints.iter().all(|id| known.contains(id)), "round {round}: an endpoint misses");
        assert!(store.audit_entries(1, None).unwrap().first().map_or(0, |entry| entry.id) >= audits, "round {round}");
        let setting = store.setting("last").unwrap().and_then(|value| value.as_i64());
        assert!(setting >= last_setting, "round {round}: {setting:?} stored, {last_setting:?} acknowledged");
        // The rollups were written with their samples.
        let summed = store.history(watched, TimestampMs(MONDAY), TimestampMs(MONDAY + 86_400_000), 1).unwrap();
        assert_eq!(summed.buckets.iter().map(|b| b.n as usize).sum::<usize>(), numbers.len(), "round {round}");
        store.close().unwrap();
    }
    assert!(endpoints.len() > 8 && audits > 8, "the rounds were too short to show anything");
}
