//! The request bodies of MLflow's scoring protocol, and the rows of input in them.
//!
//! Wire format: MLflow 3.17 scoring server, `mlflow/pyfunc/scoring_server/__init__.py` and captures of its answers:
//! `dataframe_split`, `dataframe_records`, `inputs` or `instances` as JSON, or CSV with a header. What must stay true:
//! columns are taken by name, never by position, because the models carry a schema; any body gets rows or a message.

use std::fmt::Write as _;

use pilothouse_domain::{Cell, Column};
use serde_json::{Map, Value};

/// The error code of a body that cannot be read.
pub(crate) const BAD_REQUEST: &str = "BAD_REQUEST";
/// The error code of data that does not fit the model.
pub(crate) const INVALID_PARAMETER_VALUE: &str = "INVALID_PARAMETER_VALUE";

const FORMATS: [&str; 4] = ["dataframe_split", "instances", "inputs", "dataframe_records"];
/// How much of the client's own data a message repeats, in characters.
const ECHO: usize = 500;

/// Why a body has no rows for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameError {
    /// MLflow's error code.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
}

/// Named columns and rows of values, before the model's schema is enforced.
struct Frame {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// The rows in a JSON body, with the cells in the order of `columns`.
pub(crate) fn json_rows(columns: &[Column], body: &[u8]) -> Result<Vec<Vec<Cell>>, FrameError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let input = body.escape_ascii().to_string();
        let message = format!(
            "Invalid input. Ensure that input is a valid JSON formatted string. Error: 'JSONDecodeError('{error}')'\nInput: \nb'{}'\n",
            shortened(&input)
        );
        FrameError { code: BAD_REQUEST, message }
    })?;
    let fields = value.as_object().map(|o| o.keys().map(String::as_str).collect::<Vec<_>>()).unwrap_or_default();
    let given: Vec<&str> = fields.iter().copied().filter(|f| FORMATS.contains(f)).collect();
    let [format] = given[..] else { return Err(wrong_fields(&fields)) };
    // Indexing by a key that was just found gives its value.
    let data = &value[format];
    let frame = match format {
        "dataframe_split" => split(data),
        "dataframe_records" => records(data).map_err(|message| bad_frame("records", &message)),
        "instances" => records(data).map_err(|message| unenforceable(columns, data, &message)),
        _ => columnar(data).map_err(|message| unenforceable(columns, data, &message)),
    }?;
    enforce(columns, &frame, data)
}

/// The rows in a CSV body with a header line.
pub(crate) fn csv_rows(columns: &[Column], body: &[u8]) -> Result<Vec<Vec<Cell>>, FrameError> {
    let failed = |error: &csv::Error| FrameError {
        code: BAD_REQUEST,
        message: format!(
            "Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid CSV-formatted Pandas \
             DataFrame produced using the `pandas.DataFrame.to_csv()` method. Error: '{error}'"
        ),
    };
    let mut reader = csv::Reader::from_reader(body);
    let names = reader.headers().map_err(|e| failed(&e))?.iter().map(str::to_owned).collect();
    let value = |text: &str| text.parse::<f64>().map_or_else(|_| Value::from(text), Value::from);
    let mut rows = Vec::new();
    for record in reader.records() {
        rows.push(record.map_err(|e| failed(&e))?.iter().map(value).collect());
    }
    let frame = Frame { columns: names, rows };
    let echo = Value::from(frame.rows.iter().take(3).cloned().map(Value::from).collect::<Vec<_>>());
    enforce(columns, &frame, &echo)
}

/// `{"columns": [...], "data": [[...], ...]}`; an `index` is allowed and ignored.
fn split(data: &Value) -> Result<Frame, FrameError> {
    let bad = |message: &str| bad_frame("split", message);
    let parts = data.as_object().ok_or_else(|| bad("an object with `columns` and `data` is needed"))?;
    let names = parts.get("columns").and_then(Value::as_array).ok_or_else(|| bad("`columns` must be a list"))?;
    let rows = parts.get("data").and_then(Value::as_array).ok_or_else(|| bad("`data` must be a list of rows"))?;
    let name = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| bad("a column's name must be a text"));
    let columns = names.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    let row = |v: &Value| match v.as_array() {
        Some(row) if row.len() == columns.len() => Ok(row.clone()),
        Some(row) => Err(bad(&format!("{} columns passed, passed data had {} columns", columns.len(), row.len()))),
        None => Err(bad("a row must be a list")),
    };
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(Frame { columns, rows })
}

/// `[{"column": value, ...}, ...]`
fn records(data: &Value) -> Result<Frame, String> {
    let items = data.as_array().ok_or("a list of records is needed")?;
    let record = |v: &Value| v.as_object().cloned().ok_or("a record must be an object with named columns");
    let records = items.iter().map(record).collect::<Result<Vec<Map<String, Value>>, _>>()?;
    let mut columns: Vec<String> = Vec::new();
    for name in records.iter().take(1).flat_map(Map::keys) {
        columns.push(name.clone());
    }
    let cell = |record: &Map<String, Value>, name: &String| record.get(name).cloned().unwrap_or(Value::Null);
    let rows = records.iter().map(|record| columns.iter().map(|name| cell(record, name)).collect()).collect();
    Ok(Frame { columns, rows })
}

/// `{"column": [value, ...], ...}`
fn columnar(data: &Value) -> Result<Frame, String> {
    let named = data.as_object().ok_or("an object with named columns is needed, because the model has named inputs")?;
    let mut count = None;
    for (name, values) in named {
        let values = values.as_array().ok_or_else(|| format!("column `{name}` must be a list of values"))?;
        if *count.get_or_insert(values.len()) != values.len() {
            return Err("all columns must have the same length".to_owned());
        }
    }
    let cell = |at: usize, name: &String| named[name].get(at).cloned().unwrap_or(Value::Null);
    let columns: Vec<String> = named.keys().cloned().collect();
    let rows = (0..count.unwrap_or(0)).map(|at| columns.iter().map(|name| cell(at, name)).collect()).collect();
    Ok(Frame { columns, rows })
}

/// Takes the model's columns out of a frame. Further columns are ignored, as MLflow does.
fn enforce(columns: &[Column], frame: &Frame, echo: &Value) -> Result<Vec<Vec<Cell>>, FrameError> {
    let position = |c: &Column| frame.columns.iter().position(|name| *name == c.name);
    let missing: Vec<String> =
        columns.iter().filter(|c| position(c).is_none()).map(|c| format!("'{}'", c.name)).collect();
    if !missing.is_empty() {
        let mut message = format!("Model is missing inputs [{}].", missing.join(", "));
        let known = |name: &&String| columns.iter().any(|c| c.name == **name);
        let extra: Vec<String> = frame.columns.iter().filter(|n| !known(n)).map(|n| format!("'{n}'")).collect();
        if !extra.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(message, " Note that there were extra inputs: [{}]", shortened(&extra.join(", ")));
        }
        return Err(unenforceable(columns, echo, &message));
    }
    if frame.rows.is_empty() {
        return Err(unenforceable(columns, echo, "Found array with 0 sample(s) while a minimum of 1 is required."));
    }
    let places: Vec<usize> = columns.iter().filter_map(position).collect();
    let cell = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => number.as_f64().map_or(Cell::Missing, Cell::Number),
        Some(Value::String(text)) => Cell::Text(text.clone()),
        None | Some(Value::Null) => Cell::Missing,
        Some(other) => Cell::Text(shortened(&other.to_string())),
    };
    Ok(frame.rows.iter().map(|row| places.iter().map(|&at| cell(row.get(at))).collect()).collect())
}

/// What MLflow answers when the data do not fit the model's schema.
fn unenforceable(columns: &[Column], data: &Value, problem: &str) -> FrameError {
    let data = shortened(&data.to_string());
    let schema: Vec<String> = columns.iter().map(|c| format!("'{}': double (required)", c.name)).collect();
    let message = format!(
        "Failed to predict data '{data}'. \nError: Failed to enforce schema of data '{data}' with schema '[{}]'. \
         Error: {problem}",
        schema.join(", ")
    );
    FrameError { code: INVALID_PARAMETER_VALUE, message }
}

fn bad_frame(orient: &str, problem: &str) -> FrameError {
    let message = format!(
        "Failed to parse input data. Ensure that the input is a valid JSON-formatted Pandas DataFrame with the \
         `{orient}` orient produced using the `pandas.DataFrame.to_dict(..., orient='{orient}')` method. Error: \
         '{problem}'"
    );
    FrameError { code: BAD_REQUEST, message }
}

fn wrong_fields(fields: &[&str]) -> FrameError {
    let quoted: Vec<String> = fields.iter().map(|f| format!("'{f}'")).collect();
    let message = format!(
        "The input must be a JSON dictionary with exactly one of the input fields {{'dataframe_split', 'instances', \
         'inputs', 'dataframe_records'}}. Received dictionary with input fields: [{}].",
        shortened(&quoted.join(", "))
    );
    FrameError { code: BAD_REQUEST, message }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= ECHO { text.to_owned() } else { text.chars().take(ECHO).chain(['…']).collect() }
}
