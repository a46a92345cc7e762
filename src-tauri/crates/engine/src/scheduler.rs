//! When things happen: probes and evaluations on a monotonic clock, each endpoint at its own pace, spread over its interval.
//!
//! What must stay true: an endpoint is never probed twice at once; a probe that comes late says how late; after a stall
//! missed turns are left out and never made up in a burst, nor are those that a server asked to be spared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pilothouse_domain::{EndpointId, EventKind, Outcome, UnknownReason};
use pilothouse_stats::QuantileSketch;
use pilothouse_store::Retention;
use tokio::time::Instant;

use crate::engine::lock;
use crate::gap::GapDetector;
use crate::watch::Watched;
use crate::{Engine, EngineError};

/// The first probe of a newly watched endpoint comes within this time, whatever its interval.
const FIRST_PROBE_WITHIN: Duration = Duration::from_secs(2);
/// How often the clocks are compared.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often old history is thinned out.
const RETAIN_EVERY: Duration = Duration::from_hours(1);

/// Counts of one collection run.
#[derive(Debug, Clone, Default)]
pub struct CollectReport {
    /// Probes made.
    pub probes: u64,
    /// In order.
    pub ok: u64,
    /// The target failed.
    pub target_failed: u64,
    /// Cannot be told.
    pub unknown: u64,
    /// 99th percentile of lateness in milliseconds; `None` without probes.
    pub late_ms_p99: Option<f64>,
}

/// Counters that the probe loops share with whoever asks for a report.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    ok: AtomicU64,
    target_failed: AtomicU64,
    unknown: AtomicU64,
    late_us: std::sync::Mutex<QuantileSketch>,
}

impl Counters {
    fn count(&self, outcome: Outcome, late_us: u32) {
        let counter = match outcome {
            Outcome::Ok => &self.ok,
            Outcome::TargetFailed(_) => &self.target_failed,
            Outcome::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        lock(&self.late_us).insert(f64::from(late_us));
    }

    fn report(&self) -> CollectReport {
        let [ok, target_failed, unknown] =
            [&self.ok, &self.target_failed, &self.unknown].map(|c| c.load(Ordering::Relaxed));
        let late_ms_p99 = lock(&self.late_us).quantile(0.99).map(|us| us / 1_000.0);
        CollectReport { probes: ok + target_failed + unknown, ok, target_failed, unknown, late_ms_p99 }
    }
}

/// Where within its interval an endpoint has its turn, from 0 to 1. Consecutive ids lie far apart (golden ratio).
pub(crate) fn phase(id: EndpointId) -> f64 {
    (id.0 as f64 * 0.618_033_988_749_895).fract().abs()
}

/// The first turn of an endpoint, soon, so that a person who just connected it need not wait; and the second, from which on
/// the turns of all endpoints lie spread over the whole interval. The second is left out where the first is on that grid.
fn first_turns(now: Instant, interval: Duration, phase: f64) -> (Instant, Option<Instant>) {
    let soon = now + interval.min(FIRST_PROBE_WITHIN).mul_f64(phase);
    let spread = now + interval.mul_f64(phase);
    // Half an interval at least lies between two probes.
    let second = if spread < soon + interval / 2 { spread + interval } else { spread };
    (soon, (interval > FIRST_PROBE_WITHIN).then_some(second))
}

/// The next turn after `now`, on the grid of `due` and `interval`.
pub(crate) fn next_turn(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now {
        return next;
    }
    let missed = now.duration_since(next).as_nanos() / interval.as_nanos().max(1) + 1;
    next + interval * u32::try_from(missed).unwrap_or(u32::MAX)
}

impl Engine {
    /// What was probed since this engine began to watch.
    pub fn report(&self) -> CollectReport {
        self.inner.counters.report()
    }

    pub(crate) fn spawn_loops(&self, watched: &Arc<Watched>) {
        let (engine, target) = (self.clone(), Arc::clone(watched));
        self.inner.tasks.spawn(async move { engine.probe_loop(&target).await });
        if watched.endpoint.evaluation.is_some() {
            let (engine, target) = (self.clone(), Arc::clone(watched));
            self.inner.tasks.spawn(async move { engine.evaluation_loop(&target).await });
        }
        if watched.endpoint.control_plane.is_some() {
            let (engine, target) = (self.clone(), Arc::clone(watched));
            self.inner.tasks.spawn(async move { engine.version_loop(&target).await });
        }
        if watched.endpoint.target.protocol.divides_traffic() {
            let (engine, target) = (self.clone(), Arc::clone(watched));
            self.inner.tasks.spawn(async move { engine.deployment_loop(&target).await });
        }
        if watched.endpoint.metrics.is_some() {
            let (engine, target) = (self.clone(), Arc::clone(watched));
            self.inner.tasks.spawn(async move { engine.metrics_loop(&target).await });
        }
    }

    async fn probe_loop(&self, watched: &Arc<Watched>) {
        let interval = Duration::from_millis(u64::from(watched.endpoint.probe.interval_ms));
        let (mut due, mut second) = first_turns(Instant::now(), interval, phase(watched.endpoint.id));
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = watched.cancel.cancelled() => return,
            }
            let Ok(_slot) = self.inner.probe_slots.acquire().await else { return };
            match self.probe_watched(watched, due).await {
                Ok(probe) if probe.outcome == Outcome::Unknown(UnknownReason::Cancelled) => return,
                Ok(probe) => self.inner.counters.count(probe.outcome, probe.late_us),
                Err(error) => {
                    tracing::error!(endpoint = %watched.endpoint.name, %error, "a probe could not be recorded");
                    self.inner.counters.count(Outcome::Unknown(UnknownReason::Internal), 0);
                }
            }
            // A server that asked to be left alone misses its turns until then.
            let now = Instant::now();
            let free = (*lock(&watched.not_before)).map_or(now, |not_before| not_before.max(now));
            due = match second.take().filter(|turn| *turn > free) {
                Some(turn) => turn,
                None => next_turn(due, interval, free),
            };
        }
    }

    async fn evaluation_loop(&self, watched: &Watched) {
        let Some(config) = &watched.endpoint.evaluation else { return };
        let interval = Duration::from_millis(u64::from(config.interval_ms));
        // The first evaluation waits for the first probe, which tells the version and builds the client.
        let mut due = Instant::now()
            + FIRST_PROBE_WITHIN
            + interval.min(Duration::from_secs(5)).mul_f64(phase(watched.endpoint.id));
        loop {
            let wait_ms = i64::try_from(due.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(i64::MAX);
            *lock(&watched.next_evaluation) = Some(self.now().plus_ms(wait_ms));
            tokio::select! {
                () = tokio::time::sleep_until(due) => due = next_turn(due, interval, Instant::now()),
                () = watched.evaluate_soon.notified() => {}
                () = watched.cancel.cancelled() => return,
            }
            tokio::select! {
                () = self.evaluate_and_log(watched) => {}
                () = watched.cancel.cancelled() => return,
            }
        }
    }

    /// Compares the clocks every second, and writes down each gap.
    pub(crate) async fn notice_gaps(&self) {
        let mut detector = GapDetector::new(self.now(), self.inner.clock.monotonic());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.inner.stop.cancelled() => return,
            }
            let (now, monotonic) = (self.now(), self.inner.clock.monotonic());
            let Some(from) = detector.look(now, monotonic, LOOK_EVERY) else { continue };
            *lock(&self.inner.resumed_at) = Some(monotonic);
            tracing::info!(gap_ms = now.since(from), "this machine was asleep or this process stood still");
            let gap = EventKind::Gap { reason: UnknownReason::Asleep, from };
            if let Err(error) = self.record_event(None, now, gap).await {
                tracing::error!(%error, "a gap could not be written down");
            }
        }
    }

    /// Thins out old history once an hour.
    pub(crate) async fn retain_regularly(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RETAIN_EVERY) => {}
                () = self.inner.stop.cancelled() => return,
            }
            match self.retain().await {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "old history could not be thinned out"),
            }
        }
    }

    /// Thins out old history now, as the settings say.
    pub async fn retain(&self) -> Result<(), EngineError> {
        let now = self.now();
        let retention = self.retention().await?;
        let report = self.with_store(move |store| store.retain(&retention, now)).await?;
        tracing::debug!(?report, "old history thinned out");
        Ok(())
    }

    /// How long history is kept.
    pub async fn retention(&self) -> Result<Retention, EngineError> {
        let stored = self.with_store(|store| store.setting("retention")).await?;
        let default = Retention::default();
        let days = |name: &str, default: u32| {
            let stored = stored.as_ref().and_then(|value| value.get(name)).and_then(serde_json::Value::as_u64);
            stored.and_then(|days| u32::try_from(days).ok()).unwrap_or(default)
        };
        Ok(Retention {
            raw_days: days("raw_days", default.raw_days),
            minute_days: days("minute_days", default.minute_days),
            hour_days: days("hour_days", default.hour_days),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_spread_over_the_interval() {
        let mut phases: Vec<f64> = (1..=100).map(|id| phase(EndpointId(id))).collect();
        phases.sort_by(f64::total_cmp);
        let widest = phases.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(widest < 0.03, "100 endpoints leave no gap of {widest} of the interval");
    }

    #[test]
    fn the_first_probe_comes_soon_and_the_rest_is_spread() {
        let (now, interval) = (Instant::now(), Duration::from_secs(15));
        let mut offsets = Vec::new();
        for id in 1..=1_000 {
            let (first, second) = first_turns(now, interval, phase(EndpointId(id)));
            let second = second.expect("an interval beyond the first probe's");
            assert!(first - now <= FIRST_PROBE_WITHIN);
            let between = second - first;
            assert!(between >= interval / 2 && between <= interval * 3 / 2, "{between:?}");
            offsets.push((second - now).as_secs_f64() % interval.as_secs_f64());
        }
        // A second of 15 holds a fifteenth of them, within a few.
        for second in 0..15 {
            let n = offsets.iter().filter(|offset| **offset as usize == second).count();
            assert!((60..=74).contains(&n), "{n} of 1,000 probes in second {second}");
        }
        assert_eq!(first_turns(now, Duration::from_secs(1), 0.5), (now + Duration::from_millis(500), None));
    }

    proptest! {
        /// The next turn lies in the future, less than one interval away, and on the grid.
        #[test]
        fn turns_stay_on_their_grid(interval_ms in 1_000_u64..86_400_000, passed_ms in 0_u64..10_000_000) {
            let due = Instant::now();
            let interval = Duration::from_millis(interval_ms);
            let now = due + Duration::from_millis(passed_ms);
            let next = next_turn(due, interval, now);
            prop_assert!(next > now);
            prop_assert!(next - now <= interval);
            prop_assert_eq!((next - due).as_nanos() % interval.as_nanos(), 0);
        }
    }
}
