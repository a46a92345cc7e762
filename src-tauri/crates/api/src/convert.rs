//! From the engine's words to the border's.

use pilothouse_domain::{Cell, Evaluation, Health, Metric, Outcome, Phases, Probe, TimestampMs, VersionId};
use pilothouse_engine::{EngineError, QualityChange};
use pilothouse_secrets::{KeyringState, SecretError, SecretState};
use pilothouse_serving::{SHOWN_OUTPUTS, ShownPrediction};
use pilothouse_store::StoreError;

use crate::types;
use crate::{ApiError, Code};

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        Self::from_engine(&error)
    }
}

impl ApiError {
    pub(crate) fn from_engine(error: &EngineError) -> Self {
        let message = error.to_string();
        let (code, hint) = match error {
            EngineError::Store(error) => store_code(error),
            EngineError::Secret(error) => (secret_code(error), None),
            EngineError::Serving(_) | EngineError::Setting(_) | EngineError::NotConfirmed { .. } => {
                (Code::InvalidInput, None)
            }
            EngineError::Configuration(_) => (Code::InvalidInput, None),
            EngineError::ConfigurationChanged => {
                (Code::Conflict, Some("compare again, look at the difference, then apply"))
            }
            EngineError::GoldenSetDiffers(_) => {
                (Code::Conflict, Some("give the other rows a name of their own, and let endpoints refer to that"))
            }
            EngineError::Control(_) => (Code::ControlPlaneFailed, None),
            EngineError::Stats(_) => (Code::NotEnoughData, None),
            EngineError::Explain(_) => (Code::InvalidInput, Some("choose a larger budget or another row")),
            EngineError::NoEndpoint(_) | EngineError::NotFound { .. } => (Code::NotFound, None),
            EngineError::Target { .. } => {
                (Code::TargetFailed, Some("look at the endpoint's Health tab for when this began"))
            }
            EngineError::Undescribed { .. } => (
                Code::TargetFailed,
                Some("name the management API and a credential that may describe the endpoint in its settings"),
            ),
            EngineError::Outputs { .. } => {
                (Code::TargetFailed, Some("compare the golden set's task and classes with what the model answers"))
            }
            EngineError::Ours { .. } => {
                (Code::Internal, Some("check this machine's network, proxy and keyring, then try again"))
            }
            EngineError::NoGoldenSet(_) | EngineError::NoControlPlane(_) | EngineError::NoTarget(_) => {
                (Code::NotEnoughData, None)
            }
            EngineError::Blocked(_) => (Code::Blocked, Some("make a new plan to see the checks as they stand now")),
            EngineError::RunElsewhere(_) => (Code::Conflict, Some("wait until it ends")),
            EngineError::Cancelled => (Code::Cancelled, None),
            EngineError::Internal(_) => (Code::Internal, None),
        };
        Self { code, message, hint: hint.map(str::to_owned) }
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::new(secret_code(&error), error.to_string())
    }
}

fn secret_code(error: &SecretError) -> Code {
    match error {
        SecretError::Missing { .. } => Code::SecretMissing,
        SecretError::Locked | SecretError::TimedOut { .. } => Code::KeyringLocked,
        SecretError::Unavailable { .. } => Code::KeyringUnavailable,
        _ => Code::InvalidInput,
    }
}

fn store_code(error: &StoreError) -> (Code, Option<&'static str>) {
    match error {
        StoreError::NotFound { .. } => (Code::NotFound, None),
        StoreError::NameTaken { .. } | StoreError::Stale { .. } => (Code::Conflict, None),
        StoreError::RunInProgress { .. } | StoreError::PlanUsed { .. } | StoreError::RunFinished { .. } => {
            (Code::Conflict, None)
        }
        StoreError::Invalid { .. } => (Code::InvalidInput, None),
        _ => (Code::Storage, None),
    }
}

pub(crate) fn health_word(health: Health) -> types::HealthWord {
    match health {
        Health::Healthy => types::HealthWord::Healthy,
        Health::Degraded => types::HealthWord::Degraded,
        Health::Down => types::HealthWord::Down,
        Health::Unknown => types::HealthWord::Unknown,
        Health::Paused => types::HealthWord::Paused,
    }
}

pub(crate) fn metric(metric: &Metric) -> types::MetricValue {
    types::MetricValue {
        name: metric.name.clone(),
        value: metric.value,
        low: metric.low,
        high: metric.high,
        method: metric.method.clone(),
        why: metric.why.clone(),
    }
}

pub(crate) fn evaluation(evaluation: &Evaluation) -> types::EvaluationSummary {
    types::EvaluationSummary {
        id: evaluation.id.0,
        at_ms: evaluation.at.0,
        version: evaluation.version.as_ref().map(VersionId::to_string),
        n: evaluation.n,
        metrics: evaluation.metrics.iter().map(metric).collect(),
    }
}

pub(crate) fn quality_change(change: &QualityChange) -> types::QualityChange {
    types::QualityChange {
        difference: change.difference,
        low: Some(change.low),
        high: Some(change.high),
        p_value: Some(change.p_value),
        method: change.method.clone(),
        against: change.against.to_string(),
        significant: change.is_significant(),
    }
}

pub(crate) fn phases(phases: Phases) -> types::PhasesUs {
    types::PhasesUs {
        dns: phases.dns,
        connect: phases.connect,
        tunnel: phases.tunnel,
        tls: phases.tls,
        send: phases.send,
        wait: phases.wait,
        receive: phases.receive,
    }
}

pub(crate) fn probe(probe: &Probe) -> types::ProbeResult {
    types::ProbeResult {
        at_ms: probe.due.0,
        outcome: outcome_word(probe.outcome).to_owned(),
        reason: outcome_reason(probe.outcome),
        detail: probe.detail.clone(),
        http_status: probe.http_status,
        version: probe.version.as_ref().map(VersionId::to_string),
        phases_us: phases(probe.phases),
        total_us: probe.total_us,
        reused: probe.reused,
        generation: probe.generation.as_deref().map(crate::prompts::generation_result),
        prediction: None,
    }
}

/// The beginning of a prediction. `classes` name the values of a row where the answer does not.
pub fn prediction_result(shown: &ShownPrediction, classes: &[String]) -> types::PredictionResult {
    let value = |cell: &Cell| match cell {
        Cell::Number(number) => types::PredictedValue::Number(*number),
        Cell::Text(text) => types::PredictedValue::Text(text.clone()),
        Cell::Missing => types::PredictedValue::Missing,
    };
    let names = if shown.names.is_empty() && shown.output_count == classes.len() {
        classes.iter().take(SHOWN_OUTPUTS).cloned().collect()
    } else {
        shown.names.clone()
    };
    types::PredictionResult {
        rows: shown.rows.iter().map(|row| row.iter().map(value).collect()).collect(),
        row_count: u32::try_from(shown.row_count).unwrap_or(u32::MAX),
        output_count: u32::try_from(shown.output_count).unwrap_or(u32::MAX),
        names,
        output: shown.output.clone(),
    }
}

/// `ok`, `target_failed` or `unknown`.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::TargetFailed(_) => "target_failed",
        Outcome::Unknown(_) => "unknown",
    }
}

/// The closed word of a reason, as it is written in JSON.
pub fn outcome_reason(outcome: Outcome) -> Option<String> {
    let value = match outcome {
        Outcome::Ok => return None,
        Outcome::TargetFailed(reason) => serde_json::to_value(reason),
        Outcome::Unknown(reason) => serde_json::to_value(reason),
    };
    value.ok().and_then(|value| value.as_str().map(str::to_owned))
}

pub(crate) fn secret_state(state: SecretState) -> types::SecretState {
    match state {
        SecretState::Present => types::SecretState::Present,
        SecretState::Missing => types::SecretState::Missing,
        SecretState::Locked => types::SecretState::Locked,
        SecretState::Unavailable => types::SecretState::Unavailable,
    }
}

pub(crate) fn keyring_state(state: KeyringState) -> types::SecretState {
    match state {
        KeyringState::Unlocked => types::SecretState::Present,
        KeyringState::Locked => types::SecretState::Locked,
        KeyringState::Unavailable => types::SecretState::Unavailable,
    }
}

pub(crate) fn range(from_ms: i64, to_ms: i64) -> Result<(TimestampMs, TimestampMs), ApiError> {
    if from_ms >= to_ms {
        return Err(ApiError::new(
            Code::InvalidInput,
            format!("the range begins at {from_ms} and ends at {to_ms}: it is empty"),
        )
        .hint("choose an end after the beginning"));
    }
    Ok((TimestampMs(from_ms), TimestampMs(to_ms)))
}
