//! Stores in temporary folders and records to put into them.

use pilothouse_domain::endpoint::{ProbeConfig, Target};
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{
    Endpoint, EndpointId, Environment, Outcome, Phases, PlanId, Probe, Protocol, RollbackPlan, RollbackRun, RunId,
    RunState, TimestampMs,
};
use tempfile::TempDir;
use url::Url;

use crate::{OpenOptions, Store};

/// Monday, 2026-01-05T00:00:00Z.
pub(crate) const MONDAY: TimestampMs = TimestampMs(1_767_571_200_000);
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// An empty store; the folder goes when the value goes.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).unwrap();
    (folder, store)
}

pub(crate) fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        id: EndpointId(0),
        name: name.to_owned(),
        environment: Environment("staging".to_owned()),
        target: Target {
            model: Some("credit-risk".to_owned()),
            auth: pilothouse_domain::Auth::Bearer { secret: "credit-risk token".to_owned() },
            ..Target::new(Url::parse("http://127.0.0.1:8080/").unwrap(), Protocol::OpenInference)
        },
        probe: ProbeConfig::default(),
        evaluation: None,
        control_plane: None,
        metrics: None,
        paused: false,
        created: MONDAY,
        revision: 0,
    }
}

pub(crate) fn probe(endpoint: EndpointId, due: TimestampMs, total_us: u32) -> Probe {
    Probe {
        endpoint,
        due,
        late_us: 12,
        outcome: Outcome::Ok,
        http_status: Some(200),
        version: Some("7".into()),
        phases: Phases { send: Some(20), wait: Some(total_us / 2), receive: Some(30), ..Phases::default() },
        total_us: Some(total_us),
        reused: true,
        response_bytes: 420,
        detail: None,
        generation: None,
    }
}

pub(crate) fn samples(store: &Store, endpoint: EndpointId) -> Vec<Probe> {
    let mut samples = Vec::new();
    store
        .read_samples(endpoint, TimestampMs(i64::MIN), TimestampMs(i64::MAX), &mut |probe| samples.push(probe.clone()))
        .unwrap();
    samples
}

pub(crate) fn plan(id: &str, endpoint: EndpointId) -> RollbackPlan {
    RollbackPlan {
        id: PlanId(id.to_owned()),
        endpoint,
        created: MONDAY,
        from: Some("7".into()),
        to: "6".into(),
        calls: Vec::new(),
        follows: Follows::Yes,
    }
}

pub(crate) fn run(id: &str, plan: RollbackPlan) -> RollbackRun {
    RollbackRun {
        id: RunId(id.to_owned()),
        plan,
        who: "ada".to_owned(),
        reason: "accuracy fell".to_owned(),
        started: MONDAY,
        finished: None,
        state: RunState::Pending,
        preflight: Vec::new(),
        steps: Vec::new(),
        verdict: None,
        evidence: serde_json::json!({}),
    }
}
