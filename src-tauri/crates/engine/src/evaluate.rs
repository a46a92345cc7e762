//! Golden-set evaluation: the same labelled rows against the live version, again and again.

use std::sync::Arc;
use std::time::Instant;

use pilothouse_domain::{
    Cell, EndpointId, Evaluation, EvaluationId, EventKind, GoldenSet, GoldenSetId, Outcome, Table, VersionId,
};
use pilothouse_serving::{ModelClient, PredictFailure};
use pilothouse_stats::{MetricOptions, evaluate};

use crate::engine::lock;
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic, outputs_for_task};

/// Rows per request: small enough for every server's default body limit, large enough to cost few requests.
const ROWS_PER_REQUEST: usize = 200;

impl Engine {
    /// Evaluates an endpoint's golden set at once and records it.
    pub async fn evaluate_now(&self, id: EndpointId) -> Result<Evaluation, EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        self.evaluate_watched(&watched).await
    }

    pub(crate) async fn evaluate_and_log(&self, watched: &Watched) {
        let done = match self.may_answer_as_another_version(watched).await {
            // The run evaluates by itself once it has proved what answers.
            Ok(true) => return,
            Ok(false) => self.evaluate_watched(watched).await,
            Err(error) => Err(error),
        };
        let Err(error) = done else { return };
        tracing::warn!(endpoint = %watched.endpoint.name, %error, "evaluation failed");
        let was_failing = std::mem::replace(&mut *lock(&watched.evaluation_failing), true);
        if !was_failing {
            let kind = EventKind::EvaluationFailed { reason: error.to_string() };
            if let Err(error) = self.record_event(Some(watched.endpoint.id), self.now(), kind).await {
                tracing::error!(%error, "a failed evaluation could not be written down");
            }
        }
    }

    /// Whether a rollback is under way of an endpoint that does not report its version: what it answers until the run ends
    /// may come from either version, and would be counted to the wrong one.
    async fn may_answer_as_another_version(&self, watched: &Watched) -> Result<bool, EngineError> {
        if lock(&watched.reported).is_some() {
            return Ok(false);
        }
        let unfinished = self.with_store(pilothouse_store::Store::unfinished_runs).await?;
        Ok(unfinished.iter().any(|run| run.plan.endpoint == watched.endpoint.id))
    }

    /// Evaluates any golden set against an endpoint. It is recorded when it is the endpoint's own; the evaluation of
    /// another one has the id 0 and is only told.
    pub async fn evaluate_golden_set(
        &self,
        id: EndpointId,
        golden_set: GoldenSetId,
    ) -> Result<Evaluation, EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        if watched.endpoint.evaluation.as_ref().is_some_and(|config| config.golden_set == golden_set) {
            return self.evaluate_watched(&watched).await;
        }
        self.measure(&watched, golden_set).await
    }

    pub(crate) async fn evaluate_watched(&self, watched: &Watched) -> Result<Evaluation, EngineError> {
        let endpoint = &watched.endpoint;
        let Some(config) = &endpoint.evaluation else { return Err(EngineError::NoGoldenSet(endpoint.name.clone())) };
        let mut evaluation = self.measure(watched, config.golden_set).await?;
        let stored = evaluation.clone();
        evaluation.id = self.with_store(move |store| store.add_evaluation(&stored)).await?;
        *lock(&watched.evaluation_failing) = false;
        self.conclude_evaluation(watched, &evaluation).await?;
        Ok(evaluation)
    }

    /// Asks the model for every row of a golden set and computes the metrics.
    async fn measure(&self, watched: &Watched, golden_set_id: GoldenSetId) -> Result<Evaluation, EngineError> {
        let endpoint = &watched.endpoint;
        let golden_set = self.golden_set(golden_set_id).await?;
        let _slot = self.inner.evaluation_slots.acquire().await.map_err(|_| EngineError::Cancelled)?;
        let client = self.client_of(watched).await?;
        let at = self.now();
        let before = self.version_by_control_plane(watched).await;
        let started = Instant::now();
        let (outputs, reported) = predict_golden_set(&client, &golden_set, &endpoint.name).await?;
        // The model's own time: what our statistics take says nothing of what asking it again will cost.
        let elapsed_ms = started.elapsed().as_millis() as u32;
        let version = if reported.is_some() {
            reported
        } else {
            if self.version_by_control_plane(watched).await != before {
                let why = "the version changed during the evaluation".to_owned();
                return Err(EngineError::Outputs { endpoint: endpoint.name.clone(), why });
            }
            self.current_version(endpoint.id).await?
        };
        let (metrics, outputs) = tokio::task::spawn_blocking(move || {
            let metrics = evaluate(&golden_set.task, &golden_set.labels, &outputs, &MetricOptions::default());
            metrics.map(|metrics| (metrics, outputs))
        })
        .await
        .map_err(|error| EngineError::Internal(error.to_string()))??;
        Ok(Evaluation {
            id: EvaluationId(0),
            endpoint: endpoint.id,
            golden_set: golden_set_id,
            version,
            at,
            n: outputs.len() as u32,
            metrics,
            predictions: outputs,
            elapsed_ms,
        })
    }

    /// What the control plane says is live, of an endpoint that does not report its version itself: its answers must not
    /// be counted to a version that was replaced since the control plane was asked last.
    async fn version_by_control_plane(&self, watched: &Watched) -> Option<VersionId> {
        if watched.endpoint.control_plane.is_none() || lock(&watched.reported).is_some() {
            return None;
        }
        match self.refresh_control_state(watched).await {
            Ok(state) => state.current,
            Err(error) => {
                tracing::debug!(endpoint = %watched.endpoint.name, %error, "the control plane does not tell its version");
                None
            }
        }
    }

    async fn conclude_evaluation(&self, watched: &Watched, evaluation: &Evaluation) -> Result<(), EngineError> {
        let id = watched.endpoint.id;
        let main = evaluation.main();
        let kind = EventKind::Evaluated {
            evaluation: evaluation.id,
            version: evaluation.version.clone(),
            metric: main.map(|metric| metric.name.clone()).unwrap_or_default(),
            value: main.and_then(|metric| metric.value),
        };
        // The timeline tells changes; an evaluation like the one before is in the chart anyway.
        let state = Arc::new(self.judge(&watched.endpoint, evaluation.clone()).await?);
        let before = std::mem::replace(&mut *lock(&watched.quality), Arc::clone(&state));
        let is_news = before.latest.as_ref().is_none_or(|last| last.version != evaluation.version)
            || before.problem != state.problem;
        if is_news {
            self.record_event(Some(id), evaluation.at, kind).await?;
        }
        let change = lock(&watched.health).observe_quality(state.problem.clone(), evaluation.at);
        if let Some(change) = change {
            self.record_health(watched, change, evaluation.at).await?;
        }
        self.publish(Topic::Quality(id));
        self.publish(Topic::Fleet);
        Ok(())
    }

    /// The version live now, as it was observed last.
    pub async fn current_version(&self, id: EndpointId) -> Result<Option<VersionId>, EngineError> {
        let live = self.with_store(move |store| store.live_versions(id)).await?;
        Ok(live.into_iter().find(|stretch| stretch.until.is_none()).map(|stretch| stretch.version))
    }

    /// Asks an endpoint's model for the outputs of some rows, as its golden set's task reads them.
    pub async fn predict(
        &self,
        id: EndpointId,
        table: &Table,
    ) -> Result<(Vec<Vec<f64>>, Option<VersionId>), EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        let endpoint = &watched.endpoint;
        let Some(config) = &endpoint.evaluation else { return Err(EngineError::NoGoldenSet(endpoint.name.clone())) };
        let golden_set = self.golden_set(config.golden_set).await?;
        let client = self.client_of(&watched).await?;
        let prediction = client.predict(table).await.map_err(|failure| predict_error(&endpoint.name, failure))?;
        let outputs = outputs_for_task(&golden_set.task, &prediction.rows)
            .map_err(|why| EngineError::Outputs { endpoint: endpoint.name.clone(), why })?;
        Ok((outputs, prediction.version))
    }
}

/// Predicts every golden row in order. When the version changes between two requests, the whole set is asked once more:
/// an evaluation belongs to one version.
async fn predict_golden_set(
    client: &ModelClient,
    golden_set: &GoldenSet,
    endpoint: &str,
) -> Result<(Vec<Vec<f64>>, Option<VersionId>), EngineError> {
    for _ in 0..2 {
        let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(golden_set.table.rows.len());
        let mut versions: Vec<Option<VersionId>> = Vec::new();
        for chunk in golden_set.table.rows.chunks(ROWS_PER_REQUEST) {
            let table = Table { columns: golden_set.table.columns.clone(), rows: chunk.to_vec() };
            let prediction = client.predict(&table).await.map_err(|failure| predict_error(endpoint, failure))?;
            if prediction.rows.len() != chunk.len() {
                let why = format!("{} rows were sent and {} came back", chunk.len(), prediction.rows.len());
                return Err(EngineError::Outputs { endpoint: endpoint.to_owned(), why });
            }
            rows.extend(prediction.rows);
            versions.push(prediction.version);
        }
        versions.dedup();
        if let [version] = versions.as_slice() {
            let outputs = outputs_for_task(&golden_set.task, &rows)
                .map_err(|why| EngineError::Outputs { endpoint: endpoint.to_owned(), why })?;
            return Ok((outputs, version.clone()));
        }
    }
    let why = "the version changed during the evaluation, twice".to_owned();
    Err(EngineError::Outputs { endpoint: endpoint.to_owned(), why })
}

pub(crate) fn predict_error(endpoint: &str, failure: PredictFailure) -> EngineError {
    match failure.outcome {
        Outcome::TargetFailed(reason) => {
            EngineError::Target { endpoint: endpoint.to_owned(), reason, detail: failure.detail }
        }
        Outcome::Unknown(reason) => EngineError::Ours { endpoint: endpoint.to_owned(), reason, detail: failure.detail },
        Outcome::Ok => EngineError::Internal(format!("a prediction failed without a reason: {}", failure.detail)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pilothouse_domain::rollback::Follows;
    use pilothouse_domain::{Health, PlanId, RollbackPlan, RollbackRun, RunId, RunState, TimestampMs};
    use pilothouse_secrets::Secrets;
    use pilothouse_store::{OpenOptions, Store};
    use pilothouse_testkit::{ManualClock, endpoint};

    use super::*;
    use crate::health::HealthTracker;
    use crate::quality::QualityState;

    #[tokio::test]
    async fn a_silent_endpoint_is_not_evaluated_while_its_version_changes() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("fleet.db");
        let store = Store::open(&database, &OpenOptions::default()).unwrap();
        let start = TimestampMs(1_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let engine = Engine::new(store.clone(), &database, Secrets::memory(), clock).unwrap();
        let mut settings = endpoint("diabetes", &"http://127.0.0.1:9".parse().unwrap());
        settings.id = store.add_endpoint(&settings).unwrap();
        let plan = RollbackPlan {
            id: PlanId::from("plan"),
            endpoint: settings.id,
            created: start,
            from: Some("v2".into()),
            to: "v1".into(),
            calls: Vec::new(),
            follows: Follows::Yes,
        };
        let mut run = RollbackRun {
            id: RunId::from("run"),
            plan: plan.clone(),
            who: "ada".into(),
            reason: String::new(),
            started: start,
            finished: None,
            state: RunState::Applying,
            preflight: Vec::new(),
            steps: Vec::new(),
            verdict: None,
            evidence: serde_json::json!({}),
        };
        let health = HealthTracker::new(Health::Healthy, start, false);
        let watched = Watched::new(settings, health, QualityState::default(), engine.inner.stop.child_token());
        assert!(!engine.may_answer_as_another_version(&watched).await.unwrap());

        store.add_plan(&plan).unwrap();
        store.begin_run(&run).unwrap();
        assert!(engine.may_answer_as_another_version(&watched).await.unwrap());
        *lock(&watched.reported) = Some("v2".into());
        assert!(!engine.may_answer_as_another_version(&watched).await.unwrap(), "its answers say who gave them");
        *lock(&watched.reported) = None;

        run.state = RunState::Finished;
        run.finished = Some(start);
        run.verdict = Some(pilothouse_domain::Verdict::Verified);
        store.update_run(&run).unwrap();
        assert!(!engine.may_answer_as_another_version(&watched).await.unwrap());
    }
}
