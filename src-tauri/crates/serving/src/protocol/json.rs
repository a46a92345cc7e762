//! Plain JSON over HTTP: the request from a person's template, the prediction from where a pointer says.
//!
//! Source: RFC 6901 (JSON pointer). What must stay true: the template is filled as values, never as text, so that no cell
//! can change the request's form.

use bytes::Bytes;
use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Cell, Table, Target, TargetFailure};
use serde::Deserialize as _;
use serde_json::Value;
use url::Url;

use super::cells::{FlatCells, parse};
use super::{Answer, Call, ModelMetadata, ServingProtocol, malformed, misfit, version, wrong_row_count};
use crate::ServingError;
use crate::transport::Failure;

/// Replaced by an array of rows.
const ROWS: &str = "{{rows}}";
/// Replaced by an array of objects.
const RECORDS: &str = "{{records}}";

/// The protocol, bound to one target.
pub(super) struct Json {
    url: Url,
    template: JsonTemplate,
    has_placeholder: bool,
}

impl Json {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let template = target.json.clone().ok_or_else(|| {
            ServingError::Target("the protocol `json` needs a request body and a pointer to the prediction".into())
        })?;
        for pointer in [Some(&template.prediction), template.version.as_ref()].into_iter().flatten() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(ServingError::Target(format!(
                    "`{pointer}` is no JSON pointer: it must be empty or begin with `/`"
                )));
            }
        }
        let url = if template.path.is_empty() { target.url.clone() } else { join(&target.url, &template.path)? };
        let has_placeholder = mentions_placeholder(&template.body);
        Ok(Self { url, template, has_placeholder })
    }
}

/// `path` below `base`; it may bring a query of its own.
fn join(base: &Url, path: &str) -> Result<Url, ServingError> {
    let mut directory = base.clone();
    directory.set_query(None);
    directory.set_fragment(None);
    let joined = format!("{}/{}", directory.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
    let mut url: Url =
        joined.parse().map_err(|_| ServingError::Target(format!("`{path}` cannot be a path below the URL")))?;
    if url.query().is_none() {
        url.set_query(base.query());
    }
    Ok(url)
}

fn mentions_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text == ROWS || text == RECORDS,
        Value::Array(items) => items.iter().any(mentions_placeholder),
        Value::Object(members) => members.values().any(mentions_placeholder),
        _ => false,
    }
}

fn fill(value: &Value, table: &Table) -> Value {
    match value {
        Value::String(text) if text == ROWS => {
            Value::Array(table.rows.iter().map(|row| row.iter().map(cell_value).collect()).collect())
        }
        Value::String(text) if text == RECORDS => {
            let record = |row: &Vec<Cell>| {
                table.columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), cell_value(cell))).collect()
            };
            Value::Array(table.rows.iter().map(|row| Value::Object(record(row))).collect())
        }
        Value::Array(items) => items.iter().map(|item| fill(item, table)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), fill(value, table))).collect())
        }
        other => other.clone(),
    }
}

fn cell_value(cell: &Cell) -> Value {
    match cell {
        Cell::Number(number) => Value::from(*number),
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Missing => Value::Null,
    }
}

impl ServingProtocol for Json {
    fn health_call(&self) -> Result<Call, Failure> {
        if self.has_placeholder {
            return Err(misfit(
                "a plain JSON endpoint has no health route of its own; give it rows to send with each probe",
            ));
        }
        Ok(Call::post(self.url.clone(), self.template.body.to_string()))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        // A template without rows is a whole request: its answer must hold a prediction.
        self.prediction_of(body).map(|_| ())
    }

    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        if !self.has_placeholder {
            return Err(misfit("the request template holds neither \"{{rows}}\" nor \"{{records}}\"; add one of them"));
        }
        let body = fill(&self.template.body, table).to_string();
        Ok(Call::post(self.url.clone(), Bytes::from(body)))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let (json, prediction) = self.prediction_of(body)?;
        let items = match prediction {
            Value::Array(items) => items,
            single if rows == 1 => vec![single],
            _ => return Err(wrong_row_count(1, rows)),
        };
        // One row may come back as its outputs alone: `[0.2, 0.8]` instead of `[[0.2, 0.8]]`.
        let items = if rows == 1 && items.len() > 1 && items.iter().all(|item| !item.is_array() && !item.is_object()) {
            vec![Value::Array(items)]
        } else {
            items
        };
        if items.len() != rows {
            return Err(wrong_row_count(items.len(), rows));
        }
        let found = items
            .into_iter()
            .map(|item| FlatCells::deserialize(item).map(|cells| cells.0))
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(&error, body, "a list of predictions"))?;
        let version = self.template.version.as_deref().and_then(|pointer| match json.pointer(pointer)? {
            Value::String(text) => version(text),
            Value::Number(number) => version(&number.to_string()),
            _ => None,
        });
        Ok(Answer { rows: found, version, output: None })
    }

    fn metadata_call(&self) -> Option<Call> {
        None
    }

    fn read_metadata(&self, _body: &[u8]) -> Result<ModelMetadata, Failure> {
        Ok(ModelMetadata::default())
    }
}

impl Json {
    fn prediction_of(&self, body: &[u8]) -> Result<(Value, Value), Failure> {
        let json: Value = parse(body).map_err(|error| malformed(&error, body, "JSON"))?;
        let prediction = json.pointer(&self.template.prediction).cloned().ok_or_else(|| {
            Failure::target(
                TargetFailure::ProtocolViolation,
                format!("the answer holds nothing at `{}`", self.template.prediction),
            )
        })?;
        Ok((json, prediction))
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Column, ColumnKind, Outcome, Protocol};
    use serde_json::json;

    use super::super::tests::target;
    use super::*;

    fn json(url: &str, path: &str, body: Value, prediction: &str) -> Result<Json, ServingError> {
        let mut target = target(url, Protocol::Json, None);
        let prediction = prediction.to_owned();
        target.json = Some(JsonTemplate { path: path.into(), body, prediction, version: Some("/meta/version".into()) });
        Json::new(&target)
    }

    fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        Table {
            columns: vec![column("a"), column("b")],
            rows: vec![vec![Cell::Number(1.5), Cell::Text("\"}]".into())], vec![Cell::Missing, Cell::Number(2.0)]],
        }
    }

    #[test]
    fn templates_are_filled_as_values() {
        let body = json!({"rows": "{{rows}}", "deep": [{"r": "{{records}}"}], "text": "see {{rows}}"});
        let call = json("http://h/api?k=1", "/predict", body, "/p").unwrap().predict_call(&table(), None).unwrap();
        assert_eq!(call.url.as_str(), "http://h/api/predict?k=1");
        let sent: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
        assert_eq!(
            sent,
            json!({
                "rows": [[1.5, "\"}]"], [null, 2.0]],
                "deep": [{"r": [{"a": 1.5, "b": "\"}]"}, {"a": null, "b": 2.0}]}],
                "text": "see {{rows}}",
            })
        );
    }

    #[test]
    fn the_url_itself_is_used_without_a_path() {
        let call = json("http://h/score?k=1", "", json!("{{rows}}"), "").unwrap().predict_call(&table(), None).unwrap();
        assert_eq!(call.url.as_str(), "http://h/score?k=1");
    }

    #[test]
    fn predictions_are_found_by_pointer() {
        let json = json("http://h/", "", json!("{{rows}}"), "/out/0/p").unwrap();
        let check = |body: Value, rows: usize, expect: Result<Vec<Vec<f64>>, TargetFailure>| {
            let found = json.read_prediction(body.to_string().as_bytes(), rows).map(|answer| answer.rows);
            let expect = expect
                .map(|rows| rows.iter().map(|row| row.iter().map(|&x| Cell::Number(x)).collect()).collect())
                .map_err(Outcome::TargetFailed);
            assert_eq!(found.map_err(|failure| failure.outcome), expect, "{body}");
        };
        check(json!({"out": [{"p": [0.5, 0.25]}]}), 2, Ok(vec![vec![0.5], vec![0.25]]));
        check(json!({"out": [{"p": [[0.5, 0.5], [1, 0]]}]}), 2, Ok(vec![vec![0.5, 0.5], vec![1.0, 0.0]]));
        check(json!({"out": [{"p": 7}]}), 1, Ok(vec![vec![7.0]]));
        check(json!({"out": [{"p": [0.2, 0.8]}]}), 1, Ok(vec![vec![0.2, 0.8]]));
        check(json!({"out": [{"p": [1, 2, 3]}]}), 2, Err(TargetFailure::WrongShape));
        check(json!({"out": [{"p": 7}]}), 2, Err(TargetFailure::WrongShape));
        check(json!({"out": []}), 1, Err(TargetFailure::ProtocolViolation));
    }

    #[test]
    fn versions_are_texts_or_numbers() {
        let json = json("http://h/", "", json!("{{rows}}"), "/p").unwrap();
        let check = |version: Value, expect: Option<&str>| {
            let body = json!({"p": [1], "meta": {"version": version}}).to_string();
            let found = json.read_prediction(body.as_bytes(), 1).unwrap().version;
            assert_eq!(found.as_ref().map(pilothouse_domain::VersionId::as_str), expect);
        };
        check(json!("v7"), Some("v7"));
        check(json!(7), Some("7"));
        check(json!(null), None);
        check(json!(""), None);
    }

    #[test]
    fn unusable_settings_are_named() {
        assert!(json("http://h/", "", json!("{{rows}}"), "p").err().unwrap().to_string().contains("`p`"));
        let no_rows = json("http://h/", "", json!({"x": 1}), "/p").unwrap();
        assert!(no_rows.predict_call(&table(), None).is_err());
        assert!(no_rows.health_call().is_ok());
        let with_rows = json("http://h/", "", json!("{{rows}}"), "/p").unwrap();
        let outcome = with_rows.health_call().unwrap_err().outcome;
        assert_eq!(outcome, Outcome::Unknown(pilothouse_domain::UnknownReason::Misconfigured));
    }
}
