//! Rows as the V1 routes take them: row-wise `instances` or columnar `inputs`.

use bytes::Bytes;
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Cell, Table};

use super::super::cells::{write_list, write_text};
use super::super::tensors::{Datatype, check_rows, check_width, columns_of, names_that_differ};
use super::super::{TensorSpec, misfit, numbered_columns};
use crate::transport::Failure;

/// The body of `:predict`.
///
/// With the server's metadata a table fits or is refused here, by name. Without them a table whose columns are only
/// numbered (`0`, `1`, …), and any table in the form `auto`, goes out as rows of cells.
pub(super) fn body(table: &Table, inputs: &[TensorSpec], form: PayloadForm) -> Result<Bytes, Failure> {
    check_rows(table)?;
    let order = columns_of(table, inputs);
    if order.is_none() {
        match inputs {
            [] => {}
            [input] => check_width(table, input)?,
            _ => return Err(misfit(names_that_differ(table, inputs))),
        }
    }
    let writer = Writer { table, inputs, order };
    let by_name = match form {
        PayloadForm::Inputs | PayloadForm::Instances => {
            writer.order.is_some() || (inputs.is_empty() && !numbered_columns(table))
        }
        _ => writer.order.is_some(),
    };
    let mut body = Vec::new();
    match (form, by_name) {
        (PayloadForm::Inputs, true) => writer.columns(&mut body)?,
        (_, true) => writer.objects(&mut body)?,
        (PayloadForm::Inputs, false) => writer.matrix(&mut body, "inputs")?,
        (_, false) => writer.matrix(&mut body, "instances")?,
    }
    Ok(Bytes::from(body))
}

struct Writer<'a> {
    table: &'a Table,
    inputs: &'a [TensorSpec],
    /// For each input its column, where they have the same names.
    order: Option<Vec<usize>>,
}

impl Writer<'_> {
    /// Each column's name, its index, its data type, and whether a value stands in a list of its own (a shape of
    /// `[-1, 1]` and not `[-1]`).
    fn named(&self) -> Vec<(&str, usize, Datatype, bool)> {
        if let Some(order) = &self.order {
            let inputs = self.inputs.iter().zip(order);
            return inputs
                .map(|(input, &column)| {
                    (input.name.as_str(), column, Datatype::of(&input.datatype), input.shape.len() > 1)
                })
                .collect();
        }
        let columns = self.table.columns.iter().enumerate();
        columns.map(|(index, column)| (column.name.as_str(), index, Datatype::Any, false)).collect()
    }

    fn cell(&self, out: &mut Vec<u8>, cell: &Cell, column: usize, kind: Datatype) -> Result<(), Failure> {
        kind.write(out, cell)
            .map_err(|why| misfit(format!("the column `{}` holds {why}", self.table.columns[column].name)))
    }

    /// `{"instances": [{"age": 31.0}]}`
    fn objects(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let named = self.named();
        let mut problem = Ok(());
        out.extend_from_slice(br#"{"instances":"#);
        write_list(out, &self.table.rows, |out, row| {
            out.push(b'{');
            for (index, (name, column, kind, wrapped)) in named.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(out, name);
                out.extend_from_slice(if *wrapped { b":[" } else { b":" });
                keep_first(&mut problem, self.cell(out, &row[*column], *column, *kind));
                if *wrapped {
                    out.push(b']');
                }
            }
            out.push(b'}');
        });
        out.push(b'}');
        problem
    }

    /// `{"inputs": {"age": [31.0]}}`
    fn columns(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut problem = Ok(());
        out.extend_from_slice(br#"{"inputs":{"#);
        for (index, (name, column, kind, wrapped)) in self.named().into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_text(out, name);
            out.push(b':');
            write_list(out, &self.table.rows, |out, row| {
                if wrapped {
                    out.push(b'[');
                }
                keep_first(&mut problem, self.cell(out, &row[column], column, kind));
                if wrapped {
                    out.push(b']');
                }
            });
        }
        out.extend_from_slice(b"}}");
        problem
    }

    /// `{"instances": [[31.0, 2.0]]}`; a model whose only input has the shape `[-1]` takes bare values.
    fn matrix(&self, out: &mut Vec<u8>, member: &str) -> Result<(), Failure> {
        let kind = self.inputs.first().map_or(Datatype::Any, |input| Datatype::of(&input.datatype));
        let bare = matches!(self.inputs, [input] if input.shape.len() == 1) && self.table.columns.len() == 1;
        let mut problem = Ok(());
        out.push(b'{');
        write_text(out, member);
        out.push(b':');
        write_list(out, &self.table.rows, |out, row| {
            if bare {
                keep_first(&mut problem, self.cell(out, &row[0], 0, kind));
            } else {
                write_list(out, row.iter().enumerate(), |out, (column, cell)| {
                    keep_first(&mut problem, self.cell(out, cell, column, kind));
                });
            }
        });
        out.push(b'}');
        problem
    }
}

fn keep_first(problem: &mut Result<(), Failure>, result: Result<(), Failure>) {
    if problem.is_ok() {
        *problem = result;
    }
}
