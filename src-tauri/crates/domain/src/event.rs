//! The timeline: one list of everything that happened to an endpoint, in order.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, EvaluationId, Health, RunId, TimestampMs, UnknownReason, Verdict, VersionId};

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The store's number of it; 0 before it is stored.
    pub id: i64,
    /// When it happened.
    pub at: TimestampMs,
    /// The endpoint it happened to; `None` for what concerns this machine.
    pub endpoint: Option<EndpointId>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The endpoint was connected.
    EndpointAdded,
    /// Its settings changed.
    EndpointChanged,
    /// A person paused it.
    Paused,
    /// A person resumed it.
    Resumed,
    /// Its health changed.
    HealthChanged {
        /// Before.
        from: Health,
        /// After.
        to: Health,
        /// Why, in a few words.
        reason: String,
    },
    /// Another version went live.
    VersionChanged {
        /// Before, if known.
        from: Option<VersionId>,
        /// After.
        to: VersionId,
    },
    /// The cloud that runs it says something else of its state.
    DeploymentChanged {
        /// The state's word in the API.
        state: String,
        /// The cloud's own word; empty where it has none.
        word: String,
        /// Why, in the cloud's words.
        problem: Option<String>,
    },
    /// A golden set was evaluated.
    Evaluated {
        /// The evaluation.
        evaluation: EvaluationId,
        /// The version evaluated, if known.
        version: Option<VersionId>,
        /// The main metric's name (`accuracy` or `r2`).
        metric: String,
        /// Its value.
        value: Option<f64>,
    },
    /// An evaluation could not be made; the failure and whose it is stand in `reason`.
    EvaluationFailed {
        /// Why.
        reason: String,
    },
    /// A stretch of time without knowledge: asleep, offline.
    Gap {
        /// Why.
        reason: UnknownReason,
        /// When it began. It ended at the event's own time.
        from: TimestampMs,
    },
    /// A rollback run began.
    RollbackStarted {
        /// The run.
        run: RunId,
        /// From this version.
        from: Option<VersionId>,
        /// To this version.
        to: VersionId,
    },
    /// A rollback run ended.
    RollbackFinished {
        /// The run.
        run: RunId,
        /// To this version.
        to: VersionId,
        /// What was proved.
        verdict: Verdict,
    },
    /// A fault was injected into the demo fleet, or cleared.
    FaultInjected {
        /// The fault's name, or `none`.
        fault: String,
    },
}
