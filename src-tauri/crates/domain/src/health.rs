//! The health of an endpoint as a person reads it.

use serde::{Deserialize, Serialize};

use crate::TimestampMs;

/// Health, from confirmed outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Answers, in time, with its usual quality.
    Healthy,
    /// Answers, but slower than its limit or with a quality below its last good version.
    Degraded,
    /// Does not answer correctly, confirmed by several probes in a row.
    Down,
    /// Not known: never probed, or the failure is ours.
    Unknown,
    /// Not probed, because a person paused it.
    Paused,
}

impl Health {
    /// The lower-case word used in the store, the CLI and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Paused => "paused",
        }
    }
}

/// Health with its reason and age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// The state.
    pub health: Health,
    /// When this state began.
    pub since: TimestampMs,
    /// Why, in a few words; empty when healthy.
    pub reason: String,
}
