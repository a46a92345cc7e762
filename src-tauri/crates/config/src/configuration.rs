//! What a configuration holds once it is read, and the files it is read from.

use pilothouse_domain::{Endpoint, EndpointId, GoldenSet, GoldenSetId, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::golden::{digest, hexadecimal};

/// A text file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path below the configuration's folder, with `/` between the parts.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Everything a person can set, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configuration {
    /// How long history is kept; `None`: not said here.
    pub retention: Option<RetentionDays>,
    /// Endpoints, ordered by name.
    pub endpoints: Vec<ConfiguredEndpoint>,
    /// Golden sets with their rows, ordered by name. Their numbers and times are those of no database: 0.
    pub golden_sets: Vec<GoldenSet>,
}

/// An endpoint with the golden set by name, since its number is another one in each database.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredEndpoint {
    /// The endpoint; its own number, its time, its revision and its golden set's number are 0.
    pub endpoint: Endpoint,
    /// The golden set that it is evaluated with.
    pub golden_set: Option<String>,
}

impl ConfiguredEndpoint {
    /// An endpoint of a database; `golden_set` is the name of the set that its evaluation refers to.
    pub fn new(mut endpoint: Endpoint, golden_set: Option<String>) -> Self {
        endpoint.id = EndpointId(0);
        endpoint.created = TimestampMs(0);
        endpoint.revision = 0;
        if let Some(evaluation) = &mut endpoint.evaluation {
            evaluation.golden_set = GoldenSetId(0);
        }
        Self { endpoint, golden_set }
    }
}

/// How long history is kept, in days. Days themselves are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionDays {
    /// Single probes.
    pub raw_days: u32,
    /// Counts and quantiles per minute.
    pub minute_days: u32,
    /// Counts and quantiles per hour.
    pub hour_days: u32,
}

impl Default for RetentionDays {
    fn default() -> Self {
        Self { raw_days: 14, minute_days: 90, hour_days: 730 }
    }
}

impl RetentionDays {
    /// What is wrong with these numbers, if anything.
    pub fn problem(self) -> Option<String> {
        let Self { raw_days, minute_days, hour_days } = self;
        let in_order = raw_days >= 1 && raw_days <= minute_days && minute_days <= hour_days && hour_days <= 36_500;
        (!in_order)
            .then(|| format!("kept days must rise: single probes {raw_days}, minutes {minute_days}, hours {hour_days}"))
    }
}

impl Configuration {
    /// Names this very set-up: another one has another revision.
    pub fn revision(&self) -> String {
        let endpoints: Vec<_> = self.endpoints.iter().map(|e| (&e.endpoint, &e.golden_set)).collect();
        let sets: Vec<_> = self.golden_sets.iter().map(|set| (&set.name, &set.source, digest(set))).collect();
        let text = serde_json::to_vec(&(self.retention, endpoints, sets)).unwrap_or_default();
        hexadecimal(&text, 16)
    }

    /// The same with everything in the order of the names.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.endpoints.sort_by(|a, b| a.endpoint.name.cmp(&b.endpoint.name));
        self.golden_sets.sort_by(|a, b| a.name.cmp(&b.name));
        for set in &mut self.golden_sets {
            set.id = GoldenSetId(0);
            set.created = TimestampMs(0);
        }
        self
    }
}
