//! Tables of model inputs, and golden sets: rows whose right answers are known.

use serde::{Deserialize, Serialize};

use crate::{GoldenSetId, TimestampMs};

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A category or text.
    Text(String),
    /// Absent (JSON `null`).
    Missing,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Numbers.
    Numeric,
    /// Categories, as text.
    Categorical,
}

/// A column's name and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The model's name for the feature.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// Rows of model inputs. Every row has one cell per column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Columns, in the order the model takes them.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Vec<Cell>>,
}

/// What a model predicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Two classes. Predictions are the probability of `positive`, or both probabilities in the order of `classes`.
    Binary {
        /// The two class labels: index 0 is the negative one.
        classes: [String; 2],
    },
    /// Several classes; predictions are one probability per class, in this order.
    Multiclass {
        /// The class labels.
        classes: Vec<String>,
    },
    /// One number.
    Regression,
}

impl Task {
    /// The class labels in the order of the outputs; empty for regression.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Binary { classes } => classes,
            Self::Multiclass { classes } => classes,
            Self::Regression => &[],
        }
    }
}

/// The right answer of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// Index of the right class in [`Task::classes`].
    Class(u32),
    /// The right value (regression).
    Value(f64),
}

/// Labelled rows. Never changed once stored: another content is another golden set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenSet {
    /// The store's number of it; 0 before it is stored.
    pub id: GoldenSetId,
    /// A unique name.
    pub name: String,
    /// What is predicted.
    pub task: Task,
    /// The inputs.
    pub table: Table,
    /// One right answer per row.
    pub labels: Vec<Label>,
    /// When it was stored.
    pub created: TimestampMs,
    /// Where the rows come from and under which licence.
    pub source: String,
}
