//! The V1 routes: `KServe` and TensorFlow Serving told apart, every form of a request and of an answer.

use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol, UnknownReason};
use serde_json::{Value, json};

use super::super::TensorSpec;
use super::super::tests::target;
use super::*;

fn v1(version: Option<&str>, payload: PayloadForm) -> PredictV1 {
    let mut target = target("http://h/pre", Protocol::PredictV1, Some("bc"));
    (target.model_version, target.payload) = (version.map(str::to_owned), payload);
    PredictV1::new(&target).unwrap()
}

fn table(names: &[&str]) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Numeric };
    let row = |from: f64| (0..names.len()).map(|index| Cell::Number(from + index as f64)).collect();
    Table { columns: names.iter().map(column).collect(), rows: vec![row(1.0), row(5.0)] }
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), optional: false }
}

#[test]
fn routes_follow_model_version_and_label() {
    let check = |version: Option<&str>, expect: &str| {
        let v1 = v1(version, PayloadForm::Auto);
        let call = v1.predict_call(&table(&["a"]), None).unwrap();
        assert_eq!(call.url.path(), format!("/pre/v1/models/{expect}:predict"));
        assert_eq!(v1.health_call().unwrap().url.path(), format!("/pre/v1/models/{expect}"));
        assert_eq!(v1.metadata_call().unwrap().url.path(), format!("/pre/v1/models/{expect}/metadata"));
    };
    check(None, "bc");
    check(Some("42"), "bc/versions/42");
    check(Some("stable"), "bc/labels/stable");
    let odd = PredictV1::new(&target("http://h/", Protocol::PredictV1, Some("a/b ü.1"))).unwrap();
    assert_eq!(odd.health_call().unwrap().url.path(), "/v1/models/a%2Fb%20%C3%BC.1");
    assert!(PredictV1::new(&target("http://h/", Protocol::PredictV1, None)).is_err());
}

fn sent(names: &[&str], inputs: &[TensorSpec], form: PayloadForm) -> Result<Value, String> {
    let metadata = ModelMetadata { inputs: inputs.to_vec(), ..ModelMetadata::default() };
    let call = v1(None, form).predict_call(&table(names), Some(&metadata)).map_err(|failure| failure.detail)?;
    Ok(serde_json::from_slice(&call.body.unwrap()).unwrap())
}

#[test]
fn rows_are_written_as_the_model_takes_them() {
    use PayloadForm::{Auto, Inputs, Instances};
    let named = [input("b", "INT64", &[-1, 1]), input("a", "FP32", &[-1])];
    let rows = json!([[1.0, 2.0], [5.0, 6.0]]);
    assert_eq!(sent(&["a", "b"], &[], Auto), Ok(json!({"instances": rows})));
    assert_eq!(sent(&["a", "b"], &[input("x", "FP32", &[-1, 2])], Auto), Ok(json!({"instances": rows})));
    assert_eq!(sent(&["a"], &[input("x", "FP32", &[-1])], Auto), Ok(json!({"instances": [1.0, 5.0]})));
    assert_eq!(
        sent(&["a", "b"], &named, Auto),
        Ok(json!({"instances": [{"b": [2], "a": 1.0}, {"b": [6], "a": 5.0}]})),
        "integers are written without a fraction, which TensorFlow Serving insists on"
    );
    assert_eq!(sent(&["a", "b"], &named, Inputs), Ok(json!({"inputs": {"b": [[2], [6]], "a": [1.0, 5.0]}})));
    assert_eq!(
        sent(&["a", "b"], &[], Instances),
        Ok(json!({"instances": [{"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 6.0}]}))
    );
    assert_eq!(sent(&["a", "b"], &[], Inputs), Ok(json!({"inputs": {"a": [1.0, 5.0], "b": [2.0, 6.0]}})));
    assert_eq!(sent(&["0", "1"], &[], Inputs), Ok(json!({"inputs": rows})));
    assert_eq!(sent(&["0", "1"], &[], Instances), Ok(json!({"instances": rows})));
}

#[test]
fn a_table_that_does_not_fit_is_refused_by_name() {
    let check = |inputs: &[TensorSpec], expect: &str| {
        let why = sent(&["a", "b"], inputs, PayloadForm::Auto).unwrap_err();
        assert!(why.contains(expect), "{why}");
    };
    check(&[input("x", "FP32", &[-1, 30])], "takes 30 values per row");
    check(&[input("a", "FP32", &[-1]), input("c", "FP32", &[-1])], "`c` is no column");
    check(&[input("a", "BOOL", &[-1]), input("b", "FP32", &[-1])], "the column `a` holds the number 5");
    let mut target = target("http://h/", Protocol::PredictV1, Some("m"));
    target.payload = PayloadForm::DataframeSplit;
    assert_eq!(PredictV1::new(&target).err().unwrap().outcome(), Outcome::Unknown(UnknownReason::Misconfigured));
}

fn cells(values: &[f64]) -> Vec<Cell> {
    values.iter().map(|&value| Cell::Number(value)).collect()
}

#[test]
fn row_wise_and_columnar_answers_are_read() {
    let check = |body: &str, expect: Result<Vec<Vec<Cell>>, TargetFailure>| {
        let found = v1(None, PayloadForm::Auto).read_prediction(body.as_bytes(), 2).map(|answer| answer.rows);
        assert_eq!(found.map_err(|failure| failure.outcome), expect.map_err(Outcome::TargetFailed), "{body}");
    };
    // KServe SDK 0.21.0.
    check(r#"{"predictions":[0,1]}"#, Ok(vec![cells(&[0.0]), cells(&[1.0])]));
    check(r#"{"predictions":[[0.25,0.75],[1,0]]}"#, Ok(vec![cells(&[0.25, 0.75]), cells(&[1.0, 0.0])]));
    check(
        r#"{"predictions":[{"classes":["a","b"],"scores":[0.5,0.5]},{"classes":["a","b"],"scores":[0.25,0.75]}]}"#,
        Ok(vec![cells(&[0.5, 0.5]), cells(&[0.25, 0.75])]),
    );
    check(r#"{"predictions":[{"y":1,"z":2},{"y":3,"z":4}]}"#, Ok(vec![cells(&[1.0, 2.0]), cells(&[3.0, 4.0])]));
    check(r#"{"outputs":[[1.5],[2.5]]}"#, Ok(vec![cells(&[1.5]), cells(&[2.5])]));
    check(
        r#"{"outputs":{"label":["x","y"],"probabilities":[[0.25,0.75],[1,0]]}}"#,
        Ok(vec![cells(&[0.25, 0.75]), cells(&[1.0, 0.0])]),
    );
    check(r#"{"predictions":[NaN,-Infinity]}"#, Ok(vec![vec![Cell::Missing], vec![Cell::Missing]]));
    check(r#"{"predictions":[1]}"#, Err(TargetFailure::WrongShape));
    check(r#"{"predictions":7}"#, Err(TargetFailure::ProtocolViolation));
    check(r#"{"outputs":{}}"#, Err(TargetFailure::ProtocolViolation));
    check(r#"{"result":[1,2]}"#, Err(TargetFailure::ProtocolViolation));
    check("<html>", Err(TargetFailure::BodyMalformed));
}

#[test]
fn kserve_and_tensorflow_serving_are_told_apart() {
    let ready = |body: &str| v1(None, PayloadForm::Auto).read_readiness(body.as_bytes());
    assert_eq!(ready(r#"{"name":"bc","ready":true}"#), Ok(Readiness::default()));
    assert_eq!(ready(r#"{"name":"bc","ready":"True"}"#), Ok(Readiness::default()));
    let failed = |body: &str| ready(body).unwrap_err();
    assert_eq!(failed(r#"{"name":"bc","ready":false}"#).outcome, Outcome::TargetFailed(TargetFailure::NotReady));
    assert_eq!(failed(r#"{"object":"list"}"#).outcome, Outcome::TargetFailed(TargetFailure::ProtocolViolation));

    let status = include_str!("../../../tests/data/tensorflow-serving-documented-status.json");
    assert_eq!(
        ready(status),
        Ok(Readiness { version: Some("123".into()), detail: None }),
        "the newest that is available"
    );
    let loading = r#"{"model_version_status":[{"version":"7","state":"LOADING","status":{"error_code":"OK","error_message":""}},
        {"version":"8","state":"END","status":{"error_code":"NOT_FOUND","error_message":"no such file"}}]}"#;
    let failure = failed(loading);
    assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::NotReady));
    assert!(
        failure.detail.contains("7 is LOADING") && failure.detail.contains("NOT_FOUND: no such file"),
        "{failure:?}"
    );

    let mut metadata = ModelMetadata::default();
    v1(None, PayloadForm::Auto).read_further(0, status.as_bytes(), &mut metadata).unwrap();
    assert_eq!((metadata.versions, metadata.ready), (vec!["123".to_owned(), "122".to_owned()], Some(true)));
    assert_eq!(v1(None, PayloadForm::Auto).read_liveness(br#"{"status":"alive"}"#), Ok(()));
    assert!(v1(None, PayloadForm::Auto).read_liveness(b"<html>").is_err());
}

#[test]
fn signature_metadata_are_typed() {
    let body = include_bytes!("../../../tests/data/tensorflow-serving-documented-metadata.json");
    let metadata = v1(None, PayloadForm::Auto).read_metadata(body).unwrap();
    assert_eq!(
        metadata.inputs,
        [input("age", "INT64", &[-1, 1]), input("features", "FP32", &[-1, 30]), input("name", "BYTES", &[])]
    );
    assert_eq!(metadata.outputs, [input("scores", "FP32", &[-1, 2])]);
    assert_eq!((metadata.name.as_str(), metadata.versions), ("bc", vec!["123".to_owned()]));
}
