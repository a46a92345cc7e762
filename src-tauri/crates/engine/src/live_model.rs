//! A live model as the estimators of `explain` see it: rows of numbers in, rows of numbers out.
//!
//! What it hides: how table rows become numbers and back (categories are sent as the text they were), batching, requests
//! in flight. What must stay true: all answers of one explanation come from one version; a cancelled one ends soon.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_domain::{Cell, Column, ColumnKind, Table, Task, VersionId};
use pilothouse_explain::{Matrix, Model, ModelError};
use pilothouse_serving::ModelClient;
use tokio::runtime::Handle;

use crate::engine::lock;
use crate::evaluate::predict_error;
use crate::{EngineError, outputs_for_task};

/// Rows per request of an explanation.
pub const EXPLAIN_ROWS_PER_REQUEST: usize = 500;
/// Requests in flight at once.
const REQUESTS_AT_ONCE: usize = 3;
/// How often requests under way look whether they were cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Rows that are handed to the model at once.
pub(crate) const ROWS_PER_BATCH: usize = EXPLAIN_ROWS_PER_REQUEST * REQUESTS_AT_ONCE;

/// How a model's answers become numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputReading {
    /// As a task reads them: one probability per class, or one value.
    Task(Task),
    /// The numbers as they come; every row has equally many.
    Numbers,
}

impl OutputReading {
    fn read(&self, rows: &[Vec<Cell>]) -> Result<Vec<Vec<f64>>, String> {
        match self {
            Self::Task(task) => outputs_for_task(task, rows),
            Self::Numbers => rows.iter().enumerate().map(|(index, row)| numbers(index, row)).collect(),
        }
    }
}

fn numbers(index: usize, row: &[Cell]) -> Result<Vec<f64>, String> {
    let number = |cell: &Cell| match cell {
        Cell::Number(value) if value.is_finite() => Ok(*value),
        Cell::Text(text) => Err(format!(
            "row {index} is the text `{}`; name the model's classes to explain it",
            text.chars().take(40).collect::<String>()
        )),
        _ => Err(format!("row {index} holds something else than finite numbers")),
    };
    row.iter().map(number).collect()
}

/// What an explanation asks, and how the answers are read.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) client: Arc<ModelClient>,
    /// The endpoint's name, for messages.
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) coding: Coding,
    pub(crate) reading: OutputReading,
    /// The one output of interest; `None`: all.
    pub(crate) output: Option<usize>,
}

/// The model behind an endpoint.
pub(crate) struct LiveModel<'a> {
    asked: &'a Asked,
    handle: &'a Handle,
    cancel: &'a AtomicBool,
    requests: AtomicU64,
    version: Mutex<Option<VersionId>>,
    failure: Mutex<Option<EngineError>>,
}

impl<'a> LiveModel<'a> {
    pub(crate) fn new(asked: &'a Asked, handle: &'a Handle, cancel: &'a AtomicBool) -> Self {
        let (version, failure) = (Mutex::default(), Mutex::default());
        Self { asked, handle, cancel, requests: AtomicU64::new(0), version, failure }
    }

    /// The version that answered so far.
    pub(crate) fn version(&self) -> Option<VersionId> {
        lock(&self.version).clone()
    }

    /// Requests sent so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The model's own failure, which says more than an estimator's "the model failed".
    pub(crate) fn take_failure(&self) -> Option<EngineError> {
        lock(&self.failure).take()
    }

    fn fail(&self, error: EngineError) -> ModelError {
        let text = error.to_string();
        *lock(&self.failure) = Some(error);
        ModelError::new(text)
    }

    fn does_not_fit(&self, why: String) -> ModelError {
        self.fail(EngineError::Outputs { endpoint: self.asked.name.clone(), why })
    }

    /// One version answers a whole explanation.
    fn follow_version(&self, reported: Option<VersionId>) -> Result<(), ModelError> {
        let mut version = lock(&self.version);
        if version.is_some() && reported.is_some() && *version != reported {
            drop(version);
            return Err(
                self.does_not_fit("another version went live during the explanation; start it again".to_owned())
            );
        }
        *version = reported.or(version.take());
        Ok(())
    }
}

impl Model for LiveModel<'_> {
    fn predict(&self, rows: &Matrix) -> Result<Matrix, ModelError> {
        let tables: Vec<Table> = (0..rows.rows())
            .map(|index| self.asked.coding.decode(rows.row(index)))
            .collect::<Vec<_>>()
            .chunks(EXPLAIN_ROWS_PER_REQUEST)
            .map(|chunk| Table { columns: self.asked.columns.clone(), rows: chunk.to_vec() })
            .collect();
        let mut answered = Matrix::empty(0);
        for group in tables.chunks(REQUESTS_AT_ONCE) {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(self.fail(EngineError::Cancelled));
            }
            self.requests.fetch_add(group.len() as u64, Ordering::Relaxed);
            let answers = self.handle.block_on(async {
                let mut requests = tokio::task::JoinSet::new();
                for (order, table) in group.iter().cloned().enumerate() {
                    let client = Arc::clone(&self.asked.client);
                    requests.spawn(async move { (order, client.predict(&table).await) });
                }
                tokio::select! {
                    mut answers = requests.join_all() => {
                        answers.sort_by_key(|(order, _)| *order);
                        Some(answers)
                    }
                    // A server that hangs must not keep a cancelled job alive.
                    () = until_set(self.cancel) => None,
                }
            });
            let Some(answers) = answers else { return Err(self.fail(EngineError::Cancelled)) };
            for (_, answer) in answers {
                let prediction = answer.map_err(|failure| self.fail(predict_error(&self.asked.name, failure)))?;
                let outputs = self.asked.reading.read(&prediction.rows).map_err(|why| self.does_not_fit(why))?;
                self.follow_version(prediction.version)?;
                for row in outputs {
                    let row = match self.asked.output {
                        Some(output) => vec![*row.get(output).ok_or_else(|| {
                            self.does_not_fit(format!("it has {} outputs and number {output} was asked for", row.len()))
                        })?],
                        None => row,
                    };
                    if answered.columns != row.len() {
                        if answered.columns != 0 || row.is_empty() {
                            return Err(self.does_not_fit("its rows hold different numbers of outputs".to_owned()));
                        }
                        answered.columns = row.len();
                    }
                    answered.data.extend(row);
                }
            }
        }
        Ok(answered)
    }
}

/// Waits until a flag is set.
async fn until_set(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How cells become numbers and back: numbers stay, categories become their index in a list made from all rows, and a
/// missing cell is NaN.
#[derive(Clone)]
pub(crate) struct Coding {
    kinds: Vec<ColumnKind>,
    categories: Vec<Vec<Cell>>,
}

impl Coding {
    /// A coding of every cell of a background and of the rows to explain.
    pub(crate) fn new<'a>(background: &'a Table, explained: impl IntoIterator<Item = &'a Vec<Cell>>) -> Self {
        let kinds: Vec<ColumnKind> = background.columns.iter().map(|column| column.kind).collect();
        let mut categories: Vec<Vec<Cell>> = vec![Vec::new(); kinds.len()];
        for cells in background.rows.iter().chain(explained) {
            for ((cell, kind), seen) in cells.iter().zip(&kinds).zip(&mut categories) {
                let is_coded = *kind == ColumnKind::Categorical || matches!(cell, Cell::Text(_));
                if is_coded && *cell != Cell::Missing && !seen.contains(cell) {
                    seen.push(cell.clone());
                }
            }
        }
        Self { kinds, categories }
    }

    pub(crate) fn encode(&self, row: &[Cell]) -> Vec<f64> {
        row.iter()
            .zip(&self.categories)
            .map(|(cell, categories)| match (categories.iter().position(|known| known == cell), cell) {
                (Some(index), _) => index as f64,
                (None, Cell::Number(value)) => *value,
                (None, _) => f64::NAN,
            })
            .collect()
    }

    pub(crate) fn decode(&self, row: &[f64]) -> Vec<Cell> {
        row.iter()
            .enumerate()
            .map(|(column, value)| match (value.is_nan(), self.kinds[column]) {
                (true, _) => Cell::Missing,
                (false, ColumnKind::Numeric) if self.categories[column].is_empty() => Cell::Number(*value),
                (false, _) => self.categories[column].get(*value as usize).cloned().unwrap_or(Cell::Missing),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_their_coding() {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let text = |text: &str| Cell::Text(text.into());
        let table = Table {
            columns: vec![column("purpose", ColumnKind::Categorical), column("amount", ColumnKind::Numeric)],
            rows: vec![vec![text("car"), Cell::Number(1.5)], vec![text("radio/TV"), Cell::Missing]],
        };
        let new = vec![text("boat"), Cell::Number(-2.0)];
        let coding = Coding::new(&table, [&new]);
        for row in table.rows.iter().chain([&new]) {
            assert_eq!(&coding.decode(&coding.encode(row)), row);
        }
    }

    #[test]
    fn answers_without_a_task_are_numbers() {
        let rows = [vec![Cell::Number(0.25), Cell::Number(0.75)]];
        assert_eq!(OutputReading::Numbers.read(&rows), Ok(vec![vec![0.25, 0.75]]));
        let error = OutputReading::Numbers.read(&[vec![Cell::Text("bad".into())]]).expect_err("a text");
        assert!(error.contains("name the model's classes"), "{error}");
    }
}
