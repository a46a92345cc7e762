//! What the screens show of the demo fleet, from the first start to a proved rollback.

use pilothouse_api::types::{
    AuditRequest, ChartKind, DemoInjectRequest, Empty, EndpointPauseRequest, EndpointRequest, FleetRequest,
    GoldenRowsRequest, HealthWord, RangeRequest, RollbackApplyRequest, RollbackPlanRequest, RollbackStatusRequest,
    RowPreset, RunState, TimelineRequest, Verdict,
};
use pilothouse_api::{Api, Code};

use crate::support::{chart, demo, eventually, row};

async fn healthy(api: &Api, name: &str) -> i64 {
    eventually("healthy with its quality known", || async {
        let row = row(api, name).await;
        (row.health == HealthWord::Healthy && row.quality.is_some()).then_some(row.id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_is_seen_on_every_screen_and_rolled_back() {
    let place = Box::pin(demo()).await;
    let api = &place.api;
    let fleet = api.fleet(FleetRequest::default()).await.unwrap();
    assert_eq!(fleet.endpoints.len(), 4);
    assert!(fleet.endpoints.iter().is_sorted_by_key(|row| !row.production), "production stands first");
    assert!(fleet.online && fleet.demo.is_some());
    let id = healthy(api, "credit-risk").await;

    api.demo_inject(DemoInjectRequest { model: "credit-risk".into(), fault: "version_defect".into() }).await.unwrap();
    let bad = eventually("degraded", || async {
        let row = row(api, "credit-risk").await;
        (row.health == HealthWord::Degraded).then_some(row)
    })
    .await;
    assert_eq!((bad.version.as_deref(), bad.previous_good.as_deref()), (Some("v7"), Some("v6")));
    assert!(bad.quality_change.is_some_and(|change| change.significant && change.difference < 0.0));
    assert!(!bad.beats.is_empty() && bad.n_known > 0 && bad.p95_us.is_some() && bad.can_roll_back);

    let now = api.engine().now().0 + 1;
    let range = RangeRequest { id, from_ms: now - 3_600_000, to_ms: now };
    let detail = api.endpoint(EndpointRequest { id }).await.unwrap();
    assert_eq!((detail.row.name.as_str(), detail.golden_set.map(|set| set.n)), ("credit-risk", Some(250)));
    let quality = api.quality(range).await.unwrap();
    let versions: Vec<&str> =
        quality.versions.iter().filter_map(|version| version.evaluation.version.as_deref()).collect();
    assert_eq!(versions, ["v7", "v6"]);
    assert!(quality.versions[0].flips.as_ref().is_some_and(|flips| flips.worse > flips.better));
    assert!(quality.next_ms.is_some());
    let versions = api.versions(EndpointRequest { id }).await.unwrap();
    assert_eq!((versions.current.as_deref(), versions.reported.as_deref()), (Some("v7"), Some("v7")));
    assert_eq!(versions.live.iter().map(|live| live.version.as_str()).collect::<Vec<_>>(), ["v7", "v6"]);
    assert_eq!(versions.error, None);

    let flipped = GoldenRowsRequest { id, preset: RowPreset::Flipped, search: String::new(), offset: 0, limit: 10 };
    let rows = api.golden_rows(flipped).await.unwrap();
    assert_eq!((rows.version.as_deref(), rows.against.as_deref()), (Some("v7"), Some("v6")));
    assert!(rows.total > 0 && rows.rows.iter().all(|row| row.prediction.is_some() && row.before.is_some()));

    api.engine().with_store(pilothouse_store::Store::flush).await.unwrap();
    for kind in [ChartKind::Latency, ChartKind::Availability, ChartKind::Quality] {
        let drawn = api.chart(chart(id, kind, now - 3_600_000, now)).await.unwrap();
        assert!(drawn.points.iter().any(|point| point.n > 0), "{kind:?}");
        assert!(drawn.marks.iter().any(|mark| mark.label.contains("v7")), "{kind:?}: {:?}", drawn.marks);
        assert_eq!(drawn.media_type, "image/svg+xml");
        assert!(drawn.plot.left < drawn.plot.right && drawn.plot.top < drawn.plot.bottom);
    }

    let plan = api.rollback_plan(RollbackPlanRequest { id, to: None }).await.unwrap();
    assert_eq!((plan.to.version.as_str(), plan.blocked, plan.production), ("v6", false, true));
    let wrong = RollbackApplyRequest { plan_id: plan.plan_id.clone(), confirm: "credit".into(), reason: String::new() };
    assert_eq!(api.rollback_apply(wrong).await.unwrap_err().code, Code::InvalidInput);
    let apply = RollbackApplyRequest { plan_id: plan.plan_id, confirm: "credit-risk".into(), reason: "fell".into() };
    let run = api.rollback_apply(apply.clone()).await.unwrap();
    assert_eq!(api.rollback_apply(apply).await.unwrap_err().code, Code::Conflict);
    let run = eventually("the verdict", || async {
        let run = api.rollback_status(RollbackStatusRequest { run_id: run.run_id.clone() }).await.unwrap();
        (run.state == RunState::Finished).then_some(run)
    })
    .await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(!run.summary.is_empty() && !run.evidence.is_empty());
    assert_eq!(api.rollback_runs(EndpointRequest { id }).await.unwrap().runs.len(), 1);

    // The run is stored as finished before its event is written.
    let kinds =
        ["version_changed", "evaluated", "health_changed", "rollback_started", "rollback_finished", "fault_injected"];
    eventually("every kind of event", || async {
        let asked = TimelineRequest { id: Some(id), from_ms: 0, to_ms: api.engine().now().0 + 1, limit: 100 };
        let timeline = api.timeline(asked).await.unwrap();
        kinds.iter().all(|kind| timeline.events.iter().any(|event| event.kind == *kind)).then_some(())
    })
    .await;
    let audit = api.audit(AuditRequest { limit: 10, before: None }).await.unwrap();
    assert!(audit.entries.iter().any(|entry| entry.action == "rollback.verdict" && entry.evidence.contains("v6")));

    // The summary counts what the range holds.
    let summary = api.health_summary(range).await.unwrap();
    assert_eq!(summary.n, summary.n_ok + summary.n_target_failed + summary.n_unknown);
    api.demo_remove(Empty {}).await.unwrap();
    assert!(api.fleet(FleetRequest::default()).await.unwrap().endpoints.is_empty());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_keeps_history_and_pauses() {
    let place = Box::pin(demo()).await;
    let id = healthy(&place.api, "wine").await;
    place.api.endpoint_pause(EndpointPauseRequest { id, paused: true }).await.unwrap();
    place.api.stop().await;
    let database = place.folder.path().join("made/by/us/fleet.db");
    let again = Api::open(&database, pilothouse_secrets::Secrets::memory(), None).unwrap();
    again.demo_resume().await.unwrap();
    assert!(again.watch().await.unwrap());
    let paused = row(&again, "wine").await;
    assert_eq!((paused.id, paused.health), (id, HealthWord::Paused));
    assert!(paused.quality.is_some(), "what was measured before is still known");
    // It has the new address: a probe by hand gets its answer.
    assert_eq!(again.probe_now(EndpointRequest { id }).await.unwrap().outcome, "ok");
    again.stop().await;
}
