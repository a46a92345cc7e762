//! An MLflow model registry: an alias (such as `champion`) points at the version that production should load.
//!
//! Wire: the REST API `2.0` of MLflow (read against 3.17). What it hides: paging, filter quoting, run metrics. What must
//! stay true: the alias is read and compared right before it is moved, and read back after; the registry has no
//! compare-and-set, so a change in the milliseconds between stays possible and is found by the read-back or by `state`.

mod answers;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use http::Method;
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{Check, ModelVersion, PlannedCall, RollbackPlan, VersionId};
use serde_json::{Value, json};
use url::Url;

use crate::preflight::{named, unchanged};
use crate::reload::Reloader;
use crate::wire::{Wire, below, checked_url};
use crate::{
    Authorizer, CallReply, ControlClient, ControlError, ControlPlane, ControlState, ModelSignature, Planned, Refusal,
    planned_call, preflight,
};

/// Versions per page, the most that MLflow gives by default settings is far above.
const PAGE: usize = 200;
/// Pages read at most: 10,000 versions.
const MAX_PAGES: usize = 50;
/// The newest versions whose metrics are read, besides those of the live version and of a plan's target.
const WITH_METRICS: usize = 20;
/// Runs read at a time.
const RUNS_AT_A_TIME: usize = 4;
/// The plan's call that moves the alias; the reload, if any, comes after it.
const MOVE: usize = 0;

/// One alias of one registered model.
#[derive(Debug)]
pub(crate) struct Mlflow {
    base: Url,
    model: String,
    alias: String,
    wire: Wire,
    reload: Option<Reloader>,
    /// Metrics of finished runs, which no longer change, by run id.
    finished_runs: Mutex<HashMap<String, BTreeMap<String, f64>>>,
}

impl Mlflow {
    /// Checks the settings.
    pub(crate) fn new(
        base: &Url,
        model: &str,
        alias: &str,
        client: ControlClient,
        credential: Arc<Authorizer>,
        reload: Option<Reloader>,
    ) -> Result<Self, ControlError> {
        checked_url("url", base)?;
        let problem = |setting, problem: &str| Err(ControlError::Misconfigured { setting, problem: problem.into() });
        if model.is_empty() {
            return problem("model", "must not be empty");
        }
        // MLflow's filter language knows both quotes but no escape.
        if model.contains('\'') && model.contains('"') {
            return problem("model", "must not contain both kinds of quotes: MLflow cannot search for such a name");
        }
        if alias.is_empty() {
            return problem("alias", "must not be empty; `champion` is usual");
        }
        let wire = Wire::new("MLflow", base, client, credential);
        let (base, model, alias) = (base.clone(), model.to_owned(), alias.to_owned());
        Ok(Self { base, model, alias, wire, reload, finished_runs: Mutex::default() })
    }

    fn url(&self, route: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = below(&self.base, &["api", "2.0", "mlflow"]);
        url = below(&url, route);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn alias_url(&self) -> Url {
        self.url(&["registered-models", "alias"], &[])
    }

    fn alias_body(&self, to: &VersionId) -> Value {
        json!({ "name": self.model, "alias": self.alias, "version": to })
    }

    /// The version that the alias points at. MLflow says 400 when there is no such alias and 404 when there is no such model.
    async fn current(&self) -> Result<Option<VersionId>, ControlError> {
        let url = self.url(&["registered-models", "alias"], &[("name", &self.model), ("alias", &self.alias)]);
        match self.wire.read(&url).await {
            Ok(answer) => answers::alias_target(&answer)
                .map(Some)
                .ok_or_else(|| self.wire.unreadable(Some(200), "it lacks `model_version.version`".into())),
            Err(ControlError::Refused { status: Some(400), why, .. }) if answers::is_missing_alias(&why) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All versions, newest first, without metrics, each with the id of the run that made it.
    async fn versions(&self) -> Result<Vec<(ModelVersion, Option<String>)>, ControlError> {
        let quote = if self.model.contains('\'') { '"' } else { '\'' };
        let filter = format!("name={quote}{}{quote}", self.model);
        let mut versions = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page_size = PAGE.to_string();
            let mut query = vec![("filter", filter.as_str()), ("max_results", page_size.as_str())];
            if !token.is_empty() {
                query.push(("page_token", token.as_str()));
            }
            let answer = self.wire.read(&self.url(&["model-versions", "search"], &query)).await?;
            let page = answers::version_page(&answer).map_err(|why| self.wire.unreadable(Some(200), why))?;
            versions.extend(page.versions);
            match page.next {
                Some(next) if next != token => token = next,
                _ => break,
            }
        }
        // Versions count up from 1; a server with other names is sorted by time.
        versions.sort_by_cached_key(|(version, _)| {
            std::cmp::Reverse((version.id.0.parse::<u64>().unwrap_or(0), version.created))
        });
        Ok(versions)
    }

    /// The metrics of a run; empty when it cannot be read, since a rollback must not hang on them.
    async fn run_metrics(&self, run: &str) -> BTreeMap<String, f64> {
        let known = self.finished_runs.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
        if let Some(known) = known {
            return known;
        }
        let Ok(answer) = self.wire.read(&self.url(&["runs", "get"], &[("run_id", run)])).await else {
            tracing::debug!(run, "the run's metrics could not be read");
            return BTreeMap::new();
        };
        let (metrics, finished) = answers::run_metrics(&answer);
        if finished {
            let mut runs = self.finished_runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.insert(run.to_owned(), metrics.clone());
        }
        metrics
    }

    /// The state, with metrics of the newest versions, the live one and `target`.
    async fn read_state(&self, target: Option<&VersionId>) -> Result<ControlState, ControlError> {
        let current = self.current().await?;
        let versions = self.versions().await?;
        let wanted = versions.iter().enumerate().filter_map(|(at, (version, run))| {
            let close = at < WITH_METRICS || Some(&version.id) == current.as_ref() || Some(&version.id) == target;
            run.clone().filter(|_| close).map(|run| (at, run))
        });
        let found: Vec<(usize, BTreeMap<String, f64>)> = stream::iter(wanted.collect::<Vec<_>>())
            .map(async |(at, run)| (at, self.run_metrics(&run).await))
            .buffer_unordered(RUNS_AT_A_TIME)
            .collect()
            .await;
        let mut versions: Vec<ModelVersion> = versions.into_iter().map(|(version, _)| version).collect();
        for (at, metrics) in found {
            versions[at].metrics = metrics;
        }
        let fingerprint = format!("{}={}", self.alias, current.as_ref().map_or("-", VersionId::as_str));
        Ok(ControlState { current, versions, fingerprint })
    }

    async fn move_alias(&self, plan: &RollbackPlan) -> Result<CallReply, ControlError> {
        unchanged(self.wire.name(), self.current().await?.as_ref(), plan.from.as_ref())?;
        let answer = self.wire.write(Method::POST, &self.alias_url(), Some(&self.alias_body(&plan.to))).await?;
        let status = Some(answer.status);
        // A proxy's sign-in page also says 200, so only reading the alias back tells that MLflow did it.
        let acknowledged = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body.is_object());
        let alias = &self.alias;
        match self.current().await {
            Ok(current) if current.as_ref() == Some(&plan.to) => {
                let detail = format!("accepted; read back: alias `{alias}` points at version {}", plan.to);
                Ok(CallReply { status, detail })
            }
            Ok(current) => Err(ControlError::Ambiguous {
                to: self.wire.name().to_owned(),
                status,
                why: format!("it accepted, but read back, alias `{alias}` points at {}", named(current.as_ref())),
            }),
            Err(error) if acknowledged => {
                let detail = format!("accepted, but alias `{alias}` could not be read back: {error}");
                Ok(CallReply { status, detail })
            }
            Err(error) => Err(ControlError::Ambiguous {
                to: self.wire.name().to_owned(),
                status,
                why: format!("its answer is not MLflow's, and alias `{alias}` could not be read back: {error}"),
            }),
        }
    }
}

#[async_trait]
impl ControlPlane for Mlflow {
    fn kind(&self) -> &'static str {
        "mlflow"
    }

    async fn state(&self) -> Result<ControlState, ControlError> {
        self.read_state(None).await
    }

    async fn signature(&self, version: Option<&VersionId>) -> Result<Option<ModelSignature>, ControlError> {
        let current = if version.is_none() { self.current().await? } else { None };
        let Some(version) = version.or(current.as_ref()) else { return Ok(None) };
        // The route of MLflow's own pages, and the only one that gives a version's file without its storage's credential.
        let mut url = below(&self.base, &["model-versions", "get-artifact"]);
        url.query_pairs_mut().extend_pairs([
            ("path", "MLmodel"),
            ("name", self.model.as_str()),
            ("version", version.as_str()),
        ]);
        let answer = self.wire.read_bytes(&url).await?;
        signature::read(&answer.body).map_err(|why| self.wire.unreadable(Some(answer.status), why))
    }

    fn plan(&self, _current: Option<&VersionId>, to: &VersionId) -> Planned {
        let mut calls = vec![PlannedCall {
            purpose: format!("Point alias `{}` of `{}` at version {to}", self.alias, self.model),
            method: "POST".into(),
            url: self.wire.shown_url(self.alias_url()),
            headers: self.wire.shown_headers(true),
            body: Some(self.alias_body(to)),
        }];
        let follows = match &self.reload {
            Some(reload) => {
                calls.push(reload.planned());
                Follows::Yes
            }
            None => Follows::No(
                "MLflow's scoring server keeps the version that it loaded when it started, and no reload is set up: \
                 restart it yourself, or add a reload call or command in the settings"
                    .into(),
            ),
        };
        Planned { calls, follows }
    }

    async fn preflight(&self, plan: &RollbackPlan) -> Vec<Check> {
        let state = self.read_state(Some(&plan.to)).await;
        let planned = self.plan(plan.from.as_ref(), &plan.to);
        let outdated =
            (0..planned.calls.len().max(plan.calls.len())).find_map(|call| planned_call(plan, &planned, call).err());
        let permission = if self.wire.has_credential() {
            "the credential may read the registry; MLflow tells only at the write whether it may also move the alias"
        } else {
            "the registry can be read without a credential; MLflow tells only at the write whether the alias may be moved"
        };
        preflight::checks(plan, &state, outdated.as_ref(), permission, self.reload.as_ref().map(Reloader::check))
    }

    async fn send(&self, plan: &RollbackPlan, call: usize) -> Result<CallReply, ControlError> {
        planned_call(plan, &self.plan(plan.from.as_ref(), &plan.to), call)?;
        if call == MOVE {
            return self.move_alias(plan).await;
        }
        // Somebody may have moved the alias on since: a reload would then load what nobody confirmed.
        unchanged(self.wire.name(), self.current().await?.as_ref(), Some(&plan.to))?;
        match &self.reload {
            Some(reload) => reload.send().await,
            None => Err(self.wire.refused(Refusal::PlanOutdated, None, "no reload is set up any more".into())),
        }
    }
}
