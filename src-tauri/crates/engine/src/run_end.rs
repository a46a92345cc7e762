//! How a rollback run ends when it does not come to its proof.
//!
//! What must stay true: `failed` is said only when nothing was changed; what may pass by itself ends nothing.

use pilothouse_control::ControlError;
use pilothouse_domain::rollback::StepState;
use pilothouse_domain::{RollbackRun, RunState, Verdict};
use serde_json::{Value, json};

use crate::EngineError;

/// A call was refused. The first one refused: nothing changed. A later one: what came before stands.
pub(crate) fn refused(run: &RollbackRun, index: usize, error: &ControlError) -> (Verdict, Value) {
    let purpose = &run.plan.calls[index].purpose;
    let why = error.to_string();
    if index == 0 {
        let evidence =
            json!({ "summary": format!("Refused, nothing was changed: {why}"), "refused_call": purpose, "why": why });
        return (Verdict::Failed, evidence);
    }
    let done: Vec<&str> = run.plan.calls[..index].iter().map(|call| call.purpose.as_str()).collect();
    let summary = format!("“{purpose}” failed after “{}” was done: serving is not proved to follow", done.join("”, “"));
    (Verdict::NotVerified, json!({ "summary": summary, "refused_call": purpose, "why": why, "done": done }))
}

/// Whether trying again later may help: the keyring or the database is out of reach at the moment.
pub(crate) fn may_pass(error: &EngineError) -> bool {
    use pilothouse_secrets::SecretError::{Locked, TimedOut, Unavailable};

    matches!(error, EngineError::Secret(Locked | TimedOut { .. } | Unavailable { .. }) | EngineError::Store(_))
}

/// A run that can not be carried on, now or later: its end says how far it came.
pub(crate) fn cut_short(run: &RollbackRun, error: &EngineError) -> (Verdict, Value) {
    let why = error.to_string();
    let calls = run.steps.iter().take(run.plan.calls.len());
    let nothing_sent = calls.clone().all(|step| step.state == StepState::Waiting);
    let (verdict, summary) = if nothing_sent {
        (Verdict::Failed, format!("Nothing was sent: {why}"))
    } else if run.state == RunState::Verifying {
        (Verdict::NotVerified, format!("The calls were accepted, but nothing could be proved: {why}"))
    } else {
        (Verdict::OutcomeUnknown, format!("It could not be carried on after its first call: {why}"))
    };
    let done: Vec<&str> = calls.filter(|step| step.state == StepState::Done).map(|step| &*step.purpose).collect();
    (verdict, json!({ "summary": summary, "why": why, "done": done }))
}

/// A found version, or what was found in its place, for a sentence.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "no version".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::rollback::{Follows, RunStep};
    use pilothouse_domain::{EndpointId, PlannedCall, RollbackPlan, TimestampMs};
    use pilothouse_secrets::SecretError;

    use super::*;

    fn run(state: RunState, steps: [StepState; 2]) -> RollbackRun {
        let call = |purpose: &str| PlannedCall {
            purpose: purpose.into(),
            method: "POST".into(),
            url: "http://127.0.0.1/".into(),
            headers: Vec::new(),
            body: None,
        };
        let step = |state| RunStep { purpose: "move".into(), state, at: TimestampMs(0), detail: String::new() };
        let plan = RollbackPlan {
            id: "p".into(),
            endpoint: EndpointId(1),
            created: TimestampMs(0),
            from: Some("v7".into()),
            to: "v6".into(),
            calls: vec![call("move"), call("reload")],
            follows: Follows::Yes,
        };
        RollbackRun {
            id: "r".into(),
            plan,
            who: "ops".into(),
            reason: String::new(),
            started: TimestampMs(0),
            finished: None,
            state,
            preflight: Vec::new(),
            steps: steps.map(step).into(),
            verdict: None,
            evidence: Value::Null,
        }
    }

    #[test]
    fn failed_is_said_only_when_nothing_was_sent() {
        use RunState::{Applying, Pending, Verifying};
        use StepState::{Done, Sent, Waiting};

        let check = |state, steps, expect: Verdict| {
            let (verdict, evidence) = cut_short(&run(state, steps), &EngineError::NoControlPlane("wine".into()));
            assert_eq!(verdict, expect, "{state:?} {steps:?}");
            assert!(evidence["summary"].as_str().is_some_and(|text| text.contains("no control plane")), "{evidence}");
        };
        check(Pending, [Waiting, Waiting], Verdict::Failed);
        check(Applying, [Waiting, Waiting], Verdict::Failed);
        check(Applying, [Sent, Waiting], Verdict::OutcomeUnknown);
        check(Applying, [Done, Waiting], Verdict::OutcomeUnknown);
        check(Verifying, [Done, Done], Verdict::NotVerified);
    }

    #[test]
    fn a_later_refusal_does_not_hide_what_was_done() {
        let error = ControlError::Misconfigured { setting: "reload", problem: "is gone".into() };
        let run = run(RunState::Applying, [StepState::Done, StepState::Sent]);
        assert_eq!(refused(&run, 0, &error).0, Verdict::Failed);
        let (verdict, evidence) = refused(&run, 1, &error);
        assert_eq!((verdict, &evidence["done"]), (Verdict::NotVerified, &json!(["move"])));
    }

    #[test]
    fn a_locked_keyring_may_pass_and_a_missing_secret_may_not() {
        assert!(may_pass(&SecretError::Locked.into()));
        assert!(!may_pass(&SecretError::Missing { name: "token".into() }.into()));
        assert!(!may_pass(&EngineError::NoControlPlane("wine".into())));
    }
}
