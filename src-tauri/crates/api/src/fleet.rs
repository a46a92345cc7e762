//! The Fleet screen.

use pilothouse_domain::{Endpoint, EndpointId, Outcome, TimestampMs, VersionId};
use pilothouse_store::{Beat, Store, Summary};

use crate::types::{self, BeatOutcome, Empty, Fleet, FleetRow};
use crate::{Api, ApiError, convert};

/// Checks in a heartbeat bar.
const BEATS: u32 = 52;
/// The window of the numbers on the Fleet screen.
const WINDOW_MS: i64 = 3_600_000;

/// What the store says of all endpoints at once.
struct Facts {
    beats: std::collections::HashMap<EndpointId, Vec<Beat>>,
    hour: std::collections::HashMap<EndpointId, Summary>,
    hour_before: std::collections::HashMap<EndpointId, Summary>,
    versions: std::collections::HashMap<EndpointId, pilothouse_domain::LiveVersion>,
    runs: Vec<pilothouse_domain::RollbackRun>,
}

impl Facts {
    fn read(store: &Store, now: TimestampMs) -> Result<Self, pilothouse_store::StoreError> {
        Ok(Self {
            beats: store.recent(BEATS)?,
            hour: store.fleet_summaries(now.plus_ms(-WINDOW_MS), now.plus_ms(1))?,
            hour_before: store.fleet_summaries(now.plus_ms(-2 * WINDOW_MS), now.plus_ms(-WINDOW_MS))?,
            versions: store.current_versions()?,
            runs: store.unfinished_runs()?,
        })
    }
}

impl Api {
    /// Every endpoint with its health, latency, quality and version.
    pub async fn fleet(&self, _: Empty) -> Result<Fleet, ApiError> {
        let now = self.engine.now();
        let (endpoints, mut facts) =
            self.engine.with_store(move |store| Ok((store.endpoints()?, Facts::read(store, now)?))).await?;
        let mut rows = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            rows.push(self.row(endpoint, &mut facts).await?);
        }
        rows.sort_by(|a, b| (&b.production, &a.environment, &a.name).cmp(&(&a.production, &b.environment, &b.name)));
        Ok(Fleet {
            now_ms: now.0,
            endpoints: rows,
            demo: self.demo_state().await,
            keyring: convert::keyring_state(self.engine.secrets().availability().await),
            online: self.engine.online(),
        })
    }

    /// One row, for the Endpoint screen.
    pub(crate) async fn fleet_row(&self, endpoint: &Endpoint) -> Result<FleetRow, ApiError> {
        let now = self.engine.now();
        let mut facts = self.engine.with_store(move |store| Facts::read(store, now)).await?;
        self.row(endpoint, &mut facts).await
    }

    async fn row(&self, endpoint: &Endpoint, facts: &mut Facts) -> Result<FleetRow, ApiError> {
        let state = self.engine.health_of(endpoint).await?;
        let quality = self.engine.quality_of(endpoint).await?;
        let hour = facts.hour.remove(&endpoint.id).unwrap_or_default();
        let before = facts.hour_before.remove(&endpoint.id).unwrap_or_default();
        let live = facts.versions.remove(&endpoint.id);
        let beats = facts.beats.remove(&endpoint.id).unwrap_or_default();
        let run = facts.runs.iter().find(|run| run.plan.endpoint == endpoint.id);
        let slow_us = endpoint.probe.degraded_above_ms.map(|ms| ms.saturating_mul(1_000));
        Ok(FleetRow {
            id: endpoint.id.0,
            name: endpoint.name.clone(),
            environment: endpoint.environment.to_string(),
            production: endpoint.environment.is_production(),
            protocol: endpoint.target.protocol.as_str().to_owned(),
            url: endpoint.target.url.to_string(),
            model: endpoint.target.model.clone(),
            interval_ms: endpoint.probe.interval_ms,
            health: convert::health_word(state.health),
            since_ms: state.since.0,
            reason: state.reason,
            beats: beats.into_iter().map(|beat| self::beat(beat, slow_us)).collect(),
            p95_us: hour.p95_us,
            p95_before_us: before.p95_us,
            n_known: hour.n_ok + hour.n_target_failed,
            n_failed: hour.n_target_failed,
            quality: quality.latest.as_ref().and_then(|latest| latest.main()).map(convert::metric),
            quality_change: quality.change.as_ref().map(convert::quality_change),
            version: live.as_ref().map(|live| live.version.to_string()),
            version_since_ms: live.as_ref().map(|live| live.since.0),
            previous_good: quality.previous_good.as_ref().map(VersionId::to_string),
            can_roll_back: endpoint.control_plane.is_some(),
            active_run: run.map(|run| run.id.to_string()),
        })
    }
}

fn beat(beat: Beat, slow_us: Option<u32>) -> types::Beat {
    let outcome = match beat.outcome {
        Outcome::Ok if slow_us.zip(beat.total_us).is_some_and(|(limit, total)| total > limit) => BeatOutcome::Slow,
        Outcome::Ok => BeatOutcome::Ok,
        Outcome::TargetFailed(_) => BeatOutcome::Failed,
        Outcome::Unknown(_) => BeatOutcome::Unknown,
    };
    let detail = match beat.outcome {
        Outcome::Ok => beat.detail,
        failure => Some(match beat.detail {
            Some(detail) => format!("{}: {detail}", failure.phrase()),
            None => failure.phrase().to_owned(),
        }),
    };
    types::Beat { at_ms: beat.at.0, outcome, total_us: beat.total_us, detail }
}
