//! Rows written into the body of a request, in the forms that scoring servers and clouds share.
//!
//! Source: MLflow 3.17.2's `mlflow/pyfunc/scoring_server` (`dataframe_split`, `dataframe_records`, `inputs`, `instances`),
//! Azure ML's documentation of MLflow models on online endpoints (`input_data`), and `SageMaker`'s "Common Data Formats for
//! Inference" (`text/csv` without a heading line). By row and by column a model without names for its columns is given
//! bare lists.

use bytes::Bytes;
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Cell, Table};

use super::cells::{write_cell, write_list, write_number, write_text};
use super::numbered_columns;

/// The rows as JSON. A form that is no JSON, or left to the protocol, is written as `dataframe_split`.
pub(super) fn json(table: &Table, form: PayloadForm) -> Bytes {
    let mut body = Vec::new();
    match form {
        PayloadForm::Auto | PayloadForm::Csv | PayloadForm::DataframeSplit => {
            body.extend_from_slice(br#"{"dataframe_split":{"columns":"#);
            write_names(&mut body, table);
            body.extend_from_slice(br#","data":"#);
            write_rows(&mut body, table);
            body.push(b'}');
        }
        PayloadForm::InputData => {
            body.extend_from_slice(br#"{"input_data":{"columns":"#);
            write_names(&mut body, table);
            body.extend_from_slice(br#","index":"#);
            write_list(&mut body, 0..table.rows.len(), |out, index| {
                out.extend_from_slice(index.to_string().as_bytes());
            });
            body.extend_from_slice(br#","data":"#);
            write_rows(&mut body, table);
            body.push(b'}');
        }
        PayloadForm::DataframeRecords => {
            body.extend_from_slice(br#"{"dataframe_records":"#);
            write_records(&mut body, table);
        }
        PayloadForm::Inputs => {
            body.extend_from_slice(br#"{"inputs":"#);
            if numbered_columns(table) { write_rows(&mut body, table) } else { write_columns(&mut body, table) }
        }
        PayloadForm::Instances => {
            body.extend_from_slice(br#"{"instances":"#);
            if numbered_columns(table) { write_rows(&mut body, table) } else { write_records(&mut body, table) }
        }
        PayloadForm::Data => {
            body.extend_from_slice(br#"{"data":"#);
            write_rows(&mut body, table);
        }
    }
    body.push(b'}');
    Bytes::from(body)
}

/// `{"instances": [[…]]}`: rows without the columns' names.
pub(super) fn bare_instances(table: &Table) -> Bytes {
    let mut body = br#"{"instances":"#.to_vec();
    write_rows(&mut body, table);
    body.push(b'}');
    Bytes::from(body)
}

/// The rows as CSV (RFC 4180) without a heading line. What is missing, and what is no number, is an empty field.
pub(super) fn csv(table: &Table) -> Bytes {
    let mut body = Vec::new();
    for row in &table.rows {
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            match cell {
                Cell::Number(number) if number.is_finite() => write_number(&mut body, *number),
                Cell::Number(_) | Cell::Missing => {}
                Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
                    body.push(b'"');
                    body.extend_from_slice(text.replace('"', "\"\"").as_bytes());
                    body.push(b'"');
                }
                Cell::Text(text) => body.extend_from_slice(text.as_bytes()),
            }
        }
        body.push(b'\n');
    }
    Bytes::from(body)
}

fn write_names(body: &mut Vec<u8>, table: &Table) {
    write_list(body, &table.columns, |out, column| write_text(out, &column.name));
}

fn write_rows(body: &mut Vec<u8>, table: &Table) {
    write_list(body, &table.rows, |out, row| write_list(out, row, write_cell));
}

fn write_records(body: &mut Vec<u8>, table: &Table) {
    write_list(body, &table.rows, |out, row| {
        out.push(b'{');
        for (index, (column, cell)) in table.columns.iter().zip(row).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_text(out, &column.name);
            out.push(b':');
            write_cell(out, cell);
        }
        out.push(b'}');
    });
}

fn write_columns(body: &mut Vec<u8>, table: &Table) {
    body.push(b'{');
    for (index, column) in table.columns.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_text(body, &column.name);
        body.push(b':');
        write_list(body, &table.rows, |out, row| write_cell(out, &row[index]));
    }
    body.push(b'}');
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Column, ColumnKind};
    use serde_json::{Value, json};

    use super::*;

    fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        Table {
            columns: vec![column("a"), column("b")],
            rows: vec![vec![Cell::Number(1.5), Cell::Text("x".into())], vec![Cell::Number(f64::NAN), Cell::Missing]],
        }
    }

    #[test]
    fn the_forms_of_clouds_are_written() {
        let check = |form: PayloadForm, expect: Value| {
            let sent: Value = serde_json::from_slice(&json(&table(), form)).unwrap();
            assert_eq!(sent, expect, "{form:?}");
        };
        let data = json!([[1.5, "x"], [null, null]]);
        check(PayloadForm::InputData, json!({"input_data": {"columns": ["a", "b"], "index": [0, 1], "data": data}}));
        check(PayloadForm::Data, json!({"data": data}));
        let sent: Value = serde_json::from_slice(&bare_instances(&table())).unwrap();
        assert_eq!(sent, json!({"instances": data}));
    }

    #[test]
    fn csv_quotes_what_would_break_a_line() {
        let mut table = table();
        assert_eq!(csv(&table), "1.5,x\n,\n");
        table.rows[0][1] = Cell::Text("a \"b\",\nc".into());
        assert_eq!(csv(&table), "1.5,\"a \"\"b\"\",\nc\"\n,\n");
    }
}
