//! The Fleet screen: one row per endpoint.

use super::{DemoState, MetricValue, SecretState, border};

border! {
    /// Asks for the fleet, or for what changed of it.
    #[derive(Copy, Eq, Default)]
    pub struct FleetRequest {
        /// The `revision` of the answer that the asker holds; `null` asks for everything.
        pub since: Option<i64>,
    }

    /// Everything the Fleet screen shows, or what changed of it. The answers since each revision, applied one after the
    /// other, make up the full one.
    pub struct Fleet {
        /// When this was read.
        pub now_ms: i64,
        /// What to ask with the next time.
        pub revision: i64,
        /// One row per endpoint that is new or changed since the revision asked with, in the order of the screen.
        pub endpoints: Vec<FleetRow>,
        /// The ids of all rows in the order of the screen: production first, then by environment and name. `null` when
        /// none was added, removed or moved since the revision asked with.
        pub order: Option<Vec<i64>>,
        /// The demo fleet, if it runs.
        pub demo: Option<DemoState>,
        /// Whether the keyring answers.
        pub keyring: SecretState,
        /// Whether this machine has a network, as far as the probes tell.
        pub online: bool,
    }

    /// One endpoint.
    pub struct FleetRow {
        /// Its id.
        pub id: i64,
        /// Its name.
        pub name: String,
        /// Where it runs.
        pub environment: String,
        /// Whether that is guarded as production.
        pub production: bool,
        /// `v2`, `mlflow` or `json`.
        pub protocol: String,
        /// The base URL.
        pub url: String,
        /// Model name on the server.
        pub model: Option<String>,
        /// Connected since.
        pub created_ms: i64,
        /// Milliseconds between probes.
        pub interval_ms: u32,
        /// Health.
        pub health: HealthWord,
        /// Since when.
        pub since_ms: i64,
        /// Why, in a few words.
        pub reason: String,
        /// The last 52 checks, oldest first.
        pub beats: Vec<Beat>,
        /// p95 of the last hour, in microseconds.
        pub p95_us: Option<f64>,
        /// p95 of the hour before, for the trend.
        pub p95_before_us: Option<f64>,
        /// Probes of the last hour whose outcome is known.
        pub n_known: u32,
        /// Of these, failed.
        pub n_failed: u32,
        /// Main metric of the latest evaluation.
        pub quality: Option<MetricValue>,
        /// Change of quality against the version before.
        pub quality_change: Option<QualityChange>,
        /// Live version, if known.
        pub version: Option<String>,
        /// Live since.
        pub version_since_ms: Option<i64>,
        /// The last version before it whose evaluation was good: what a rollback would bring back.
        pub previous_good: Option<String>,
        /// Whether a control plane is configured.
        pub can_roll_back: bool,
        /// A rollback run in progress.
        pub active_run: Option<String>,
    }

    /// Health in one word.
    #[derive(Copy, Eq)]
    pub enum HealthWord {
        /// Answers well.
        Healthy,
        /// Answers, but slowly or worse.
        Degraded,
        /// Does not answer correctly.
        Down,
        /// Cannot be told.
        Unknown,
        /// Paused by a person.
        Paused,
    }

    /// One check.
    pub struct Beat {
        /// When it was due.
        pub at_ms: i64,
        /// How it came out.
        pub outcome: BeatOutcome,
        /// Duration in microseconds.
        pub total_us: Option<u32>,
        /// What happened, for people.
        pub detail: Option<String>,
    }

    /// How a check came out.
    #[derive(Copy, Eq)]
    pub enum BeatOutcome {
        /// In order.
        Ok,
        /// In order but slower than the endpoint's limit.
        Slow,
        /// The target failed.
        Failed,
        /// Ours: cannot be told.
        Unknown,
    }

    /// Difference of the main metric between two versions on the same rows.
    pub struct QualityChange {
        /// After minus before.
        pub difference: f64,
        /// Lower end of the 95 % interval.
        pub low: Option<f64>,
        /// Upper end.
        pub high: Option<f64>,
        /// Of the paired test, where there is one.
        pub p_value: Option<f64>,
        /// How interval and test were made.
        pub method: String,
        /// The version compared with.
        pub against: String,
        /// Whether the change is beyond noise (the interval leaves out 0).
        pub significant: bool,
    }
}
