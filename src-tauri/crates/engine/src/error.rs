//! What can go wrong in the engine.

use pilothouse_config::ConfigError;
use pilothouse_control::ControlError;
use pilothouse_domain::{EndpointId, RunId, TargetFailure, UnknownReason, endpoint::InvalidSetting};
use pilothouse_explain::ExplainError;
use pilothouse_secrets::SecretError;
use pilothouse_serving::ServingError;
use pilothouse_stats::StatsError;
use pilothouse_store::StoreError;

/// A failed engine operation.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyring failed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Our own transport settings cannot be used.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The control plane failed or refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A statistic could not be computed.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// An explanation could not be computed.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A configuration cannot be read or written.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// Somebody changed the set-up after it was compared.
    #[error("the set-up was changed by somebody else after it was compared; nothing was applied")]
    ConfigurationChanged,
    /// A golden set of this name holds other rows already.
    #[error(
        "the golden set `{0}` is stored with another task, other rows or other labels, and a stored one never changes; \
         nothing was applied"
    )]
    GoldenSetDiffers(String),
    /// A setting is out of range.
    #[error("setting {0}")]
    Setting(#[from] InvalidSetting),
    /// No such endpoint.
    #[error("there is no endpoint with id {0}")]
    NoEndpoint(EndpointId),
    /// Something else that was named does not exist.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The endpoint did not answer as it should.
    #[error("`{endpoint}` did not answer in order: {reason}: {detail}", reason = .reason.phrase())]
    Target {
        /// Endpoint name.
        endpoint: String,
        /// Why.
        reason: TargetFailure,
        /// What was seen.
        detail: String,
    },
    /// We could not ask the endpoint.
    #[error("could not ask `{endpoint}`: {reason}: {detail}", reason = .reason.phrase())]
    Ours {
        /// Endpoint name.
        endpoint: String,
        /// Why.
        reason: UnknownReason,
        /// What was seen.
        detail: String,
    },
    /// The endpoint has no golden set.
    #[error("`{0}` has no golden set; import one on its Accuracy tab")]
    NoGoldenSet(String),
    /// The endpoint has no control plane.
    #[error("`{0}` has no control plane; name one in its settings to see versions and roll back")]
    NoControlPlane(String),
    /// The cloud that runs the endpoint does not describe it.
    #[error("the cloud does not describe `{endpoint}`: {why}")]
    Undescribed {
        /// Endpoint name.
        endpoint: String,
        /// Why not.
        why: String,
    },
    /// The model's outputs do not fit the golden set's task.
    #[error("the answer of `{endpoint}` does not fit its golden set: {why}")]
    Outputs {
        /// Endpoint name.
        endpoint: String,
        /// What differs.
        why: String,
    },
    /// The plan's preflight blocks.
    #[error("the preflight blocks this rollback: {0}")]
    Blocked(String),
    /// The confirmation does not match.
    #[error("the typed name `{typed}` is not the endpoint's name `{name}`; nothing was sent")]
    NotConfirmed {
        /// What was typed.
        typed: String,
        /// What was expected.
        name: String,
    },
    /// There is no version to go back to.
    #[error("no earlier version of `{0}` is known to roll back to; choose one by hand")]
    NoTarget(String),
    /// Another process carries out this run.
    #[error("run {0} is being carried out by another process")]
    RunElsewhere(RunId),
    /// The operation was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A broken invariant of ours.
    #[error("internal failure: {0}; please report it with the log file")]
    Internal(String),
}
