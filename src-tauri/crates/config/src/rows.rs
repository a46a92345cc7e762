//! Rows as text: CSV with a header, JSON Lines, or a JSON array of objects. The kind is read from the content, not the name.
//!
//! What must stay true: [`write()`] gives a text that [`read`] makes the very same table of, cell for cell.

use std::collections::BTreeMap;

use pilothouse_domain::{Cell, Column, ColumnKind, Table};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Rows a table may have, since it is held in memory as a whole.
pub const ROWS_MAX: usize = 5_000_000;

/// Kinds of columns that are said and not read from the cells, by the columns' names.
pub type Kinds = BTreeMap<String, ColumnKind>;

/// Why a text is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RowsError {
    /// What is wrong.
    pub problem: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

fn invalid(problem: impl Into<String>) -> RowsError {
    RowsError { problem: problem.into(), hint: None }
}

impl RowsError {
    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// Reads a table, which may have no rows. A column whose every present cell is a number is numeric; an empty CSV cell and
/// JSON `null` are missing. The cells of a column in `kinds` are taken as they stand: text in CSV, and what JSON says.
pub fn read(text: &str, kinds: &Kinds) -> Result<Table, RowsError> {
    let text = text.trim_start_matches('\u{feff}');
    let (names, rows) = match text.trim_start().chars().next() {
        None => return Err(invalid("the table is empty").hint("give CSV with a header line, or JSON Lines")),
        Some('{') => from_records(&json_lines(text)?)?,
        Some('[') => from_records(&json_array(text)?)?,
        Some(_) => csv_rows(text, kinds)?,
    };
    typed(names, rows, kinds)
}

/// A table of named columns from a reader of another format; each row has one cell per name.
pub fn from_cells(names: Vec<String>, rows: Vec<Vec<Cell>>, kinds: &Kinds) -> Result<Table, RowsError> {
    check_names(&names)?;
    check_size(rows.len())?;
    typed(names, rows, kinds)
}

/// A table as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// CSV where that is exact, else JSON Lines.
    pub text: String,
    /// The usual ending of a file's name: `csv` or `jsonl`.
    pub extension: &'static str,
    /// Columns whose kind the cells alone would not tell.
    pub kinds: Kinds,
}

/// Writes a table so that [`read`] gives the same one again. `None` for what no text can say: no columns and no rows, two
/// columns of one name, a number that is not finite.
pub fn write(table: &Table) -> Option<Written> {
    let forms = [("csv", csv_text(table)), ("jsonl", Some(json_lines_text(table)))];
    forms.into_iter().find_map(|(extension, text)| {
        let text = text?;
        let kinds = kinds_to_say(table, &text)?;
        (read(&text, &kinds).as_ref() == Ok(table)).then_some(Written { text, extension, kinds })
    })
}

/// The columns that would be read as something else if nothing were said.
fn kinds_to_say(table: &Table, text: &str) -> Option<Kinds> {
    let unsaid = read(text, &Kinds::new()).ok()?;
    let differs = |(index, column): &(usize, &Column)| {
        unsaid.columns.get(*index) != Some(*column)
            || table.rows.iter().zip(&unsaid.rows).any(|(wanted, read)| wanted.get(*index) != read.get(*index))
    };
    let columns = table.columns.iter().enumerate().filter(differs);
    Some(columns.map(|(_, column)| (column.name.clone(), column.kind)).collect())
}

fn csv_text(table: &Table) -> Option<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| column.name.as_str())).ok()?;
    for row in &table.rows {
        writer.write_record(row.iter().map(cell_text)).ok()?;
    }
    String::from_utf8(writer.into_inner().ok()?).ok()
}

/// Debug prints the shortest digits that read back, and an exponent where there are many.
fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Number(value) if value.fract() == 0.0 && value.abs() < 1e15 => value.to_string(),
        Cell::Number(value) => format!("{value:?}"),
        Cell::Text(text) => text.clone(),
        Cell::Missing => String::new(),
    }
}

fn json_lines_text(table: &Table) -> String {
    let field = |(column, cell): (&Column, &Cell)| {
        let value = serde_json::to_value(cell).unwrap_or(Value::Null);
        format!("{}:{value}", Value::String(column.name.clone()))
    };
    let record = |row: &Vec<Cell>| {
        let fields: Vec<String> = table.columns.iter().zip(row).map(field).collect();
        format!("{{{}}}\n", fields.join(","))
    };
    table.rows.iter().map(record).collect()
}

type Untyped = (Vec<String>, Vec<Vec<Cell>>);

fn csv_rows(text: &str, kinds: &Kinds) -> Result<Untyped, RowsError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| invalid(format!("the CSV header cannot be read: {error}")))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    check_names(&names)?;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| invalid(format!("the CSV cannot be read: {error}")))?;
        let row = names.iter().zip(record.iter()).map(|(name, text)| match (text, kinds.get(name)) {
            ("", _) => Ok(Cell::Missing),
            (text, Some(ColumnKind::Numeric)) => match number(text) {
                Some(value) => Ok(Cell::Number(value)),
                None => Err(invalid(format!("row {} of the numeric column `{name}` is no number", rows.len() + 1))),
            },
            (text, _) => Ok(Cell::Text(text.to_owned())),
        });
        let row = row.collect::<Result<_, _>>()?;
        rows.push(row);
        check_size(rows.len())?;
    }
    Ok((names, rows))
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn json_lines(text: &str) -> Result<Vec<Record>, RowsError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut records: Vec<Record> = Vec::new();
    for (number, line) in lines {
        let value = serde_json::from_str(line)
            .map_err(|error| invalid(format!("line {} is not a JSON object: {error}", number + 1)))?;
        records.push(value);
        check_size(records.len())?;
    }
    Ok(records)
}

fn json_array(text: &str) -> Result<Vec<Record>, RowsError> {
    let records: Vec<Record> =
        serde_json::from_str(text).map_err(|error| invalid(format!("the JSON array cannot be read: {error}")))?;
    check_size(records.len())?;
    Ok(records)
}

/// A JSON object with its fields in the order of the text: a model that takes positions needs its columns in theirs.
struct Record(Vec<(String, Value)>);

impl Record {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Record(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn from_records(records: &[Record]) -> Result<Untyped, RowsError> {
    let mut names: Vec<String> = Vec::new();
    for record in records {
        for (name, _) in &record.0 {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    check_names(&names)?;
    let mut rows = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let row = names.iter().map(|name| {
            record
                .get(name)
                .map_or(Some(Cell::Missing), cell)
                .ok_or_else(|| invalid(format!("record {}: `{name}` is neither a number, a text nor null", index + 1)))
        });
        rows.push(row.collect::<Result<_, _>>()?);
    }
    Ok((names, rows))
}

/// A JSON value as a cell; `None` for arrays and objects.
pub(crate) fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::Null => Some(Cell::Missing),
        Value::Number(number) => Some(number.as_f64().map_or(Cell::Missing, Cell::Number)),
        Value::String(text) => Some(Cell::Text(text.clone())),
        Value::Bool(flag) => Some(Cell::Text(flag.to_string())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn check_size(rows: usize) -> Result<(), RowsError> {
    if rows > ROWS_MAX {
        return Err(invalid(format!("the table has more than {ROWS_MAX} rows")).hint("take a sample of it"));
    }
    Ok(())
}

fn check_names(names: &[String]) -> Result<(), RowsError> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        if name.is_empty() {
            return Err(invalid("a column has no name").hint("give every column a name in the header line"));
        }
        *seen.entry(name).or_default() += 1;
    }
    match seen.iter().find(|(_, count)| **count > 1) {
        Some((name, count)) => Err(invalid(format!("{count} columns are called `{name}`"))),
        None => Ok(()),
    }
}

/// Makes numbers of the columns that hold nothing else, and leaves those whose kind is said as they are.
fn typed(names: Vec<String>, mut rows: Vec<Vec<Cell>>, kinds: &Kinds) -> Result<Table, RowsError> {
    if let Some(unknown) = kinds.keys().find(|name| !names.contains(name)) {
        return Err(
            invalid(format!("there is no column `{unknown}`")).hint("name in `columns` only columns of the rows")
        );
    }
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        if let Some(kind) = kinds.get(&name) {
            columns.push(Column { name, kind: *kind });
            continue;
        }
        let number = |cell: &Cell| match cell {
            Cell::Number(value) => Some(*value),
            Cell::Text(text) => number(text),
            Cell::Missing => None,
        };
        let present = || rows.iter().map(|row| &row[index]).filter(|cell| **cell != Cell::Missing);
        let is_numeric = present().next().is_some() && present().all(|cell| number(cell).is_some());
        let kind = if is_numeric { ColumnKind::Numeric } else { ColumnKind::Categorical };
        for row in &mut rows {
            row[index] = match (&row[index], is_numeric) {
                (cell, true) => number(cell).map_or(Cell::Missing, Cell::Number),
                (Cell::Number(value), false) => Cell::Text(value.to_string()),
                (cell, false) => cell.clone(),
            };
        }
        columns.push(Column { name, kind });
    }
    Ok(Table { columns, rows })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_cells_do_not_tell_is_said() {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let table = Table {
            columns: vec![
                column("age", ColumnKind::Numeric),
                column("code", ColumnKind::Categorical),
                column("empty", ColumnKind::Numeric),
            ],
            rows: vec![vec![Cell::Number(0.1), Cell::Text("007".into()), Cell::Missing]],
        };
        let written = write(&table).unwrap();
        assert_eq!((written.text.as_str(), written.extension), ("age,code,empty\n0.1,007,\n", "csv"));
        assert_eq!(written.kinds.keys().collect::<Vec<_>>(), ["code", "empty"]);
        let mut blank = table;
        blank.rows[0][1] = Cell::Text(String::new());
        assert_eq!(write(&blank).unwrap().extension, "jsonl", "CSV cannot tell an empty text from a missing one");
    }

    #[test]
    fn a_said_kind_is_held_to() {
        let kinds = Kinds::from([("age".to_owned(), ColumnKind::Numeric)]);
        let check =
            |text: &str, expect: &str| assert!(read(text, &kinds).unwrap_err().problem.contains(expect), "{text}");
        check("age\nold\n", "row 1 of the numeric column `age`");
        check("size\n1\n", "no column `age`");
    }

    fn cells() -> impl Strategy<Value = Cell> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Cell::Number),
            (-5_i32..5).prop_map(|value| Cell::Number(value.into())),
            "[ -~]{0,6}|[01]{1,3}|é\n\"|,".prop_map(Cell::Text),
            Just(Cell::Missing),
        ]
    }

    pub(crate) fn tables() -> impl Strategy<Value = Table> {
        let kind = prop_oneof![Just(ColumnKind::Numeric), Just(ColumnKind::Categorical)];
        let columns = prop::collection::btree_map("[a-z \\[\"]{1,4}", kind, 1..4);
        (columns, 1_usize..4).prop_flat_map(|(columns, rows)| {
            let width = columns.len();
            let columns: Vec<Column> = columns.into_iter().map(|(name, kind)| Column { name, kind }).collect();
            let rows = prop::collection::vec(prop::collection::vec(cells(), width), rows);
            rows.prop_map(move |rows| Table { columns: columns.clone(), rows })
        })
    }

    proptest! {
        /// Any table comes back cell for cell.
        #[test]
        fn writing_and_reading_gives_the_same_table(table in tables()) {
            let written = write(&table).expect("a table with columns and rows");
            prop_assert_eq!(read(&written.text, &written.kinds), Ok(table));
        }

        /// Whatever the text, there is a table or an error.
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|[\\[{]?[a,\"\n1:{}\\[\\]]*") {
            let _ = read(&text, &Kinds::new());
        }
    }
}
