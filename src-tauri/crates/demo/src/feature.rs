//! From a row of cells, as a client sends it, to the numbers that a model was trained on.
//!
//! What must stay true: a row that a trained pipeline would not understand (unknown category, missing value, text where
//! a number belongs) is refused with the column's name; nothing is guessed.

use pilothouse_domain::{Cell, Column, ColumnKind};
use serde::Deserialize;

/// Why a row cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}, column `{column}`: {problem}")]
pub(crate) struct RowError {
    /// Index of the row in the request.
    pub(crate) row: usize,
    /// The column's name.
    pub(crate) column: String,
    /// What is wrong and what is accepted.
    pub(crate) problem: String,
}

/// A change of the raw input before it is encoded, done by the serving pipeline only.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Preprocess {
    /// A change of unit.
    Scale {
        /// The numeric column.
        column: String,
        /// What its values are multiplied by.
        factor: f64,
    },
}

/// How one column becomes features.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "encode", rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// The number itself.
    Number {
        /// The column.
        column: String,
    },
    /// `(x - mean) / scale`, scikit-learn's `StandardScaler`.
    Standard {
        /// The column.
        column: String,
        /// Mean of the training rows.
        mean: f64,
        /// Standard deviation of the training rows.
        scale: f64,
    },
    /// The category's index, scikit-learn's `OrdinalEncoder`.
    Ordinal {
        /// The column.
        column: String,
        /// Known categories, in order.
        categories: Vec<String>,
    },
    /// One feature per category: 1 for the row's own, 0 for the others; scikit-learn's `OneHotEncoder`.
    OneHot {
        /// The column.
        column: String,
        /// Known categories, in order.
        categories: Vec<String>,
    },
}

impl Encoding {
    /// The column it reads.
    pub(crate) fn column(&self) -> &str {
        match self {
            Self::Number { column }
            | Self::Standard { column, .. }
            | Self::Ordinal { column, .. }
            | Self::OneHot { column, .. } => column,
        }
    }

    /// How many features it makes.
    #[cfg(test)]
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::OneHot { categories, .. } => categories.len(),
            _ => 1,
        }
    }

    fn encode(&self, cell: &Cell, features: &mut Vec<f64>) -> Result<(), String> {
        match self {
            Self::Number { .. } => features.push(number(cell)?),
            Self::Standard { mean, scale, .. } => features.push((number(cell)? - mean) / scale),
            Self::Ordinal { categories, .. } => features.push(category(cell, categories)? as f64),
            Self::OneHot { categories, .. } => {
                let found = category(cell, categories)?;
                features.extend((0..categories.len()).map(|at| if at == found { 1.0 } else { 0.0 }));
            }
        }
        Ok(())
    }
}

/// Encodes one row. `row` is its index in the request, for the message; `cells` stand in the order of `columns`.
pub(crate) fn encode(
    columns: &[Column],
    preprocess: &[Preprocess],
    encodings: &[Encoding],
    row: usize,
    cells: &[Cell],
) -> Result<Vec<f64>, RowError> {
    let refuse = |column: &str, problem: String| RowError { row, column: column.to_owned(), problem };
    let mut features = Vec::with_capacity(encodings.len());
    for encoding in encodings {
        let name = encoding.column();
        let cell = columns.iter().position(|c| c.name == name).and_then(|at| cells.get(at));
        let mut cell = cell.cloned().unwrap_or(Cell::Missing);
        for Preprocess::Scale { column, factor } in preprocess {
            if let (true, Cell::Number(value)) = (column == name, &mut cell) {
                *value *= factor;
            }
        }
        encoding.encode(&cell, &mut features).map_err(|problem| refuse(name, problem))?;
    }
    Ok(features)
}

/// The word for what a cell of this kind holds.
pub(crate) const fn kind_word(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Numeric => "number",
        ColumnKind::Categorical => "text",
    }
}

fn number(cell: &Cell) -> Result<f64, String> {
    match cell {
        // scikit-learn refuses values beyond the range of a 32-bit float for trees; linear models would overflow later.
        Cell::Number(value) if value.abs() <= f64::from(f32::MAX) => Ok(*value),
        Cell::Number(_) => Err("the number is not finite as a 32-bit float".to_owned()),
        Cell::Text(text) => Err(format!("a number is needed, not the text `{}`", shortened(text))),
        Cell::Missing => Err("a number is needed, and none was given".to_owned()),
    }
}

fn category(cell: &Cell, categories: &[String]) -> Result<usize, String> {
    let known = || categories.join("`, `");
    match cell {
        Cell::Text(text) => categories
            .iter()
            .position(|c| c == text)
            .ok_or_else(|| format!("unknown category `{}`; known are `{}`", shortened(text), known())),
        Cell::Number(value) => Err(format!("one of `{}` is needed, not the number {value}", known())),
        Cell::Missing => Err(format!("one of `{}` is needed, and none was given", known())),
    }
}

/// At most 60 characters of a client's text, for messages.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(60).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column { name: "colour".into(), kind: ColumnKind::Categorical },
            Column { name: "amount".into(), kind: ColumnKind::Numeric },
        ]
    }

    fn encodings() -> Vec<Encoding> {
        let categories = vec!["red".to_owned(), "green".to_owned(), "blue".to_owned()];
        vec![
            Encoding::Standard { column: "amount".into(), mean: 10.0, scale: 4.0 },
            Encoding::OneHot { column: "colour".into(), categories: categories.clone() },
            Encoding::Ordinal { column: "colour".into(), categories },
        ]
    }

    #[test]
    fn a_row_becomes_features_in_the_order_of_the_encodings() {
        let row = [Cell::Text("green".into()), Cell::Number(12.0)];
        assert_eq!(encode(&columns(), &[], &encodings(), 0, &row).unwrap(), [0.5, 0.0, 1.0, 0.0, 1.0]);
        let cents = [Preprocess::Scale { column: "amount".into(), factor: 100.0 }];
        assert_eq!(encode(&columns(), &cents, &encodings(), 0, &row).unwrap(), [297.5, 0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_row_that_cannot_be_understood_is_refused_by_column() {
        let check = |row: &[Cell], expect: &str| {
            let message = encode(&columns(), &[], &encodings(), 7, row).unwrap_err().to_string();
            assert!(message.starts_with("row 7, column `"), "{message}");
            assert!(message.contains(expect), "{message}");
        };
        let red = Cell::Text("red".into());
        check(&[red.clone(), Cell::Missing], "none was given");
        check(&[red.clone(), Cell::Text("many".into())], "not the text `many`");
        check(&[red.clone(), Cell::Number(1e39)], "not finite");
        check(&[red.clone(), Cell::Number(f64::NAN)], "not finite");
        check(&[red], "`amount`: a number is needed, and none was given");
        check(&[Cell::Text("pink".into()), Cell::Number(1.0)], "unknown category `pink`");
        check(&[Cell::Number(1.0), Cell::Number(1.0)], "not the number 1");
        check(&[Cell::Text("x".repeat(1000)), Cell::Number(1.0)], "…");
    }
}
