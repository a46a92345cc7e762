//! Rollbacks against the demo registry: proved, refused, sent once.

use pilothouse_demo::{DemoFleet, Fault};
use pilothouse_domain::rollback::StepState;
use pilothouse_domain::{CheckStatus, EndpointId, EventKind, RunState, Verdict, VersionId};
use pilothouse_engine::{Engine, EngineError};
use pilothouse_store::StoreError;

use crate::support::{
    Link, LossyLink, Place, connect_demo, events, eventually, member, position, switch, until_finished, until_run,
};

/// `credit-risk` with v6 evaluated and v7 live, its registry behind a link.
pub(crate) struct Broken {
    pub(crate) place: Place,
    pub(crate) fleet: DemoFleet,
    pub(crate) link: LossyLink,
    pub(crate) engine: Engine,
    pub(crate) id: EndpointId,
}

impl Broken {
    pub(crate) async fn start() -> Self {
        let place = Place::new();
        let fleet = DemoFleet::start(Some(0)).await.unwrap();
        let link = LossyLink::to(fleet.control_url(), Link::Whole).await;
        let engine = place.engine();
        let id = connect_demo(&engine, &member(&fleet, "credit-risk"), &link.url).await;
        engine.probe_now(id).await.unwrap();
        engine.evaluate_now(id).await.unwrap();
        fleet.inject("credit-risk", Fault::VersionDefect).unwrap();
        engine.probe_now(id).await.unwrap();
        engine.evaluate_now(id).await.unwrap();
        Self { place, fleet, link, engine, id }
    }

    pub(crate) async fn live(&self) -> VersionId {
        let direct = LossyLink::to(self.fleet.control_url(), Link::Whole).await;
        let other = Place::new();
        let engine = other.engine();
        let id = connect_demo(&engine, &member(&self.fleet, "credit-risk"), &direct.url).await;
        engine.control_state(id).await.unwrap().current.unwrap()
    }
}

#[tokio::test]
async fn a_bad_version_is_brought_back_with_proof() {
    let Broken { place, fleet, link, engine, id } = Broken::start().await;
    engine.watch().await.unwrap();
    let prepared = engine.prepare_rollback(id, None).await.unwrap();
    assert_eq!((prepared.plan.from.clone(), prepared.plan.to.as_str()), (Some("v7".into()), "v6"));
    assert_eq!(prepared.blocked(), None);
    let golden = prepared.preflight.iter().find(|check| check.check == "golden_set").unwrap();
    assert_eq!(golden.status, CheckStatus::Pass, "{golden:?}");
    assert!(link.writes().is_empty(), "preparing only reads");

    let wrong = engine.apply_rollback(&prepared.plan.id, "credit-rsk", "oops").await;
    assert!(matches!(wrong, Err(EngineError::NotConfirmed { .. })), "{wrong:?}");
    assert!(link.writes().is_empty() && engine.store().runs(None).unwrap().is_empty());

    let run = engine.apply_rollback(&prepared.plan.id, "credit-risk", " accuracy fell ").await.unwrap();
    assert_eq!((run.state, run.reason.as_str()), (RunState::Pending, "accuracy fell"));
    let run = until_finished(&engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(run.steps.iter().all(|step| step.state == StepState::Done), "{run:#?}");
    assert_eq!(run.steps.len(), 4);
    for (key, expect) in [("from", "v7"), ("to", "v6"), ("control_plane_shows", "v6"), ("endpoint_reports", "v6")] {
        assert_eq!(run.evidence[key], expect, "{key}");
    }
    for metrics in ["metrics_after", "metrics_of_target_before", "metrics_of_live_before"] {
        assert_eq!(run.evidence[metrics][0]["name"], "accuracy", "{metrics}");
    }
    assert_eq!(run.evidence["golden_rows"], 250);
    assert_eq!(link.writes().len(), 1, "one call, sent once");

    // A used plan stays used.
    let again = engine.apply_rollback(&prepared.plan.id, "credit-risk", "").await;
    assert!(
        matches!(&again, Err(EngineError::Store(StoreError::PlanUsed { run: used, .. })) if *used == run.id),
        "{again:?}"
    );
    eventually("the run's lock is gone", || async { place.run_locks().is_empty().then_some(()) }).await;
    assert!(!engine.is_carried_out(&run.id).unwrap());
    engine.stop().await;

    let all = events(&engine);
    let started = position(&all, "started", |kind| matches!(kind, EventKind::RollbackStarted { .. }));
    let back = position(
        &all,
        "v6 is back",
        |kind| matches!(kind, EventKind::VersionChanged { from: Some(from), to } if (from.as_str(), to.as_str()) == ("v7", "v6")),
    );
    let finished = position(&all, "finished", |kind| {
        matches!(kind, EventKind::RollbackFinished { verdict: Verdict::Verified, .. })
    });
    assert!(started < back && back < finished);
    let audit = engine.store().audit_entries(10, None).unwrap();
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["rollback.verdict", "rollback.apply", "endpoint.add"]);
    assert_eq!((audit[1].reason.as_str(), &audit[1].before["version"]), ("accuracy fell", &"v7".into()));
    assert_eq!(audit[0].after["verdict"], "verified");
    assert_eq!(audit[0].evidence["endpoint_reports"], "v6");
    assert!(!audit[0].who.is_empty());
    fleet.shutdown().await;
}

#[tokio::test]
async fn two_processes_and_a_double_click_send_it_once() {
    let Broken { place, fleet, link, engine, id } = Broken::start().await;
    let other = place.engine();
    let plan = engine.prepare_rollback(id, None).await.unwrap().plan;
    let second_plan = other.prepare_rollback(id, None).await.unwrap().plan;
    let (a, b, c, d) = tokio::join!(
        engine.apply_rollback(&plan.id, "credit-risk", "a"),
        other.apply_rollback(&plan.id, "credit-risk", "b"),
        engine.apply_rollback(&plan.id, "credit-risk", "c"),
        other.apply_rollback(&second_plan.id, "credit-risk", "d"),
    );
    let mut began = Vec::new();
    for outcome in [a, b, c, d] {
        match outcome {
            Ok(run) => began.push(run),
            Err(EngineError::Store(StoreError::PlanUsed { .. } | StoreError::RunInProgress { .. })) => {}
            Err(EngineError::Blocked(why)) => {
                assert!(why.contains("in progress") || why.contains("current_unchanged"), "{why}");
            }
            Err(other) => panic!("not a clear conflict: {other}"),
        }
    }
    let [run] = began.as_slice() else { panic!("{} runs began", began.len()) };
    let run = until_finished(&engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert_eq!(link.writes().len(), 1);
    eventually("no lock stays behind", || async { place.run_locks().is_empty().then_some(()) }).await;
    engine.stop().await;
    other.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_changed_since_the_plan_blocks_it() {
    let Broken { place, fleet, link, engine, id } = Broken::start().await;
    let plan = engine.prepare_rollback(id, None).await.unwrap().plan;
    switch(fleet.control_url(), "credit-risk", "v5").await;
    let blocked = engine.apply_rollback(&plan.id, "credit-risk", "").await;
    assert!(matches!(&blocked, Err(EngineError::Blocked(why)) if why.contains("v5")), "{blocked:?}");
    assert!(link.writes().is_empty() && engine.store().runs(None).unwrap().is_empty());
    assert!(place.run_locks().is_empty(), "{:?}", place.run_locks());
    // To where one is already, and to what does not exist.
    for (to, check) in [("v5", "differs"), ("v99", "target_exists")] {
        let prepared = engine.prepare_rollback(id, Some(to.into())).await.unwrap();
        let blocks = |wanted: &str| {
            prepared.preflight.iter().any(|found| found.check == wanted && found.status == CheckStatus::Block)
        };
        assert!(blocks(check), "{to}: {:?}", prepared.preflight);
    }
    engine.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_refused_call_changes_nothing_and_says_so() {
    let broken = Broken::start().await;
    let (engine, id) = (&broken.engine, broken.id);
    let plan = engine.prepare_rollback(id, None).await.unwrap().plan;
    broken.link.set(Link::RefuseWrites);
    let run = engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
    let run = until_finished(engine, &run.id).await;
    assert_eq!((run.verdict, run.steps[0].state), (Some(Verdict::Failed), StepState::Failed), "{run:#?}");
    assert!(run.evidence["summary"].as_str().unwrap().contains("nothing was changed"), "{}", run.evidence);
    assert_eq!(broken.live().await.as_str(), "v7");
    engine.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    let broken = Broken::start().await;
    let (engine, id) = (&broken.engine, broken.id);
    let plan = engine.prepare_rollback(id, None).await.unwrap().plan;
    broken.link.set(Link::LoseAnswer);
    let run = engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
    let run = until_finished(engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(run.steps[0].detail.contains("shows v6 all the same"), "{}", run.steps[0].detail);
    assert_eq!(broken.link.writes().len(), 1, "looked up, and not sent again");
    engine.stop().await;
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_an_unknown_outcome() {
    let check = async |link: Link, found: &str, live: &str| {
        let broken = Broken::start().await;
        let engine = &broken.engine;
        let plan = engine.prepare_rollback(broken.id, None).await.unwrap().plan;
        broken.link.set(link);
        let run = engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
        let run = until_finished(engine, &run.id).await;
        assert_eq!(run.verdict, Some(Verdict::OutcomeUnknown), "{link:?}: {run:#?}");
        let shows = run.evidence["control_plane_shows"].as_str().unwrap();
        assert!(shows.contains(found), "{link:?}: {shows}");
        assert_eq!(broken.link.writes().len(), 1, "{link:?}: sent once");
        assert_eq!(broken.live().await.as_str(), live, "{link:?}");
        engine.stop().await;
    };
    // The switch happened, and nobody can be asked any more.
    check(Link::LoseAnswerAndBreak, "not readable", "v6").await;
    // The call was lost on its way there.
    check(Link::LoseRequest, "v7", "v7").await;
}

/// `diabetes` reports no version: its outputs on the golden rows are the proof.
#[tokio::test]
async fn without_a_reported_version_the_same_outputs_prove_it() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "diabetes"), fleet.control_url()).await;
    let state = engine.control_state(id).await.unwrap();
    let target = state.current.clone().unwrap();
    let other = state.versions.iter().map(|version| version.id.clone()).find(|id| *id != target).unwrap();
    engine.evaluate_now(id).await.unwrap();
    switch(fleet.control_url(), "diabetes", other.as_str()).await;
    engine.evaluate_now(id).await.unwrap();
    let plan = engine.prepare_rollback(id, Some(target.clone())).await.unwrap().plan;
    assert_eq!(plan.from, Some(other));
    let run = engine.apply_rollback(&plan.id, "diabetes", "").await.unwrap();
    let run = until_finished(&engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(run.steps[2].detail.contains(&format!("are those of {target}")), "{}", run.steps[2].detail);
    let recorded = engine.store().latest_evaluation(id, None).unwrap().unwrap();
    assert_eq!(recorded.version, Some(target), "the proof counts to the version that gave it");
    engine.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn without_a_golden_set_nothing_is_called_verified() {
    let Broken { place: _place, fleet, link: _link, engine, id } = Broken::start().await;
    let mut endpoint = engine.endpoint(id).await.unwrap();
    endpoint.evaluation = None;
    engine.update_endpoint(endpoint).await.unwrap();
    let prepared = engine.prepare_rollback(id, Some("v6".into())).await.unwrap();
    let golden = prepared.preflight.iter().find(|check| check.check == "golden_set").unwrap();
    assert_eq!(golden.status, CheckStatus::Warn);
    let run = engine.apply_rollback(&prepared.plan.id, "credit-risk", "").await.unwrap();
    let run = until_finished(&engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::NotVerified), "{run:#?}");
    assert!(run.evidence["summary"].as_str().unwrap().contains("no golden set"), "{}", run.evidence);
    assert_eq!(run.evidence["endpoint_reports"], "v6", "what could be proved is told");
    engine.stop().await;
    fleet.shutdown().await;
}

/// While it is proved, the endpoint's settings may be changed and it may not be removed.
#[tokio::test]
async fn the_endpoint_stays_while_its_rollback_runs() {
    let Broken { place: _place, fleet, link: _link, engine, id } = Broken::start().await;
    engine.watch().await.unwrap();
    let plan = engine.prepare_rollback(id, None).await.unwrap().plan;
    fleet.inject("credit-risk", Fault::Errors { rate: 1.0 }).unwrap();
    let run = engine.apply_rollback(&plan.id, "credit-risk", "").await.unwrap();
    until_run(&engine, &run.id, "verifying", |run| run.state == RunState::Verifying).await;
    assert!(engine.is_carried_out(&run.id).unwrap());
    let refused = engine.remove_endpoint(id).await;
    assert!(matches!(refused, Err(EngineError::Store(StoreError::RunInProgress { .. }))), "{refused:?}");
    assert!(engine.next_evaluation(id).is_some(), "it is watched as before");
    let mut endpoint = engine.endpoint(id).await.unwrap();
    endpoint.probe.interval_ms = 2_000;
    engine.update_endpoint(endpoint).await.unwrap();
    fleet.inject("credit-risk", Fault::None).unwrap();
    let run = until_finished(&engine, &run.id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    engine.stop().await;
    fleet.shutdown().await;
}
