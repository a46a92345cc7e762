//! Control planes: the systems that decide which version of a model is live, and how they are told to go back.
//!
//! What it is: one trait, [`ControlPlane`], with one file per system ([`connect`] picks it). What it hides: each
//! system's wire format, its paging and its error bodies. What must stay true: nothing is written except by
//! [`ControlPlane::send`], which sends exactly one call of a plan as the plan shows it; only [`ControlError::Ambiguous`]
//! may have changed anything; no credential stands in a plan, an error, a log line or a debug print.

mod command;
mod demo;
mod error;
#[cfg(test)]
mod fake;
mod mlflow;
mod preflight;
mod reload;
mod text;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{Check, ControlPlaneConfig, ModelVersion, PlannedCall, RollbackPlan, VersionId};

pub use error::{ControlError, Refusal};
/// The credential of a control plane, in use and with its value.
pub use pilothouse_serving::{Authorizer, ControlClient, Credential};

/// What a registry says a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSignature {
    /// Inputs, in order.
    pub inputs: Vec<SignatureField>,
    /// Outputs, in order.
    pub outputs: Vec<SignatureField>,
}

/// One input or output of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureField {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its type by the names of the Open Inference Protocol (`FP64`, `BYTES`, …); any other word as the registry has it.
    pub datatype: String,
    /// Dimensions with the rows first, -1 for any size.
    pub shape: Vec<i64>,
    /// Whether a request must hold it.
    pub required: bool,
}

/// A system that decides which version of one model is live.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// The word of the configuration file: `demo` or `mlflow`.
    fn kind(&self) -> &'static str;

    /// What is live now, and what could be. Only reads.
    async fn state(&self) -> Result<ControlState, ControlError>;

    /// What a version takes and gives, where this system keeps that. Without a version that of the live one. Only reads.
    async fn signature(&self, _version: Option<&VersionId>) -> Result<Option<ModelSignature>, ControlError> {
        Ok(None)
    }

    /// The calls that make `to` live, exactly as they will be sent, secrets masked. Reads and writes nothing.
    fn plan(&self, current: Option<&VersionId>, to: &VersionId) -> Planned;

    /// What can be known before writing: `target_exists`, `target_ready`, `target_metrics`, `current_unchanged`,
    /// `permission` and `reload`, always all six and in this order. Only reads; a failed read is a blocking check.
    async fn preflight(&self, plan: &RollbackPlan) -> Vec<Check>;

    /// Sends call number `call` of the plan (counted from 0), after proving that the configuration still yields that
    /// very call and that the control plane stands where the plan expects it.
    ///
    /// Of the errors, only [`ControlError::Ambiguous`] may have changed anything.
    async fn send(&self, plan: &RollbackPlan, call: usize) -> Result<CallReply, ControlError>;
}

/// What a control plane says.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlState {
    /// The live version; `None` when the control plane points at none.
    pub current: Option<VersionId>,
    /// All versions, newest first.
    pub versions: Vec<ModelVersion>,
    /// A text that changes whenever `current` changes.
    pub fingerprint: String,
}

/// The part of a plan that the control plane contributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The calls, in order.
    pub calls: Vec<PlannedCall>,
    /// Whether serving will follow.
    pub follows: Follows,
}

/// What a call was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReply {
    /// The HTTP status; `None` for a local command.
    pub status: Option<u16>,
    /// What was answered or found, for people. Untrusted text, without control characters, at most 400 characters.
    pub detail: String,
}

/// The control plane of a configuration.
///
/// `client` is the transport's, by the endpoint's own way. `reload_credential` is used for an HTTP [reload] only.
///
/// [reload]: pilothouse_domain::endpoint::Reload
pub fn connect(
    config: &ControlPlaneConfig,
    client: ControlClient,
    credential: Authorizer,
    reload_credential: Authorizer,
) -> Result<Arc<dyn ControlPlane>, ControlError> {
    let (credential, reload_credential) = (Arc::new(credential), Arc::new(reload_credential));
    match config {
        ControlPlaneConfig::Demo { url, model } => Ok(Arc::new(demo::Demo::new(url, model, client, credential)?)),
        ControlPlaneConfig::Mlflow { url, model, alias, auth: _, reload } => {
            let reload = reload
                .as_ref()
                .map(|reload| reload::Reloader::new(reload, client.clone(), reload_credential))
                .transpose()?;
            Ok(Arc::new(mlflow::Mlflow::new(url, model, alias, client, credential, reload)?))
        }
    }
}

/// Refuses unless call number `call` of a stored plan is the one that the present configuration yields. So what is sent
/// is what was shown and confirmed, although the stored plan holds masks in place of secrets.
pub(crate) fn planned_call(plan: &RollbackPlan, planned: &Planned, call: usize) -> Result<(), ControlError> {
    let stored = plan.calls.get(call);
    if stored.is_some() && stored == planned.calls.get(call) {
        return Ok(());
    }
    Err(ControlError::Refused {
        by: "Pilothouse".into(),
        reason: Refusal::PlanOutdated,
        status: None,
        why: format!("call {} of the plan is not the one that the present settings give", call + 1),
    })
}
