//! Any body gets an answer: 200, or a 4xx with a reason. A handler that panicked would close the connection instead.

use pilothouse_demo::Fault;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Demo, v2_request};

/// Small JSON values of every kind, with the numbers and words that parsers trip over.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(0), Just(-1), Just(1), Just(2), Just(13), Just(i64::MAX)].prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop_oneof![Just("FP64"), Just("BYTES"), Just("input"), Just("male"), Just("age")].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![Just("name"), Just("shape"), Just("data"), Just("inputs"), Just("columns"), Just("age")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// `body` with the value at one of its places replaced; `at` chooses the place.
fn mutated(mut body: Value, at: prop::sample::Index, with: Value) -> Value {
    fn places(value: &Value, path: &str, found: &mut Vec<String>) {
        found.push(path.to_owned());
        match value {
            Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{path}/{i}"), found)),
            Value::Object(map) => map.iter().for_each(|(k, v)| places(v, &format!("{path}/{k}"), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    places(&body, "", &mut found);
    let place: &String = at.get(&found);
    if let Some(place) = body.pointer_mut(place) {
        *place = with;
    }
    body
}

fn any_body(valid: Vec<Value>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => any_json().prop_map(|v| v.to_string().into_bytes()),
        4 => (prop::sample::select(valid), any::<prop::sample::Index>(), any_json())
            .prop_map(|(body, at, with)| mutated(body, at, with).to_string().into_bytes()),
    ]
}

/// Sends many bodies and checks every answer.
async fn check_all(demo: &Demo, method: Method, url: &url::Url, content_type: &str, bodies: Vec<Vec<u8>>) {
    for body in bodies {
        let request = demo.client.request(method.clone(), url.clone()).header("content-type", content_type);
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = request.body(body).send().await.unwrap_or_else(|error| panic!("{error:?}: {shown}"));
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status == StatusCode::OK || status.is_client_error(), "{status} {text}: {shown}");
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}: {shown}"));
        if status == StatusCode::OK {
            // A NaN would have become a null on the wire.
            let predicted = json.pointer("/outputs/0/data").or(json.get("predictions"));
            assert!(predicted.is_none_or(|p| !p.as_array().unwrap().contains(&Value::Null)), "{text}: {shown}");
        }
    }
}

fn drawn(strategy: impl Strategy<Value = Vec<u8>>, count: usize) -> Vec<Vec<u8>> {
    // A fixed seed: a body that fails is named in the message and comes again in every run.
    let mut runner = TestRunner::deterministic();
    let draw = |_| strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(draw).collect()
}

#[tokio::test]
async fn any_inference_request_gets_an_answer() {
    let demo = Demo::start().await;
    for name in ["wine", "credit-risk"] {
        let endpoint = demo.endpoint(name);
        let url = endpoint.url.join(&format!("/v2/models/{name}/infer")).unwrap();
        let mut with_outputs = v2_request(&endpoint.probe_input);
        with_outputs["outputs"] = json!([{"name": "label"}]);
        let bodies = drawn(any_body(vec![v2_request(&endpoint.probe_input), with_outputs]), 400);
        check_all(&demo, Method::POST, &url, "application/json", bodies).await;
        assert_eq!(demo.infer(name, &endpoint.probe_input).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn any_invocation_gets_an_answer() {
    let demo = Demo::start().await;
    let endpoint = demo.endpoint("diabetes");
    let url = endpoint.url.join("/invocations").unwrap();
    let names: Vec<&str> = endpoint.probe_input.columns.iter().map(|c| c.name.as_str()).collect();
    let record: Value = names.iter().map(|n| ((*n).to_owned(), json!(0.01))).collect::<serde_json::Map<_, _>>().into();
    let columns: Value =
        names.iter().map(|n| ((*n).to_owned(), json!([0.01]))).collect::<serde_json::Map<_, _>>().into();
    let valid = vec![
        json!({"dataframe_split": {"columns": names, "data": endpoint.probe_input.rows}}),
        json!({"dataframe_records": [record]}),
        json!({"instances": [record]}),
        json!({"inputs": columns}),
    ];
    check_all(&demo, Method::POST, &url, "application/json", drawn(any_body(valid), 400)).await;
    let csv = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6\n1,1,1,1,1,1,1,1,1,1\n";
    let noise = drawn(prop::collection::vec(any::<u8>(), 0..40), 100);
    let bodies = noise.into_iter().map(|bytes| [csv.as_bytes(), &bytes].concat()).collect();
    check_all(&demo, Method::POST, &url, "text/csv", bodies).await;
}

#[tokio::test]
async fn any_call_of_the_control_plane_gets_an_answer() {
    let demo = Demo::start().await;
    let valid = vec![json!({"version": "v4", "expected": "v4"}), json!({"fault": "latency", "ms": 0})];
    for path in ["/registry/models/wine/live", "/faults/wine"] {
        let url = demo.fleet.control_url().join(path).unwrap();
        check_all(&demo, Method::PUT, &url, "application/json", drawn(any_body(valid.clone()), 200)).await;
    }
    demo.fleet.inject("wine", Fault::None).unwrap();
}
