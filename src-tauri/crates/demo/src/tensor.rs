//! Tensors of the Open Inference Protocol, and the rows of input in them.
//!
//! Wire format: Open Inference Protocol V2, REST, "Inference" (kserve/open-inference-protocol,
//! `specification/protocol/inference_rest.md`). What must stay true: any request body gets rows or a message; none panics.

use pilothouse_domain::{Cell, Column, ColumnKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::feature::kind_word;

/// The one input of a model whose columns are all numbers.
pub(crate) const MATRIX: &str = "input";

/// A request to predict.
#[derive(Debug, Deserialize)]
pub(crate) struct InferRequest {
    /// The client's id, given back in the answer.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The inputs.
    pub(crate) inputs: Vec<RequestTensor>,
    /// Which outputs are wanted; all, when left out.
    #[serde(default)]
    pub(crate) outputs: Option<Vec<RequestedOutput>>,
}

/// One input. `data` is flat in row-major order or nested by dimension; the protocol allows both.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestTensor {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    data: Vec<Value>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestedOutput {
    /// Its name.
    pub(crate) name: String,
}

/// One output.
#[derive(Debug, Serialize)]
pub(crate) struct ResponseTensor {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its dimensions.
    pub(crate) shape: Vec<usize>,
    /// `FP64` or `BYTES`.
    pub(crate) datatype: &'static str,
    /// Its elements, flat in row-major order.
    pub(crate) data: Vec<Value>,
}

/// Whether a model of these columns takes one matrix; otherwise it takes one tensor per column.
pub(crate) fn takes_matrix(columns: &[Column]) -> bool {
    columns.iter().all(|c| c.kind == ColumnKind::Numeric)
}

/// The inputs as the model's metadata describe them; -1 stands for the number of rows.
pub(crate) fn input_metadata(columns: &[Column]) -> Vec<Value> {
    if takes_matrix(columns) {
        return vec![json!({ "name": MATRIX, "datatype": "FP64", "shape": [-1, columns.len()] })];
    }
    let describe = |c: &Column| json!({ "name": c.name, "datatype": datatype(c.kind), "shape": [-1, 1] });
    columns.iter().map(describe).collect()
}

/// The rows in a request's inputs, with the cells in the order of `columns`.
pub(crate) fn rows(columns: &[Column], inputs: Vec<RequestTensor>) -> Result<Vec<Vec<Cell>>, String> {
    let expected: Vec<&str> =
        if takes_matrix(columns) { vec![MATRIX] } else { columns.iter().map(|c| c.name.as_str()).collect() };
    let mut found: Vec<Option<RequestTensor>> = expected.iter().map(|_| None).collect();
    for tensor in inputs {
        let Some(at) = expected.iter().position(|name| *name == tensor.name) else {
            return Err(format!("unknown input `{}`; the inputs are `{}`", tensor.name, expected.join("`, `")));
        };
        if found[at].is_some() {
            return Err(format!("input `{}` is given twice", tensor.name));
        }
        found[at] = Some(tensor);
    }
    let mut given = Vec::with_capacity(found.len());
    for (tensor, name) in found.into_iter().zip(&expected) {
        given.push(
            tensor.ok_or_else(|| format!("input `{name}` is missing; the inputs are `{}`", expected.join("`, `")))?,
        );
    }
    if takes_matrix(columns) {
        // One tensor was expected, found and named.
        given.pop().map_or(Ok(Vec::new()), |matrix| matrix_rows(columns, matrix))
    } else {
        column_rows(columns, given)
    }
}

fn matrix_rows(columns: &[Column], tensor: RequestTensor) -> Result<Vec<Vec<Cell>>, String> {
    check_datatype(&tensor, ColumnKind::Numeric)?;
    let [rows, width] = tensor.shape[..] else { return Err(wrong_shape(&tensor, columns.len())) };
    if width != columns.len() as i64 {
        return Err(wrong_shape(&tensor, columns.len()));
    }
    let cells = cells(&tensor.name, ColumnKind::Numeric, rows, columns.len(), tensor.data)?;
    Ok(cells.chunks(columns.len()).map(<[Cell]>::to_vec).collect())
}

fn column_rows(columns: &[Column], tensors: Vec<RequestTensor>) -> Result<Vec<Vec<Cell>>, String> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (at, (column, tensor)) in columns.iter().zip(tensors).enumerate() {
        check_datatype(&tensor, column.kind)?;
        let ([count] | [count, 1]) = tensor.shape[..] else { return Err(wrong_shape(&tensor, 1)) };
        let cells = cells(&tensor.name, column.kind, count, 1, tensor.data)?;
        if at == 0 {
            rows = cells.into_iter().map(|cell| vec![cell]).collect();
        } else if cells.len() == rows.len() {
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        } else {
            let (name, first) = (&column.name, &columns[0].name);
            return Err(format!("input `{name}` has {} rows, `{first}` has {}", cells.len(), rows.len()));
        }
    }
    Ok(rows)
}

/// The elements of a tensor of `rows` by `width`, as cells.
fn cells(name: &str, kind: ColumnKind, rows: i64, width: usize, data: Vec<Value>) -> Result<Vec<Cell>, String> {
    let mut flat = Vec::with_capacity(data.len());
    flatten(data, &mut flat);
    if rows < 1 {
        return Err(format!("input `{name}` has {rows} rows; at least one is needed"));
    }
    let due = usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(width));
    if due != Some(flat.len()) {
        return Err(format!(
            "input `{name}` has {} elements, which is not {rows} × {width} as its shape says",
            flat.len()
        ));
    }
    let cell = |(at, value)| match (kind, value) {
        (ColumnKind::Numeric, Value::Number(number)) => Ok(number.as_f64().map_or(Cell::Missing, Cell::Number)),
        (ColumnKind::Categorical, Value::String(text)) => Ok(Cell::Text(text)),
        _ => Err(format!("input `{name}`, element {at}: a {} is needed", kind_word(kind))),
    };
    flat.into_iter().enumerate().map(cell).collect()
}

/// Appends nested arrays in row-major order. The parser limits how deep they nest.
fn flatten(values: Vec<Value>, flat: &mut Vec<Value>) {
    for value in values {
        match value {
            Value::Array(inner) => flatten(inner, flat),
            other => flat.push(other),
        }
    }
}

fn check_datatype(tensor: &RequestTensor, kind: ColumnKind) -> Result<(), String> {
    const NUMERIC: &[&str] =
        &["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"];
    let fits = match kind {
        ColumnKind::Numeric => NUMERIC.contains(&tensor.datatype.as_str()),
        ColumnKind::Categorical => tensor.datatype == "BYTES",
    };
    if fits {
        return Ok(());
    }
    Err(format!("input `{}` has datatype `{}`; {} is needed", tensor.name, tensor.datatype, datatype(kind)))
}

fn wrong_shape(tensor: &RequestTensor, width: usize) -> String {
    format!("input `{}` has shape {:?}; [rows, {width}] is needed", tensor.name, tensor.shape)
}

const fn datatype(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Numeric => "FP64",
        ColumnKind::Categorical => "BYTES",
    }
}
