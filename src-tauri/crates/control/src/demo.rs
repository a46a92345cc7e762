//! The demo fleet's registry: lists a model's versions and switches the live one at once.
//!
//! Wire: `GET /registry/models/{model}` and `PUT /registry/models/{model}/live {"version","expected"}`, answered 200, 404
//! (no such model or version) or 409 (another version than `expected` is live).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{Check, ModelVersion, PlannedCall, RollbackPlan, TimestampMs, VersionId};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::wire::{Wire, below, checked_url};
use crate::{
    Authorizer, CallReply, ControlClient, ControlError, ControlPlane, ControlState, Planned, planned_call, preflight,
};

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
        client: ControlClient,
        credential: Arc<Authorizer>,
    ) -> Result<Self, ControlError> {
        checked_url("url", base)?;
        if model.is_empty() {
            return Err(ControlError::Misconfigured { setting: "model", problem: "must not be empty".into() });
        }
        let wire = Wire::new("the demo registry", base, client, credential);
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
            url: self.wire.shown_url(self.live_url()),
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pilothouse_domain::{CheckStatus, EndpointId, PlanId};

    use super::*;
    use crate::fake::{Asked, Fake, Reply};
    use crate::wire::tests::{authorizer, client};
    use crate::{Credential, Refusal};

    /// A registry with v5, v6 and v7, of which v7 is live, as the demo fleet's.
    async fn registry() -> Fake {
        let live = Arc::new(Mutex::new("v7".to_owned()));
        Fake::start(move |asked: &Asked| {
            let mut live = live.lock().unwrap();
            match (asked.method.as_str(), asked.target.as_str()) {
                ("GET", "/registry/models/credit-risk") => Reply::json(
                    200,
                    &json!({"name": "credit-risk", "live": *live, "etag": "7", "versions": [
                        {"version": "v5", "created_ms": 5, "ready": false, "description": "old", "metrics": {}},
                        {"version": "v6", "created_ms": 6, "ready": true, "description": "", "metrics": {"accuracy": 0.76}},
                        {"version": "v7", "created_ms": 7, "ready": true, "description": "", "metrics": {"accuracy": 0.75}},
                    ]}),
                ),
                ("PUT", "/registry/models/credit-risk/live") => {
                    let body: Value = serde_json::from_str(&asked.body).unwrap();
                    if body["expected"] != *live {
                        return Reply::json(409, &json!({"error": format!("{live} is live")}));
                    }
                    *live = body["version"].as_str().unwrap().to_owned();
                    Reply::json(200, &json!({"live": *live}))
                }
                _ => Reply::json(404, &json!({"error": "no such model"})),
            }
        })
        .await
    }

    fn demo(url: &Url, model: &str) -> Demo {
        Demo::new(url, model, client(), authorizer(Credential::None)).unwrap()
    }

    fn plan(demo: &Demo, from: &str, to: &str) -> RollbackPlan {
        let (from, to) = (VersionId::from(from), VersionId::from(to));
        let Planned { calls, follows } = demo.plan(Some(&from), &to);
        let (id, endpoint) = (PlanId::from("p"), EndpointId(1));
        RollbackPlan { id, endpoint, created: TimestampMs(0), from: Some(from), to, calls, follows }
    }

    fn statuses(checks: &[Check]) -> Vec<(&str, CheckStatus)> {
        checks.iter().map(|check| (check.check.as_str(), check.status)).collect()
    }

    #[tokio::test]
    async fn a_bad_version_is_rolled_back_once() {
        let fake = registry().await;
        let demo = demo(&fake.url, "credit-risk");
        let state = demo.state().await.unwrap();
        assert_eq!(state.current, Some("v7".into()));
        assert_eq!(state.versions.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["v7", "v6", "v5"]);

        let plan = plan(&demo, "v7", "v6");
        let checks = demo.preflight(&plan).await;
        assert!(checks.iter().all(|check| check.status == CheckStatus::Pass), "{checks:?}");
        assert_eq!(checks[2].detail, "version v6: accuracy 0.7600 (live version v7: 0.7500)");
        assert!(fake.writes().is_empty(), "a preflight only reads");

        let reply = demo.send(&plan, 0).await.unwrap();
        assert_eq!(reply.status, Some(200));
        let sent = &fake.writes()[0];
        let shown = &plan.calls[0];
        assert_eq!(shown.url, fake.url.join(&sent.target).unwrap().as_str());
        assert_eq!((shown.method.as_str(), shown.body.as_ref().unwrap().to_string()), ("PUT", sent.body.clone()));

        // The same plan again finds v6 live, where it expects v7.
        assert_eq!(demo.send(&plan, 0).await.unwrap_err().refusal(), Some(Refusal::Changed));
        let after = demo.state().await.unwrap();
        assert_eq!(after.current, Some("v6".into()));
        assert_ne!(after.fingerprint, state.fingerprint);
        assert_eq!(statuses(&demo.preflight(&plan).await)[3], ("current_unchanged", CheckStatus::Block));
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_served_blocks() {
        let fake = registry().await;
        let demo = demo(&fake.url, "credit-risk");
        let checks = demo.preflight(&plan(&demo, "v7", "v5")).await;
        assert_eq!(
            statuses(&checks)[..3],
            [
                ("target_exists", CheckStatus::Pass),
                ("target_ready", CheckStatus::Block),
                ("target_metrics", CheckStatus::Warn)
            ]
        );
        let checks = demo.preflight(&plan(&demo, "v7", "v99")).await;
        assert_eq!(statuses(&checks)[0], ("target_exists", CheckStatus::Block));
    }

    #[tokio::test]
    async fn a_plan_of_other_settings_is_not_sent() {
        let fake = registry().await;
        let demo = demo(&fake.url, "credit-risk");
        let mut plan = plan(&demo, "v7", "v6");
        plan.calls[0].url = "http://127.0.0.1:1/registry/models/other/live".into();
        assert_eq!(demo.send(&plan, 0).await.unwrap_err().refusal(), Some(Refusal::PlanOutdated));
        assert_eq!(demo.send(&plan, 1).await.unwrap_err().refusal(), Some(Refusal::PlanOutdated));
        assert_eq!(statuses(&demo.preflight(&plan).await)[3], ("current_unchanged", CheckStatus::Block));
        assert!(fake.writes().is_empty());
    }

    #[tokio::test]
    async fn an_unknown_model_blocks_with_the_reason() {
        let fake = registry().await;
        let demo = demo(&fake.url, "nope");
        assert_eq!(demo.state().await.unwrap_err().refusal(), Some(Refusal::NotFound));
        let checks = demo.preflight(&plan(&demo, "v7", "v6")).await;
        assert_eq!(checks.len(), 6);
        assert!(checks[0].detail.contains("no such model") && checks[0].status == CheckStatus::Block, "{checks:?}");
    }
}
