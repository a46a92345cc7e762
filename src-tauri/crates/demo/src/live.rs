//! The state of one demo model while it is served: which version is live, since when, and what is wrong with it.
//!
//! What must stay true: a switch takes effect for the next request; a request that has begun is answered by the version
//! that was live then. A switch that names the version it expects to replace is refused when another one is live.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::CatalogEntry;
use crate::model::ModelDefinition;
use crate::{DemoError, Fault};

/// Seed of the natural latency and of which requests the `errors` fault hits.
const SEED: u64 = 20_260_601;

/// One model that is being served.
pub(crate) struct LiveModel {
    /// The model's name.
    pub(crate) name: &'static str,
    versions: Vec<Arc<ModelDefinition>>,
    defective: Option<&'static str>,
    state: Mutex<State>,
    fault: watch::Sender<Fault>,
    answers: AtomicU64,
    stop: CancellationToken,
}

struct State {
    live: Arc<ModelDefinition>,
    history: Vec<Switch>,
    random: ChaCha8Rng,
}

/// One change of the live version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Switch {
    from: String,
    to: String,
    at_ms: i64,
    /// `registry` for a call of the registry, `fault` for the injected defect.
    by: &'static str,
}

/// Why a prediction is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The `errors` fault hit it.
    Error,
    /// The fleet is being stopped.
    Stopping,
}

impl LiveModel {
    /// Serves `entry` with its first live version, until `stop` is cancelled.
    pub(crate) fn new(entry: &CatalogEntry, stop: CancellationToken) -> Self {
        let versions: Vec<_> = entry.versions().into_iter().map(Arc::new).collect();
        let live = versions.iter().find(|v| v.version == entry.live_at_start);
        let live = Arc::clone(live.expect("the catalogue's tests check that the first live version exists"));
        // A seed of its own per model, so that the charts of the fleet do not move in step.
        let seed = entry.name.bytes().fold(SEED, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            name: entry.name,
            versions,
            defective: entry.defective,
            state: Mutex::new(State { live, history: Vec::new(), random }),
            fault: watch::Sender::new(Fault::None),
            answers: AtomicU64::new(0),
            stop,
        }
    }

    /// All versions, oldest first.
    pub(crate) fn versions(&self) -> &[Arc<ModelDefinition>] {
        &self.versions
    }

    /// The version that answers requests which name none.
    pub(crate) fn live(&self) -> Arc<ModelDefinition> {
        Arc::clone(&self.state().live)
    }

    /// The version of this name.
    pub(crate) fn version(&self, version: &str) -> Option<Arc<ModelDefinition>> {
        self.versions.iter().find(|v| v.version == version).cloned()
    }

    /// Makes a version live. Nothing happens when it already is, or when `expected` is given and is not live.
    pub(crate) fn switch(&self, version: &str, expected: Option<&str>, by: &'static str) -> Result<(), DemoError> {
        let target = self.version(version).ok_or_else(|| DemoError::UnknownVersion {
            model: self.name.to_owned(),
            version: version.to_owned(),
            known: self.versions.iter().map(|v| format!("`{}`", v.version)).collect::<Vec<_>>().join(", "),
        })?;
        let mut state = self.state();
        let live = state.live.version.clone();
        if let Some(expected) = expected.filter(|&e| e != live) {
            return Err(DemoError::LiveChanged { model: self.name.to_owned(), live, expected: expected.to_owned() });
        }
        if live != version {
            tracing::info!(model = self.name, from = live, to = version, by, "live version switched");
            state.history.push(Switch { from: live, to: version.to_owned(), at_ms: now_ms(), by });
            state.live = target;
        }
        Ok(())
    }

    /// The live version's name and how often it was switched, read together.
    pub(crate) fn live_and_switches(&self) -> (String, usize) {
        let state = self.state();
        (state.live.version.clone(), state.history.len())
    }

    /// Every switch since the start, oldest first.
    pub(crate) fn history(&self) -> Vec<Switch> {
        self.state().history.clone()
    }

    /// Makes something go wrong, in place of what went wrong before.
    pub(crate) fn inject(&self, fault: Fault) -> Result<(), DemoError> {
        let fault = fault.checked()?;
        if fault == Fault::VersionDefect {
            let defective =
                self.defective.ok_or_else(|| DemoError::NoDefectiveVersion { model: self.name.to_owned() })?;
            self.switch(defective, None, "fault")?;
            // The defect lives in the registry, so that switching back cures it.
            self.fault.send_replace(Fault::None);
        } else {
            self.fault.send_replace(fault);
        }
        tracing::info!(model = self.name, %fault, "fault set");
        Ok(())
    }

    /// Whether there is a version with a defect.
    pub(crate) const fn has_defective_version(&self) -> bool {
        self.defective.is_some()
    }

    /// What is wrong now. The defective version counts for as long as it is live and nothing else was injected since.
    pub(crate) fn fault(&self) -> Fault {
        let fault = *self.fault.borrow();
        let defective = self.defective == Some(self.live().version.as_str());
        if fault == Fault::None && defective { Fault::VersionDefect } else { fault }
    }

    /// Waits while the server hangs.
    pub(crate) async fn answering(&self) -> Result<(), Disturbance> {
        let mut fault = self.fault.subscribe();
        tokio::select! {
            () = self.stop.cancelled() => Err(Disturbance::Stopping),
            // The sender lives as long as `self`, so waiting ends with an answer.
            _ = fault.wait_for(|fault| *fault != Fault::Hang) => Ok(()),
        }
    }

    /// Lets pass the time that a prediction takes, and fails it when the `errors` fault hits it.
    pub(crate) async fn work(&self) -> Result<(), Disturbance> {
        let fault = *self.fault.borrow();
        let (mut time, chance) = {
            let mut state = self.state();
            (natural_latency(&mut state.random), state.random.random::<f64>())
        };
        if let Fault::Latency { ms } = fault {
            time += Duration::from_millis(u64::from(ms));
        }
        tokio::select! {
            () = self.stop.cancelled() => return Err(Disturbance::Stopping),
            () = tokio::time::sleep(time) => {}
        }
        match fault {
            Fault::Errors { rate } if chance < rate => Err(Disturbance::Error),
            _ => Ok(()),
        }
    }

    /// Spoils the predictions when the `wrong_shape` fault is set: the last row comes twice.
    pub(crate) fn shape(&self, mut predictions: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        if *self.fault.borrow() == Fault::WrongShape {
            predictions.extend(predictions.last().cloned());
        }
        predictions
    }

    /// An id for an answer whose request brought none: the model's name and a count from 1.
    pub(crate) fn answer_id(&self) -> String {
        format!("{}-{}", self.name, self.answers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that a prediction takes without any fault: 2 to 9 ms evenly, one in fifty 20 ms, as when a garbage collector
/// or a neighbour gets in the way. The models themselves answer in microseconds, which would make dull charts.
fn natural_latency(random: &mut ChaCha8Rng) -> Duration {
    if random.random_ratio(1, 50) {
        Duration::from_millis(20)
    } else {
        Duration::from_micros(random.random_range(2_000..=9_000))
    }
}

/// The wall clock in epoch milliseconds.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CATALOG;

    fn credit_risk() -> LiveModel {
        LiveModel::new(&CATALOG[0], CancellationToken::new())
    }

    #[test]
    fn a_switch_must_expect_what_is_live() {
        let model = credit_risk();
        assert!(
            matches!(model.switch("v5", Some("v7"), "registry"), Err(DemoError::LiveChanged { live, .. }) if live == "v6")
        );
        assert!(matches!(model.switch("v9", None, "registry"), Err(DemoError::UnknownVersion { .. })));
        assert_eq!((model.live().version.as_str(), model.history().len()), ("v6", 0));
        model.switch("v5", Some("v6"), "registry").unwrap();
        model.switch("v5", None, "registry").unwrap();
        assert_eq!((model.live().version.as_str(), model.history().len()), ("v5", 1));
    }

    #[test]
    fn only_the_registry_cures_a_defective_version() {
        let model = credit_risk();
        model.inject(Fault::VersionDefect).unwrap();
        assert_eq!((model.live().version.as_str(), model.fault()), ("v7", Fault::VersionDefect));
        model.inject(Fault::None).unwrap();
        assert_eq!((model.live().version.as_str(), model.fault()), ("v7", Fault::VersionDefect));
        model.switch("v6", Some("v7"), "registry").unwrap();
        assert_eq!(model.fault(), Fault::None);
        let history = model.history();
        assert_eq!(history.iter().map(|s| s.by).collect::<Vec<_>>(), ["fault", "registry"]);
    }

    #[test]
    fn natural_latency_is_seeded_and_in_its_range() {
        let draw = || {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            (0..2_000).map(|_| natural_latency(&mut random).as_micros()).collect::<Vec<_>>()
        };
        let (first, second) = (draw(), draw());
        assert_eq!(first, second);
        assert!(first.iter().all(|us| (2_000..=9_000).contains(us) || *us == 20_000));
        let slow = first.iter().filter(|us| **us == 20_000).count();
        assert!((20..=60).contains(&slow), "{slow}");
    }

    #[tokio::test(start_paused = true)]
    async fn latency_adds_its_time_to_the_natural_one() {
        let model = credit_risk();
        let took = async || {
            let start = tokio::time::Instant::now();
            model.work().await.unwrap();
            start.elapsed().as_millis()
        };
        assert!((2..=21).contains(&took().await));
        model.inject(Fault::Latency { ms: 400 }).unwrap();
        assert!((402..=421).contains(&took().await));
        model.inject(Fault::None).unwrap();
        assert!((2..=21).contains(&took().await));
    }

    #[tokio::test(start_paused = true)]
    async fn errors_hit_the_share_that_was_asked_for() {
        let failed = async |rate: f64| {
            let model = credit_risk();
            model.inject(Fault::Errors { rate }).unwrap();
            let mut failed = 0;
            for _ in 0..1_000 {
                failed += u32::from(model.work().await == Err(Disturbance::Error));
            }
            failed
        };
        assert_eq!((failed(0.0).await, failed(1.0).await), (0, 1_000));
        let some = failed(0.3).await;
        assert!((250..=350).contains(&some), "{some}");
        assert_eq!(failed(0.3).await, some, "seeded");
    }

    #[tokio::test]
    async fn stopping_ends_a_hang_and_a_wait() {
        let stop = CancellationToken::new();
        let model = LiveModel::new(&CATALOG[0], stop.clone());
        model.inject(Fault::Hang).unwrap();
        stop.cancel();
        assert_eq!(model.answering().await, Err(Disturbance::Stopping));
        model.inject(Fault::Latency { ms: 600_000 }).unwrap();
        assert_eq!(model.work().await, Err(Disturbance::Stopping));
    }
}
