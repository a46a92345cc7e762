//! What the screens cost: `cargo bench -p pilothouse-store`.

mod fixture;

use std::sync::OnceLock;

use divan::{Bencher, black_box};
use fixture::{INTERVAL_MS, START, add_endpoints, fill, fill_from};
use pilothouse_domain::EndpointId;
use pilothouse_store::{FleetCache, OpenOptions, Store};
use tempfile::TempDir;

const DAY_MS: i64 = 86_400_000;

struct Filled {
    store: Store,
    endpoints: Vec<EndpointId>,
    _folder: TempDir,
}

fn filled(endpoints: usize, days: i64, interval_ms: i64) -> Filled {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).expect("a new file");
    let endpoints = add_endpoints(&store, endpoints);
    fill(&store, &endpoints, days * DAY_MS / interval_ms, interval_ms);
    Filled { store, endpoints, _folder: folder }
}

/// One endpoint, 30 days at 15 s: 172,800 samples.
fn month() -> &'static Filled {
    static MONTH: OnceLock<Filled> = OnceLock::new();
    MONTH.get_or_init(|| filled(1, 30, INTERVAL_MS))
}

/// 1,000 endpoints with two days each, at two minutes so that filling does not take longer than the benchmark.
fn fleet() -> &'static Filled {
    static FLEET: OnceLock<Filled> = OnceLock::new();
    FLEET.get_or_init(|| filled(1_000, 2, 120_000))
}

/// 1,000 endpoints with two hours and a half at 15 s: more than the fleet screen looks at.
fn watched_fleet() -> &'static Filled {
    static FLEET: OnceLock<Filled> = OnceLock::new();
    FLEET.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).expect("a new file");
        let endpoints = add_endpoints(&store, 1_000);
        fill(&store, &endpoints, WATCHED_MS / INTERVAL_MS, INTERVAL_MS);
        Filled { store, endpoints, _folder: folder }
    })
}

const WATCHED_MS: i64 = 9_000_000;

fn main() {
    divan::main();
    // Not when a test run only wants to know that it starts.
    if std::env::args().any(|argument| argument == "--bench") {
        print_bytes_per_sample();
    }
}

/// What a sample takes on the disk, in a file of ten endpoints with three days each; every tenth connection is fresh.
#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_bytes_per_sample() {
    let Filled { store, .. } = &filled(10, 3, INTERVAL_MS);
    let samples = (10 * 3 * DAY_MS / INTERVAL_MS) as f64;
    let size = store.storage_size().expect("the file is measured");
    let rollups = size.minutes + size.hours + size.days;
    println!("result: bytes per sample on disk, exact = {:.1} B", size.samples as f64 / samples);
    println!("result: bytes per sample on disk, roll-ups = {:.1} B", rollups as f64 / samples);
    println!("result: bytes per sample on disk, together = {:.1} B", (size.samples + rollups) as f64 / samples);
}

#[divan::bench(args = [30, 7, 1])]
fn history_of_days_at_1000_points(bencher: Bencher<'_, '_>, days: i64) {
    let Filled { store, endpoints, .. } = month();
    let to = START.plus_ms(30 * DAY_MS);
    bencher.bench(|| store.history(endpoints[0], to.plus_ms(-days * DAY_MS), to, black_box(1_000)));
}

#[divan::bench]
fn summary_of_a_day(bencher: Bencher<'_, '_>) {
    let Filled { store, endpoints, .. } = month();
    let from = START.plus_ms(12 * DAY_MS + 12_345_678);
    bencher.bench(|| store.summary(endpoints[0], black_box(from), from.plus_ms(DAY_MS)));
}

#[divan::bench]
fn last_52_beats_of_1000_endpoints(bencher: Bencher<'_, '_>) {
    let Filled { store, .. } = fleet();
    bencher.bench(|| store.recent(black_box(52)));
}

#[divan::bench]
fn a_days_summary_of_1000_endpoints(bencher: Bencher<'_, '_>) {
    let Filled { store, .. } = fleet();
    // As most days end: in the middle of one.
    let from = START.plus_ms(DAY_MS / 2 + 12_345);
    bencher.bench(|| store.fleet_summaries(black_box(from), from.plus_ms(DAY_MS)));
}

/// What the fleet screen asks at first, and again in each new minute.
#[divan::bench(sample_count = 20)]
fn fleet_of_1000_endpoints_first(bencher: Bencher<'_, '_>) {
    let Filled { store, .. } = watched_fleet();
    let now = START.plus_ms(WATCHED_MS);
    bencher
        .with_inputs(FleetCache::default)
        .bench_local_values(|mut cache| store.fleet(&mut cache, black_box(now), 52));
}

/// What it asks a second and 67 probes later.
#[divan::bench]
fn fleet_of_1000_endpoints_again(bencher: Bencher<'_, '_>) {
    let Filled { store, endpoints, .. } = watched_fleet();
    let now = START.plus_ms(WATCHED_MS);
    let mut cache = FleetCache::default();
    store.fleet(&mut cache, now, 52).expect("the fleet");
    let mut seconds = endpoints.chunks(67).cycle().enumerate();
    bencher
        .with_inputs(|| {
            let (second, probed) = seconds.next().expect("a cycle has no end");
            fill_from(store, probed, now.plus_ms(second as i64), 1, 1);
        })
        .bench_local_values(|()| store.fleet(&mut cache, black_box(now), 52));
}

/// One second of 1,000 endpoints at 15 s, committed.
#[divan::bench]
fn commit_of_67_probes(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).expect("a new file");
    let endpoints = add_endpoints(&store, 67);
    bencher.bench_local(|| fill(&store, &endpoints, 1, INTERVAL_MS));
}
