//! The servers of tabular models beside V2: what they answer over real HTTP, and what they say of themselves.

use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Cell, FacetState, Outcome, Protocol, Target, TargetFailure, VersionId};
use pilothouse_serving::{Credential, Facets};
use pilothouse_testkit::{Behaviour, FakeServer, RecordedRequest, number_table, quick_probe_config, target};
use serde_json::json;

use crate::support::{client_of, client_with, failed, ready_target};

const TORCHSERVE_MODELS: &str = include_str!("../data/torchserve-0.12.0-models.json");
const TORCHSERVE_PREDICTION: &str = include_str!("../data/torchserve-0.12.0-prediction.json");
const NO_WORKER: &str = r#"{"code": 503, "type": "ServiceUnavailableException", "message": "Model \"m\" has no worker to serve inference request. Please use scale workers API to add workers."}"#;
const NO_TOKEN: &str = r#"{"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed. Token either incorrect, expired, or not provided correctly"}"#;

fn states(facets: &Facets) -> (FacetState, FacetState) {
    (facets.live.state, facets.ready.state)
}

fn kserve() -> Behaviour {
    Behaviour::routes([
        ("/", Behaviour::json(r#"{"status":"alive"}"#)),
        ("/v1/models/bc", Behaviour::json(r#"{"name":"bc","ready":true}"#)),
        ("/v1/models/bc:predict", Behaviour::json(r#"{"predictions":[0,1]}"#)),
    ])
}

fn v1_target(server: &FakeServer) -> Target {
    Target {
        model: Some("bc".into()),
        probe_input: Some(number_table(&["a", "b"], &[&[1.0, 2.0], &[3.0, 4.0]])),
        ..target(server.url(), Protocol::PredictV1)
    }
}

#[tokio::test]
async fn kserve_v1_is_probed_described_and_asked_for_its_health() {
    let server = FakeServer::start(kserve()).await;
    let client = client_of(&v1_target(&server));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let sent = server.requests().last().unwrap().json();
    assert_eq!(sent, json!({"instances": [[1.0, 2.0], [3.0, 4.0]]}));
    let metadata = client.metadata().await.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.server.as_deref()), ("bc", Some("KServe V1")));
    assert_eq!(states(&client.facets().await), (FacetState::Ok, FacetState::Ok));

    server.set(Behaviour::status(503, r#"{"error":"Model with name bc is not ready."}"#));
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::NotReady));
    assert_eq!(states(&client.facets().await), (FacetState::Failed, FacetState::Failed));
}

#[tokio::test]
async fn tensorflow_serving_shapes_its_requests_by_its_signature() {
    let server = FakeServer::start(Behaviour::routes([
        (
            "/v1/models/bc/metadata",
            Behaviour::json(
                r#"{"model_spec":{"name":"bc","version":"123"},"metadata":{"signature_def":{"signature_def":{"serving_default":
                {"inputs":{"a":{"dtype":"DT_INT64","tensor_shape":{"dim":[{"size":"-1"}]}},"b":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"}]}}},
                "outputs":{}}}}}}"#,
            ),
        ),
        ("/v1/models/bc", Behaviour::json(include_str!("../data/tensorflow-serving-documented-status.json"))),
        ("/v1/models/bc:predict", Behaviour::json(r#"{"predictions":[0.5, NaN]}"#)),
    ]))
    .await;
    let client = client_of(&v1_target(&server));
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::NotFinite), "bare NaN is read and judged");
    let sent = server.requests().iter().find(|request| request.path().ends_with(":predict")).unwrap().json();
    assert_eq!(sent, json!({"instances": [{"a": 1, "b": 2.0}, {"a": 3, "b": 4.0}]}));
    let facets = client.facets().await;
    assert_eq!(states(&facets), (FacetState::NotOffered, FacetState::Ok), "it has no route at its root");
    assert_eq!(facets.version, Some(VersionId::from("123")));
    let metadata = client.metadata().await.unwrap();
    assert_eq!((metadata.versions.len(), metadata.inputs.len(), metadata.ready), (2, 2, Some(true)));
}

/// The two APIs of TorchServe, the management API on a port of its own.
async fn torchserve(predictions: Behaviour, models: Behaviour) -> (FakeServer, FakeServer, Target) {
    let inference = Behaviour::routes([
        ("/ping", Behaviour::json("{\n  \"status\": \"Healthy\"\n}\n")),
        ("/predictions/m", predictions),
    ]);
    let management = Behaviour::routes([("/models/m/all", Behaviour::json(TORCHSERVE_MODELS)), ("/models/m", models)]);
    let (inference, management) = (FakeServer::start(inference).await, FakeServer::start(management).await);
    let target = Target {
        model: Some("m".into()),
        management_url: Some(management.url().clone()),
        json: Some(JsonTemplate {
            path: String::new(),
            body: json!({"x": "{{row}}"}),
            prediction: "/y".into(),
            version: Some("/version".into()),
            ..JsonTemplate::default()
        }),
        probe_input: Some(number_table(&["a", "b"], &[&[1.0, 2.0], &[5.0, 6.0]])),
        ..target(inference.url(), Protocol::TorchServe)
    };
    (inference, management, target)
}

#[tokio::test]
async fn torchserve_takes_one_row_per_request() {
    let predict = Behaviour::answer(|request| {
        let x = &request.json()["x"];
        let y = x[0].as_f64().unwrap_or(0.0) + x[1].as_f64().unwrap_or(0.0);
        Behaviour::json(&json!({"y": y, "version": "1.0"}).to_string())
    });
    let (inference, _management, target) = torchserve(predict, Behaviour::json(TORCHSERVE_MODELS)).await;
    let client = client_of(&target);
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, Some(VersionId::from("1.0"))));
    assert_eq!(inference.requests().len(), 1, "a probe is one request");
    let table =
        number_table(&["a", "b"], &[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0], &[7.0, 8.0], &[9.0, 10.0], &[0.0, 0.0]]);
    let prediction = client.predict(&table).await.unwrap();
    let sums: Vec<Vec<Cell>> = [3.0, 7.0, 11.0, 15.0, 19.0, 0.0].map(|sum| vec![Cell::Number(sum)]).to_vec();
    assert_eq!(prediction.rows, sums, "in the order of the rows");
    assert_eq!(
        inference.requests().iter().map(RecordedRequest::path).filter(|path| *path == "/predictions/m").count(),
        7
    );
}

#[tokio::test]
async fn torchserve_without_workers_is_live_and_not_ready() {
    let idle = r#"[{"modelName":"m","modelVersion":"2.0","workers":[]}]"#;
    let (_inference, _management, target) = torchserve(Behaviour::status(503, NO_WORKER), Behaviour::json(idle)).await;
    let client = client_of(&target);
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::NotReady));
    let facets = client.facets().await;
    assert_eq!(states(&facets), (FacetState::Ok, FacetState::Failed), "/ping says healthy, and no worker answers");
    assert!(facets.ready.detail.is_some_and(|detail| detail.contains("no worker")));
    let metadata = client.metadata().await.unwrap();
    assert_eq!(metadata.states.iter().map(|state| state.is_default).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn torchserve_refuses_a_token_with_400_and_a_guessed_management_api_may_be_absent() {
    let (_inference, _management, mut target) =
        torchserve(Behaviour::status(400, NO_TOKEN), Behaviour::status(400, NO_TOKEN)).await;
    let client = client_of(&target);
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::Unauthorized));
    assert_eq!(client.facets().await.ready.state, FacetState::Failed, "its address was given, so it must let us in");

    target.management_url = None;
    let client = client_of(&target);
    let facets = client.facets().await;
    assert_eq!(states(&facets), (FacetState::Ok, FacetState::NotOffered), "{facets:?}");
}

#[tokio::test]
async fn each_api_of_torchserve_is_given_its_own_token() {
    let guarded = |token: &'static str, body: &'static str| {
        Behaviour::answer(move |request| {
            let given = request.header("authorization").unwrap_or_default();
            if given == format!("Bearer {token}") {
                Behaviour::json(body)
            } else {
                // A server that repeats what it was given.
                Behaviour::status(400, &NO_TOKEN.replace("Token either", &format!("{given} Token either")))
            }
        })
    };
    let (inference, management, target) =
        torchserve(guarded("inference-key", TORCHSERVE_PREDICTION), guarded("management-key", TORCHSERVE_MODELS)).await;
    let bearer = |token: &str| Credential::Bearer(token.to_owned().into());
    let client = client_with(&target, &quick_probe_config(), bearer("inference-key"));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let refused = client.facets().await.ready;
    assert_eq!(refused.state, FacetState::Failed, "one token does not open both");

    let client = client_with(&target, &quick_probe_config(), bearer("inference-key"));
    let client = client.with_management(bearer("management-key")).unwrap();
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let facets = client.facets().await;
    assert_eq!((facets.ready.state, facets.version), (FacetState::Ok, Some(VersionId::from("1.0"))));
    client.metadata().await.unwrap();
    let sent = |server: &FakeServer, token: &str| {
        let bearer = format!("Bearer {token}");
        server.requests().iter().filter(|request| request.header("authorization") == Some(&bearer)).count()
    };
    assert_eq!(sent(&inference, "management-key"), 0);
    assert_eq!(sent(&management, "inference-key"), 1, "only where no other was named");
    assert!(sent(&inference, "inference-key") > 0 && sent(&management, "management-key") > 0);

    // Without rows the workers are asked, with the same token; a wrong one is named nowhere.
    let idle = Target { probe_input: None, json: None, ..target };
    let health = |token: &str| {
        client_with(&idle, &quick_probe_config(), bearer("inference-key")).with_management(bearer(token)).unwrap()
    };
    assert_eq!(health("management-key").probe(false).await.outcome, Outcome::Ok);
    let refused = health("marker-of-a-wrong-key").probe(false).await;
    assert_eq!(refused.outcome, failed(TargetFailure::Unauthorized), "{refused:?}");
    assert!(!refused.detail.unwrap().contains("marker"), "the server repeated it");
}

#[tokio::test]
async fn a_prediction_without_a_content_type_is_read() {
    let reply = format!(
        "HTTP/1.1 200 \r\ncontent-length: {}\r\nconnection: close\r\n\r\n{TORCHSERVE_PREDICTION}",
        TORCHSERVE_PREDICTION.len()
    );
    let (_inference, _management, target) =
        torchserve(Behaviour::Raw(reply.into_bytes()), Behaviour::json(TORCHSERVE_MODELS)).await;
    let report = client_of(&target).probe(false).await;
    assert_eq!((report.outcome, report.version), (Outcome::Ok, Some(VersionId::from("1.0"))));
}

#[tokio::test]
async fn facets_tell_failures_of_ours_from_a_server_that_is_gone() {
    let server = FakeServer::start(Behaviour::Hang).await;
    let target = ready_target(&server);
    let client = client_of(&target);
    assert_eq!(states(&client.facets().await), (FacetState::Failed, FacetState::Failed));
    drop(server);
    assert_eq!(states(&client.facets().await), (FacetState::Failed, FacetState::Failed));

    // KServe's words, and a page that is someone else's 200.
    let server = FakeServer::start(Behaviour::routes([
        ("/v2/health/live", Behaviour::json(r#"{"live":true}"#)),
        ("/v2/models/m/ready", Behaviour::json(r#"{"name":"m","ready":false}"#)),
    ]))
    .await;
    assert_eq!(states(&client_of(&ready_target(&server)).facets().await), (FacetState::Ok, FacetState::Failed));
    let page = Behaviour::status(200, "<html>sign in</html>");
    let server = FakeServer::start(page).await;
    assert_eq!(states(&client_of(&ready_target(&server)).facets().await), (FacetState::NotOffered, FacetState::Failed));
}

#[tokio::test]
async fn triton_says_400_for_a_model_that_is_not_ready() {
    let not_ready = Behaviour::status(400, r#"{"error":"Model version not ready"}"#);
    let server = FakeServer::start(Behaviour::routes([
        ("/v2/health/live", Behaviour::status(200, "")),
        ("/v2/models/m/ready", not_ready),
        ("/v2", Behaviour::json(include_str!("../data/triton-2.51.0-server.json"))),
        ("/v2/models/m", Behaviour::json(include_str!("../data/triton-2.51.0-metadata.json"))),
    ]))
    .await;
    let client = client_of(&ready_target(&server));
    assert_eq!(states(&client.facets().await), (FacetState::Ok, FacetState::Failed));
    assert_eq!(client.metadata().await.unwrap().server.as_deref(), Some("triton 2.51.0"));
    assert_eq!(client.ready().await.unwrap_err().outcome, failed(TargetFailure::NotReady));
}

#[tokio::test]
async fn names_with_slashes_dots_and_other_scripts_stay_one_segment() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    for (name, path) in [
        ("fraud/eu.v2", "/v2/models/fraud%2Feu.v2/ready"),
        ("мо дель", "/v2/models/%D0%BC%D0%BE%20%D0%B4%D0%B5%D0%BB%D1%8C/ready"),
        ("a?b#c%d", "/v2/models/a%3Fb%23c%25d/ready"),
        ("tab\there", "/v2/models/tab%09here/ready"),
    ] {
        let target = Target { model: Some(name.into()), ..ready_target(&server) };
        assert_eq!(client_of(&target).probe(false).await.outcome, Outcome::Ok, "{name}");
        assert_eq!(server.requests().last().unwrap().path(), path);
    }
}
