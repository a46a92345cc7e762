//! The Fleet screen.

use std::collections::HashMap;
use std::sync::PoisonError;

use pilothouse_domain::{Endpoint, HealthState, LiveVersion, Outcome, RollbackRun, VersionId};
use pilothouse_store::{Beat, FleetFacts, Store};

use crate::types::{self, BeatOutcome, Empty, Fleet, FleetRow};
use crate::{Api, ApiError, convert};

/// Checks in a heartbeat bar.
const BEATS: u32 = 52;

/// What the store says of one endpoint, beside its settings and quality.
struct Stored {
    facts: FleetFacts,
    live: Option<LiveVersion>,
    run: Option<RollbackRun>,
    health: HealthState,
}

impl Api {
    /// Every endpoint with its health, latency, quality and version.
    pub async fn fleet(&self, _: Empty) -> Result<Fleet, ApiError> {
        let now = self.engine.now();
        let (cache, watching) = (self.fleet_cache.clone(), self.engine.is_watching());
        let read = move |store: &Store| {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            // A process that watches knows the health of its endpoints without the store.
            let health = if watching { HashMap::new() } else { store.health()? };
            let facts = store.fleet(&mut cache, now, BEATS)?;
            Ok((store.endpoints()?, facts, store.current_versions()?, store.unfinished_runs()?, health))
        };
        let (endpoints, mut facts, mut versions, runs, mut health) = self.engine.with_store(read).await?;
        let mut rows = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            let id = endpoint.id;
            let stored = Stored {
                facts: facts.remove(&id).unwrap_or_default(),
                live: versions.remove(&id),
                run: runs.iter().find(|run| run.plan.endpoint == id).cloned(),
                health: self.engine.health_known(endpoint, health.remove(&id)),
            };
            rows.push(self.row(endpoint, stored).await?);
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
        let (id, now) = (endpoint.id, self.engine.now());
        let read = move |store: &Store| {
            let run = store.unfinished_runs()?.into_iter().find(|run| run.plan.endpoint == id);
            let live = store.live_versions(id)?.into_iter().find(|live| live.until.is_none());
            Ok((store.fleet_facts(id, now, BEATS)?, live, run))
        };
        let (facts, live, run) = self.engine.with_store(read).await?;
        let health = self.engine.health_of(endpoint).await?;
        self.row(endpoint, Stored { facts, live, run, health }).await
    }

    async fn row(&self, endpoint: &Endpoint, stored: Stored) -> Result<FleetRow, ApiError> {
        let quality = self.engine.quality_of(endpoint).await?;
        let Stored { facts: FleetFacts { beats, hour, hour_before: before }, live, run, health: state } = stored;
        let slow_us = endpoint.probe.degraded_above_ms.map(|ms| ms.saturating_mul(1_000));
        Ok(FleetRow {
            id: endpoint.id.0,
            name: endpoint.name.clone(),
            environment: endpoint.environment.to_string(),
            production: endpoint.environment.is_production(),
            protocol: endpoint.target.protocol.as_str().to_owned(),
            url: endpoint.target.url.to_string(),
            model: endpoint.target.model.clone(),
            created_ms: endpoint.created.0,
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
