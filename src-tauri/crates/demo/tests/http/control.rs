//! The registry and the fleet's own life.

use pilothouse_demo::{DemoError, DemoFleet};
use pilothouse_domain::{Protocol, Task};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::Demo;

#[tokio::test]
async fn the_registry_lists_every_version_with_its_metrics() {
    let demo = Demo::start().await;
    let (status, all) = demo.control(Method::GET, "/registry/models", None).await;
    assert_eq!(status, StatusCode::OK);
    let names: Vec<&Value> = all["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names, ["credit-risk", "diagnosis", "wine", "diabetes"]);
    let (_, one) = demo.control(Method::GET, "/registry/models/credit-risk", None).await;
    assert_eq!(one, all["models"][0]);
    assert_eq!(one["live"], "v6");
    let versions: Vec<&Value> = one["versions"].as_array().unwrap().iter().map(|v| &v["version"]).collect();
    assert_eq!(versions, ["v5", "v6", "v7"]);
    for version in one["versions"].as_array().unwrap() {
        assert_eq!(version["ready"], true);
        assert!(version["created_ms"].as_i64().unwrap() > 1_700_000_000_000);
        assert!(version["metrics"]["cv_accuracy"].as_f64().unwrap() > 0.7);
    }
}

#[tokio::test]
async fn a_switch_is_seen_by_the_next_request_and_written_down() {
    let demo = Demo::start().await;
    let live = "/registry/models/credit-risk/live";
    let etag = async || demo.control(Method::GET, "/registry/models/credit-risk", None).await.1["etag"].clone();
    let before = etag().await;
    for (to, expected) in [("v5", json!("v6")), ("v7", json!("v5")), ("v6", Value::Null)] {
        let body = json!({"version": to, "expected": expected});
        let (status, answer) = demo.control(Method::PUT, live, Some(body)).await;
        assert_eq!((status, &answer["live"]), (StatusCode::OK, &json!(to)));
        let table = demo.endpoint("credit-risk").probe_input;
        assert_eq!(demo.infer("credit-risk", &table).await.1["model_version"], to);
    }
    assert_ne!(etag().await, before);
    let (_, history) = demo.control(Method::GET, "/registry/models/credit-risk/history", None).await;
    let switches: Vec<Value> =
        history["switches"].as_array().unwrap().iter().map(|s| json!([s["from"], s["to"], s["by"]])).collect();
    let expect = [["v6", "v5", "registry"], ["v5", "v7", "registry"], ["v7", "v6", "registry"]];
    assert_eq!(json!(switches), json!(expect));
    assert!(history["switches"][0]["at_ms"].as_i64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn a_switch_of_the_mlflow_model_changes_its_predictions() {
    let demo = Demo::start().await;
    let (status, _) = demo.control(Method::PUT, "/registry/models/diabetes/live", Some(json!({"version": "v1"}))).await;
    assert_eq!(status, StatusCode::OK);
    let table = demo.endpoint("diabetes").golden_set.table;
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let body = json!({"dataframe_split": {"columns": names, "data": table.rows}});
    let (_, answer) = demo.post("diabetes", "/invocations", &body).await;
    crate::assert_close(&answer["predictions"], crate::expected("diabetes", "v1").iter().flatten());
}

#[tokio::test]
async fn calls_that_cannot_be_done_change_nothing() {
    let demo = Demo::start().await;
    let live = "/registry/models/credit-risk/live";
    for (method, path, body, status, expect) in [
        (Method::PUT, live, json!({"version": "v5", "expected": "v7"}), 409, "is `v6`, not `v7`"),
        (
            Method::PUT,
            live,
            json!({"version": "v9", "expected": "v6"}),
            404,
            "has no version `v9`; it has `v5`, `v6`, `v7`",
        ),
        (Method::PUT, live, json!({}), 400, "missing field `version`"),
        (Method::PUT, live, json!([1]), 400, "cannot be read"),
        (
            Method::PUT,
            "/registry/models/nope/live",
            json!({"version": "v5"}),
            404,
            "no model `nope`; it has `credit-risk`",
        ),
        (Method::GET, "/registry/models/nope", json!(null), 404, "no model `nope`"),
        (Method::GET, "/registry/models/nope/history", json!(null), 404, "no model `nope`"),
        (Method::PUT, "/faults/nope", json!({"fault": "hang"}), 404, "no model `nope`"),
        (Method::PUT, "/faults/wine", json!({"fault": "fire"}), 400, "unknown variant `fire`"),
        (Method::PUT, "/faults/wine", json!({"fault": "errors", "rate": 2}), 400, "a rate from 0 to 1, not 2"),
        (Method::PUT, "/faults/wine", json!({"fault": "latency", "ms": -1}), 400, "invalid value"),
        (Method::PUT, "/faults/wine", json!({"fault": "version_defect"}), 400, "no defective version"),
    ] {
        let (found, answer) = demo.control(method, path, Some(body)).await;
        assert_eq!(found.as_u16(), status, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(expect), "{path}: {answer}");
        if found == StatusCode::CONFLICT {
            assert_eq!(answer["live"], "v6");
        }
    }
    let (_, answer) = demo.control(Method::GET, "/registry/models/credit-risk", None).await;
    assert_eq!(answer["live"], "v6");
    assert!(demo.fleet.faults().iter().all(|(_, fault)| *fault == pilothouse_demo::Fault::None));
}

#[tokio::test]
async fn endpoints_say_all_that_connecting_takes() {
    let demo = Demo::start().await;
    let endpoints = demo.fleet.endpoints();
    let said: Vec<_> =
        endpoints.iter().map(|e| (e.name.as_str(), e.protocol, e.model.as_deref(), e.environment.0.as_str())).collect();
    assert_eq!(
        said,
        [
            ("credit-risk", Protocol::OpenInference, Some("credit-risk"), "production"),
            ("diagnosis", Protocol::OpenInference, Some("diagnosis"), "production"),
            ("wine", Protocol::OpenInference, Some("wine"), "staging"),
            ("diabetes", Protocol::Mlflow, None, "staging"),
        ]
    );
    for (endpoint, golden) in endpoints.iter().zip(pilothouse_demo::golden_sets()) {
        assert_eq!(endpoint.golden_set, golden);
        assert_eq!(endpoint.task, golden.task);
        assert_eq!(endpoint.probe_input.rows, golden.table.rows[..2]);
        assert_eq!(endpoint.url.host_str(), Some("127.0.0.1"));
    }
    let binary = |negative: &str, positive: &str| Task::Binary { classes: [negative.into(), positive.into()] };
    assert_eq!(endpoints[0].task, binary("bad", "good"));
    assert_eq!(endpoints[1].task, binary("malignant", "benign"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_one_that_is_free_is_used() {
    let demo = Demo::start().await;
    let taken = demo.fleet.control_url().port().unwrap();
    let error = DemoFleet::start(Some(taken)).await.unwrap_err();
    assert!(matches!(&error, DemoError::Listen { port, .. } if *port == taken), "{error}");
    assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{taken}: ")), "{error}");
    let error = DemoFleet::start(Some(65_535)).await.unwrap_err();
    assert_eq!(error.to_string(), "port 65535 is too high: the fleet takes 5 ports from it on; choose 65531 or lower");
}

#[tokio::test]
async fn two_fleets_without_a_wanted_port_run_side_by_side_and_free_their_ports() {
    let (first, second) = (DemoFleet::start(None).await.unwrap(), DemoFleet::start(None).await.unwrap());
    assert_ne!(first.control_url(), second.control_url());
    let port = second.control_url().port().unwrap();
    second.shutdown().await;
    let again = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    assert!(again.is_ok(), "{again:?}");
    first.shutdown().await;
}

#[test]
fn a_fleet_can_be_started_and_kept_by_any_thread() {
    fn check<T: Send + Sync>(_: &T) {}
    fn check_future<T: Send>(_: &T) {}
    check_future(&DemoFleet::start(None));
    let _ = |fleet: &DemoFleet| check(fleet);
}

#[tokio::test]
async fn dropping_the_fleet_stops_it() {
    let demo = Demo::start().await;
    let port = demo.fleet.control_url().port().unwrap();
    drop(demo);
    let mut tries = 0;
    while let Err(error) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
        tries += 1;
        assert!(tries < 10_000, "{error}");
        tokio::task::yield_now().await;
    }
}
