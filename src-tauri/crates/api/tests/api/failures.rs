//! Every failure has its code, so that a consumer never reads the text.

use pilothouse_api::Code;
use pilothouse_api::types::{
    AuthDraft, ChartKind, ConnectTestRequest, ControlPlaneDraft, DemoInjectRequest, DetectRequest, EndpointAddRequest,
    EndpointRemoveRequest, EndpointRequest, JobRequest, RangeRequest, RollbackApplyRequest, RollbackPlanRequest,
    RollbackStatusRequest, SecretRequest, SecretSetRequest, SecretState,
};
use pilothouse_testkit::{Behaviour, FakeServer};

use crate::support::{chart, draft, open};

/// Both the error's code and that its text is fit for people.
macro_rules! fails {
    ($call:expr, $code:expr) => {{
        let error = $call.await.unwrap_err();
        assert_eq!(error.code, $code, "{}: {error:?}", stringify!($call));
        assert!(error.message.len() > 10, "{error:?}");
    }};
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let place = open();
    let api = &place.api;
    let (nowhere, range) = (EndpointRequest { id: 99 }, RangeRequest { id: 99, from_ms: 0, to_ms: 1 });
    fails!(api.endpoint(nowhere.clone()), Code::NotFound);
    fails!(api.probe_now(nowhere.clone()), Code::NotFound);
    fails!(api.evaluate_now(nowhere.clone()), Code::NotFound);
    fails!(api.versions(nowhere.clone()), Code::NotFound);
    fails!(api.rollback_runs(nowhere), Code::NotFound);
    fails!(api.health_summary(range), Code::NotFound);
    fails!(api.quality(range), Code::NotFound);
    fails!(api.chart(chart(99, ChartKind::Latency, 0, 1)), Code::NotFound);
    fails!(api.endpoint_remove(EndpointRemoveRequest { id: 99, confirm: String::new() }), Code::NotFound);
    fails!(api.rollback_plan(RollbackPlanRequest { id: 99, to: None }), Code::NotFound);
    fails!(api.rollback_status(RollbackStatusRequest { run_id: "r".into() }), Code::NotFound);
    let apply = RollbackApplyRequest { plan_id: "p".into(), confirm: "x".into(), reason: String::new() };
    fails!(api.rollback_apply(apply), Code::NotFound);
    fails!(api.explain_job(JobRequest { job: "j".into() }), Code::NotFound);
    fails!(api.explain_cancel(JobRequest { job: "j".into() }), Code::NotFound);
    fails!(api.demo_inject(DemoInjectRequest { model: "wine".into(), fault: "hang".into() }), Code::NotFound);
    fails!(api.demo_inject(DemoInjectRequest { model: "wine".into(), fault: "flood".into() }), Code::InvalidInput);
    api.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_lacks_something_or_is_asked_wrongly() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::status(503, r#"{"detail":"down"}"#)).await;
    let mut loans = draft("loans", &server);
    loans.control_plane = Some(ControlPlaneDraft::Demo { url: server.url().to_string(), model: "loans".into() });
    let id = api.endpoint_add(EndpointAddRequest { draft: loans.clone() }).await.unwrap().id;
    let asked = EndpointRequest { id };
    fails!(api.evaluate_now(asked.clone()), Code::NotEnoughData);
    fails!(api.rollback_plan(RollbackPlanRequest { id, to: None }), Code::ControlPlaneFailed);
    assert_eq!(api.versions(asked).await.unwrap().error.unwrap().code, Code::ControlPlaneFailed);
    fails!(api.endpoint_remove(EndpointRemoveRequest { id, confirm: "loan".into() }), Code::InvalidInput);
    let test = api.connect_test(ConnectTestRequest { draft: loans.clone() }).await.unwrap();
    assert_eq!((test.outcome.as_str(), test.reason.as_deref()), ("target_failed", Some("server_error")));

    loans.auth = AuthDraft::Bearer { secret: "absent".into() };
    fails!(api.connect_test(ConnectTestRequest { draft: loans }), Code::SecretMissing);
    let auth = AuthDraft::Bearer { secret: "absent".into() };
    fails!(api.detect(DetectRequest::new(server.url().to_string(), auth)), Code::SecretMissing);
    let unreachable = "http://127.0.0.1:1/".to_owned();
    fails!(api.detect(DetectRequest::new(unreachable, AuthDraft::None)), Code::TargetFailed);
    api.stop().await;
}

#[tokio::test]
async fn ranges_zones_and_sizes_are_checked() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"predictions": [1]}"#)).await;
    let id = api.endpoint_add(EndpointAddRequest { draft: draft("loans", &server) }).await.unwrap().id;
    let good = chart(id, ChartKind::Latency, 0, 3_600_000);
    for kind in [ChartKind::Latency, ChartKind::Availability, ChartKind::Quality] {
        let empty = api.chart(chart(id, kind, 0, 3_600_000)).await.unwrap();
        assert!(empty.points.iter().all(|point| point.n == 0), "{kind:?} without any probe");
    }
    fails!(api.chart(chart(id, ChartKind::Latency, 5, 5)), Code::InvalidInput);
    fails!(api.chart(chart(id, ChartKind::Quality, 6, 5)), Code::InvalidInput);
    for zone in ["Mars/Olympus", "", "../../etc/passwd"] {
        let mut asked = good.clone();
        asked.time_zone = zone.into();
        fails!(api.chart(asked), Code::InvalidInput);
    }
    for (width, height) in [(0, 200), (600, 0), (u32::MAX, 200)] {
        let mut asked = good.clone();
        (asked.width, asked.height) = (width, height);
        fails!(api.chart(asked), Code::InvalidInput);
    }
    let mut asked = good.clone();
    asked.theme.ink = "\"/><script>".into();
    fails!(api.chart(asked), Code::InvalidInput);
    for (from_ms, to_ms) in [(i64::MIN, i64::MAX), (0, i64::MAX), (i64::MIN, 0)] {
        let mut asked = good.clone();
        (asked.from_ms, asked.to_ms) = (from_ms, to_ms);
        // Any range is answered or refused, and never a crash.
        if let Err(error) = api.chart(asked).await {
            assert_eq!(error.code, Code::InvalidInput, "{error:?}");
        }
        if let Err(error) = api.health_summary(RangeRequest { id, from_ms, to_ms }).await {
            assert_eq!(error.code, Code::InvalidInput, "{error:?}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let place = open();
    let api = &place.api;
    let server = FakeServer::start(Behaviour::json(r#"{"predictions": [1]}"#)).await;
    let mut loans = draft("loans", &server);
    loans.auth = AuthDraft::Bearer { secret: "loans-token".into() };
    api.endpoint_add(EndpointAddRequest { draft: loans }).await.unwrap();
    let name = || "loans-token".to_owned();
    assert_eq!(api.secret_state(SecretRequest { name: name() }).await.unwrap().state, SecretState::Missing);
    fails!(api.secret_set(SecretSetRequest { name: name(), value: String::new() }), Code::InvalidInput);
    fails!(api.secret_set(SecretSetRequest { name: String::new(), value: "x".into() }), Code::InvalidInput);
    let marker = "marker-0f5ec2e7";
    let entry = api.secret_set(SecretSetRequest { name: name(), value: marker.into() }).await.unwrap();
    assert_eq!((entry.state, entry.used_by), (SecretState::Present, vec!["loans".to_owned()]));
    let entry = api.secret_forget(SecretRequest { name: name() }).await.unwrap();
    assert_eq!(entry.state, SecretState::Missing);
    let said =
        format!("{:?}", api.audit(pilothouse_api::types::AuditRequest { limit: 50, before: None }).await.unwrap());
    assert!(said.contains("secret.set") && said.contains("secret.forget") && !said.contains(marker));
    api.stop().await;
    let folder = place.folder.path().join("made/by/us");
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(marker.len()).any(|window| window == marker.as_bytes()));
    }
}
