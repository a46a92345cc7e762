//! Golden sets and probe rows as configuration: rows as text within it or in a file beside it.

use std::fmt::Write as _;

use pilothouse_domain::{Cell, ColumnKind, GoldenSet, GoldenSetId, Label, Table, Task, TimestampMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::rows::Kinds;

/// Rows of a golden set: a live model is asked all of them again and again.
pub(crate) const GOLDEN_ROWS_MAX: usize = 100_000;

/// The keys that bring rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RowsForm {
    /// CSV, JSON Lines or a JSON array as text, or an array of tables.
    #[serde(default)]
    pub(crate) rows: Option<Value>,
    /// A file with the same, beside the one that names it.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Kinds of columns that the cells do not tell.
    #[serde(default)]
    pub(crate) columns: Kinds,
}

/// A golden set as a person writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GoldenForm {
    pub(crate) name: String,
    pub(crate) task: TaskWord,
    /// The labels in the order of the model's outputs; of two, the second is the positive one.
    #[serde(default)]
    pub(crate) classes: Vec<String>,
    /// The column with the right answers.
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    rows: Option<Value>,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    columns: Kinds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TaskWord {
    Binary,
    Multiclass,
    Regression,
}

impl TaskWord {
    pub(crate) fn of(task: &Task) -> &'static str {
        match task {
            Task::Binary { .. } => "binary",
            Task::Multiclass { .. } => "multiclass",
            Task::Regression => "regression",
        }
    }
}

impl GoldenForm {
    /// What brings its rows. Labels of classes are taken as text: `007` is a class and no number.
    pub(crate) fn rows(&self) -> RowsForm {
        let mut columns = self.columns.clone();
        if self.task != TaskWord::Regression {
            columns.insert(self.label.clone(), ColumnKind::Categorical);
        }
        RowsForm { rows: self.rows.clone(), file: self.file.clone(), columns }
    }

    /// The golden set with these rows, or which key is wrong and how.
    pub(crate) fn with_rows(self, mut table: Table) -> Result<GoldenSet, (&'static str, String)> {
        if table.rows.is_empty() || table.rows.len() > GOLDEN_ROWS_MAX {
            return Err(("rows", format!("a golden set has 1 to {GOLDEN_ROWS_MAX} rows; got {}", table.rows.len())));
        }
        let index = table.columns.iter().position(|column| column.name == self.label).ok_or_else(|| {
            let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            ("label", format!("there is no column `{}`; the columns are {}", self.label, known.join(", ")))
        })?;
        table.columns.remove(index);
        let cells: Vec<Cell> = table.rows.iter_mut().map(|row| row.remove(index)).collect();
        let task = self.task()?;
        let label = |(row, cell): (usize, &Cell)| match (&task, cell) {
            (Task::Regression, Cell::Number(value)) => Ok(Label::Value(*value)),
            (Task::Regression, _) => Err(("label", format!("row {} has no number as its label", row + 1))),
            (task, cell) => {
                let text = match cell {
                    Cell::Text(text) => text.clone(),
                    Cell::Number(value) => value.to_string(),
                    Cell::Missing => return Err(("label", format!("row {} has no label", row + 1))),
                };
                let class = task.classes().iter().position(|class| *class == text);
                class.map(|class| Label::Class(class as u32)).ok_or_else(|| {
                    ("classes", format!("row {} has the label `{text}`, which is none of the classes", row + 1))
                })
            }
        };
        let labels = cells.iter().enumerate().map(label).collect::<Result<_, _>>()?;
        let (id, created) = (GoldenSetId(0), TimestampMs(0));
        Ok(GoldenSet { id, name: self.name, task, table, labels, created, source: self.source })
    }

    fn task(&self) -> Result<Task, (&'static str, String)> {
        let distinct = (1..self.classes.len()).all(|at| !self.classes[..at].contains(&self.classes[at]));
        match (self.task, self.classes.as_slice()) {
            (TaskWord::Binary, [negative, positive]) if distinct => {
                Ok(Task::Binary { classes: [negative.clone(), positive.clone()] })
            }
            (TaskWord::Multiclass, [_, _, ..]) if distinct => Ok(Task::Multiclass { classes: self.classes.clone() }),
            (TaskWord::Regression, []) => Ok(Task::Regression),
            (TaskWord::Binary, _) => Err((
                "classes",
                "a binary task has two different classes, the positive one last, such as [\"bad\", \"good\"]".into(),
            )),
            (TaskWord::Multiclass, _) => Err((
                "classes",
                "a multiclass task names its different classes in the order of the model's outputs".into(),
            )),
            (TaskWord::Regression, _) => Err(("classes", "a regression has no classes".into())),
        }
    }
}

/// The rows of a golden set with their labels as one more column, and that column's name.
pub(crate) fn labelled(set: &GoldenSet) -> (Table, String) {
    let mut name = "label".to_owned();
    while set.table.columns.iter().any(|column| column.name == name) {
        name.push('_');
    }
    let mut table = set.table.clone();
    let kind = if set.task == Task::Regression { ColumnKind::Numeric } else { ColumnKind::Categorical };
    table.columns.push(pilothouse_domain::Column { name: name.clone(), kind });
    for (row, label) in table.rows.iter_mut().zip(&set.labels) {
        row.push(match label {
            Label::Value(value) => Cell::Number(*value),
            Label::Class(class) => {
                set.task.classes().get(*class as usize).map_or(Cell::Missing, |class| Cell::Text(class.clone()))
            }
        });
    }
    (table, name)
}

/// A short fingerprint of what a golden set holds, whatever its name: 12 hexadecimal digits of the SHA-256 of its task,
/// rows and labels.
pub fn digest(set: &GoldenSet) -> String {
    fingerprint(&(&set.task, &set.table, &set.labels))
}

/// The same of any value.
pub(crate) fn fingerprint(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    hexadecimal(&text, 6)
}

/// The first bytes of the SHA-256 of a text.
pub(crate) fn hexadecimal(text: &[u8], bytes: usize) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text).iter().take(bytes) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}
