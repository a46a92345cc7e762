//! Noticing that this machine slept.
//!
//! While a machine sleeps its wall clock goes on and its monotonic clock (on Linux and macOS) stands still; a stopped or
//! starved process sees both jump far beyond the moment it wanted to wake. Either way the time between two looks is a gap
//! in what we know, and never an outage of an endpoint.

use std::time::Duration;

use pilothouse_domain::TimestampMs;

/// A gap shorter than this is ordinary scheduling noise or a small clock correction.
pub(crate) const SMALLEST_GAP: Duration = Duration::from_secs(10);

/// Compares two looks at the clocks.
#[derive(Debug, Clone, Copy)]
pub struct GapDetector {
    wall: TimestampMs,
    monotonic: Duration,
}

impl GapDetector {
    /// Begins to look.
    pub fn new(wall: TimestampMs, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// Looks again, expected `expected` after the last look. Returns when the gap began, if there was one.
    pub fn look(&mut self, wall: TimestampMs, monotonic: Duration, expected: Duration) -> Option<TimestampMs> {
        let before = std::mem::replace(self, Self { wall, monotonic });
        let wall_passed = Duration::from_millis(u64::try_from(wall.since(before.wall)).unwrap_or(0));
        let monotonic_passed = monotonic.saturating_sub(before.monotonic);
        let asleep = wall_passed.saturating_sub(monotonic_passed);
        let stalled = monotonic_passed.saturating_sub(expected);
        (asleep.max(stalled) >= SMALLEST_GAP).then_some(before.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_stalls_are_gaps_and_small_corrections_are_not() {
        let second = Duration::from_secs(1);
        let mut detector = GapDetector::new(TimestampMs(1_000), second);
        // An ordinary second.
        assert_eq!(detector.look(TimestampMs(2_000), 2 * second, second), None);
        // The wall clock is set back by an hour, then corrected by three seconds.
        assert_eq!(detector.look(TimestampMs(-3_598_000), 3 * second, second), None);
        assert_eq!(detector.look(TimestampMs(-3_594_000), 4 * second, second), None);
        // The machine slept for an hour.
        assert_eq!(detector.look(TimestampMs(7_000), 5 * second, second), Some(TimestampMs(-3_594_000)));
        // The process was stopped for a minute.
        assert_eq!(detector.look(TimestampMs(67_000), 65 * second, second), Some(TimestampMs(7_000)));
    }
}
