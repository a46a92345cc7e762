//! The engine watches a real MLServer: found, probed, evaluated, explained, and down when its model is gone.

use pilothouse_api::types::{
    AuthDraft, DetectRequest, ExplainJob, ExplainRequest, HealthWord, JobRequest, TimelineRequest,
};
use pilothouse_tests::RealServer;

use crate::support::{LATER, add, always, draft, http, import_tumours, of, open, row, until, until_row};

#[tokio::test]
async fn a_real_mlserver_is_found_watched_evaluated_and_explained() {
    let server = RealServer::mlserver();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());

    let request = DetectRequest::new(server.url.to_string(), AuthDraft::None);
    let found = api.detect(request).await.unwrap();
    assert_eq!(found.protocol.as_deref(), Some("v2"), "{found:?}");
    assert_eq!(found.server.as_deref(), Some("mlserver"), "{found:?}");
    assert!(!found.needs_auth);
    let model = found.models.iter().find(|model| model.name == "bc").unwrap();
    assert_eq!(model.ready, Some(true));
    assert!(["1", "2"].iter().all(|version| model.versions.iter().any(|v| v == version)), "{model:?}");

    // The highest version, the bad one, is the default; the good one is called by its number.
    import_tumours(&api, None).await;
    let connect = async |name: &str, version: Option<&str>| {
        let mut draft = draft(name, server.url.as_str(), "v2");
        draft.model = Some("bc".into());
        draft.model_version = version.map(str::to_owned);
        draft.golden_set = Some("tumours".into());
        add(&api, draft).await
    };
    let (bad, good) = (connect("default", None).await, connect("pinned", Some("1")).await);
    let evaluated = |row: &pilothouse_api::types::FleetRow| row.quality.is_some() && row.health == HealthWord::Healthy;
    let bad_row = until_row(&api, bad, "the default version is evaluated", evaluated).await;
    let good_row = until_row(&api, good, "the pinned version is evaluated", evaluated).await;
    assert_eq!((bad_row.version.as_deref(), good_row.version.as_deref()), (Some("2"), Some("1")));
    let accuracy = |row: &pilothouse_api::types::FleetRow| {
        let quality = row.quality.as_ref().unwrap();
        assert_eq!(quality.name, "accuracy");
        quality.value.unwrap()
    };
    assert!(accuracy(&good_row) > 0.95, "{:?}", good_row.quality);
    assert!(accuracy(&bad_row) < 0.75, "{:?}", bad_row.quality);

    // Phases were measured, and history is there.
    let summary = until("ten checks are on record", LATER, async || {
        Some(api.health_summary(always(good)).await.unwrap()).filter(|summary| summary.n >= 10)
    });
    let summary = summary.await;
    assert_eq!((summary.n_ok, summary.n_target_failed, summary.n_unknown), (summary.n, 0, 0));
    assert!(summary.p50_us.is_some_and(|us| us > 0.0) && summary.p99_us >= summary.p50_us);
    for phase in ["connect", "send", "wait"] {
        assert!(summary.phases.iter().any(|p| p.phase == phase && p.median_us.is_some()), "{phase}");
    }
    let quality = api.quality(always(good)).await.unwrap();
    assert!(quality.evaluations.iter().all(|evaluation| evaluation.version.as_deref() == Some("1")));

    // Thirty features are sampled; the shares add up to the prediction all the same.
    let request = ExplainRequest { id: good, index: Some(0), cells: None, output: None, budget: Some(2_000), seed: 7 };
    let job = api.explain_start(request).await.unwrap().job;
    let explanation = until("the explanation is there", LATER, async || {
        match api.explain_job(JobRequest { job: job.clone() }).await.unwrap() {
            ExplainJob::Done { explanation } => Some(explanation),
            ExplainJob::Running { .. } => None,
            other => panic!("{other:?}"),
        }
    });
    let explanation = explanation.await;
    assert_eq!(explanation.attributions.len(), 30);
    let sum: f64 = explanation.attributions.iter().map(|share| share.value).sum();
    assert!((explanation.base_value + sum - explanation.prediction).abs() < 1e-9);
    api.stop().await;
}

#[tokio::test]
async fn an_unloaded_model_is_the_targets_failure_and_heals() {
    let server = RealServer::mlserver();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    import_tumours(&api, None).await;
    let mut wanted = draft("bc", server.url.as_str(), "v2");
    wanted.model = Some("bc".into());
    wanted.golden_set = Some("tumours".into());
    let id = add(&api, wanted).await;
    until_row(&api, id, "it is healthy", |row| row.health == HealthWord::Healthy && row.quality.is_some()).await;

    let order = async |what: &str| {
        let url = server.url.join(&format!("v2/repository/models/bc/{what}")).unwrap();
        assert!(http().post(url).send().await.unwrap().status().is_success(), "{what}");
    };
    order("unload").await;
    let down = until_row(&api, id, "it is down", |row| row.health == HealthWord::Down).await;
    assert!(!down.reason.is_empty());
    let probe = api.probe_now(of(id)).await.unwrap();
    assert_eq!(probe.outcome, "target_failed", "{probe:?}");
    let summary = api.health_summary(always(id)).await.unwrap();
    assert_eq!(summary.n_unknown, 0, "a failure of the target is not ours: {:?}", summary.reasons);
    let error = api.evaluate_now(of(id)).await.unwrap_err();
    assert_eq!(error.code, pilothouse_api::Code::TargetFailed, "{error:?}");

    order("load").await;
    until_row(&api, id, "it is healthy again", |row| row.health == HealthWord::Healthy).await;
    // The row is a moment ahead of the timeline.
    let request = TimelineRequest { id: Some(id), from_ms: 0, to_ms: i64::MAX / 4, limit: 100 };
    until("up, down and up again are on the timeline", LATER, async || {
        let events = api.timeline(request).await.unwrap().events;
        (events.iter().filter(|event| event.kind == "health_changed").count() >= 3).then_some(())
    })
    .await;

    // A server that is gone altogether is down as well, and nothing of it is ours.
    drop(server);
    until_row(&api, id, "it is down for good", |row| row.health == HealthWord::Down).await;
    assert_eq!(api.health_summary(always(id)).await.unwrap().n_unknown, 0);
    assert_eq!(row(&api, id).await.version.as_deref(), Some("2"), "what was live last stays known");
    api.stop().await;
}
