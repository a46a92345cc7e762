//! The Open Inference Protocol V2 as the demo models speak it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Demo, assert_close, expected, v2_request};

#[tokio::test]
async fn server_health_and_index() {
    let demo = Demo::start().await;
    let (status, content_type, body) = demo.get("wine", "/v2").await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, "application/json"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["name"], "pilothouse-demo");
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/wine/ready", "/v2/models/wine/versions/v3/ready"] {
        let (status, _, body) = demo.get("wine", path).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "{path}");
    }
    let (status, index) = demo.post("wine", "/v2/repository/index", &json!({})).await;
    let entry = |version: &str| json!({"name": "wine", "version": version, "state": "READY", "reason": ""});
    assert_eq!((status, index), (StatusCode::OK, json!([entry("v4"), entry("v3")])));
}

#[tokio::test]
async fn metadata_describe_what_infer_takes_and_gives() {
    let demo = Demo::start().await;
    for path in ["/v2/models/credit-risk", "/v2/models/credit-risk/versions/v7"] {
        let body: Value = serde_json::from_str(&demo.get("credit-risk", path).await.2).unwrap();
        assert_eq!(body["versions"], json!(["v5", "v6", "v7"]));
        assert_eq!(body["inputs"].as_array().unwrap().len(), 9);
        assert_eq!(body["inputs"][0], json!({"name": "sex", "datatype": "BYTES", "shape": [-1, 1]}));
        assert_eq!(body["inputs"][5], json!({"name": "credit_amount", "datatype": "FP64", "shape": [-1, 1]}));
        assert_eq!(body["outputs"][0], json!({"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]}));
    }
    let body: Value = serde_json::from_str(&demo.get("wine", "/v2/models/wine").await.2).unwrap();
    assert_eq!(body["inputs"], json!([{"name": "input", "datatype": "FP64", "shape": [-1, 13]}]));
    assert_eq!(body["outputs"][0]["shape"], json!([-1, 3]));
}

#[tokio::test]
async fn every_version_answers_as_scikit_learn_does_and_says_which_it_is() {
    let demo = Demo::start().await;
    for (name, live, versions) in [
        ("credit-risk", "v6", &["v5", "v6", "v7"][..]),
        ("diagnosis", "v3", &["v2", "v3"]),
        ("wine", "v4", &["v3", "v4"]),
    ] {
        let golden = demo.endpoint(name).golden_set;
        let (status, answer) = demo.infer(name, &golden.table).await;
        assert_eq!((status, &answer["model_version"]), (StatusCode::OK, &json!(live)));
        assert_close(&answer["outputs"][0]["data"], expected(name, live).iter().flatten());
        for version in versions {
            let path = format!("/v2/models/{name}/versions/{version}/infer");
            let (status, answer) = demo.post(name, &path, &v2_request(&golden.table)).await;
            assert_eq!(
                (status, &answer["model_name"], &answer["model_version"]),
                (StatusCode::OK, &json!(name), &json!(version))
            );
            let rows = expected(name, version);
            let output = &answer["outputs"][0];
            assert_eq!((&output["name"], &output["datatype"]), (&json!("probabilities"), &json!("FP64")));
            assert_eq!(output["shape"], json!([rows.len(), golden.task.classes().len()]));
            assert_close(&output["data"], rows.iter().flatten());
            let label = &answer["outputs"][1];
            assert_eq!((&label["name"], &label["shape"]), (&json!("label"), &json!([rows.len(), 1])));
        }
    }
}

#[tokio::test]
async fn forms_of_a_request_that_the_protocol_allows() {
    let demo = Demo::start().await;
    let table = demo.endpoint("wine").probe_input;
    let plain = demo.infer("wine", &table).await.1["outputs"].clone();
    let rows = json!(table.rows);
    let nested =
        json!({"id": "mine", "inputs": [{"name": "input", "shape": [2, 13], "datatype": "FP32", "data": rows}]});
    let (status, answer) = demo.post("wine", "/v2/models/wine/infer", &nested).await;
    assert_eq!((status, &answer["id"], &answer["outputs"]), (StatusCode::OK, &json!("mine"), &plain));

    let mut request = v2_request(&table);
    request["outputs"] = json!([{"name": "label"}]);
    let (_, answer) = demo.post("wine", "/v2/models/wine/infer", &request).await;
    assert_eq!(answer["outputs"], json!([plain[1]]));

    let credit = demo.endpoint("credit-risk").probe_input;
    let plain = demo.infer("credit-risk", &credit).await.1["outputs"].clone();
    let mut flat = v2_request(&credit);
    for tensor in flat["inputs"].as_array_mut().unwrap() {
        tensor["shape"] = json!([2]);
        if tensor["name"] == "age" {
            tensor["datatype"] = json!("INT64");
        }
    }
    flat["inputs"].as_array_mut().unwrap().reverse();
    let (_, answer) = demo.post("credit-risk", "/v2/models/credit-risk/infer", &flat).await;
    assert_eq!(answer["outputs"], plain);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_as_mlserver_does() {
    let demo = Demo::start().await;
    let request = v2_request(&demo.endpoint("wine").probe_input).to_string();
    for (method, path, expect) in [
        (Method::GET, "/v2/models/nope", r#"{"error":"Model nope not found"}"#),
        (Method::GET, "/v2/models/nope/ready", r#"{"error":"Model nope not found"}"#),
        (Method::POST, "/v2/models/nope/infer", r#"{"error":"Model nope not found"}"#),
        (Method::GET, "/v2/models/wine/versions/9", r#"{"error":"Model wine with version 9 not found"}"#),
        (Method::GET, "/v2/models/wine/versions/9/ready", r#"{"error":"Model wine with version 9 not found"}"#),
        (Method::POST, "/v2/models/wine/versions/9/infer", r#"{"error":"Model wine with version 9 not found"}"#),
        (Method::GET, "/metrics", r#"{"detail":"Not Found"}"#),
    ] {
        let (status, _, body) = demo.send(method, "wine", path, Some(request.clone())).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, expect), "{path}");
    }
    let (status, _, body) = demo.get("wine", "/v2/models/wine/infer").await;
    assert_eq!((status, body.as_str()), (StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#));
}

#[tokio::test]
async fn a_request_that_does_not_fit_is_refused_with_the_reason() {
    let demo = Demo::start().await;
    let row: Vec<f64> = vec![1.0; 13];
    let wine = |shape: Value, datatype: &str, data: Value| {
        json!({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]}).to_string()
    };
    let credit = v2_request(&demo.endpoint("credit-risk").probe_input);
    let change = |at: usize, field: &str, value: Value| {
        let mut changed = credit.clone();
        changed["inputs"][at][field] = value;
        changed.to_string()
    };
    let mut twice = credit.clone();
    twice["inputs"][1] = twice["inputs"][0].clone();
    for (name, body, status, expect) in [
        ("wine", "{bad".to_owned(), 422, "JSON decode error"),
        ("wine", String::new(), 422, "JSON decode error"),
        ("wine", "{}".to_owned(), 422, "missing field `inputs`"),
        ("wine", "[1e999]".to_owned(), 422, "number out of range"),
        ("wine", r#"{"inputs":[]}"#.to_owned(), 400, "input `input` is missing"),
        ("wine", wine(json!([1, 12]), "FP64", json!(row)), 400, "has shape [1, 12]; [rows, 13] is needed"),
        ("wine", wine(json!([2, 13]), "FP64", json!(row)), 400, "has 13 elements, which is not 2 × 13"),
        ("wine", wine(json!([0, 13]), "FP64", json!([])), 400, "has 0 rows"),
        ("wine", wine(json!([-1, 13]), "FP64", json!(row)), 400, "has -1 rows"),
        ("wine", wine(json!([i64::MAX, 13]), "FP64", json!(row)), 400, "has 13 elements"),
        ("wine", wine(json!([1, 13]), "BYTES", json!(row)), 400, "datatype `BYTES`; FP64 is needed"),
        ("wine", wine(json!([1, 13]), "FP64", json!(vec![Value::Null; 13])), 400, "element 0: a number is needed"),
        ("wine", wine(json!([1, 13]), "FP64", json!(vec![1e300; 13])), 400, "not finite as a 32-bit float"),
        ("credit-risk", change(0, "name", json!("gender")), 400, "unknown input `gender`"),
        ("credit-risk", change(0, "shape", json!([1])), 400, "input `sex` has 2 elements"),
        ("credit-risk", change(0, "datatype", json!("FP64")), 400, "BYTES is needed"),
        (
            "credit-risk",
            change(0, "data", json!(["male", "other"])),
            400,
            "row 1, column `sex`: unknown category `other`",
        ),
        ("credit-risk", change(1, "data", json!([1])), 400, "input `job` has 1 elements"),
        ("credit-risk", change(1, "data", json!([1, "2"])), 400, "input `job`, element 1: a number is needed"),
        ("credit-risk", twice.to_string(), 400, "input `sex` is given twice"),
        ("credit-risk", change(0, "data", json!("male")), 422, "invalid type"),
    ] {
        let path = format!("/v2/models/{name}/infer");
        let (found, content_type, answer) = demo.send(Method::POST, name, &path, Some(body.clone())).await;
        assert_eq!((found.as_u16(), content_type.as_str()), (status, "application/json"), "{body}: {answer}");
        assert!(answer.contains(expect), "{body}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_string() || answer["detail"][0]["msg"].is_string());
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_a_large_one_is_not() {
    let demo = Demo::start().await;
    let huge = " ".repeat(33 * 1024 * 1024);
    let (status, _, answer) = demo.send(Method::POST, "wine", "/v2/models/wine/infer", Some(huge)).await;
    assert_eq!(
        (status, answer.as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"the request body is larger than 32 MiB"}"#)
    );

    // What explaining nine features exactly over fifty background rows sends in one batch.
    let mut table = demo.endpoint("credit-risk").golden_set.table;
    let rows = table.rows.clone();
    table.rows = rows.into_iter().cycle().take(512 * 50).collect();
    let (status, answer) = demo.infer("credit-risk", &table).await;
    assert_eq!((status, &answer["outputs"][0]["shape"]), (StatusCode::OK, &json!([512 * 50, 2])));
}
