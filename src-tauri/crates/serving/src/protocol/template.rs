//! A person's request template: rows filled into any JSON, the prediction taken from where a pointer says.
//!
//! Source: RFC 6901 (JSON pointer). What must stay true: the template is filled as values, never as text, so that no cell
//! can change the request's form.

use bytes::Bytes;
use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Cell, Table, TargetFailure};
use serde::Deserialize as _;
use serde_json::Value;

use super::cells::{Rows, parse};
use super::{Answer, malformed, misfit, version, wrong_row_count};
use crate::ServingError;
use crate::transport::Failure;

/// Replaced by an array of rows.
const ROWS: &str = "{{rows}}";
/// Replaced by an array of objects.
const RECORDS: &str = "{{records}}";
/// Replaced by one row, an array of cells.
const ROW: &str = "{{row}}";
/// Replaced by one row, an object.
const RECORD: &str = "{{record}}";

/// A template whose pointers were checked.
#[derive(Debug)]
pub(super) struct Template {
    body: Value,
    prediction: String,
    version: Option<String>,
    takes_rows: bool,
    takes_one_row: bool,
}

impl Template {
    pub(super) fn new(template: &JsonTemplate) -> Result<Self, ServingError> {
        for pointer in [Some(&template.prediction), template.version.as_ref()].into_iter().flatten() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(ServingError::Target(format!(
                    "`{pointer}` is no JSON pointer: it must be empty or begin with `/`"
                )));
            }
        }
        Ok(Self {
            body: template.body.clone(),
            prediction: template.prediction.clone(),
            version: template.version.clone(),
            takes_rows: mentions(&template.body, &[ROWS, RECORDS]),
            takes_one_row: mentions(&template.body, &[ROW, RECORD]),
        })
    }

    /// Whether the body has a place for rows. One without is a whole request by itself.
    pub(super) fn has_placeholder(&self) -> bool {
        self.takes_rows || self.takes_one_row
    }

    /// How many rows a request takes, where that is limited.
    pub(super) fn rows_per_call(&self) -> Option<usize> {
        self.takes_one_row.then_some(1)
    }

    /// The body as it is, for a template without a place for rows.
    pub(super) fn unfilled(&self) -> Bytes {
        Bytes::from(self.body.to_string())
    }

    /// The body with the rows in their place.
    pub(super) fn filled(&self, table: &Table) -> Result<Bytes, Failure> {
        if !self.has_placeholder() {
            return Err(misfit(
                "the request template holds none of \"{{rows}}\", \"{{records}}\", \"{{row}}\" and \"{{record}}\"; \
                 add one of them",
            ));
        }
        if self.takes_one_row && table.rows.len() != 1 {
            return Err(misfit(format!(
                "the request template takes one row per request and {} were given",
                table.rows.len()
            )));
        }
        Ok(Bytes::from(fill(&self.body, table).to_string()))
    }

    /// The value at the prediction's pointer, and the whole answer.
    pub(super) fn prediction_of(&self, body: &[u8]) -> Result<(Value, Value), Failure> {
        let json: Value = parse(body).map_err(|error| malformed(&error, body, "JSON"))?;
        let prediction = json.pointer(&self.prediction).cloned().ok_or_else(|| {
            Failure::target(
                TargetFailure::ProtocolViolation,
                format!("the answer holds nothing at `{}`", self.prediction),
            )
        })?;
        Ok((json, prediction))
    }

    /// Reads an answer for `rows` rows.
    pub(super) fn read(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let (json, prediction) = self.prediction_of(body)?;
        let found = rows_of(prediction, body, rows)?;
        let version = self.version.as_deref().and_then(|pointer| match json.pointer(pointer)? {
            Value::String(text) => version(text),
            Value::Number(number) => version(&number.to_string()),
            _ => None,
        });
        Ok(Answer { version, ..found.into() })
    }
}

/// One row of cells per row sent, from a prediction of any form.
pub(super) fn rows_of(prediction: Value, body: &[u8], rows: usize) -> Result<Rows, Failure> {
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
    Rows::deserialize(Value::Array(items)).map_err(|error| malformed(&error, body, "a list of predictions"))
}

fn mentions(value: &Value, places: &[&str]) -> bool {
    match value {
        Value::String(text) => places.contains(&text.as_str()),
        Value::Array(items) => items.iter().any(|item| mentions(item, places)),
        Value::Object(members) => members.values().any(|member| mentions(member, places)),
        _ => false,
    }
}

fn fill(value: &Value, table: &Table) -> Value {
    let list = |row: &Vec<Cell>| Value::Array(row.iter().map(cell_value).collect());
    let record = |row: &Vec<Cell>| {
        let members = table.columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), cell_value(cell)));
        Value::Object(members.collect())
    };
    match value {
        Value::String(text) => match text.as_str() {
            ROWS => Value::Array(table.rows.iter().map(list).collect()),
            RECORDS => Value::Array(table.rows.iter().map(record).collect()),
            ROW => table.rows.first().map_or(Value::Null, list),
            RECORD => table.rows.first().map_or(Value::Null, record),
            _ => value.clone(),
        },
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

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Column, ColumnKind, Outcome, UnknownReason};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_of_single_rows_is_given_one() {
        let template = |body: Value| {
            let template =
                JsonTemplate { path: String::new(), body, prediction: "/y".into(), ..JsonTemplate::default() };
            Template::new(&template).unwrap()
        };
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        let mut table =
            Table { columns: vec![column("a"), column("b")], rows: vec![vec![Cell::Number(1.0), Cell::Missing]] };
        let sent = |body: Value, table: &Table| -> Value {
            serde_json::from_slice(&template(body).filled(table).unwrap()).unwrap()
        };
        assert_eq!(sent(json!({"x": "{{row}}"}), &table), json!({"x": [1.0, null]}));
        assert_eq!(sent(json!("{{record}}"), &table), json!({"a": 1.0, "b": null}));
        assert_eq!(template(json!("{{record}}")).rows_per_call(), Some(1));
        assert_eq!(template(json!("{{rows}}")).rows_per_call(), None);
        table.rows.push(vec![Cell::Number(2.0), Cell::Missing]);
        let refused = template(json!({"x": "{{row}}"})).filled(&table).unwrap_err();
        assert_eq!(refused.outcome, Outcome::Unknown(UnknownReason::Misconfigured));
    }
}
