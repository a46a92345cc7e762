//! MLflow's scoring server (`mlflow models serve`): `POST /invocations`, `GET /ping`.
//!
//! Source: MLflow 3.17.2's `mlflow/pyfunc/scoring_server`, and answers captured from it. Of its four forms of a request
//! `dataframe_split` is the one that models with and without named columns accept, and the one sent unless the target
//! says otherwise. `/version` is MLflow's own version, never the model's, so no answer of this protocol names a model
//! version.

use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure};
use serde::Deserialize;
use url::Url;

use super::cells::{Rows, parse};
use super::table_body;
use super::tensors::check_rows;
use super::{Answer, Call, FacetCall, Lacking, ModelMetadata, ServingProtocol, below, malformed, wrong_row_count};
use crate::text::one_line;
use crate::transport::Failure;

/// The protocol, bound to one target.
pub(super) struct Mlflow {
    base: Url,
    payload: PayloadForm,
}

impl Mlflow {
    pub(super) fn new(target: &Target) -> Self {
        Self { base: target.url.clone(), payload: target.payload }
    }
}

#[derive(Deserialize)]
struct Predictions {
    predictions: Rows,
}

impl ServingProtocol for Mlflow {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(Call::get(below(&self.base, &["ping"])))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        // The body is one line feed, declared as JSON; it must not be parsed. Anything longer is another server.
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        Err(Failure::target(
            TargetFailure::ProtocolViolation,
            "`/ping` answered with a text, which MLflow's scoring server does not do",
        ))
    }

    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        check_rows(table)?;
        let form = self.payload.or(PayloadForm::DataframeSplit);
        Ok(Call::post(below(&self.base, &["invocations"]), table_body::json(table, form)))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let Predictions { predictions: found } =
            parse(body).map_err(|error| malformed(&error, body, "an object with `predictions`"))?;
        if found.cells.len() != rows {
            return Err(wrong_row_count(found.cells.len(), rows));
        }
        Ok(found.into())
    }

    fn metadata_call(&self) -> Option<Call> {
        Some(Call::get(below(&self.base, &["version"])))
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let version = one_line(&String::from_utf8_lossy(&body[..body.len().min(256)]), 40);
        if !is_version_number(&version) {
            return Err(Failure::target(
                TargetFailure::ProtocolViolation,
                "`/version` does not answer with MLflow's version number",
            ));
        }
        let server = format!("mlflow {version}");
        Ok(ModelMetadata { platform: Some(server.clone()), server: Some(server), ..ModelMetadata::default() })
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        // `/ping` and `/health` are one route: the model was loaded when the server started.
        Some(FacetCall { call: Call::get(below(&self.base, &["ping"])), lacking: Lacking::Nothing })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        self.read_health(body)
    }
}

/// Whether the text is a bare version number such as `3.17.2` or `2.0.0rc1`.
pub(crate) fn is_version_number(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let is_number =
        |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    is_number(parts.next())
        && is_number(parts.next())
        && parts.next().is_none_or(|rest| {
            rest.starts_with(|first: char| first.is_ascii_digit())
                && rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'))
        })
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};

    use serde_json::json;

    use super::super::tests::target;
    use super::*;

    fn mlflow() -> Mlflow {
        Mlflow::new(&target("http://h/p", Protocol::Mlflow, None))
    }

    #[test]
    fn requests_are_dataframe_split() {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let table = Table {
            columns: vec![column("age", ColumnKind::Numeric), column("sex", ColumnKind::Categorical)],
            rows: vec![vec![Cell::Number(31.0), Cell::Text("f\"m".into())], vec![Cell::Missing, Cell::Missing]],
        };
        let call = mlflow().predict_call(&table, None).unwrap();
        assert_eq!(call.url.as_str(), "http://h/p/invocations");
        assert_eq!(
            String::from_utf8_lossy(&call.body.unwrap()),
            r#"{"dataframe_split":{"columns":["age","sex"],"data":[[31.0,"f\"m"],[null,null]]}}"#
        );
    }

    #[test]
    fn every_form_of_a_request_is_written() {
        let check = |form: PayloadForm, names: [&str; 2], expect: serde_json::Value| {
            let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
            let table = Table {
                columns: names.map(column).to_vec(),
                rows: vec![vec![Cell::Number(1.0), Cell::Text("x".into())], vec![Cell::Number(2.5), Cell::Missing]],
            };
            let mut target = target("http://h/p", Protocol::Mlflow, None);
            target.payload = form;
            let call = Mlflow::new(&target).predict_call(&table, None).unwrap();
            let sent: serde_json::Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
            assert_eq!(sent, expect, "{form:?}");
        };
        let split = json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, "x"], [2.5, null]]}});
        let records = json!([{"a": 1.0, "b": "x"}, {"a": 2.5, "b": null}]);
        check(PayloadForm::Auto, ["a", "b"], split.clone());
        check(PayloadForm::DataframeSplit, ["a", "b"], split);
        check(PayloadForm::DataframeRecords, ["a", "b"], json!({"dataframe_records": records}));
        check(PayloadForm::Inputs, ["a", "b"], json!({"inputs": {"a": [1.0, 2.5], "b": ["x", null]}}));
        check(PayloadForm::Instances, ["a", "b"], json!({"instances": records}));
        let bare = json!([[1.0, "x"], [2.5, null]]);
        check(PayloadForm::Inputs, ["0", "1"], json!({"inputs": bare}));
        check(PayloadForm::Instances, ["0", "1"], json!({"instances": bare}));
    }

    #[test]
    fn captured_answers_are_read() {
        let body = include_bytes!("../../tests/data/mlflow-3.17.2-invocations.json");
        let answer = mlflow().read_prediction(body, 2).unwrap();
        assert_eq!(answer.rows, [[Cell::Number(1.0)], [Cell::Number(1.0)]]);
        assert_eq!(answer.version, None);
        let failure = mlflow().read_prediction(body, 3).unwrap_err();
        assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::WrongShape));
        let ping = include_bytes!("../../tests/data/mlflow-3.17.2-ping.txt");
        assert_eq!(mlflow().read_health(ping), Ok(()));
    }

    #[test]
    fn every_form_of_predictions_is_read() {
        let check = |body: &str, expect: Result<Vec<Vec<f64>>, TargetFailure>| {
            let found = mlflow().read_prediction(body.as_bytes(), 2).map(|answer| answer.rows);
            let expect = expect
                .map(|rows| rows.iter().map(|row| row.iter().map(|&x| Cell::Number(x)).collect()).collect())
                .map_err(Outcome::TargetFailed);
            assert_eq!(found.map_err(|failure| failure.outcome), expect, "{body}");
        };
        check(r#"{"predictions": [[0.1, 0.9], [0.2, 0.8]]}"#, Ok(vec![vec![0.1, 0.9], vec![0.2, 0.8]]));
        check(
            r#"{"predictions": [{"p": 0.5, "a": 1}, {"p": 0.25, "a": 2}]}"#,
            Ok(vec![vec![0.5, 1.0], vec![0.25, 2.0]]),
        );
        check(r#"{"predictions": [true, false]}"#, Ok(vec![vec![1.0], vec![0.0]]));
        check(r#"{"predictions": 3}"#, Err(TargetFailure::ProtocolViolation));
        check(r#"{"outputs": [1, 2]}"#, Err(TargetFailure::ProtocolViolation));
        check("<html>", Err(TargetFailure::BodyMalformed));
        check("", Err(TargetFailure::BodyMalformed));
    }

    #[test]
    fn version_numbers_are_recognised() {
        for text in ["3.17.2", "2.0.0rc1", "1.30", "3.0.0.dev0"] {
            assert!(is_version_number(text), "{text}");
        }
        for text in ["", "3", "OK", "\"3.1\"", "v1.2.3", "1.x", "<html>", "1.2.3 <b>", "{\"version\":\"0.32.0\"}"] {
            assert!(!is_version_number(text), "{text}");
        }
    }
}
