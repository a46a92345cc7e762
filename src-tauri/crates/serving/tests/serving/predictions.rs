//! Predictions and probes with rows, over each protocol, with bodies captured from real servers.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::endpoint::{JsonTemplate, ResponseChecks};
use pilothouse_domain::{Cell, Outcome, Protocol, TargetFailure, VersionId};
use pilothouse_testkit::{Behaviour, FakeServer, RecordedRequest, number_table, target, wait_until};
use serde_json::json;

use crate::support::{client_of, failed, reached, ready_target};

const METADATA: &str = include_str!("../data/mlserver-1.7.1-metadata.json");
const INFER: &str = include_str!("../data/mlserver-1.7.1-infer.json");

fn thirty_columns(rows: usize) -> pilothouse_domain::Table {
    let names: Vec<String> = (0..30).map(|index| format!("x{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    number_table(&names, &vec![&[0.5; 30][..]; rows])
}

fn mlserver() -> Behaviour {
    Behaviour::routes([
        ("/v2/models/bc", Behaviour::json(METADATA)),
        ("/v2/models/bc/infer", Behaviour::json(INFER)),
        ("/v2/models/bc/ready", Behaviour::status(200, "")),
    ])
}

fn mlserver_target(server: &FakeServer) -> pilothouse_domain::Target {
    pilothouse_domain::Target {
        model: Some("bc".into()),
        probe_input: Some(thirty_columns(3)),
        ..target(server.url(), Protocol::OpenInference)
    }
}

#[tokio::test]
async fn mlserver_is_probed_with_rows_and_reports_its_version() {
    let server = FakeServer::start(mlserver()).await;
    let client = client_of(&mlserver_target(&server));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, Some(VersionId::from("2"))));
    let shown = report.prediction.unwrap();
    assert_eq!((&shown.rows, shown.output.as_deref()), (&vec![vec![Cell::Number(1.0)]; 3], Some("predict")));
    assert_eq!(reached(&report.phases), "dcswr", "the metadata came over another connection and are not timed");
    let report = client.probe(false).await;
    assert!(report.reused);
    assert_eq!(report.response_bytes as usize, INFER.len());

    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().map(RecordedRequest::path).collect();
    assert_eq!(paths, ["/v2/models/bc", "/v2/models/bc/infer", "/v2/models/bc/infer"], "metadata are asked for once");
    let sent = requests[1].json();
    assert_eq!(
        (&sent["inputs"][0]["name"], &sent["inputs"][0]["shape"], &sent["inputs"][0]["datatype"]),
        (&json!("predict"), &json!([3, 30]), &json!("FP64"))
    );
    assert!(sent["id"].is_string(), "KServe fails without an id");
    assert_eq!(requests[1].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn predictions_come_back_by_row() {
    let server = FakeServer::start(mlserver()).await;
    let client = client_of(&mlserver_target(&server));
    let prediction = client.predict(&thirty_columns(3)).await.unwrap();
    assert_eq!(prediction.rows, vec![vec![Cell::Number(1.0)]; 3]);
    assert_eq!(prediction.version, Some(VersionId::from("2")));
    assert!(client.predict(&thirty_columns(0)).await.unwrap().rows.is_empty());
    client.ready().await.unwrap();
    let metadata = client.metadata().await.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.platform.as_deref()), ("bc", Some("sklearn")));

    let failure = client.predict(&thirty_columns(2)).await.unwrap_err();
    assert_eq!((failure.outcome, failure.http_status), (failed(TargetFailure::WrongShape), Some(200)));
}

#[tokio::test]
async fn metadata_are_asked_for_again_when_the_server_disagrees() {
    let server = FakeServer::start(mlserver()).await;
    let client = client_of(&mlserver_target(&server));
    client.probe(false).await;
    // A new version takes integers and calls its input otherwise.
    let metadata = r#"{"name":"bc","inputs":[{"name":"rows","datatype":"FP32","shape":[-1,30]}],"outputs":[]}"#;
    let answer = Behaviour::answer(|request| {
        if request.json()["inputs"][0]["name"] == "rows" {
            Behaviour::json(&INFER.replace("\"2\"", "\"3\""))
        } else {
            Behaviour::status(400, r#"{"error":"unknown input"}"#)
        }
    });
    server.set(Behaviour::routes([("/v2/models/bc", Behaviour::json(metadata)), ("/v2/models/bc/infer", answer)]));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::RequestRejected));
    assert!(report.detail.unwrap().contains("unknown input"));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, Some(VersionId::from("3"))));
}

#[tokio::test]
async fn without_metadata_a_matrix_is_sent() {
    let server = FakeServer::start(Behaviour::routes([("/v2/models/bc/infer", Behaviour::json(INFER))])).await;
    let report = client_of(&mlserver_target(&server)).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    assert_eq!(server.requests().last().unwrap().json()["inputs"][0]["datatype"], "FP64");
}

#[tokio::test]
async fn a_server_that_does_not_answer_about_metadata_is_not_asked_twice() {
    let server = FakeServer::start(Behaviour::Hang).await;
    let report = client_of(&mlserver_target(&server)).probe(false).await;
    assert_eq!((report.outcome, server.requests().len()), (failed(TargetFailure::FirstByteTimeout), 1));
    let server = FakeServer::start(Behaviour::status(401, "")).await;
    let report = client_of(&mlserver_target(&server)).probe(false).await;
    assert_eq!((report.outcome, report.http_status), (failed(TargetFailure::Unauthorized), Some(401)));
}

#[tokio::test]
async fn answers_that_fail_their_checks_have_a_reason() {
    let check = async |outputs: &str, metadata: &str, checks: ResponseChecks, expect: Outcome| {
        let server = FakeServer::start(Behaviour::routes([
            ("/v2/models/bc", Behaviour::json(metadata)),
            ("/v2/models/bc/infer", Behaviour::json(&format!(r#"{{"model_version":"2","outputs":[{outputs}]}}"#))),
        ]))
        .await;
        let mut target = mlserver_target(&server);
        (target.probe_input, target.checks) = (Some(thirty_columns(2)), checks);
        let client = client_of(&target);
        let report = client.probe(false).await;
        assert_eq!(report.outcome, expect, "{report:?}");
        let predicted = client.predict(&thirty_columns(2)).await;
        assert_eq!(predicted.map_or_else(|failure| failure.outcome, |_| Outcome::Ok), expect);
        report.version
    };
    let strict = ResponseChecks { finite: true, probability_sum: true, outputs_per_row: Some(2) };
    let probabilities = |data: &str| format!(r#"{{"name":"p","shape":[2,2],"datatype":"FP64","data":{data}}}"#);
    let none = r#"{"name":"bc"}"#;
    let version = check(&probabilities("[0.5,0.5,0,1]"), none, strict.clone(), Outcome::Ok).await;
    assert_eq!(version, Some(VersionId::from("2")));
    let sum = failed(TargetFailure::ProbabilitySum);
    let version = check(&probabilities("[0.5,0.6,0,1]"), none, strict.clone(), sum).await;
    assert_eq!(version, Some(VersionId::from("2")), "a wrong answer still says who gave it");
    check(&probabilities("[[0.5,0.5],[NaN,1]]"), none, strict.clone(), failed(TargetFailure::NotFinite)).await;
    check(&probabilities("[0.5,null,0,1]"), none, strict.clone(), failed(TargetFailure::NotFinite)).await;
    check(&probabilities("[1,2,3]"), none, strict.clone(), failed(TargetFailure::WrongShape)).await;
    let one = r#"{"name":"p","shape":[2],"datatype":"FP64","data":[1,2]}"#;
    check(one, none, strict.clone(), failed(TargetFailure::WrongShape)).await;
    let integers = r#"{"name":"bc","outputs":[{"name":"p","datatype":"INT64","shape":[-1]}]}"#;
    check(one, integers, ResponseChecks::default(), failed(TargetFailure::WrongDtype)).await;
    let texts = r#"{"name":"p","shape":[2],"datatype":"FP64","data":["a","b"]}"#;
    check(texts, none, ResponseChecks::default(), failed(TargetFailure::WrongDtype)).await;
}

#[tokio::test]
async fn mlflow_is_probed_with_and_without_rows() {
    let server = FakeServer::start(Behaviour::routes([
        ("/ping", Behaviour::json("\n")),
        ("/version", Behaviour::json("3.17.2")),
        ("/invocations", Behaviour::json(include_str!("../data/mlflow-3.17.2-invocations.json"))),
    ]))
    .await;
    let mut target = target(server.url(), Protocol::Mlflow);
    let client = client_of(&target);
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert_eq!(client.metadata().await.unwrap().platform.as_deref(), Some("mlflow 3.17.2"));

    target.probe_input = Some(number_table(&["a", "b"], &[&[1.0, 2.0], &[3.0, 4.0]]));
    let report = client_of(&target).probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, None), "MLflow's version is not the model's");
    let sent = server.requests().last().unwrap().json();
    assert_eq!(sent, json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0], [3.0, 4.0]]}}));

    server.set(Behaviour::status(400, include_str!("../data/mlflow-3.17.2-bad-json.json")));
    let report = client_of(&target).probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::RequestRejected));
    assert!(report.detail.unwrap().contains("Invalid input. Ensure that input is a valid JSON formatted string."));
}

#[tokio::test]
async fn plain_json_is_asked_by_template() {
    let answer = Behaviour::json(r#"{"result":{"scores":[[0.25,0.75]]},"model":"v7"}"#);
    let server = FakeServer::start(Behaviour::routes([("/api/predict", answer)])).await;
    let mut target = target(&server.at("/api/"), Protocol::Json);
    target.json = Some(JsonTemplate {
        path: "predict".into(),
        body: json!({"instances": "{{records}}"}),
        prediction: "/result/scores".into(),
        version: Some("/model".into()),
        ..JsonTemplate::default()
    });
    target.checks.probability_sum = true;
    target.probe_input = Some(number_table(&["age"], &[&[31.0]]));
    let report = client_of(&target).probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, Some(VersionId::from("v7"))));
    assert_eq!(server.requests()[0].json(), json!({"instances": [{"age": 31.0}]}));
}

#[tokio::test]
async fn several_batches_are_in_flight_at_once_and_no_more_than_four() {
    let slow = Behaviour::DelayFirstByte(Duration::from_millis(30), Box::new(Behaviour::json(INFER)));
    let server = FakeServer::start(Behaviour::routes([
        ("/v2/models/bc", Behaviour::json(METADATA)),
        ("/v2/models/bc/infer", slow),
    ]))
    .await;
    let client = Arc::new(client_of(&mlserver_target(&server)));
    client.metadata().await.unwrap();
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.predict(&thirty_columns(3)).await })
        })
        .collect();
    assert!(wait_until(Duration::from_secs(10), || server.requests().len() >= 5).await);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.requests().len(), 15, "twelve batches, the metadata of the model and of the server, the index");
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_probe_does_not_wait_for_predictions() {
    let answer = Behaviour::answer(|request| {
        if request.path().ends_with("/infer") { Behaviour::Hang } else { Behaviour::status(200, "") }
    });
    let server = FakeServer::start(answer).await;
    let client = Arc::new(client_of(&ready_target(&server)));
    let predicting = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.predict(&thirty_columns(1)).await })
    };
    assert!(
        wait_until(Duration::from_secs(10), || server.requests().iter().any(|r| r.path().ends_with("/infer"))).await
    );
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    assert_eq!(predicting.await.unwrap().unwrap_err().outcome, failed(TargetFailure::FirstByteTimeout));
}
