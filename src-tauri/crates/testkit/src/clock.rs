//! A clock that moves only when a test says so.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pilothouse_domain::{Clock, TimestampMs};

/// A clock under a test's control.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(TimestampMs, Duration)>,
}

impl ManualClock {
    /// A clock whose wall time is `now` and whose monotonic time is zero.
    pub const fn new(now: TimestampMs) -> Self {
        Self { state: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both clocks forward, as time does.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.plus_ms(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        state.1 += by;
    }

    /// Moves the wall clock only (a correction, or sleep that the monotonic clock does not count); may go back.
    pub fn jump_wall_ms(&self, ms: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.plus_ms(ms);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampMs {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_only_by_hand() {
        let clock = ManualClock::new(TimestampMs(1_000));
        clock.advance(Duration::from_secs(2));
        clock.jump_wall_ms(-500);
        assert_eq!((clock.now(), clock.monotonic()), (TimestampMs(2_500), Duration::from_secs(2)));
    }
}
