//! Runs that were cut off: taken up, looked up, ended in order.

use std::sync::Arc;

use pilothouse_demo::Fault;
use pilothouse_domain::rollback::StepState;
use pilothouse_domain::{
    Auth, ControlPlaneConfig, EndpointId, RollbackPlan, RollbackRun, RunId, RunState, TimestampMs, Verdict,
};
use pilothouse_engine::{Engine, SystemClock};
use pilothouse_secrets::Secrets;
use pilothouse_store::Store;
use serde_json::json;

use crate::rollback::Broken;
use crate::support::{Link, eventually, until_finished, until_run};

/// Writes down a run as a process that is gone left it.
async fn left_behind(engine: &Engine, id: EndpointId, state: RunState, first: StepState) -> RunId {
    let plan: RollbackPlan = engine.prepare_rollback(id, None).await.unwrap().plan;
    let mut step = pilothouse_domain::rollback::RunStep {
        purpose: plan.calls[0].purpose.clone(),
        state: StepState::Waiting,
        at: TimestampMs(1),
        detail: String::new(),
    };
    let mut run = RollbackRun {
        id: RunId("left-behind".into()),
        who: "somebody".into(),
        reason: "accuracy fell".into(),
        started: TimestampMs(1),
        finished: None,
        state: RunState::Pending,
        preflight: Vec::new(),
        steps: vec![step.clone()],
        verdict: None,
        evidence: json!({}),
        plan,
    };
    engine.store().begin_run(&run).unwrap();
    step.state = first;
    (run.steps, run.state) = (vec![step], state);
    engine.store().update_run(&run).unwrap();
    run.id
}

#[tokio::test]
async fn a_run_cut_off_at_any_step_comes_to_a_verdict() {
    use RunState::{Applying, Pending, Verifying};
    use StepState::{Done, Sent, Waiting};

    let check = async |state: RunState, step: StepState, switched: bool, expect: Verdict, writes: usize| {
        let broken = Broken::start().await;
        let run = left_behind(&broken.engine, broken.id, state, step).await;
        if switched {
            crate::support::switch(broken.fleet.control_url(), "credit-risk", "v6").await;
        }
        broken.engine.stop().await;
        let next = broken.place.engine();
        assert!(next.watch().await.unwrap());
        let run = until_finished(&next, &run).await;
        assert_eq!(run.verdict, Some(expect), "{state:?} {step:?} {switched}: {run:#?}");
        assert_eq!(broken.link.writes().len(), writes, "{state:?} {step:?} {switched}");
        assert!(run.evidence["summary"].as_str().is_some_and(|text| !text.is_empty()));
        next.stop().await;
        broken.fleet.shutdown().await;
    };
    // Nothing was sent: it goes on.
    check(Pending, Waiting, false, Verdict::Verified, 1).await;
    // Written down, and perhaps sent: what stands now decides, and nothing is sent again.
    check(Applying, Sent, true, Verdict::Verified, 0).await;
    check(Applying, Sent, false, Verdict::OutcomeUnknown, 0).await;
    // All was acknowledged.
    check(Applying, Done, true, Verdict::Verified, 0).await;
    check(Verifying, Done, true, Verdict::Verified, 0).await;
}

#[tokio::test]
async fn a_pending_run_whose_ground_has_shifted_ends_without_sending() {
    let broken = Broken::start().await;
    let run = left_behind(&broken.engine, broken.id, RunState::Pending, StepState::Waiting).await;
    crate::support::switch(broken.fleet.control_url(), "credit-risk", "v5").await;
    broken.engine.stop().await;
    let next = broken.place.engine();
    next.watch().await.unwrap();
    let run = until_finished(&next, &run).await;
    assert_eq!(run.verdict, Some(Verdict::Failed), "{run:#?}");
    assert_eq!(broken.live().await.as_str(), "v5");
    next.stop().await;
}

#[tokio::test]
async fn stopping_in_the_middle_is_taken_up_by_the_next_process() {
    let broken = Broken::start().await;
    let plan = broken.engine.prepare_rollback(broken.id, None).await.unwrap().plan;
    broken.link.set(Link::HoldAnswer);
    let run = broken.engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
    until_run(&broken.engine, &run.id, "the call is under way", |run| run.steps[0].state == StepState::Sent).await;
    eventually("the call arrived", || async { (broken.live().await.as_str() == "v6").then_some(()) }).await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(10), broken.engine.stop()).await;
    assert!(stopped.is_ok());
    assert_eq!(broken.engine.run(&run.id).await.unwrap().state, RunState::Applying);

    broken.link.set(Link::Whole);
    // The next one is cut off too, while it proves.
    broken.fleet.inject("credit-risk", Fault::Errors { rate: 1.0 }).unwrap();
    let second = broken.place.engine();
    second.watch().await.unwrap();
    until_run(&second, &run.id, "verifying", |run| run.state == RunState::Verifying).await;
    second.stop().await;
    assert!(!second.is_carried_out(&run.id).unwrap());

    broken.fleet.inject("credit-risk", Fault::None).unwrap();
    let third = broken.place.engine();
    third.watch().await.unwrap();
    let run = until_finished(&third, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert_eq!(broken.link.writes().len(), 1);
    third.stop().await;
    let verdicts = third.store().audit_entries(50, None).unwrap();
    assert_eq!(verdicts.iter().filter(|entry| entry.action == "rollback.verdict").count(), 1);
    eventually("no lock stays behind", || async { broken.place.run_locks().is_empty().then_some(()) }).await;
}

/// A watching process takes over what another one left when it ended, without a restart.
#[tokio::test]
async fn a_living_process_takes_up_what_another_one_left() {
    let broken = Broken::start().await;
    let watching = broken.place.engine();
    watching.watch().await.unwrap();
    let plan = broken.engine.prepare_rollback(broken.id, None).await.unwrap().plan;
    broken.link.set(Link::HoldAnswer);
    let run = broken.engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
    until_run(&broken.engine, &run.id, "the call is under way", |run| run.steps[0].state == StepState::Sent).await;
    eventually("the call arrived", || async { (broken.live().await.as_str() == "v6").then_some(()) }).await;
    broken.engine.stop().await;
    broken.link.set(Link::Whole);
    let run = until_finished(&watching, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    watching.stop().await;
}

/// Changes the control plane so that it needs a secret, or is gone, in the settings of an endpoint with a run left behind.
async fn cut_off_with(change: impl Fn(&mut Option<ControlPlaneConfig>)) -> (Broken, RunId) {
    let broken = Broken::start().await;
    let run = left_behind(&broken.engine, broken.id, RunState::Pending, StepState::Waiting).await;
    let mut endpoint = broken.engine.endpoint(broken.id).await.unwrap();
    change(&mut endpoint.control_plane);
    broken.engine.update_endpoint(endpoint).await.unwrap();
    broken.engine.stop().await;
    (broken, run)
}

#[tokio::test]
async fn a_run_that_cannot_go_on_ends_and_says_why() {
    let secret = |plane: &mut Option<ControlPlaneConfig>| {
        let url = "http://127.0.0.1:9/".parse().unwrap();
        let auth = Auth::Bearer { secret: "gone".into() };
        let (model, alias) = ("m".into(), "champion".into());
        *plane = Some(ControlPlaneConfig::Mlflow { url, model, alias, auth, reload: None });
    };
    for (broken, run, why) in [
        {
            let (broken, run) = cut_off_with(|plane| *plane = None).await;
            (broken, run, "no control plane")
        },
        {
            let (broken, run) = cut_off_with(secret).await;
            (broken, run, "gone")
        },
    ] {
        let next = broken.place.engine_with(Secrets::memory(), Arc::new(SystemClock::default()));
        next.watch().await.unwrap();
        let run = until_finished(&next, &run).await;
        assert_eq!(run.verdict, Some(Verdict::Failed), "{run:#?}");
        let summary = run.evidence["summary"].as_str().unwrap();
        assert!(summary.contains("Nothing was sent") && summary.contains(why), "{summary}");
        assert!(next.with_store(Store::unfinished_runs).await.unwrap().is_empty());
        next.stop().await;
    }
}
