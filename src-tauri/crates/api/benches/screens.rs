//! What the window waits for: `cargo bench --bench screens`. Each figure is a whole command, from its request to its answer.
//!
//! With `PILOTHOUSE_BENCH_DATABASE` it writes a database of `PILOTHOUSE_BENCH_ENDPOINTS` endpoints to that path instead and
//! ends; the benchmark of the window opens it.

#[expect(dead_code, reason = "shared with the store's benchmarks, which use more of it")]
#[path = "../../store/benches/fixture/mod.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use divan::Bencher;
use fixture::{INTERVAL_MS, add_endpoints, fill_from};
use pilothouse_api::Api;
use pilothouse_api::types::{ChartKind, ChartRequest, ChartTheme, EndpointRequest, FleetRequest, ImageFormat};
use pilothouse_domain::{EndpointId, TimestampMs};
use pilothouse_secrets::Secrets;
use pilothouse_store::{OpenOptions, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DAY_MS: i64 = 86_400_000;

fn main() {
    match std::env::var_os("PILOTHOUSE_BENCH_DATABASE") {
        Some(path) => {
            let endpoints = std::env::var("PILOTHOUSE_BENCH_ENDPOINTS").ok().and_then(|number| number.parse().ok());
            fill_database(Path::new(&path), endpoints.unwrap_or(100), 9_000_000);
        }
        None => divan::main(),
    }
}

/// A file of endpoints at 15 s whose history of `span_ms` ends now. They are paused, so that nothing is probed while the
/// screens are measured.
fn fill_database(path: &Path, endpoints: usize, span_ms: i64) -> Vec<EndpointId> {
    let store = Store::open(path, &OpenOptions::default()).expect("a new file");
    let ids = add_endpoints(&store, endpoints);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    let start = TimestampMs(now.as_millis() as i64 - span_ms);
    fill_from(&store, &ids, start, span_ms / INTERVAL_MS, INTERVAL_MS);
    for endpoint in store.endpoints().expect("the endpoints") {
        store.pause_endpoint(endpoint.id, true).expect("an endpoint is paused");
        let source = pilothouse_domain::version::VersionSource::Endpoint;
        store.observe_version(endpoint.id, &"7".into(), start, source).expect("a version is stored");
    }
    store.close().expect("the file is closed");
    ids
}

struct Opened {
    api: Api,
    endpoints: Vec<EndpointId>,
    runtime: Runtime,
    path: PathBuf,
    _folder: TempDir,
}

fn opened(endpoints: usize, span_ms: i64) -> Opened {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pilothouse.db");
    let endpoints = fill_database(&path, endpoints, span_ms);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    let api = Api::open(&path, Secrets::memory(), None).expect("the file is opened");
    runtime.block_on(api.watch()).expect("the endpoints are watched");
    Opened { api, endpoints, runtime, path, _folder: folder }
}

/// One endpoint, 30 days at 15 s: 172,800 samples.
fn month() -> &'static Opened {
    static MONTH: OnceLock<Opened> = OnceLock::new();
    MONTH.get_or_init(|| opened(1, 30 * DAY_MS))
}

/// 1,000 endpoints, two hours and a half at 15 s: more than the screen looks at.
fn fleet() -> &'static Opened {
    static FLEET: OnceLock<Opened> = OnceLock::new();
    FLEET.get_or_init(|| opened(1_000, 9_000_000))
}

/// The screen as it is asked for again and again while it is open: what a second's 67 probes changed.
#[divan::bench]
fn fleet_of_1000_endpoints_again(bencher: Bencher<'_, '_>) {
    let Opened { api, runtime, endpoints, .. } = fleet();
    let ask = |since| runtime.block_on(api.fleet(FleetRequest { since })).expect("the fleet");
    let mut since = Some(ask(None).revision);
    let mut seconds = endpoints.chunks(67).cycle();
    bencher
        .with_inputs(|| {
            let probed = seconds.next().expect("a cycle has no end");
            fill_from(api.engine().store(), probed, api.engine().now(), 1, 1);
        })
        .bench_local_values(|()| {
            let changes = ask(since);
            since = Some(changes.revision);
            changes
        });
}

/// The whole screen, as a window asks for it that was just loaded again.
#[divan::bench]
fn fleet_of_1000_endpoints_whole(bencher: Bencher<'_, '_>) {
    let Opened { api, runtime, .. } = fleet();
    bencher.bench_local(|| runtime.block_on(api.fleet(FleetRequest::default())));
}

/// The screen asked for by a program that has just opened the file.
#[divan::bench(sample_count = 20)]
fn fleet_of_1000_endpoints_first(bencher: Bencher<'_, '_>) {
    let Opened { runtime, path, .. } = fleet();
    let open = || {
        let _inside = runtime.enter();
        Api::open(path, Secrets::memory(), None).expect("the file is opened")
    };
    bencher.with_inputs(open).bench_local_refs(|api| runtime.block_on(api.fleet(FleetRequest::default())));
}

/// The header of the Endpoint screen in the same fleet.
#[divan::bench]
fn endpoint_of_1000(bencher: Bencher<'_, '_>) {
    let Opened { api, runtime, endpoints, .. } = fleet();
    bencher.bench_local(|| runtime.block_on(api.endpoint(EndpointRequest { id: endpoints[500].0 })));
}

#[divan::bench(args = [30, 7, 1])]
fn latency_chart_of_days(bencher: Bencher<'_, '_>, days: i64) {
    chart(bencher, ChartKind::Latency, days);
}

#[divan::bench(args = [30])]
fn availability_chart_of_days(bencher: Bencher<'_, '_>, days: i64) {
    chart(bencher, ChartKind::Availability, days);
}

/// From the query to the SVG, 1,000 pixels wide.
fn chart(bencher: Bencher<'_, '_>, kind: ChartKind, days: i64) {
    let Opened { api, runtime, endpoints, .. } = month();
    let to_ms = api.engine().now().0;
    let colour = |text: &str| text.to_owned();
    let theme = ChartTheme {
        ink: colour("#18202b"),
        muted: colour("#6b7685"),
        grid: colour("#eceff3"),
        accent: colour("#1f6fd1"),
        ok: colour("#1c8a55"),
        warn: colour("#a96a00"),
        bad: colour("#c8322f"),
        unknown: colour("#7b8795"),
        band: colour("#1f6fd1"),
        background: None,
    };
    let request = || ChartRequest {
        id: endpoints[0].0,
        kind,
        quantity: None,
        from_ms: to_ms - days * DAY_MS,
        to_ms,
        width: 1_000,
        height: 220,
        scale: 1.0,
        theme: theme.clone(),
        format: ImageFormat::Svg,
        time_zone: "Europe/Zurich".to_owned(),
    };
    runtime.block_on(api.chart(request())).expect("a chart");
    bencher.bench_local(|| runtime.block_on(api.chart(request())));
}
