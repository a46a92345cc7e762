//! The rollback sheet: plans, runs, verdicts.

use pilothouse_domain as domain;
use pilothouse_domain::rollback::{Follows, StepState};
use pilothouse_domain::{CheckStatus, EndpointId, PlanId, RunId, RunState, Verdict, VersionId};

use crate::types::{
    self, EndpointRequest, Fact, RollbackApplyRequest, RollbackPlanRequest, RollbackRuns, RollbackStatusRequest,
};
use crate::{Api, ApiError};

impl Api {
    /// Prepares a rollback and checks it. Nothing is written anywhere else than in our own database.
    pub async fn rollback_plan(&self, request: RollbackPlanRequest) -> Result<types::RollbackPlan, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let prepared = self.engine.prepare_rollback(id, request.to.map(VersionId)).await?;
        let (choices, _) = self.version_facts(&endpoint, prepared.state.versions.clone()).await?;
        let facts = |version: &VersionId| choices.iter().find(|facts| facts.version == version.as_str()).cloned();
        let plan = &prepared.plan;
        Ok(types::RollbackPlan {
            plan_id: plan.id.to_string(),
            endpoint_id: id.0,
            production: endpoint.environment.is_production(),
            from: plan.from.as_ref().and_then(facts),
            to: facts(&plan.to).unwrap_or_else(|| unknown_version(&plan.to)),
            calls: plan.calls.iter().map(planned_call).collect(),
            will_not_follow: match &plan.follows {
                Follows::Yes => None,
                Follows::No(why) => Some(why.clone()),
            },
            preflight: prepared.preflight.iter().map(check).collect(),
            blocked: prepared.blocked().is_some(),
            created_ms: plan.created.0,
            endpoint: endpoint.name,
            choices,
        })
    }

    /// Carries out a prepared rollback. Answers as soon as it is written down; its progress is read with
    /// [`Api::rollback_status`].
    pub async fn rollback_apply(&self, request: RollbackApplyRequest) -> Result<types::RollbackRun, ApiError> {
        let run = self.engine.apply_rollback(&PlanId(request.plan_id), &request.confirm, &request.reason).await?;
        self.run_view(run).await
    }

    /// Where a rollback stands.
    pub async fn rollback_status(&self, request: RollbackStatusRequest) -> Result<types::RollbackRun, ApiError> {
        let run = self.engine.run(&RunId(request.run_id)).await?;
        self.run_view(run).await
    }

    /// Rollbacks of an endpoint, newest first.
    pub async fn rollback_runs(&self, request: EndpointRequest) -> Result<RollbackRuns, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let runs = self.engine.with_store(move |store| store.runs(Some(id))).await?;
        Ok(RollbackRuns { runs: runs.iter().map(|run| view(run, &endpoint.name)).collect() })
    }

    async fn run_view(&self, run: domain::RollbackRun) -> Result<types::RollbackRun, ApiError> {
        let endpoint = self.engine.endpoint(run.plan.endpoint).await?;
        Ok(view(&run, &endpoint.name))
    }
}

fn unknown_version(version: &VersionId) -> types::VersionFacts {
    types::VersionFacts {
        version: version.to_string(),
        quality: None,
        p95_us: None,
        live_from_ms: None,
        live_to_ms: None,
        created_ms: None,
        metrics: Vec::new(),
        ready: false,
    }
}

fn planned_call(call: &domain::PlannedCall) -> types::PlannedCall {
    types::PlannedCall {
        purpose: call.purpose.clone(),
        method: call.method.clone(),
        url: call.url.clone(),
        headers: call.headers.clone(),
        body: call.body.as_ref().map(|body| serde_json::to_string_pretty(body).unwrap_or_else(|_| body.to_string())),
        curl: curl(call),
    }
}

/// The call as a shell command, secrets masked. A local command is already one.
fn curl(call: &domain::PlannedCall) -> String {
    if call.method == "RUN" {
        return call.url.clone();
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut command = format!("curl -X {} {}", call.method, quoted(&call.url));
    for (name, value) in &call.headers {
        command += " -H ";
        command += &quoted(&format!("{name}: {value}"));
    }
    if let Some(body) = &call.body {
        if !call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            command += " -H 'Content-Type: application/json'";
        }
        command += " -d ";
        command += &quoted(&body.to_string());
    }
    command
}

fn check(check: &domain::Check) -> types::Check {
    types::Check {
        check: check.check.clone(),
        status: match check.status {
            CheckStatus::Pass => types::CheckStatus::Pass,
            CheckStatus::Warn => types::CheckStatus::Warn,
            CheckStatus::Block => types::CheckStatus::Block,
        },
        detail: check.detail.clone(),
    }
}

fn view(run: &domain::RollbackRun, endpoint: &str) -> types::RollbackRun {
    let steps = run.steps.iter().map(|step| types::RunStep {
        purpose: step.purpose.clone(),
        state: match step.state {
            StepState::Waiting => types::StepState::Waiting,
            StepState::Sent => types::StepState::Sent,
            StepState::Done => types::StepState::Done,
            StepState::Failed => types::StepState::Failed,
        },
        at_ms: step.at.0,
        detail: step.detail.clone(),
    });
    types::RollbackRun {
        run_id: run.id.to_string(),
        endpoint_id: run.plan.endpoint.0,
        endpoint: endpoint.to_owned(),
        from: run.plan.from.as_ref().map(VersionId::to_string),
        to: run.plan.to.to_string(),
        state: match run.state {
            RunState::Pending => types::RunState::Pending,
            RunState::Applying => types::RunState::Applying,
            RunState::Verifying => types::RunState::Verifying,
            RunState::Finished => types::RunState::Finished,
        },
        verdict: run.verdict.map(|verdict| match verdict {
            Verdict::Verified => types::Verdict::Verified,
            Verdict::NotVerified => types::Verdict::NotVerified,
            Verdict::Reverted => types::Verdict::Reverted,
            Verdict::Failed => types::Verdict::Failed,
            Verdict::OutcomeUnknown => types::Verdict::OutcomeUnknown,
        }),
        summary: run.evidence.get("summary").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
        steps: steps.collect(),
        evidence: facts(&run.evidence),
        who: run.who.clone(),
        reason: run.reason.clone(),
        started_ms: run.started.0,
        finished_ms: run.finished.map(|at| at.0),
    }
}

/// The evidence as a short list: plain values as they are, metrics as `name value (low to high)`.
fn facts(evidence: &serde_json::Value) -> Vec<Fact> {
    let Some(fields) = evidence.as_object() else { return Vec::new() };
    let shown = fields.iter().filter(|(name, value)| name.as_str() != "summary" && !value.is_null());
    shown.map(|(name, value)| Fact { name: name.replace('_', " "), value: fact(value) }).collect()
}

fn fact(value: &serde_json::Value) -> String {
    if let Ok(metrics) = serde_json::from_value::<Vec<domain::Metric>>(value.clone())
        && let Some(main) = metrics.first()
    {
        let number =
            |number: Option<f64>| number.map_or_else(|| "undefined".to_owned(), |number| format!("{number:.3}"));
        return format!("{} {} ({} to {})", main.name, number(main.value), number(main.low), number(main.high));
    }
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_can_be_pasted_into_a_shell() {
        let call = domain::PlannedCall {
            purpose: "move the alias".into(),
            method: "POST".into(),
            url: "http://127.0.0.1:5000/api/2.0/mlflow/registered-models/alias".into(),
            headers: vec![("Authorization".into(), "••••".into())],
            body: Some(serde_json::json!({ "name": "it's", "version": "2" })),
        };
        let expect = r#"curl -X POST 'http://127.0.0.1:5000/api/2.0/mlflow/registered-models/alias' -H 'Authorization: ••••' -H 'Content-Type: application/json' -d '{"name":"it'\''s","version":"2"}'"#;
        assert_eq!(curl(&call), expect);
    }
}
