//! Reading tables that people bring: CSV with a header, or JSON Lines. The kind is read from the content, not the name.

use pilothouse_config::rows::{self, Kinds, RowsError};
use pilothouse_domain::{Cell, Column, ColumnKind, Label, Table, Task};
use serde_json::Value;

use crate::{ApiError, Code};

pub use pilothouse_config::rows::ROWS_MAX;

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidInput, message)
}

impl From<RowsError> for ApiError {
    fn from(error: RowsError) -> Self {
        Self { code: Code::InvalidInput, message: error.problem, hint: error.hint }
    }
}

/// Reads a table. A column whose every present cell is a number is numeric; an empty CSV cell and JSON `null` are missing.
pub fn read(text: &str) -> Result<Table, ApiError> {
    let table = rows::read(text, &Kinds::new())?;
    if table.rows.is_empty() {
        return Err(invalid("the table has no rows below its header".into()));
    }
    Ok(table)
}

/// A table of named columns, from a reader of another format; each row has one cell per name.
pub fn from_cells(names: Vec<String>, rows: Vec<Vec<Cell>>) -> Result<Table, ApiError> {
    if rows.is_empty() {
        return Err(invalid("the table has no rows".into()));
    }
    Ok(rows::from_cells(names, rows, &Kinds::new())?)
}

/// Takes a column out of a table. The error names the columns that exist.
pub fn take_column(table: &mut Table, name: &str) -> Result<Vec<Cell>, ApiError> {
    let index = table.columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        invalid(format!("there is no column `{name}`")).hint(format!("the columns are {}", known.join(", ")))
    })?;
    table.columns.remove(index);
    Ok(table.rows.iter_mut().map(|row| row.remove(index)).collect())
}

/// Reads labels for a task word (`binary`, `multiclass`, `regression`, or empty: read from the labels: two values are
/// binary, more than two whole numbers or texts with at most 20 values multiclass, everything else regression).
pub fn labels(cells: &[Cell], task: &str, positive: &str) -> Result<(Task, Vec<Label>), ApiError> {
    let texts: Vec<String> = cells.iter().map(cell_text).collect();
    if let Some(row) = cells.iter().position(|cell| *cell == Cell::Missing) {
        return Err(invalid(format!("row {} has no label", row + 1)).hint("leave out rows without a right answer"));
    }
    let mut classes = texts.clone();
    classes.sort_by(|a, b| compare_labels(a, b));
    classes.dedup();
    let whole = cells.iter().all(|cell| matches!(cell, Cell::Number(value) if value.fract() == 0.0));
    let numbers = cells.iter().all(|cell| matches!(cell, Cell::Number(_)));
    let task = match task {
        "" if classes.len() == 2 => "binary",
        "" if (whole || !numbers) && classes.len() <= 20 => "multiclass",
        "" if numbers => "regression",
        "" => {
            return Err(
                invalid(format!("the labels are {} different texts", classes.len())).hint("choose the label column")
            );
        }
        given => given,
    };
    let class_labels = |classes: &[String]| -> Vec<Label> {
        texts
            .iter()
            .filter_map(|text| classes.iter().position(|class| class == text))
            .map(|index| Label::Class(index as u32))
            .collect()
    };
    match task {
        "binary" => {
            let [first, second] = <[String; 2]>::try_from(classes).map_err(|classes| {
                invalid(format!("a binary task has two labels, but there are {}: {}", classes.len(), shown(&classes)))
            })?;
            let classes = match positive {
                "" => [first, second],
                positive if positive == second => [first, second],
                positive if positive == first => [second, first],
                other => {
                    return Err(invalid(format!("the positive label `{other}` is neither `{first}` nor `{second}`")));
                }
            };
            let labels = class_labels(&classes);
            Ok((Task::Binary { classes }, labels))
        }
        "multiclass" if classes.len() >= 2 => {
            let labels = class_labels(&classes);
            Ok((Task::Multiclass { classes }, labels))
        }
        "multiclass" => Err(invalid(format!("all labels are the same: {}", shown(&classes)))),
        "regression" if numbers => {
            let value = |cell: &Cell| match cell {
                Cell::Number(value) => Label::Value(*value),
                _ => Label::Value(f64::NAN),
            };
            Ok((Task::Regression, cells.iter().map(value).collect()))
        }
        "regression" => Err(invalid("a regression needs numbers as labels, but some are texts".into())),
        other => Err(invalid(format!("`{other}` is no task")).hint("use binary, multiclass or regression")),
    }
}

/// Numbers by size, then texts by the alphabet.
fn compare_labels(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

fn shown(classes: &[String]) -> String {
    let first: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
    format!("{}{}", first.join(", "), if classes.len() > 5 { ", …" } else { "" })
}

/// A cell as people read it.
pub fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Number(value) => value.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Missing => String::new(),
    }
}

/// A table as a JSON array of objects, one per line, with the fields in the order of the columns; [`read`] reads it back.
pub fn to_json(table: &Table) -> String {
    let field = |(column, cell): (&Column, &Cell)| {
        let value = serde_json::to_value(cell).unwrap_or(Value::Null);
        format!("{}:{value}", Value::String(column.name.clone()))
    };
    let record = |row: &Vec<Cell>| {
        let fields: Vec<String> = table.columns.iter().zip(row).map(field).collect();
        format!("{{{}}}", fields.join(","))
    };
    let records: Vec<String> = table.rows.iter().map(record).collect();
    format!("[{}]", records.join(",\n "))
}

/// Reads a cell that a person typed, for a column of this kind. Empty is missing.
pub fn cell_from_text(text: &str, column: &Column) -> Result<Cell, ApiError> {
    let text = text.trim();
    match column.kind {
        _ if text.is_empty() => Ok(Cell::Missing),
        ColumnKind::Categorical => Ok(Cell::Text(text.to_owned())),
        ColumnKind::Numeric => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Cell::Number(value)),
            _ => Err(invalid(format!("`{}` takes a number, but `{text}` is none", column.name))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_read_from_the_content() {
        let csv = read("\u{feff}age,purpose\n22,car\n,\"radio, TV\"\n").expect("CSV");
        let lines = read("{\"age\": 22, \"purpose\": \"car\"}\n\n{\"purpose\": \"radio, TV\", \"age\": null}")
            .expect("JSON Lines");
        let array = read(" [{\"age\": 22, \"purpose\": \"car\"}, {\"purpose\": \"radio, TV\"}]").expect("JSON");
        assert_eq!(csv, lines);
        assert_eq!(csv, array);
        assert_eq!(csv.rows[1], vec![Cell::Missing, Cell::Text("radio, TV".into())]);
    }

    #[test]
    fn columns_keep_the_order_of_the_text() {
        let table = read("[{\"b\": 1, \"a\": null}, {\"b\": 2, \"c\": \"x\", \"a\": 3}]").expect("JSON");
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
        assert_eq!(read(&to_json(&table)).expect("its own JSON"), table);
    }

    #[test]
    fn bad_tables_are_named() {
        let check = |text: &str, expect: &str| {
            let error = read(text).expect_err("bad table");
            assert!(error.message.contains(expect), "{}", error.message);
        };
        check("", "empty");
        check("a,b\n", "no rows");
        check("a,a\n1,2", "2 columns are called `a`");
        check("a,\n1,2", "has no name");
        check("a,b\n1", "cannot be read");
        check("{\"a\": 1}\n[2]", "line 2 is not a JSON object");
        check("[{\"a\": 1}, 2]", "expected a JSON object");
        check("{\"a\": {}}", "neither a number, a text nor null");
    }

    #[test]
    fn tasks_are_read_from_the_labels() {
        let texts = |values: &[&str]| -> Vec<Cell> { values.iter().map(|text| Cell::Text((*text).into())).collect() };
        let numbers = |values: &[f64]| -> Vec<Cell> { values.iter().map(|value| Cell::Number(*value)).collect() };
        let check = |cells: &[Cell], positive: &str, expect: &Task| {
            assert_eq!(&labels(cells, "", positive).expect("labels").0, expect);
        };
        check(&texts(&["good", "bad"]), "", &Task::Binary { classes: ["bad".into(), "good".into()] });
        check(&texts(&["good", "bad"]), "bad", &Task::Binary { classes: ["good".into(), "bad".into()] });
        check(
            &numbers(&[10.0, 9.0, 2.0]),
            "",
            &Task::Multiclass { classes: vec!["2".into(), "9".into(), "10".into()] },
        );
        check(&numbers(&[1.5, 2.5, 3.5]), "", &Task::Regression);
        assert!(labels(&texts(&["a", "b", "c"]), "binary", "").is_err());
        assert!(labels(&texts(&["a", "b"]), "regression", "").is_err());
        assert!(labels(&[Cell::Missing], "", "").is_err());
    }
}
