//! The demo fleet's registry: lists a model's versions and switches the live one at once.
//!
//! Wire: `GET /registry/models/{model}` and `PUT /registry/models/{model}/live {"version","expected"}`, answered 200, 404
//! (no such model or version) or 409 (another version than `expected` is live).

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{Check, ModelVersion, PlannedCall, RollbackPlan, TimestampMs, VersionId};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::credential::CredentialHeader;
use crate::wire::{Wire, below, checked_url};
use crate::{CallReply, ControlError, ControlPlane, ControlState, Credential, Planned, planned_call, preflight};

/// One model of the demo registry.
#[derive(Debug)]
pub(crate) struct Demo {
    base: Url,
    model: String,
    wire: Wire,
}

impl Demo {
    /// Checks the settings.
    pub(crate) fn new(
        base: &Url,
        model: &str,
        client: reqwest::Client,
        credential: Credential,
    ) -> Result<Self, ControlError> {
        checked_url("url", base)?;
        if model.is_empty() {
            return Err(ControlError::Misconfigured { setting: "model", problem: "must not be empty".into() });
        }
        let wire = Wire::new("the demo registry", base, client, CredentialHeader::new(&credential)?);
        Ok(Self { base: base.clone(), model: model.to_owned(), wire })
    }

    fn live_url(&self) -> Url {
        below(&self.base, &["registry", "models", &self.model, "live"])
    }

    fn live_body(from: Option<&VersionId>, to: &VersionId) -> Value {
        json!({ "version": to, "expected": from })
    }
}

#[async_trait]
impl ControlPlane for Demo {
    fn kind(&self) -> &'static str {
        "demo"
    }

    async fn state(&self) -> Result<ControlState, ControlError> {
        let answer = self.wire.read(&below(&self.base, &["registry", "models", &self.model])).await?;
        let model: RegistryModel =
            serde_json::from_value(answer).map_err(|error| self.wire.unreadable(Some(200), error.to_string()))?;
        Ok(model.into_state())
    }

    fn plan(&self, current: Option<&VersionId>, to: &VersionId) -> Planned {
        let call = PlannedCall {
            purpose: format!("Make version {to} of `{}` live", self.model),
            method: "PUT".into(),
            url: self.live_url().to_string(),
            headers: self.wire.shown_headers(true),
            body: Some(Self::live_body(current, to)),
        };
        Planned { calls: vec![call], follows: Follows::Yes }
    }

    async fn preflight(&self, plan: &RollbackPlan) -> Vec<Check> {
        let state = self.state().await;
        let planned = self.plan(plan.from.as_ref(), &plan.to);
        let outdated =
            (0..planned.calls.len().max(plan.calls.len())).find_map(|call| planned_call(plan, &planned, call).err());
        preflight::checks(
            plan,
            &state,
            outdated.as_ref(),
            "the demo registry lets everyone on this machine switch",
            None,
        )
    }

    async fn send(&self, plan: &RollbackPlan, call: usize) -> Result<CallReply, ControlError> {
        planned_call(plan, &self.plan(plan.from.as_ref(), &plan.to), call)?;
        // The registry compares `expected` and switches in one step, so nothing can come in between.
        let body = Self::live_body(plan.from.as_ref(), &plan.to);
        let answer = self.wire.write(Method::PUT, &self.live_url(), Some(&body)).await?;
        Ok(CallReply { status: Some(answer.status), detail: format!("the registry made version {} live", plan.to) })
    }
}

#[derive(Debug, Deserialize)]
struct RegistryModel {
    live: Option<String>,
    #[serde(default)]
    etag: Option<String>,
    versions: Vec<RegistryVersion>,
}

#[derive(Debug, Deserialize)]
struct RegistryVersion {
    version: String,
    #[serde(default)]
    created_ms: Option<i64>,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
}

impl RegistryModel {
    fn into_state(self) -> ControlState {
        let mut versions: Vec<ModelVersion> = self
            .versions
            .into_iter()
            .map(|version| ModelVersion {
                id: VersionId(version.version),
                created: version.created_ms.map(TimestampMs),
                ready: version.ready,
                labels: version.description.into_iter().map(|text| ("description".to_owned(), text)).collect(),
                metrics: version.metrics,
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.created));
        // The entity tag alone may stand still between two switches to the same content; the version is the truth.
        let fingerprint = format!("{} {}", self.live.as_deref().unwrap_or("-"), self.etag.as_deref().unwrap_or("-"));
        ControlState { current: self.live.map(VersionId), versions, fingerprint }
    }
}
