//! `TorchServe`: its two APIs, its statuses, and handlers with bodies of their own.

use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
use serde_json::json;

use super::super::tests::target;
use super::super::{ServingProtocol, status_failure};
use super::*;

/// `GET /models/m/all` of TorchServe 0.12.0.
const ALL: &str = include_str!("../../../tests/data/torchserve-0.12.0-models.json");

fn torchserve(change: impl FnOnce(&mut Target)) -> TorchServe {
    let mut target = target("http://h:8080/", Protocol::TorchServe, Some("m"));
    change(&mut target);
    TorchServe::new(&target).unwrap()
}

fn table(rows: usize) -> Table {
    let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
    Table { columns: vec![column("a"), column("b")], rows: vec![vec![Cell::Number(1.0), Cell::Number(2.0)]; rows] }
}

#[test]
fn routes_follow_model_version_and_management_address() {
    let call = torchserve(|_| {}).predict_call(&table(1), None).unwrap();
    assert_eq!(call.url.as_str(), "http://h:8080/predictions/m");
    assert_eq!(call.body.as_deref(), Some(&br#"{"instances":[[1.0,2.0]]}"#[..]));
    let pinned = torchserve(|target| target.model_version = Some("2.0".into()));
    assert_eq!(pinned.predict_call(&table(1), None).unwrap().url.path(), "/predictions/m/2.0");
    let ready = pinned.readiness_call().unwrap();
    assert_eq!((ready.call.url.as_str(), ready.lacking), ("http://h:8081/models/m/2.0", Lacking::Server));
    assert_eq!(pinned.health_call().unwrap().url.as_str(), "http://h:8080/ping");

    let named = torchserve(|target| target.management_url = Some("https://admin/ts/".parse().unwrap()));
    assert_eq!(named.health_call().unwrap().url.as_str(), "https://admin/ts/models/m", "workers say more than /ping");
    assert_eq!(named.readiness_call().unwrap().lacking, Lacking::Nothing);
    assert_eq!(named.metadata_call().unwrap().url.as_str(), "https://admin/ts/models/m/all");
    assert!(torchserve(|target| target.model = None).readiness_call().is_none());
}

#[test]
fn healthy_without_workers_is_not_healthy() {
    assert_eq!(torchserve(|_| {}).read_health(b"{\n  \"status\": \"Healthy\"\n}"), Ok(()));
    let partial = torchserve(|_| {}).read_health(br#"{"status":"Partial Healthy"}"#).unwrap_err();
    assert_eq!(partial.outcome, Outcome::TargetFailed(TargetFailure::NotReady));
    assert!(torchserve(|_| {}).read_health(b"\n").is_err());

    let readiness = torchserve(|_| {}).read_readiness(ALL.as_bytes()).unwrap();
    assert_eq!(
        (readiness.version, readiness.detail.as_deref()),
        (Some("1.0".into()), Some("its only worker is ready"))
    );
    let idle = r#"[{"modelName":"m","modelVersion":"2.0","workers":[]}]"#;
    let failure = torchserve(|_| {}).read_readiness(idle.as_bytes()).unwrap_err();
    assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::NotReady));
    assert!(failure.detail.contains("2.0: it has no worker"), "{failure:?}");
    let starting = r#"[{"modelName":"m","modelVersion":"1","workers":[{"status":"UNLOADING"},{"status":"LOADING"}]}]"#;
    assert!(torchserve(|_| {}).read_readiness(starting.as_bytes()).unwrap_err().detail.contains("0 of 2"));
}

#[test]
fn versions_workers_and_the_default_are_described() {
    let torchserve = torchserve(|_| {});
    let mut metadata = torchserve.read_metadata(ALL.as_bytes()).unwrap();
    assert_eq!((metadata.name.as_str(), metadata.versions.clone()), ("m", vec!["1.0".to_owned(), "2.0".to_owned()]));
    assert_eq!((metadata.platform.as_deref(), metadata.states[0].workers), (Some("python"), Some(1)));
    let default = r#"[{"modelName":"m","modelVersion":"2.0","workers":[]}]"#;
    torchserve.read_further(0, default.as_bytes(), &mut metadata).unwrap();
    assert_eq!(metadata.states.iter().map(|state| state.is_default).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn statuses_say_what_they_mean() {
    let check = |status: u16, body: &str, is_health: bool, expect: TargetFailure| {
        let found = status_failure(&torchserve(|_| {}), status, body.as_bytes(), is_health).unwrap();
        assert_eq!(found.outcome, Outcome::TargetFailed(expect), "{status} {body}");
    };
    let token = r#"{"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed. Token either incorrect, expired, or not provided correctly"}"#;
    check(400, token, false, TargetFailure::Unauthorized);
    check(400, token, true, TargetFailure::Unauthorized);
    check(400, r#"{"code": 400, "message": "no"}"#, false, TargetFailure::RequestRejected);
    let idle = r#"{"code": 503, "type": "ServiceUnavailableException", "message": "Model \"m\" has no worker to serve inference request. Please use scale workers API to add workers."}"#;
    check(503, idle, false, TargetFailure::NotReady);
    check(503, r#"{"code": 503, "message": "Prediction failed"}"#, false, TargetFailure::ServerError);
    check(500, "{\n  \"status\": \"Unhealthy\"\n}", true, TargetFailure::NotReady);
    check(404, r#"{"code": 404, "message": "Model not found: nope"}"#, false, TargetFailure::ModelNotFound);
}

#[test]
fn handlers_answers_are_read_by_custom_or_by_template() {
    let numbers = |body: &str, rows: usize| torchserve(|_| {}).read_prediction(body.as_bytes(), rows).map(|a| a.rows);
    let row = |value: f64| vec![Cell::Number(value)];
    assert_eq!(numbers(r#"{"predictions": [1, 2]}"#, 2), Ok(vec![row(1.0), row(2.0)]));
    assert_eq!(numbers("[0.5, 1.5]", 2), Ok(vec![row(0.5), row(1.5)]));
    assert_eq!(numbers("3.5", 1), Ok(vec![row(3.5)]));
    let failure = numbers(r#"{"y": 3.0}"#, 1).unwrap_err();
    assert!(failure.detail.contains("template"), "{failure:?}");

    // The handler of the capture: {"x": [1, 2]} in, {"y": 3.0, "version": "1.0"} out.
    let template = JsonTemplate {
        path: String::new(),
        body: json!({"x": "{{row}}"}),
        prediction: "/y".into(),
        version: Some("/version".into()),
        ..JsonTemplate::default()
    };
    let torchserve = torchserve(|target| target.json = Some(template));
    assert_eq!(torchserve.rows_per_call(), Some(1));
    let call = torchserve.predict_call(&table(1), None).unwrap();
    assert_eq!(call.body.as_deref(), Some(&br#"{"x":[1.0,2.0]}"#[..]));
    let answer = torchserve.read_prediction(include_bytes!("../../../tests/data/torchserve-0.12.0-prediction.json"), 1);
    let answer = answer.unwrap();
    assert_eq!((answer.rows, answer.version), (vec![row(3.0)], Some("1.0".into())));
}
