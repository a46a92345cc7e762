//! Predictions out of answers whose form the model's author chose: CSV, a bare list, or a list in a member of an object.
//!
//! Source: `SageMaker`'s "Common Data Formats for Inference" and the answers of its containers (`XGBoost` one value per line,
//! older ones all on one line; Linear Learner `{"predictions": [{"score": …}]}`; scikit-learn a bare list), Azure ML's
//! scoring scripts (a list, an object, or either as a JSON text within JSON), MLflow (`{"predictions": …}`), Vertex AI. What
//! must stay true: nothing is guessed when several members could be the prediction; a template says which.

use pilothouse_domain::{Cell, TargetFailure};
use serde::Deserialize;
use serde_json::Value;

use super::cells::{Rows, parse};
use super::template::rows_of;
use super::{malformed, wrong_row_count};
use crate::transport::Failure;

/// Members that hold predictions, by the conventions of the servers above, the usual one first.
const MEMBERS: [&str; 6] = ["predictions", "outputs", "prediction", "result", "results", "output"];

#[derive(Deserialize)]
struct InMember {
    #[serde(rename = "predictions", alias = "outputs", alias = "prediction", alias = "result", alias = "results")]
    #[serde(alias = "output")]
    rows: Rows,
}

/// One row of cells per row sent, from JSON of any of the usual forms.
pub(super) fn json(body: &[u8], rows: usize) -> Result<Rows, Failure> {
    // Read as it stands, an object's members keep the order in which they were written.
    let ordered = parse::<Rows>(body).or_else(|_| parse::<InMember>(body).map(|answer| answer.rows));
    if let Ok(found) = ordered
        && found.cells.len() == rows
    {
        return Ok(found);
    }
    let answer: Value = parse(body).map_err(|error| malformed(&error, body, "JSON"))?;
    rows_of(prediction_in(answer)?, body, rows)
}

/// One row of cells per row sent, from CSV or JSON, whichever it is: containers answer in a form of their own choice.
pub(super) fn csv_or_json(body: &[u8], rows: usize) -> Result<Rows, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| {
        Failure::target(TargetFailure::BodyMalformed, "the answer is neither JSON nor CSV: it is no UTF-8 text")
    })?;
    let text = text.trim();
    // A single number is both; everything else that begins so is JSON.
    if text.is_empty() || text.starts_with(['{', '[', '"']) {
        return json(body, rows);
    }
    Ok(Rows { cells: csv(text, rows)?, names: Vec::new() })
}

/// The prediction in an answer: the answer itself, or its member.
pub(super) fn prediction_in(answer: Value) -> Result<Value, Failure> {
    let mut members = match answer {
        // A scoring script that returns `json.dumps(…)`: JSON within a JSON text.
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(members)) => members,
            Ok(inner @ Value::Array(_)) => return Ok(inner),
            _ => return Ok(Value::String(text)),
        },
        Value::Object(members) => members,
        other => return Ok(other),
    };
    if let Some(name) = MEMBERS.iter().find(|name| members.contains_key(**name)) {
        return Ok(members.remove(*name).unwrap_or_default());
    }
    if let Some(error) = members.get("error").or_else(|| members.get("message")) {
        return Err(super::error_member(error));
    }
    Err(Failure::target(
        TargetFailure::ProtocolViolation,
        "the answer has no `predictions`; say with a template where its prediction stands",
    ))
}

fn csv(text: &str, rows: usize) -> Result<Vec<Vec<Cell>>, Failure> {
    if text.starts_with('<') {
        return Err(Failure::target(TargetFailure::BodyMalformed, "the answer is a page of markup, no prediction"));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| Failure::target(TargetFailure::BodyMalformed, "the answer is no CSV"))?;
        lines.push(record.iter().map(cell).collect::<Vec<Cell>>());
    }
    if lines.len() == rows {
        return Ok(lines);
    }
    // Older XGBoost containers write one value per row on a single line.
    match <[Vec<Cell>; 1]>::try_from(lines) {
        Ok([line]) if line.len() == rows => Ok(line.into_iter().map(|cell| vec![cell]).collect()),
        Ok([_]) => Err(wrong_row_count(1, rows)),
        Err(lines) => Err(wrong_row_count(lines.len(), rows)),
    }
}

fn cell(text: &str) -> Cell {
    match text.trim() {
        "" => Cell::Missing,
        text => match text.parse::<f64>() {
            Ok(number) => Cell::Number(number),
            Err(_) => Cell::Text(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Outcome;

    use super::*;

    type Expected = Result<Vec<Vec<f64>>, TargetFailure>;

    fn read(body: &str, rows: usize) -> Result<Vec<Vec<Cell>>, Failure> {
        csv_or_json(body.as_bytes(), rows).map(|rows| rows.cells)
    }

    fn compare(found: Result<Vec<Vec<Cell>>, Failure>, expect: Expected, body: &str) {
        let expect = expect
            .map(|rows| rows.iter().map(|row| row.iter().map(|&x| Cell::Number(x)).collect()).collect())
            .map_err(Outcome::TargetFailed);
        assert_eq!(found.map_err(|failure| failure.outcome), expect, "{body}");
    }

    #[test]
    fn predictions_are_found_in_every_usual_form() {
        let check = |body: &str, rows, expect| compare(read(body, rows), expect, body);
        check("0.25\n0.75\n", 2, Ok(vec![vec![0.25], vec![0.75]]));
        check("0.25,0.75", 2, Ok(vec![vec![0.25], vec![0.75]]));
        check("0.25,0.75", 1, Ok(vec![vec![0.25, 0.75]]));
        check("0.2,0.8\n0.6,0.4", 2, Ok(vec![vec![0.2, 0.8], vec![0.6, 0.4]]));
        check("7", 1, Ok(vec![vec![7.0]]));
        check("1,2,3", 2, Err(TargetFailure::WrongShape));
        check("1\n2\n3", 2, Err(TargetFailure::WrongShape));
        check("[1, 0]", 2, Ok(vec![vec![1.0], vec![0.0]]));
        check(r#"{"predictions": [{"score": 0.5, "label": 1}]}"#, 1, Ok(vec![vec![0.5, 1.0]]));
        check(r#"{"result": [3]}"#, 1, Ok(vec![vec![3.0]]));
        check(r#""{\"result\": [3, 4]}""#, 2, Ok(vec![vec![3.0], vec![4.0]]));
        check(r#""[3, 4]""#, 2, Ok(vec![vec![3.0], vec![4.0]]));
    }

    #[test]
    fn answers_without_a_prediction_are_failures() {
        let check = |body: &str, expect| compare(read(body, 1), Err(expect), body);
        check("", TargetFailure::BodyMalformed);
        check("<html>", TargetFailure::BodyMalformed);
        check("{", TargetFailure::BodyMalformed);
        check(r#"{"ok": true}"#, TargetFailure::ProtocolViolation);
        check(r#"{"error": "no such column"}"#, TargetFailure::ServerError);
        let found = csv_or_json(&[0xff, 0xfe], 1).unwrap_err().outcome;
        assert_eq!(found, Outcome::TargetFailed(TargetFailure::BodyMalformed));
    }
}
