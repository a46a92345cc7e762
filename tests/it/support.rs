//! What the tests of the whole engine share: a database of their own, drafts, a golden set, waiting with a bound.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuthDraft, ControlPlaneDraft, DetectRequest, EndpointAddRequest, EndpointDraft, EndpointRequest, FleetRequest,
    FleetRow, GoldenSetImport, RangeRequest, RollbackRun, RollbackStatusRequest, RunState,
};
use pilothouse_secrets::Secrets;

/// How long the engine may take to find something out. Two cores may be busy with other servers.
pub(crate) const LATER: Duration = Duration::from_mins(2);
/// How long something may take that waits for a Python server to start again.
pub(crate) const RESTART: Duration = Duration::from_mins(5);

/// The command surface on a database, with secrets that stay in memory.
pub(crate) fn open(database: &Path) -> Api {
    Api::open(database, Secrets::memory(), None).unwrap()
}

/// A client for what a test itself asks of a server.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Looks again and again until `look` finds something; panics after `limit`.
pub(crate) async fn until<T>(what: &str, limit: Duration, look: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {} s in vain until {what}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks what stands behind a URL.
pub(crate) fn detect_request(url: &str, auth: AuthDraft) -> DetectRequest {
    DetectRequest::new(url.to_owned(), auth)
}

/// A draft that is checked every second and evaluated every five, in `staging`.
pub(crate) fn draft(name: &str, url: &str, protocol: &str) -> EndpointDraft {
    EndpointDraft {
        name: name.into(),
        environment: "staging".into(),
        url: url.into(),
        protocol: protocol.into(),
        model: None,
        model_version: None,
        management_url: None,
        management_auth: None,
        payload: "auto".into(),
        interval_ms: 1_000,
        degraded_above_ms: None,
        confirm_after: 2,
        recover_after: 2,
        total_timeout_ms: 10_000,
        auth: AuthDraft::None,
        ca_file: None,
        client_certificate_file: None,
        client_key_secret: None,
        network: pilothouse_api::types::NetworkDraft::System,
        json: None,
        probe_rows: None,
        prompts: None,
        control_plane: None,
        metrics: None,
        golden_set: None,
        evaluation_interval_ms: 5_000,
    }
}

/// An MLflow registry as control plane.
pub(crate) fn mlflow_registry(url: &str, reload: Option<pilothouse_api::types::ReloadDraft>) -> ControlPlaneDraft {
    ControlPlaneDraft::Mlflow {
        url: url.into(),
        model: "bc".into(),
        alias: "champion".into(),
        auth: AuthDraft::None,
        reload,
    }
}

/// Imports every fourth row of the breast cancer data as the golden set `tumours`. The models of the real servers name
/// the same features their own way.
pub(crate) async fn import_tumours(api: &Api, features: Option<&[String]>) {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/data/breast_cancer.csv");
    let data = std::fs::read_to_string(data).unwrap();
    let (header, rows) = data.split_once('\n').unwrap();
    let header = features.map_or_else(|| header.to_owned(), |names| format!("{},target", names.join(",")));
    let rows: Vec<&str> = rows.lines().step_by(4).collect();
    let request = GoldenSetImport {
        name: "tumours".into(),
        text: format!("{header}\n{}\n", rows.join("\n")),
        label: "target".into(),
        task: "binary".into(),
        positive: "1".into(),
        source: "breast cancer, UCI".into(),
    };
    let summary = api.golden_set_import(request).await.unwrap();
    assert_eq!((summary.n as usize, summary.task.as_str()), (rows.len(), "binary"));
}

/// Adds an endpoint and gives its id.
pub(crate) async fn add(api: &Api, draft: EndpointDraft) -> i64 {
    api.endpoint_add(EndpointAddRequest { draft }).await.unwrap().id
}

/// An endpoint's row on the Fleet screen.
pub(crate) async fn row(api: &Api, id: i64) -> FleetRow {
    let fleet = api.fleet(FleetRequest::default()).await.unwrap();
    fleet.endpoints.into_iter().find(|row| row.id == id).unwrap()
}

/// Waits until an endpoint's row is as wanted.
pub(crate) async fn until_row(api: &Api, id: i64, what: &str, wanted: impl Fn(&FleetRow) -> bool) -> FleetRow {
    let started = Instant::now();
    loop {
        let row = row(api, id).await;
        if wanted(&row) {
            return row;
        }
        assert!(started.elapsed() < RESTART, "waited in vain until {what}; the row is {:#?}", summary(&row));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is of interest in a row when a test fails.
fn summary(row: &FleetRow) -> impl std::fmt::Debug + '_ {
    (row.health, &row.reason, &row.version, &row.quality, &row.quality_change, row.beats.last())
}

/// Everything there is, as a range.
pub(crate) fn always(id: i64) -> RangeRequest {
    RangeRequest { id, from_ms: 0, to_ms: i64::MAX / 4 }
}

/// Waits until a rollback is over.
pub(crate) async fn until_finished(api: &Api, run: &str) -> RollbackRun {
    let finished = async || {
        let run = api.rollback_status(RollbackStatusRequest { run_id: run.to_owned() }).await.unwrap();
        (run.state == RunState::Finished).then_some(run)
    };
    until("the rollback is over", RESTART, finished).await
}

/// A request that names an endpoint.
pub(crate) const fn of(id: i64) -> EndpointRequest {
    EndpointRequest { id }
}
