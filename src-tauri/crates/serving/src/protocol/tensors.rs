//! Tables to tensors, and tensors to rows (Open Inference Protocol, "Tensor Data").
//!
//! What must stay true: a table that does not fit the model's inputs is refused here, by name, instead of being sent and
//! blamed on the server.

use std::borrow::Cow;

use pilothouse_domain::{Cell, ColumnKind, Table, TargetFailure};

use super::cells::{write_list, write_number, write_text};
use super::{OutputForm, TensorSpec, misfit, wrong_row_count};
use crate::transport::Failure;

/// One tensor of a request: the input of the model that it is for, its shape, and its cells.
pub(super) struct Tensor<'a> {
    pub(super) input: Cow<'a, TensorSpec>,
    pub(super) shape: Vec<usize>,
    table: &'a Table,
    /// Its only column; `None`: all of them, row by row.
    column: Option<usize>,
}

/// What a request carries for every row of `table`, shaped by the model's `inputs`.
///
/// Inputs named as the columns become one tensor per column; a single input becomes one matrix; without any metadata a
/// matrix named `predict` in `FP64`, which `MLServer`'s scikit-learn runtime accepts under any name.
pub(super) fn tensors<'a>(table: &'a Table, inputs: &'a [TensorSpec]) -> Result<Vec<Tensor<'a>>, Failure> {
    check_rows(table)?;
    if let Some(order) = columns_of(table, inputs) {
        return inputs.iter().zip(order).map(|(input, column)| column_tensor(table, input, column)).collect();
    }
    match inputs {
        [] => Ok(vec![matrix(table, Cow::Owned(default_input(table)))?]),
        [input] => Ok(vec![matrix(table, Cow::Borrowed(input))?]),
        _ => Err(misfit(names_that_differ(table, inputs))),
    }
}

impl Tensor<'_> {
    /// Hands out each value in order, or says which column holds one that the input does not take.
    pub(super) fn each(&self, mut take: impl FnMut(Value<'_>) -> Result<(), String>) -> Result<(), Failure> {
        let kind = Datatype::of(&self.input.datatype);
        let mut one = |row: &[Cell], column: usize| {
            kind.value(&row[column]).and_then(&mut take).map_err(|why| {
                let (column, input) = (&self.table.columns[column].name, &self.input);
                misfit(format!(
                    "the column `{column}` holds {why}, and the model's input `{}` takes {}",
                    input.name, input.datatype
                ))
            })
        };
        for row in &self.table.rows {
            match self.column {
                Some(column) => one(row, column)?,
                None => (0..row.len()).try_for_each(|column| one(row, column))?,
            }
        }
        Ok(())
    }
}

/// The body of an inference request over REST.
pub(super) fn infer_body(table: &Table, inputs: &[TensorSpec]) -> Result<Vec<u8>, Failure> {
    let mut body = br#"{"id":"pilothouse","inputs":["#.to_vec();
    for (index, tensor) in tensors(table, inputs)?.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_tensor(&mut body, tensor)?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// Every row has a cell for every column.
pub(super) fn check_rows(table: &Table) -> Result<(), Failure> {
    match table.rows.iter().position(|row| row.len() != table.columns.len()) {
        None => Ok(()),
        Some(row) => Err(misfit(format!(
            "row {} has {} cells for {} columns",
            row + 1,
            table.rows[row].len(),
            table.columns.len()
        ))),
    }
}

fn default_input(table: &Table) -> TensorSpec {
    let has_text = table.columns.iter().any(|column| column.kind == ColumnKind::Categorical);
    let datatype = if has_text { "BYTES" } else { "FP64" };
    TensorSpec { name: "predict".into(), datatype: datatype.into(), shape: vec![-1, -1], optional: false }
}

/// For each input the column of its name, when inputs and columns have the same names.
pub(super) fn columns_of(table: &Table, inputs: &[TensorSpec]) -> Option<Vec<usize>> {
    if inputs.len() != table.columns.len() || inputs.is_empty() {
        return None;
    }
    inputs.iter().map(|input| table.columns.iter().position(|column| column.name == input.name)).collect()
}

/// How the names of a table's columns differ from those of the model's inputs.
pub(super) fn names_that_differ(table: &Table, inputs: &[TensorSpec]) -> String {
    let list = |names: Vec<&str>| {
        let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
        format!(
            "{}{more}",
            names[..names.len().min(5)].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )
    };
    let missing: Vec<&str> = inputs
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| table.columns.iter().all(|column| column.name != *name))
        .collect();
    let unknown: Vec<&str> = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| inputs.iter().all(|input| input.name != *name))
        .collect();
    let mut text = format!("the rows have {} columns and the model takes {} inputs", table.columns.len(), inputs.len());
    if !missing.is_empty() {
        text.push_str(&["; the model's ", &list(missing), " is no column"].concat());
    }
    if !unknown.is_empty() {
        text.push_str(&["; the column ", &list(unknown), " is no input of the model"].concat());
    }
    text
}

fn column_tensor<'a>(table: &'a Table, input: &'a TensorSpec, column: usize) -> Result<Tensor<'a>, Failure> {
    // [-1] means one value per row; any further dimension must hold exactly one.
    let shape = if input.shape.len() == 1 { vec![table.rows.len()] } else { vec![table.rows.len(), 1] };
    if input.shape.iter().skip(1).any(|&size| !matches!(size, -1 | 1)) {
        return Err(misfit(format!(
            "the model's input `{}` takes several values per row: {:?}",
            input.name, input.shape
        )));
    }
    Ok(Tensor { input: Cow::Borrowed(input), shape, table, column: Some(column) })
}

/// A single input takes as many values per row as the table has columns, where its shape says how many.
pub(super) fn check_width(table: &Table, input: &TensorSpec) -> Result<(), Failure> {
    let width = table.columns.len();
    let takes = input.shape.get(1..).filter(|rest| !rest.is_empty()).map(|rest| rest.iter().product::<i64>());
    if let Some(takes) = takes
        && takes >= 0
        && !input.shape[1..].contains(&-1)
        && usize::try_from(takes) != Ok(width)
    {
        return Err(misfit(format!(
            "the rows have {width} columns and the model's input `{}` takes {takes} values per row",
            input.name
        )));
    }
    Ok(())
}

fn matrix<'a>(table: &'a Table, input: Cow<'a, TensorSpec>) -> Result<Tensor<'a>, Failure> {
    check_width(table, &input)?;
    Ok(Tensor { shape: vec![table.rows.len(), table.columns.len()], input, table, column: None })
}

fn write_tensor(body: &mut Vec<u8>, tensor: &Tensor<'_>) -> Result<(), Failure> {
    body.extend_from_slice(br#"{"name":"#);
    write_text(body, &tensor.input.name);
    body.extend_from_slice(br#","shape":"#);
    write_list(body, &tensor.shape, |out, size| out.extend_from_slice(size.to_string().as_bytes()));
    body.extend_from_slice(br#","datatype":"#);
    write_text(body, &tensor.input.datatype);
    body.extend_from_slice(br#","data":["#);
    let mut is_first = true;
    tensor.each(|value| {
        if !std::mem::take(&mut is_first) {
            body.push(b',');
        }
        value.write(body);
        Ok(())
    })?;
    body.extend_from_slice(b"]}");
    Ok(())
}

/// A cell as a data type takes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(Cow<'a, str>),
    Missing,
}

impl Value<'_> {
    /// Appends it as JSON.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => write_number(out, *number),
            Self::Integer(integer) => out.extend_from_slice(integer.to_string().as_bytes()),
            Self::Bool(bool) => out.extend_from_slice(if *bool { b"true" } else { b"false" }),
            Self::Text(text) => write_text(out, text),
            // NumPy reads `null` as NaN in a tensor of floats.
            Self::Missing => out.extend_from_slice(b"null"),
        }
    }
}

/// The families of tensor data types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Float,
    Integer,
    Bool,
    Bytes,
    /// Nothing is known of it: cells are written as they are.
    Any,
}

impl Datatype {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "BOOL" => Self::Bool,
            "BYTES" => Self::Bytes,
            _ if name.starts_with("INT") || name.starts_with("UINT") => Self::Integer,
            _ => Self::Float,
        }
    }

    /// A cell as this type takes it, or what it holds that it does not take.
    pub(super) fn value(self, cell: &Cell) -> Result<Value<'_>, String> {
        match (self, cell) {
            (Self::Any | Self::Float | Self::Bytes, Cell::Missing) => Ok(Value::Missing),
            (Self::Any | Self::Float, Cell::Number(number)) => Ok(Value::Number(*number)),
            (Self::Any | Self::Bytes, Cell::Text(text)) => Ok(Value::Text(Cow::Borrowed(text))),
            (Self::Integer, Cell::Number(number)) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
                Ok(Value::Integer(*number as i64))
            }
            (Self::Bool, Cell::Number(number)) if [0.0, 1.0].contains(number) => Ok(Value::Bool(*number > 0.5)),
            (Self::Bytes, Cell::Number(number)) => Ok(Value::Text(Cow::Owned(number.to_string()))),
            (_, Cell::Number(number)) => Err(format!("the number {number}")),
            (_, Cell::Text(text)) => Err(format!("the text `{text}`")),
            (_, Cell::Missing) => Err("a missing value".into()),
        }
    }

    /// Appends a cell as JSON, or says what it holds that this type does not take.
    pub(super) fn write(self, out: &mut Vec<u8>, cell: &Cell) -> Result<(), String> {
        self.value(cell).map(|value| value.write(out))
    }
}

/// Rows of a flat tensor; `rows` is the number of rows sent.
pub(super) fn reshape(
    data: Vec<Cell>,
    shape: &[i64],
    rows: usize,
    form: &OutputForm,
) -> Result<Vec<Vec<Cell>>, Failure> {
    let wrong = |text: String| Failure::target(TargetFailure::WrongShape, text);
    let name = &form.name;
    let size = shape.iter().try_fold(1_usize, |size, &dimension| size.checked_mul(usize::try_from(dimension).ok()?));
    if size != Some(data.len()) {
        return Err(wrong(format!("the output `{name}` has {} values for the shape {shape:?}", data.len())));
    }
    // A scalar answers a single row.
    let found = shape.first().map_or(1, |&first| usize::try_from(first).unwrap_or(usize::MAX));
    if found != rows {
        return Err(wrong_row_count(found, rows));
    }
    let is_bytes = Datatype::of(&form.datatype) == Datatype::Bytes;
    let fits = |cell: &Cell| match cell {
        Cell::Number(_) => !is_bytes,
        Cell::Text(_) => is_bytes,
        Cell::Missing => true,
    };
    if !data.iter().all(fits) {
        let problem = format!("the output `{name}` says {} and holds other values", form.datatype);
        return Err(Failure::target(TargetFailure::WrongDtype, problem));
    }
    if rows == 0 {
        return Ok(Vec::new());
    }
    let width = data.len() / rows;
    if width == 0 {
        return Err(wrong(format!("the output `{name}` has no values per row: {shape:?}")));
    }
    let mut cells = data.into_iter();
    Ok((0..rows).map(|_| cells.by_ref().take(width).collect()).collect())
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Column;
    use serde_json::{Value, json};

    use super::*;

    fn table(columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Numeric };
        Table { columns: columns.iter().map(column).collect(), rows }
    }

    fn input(name: &str, datatype: &str, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), optional: false }
    }

    fn number(value: f64) -> Cell {
        Cell::Number(value)
    }

    fn text(value: &str) -> Cell {
        Cell::Text(value.into())
    }

    fn sent(table: &Table, inputs: &[TensorSpec]) -> Result<Value, String> {
        let body = infer_body(table, inputs).map_err(|failure| failure.detail)?;
        Ok(serde_json::from_slice::<Value>(&body).unwrap()["inputs"].take())
    }

    #[test]
    fn one_input_takes_the_whole_matrix() {
        let table = table(&["a", "b"], vec![vec![number(1.0), number(2.5)], vec![number(3.0), Cell::Missing]]);
        let matrix = |name: &str, datatype: &str, data: Value| json!([{"name": name, "shape": [2, 2], "datatype": datatype, "data": data}]);
        assert_eq!(sent(&table, &[]), Ok(matrix("predict", "FP64", json!([1.0, 2.5, 3.0, null]))));
        assert_eq!(
            sent(&table, &[input("x", "FP32", &[-1, 2])]),
            Ok(matrix("x", "FP32", json!([1.0, 2.5, 3.0, null])))
        );
        let error = sent(&table, &[input("x", "FP32", &[-1, 30])]).unwrap_err();
        assert!(error.contains("2 columns") && error.contains("takes 30"), "{error}");
        let error = sent(&table, &[input("x", "INT64", &[-1, 2])]).unwrap_err();
        assert!(error.contains("`b` holds the number 2.5"), "{error}");
    }

    #[test]
    fn inputs_named_as_the_columns_take_one_tensor_each() {
        let table = table(&["age", "sex", "old"], vec![vec![number(31.0), text("f"), number(1.0)]]);
        let inputs = [input("sex", "BYTES", &[-1, 1]), input("old", "BOOL", &[-1]), input("age", "INT32", &[-1, 1])];
        assert_eq!(
            sent(&table, &inputs),
            Ok(json!([
                {"name": "sex", "shape": [1, 1], "datatype": "BYTES", "data": ["f"]},
                {"name": "old", "shape": [1], "datatype": "BOOL", "data": [true]},
                {"name": "age", "shape": [1, 1], "datatype": "INT32", "data": [31]},
            ]))
        );
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused_by_name() {
        let table = table(&["age", "sex"], vec![vec![number(31.0), text("f")]]);
        let error = sent(&table, &[input("age", "FP64", &[-1, 1]), input("job", "BYTES", &[-1, 1])]).unwrap_err();
        assert!(error.contains("`job` is no column") && error.contains("`sex` is no input"), "{error}");
        let error = sent(&table, &[input("x", "FP64", &[-1, 2])]).unwrap_err();
        assert!(error.contains("the column `sex` holds the text `f`"), "{error}");
        let mut ragged = table;
        ragged.rows[0].pop();
        assert!(sent(&ragged, &[]).unwrap_err().contains("row 1 has 1 cells for 2 columns"));
    }

    #[test]
    fn flat_data_become_rows() {
        let form = OutputForm { name: "p".into(), datatype: "FP64".into() };
        let check = |n: usize, shape: &[i64], rows: usize, expect: Option<usize>| {
            let found = reshape(vec![number(1.0); n], shape, rows, &form);
            assert_eq!(found.as_ref().ok().map(|rows| rows.first().map_or(0, Vec::len)), expect, "{shape:?} {found:?}");
        };
        check(6, &[3, 2], 3, Some(2));
        check(3, &[3, 1], 3, Some(1));
        check(3, &[3], 3, Some(1));
        check(8, &[2, 2, 2], 2, Some(4));
        check(1, &[], 1, Some(1));
        check(0, &[0, 2], 0, Some(0));
        check(6, &[3, 2], 2, None);
        check(5, &[3, 2], 3, None);
        check(6, &[-3, -2], 3, None);
        check(6, &[i64::MAX, i64::MAX], 3, None);
        check(0, &[3, 0], 3, None);
    }
}
