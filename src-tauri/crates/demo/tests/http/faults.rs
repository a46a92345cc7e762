//! Faults as a client meets them. How long the latency fault takes is tested beside its code, on a clock that is not real.

use pilothouse_demo::Fault;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::Demo;

#[tokio::test]
async fn errors_hit_predictions_and_leave_health_alone() {
    let demo = Demo::start().await;
    demo.fleet.inject("wine", Fault::Errors { rate: 1.0 }).unwrap();
    let table = demo.endpoint("wine").probe_input;
    let (status, answer) = demo.infer("wine", &table).await;
    assert_eq!(
        (status, answer),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "injected fault: prediction failed"}))
    );
    assert_eq!(demo.get("wine", "/v2/health/ready").await.0, StatusCode::OK);
    demo.fleet.inject("wine", Fault::None).unwrap();
    assert_eq!(demo.infer("wine", &table).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_hanging_server_answers_nothing_until_the_fault_is_cleared() {
    let demo = Demo::start().await;
    demo.fleet.inject("wine", Fault::Hang).unwrap();
    let table = demo.endpoint("wine").probe_input;
    let hung = demo.infer("wine", &table);
    let health = demo.get("wine", "/v2/health/live");
    tokio::pin!(hung, health);
    let others = async {
        for _ in 0..20 {
            demo.control(Method::GET, "/faults", None).await;
        }
        assert_eq!(demo.infer("credit-risk", &demo.endpoint("credit-risk").probe_input).await.0, StatusCode::OK);
    };
    tokio::select! {
        answer = &mut hung => panic!("answered while hanging: {answer:?}"),
        answer = &mut health => panic!("answered while hanging: {answer:?}"),
        () = others => {}
    }
    let (_, faults) = demo.control(Method::GET, "/faults", None).await;
    assert_eq!(faults["faults"][2], json!({"model": "wine", "fault": "hang"}));
    let (status, answer) = demo.control(Method::PUT, "/faults/wine", Some(json!({"fault": "none"}))).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"model": "wine", "fault": "none"})));
    assert_eq!(hung.await.0, StatusCode::OK);
    assert_eq!(health.await.0, StatusCode::OK);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_hanging_or_slow_request() {
    let demo = Demo::start().await;
    demo.fleet.inject("wine", Fault::Hang).unwrap();
    demo.fleet.inject("diagnosis", Fault::Latency { ms: 600_000 }).unwrap();
    let send = |name: &str| {
        let endpoint = demo.endpoint(name);
        let url = endpoint.url.join(&format!("/v2/models/{name}/infer")).unwrap();
        demo.client.post(url).body(crate::v2_request(&endpoint.probe_input).to_string()).send()
    };
    let requests = [tokio::spawn(send("wine")), tokio::spawn(send("diagnosis"))];
    demo.control(Method::GET, "/faults", None).await;
    // The bound only ends a test that would never end; the requests above would take ten minutes.
    tokio::time::timeout(std::time::Duration::from_secs(30), demo.fleet.shutdown()).await.unwrap();
    for request in requests {
        if let Ok(answer) = request.await.unwrap() {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

#[tokio::test]
async fn the_wrong_shape_has_one_row_too_many() {
    let demo = Demo::start().await;
    let table = demo.endpoint("credit-risk").probe_input;
    demo.fleet.inject("credit-risk", Fault::WrongShape).unwrap();
    let (status, answer) = demo.infer("credit-risk", &table).await;
    assert_eq!((status, &answer["outputs"][0]["shape"]), (StatusCode::OK, &json!([3, 2])));
    assert_eq!(answer["outputs"][0]["data"].as_array().unwrap().len(), 6);

    demo.fleet.inject("diabetes", Fault::WrongShape).unwrap();
    let table = demo.endpoint("diabetes").probe_input;
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let body = json!({"dataframe_split": {"columns": names, "data": table.rows}});
    let (_, answer) = demo.post("diabetes", "/invocations", &body).await;
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_version_defect_costs_accuracy_in_silence_until_it_is_rolled_back() {
    let demo = Demo::start().await;
    let (good, version) = demo.golden_accuracy("credit-risk").await;
    assert_eq!(version, "v6");
    let (status, answer) =
        demo.control(Method::PUT, "/faults/credit-risk", Some(json!({"fault": "version_defect"}))).await;
    assert_eq!((status, &answer["fault"]), (StatusCode::OK, &json!("version_defect")));
    let (bad, version) = demo.golden_accuracy("credit-risk").await;
    assert_eq!(version, "v7");
    assert!(good - bad > 0.1, "{good} to {bad}");
    assert_eq!(demo.get("credit-risk", "/v2/models/credit-risk/ready").await.0, StatusCode::OK);

    demo.fleet.inject("credit-risk", Fault::None).unwrap();
    assert_eq!(demo.golden_accuracy("credit-risk").await, (bad, "v7".to_owned()));
    assert_eq!(demo.fleet.faults()[0], ("credit-risk".to_owned(), Fault::VersionDefect));

    let rollback: Value = json!({"version": "v6", "expected": "v7"});
    assert_eq!(demo.control(Method::PUT, "/registry/models/credit-risk/live", Some(rollback)).await.0, StatusCode::OK);
    assert_eq!(demo.golden_accuracy("credit-risk").await, (good, "v6".to_owned()));
    assert_eq!(demo.fleet.faults()[0], ("credit-risk".to_owned(), Fault::None));
}

#[tokio::test]
async fn an_unknown_model_or_a_model_without_a_defect_is_refused() {
    let demo = Demo::start().await;
    let error = demo.fleet.inject("wine", Fault::VersionDefect).unwrap_err();
    assert_eq!(error.to_string(), "model `wine` has no defective version; inject `version_defect` into `credit-risk`");
    let error = demo.fleet.inject("nope", Fault::Hang).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the demo fleet has no model `nope`; it has `credit-risk`, `diagnosis`, `wine`, `diabetes`"
    );
}
