//! Explanations of a live endpoint: jobs with progress and cancel around the estimators of `explain`.
//!
//! What it hides: how table rows become numbers and back (categories are sent as the text they were), batching, requests
//! in flight. What must stay true: a job ends soon after it was cancelled; an explanation names its seed, its cost and
//! the version that answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pilothouse_domain::{Cell, ColumnKind, EndpointId, GoldenSet, Table, Task, TimestampMs, VersionId};
use pilothouse_explain::{
    Budget, Control, Cost, Explainer, Matrix, Model, ModelError, Progress, ShapleyExplanation, ShapleyRequest, cost,
    shapley,
};
use pilothouse_serving::ModelClient;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use crate::engine::lock;
use crate::evaluate::predict_error;
use crate::{Engine, EngineError, outputs_for_task};

/// Rows of the golden set that stand for "the average case".
const BACKGROUND_ROWS: usize = 50;
/// Rows per request of an explanation.
pub const EXPLAIN_ROWS_PER_REQUEST: usize = 500;
/// Requests in flight at once.
const REQUESTS_AT_ONCE: usize = 3;
/// Finished jobs that are kept for whoever asks.
const JOBS_KEPT: usize = 50;

/// Which row to explain.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainRow {
    /// A row of the golden set.
    Golden(u32),
    /// Any row, one cell per column.
    Cells(Vec<Cell>),
}

/// What to explain.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainTask {
    /// Endpoint.
    pub endpoint: EndpointId,
    /// Row.
    pub row: ExplainRow,
    /// Output index; `None`: the last class, or the value.
    pub output: Option<u32>,
    /// Largest number of model rows; `None`: automatic.
    pub budget: Option<u64>,
    /// Seed of the sampled estimator and of the choice of background rows.
    pub seed: u64,
}

/// An explanation with what belongs to it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The Shapley values.
    pub explanation: ShapleyExplanation,
    /// Output index explained.
    pub output: usize,
    /// Feature names.
    pub features: Vec<String>,
    /// The row.
    pub row: Vec<Cell>,
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Version that answered.
    pub version: Option<VersionId>,
    /// The background in words.
    pub background: String,
    /// Duration in milliseconds.
    pub elapsed_ms: u64,
    /// When it was started.
    pub at: TimestampMs,
}

/// How far a job is.
#[derive(Debug, Clone)]
pub enum JobState {
    /// Under way.
    Running {
        /// Model rows answered.
        done_rows: u64,
        /// Model rows planned.
        total_rows: u64,
    },
    /// Done.
    Done(Arc<Explained>),
    /// Failed.
    Failed(Arc<EngineError>),
    /// Stopped on request.
    Cancelled,
}

struct Job {
    number: u64,
    cancel: Arc<AtomicBool>,
    state: Arc<Mutex<JobState>>,
}

/// All jobs of this process.
#[derive(Default)]
pub(crate) struct Jobs {
    jobs: Mutex<HashMap<String, Job>>,
    started: AtomicU64,
}

impl Jobs {
    pub(crate) fn cancel_all(&self) {
        for job in lock(&self.jobs).values() {
            job.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn insert(&self, id: &str, cancel: &Arc<AtomicBool>, state: &Arc<Mutex<JobState>>) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut jobs = lock(&self.jobs);
        if jobs.len() >= JOBS_KEPT {
            let finished = |job: &Job| !matches!(*lock(&job.state), JobState::Running { .. });
            let oldest = jobs.iter().filter(|(_, job)| finished(job)).min_by_key(|(_, job)| job.number);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                jobs.remove(&oldest);
            }
        }
        jobs.insert(id.to_owned(), Job { number, cancel: Arc::clone(cancel), state: Arc::clone(state) });
    }
}

/// Everything that a run needs, gathered before it starts.
struct Prepared {
    client: Arc<ModelClient>,
    endpoint: String,
    golden_set: Arc<GoldenSet>,
    coding: Coding,
    background: Matrix,
    row: Vec<Cell>,
    output: usize,
    at: TimestampMs,
}

impl Engine {
    /// What an explanation would cost.
    pub async fn explain_cost(&self, task: &ExplainTask) -> Result<(Cost, u32, u32), EngineError> {
        let prepared = self.prepare_explanation(task).await?;
        let row = prepared.coding.encode(&prepared.row);
        let (handle, cancel) = (Handle::current(), AtomicBool::new(false));
        // Nothing is asked of the model here.
        let model = EndpointModel::new(&prepared, &handle, &cancel);
        let explainer = Explainer::new(&model, &prepared.background, None)?;
        let varying = explainer.varying(&row)?.iter().filter(|varies| **varies).count();
        let rows = explainer.background_rows();
        Ok((cost(rows, varying, budget(task)), rows as u32, varying as u32))
    }

    /// Starts an explanation. Its id is given back.
    pub async fn explain_start(&self, task: ExplainTask) -> Result<String, EngineError> {
        let prepared = self.prepare_explanation(&task).await?;
        let id = uuid::Uuid::new_v4().to_string();
        let cancel = Arc::new(AtomicBool::new(false));
        let state = Arc::new(Mutex::new(JobState::Running { done_rows: 0, total_rows: 0 }));
        self.inner.jobs.insert(&id, &cancel, &state);
        let handle = Handle::current();
        self.inner.tasks.spawn_blocking(move || {
            let outcome = explain(&prepared, &task, &handle, &cancel, &state);
            *lock(&state) = match outcome {
                Ok(explained) => JobState::Done(Arc::new(explained)),
                Err(EngineError::Cancelled) => JobState::Cancelled,
                Err(error) => JobState::Failed(Arc::new(error)),
            };
        });
        Ok(id)
    }

    /// How far a job is.
    pub fn explain_job(&self, id: &str) -> Result<JobState, EngineError> {
        let jobs = lock(&self.inner.jobs.jobs);
        let job = jobs.get(id).ok_or_else(|| EngineError::NotFound { what: "explanation", name: id.to_owned() })?;
        let state = lock(&job.state).clone();
        Ok(state)
    }

    /// Stops a job. A finished one stays as it is.
    pub fn explain_cancel(&self, id: &str) -> Result<(), EngineError> {
        let jobs = lock(&self.inner.jobs.jobs);
        let job = jobs.get(id).ok_or_else(|| EngineError::NotFound { what: "explanation", name: id.to_owned() })?;
        job.cancel.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare_explanation(&self, task: &ExplainTask) -> Result<Prepared, EngineError> {
        let watched = self.watched_or_ad_hoc(task.endpoint).await?;
        let endpoint = watched.endpoint.name.clone();
        let Some(config) = &watched.endpoint.evaluation else { return Err(EngineError::NoGoldenSet(endpoint)) };
        let golden_set = self.golden_set(config.golden_set).await?;
        let table = &golden_set.table;
        let row = match &task.row {
            ExplainRow::Golden(index) => table.rows.get(*index as usize).cloned().ok_or_else(|| {
                EngineError::NotFound { what: "golden row", name: format!("{index} (there are {})", table.rows.len()) }
            })?,
            ExplainRow::Cells(cells) if cells.len() == table.columns.len() => cells.clone(),
            ExplainRow::Cells(cells) => {
                let name = format!("row with {} cells (the model takes {})", cells.len(), table.columns.len());
                return Err(EngineError::NotFound { what: "usable", name });
            }
        };
        let outputs = output_names(&golden_set.task).len();
        let output = task.output.map_or(outputs - 1, |output| output as usize);
        if output >= outputs {
            return Err(EngineError::NotFound { what: "output", name: format!("{output} (there are {outputs})") });
        }
        let coding = Coding::new(table, &row);
        let mut order: Vec<usize> = (0..table.rows.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(task.seed));
        order.truncate(BACKGROUND_ROWS);
        let data = order.iter().flat_map(|&index| coding.encode(&table.rows[index])).collect();
        let background = Matrix { data, columns: table.columns.len() };
        let client = self.client_of(&watched).await?;
        Ok(Prepared { client, endpoint, golden_set, coding, background, row, output, at: self.now() })
    }
}

fn budget(task: &ExplainTask) -> Budget {
    task.budget.map_or(Budget::Auto, Budget::Rows)
}

/// Names of a task's outputs.
pub fn output_names(task: &Task) -> Vec<String> {
    match task.classes() {
        [] => vec!["value".to_owned()],
        classes => classes.to_vec(),
    }
}

fn explain(
    prepared: &Prepared,
    task: &ExplainTask,
    handle: &Handle,
    cancel: &AtomicBool,
    state: &Mutex<JobState>,
) -> Result<Explained, EngineError> {
    let started = Instant::now();
    let model = EndpointModel::new(prepared, handle, cancel);
    let row = prepared.coding.encode(&prepared.row);
    let progress = |progress: Progress| {
        *lock(state) = JobState::Running { done_rows: progress.done_rows, total_rows: progress.total_rows };
        if cancel.load(Ordering::Relaxed) { Control::Cancel } else { Control::Continue }
    };
    let request = ShapleyRequest {
        background: &prepared.background,
        weights: None,
        row: &row,
        budget: budget(task),
        seed: task.seed,
        batch_rows: EXPLAIN_ROWS_PER_REQUEST * REQUESTS_AT_ONCE,
        progress: &progress,
    };
    let explanation = shapley(&model, &request).map_err(|error| {
        // The model's own failure says more than the estimator's "the model failed".
        if cancel.load(Ordering::Relaxed) {
            EngineError::Cancelled
        } else {
            lock(&model.failure).take().unwrap_or(error.into())
        }
    })?;
    let golden_set = &prepared.golden_set;
    let version = lock(&model.version).clone();
    Ok(Explained {
        explanation,
        output: prepared.output,
        features: golden_set.table.columns.iter().map(|column| column.name.clone()).collect(),
        row: prepared.row.clone(),
        outputs: output_names(&golden_set.task),
        version,
        background: format!("{} rows of the golden set {}", prepared.background.rows(), golden_set.name),
        elapsed_ms: started.elapsed().as_millis() as u64,
        at: prepared.at,
    })
}

/// An endpoint as the estimators see it: rows of numbers in, rows of numbers out.
struct EndpointModel<'a> {
    prepared: &'a Prepared,
    handle: &'a Handle,
    cancel: &'a AtomicBool,
    version: Mutex<Option<VersionId>>,
    failure: Mutex<Option<EngineError>>,
}

impl<'a> EndpointModel<'a> {
    fn new(prepared: &'a Prepared, handle: &'a Handle, cancel: &'a AtomicBool) -> Self {
        Self { prepared, handle, cancel, version: Mutex::default(), failure: Mutex::default() }
    }
}

impl Model for EndpointModel<'_> {
    fn predict(&self, rows: &Matrix) -> Result<Matrix, ModelError> {
        let fail = |error: EngineError| {
            let text = error.to_string();
            *lock(&self.failure) = Some(error);
            ModelError::new(text)
        };
        let golden_set = &self.prepared.golden_set;
        let tables: Vec<Table> = (0..rows.rows())
            .map(|index| self.prepared.coding.decode(rows.row(index)))
            .collect::<Vec<_>>()
            .chunks(EXPLAIN_ROWS_PER_REQUEST)
            .map(|chunk| Table { columns: golden_set.table.columns.clone(), rows: chunk.to_vec() })
            .collect();
        let mut data = Vec::new();
        for group in tables.chunks(REQUESTS_AT_ONCE) {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(fail(EngineError::Cancelled));
            }
            let answers = self.handle.block_on(async {
                let mut requests = tokio::task::JoinSet::new();
                for (order, table) in group.iter().cloned().enumerate() {
                    let client = Arc::clone(&self.prepared.client);
                    requests.spawn(async move { (order, client.predict(&table).await) });
                }
                let mut answers = requests.join_all().await;
                answers.sort_by_key(|(order, _)| *order);
                answers
            });
            for (_, answer) in answers {
                let prediction = answer.map_err(|failure| fail(predict_error(&self.prepared.endpoint, failure)))?;
                let outputs = outputs_for_task(&golden_set.task, &prediction.rows)
                    .map_err(|why| fail(EngineError::Outputs { endpoint: self.prepared.endpoint.clone(), why }))?;
                let mut version = lock(&self.version);
                if version.is_some() && prediction.version.is_some() && *version != prediction.version {
                    let why = "another version went live during the explanation; start it again".to_owned();
                    return Err(fail(EngineError::Outputs { endpoint: self.prepared.endpoint.clone(), why }));
                }
                *version = prediction.version.or(version.take());
                data.extend(outputs.into_iter().map(|row| row[self.prepared.output]));
            }
        }
        Ok(Matrix { data, columns: 1 })
    }
}

/// How cells become numbers and back: numbers stay, categories become their index in a list made from all rows, and a
/// missing cell is NaN.
struct Coding {
    kinds: Vec<ColumnKind>,
    categories: Vec<Vec<Cell>>,
}

impl Coding {
    fn new(table: &Table, row: &[Cell]) -> Self {
        let kinds: Vec<ColumnKind> = table.columns.iter().map(|column| column.kind).collect();
        let categories = (0..kinds.len())
            .map(|column| {
                let mut seen: Vec<Cell> = Vec::new();
                for cells in table.rows.iter().map(Vec::as_slice).chain([row]) {
                    let is_coded = kinds[column] == ColumnKind::Categorical || matches!(cells[column], Cell::Text(_));
                    if is_coded && cells[column] != Cell::Missing && !seen.contains(&cells[column]) {
                        seen.push(cells[column].clone());
                    }
                }
                seen
            })
            .collect();
        Self { kinds, categories }
    }

    fn encode(&self, row: &[Cell]) -> Vec<f64> {
        row.iter()
            .zip(&self.categories)
            .map(|(cell, categories)| match (categories.iter().position(|known| known == cell), cell) {
                (Some(index), _) => index as f64,
                (None, Cell::Number(value)) => *value,
                (None, _) => f64::NAN,
            })
            .collect()
    }

    fn decode(&self, row: &[f64]) -> Vec<Cell> {
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
    use pilothouse_domain::Column;

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
        let coding = Coding::new(&table, &new);
        for row in table.rows.iter().chain([&new]) {
            assert_eq!(&coding.decode(&coding.encode(row)), row);
        }
    }
}
