//! Time as values. Only the engine's clock reads the machine's; everything else is handed a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// This instant moved by `ms` milliseconds (negative: into the past); stops at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `self` comes first.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where time comes in. Tests hand in a manual clock.
pub trait Clock: Send + Sync {
    /// The wall clock, for what is shown and stored. It may jump.
    fn now(&self) -> TimestampMs;

    /// A clock that never goes back and does not count suspended time where the system tells, for measuring.
    fn monotonic(&self) -> Duration;
}
