//! The Fleet screen.

use std::collections::HashMap;
use std::sync::Arc;

use pilothouse_domain::endpoint::shown_url;
use pilothouse_domain::{Endpoint, EndpointId, Outcome, RunId, VersionId};
use pilothouse_engine::EndpointState;
use pilothouse_store::{Beat, Store};

use crate::fleet_changes::Sources;
use crate::types::{self, BeatOutcome, Fleet, FleetRequest, FleetRow};
use crate::{Api, ApiError, convert};

/// Checks in a heartbeat bar.
const BEATS: u32 = 52;

impl Api {
    /// Every endpoint with its health, latency, quality and version, as far as it changed since `request.since`.
    pub async fn fleet(&self, request: FleetRequest) -> Result<Fleet, ApiError> {
        let now = self.engine.now();
        // One look at a time, so that an older one is never taken for news.
        let mut known = Arc::clone(&self.known_fleet).lock_owned().await;
        let read = move |store: &Store| {
            let entries = store.fleet(&mut known.cache, now, BEATS)?;
            Ok((known, entries, store.current_versions()?, store.unfinished_runs()?))
        };
        let (mut known, entries, mut versions, runs) = self.engine.with_store(read).await?;
        let mut runs: HashMap<EndpointId, RunId> = runs.into_iter().map(|run| (run.plan.endpoint, run.id)).collect();
        let endpoints: Vec<Arc<Endpoint>> = entries.iter().map(|entry| Arc::clone(&entry.endpoint)).collect();
        let states = self.engine.states_of(&endpoints).await?;
        let mut sources: Vec<Sources> = entries
            .into_iter()
            .zip(states)
            .map(|(entry, EndpointState { health, quality })| {
                let id = entry.endpoint.id;
                let (endpoint, facts) = (entry.endpoint, entry.facts);
                Sources { endpoint, facts, live: versions.remove(&id), run: runs.remove(&id), health, quality }
            })
            .collect();
        sources.sort_by(|a, b| in_order(&a.endpoint, &b.endpoint));
        known.take_in(sources);
        let (revision, order) = (known.revision(), known.order_since(request.since));
        let endpoints = known.rows_since(request.since).map(row).collect();
        drop(known);
        Ok(Fleet {
            now_ms: now.0,
            revision,
            endpoints,
            order,
            demo: self.demo_state().await,
            keyring: convert::keyring_state(self.engine.secrets().availability().await),
            online: self.engine.online(),
        })
    }

    /// One row, for the Endpoint screen.
    pub(crate) async fn fleet_row(&self, endpoint: &Endpoint) -> Result<FleetRow, ApiError> {
        let (id, now) = (endpoint.id, self.engine.now());
        let read = move |store: &Store| {
            let run = store.unfinished_runs()?.into_iter().find(|run| run.plan.endpoint == id).map(|run| run.id);
            let live = store.live_versions(id)?.into_iter().find(|live| live.until.is_none());
            Ok((store.fleet_facts(id, now, BEATS)?, live, run))
        };
        let (facts, live, run) = self.engine.with_store(read).await?;
        let (health, quality) = (self.engine.health_of(endpoint).await?, self.engine.quality_of(endpoint).await?);
        let (endpoint, facts) = (Arc::new(endpoint.clone()), Arc::new(facts));
        Ok(row(&Sources { endpoint, facts, live, run, health, quality }))
    }
}

/// Production first, then by environment and name.
fn in_order(a: &Endpoint, b: &Endpoint) -> std::cmp::Ordering {
    (b.environment.is_production().cmp(&a.environment.is_production()))
        .then_with(|| a.environment.cmp(&b.environment))
        .then_with(|| a.name.cmp(&b.name))
}

fn row(sources: &Sources) -> FleetRow {
    let Sources { endpoint, facts, live, run, health: state, quality } = sources;
    let slow_us = endpoint.probe.degraded_above_ms.map(|ms| ms.saturating_mul(1_000));
    FleetRow {
        id: endpoint.id.0,
        name: endpoint.name.clone(),
        environment: endpoint.environment.to_string(),
        production: endpoint.environment.is_production(),
        protocol: endpoint.target.protocol.as_str().to_owned(),
        url: shown_url(&endpoint.target.url, endpoint.target.protocol).to_string(),
        model: endpoint.target.model.clone(),
        created_ms: endpoint.created.0,
        interval_ms: endpoint.probe.interval_ms,
        health: convert::health_word(state.health),
        since_ms: state.since.0,
        reason: state.reason.clone(),
        beats: facts.beats.iter().map(|beat| self::beat(beat, slow_us)).collect(),
        p95_us: facts.hour.p95_us,
        p95_before_us: facts.hour_before.p95_us,
        n_known: facts.hour.n_ok + facts.hour.n_target_failed,
        n_failed: facts.hour.n_target_failed,
        quality: quality.latest.as_ref().and_then(|latest| latest.main()).map(convert::metric),
        quality_change: quality.change.as_ref().map(convert::quality_change),
        version: live.as_ref().map(|live| live.version.to_string()),
        version_since_ms: live.as_ref().map(|live| live.since.0),
        previous_good: quality.previous_good.as_ref().map(VersionId::to_string),
        can_roll_back: endpoint.control_plane.is_some(),
        active_run: run.as_ref().map(RunId::to_string),
    }
}

fn beat(beat: &Beat, slow_us: Option<u32>) -> types::Beat {
    let outcome = match beat.outcome {
        Outcome::Ok if slow_us.zip(beat.total_us).is_some_and(|(limit, total)| total > limit) => BeatOutcome::Slow,
        Outcome::Ok => BeatOutcome::Ok,
        Outcome::TargetFailed(_) => BeatOutcome::Failed,
        Outcome::Unknown(_) => BeatOutcome::Unknown,
    };
    let detail = match beat.outcome {
        Outcome::Ok => beat.detail.clone(),
        failure => Some(match &beat.detail {
            Some(detail) => format!("{}: {detail}", failure.phrase()),
            None => failure.phrase().to_owned(),
        }),
    };
    types::Beat { at_ms: beat.at.0, outcome, total_us: beat.total_us, detail }
}

#[cfg(test)]
mod tests;
