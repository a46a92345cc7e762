//! Proving a rollback on the data plane: the endpoint answers, serves the target version, and its golden set is back.
//!
//! What must stay true: VERIFIED is said only when all three are proved by the endpoint's own answers. An accepted call
//! is no proof.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_control::ControlPlane;
use pilothouse_domain::rollback::StepState;
use pilothouse_domain::{EndpointId, Evaluation, Outcome, Probe, RollbackRun, Verdict, VersionId};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::engine::lock;
use crate::quality::compare;
use crate::rollback::will_not_follow;
use crate::watch::Watched;
use crate::{Engine, EngineError};

/// A restarted server may need this long to answer again.
const ANSWERS_WITHIN: Duration = Duration::from_mins(2);
/// A switch that was acknowledged may need this long to show in the answers.
const SWITCHES_WITHIN: Duration = Duration::from_mins(1);
/// Probes in order, one after the other, that count as "answers".
const ANSWERS_NEEDED: u32 = 3;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Two models that agree on every golden row to this difference are taken to be the same.
const SAME_OUTPUT: f64 = 1e-6;

impl Engine {
    /// Watches the endpoint after a rollback's calls were acknowledged. Gives the verdict and what it rests on.
    pub(crate) async fn verify(
        &self,
        id: EndpointId,
        plane: &dyn ControlPlane,
        run: &mut RollbackRun,
    ) -> Result<(Verdict, Value), EngineError> {
        let watched = &mut self.watched_or_ad_hoc(id).await?;
        let first = run.plan.calls.len();
        run.steps.truncate(first);
        run.steps.push(self.step("The endpoint answers"));
        run.steps.push(self.step(&format!("It serves {}", run.plan.to)));
        run.steps.push(self.step("Its golden set is back within its interval"));
        self.save(run).await?;
        let mut evidence = json!({
            "from": run.plan.from,
            "to": run.plan.to,
            "control_plane_shows": plane.state().await.ok().and_then(|state| state.current),
        });
        if let Some(why) = will_not_follow(&run.plan) {
            evidence["summary"] = json!(format!(
                "The control plane points at {}, but serving was not proved to follow: {why}",
                run.plan.to
            ));
            for step in first..first + 3 {
                self.mark(run, step, StepState::Failed, "not proved: serving was not reloaded".to_owned()).await?;
            }
            return Ok((Verdict::NotVerified, evidence));
        }

        self.mark(run, first, StepState::Sent, "waiting for answers in order".to_owned()).await?;
        let answers = self.wait_for_answers(watched).await?;
        evidence["answers_in_order"] = json!(answers.in_order);
        evidence["p50_ms"] = json!(answers.median_ms);
        if answers.in_order < ANSWERS_NEEDED {
            let detail = format!(
                "only {} of {ANSWERS_NEEDED} answers in a row were in order: {}",
                answers.in_order, answers.problem
            );
            evidence["summary"] = json!(format!("The endpoint does not answer in order: {}", answers.problem));
            self.mark(run, first, StepState::Failed, detail).await?;
            return Ok((Verdict::NotVerified, evidence));
        }
        self.mark(run, first, StepState::Done, format!("{ANSWERS_NEEDED} answers in a row were in order")).await?;

        self.mark(run, first + 1, StepState::Sent, "asking which version answers".to_owned()).await?;
        let reported = self.wait_for_version(watched, &run.plan.to).await?;
        evidence["endpoint_reports"] = json!(reported);
        if let Some(other) = reported.as_ref().filter(|version| **version != run.plan.to) {
            let detail = format!("the endpoint still reports {other}");
            evidence["summary"] = json!(format!("The call was accepted, but the endpoint still serves {other}"));
            self.mark(run, first + 1, StepState::Failed, detail).await?;
            return Ok((Verdict::NotVerified, evidence));
        }
        if reported.is_some() {
            self.mark(run, first + 1, StepState::Done, format!("every answer reports {}", run.plan.to)).await?;
        }

        self.follow_changes(watched).await?;
        self.mark(run, first + 2, StepState::Sent, "evaluating the golden set".to_owned()).await?;
        let judged = self.judge_golden_set(watched, run, reported.is_some(), &mut evidence).await?;
        if reported.is_none() {
            let (state, detail) = match &judged.identity {
                Ok(detail) => (StepState::Done, detail.clone()),
                Err(why) => (StepState::Failed, why.clone()),
            };
            self.mark(run, first + 1, state, detail).await?;
        }
        let state = if judged.quality.is_ok() { StepState::Done } else { StepState::Failed };
        let detail = judged.quality.clone().unwrap_or_else(|why| why);
        self.mark(run, first + 2, state, detail).await?;
        let (verdict, summary) = match (&judged.identity, &judged.quality) {
            (Ok(identity), Ok(quality)) => (Verdict::Verified, format!("{identity}; {quality}")),
            (Err(why), _) | (_, Err(why)) => (Verdict::NotVerified, why.clone()),
        };
        evidence["summary"] = json!(summary);
        Ok((verdict, evidence))
    }

    /// The same endpoint with the settings of now: they may be changed while it is being proved.
    async fn follow_changes(&self, watched: &mut Arc<Watched>) -> Result<(), EngineError> {
        if watched.cancel.is_cancelled() {
            *watched = self.watched_or_ad_hoc(watched.endpoint.id).await?;
        }
        Ok(())
    }

    async fn wait_for_answers(&self, watched: &mut Arc<Watched>) -> Result<Answers, EngineError> {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        let mut in_order = 0;
        let mut durations: Vec<u32> = Vec::new();
        loop {
            self.follow_changes(watched).await?;
            let probe = self.probe_watched(watched, Instant::now()).await?;
            let problem = match probe.outcome {
                Outcome::Ok => String::new(),
                outcome => format!("{} {}", outcome.phrase(), probe.detail.as_deref().unwrap_or("")).trim().to_owned(),
            };
            if probe.outcome == Outcome::Ok {
                in_order += 1;
                durations.extend(probe.total_us);
            } else {
                in_order = 0;
                durations.clear();
            }
            if in_order >= ANSWERS_NEEDED || Instant::now() >= deadline {
                durations.sort_unstable();
                let median_ms = durations.get(durations.len() / 2).map(|us| f64::from(*us) / 1_000.0);
                return Ok(Answers { in_order, median_ms, problem });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the endpoint reports the target. Gives what it reports last; `None` when it reports no version at all.
    async fn wait_for_version(
        &self,
        watched: &mut Arc<Watched>,
        to: &VersionId,
    ) -> Result<Option<VersionId>, EngineError> {
        let deadline = Instant::now() + SWITCHES_WITHIN;
        loop {
            self.follow_changes(watched).await?;
            let probe: Probe = self.probe_watched(watched, Instant::now()).await?;
            let reported = match (probe.outcome, probe.version) {
                (Outcome::Ok, None) => return Ok(None),
                (_, version) => version.or_else(|| lock(&watched.reported).clone()),
            };
            if reported.as_ref() == Some(to) || Instant::now() >= deadline {
                return Ok(reported);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn judge_golden_set(
        &self,
        watched: &Watched,
        run: &RollbackRun,
        version_reported: bool,
        evidence: &mut Value,
    ) -> Result<Judged, EngineError> {
        let identity_by_report = || -> Result<String, String> {
            if version_reported { Ok(format!("the endpoint reports {}", run.plan.to)) } else { Err(unproved(run)) }
        };
        let Some(config) = &watched.endpoint.evaluation else {
            return Ok(Judged {
                identity: identity_by_report(),
                quality: Err("no golden set is configured, so its quality is not proved".into()),
            });
        };
        let golden_set = self.golden_set(config.golden_set).await?;
        let id = watched.endpoint.id;
        let latest_of = async |version: Option<VersionId>| -> Result<Option<Evaluation>, EngineError> {
            let Some(version) = version else { return Ok(None) };
            let found = self.with_store(move |store| store.latest_evaluation(id, Some(&version))).await?;
            Ok(found.filter(|evaluation| evaluation.golden_set == config.golden_set))
        };
        // Read before the new evaluation is stored under the target's name.
        let target_before = latest_of(Some(run.plan.to.clone())).await?;
        let live_before = latest_of(run.plan.from.clone()).await?;
        let now = match self.evaluate_watched(watched).await {
            Ok(evaluation) => evaluation,
            Err(error) => {
                let why = format!("the golden set could not be evaluated: {error}");
                return Ok(Judged { identity: identity_by_report(), quality: Err(why) });
            }
        };
        evidence["golden_rows"] = json!(now.n);
        evidence["metrics_after"] = json!(now.metrics);
        evidence["metrics_of_target_before"] = json!(target_before.as_ref().map(|evaluation| &evaluation.metrics));
        evidence["metrics_of_live_before"] = json!(live_before.as_ref().map(|evaluation| &evaluation.metrics));
        let identity = if version_reported {
            identity_by_report()
        } else {
            same_outputs(run, target_before.as_ref(), live_before.as_ref(), &now)
        };
        let quality = match (&target_before, &live_before) {
            (Some(before), _) => within_interval(before, &now),
            (None, Some(before)) => match compare(&golden_set, before, &now) {
                Some(change) if change.is_fall() => {
                    Err(format!("the target is worse than {} was: {:+.3}", change.against, change.difference))
                }
                Some(change) => Ok(format!(
                    "the target is not worse than {} was ({:+.3}, 95 % {:+.3} to {:+.3})",
                    change.against, change.difference, change.low, change.high
                )),
                None => Err("there is no earlier evaluation to compare with".into()),
            },
            (None, None) => Err("there is no earlier evaluation to compare with".into()),
        };
        Ok(Judged { identity, quality })
    }
}

struct Answers {
    in_order: u32,
    median_ms: Option<f64>,
    problem: String,
}

/// Each with the sentence that says why.
struct Judged {
    identity: Result<String, String>,
    quality: Result<String, String>,
}

fn unproved(run: &RollbackRun) -> String {
    format!("the endpoint reports no version, so it is not proved that it serves {}", run.plan.to)
}

/// Where an endpoint reports no version, its outputs are the proof: equal to the target's on every golden row, and
/// different from those of the version that was live.
fn same_outputs(
    run: &RollbackRun,
    target: Option<&Evaluation>,
    live: Option<&Evaluation>,
    now: &Evaluation,
) -> Result<String, String> {
    let Some(target) = target else { return Err(unproved(run)) };
    if largest_difference(target, now).is_none_or(|difference| difference > SAME_OUTPUT) {
        return Err(format!("the answers are not those that {} gave when it was live", run.plan.to));
    }
    if live.and_then(|live| largest_difference(live, now)).is_some_and(|difference| difference <= SAME_OUTPUT) {
        return Err(format!(
            "the golden set cannot tell {} from the version before: both give the same answers",
            run.plan.to
        ));
    }
    Ok(format!("the answers on all {} golden rows are those of {}", now.n, run.plan.to))
}

fn largest_difference(one: &Evaluation, other: &Evaluation) -> Option<f64> {
    if one.predictions.len() != other.predictions.len() {
        return None;
    }
    let pairs = one.predictions.iter().flatten().zip(other.predictions.iter().flatten());
    Some(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
}

fn within_interval(before: &Evaluation, now: &Evaluation) -> Result<String, String> {
    let (Some(before), Some(now)) = (before.main(), now.main()) else {
        return Err("the golden set gives no main metric".into());
    };
    let (Some(value), Some(low), Some(high)) = (now.value, before.low, before.high) else {
        return Err(format!("{} is undefined, so it cannot be compared", now.name));
    };
    let text = format!("{} {value:.3}, expected {low:.3} to {high:.3}", now.name);
    if (low..=high).contains(&value) { Ok(text) } else { Err(format!("{text}: outside")) }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{EndpointId, EvaluationId, GoldenSetId, Metric, TimestampMs};

    use super::*;

    fn evaluation(value: f64, predictions: &[f64]) -> Evaluation {
        let metric = Metric {
            name: "accuracy".into(),
            value: Some(value),
            low: Some(value - 0.05),
            high: Some(value + 0.05),
            method: "wilson".into(),
            why: None,
        };
        Evaluation {
            id: EvaluationId(1),
            endpoint: EndpointId(1),
            golden_set: GoldenSetId(1),
            version: Some("v6".into()),
            at: TimestampMs(0),
            n: predictions.len() as u32,
            metrics: vec![metric],
            predictions: predictions.iter().map(|p| vec![1.0 - p, *p]).collect(),
            elapsed_ms: 1,
        }
    }

    #[test]
    fn quality_must_lie_in_the_targets_own_interval() {
        assert!(within_interval(&evaluation(0.77, &[0.1]), &evaluation(0.75, &[0.1])).is_ok());
        let outside = within_interval(&evaluation(0.77, &[0.1]), &evaluation(0.70, &[0.1]));
        assert_eq!(outside, Err("accuracy 0.700, expected 0.720 to 0.820: outside".to_owned()));
    }

    #[test]
    fn outputs_are_compared_row_by_row() {
        let (good, bad) = (evaluation(0.77, &[0.1, 0.9]), evaluation(0.6, &[0.4, 0.2]));
        assert_eq!(largest_difference(&good, &good), Some(0.0));
        assert!(largest_difference(&good, &bad).is_some_and(|difference| difference > SAME_OUTPUT));
        assert_eq!(largest_difference(&good, &evaluation(0.77, &[0.1])), None);
    }
}
