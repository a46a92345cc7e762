//! Cells and rows, to JSON and from it.
//!
//! What must stay true: numbers survive exactly (shortest round-trip form); bare `NaN` and `Infinity`, which Python
//! servers write although JSON has none, are understood as "not a number" and do not make an answer unreadable.

use std::borrow::Cow;
use std::fmt;

use pilothouse_domain::Cell;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::bounded_json;
use crate::prediction::{NAME_LIMIT, SHOWN_OUTPUTS};
use crate::text::one_line;

/// Appends a cell as JSON. A number that JSON cannot hold becomes `null`.
pub(super) fn write_cell(out: &mut Vec<u8>, cell: &Cell) {
    match cell {
        Cell::Number(number) => write_number(out, *number),
        Cell::Text(text) => write_text(out, text),
        Cell::Missing => out.extend_from_slice(b"null"),
    }
}

/// Appends a number, with a fraction or exponent always present so that it is read as a float.
pub(super) fn write_number(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, &number);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends a JSON string.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(&mut *out, text);
}

/// Appends items between brackets.
pub(super) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// The cells of any JSON value in the order of their writing: a scalar is one cell; arrays and the values of objects are
/// flattened.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct FlatCells(pub(super) Vec<Cell>);

impl<'de> Deserialize<'de> for FlatCells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut cells = Vec::new();
        CellSink(&mut cells).deserialize(deserializer)?;
        Ok(Self(cells))
    }
}

struct CellSink<'a>(&'a mut Vec<Cell>);

impl<'de> DeserializeSeed<'de> for CellSink<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSink<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, texts, lists or objects of them")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(Cell::Number(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(Cell::Number(value as f64));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(Cell::Number(value as f64));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push(Cell::Number(f64::from(u8::from(value))));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.push(Cell::Text(value.to_owned()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(Cell::Missing);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(CellSink(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<serde::de::IgnoredAny>()?.is_some() {
            members.next_value_seed(CellSink(self.0))?;
        }
        Ok(())
    }
}

/// As [`CellSink`], and keeps the names of an object's members for the first [`SHOWN_OUTPUTS`] cells.
struct NamedCellSink<'a> {
    cells: &'a mut Vec<Cell>,
    names: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for NamedCellSink<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Everything but an object is as it is without names.
macro_rules! as_without_names {
    ($($visit:ident: $value:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $value) -> Result<(), E> {
            CellSink(self.cells).$visit(value)
        })*
    };
}

impl<'de> Visitor<'de> for NamedCellSink<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CellSink(&mut Vec::new()).expecting(f)
    }

    as_without_names!(visit_f64: f64, visit_i64: i64, visit_u64: u64, visit_bool: bool, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        CellSink(self.cells).visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        CellSink(self.cells).visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            members.next_value_seed(CellSink(self.cells))?;
            let named = self.cells.len().min(SHOWN_OUTPUTS);
            let name = one_line(&name, NAME_LIMIT);
            self.names.resize(named.max(self.names.len()), name);
        }
        Ok(())
    }
}

/// A list whose items each become one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rows {
    /// The rows.
    pub(super) cells: Vec<Vec<Cell>>,
    /// What the first row calls its first values; empty where it is no object.
    pub(super) names: Vec<String>,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                loop {
                    let mut row = Vec::new();
                    let is_first = rows.cells.is_empty();
                    let more = if is_first {
                        items.next_element_seed(NamedCellSink { cells: &mut row, names: &mut rows.names })?
                    } else {
                        items.next_element_seed(CellSink(&mut row))?
                    };
                    if more.is_none() {
                        return Ok(rows);
                    }
                    // A row of one cell has room for four until then.
                    row.shrink_to_fit();
                    rows.cells.push(row);
                }
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// Parses JSON, and if that fails, JSON in which bare `NaN` and infinities are read as `null`.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    bounded_json::from_slice(body).or_else(|error| match without_bare_constants(body) {
        Cow::Owned(repaired) => bounded_json::from_slice(&repaired),
        Cow::Borrowed(_) => Err(error),
    })
}

fn without_bare_constants(body: &[u8]) -> Cow<'_, [u8]> {
    const CONSTANTS: [&[u8]; 4] = [b"NaN", b"-NaN", b"Infinity", b"-Infinity"];
    let mut repaired: Option<Vec<u8>> = None;
    let (mut index, mut in_text) = (0, false);
    while index < body.len() {
        let rest = &body[index..];
        let constant = CONSTANTS.iter().find(|constant| !in_text && rest.starts_with(constant));
        if let Some(constant) = constant {
            repaired.get_or_insert_with(|| body[..index].to_vec()).extend_from_slice(b"null");
            index += constant.len();
            continue;
        }
        // In a text, a backslash takes the next byte with it.
        let length = if in_text && rest[0] == b'\\' { rest.len().min(2) } else { 1 };
        if rest[0] == b'"' {
            in_text = !in_text;
        }
        if let Some(repaired) = &mut repaired {
            repaired.extend_from_slice(&rest[..length]);
        }
        index += length;
    }
    repaired.map_or(Cow::Borrowed(body), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(value: f64) -> Cell {
        Cell::Number(value)
    }

    #[test]
    fn rows_keep_the_order_of_their_writing() {
        let rows: Rows = parse(br#"[1, true, "a", null, [2, [3]], {"z": 4, "a": 5}]"#).unwrap();
        assert_eq!(
            rows.cells,
            [
                vec![number(1.0)],
                vec![number(1.0)],
                vec![Cell::Text("a".into())],
                vec![Cell::Missing],
                vec![number(2.0), number(3.0)],
                vec![number(4.0), number(5.0)],
            ]
        );
    }

    #[test]
    fn the_first_row_names_its_values() {
        let check = |body: &str, expect: &[&str]| {
            let rows: Rows = parse(body.as_bytes()).unwrap();
            assert_eq!(rows.names, expect, "{body}");
        };
        check(r#"[{"z": 4, "a\n": 5}, {"other": 6}]"#, &["z", "a"]);
        check(r#"[{"box": [1, 2], "score": 0.5}]"#, &["box", "box", "score"]);
        check(r#"[{"none": [], "score": 0.5}]"#, &["score"]);
        check(r#"[{"all": [1, 2, 3, 4, 5, 6, 7, 8, 9]}]"#, &["all"; 8]);
        check("[1, 2]", &[]);
        check("[[1, 2]]", &[]);
        check("[]", &[]);
    }

    #[test]
    fn bare_constants_are_missing_numbers() {
        let rows: Rows = parse(br#"[NaN, -Infinity, "NaN \" NaN", Infinity, 1]"#).unwrap();
        let text = Cell::Text("NaN \" NaN".into());
        assert_eq!(rows.cells.concat(), [Cell::Missing, Cell::Missing, text, Cell::Missing, number(1.0)]);
        assert!(parse::<Rows>(b"[nan]").is_err());
    }

    proptest! {
        /// Every finite number survives writing and reading exactly.
        #[test]
        fn numbers_survive(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let mut out = Vec::new();
            write_list(&mut out, [value], write_number);
            prop_assert_eq!(parse::<FlatCells>(&out).unwrap().0, [number(value)]);
        }

        #[test]
        fn texts_survive(text in ".*") {
            let mut out = Vec::new();
            write_cell(&mut out, &Cell::Text(text.clone()));
            prop_assert_eq!(parse::<FlatCells>(&out).unwrap().0, [Cell::Text(text)]);
        }
    }
}
