//! From single outcomes to a state a person can trust.
//!
//! What must stay true: one bad probe never makes an endpoint `down` (it takes `confirm_after` in a row), and a failure
//! of ours neither confirms nor heals anything: it only makes the state `unknown` once it lasts.

use pilothouse_domain::{Health, Outcome, ProbeConfig, TimestampMs};

/// What is remembered of one endpoint between probes.
#[derive(Debug, Clone)]
pub struct HealthTracker {
    /// What the confirmed outcomes say: healthy, down or unknown.
    confirmed: Health,
    /// The state before our own failures began, to return to.
    before_unknown: Health,
    failures: u32,
    successes: u32,
    unknowns: u32,
    slow: u32,
    brisk: u32,
    is_slow: bool,
    failure_reason: String,
    unknown_reason: String,
    quality_problem: Option<String>,
    paused: bool,
    shown: Health,
    since: TimestampMs,
}

/// A change of the state shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChange {
    /// Before.
    pub from: Health,
    /// After.
    pub to: Health,
    /// Why; empty for healthy.
    pub reason: String,
}

impl HealthTracker {
    /// Starts from the state that was stored last, or from `unknown`.
    pub fn new(stored: Health, since: TimestampMs, paused: bool) -> Self {
        let confirmed = match stored {
            Health::Healthy | Health::Degraded => Health::Healthy,
            Health::Down => Health::Down,
            Health::Unknown | Health::Paused => Health::Unknown,
        };
        Self {
            confirmed,
            before_unknown: confirmed,
            failures: 0,
            successes: 0,
            unknowns: 0,
            slow: 0,
            brisk: 0,
            is_slow: false,
            failure_reason: String::new(),
            unknown_reason: "not checked yet".to_owned(),
            quality_problem: None,
            paused,
            shown: stored,
            since,
        }
    }

    /// The state shown.
    pub fn health(&self) -> Health {
        self.shown
    }

    /// Since when.
    pub fn since(&self) -> TimestampMs {
        self.since
    }

    /// Why, in a few words; empty when healthy.
    pub fn reason(&self) -> String {
        match self.shown {
            Health::Healthy => String::new(),
            Health::Paused => "paused".to_owned(),
            Health::Down => self.failure_reason.clone(),
            Health::Unknown => self.unknown_reason.clone(),
            Health::Degraded => self.quality_problem.clone().unwrap_or_else(|| "slower than its limit".to_owned()),
        }
    }

    /// Takes in one probe. `total_us` is the duration of an answer that was in order.
    pub fn observe(
        &mut self,
        outcome: Outcome,
        total_us: Option<u32>,
        config: &ProbeConfig,
        at: TimestampMs,
    ) -> Option<HealthChange> {
        match outcome {
            Outcome::Ok => {
                self.failures = 0;
                self.unknowns = 0;
                self.successes += 1;
                self.observe_speed(total_us, config);
                let last_known = if self.confirmed == Health::Unknown { self.before_unknown } else { self.confirmed };
                if last_known != Health::Down || self.successes >= config.recover_after {
                    self.confirmed = Health::Healthy;
                }
            }
            Outcome::TargetFailed(reason) => {
                self.successes = 0;
                self.unknowns = 0;
                self.failures += 1;
                reason.phrase().clone_into(&mut self.failure_reason);
                if self.failures >= config.confirm_after {
                    self.confirmed = Health::Down;
                }
            }
            Outcome::Unknown(reason) => {
                self.unknowns += 1;
                reason.phrase().clone_into(&mut self.unknown_reason);
                if self.unknowns >= config.confirm_after && self.confirmed != Health::Unknown {
                    self.before_unknown = self.confirmed;
                    self.confirmed = Health::Unknown;
                }
            }
        }
        self.settle(at)
    }

    /// Takes in what the latest evaluation says: a problem in a few words, or none.
    pub fn observe_quality(&mut self, problem: Option<String>, at: TimestampMs) -> Option<HealthChange> {
        self.quality_problem = problem;
        self.settle(at)
    }

    /// Pauses or resumes.
    pub fn set_paused(&mut self, paused: bool, at: TimestampMs) -> Option<HealthChange> {
        self.paused = paused;
        if !paused {
            self.failures = 0;
            self.successes = 0;
        }
        self.settle(at)
    }

    fn observe_speed(&mut self, total_us: Option<u32>, config: &ProbeConfig) {
        let is_slow = match (config.degraded_above_ms, total_us) {
            (Some(limit_ms), Some(total_us)) => u64::from(total_us) > u64::from(limit_ms) * 1_000,
            _ => false,
        };
        if is_slow {
            self.slow += 1;
            self.brisk = 0;
        } else {
            self.brisk += 1;
            self.slow = 0;
        }
        if self.slow >= config.confirm_after {
            self.is_slow = true;
        } else if self.brisk >= config.recover_after {
            self.is_slow = false;
        }
    }

    fn settle(&mut self, at: TimestampMs) -> Option<HealthChange> {
        let next = match self.confirmed {
            _ if self.paused => Health::Paused,
            Health::Healthy if self.is_slow || self.quality_problem.is_some() => Health::Degraded,
            confirmed => confirmed,
        };
        if next == self.shown {
            return None;
        }
        let from = std::mem::replace(&mut self.shown, next);
        self.since = at;
        Some(HealthChange { from, to: next, reason: self.reason() })
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{TargetFailure, UnknownReason};

    use super::*;

    const OK: Outcome = Outcome::Ok;
    const FAIL: Outcome = Outcome::TargetFailed(TargetFailure::ServerError);
    const OURS: Outcome = Outcome::Unknown(UnknownReason::NoNetwork);

    /// Feeds outcomes and compares the state after each.
    fn check(stored: Health, steps: &[(Outcome, Health)]) {
        let config = ProbeConfig { confirm_after: 2, recover_after: 2, ..ProbeConfig::default() };
        let mut tracker = HealthTracker::new(stored, TimestampMs(0), false);
        for (index, (outcome, expect)) in steps.iter().enumerate() {
            tracker.observe(*outcome, Some(1_000), &config, TimestampMs(index as i64));
            assert_eq!(tracker.health(), *expect, "after step {index} of {steps:?}");
        }
    }

    #[test]
    fn down_needs_confirmation_and_so_does_recovery() {
        use Health::{Down, Healthy, Unknown};
        check(Unknown, &[(OK, Healthy), (FAIL, Healthy), (OK, Healthy), (FAIL, Healthy), (FAIL, Down)]);
        check(Down, &[(OK, Down), (FAIL, Down), (OK, Down), (OK, Healthy)]);
        check(Unknown, &[(FAIL, Unknown), (FAIL, Down)]);
    }

    #[test]
    fn our_own_failures_never_make_it_down_nor_heal_it() {
        use Health::{Down, Healthy, Unknown};
        check(Healthy, &[(OURS, Healthy), (OURS, Unknown), (OURS, Unknown), (OK, Healthy)]);
        check(Healthy, &[(FAIL, Healthy), (OURS, Healthy), (FAIL, Down)]);
        check(Down, &[(OURS, Down), (OURS, Unknown), (OK, Unknown), (OK, Healthy)]);
    }

    #[test]
    fn slow_answers_and_worse_quality_degrade() {
        let config = ProbeConfig { degraded_above_ms: Some(100), ..ProbeConfig::default() };
        let mut tracker = HealthTracker::new(Health::Healthy, TimestampMs(0), false);
        assert_eq!(tracker.observe(OK, Some(200_000), &config, TimestampMs(1)), None);
        let change = tracker.observe(OK, Some(200_000), &config, TimestampMs(2));
        assert_eq!(change.map(|c| c.to), Some(Health::Degraded));
        tracker.observe(OK, Some(20_000), &config, TimestampMs(3));
        tracker.observe(OK, Some(20_000), &config, TimestampMs(4));
        assert_eq!(tracker.health(), Health::Healthy);
        let change = tracker.observe_quality(Some("accuracy fell 0.06 since v6".into()), TimestampMs(5));
        assert_eq!(change.map(|c| (c.to, c.reason)), Some((Health::Degraded, "accuracy fell 0.06 since v6".into())));
        assert_eq!(tracker.observe_quality(None, TimestampMs(6)).map(|c| c.to), Some(Health::Healthy));
    }

    #[test]
    fn pausing_hides_everything_else_until_resumed() {
        let config = ProbeConfig::default();
        let mut tracker = HealthTracker::new(Health::Healthy, TimestampMs(0), false);
        assert_eq!(tracker.set_paused(true, TimestampMs(1)).map(|c| c.to), Some(Health::Paused));
        tracker.observe(FAIL, None, &config, TimestampMs(2));
        assert_eq!(tracker.health(), Health::Paused);
        assert_eq!(tracker.set_paused(false, TimestampMs(3)).map(|c| c.to), Some(Health::Healthy));
    }
}
