//! The rollback sheet.

use super::{MetricValue, border};

border! {
    /// Prepares a rollback. Nothing is written anywhere else than in our own database.
    #[derive(Eq)]
    pub struct RollbackPlanRequest {
        /// Endpoint.
        pub id: i64,
        /// Target; `null`: the last good version before the live one.
        pub to: Option<String>,
    }

    /// A prepared rollback.
    pub struct RollbackPlan {
        /// Its id.
        pub plan_id: String,
        /// Endpoint.
        pub endpoint_id: i64,
        /// Its name: to be typed in production.
        pub endpoint: String,
        /// Whether the name must be typed.
        pub production: bool,
        /// Live version.
        pub from: Option<VersionFacts>,
        /// Target.
        pub to: VersionFacts,
        /// Versions that can be chosen, newest first.
        pub choices: Vec<VersionFacts>,
        /// Exact calls, secrets masked.
        pub calls: Vec<PlannedCall>,
        /// Why serving will not follow by itself; `null` when it will.
        pub will_not_follow: Option<String>,
        /// Checks.
        pub preflight: Vec<Check>,
        /// Whether one of them blocks.
        pub blocked: bool,
        /// When it was made.
        pub created_ms: i64,
    }

    /// What we measured of one version on this endpoint.
    pub struct VersionFacts {
        /// Version.
        pub version: String,
        /// Main metric of its latest evaluation by us.
        pub quality: Option<MetricValue>,
        /// p95 while it was live, in microseconds.
        pub p95_us: Option<f64>,
        /// Last time it was live: from, to (`null`: still).
        pub live_from_ms: Option<i64>,
        /// See `live_from_ms`.
        pub live_to_ms: Option<i64>,
        /// Made.
        pub created_ms: Option<i64>,
        /// The control plane's own metrics.
        pub metrics: Vec<NamedValue>,
        /// The control plane says that it can be served.
        pub ready: bool,
    }

    /// A name and a number.
    pub struct NamedValue {
        /// Name.
        pub name: String,
        /// Value.
        pub value: f64,
    }

    /// One call.
    pub struct PlannedCall {
        /// In words.
        pub purpose: String,
        /// Method, or `RUN`.
        pub method: String,
        /// URL, or command line.
        pub url: String,
        /// Headers, secrets masked.
        pub headers: Vec<(String, String)>,
        /// Body as JSON text.
        pub body: Option<String>,
        /// The same as a curl command, secrets masked.
        pub curl: String,
    }

    /// One preflight check.
    #[derive(Eq)]
    pub struct Check {
        /// Stable name.
        pub check: String,
        /// `pass`, `warn` or `block`.
        pub status: CheckStatus,
        /// What was found.
        pub detail: String,
    }

    /// How a check came out.
    #[derive(Copy, Eq)]
    pub enum CheckStatus {
        /// Fine.
        Pass,
        /// Read it.
        Warn,
        /// Must not go on.
        Block,
    }

    /// Confirms a plan.
    #[derive(Eq)]
    pub struct RollbackApplyRequest {
        /// The plan.
        pub plan_id: String,
        /// The endpoint's name, typed.
        pub confirm: String,
        /// Why.
        pub reason: String,
    }

    /// Names one run.
    #[derive(Eq)]
    pub struct RollbackStatusRequest {
        /// Its id.
        pub run_id: String,
    }

    /// A rollback under way or over.
    pub struct RollbackRun {
        /// Its id.
        pub run_id: String,
        /// Endpoint.
        pub endpoint_id: i64,
        /// Its name.
        pub endpoint: String,
        /// From.
        pub from: Option<String>,
        /// To.
        pub to: String,
        /// `pending`, `applying`, `verifying`, `finished`.
        pub state: RunState,
        /// What was proved, once finished.
        pub verdict: Option<Verdict>,
        /// One sentence that says what the verdict rests on.
        pub summary: String,
        /// Steps.
        pub steps: Vec<RunStep>,
        /// Numbers behind the verdict.
        pub evidence: Vec<Fact>,
        /// Who confirmed it.
        pub who: String,
        /// Why.
        pub reason: String,
        /// Confirmed at.
        pub started_ms: i64,
        /// Ended at.
        pub finished_ms: Option<i64>,
    }

    /// Where a run stands.
    #[derive(Copy, Eq)]
    pub enum RunState {
        /// Written down.
        Pending,
        /// Sending.
        Applying,
        /// Watching the endpoint.
        Verifying,
        /// Over.
        Finished,
    }

    /// What a run proved.
    #[derive(Copy, Eq)]
    pub enum Verdict {
        /// Proved good.
        Verified,
        /// Accepted, not proved.
        NotVerified,
        /// Taken back.
        Reverted,
        /// Refused.
        Failed,
        /// Cannot be told.
        OutcomeUnknown,
    }

    /// One step.
    #[derive(Eq)]
    pub struct RunStep {
        /// In words.
        pub purpose: String,
        /// `waiting`, `sent`, `done`, `failed`.
        pub state: StepState,
        /// When it came that far.
        pub at_ms: i64,
        /// What was found.
        pub detail: String,
    }

    /// How far a step came.
    #[derive(Copy, Eq)]
    pub enum StepState {
        /// Not begun.
        Waiting,
        /// Under way.
        Sent,
        /// Done.
        Done,
        /// Failed.
        Failed,
    }

    /// A named finding.
    #[derive(Eq)]
    pub struct Fact {
        /// Name.
        pub name: String,
        /// Value as text.
        pub value: String,
    }

    /// Runs of an endpoint.
    pub struct RollbackRuns {
        /// Newest first.
        pub runs: Vec<RollbackRun>,
    }
}
