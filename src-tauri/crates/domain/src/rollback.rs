//! Bringing a model back: plan, preflight, run, verdict.
//!
//! What must stay true: a control plane is written to only by a persisted [`RollbackRun`], each call written down before
//! it is sent; no value here ever holds a secret.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, PlanId, RunId, TimestampMs, VersionId};

/// One call that a plan will make, exactly as it will be sent, with secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// What it does, in a few words ("move alias champion to version 6").
    pub purpose: String,
    /// HTTP method, or `RUN` for a local command.
    pub method: String,
    /// The URL, or the program with its arguments.
    pub url: String,
    /// Headers; the value of a secret one is `••••`.
    pub headers: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<serde_json::Value>,
}

/// How a preflight check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Fine.
    Pass,
    /// May go on, but read it.
    Warn,
    /// Must not go on.
    Block,
}

/// One preflight check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name: `target_exists`, `target_metrics`, `current_unchanged`, `permission`, `reload`, …
    pub check: String,
    /// How it came out.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
}

/// A prepared rollback. Valid for the state of the control plane it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// Its id.
    pub id: PlanId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When it was made.
    pub created: TimestampMs,
    /// The version live then.
    pub from: Option<VersionId>,
    /// The version to bring back.
    pub to: VersionId,
    /// The calls, in order.
    pub calls: Vec<PlannedCall>,
    /// Whether the endpoint will follow by itself, or why it will not (then the verdict is `not_verified`).
    pub follows: Follows,
}

/// Whether serving follows the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "why")]
pub enum Follows {
    /// The control plane switches serving itself, or the plan contains the reload.
    Yes,
    /// Serving goes on with the old version until somebody restarts it.
    No(String),
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Written down, nothing sent.
    Pending,
    /// Calls are being sent.
    Applying,
    /// All calls were acknowledged; the endpoint is being watched.
    Verifying,
    /// Over; see the verdict.
    Finished,
}

/// What a run proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The endpoint answers, reports the target version, and its golden set is back within its interval.
    Verified,
    /// The calls were accepted, but the endpoint did not prove it.
    NotVerified,
    /// The change was taken back.
    Reverted,
    /// A call was refused; nothing changed after it.
    Failed,
    /// We stopped in between (crash, lost connection) and cannot tell; `evidence` says what was really found.
    OutcomeUnknown,
}

impl Verdict {
    /// The word used in the store, the CLI and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotVerified => "not_verified",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// One step of a run. `Sent` is written before the call leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStep {
    /// What it does.
    pub purpose: String,
    /// How far it came.
    pub state: StepState,
    /// When it came that far.
    pub at: TimestampMs,
    /// What was found or answered.
    pub detail: String,
}

/// How far a step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Written down, and perhaps sent.
    Sent,
    /// Acknowledged.
    Done,
    /// Refused or failed.
    Failed,
}

/// A persisted rollback. At most one of an endpoint is unfinished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackRun {
    /// Its id.
    pub id: RunId,
    /// The plan it carries out.
    pub plan: RollbackPlan,
    /// Who confirmed it (OS user).
    pub who: String,
    /// Why, in the person's own words.
    pub reason: String,
    /// When it was confirmed.
    pub started: TimestampMs,
    /// When it ended.
    pub finished: Option<TimestampMs>,
    /// Where it stands.
    pub state: RunState,
    /// The preflight that allowed it.
    pub preflight: Vec<Check>,
    /// Its steps: one per call, then those of the verification.
    pub steps: Vec<RunStep>,
    /// What was proved, once finished.
    pub verdict: Option<Verdict>,
    /// What the verdict rests on: versions reported, golden-set metrics before and after, probe counts.
    pub evidence: serde_json::Value,
}
