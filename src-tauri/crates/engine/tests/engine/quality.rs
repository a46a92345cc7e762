//! Golden-set evaluation against the demo fleet: a defect is seen, named, and judged against the version before it.

use std::sync::Arc;

use pilothouse_demo::{DemoFleet, Fault};
use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{Evaluation, EventKind, Health, TimestampMs, VersionId};
use pilothouse_engine::{Engine, EngineError, QualityState};
use pilothouse_testkit::FakeServer;

use crate::support::{
    Link, LossyLink, Place, answer, connect_demo, events, eventually, json_endpoint, member, position, switch,
    until_health,
};

fn latest(engine: &Engine, id: pilothouse_domain::EndpointId, version: &str) -> Option<Evaluation> {
    engine.store().latest_evaluation(id, Some(&VersionId::from(version))).unwrap()
}

#[tokio::test]
async fn a_defective_version_is_seen_and_judged_against_the_one_before() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    engine.watch().await.unwrap();
    let id = connect_demo(&engine, &member(&fleet, "credit-risk"), fleet.control_url()).await;
    eventually("v6 is evaluated", || async { latest(&engine, id, "v6") }).await;
    until_health(&engine, id, Health::Healthy).await;

    fleet.inject("credit-risk", Fault::VersionDefect).unwrap();
    let worse = eventually("v7 is evaluated", || async { latest(&engine, id, "v7") }).await;
    until_health(&engine, id, Health::Degraded).await;
    assert_eq!(worse.n, 250, "the whole golden set");
    let quality = engine.quality_of(&engine.endpoint(id).await.unwrap()).await.unwrap();
    let change = quality.change.as_ref().expect("compared with v6");
    assert!(change.is_fall() && change.is_significant(), "{change:?}");
    assert_eq!((change.against.as_str(), change.worse > change.better), ("v6", true));
    assert_eq!(quality.previous_good, Some("v6".into()));
    assert!(quality.problem.as_deref().is_some_and(|text| text.contains("since v6")), "{quality:?}");
    assert!(quality.latest.as_ref().unwrap().predictions.is_empty(), "kept small in memory");
    assert_eq!(engine.reported_version(id), Some("v7".into()));

    // A process that only reads comes to the same judgement.
    let reading = place.engine();
    let read = reading.quality_of(&reading.endpoint(id).await.unwrap()).await.unwrap();
    let judgement =
        |quality: &QualityState| (quality.change.clone(), quality.problem.clone(), quality.previous_good.clone());
    assert_eq!(judgement(&read), judgement(&quality));
    // Nor does it judge again what it judged before.
    let all = [Arc::new(reading.endpoint(id).await.unwrap())];
    let first = reading.states_of(&all).await.unwrap().remove(0);
    assert_eq!((judgement(&first.quality), first.health.health), (judgement(&quality), Health::Degraded));
    let again = reading.states_of(&all).await.unwrap().remove(0);
    assert!(Arc::ptr_eq(&first.quality, &again.quality));
    engine.evaluate_now(id).await.unwrap();
    let renewed = reading.states_of(&all).await.unwrap().remove(0);
    assert!(!Arc::ptr_eq(&first.quality, &renewed.quality), "another evaluation is another judgement");
    engine.stop().await;

    let all = events(&engine);
    let evaluated = |wanted: &'static str| move |kind: &EventKind| matches!(kind, EventKind::Evaluated { version: Some(version), .. } if version.as_str() == wanted);
    let changed = position(
        &all,
        "v7 live",
        |kind| matches!(kind, EventKind::VersionChanged { from: Some(from), to } if (from.as_str(), to.as_str()) == ("v6", "v7")),
    );
    let judged = position(&all, "v7 evaluated", evaluated("v7"));
    let degraded =
        position(&all, "degraded", |kind| matches!(kind, EventKind::HealthChanged { to: Health::Degraded, .. }));
    assert!(position(&all, "v6 evaluated", evaluated("v6")) < changed && changed < judged && judged < degraded);
    fleet.shutdown().await;
}

/// `diabetes` speaks MLflow's protocol, which reports no version: the registry's word decides to whom answers count.
#[tokio::test]
async fn answers_count_to_the_version_that_gave_them() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "diabetes"), fleet.control_url()).await;
    let versions: Vec<VersionId> =
        engine.control_state(id).await.unwrap().versions.into_iter().map(|version| version.id).collect();
    let live = engine.control_state(id).await.unwrap().current.unwrap();
    let other = versions.iter().find(|version| **version != live).unwrap().clone();
    let before = engine.evaluate_now(id).await.unwrap();
    assert_eq!(before.version, Some(live.clone()));
    // Nobody asked the registry between the switch and the evaluation.
    switch(fleet.control_url(), "diabetes", other.as_str()).await;
    let after = engine.evaluate_now(id).await.unwrap();
    assert_ne!(after.predictions, before.predictions);
    assert_eq!(after.version, Some(other.clone()));
    let stretches = engine.store().live_versions(id).unwrap();
    assert_eq!(
        stretches.iter().map(|live| (&live.version, live.source)).collect::<Vec<_>>(),
        [(&other, VersionSource::ControlPlane), (&live, VersionSource::ControlPlane)]
    );
    engine.stop().await;
    fleet.shutdown().await;
}

/// After a restart the endpoint may be silent while its registry talks: that is no change of version.
#[tokio::test]
async fn the_registry_does_not_overrule_what_the_endpoint_reported() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let first = place.engine();
    let id = connect_demo(&first, &member(&fleet, "credit-risk"), fleet.control_url()).await;
    first.probe_now(id).await.unwrap();
    first.watch().await.unwrap();
    eventually("v6 is reported", || async { first.reported_version(id) }).await;
    first.stop().await;
    fleet.inject("credit-risk", Fault::VersionDefect).unwrap();
    let second = place.engine();
    assert_eq!(second.control_state(id).await.unwrap().current, Some("v7".into()));
    assert_eq!(second.current_version(id).await.unwrap(), Some("v6".into()));
    assert_eq!(second.probe_now(id).await.unwrap().version, Some("v7".into()));
    assert_eq!(second.current_version(id).await.unwrap(), Some("v7".into()));
    second.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_failing_evaluation_is_told_once_and_named() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let link = LossyLink::to(fleet.control_url(), Link::Broken).await;
    let id = connect_demo(&engine, &member(&fleet, "wine"), &link.url).await;
    assert!(matches!(engine.control_state(id).await, Err(EngineError::Control(_))));
    // The control plane being away does not hinder the evaluation.
    assert!(engine.evaluate_now(id).await.unwrap().version.is_some());
    fleet.inject("wine", Fault::WrongShape).unwrap();
    let error = engine.evaluate_now(id).await.unwrap_err();
    assert!(matches!(&error, EngineError::Target { .. } | EngineError::Outputs { .. }), "{error}");
    engine.watch().await.unwrap();
    eventually("the failure is told", || async {
        events(&engine).iter().any(|event| matches!(event.kind, EventKind::EvaluationFailed { .. })).then_some(())
    })
    .await;
    // Two more rounds say nothing new.
    let now = engine.now();
    eventually("two more rounds", || async { engine.next_evaluation(id).filter(|next| next.since(now) > 10_000) })
        .await;
    let told = events(&engine).iter().filter(|event| matches!(event.kind, EventKind::EvaluationFailed { .. })).count();
    assert_eq!(told, 1);
    engine.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn without_a_golden_set_there_is_nothing_to_evaluate() {
    let place = Place::new();
    let engine = place.engine();
    let server = FakeServer::start(answer()).await;
    let id = engine.add_endpoint(json_endpoint("bare", &server)).await.unwrap();
    assert!(matches!(engine.evaluate_now(id).await, Err(EngineError::NoGoldenSet(name)) if name == "bare"));
    assert!(matches!(engine.control_state(id).await, Err(EngineError::NoControlPlane(_))));
    assert!(matches!(engine.prepare_rollback(id, None).await, Err(EngineError::NoControlPlane(_))));
    assert!(engine.store().evaluations(id, TimestampMs(0), TimestampMs(i64::MAX)).unwrap().is_empty());
    engine.stop().await;
}
