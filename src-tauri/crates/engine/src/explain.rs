//! Explanations of a live endpoint: jobs with progress and cancel around the estimators of `explain`.
//!
//! What it hides: background work and its states. What must stay true: a job ends soon after it was cancelled; an
//! explanation names its seed, its cost and the version that answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pilothouse_domain::{Cell, EndpointId, GoldenSet, Task, TimestampMs, VersionId};
use pilothouse_explain::{
    Budget, Control, Cost, Explainer, Matrix, Progress, ShapleyExplanation, ShapleyRequest, cost, shapley,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use crate::engine::lock;
use crate::live_model::{Asked, Coding, LiveModel, OutputReading, ROWS_PER_BATCH};
use crate::{Engine, EngineError};

/// Rows of the golden set that stand for "the average case".
const BACKGROUND_ROWS: usize = 50;
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
    asked: Asked,
    golden_set: Arc<GoldenSet>,
    background: Matrix,
    row: Vec<Cell>,
    output: usize,
    at: TimestampMs,
}

impl Engine {
    /// What an explanation would cost.
    pub async fn explain_cost(&self, task: &ExplainTask) -> Result<(Cost, u32, u32), EngineError> {
        let prepared = self.prepare_explanation(task).await?;
        let row = prepared.asked.coding.encode(&prepared.row);
        let (handle, cancel) = (Handle::current(), AtomicBool::new(false));
        // Nothing is asked of the model here.
        let model = LiveModel::new(&prepared.asked, &handle, &cancel);
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
        let coding = Coding::new(table, [&row]);
        let order = background_rows(table.rows.len(), task.seed);
        let data = order.iter().flat_map(|&index| coding.encode(&table.rows[index])).collect();
        let background = Matrix { data, columns: table.columns.len() };
        let client = self.client_of(&watched).await?;
        let asked = Asked {
            client,
            name: endpoint,
            columns: table.columns.clone(),
            coding,
            reading: OutputReading::Task(golden_set.task.clone()),
            output: Some(output),
        };
        Ok(Prepared { asked, golden_set, background, row, output, at: self.now() })
    }
}

/// Which of a golden set's rows are the background.
pub(crate) fn background_rows(golden_rows: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..golden_rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order.truncate(BACKGROUND_ROWS);
    order
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
    let model = LiveModel::new(&prepared.asked, handle, cancel);
    let row = prepared.asked.coding.encode(&prepared.row);
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
        batch_rows: ROWS_PER_BATCH,
        progress: &progress,
    };
    let explanation = shapley(&model, &request).map_err(|error| {
        // The model's own failure says more than the estimator's "the model failed".
        if cancel.load(Ordering::Relaxed) {
            EngineError::Cancelled
        } else {
            model.take_failure().unwrap_or_else(|| error.into())
        }
    })?;
    let golden_set = &prepared.golden_set;
    Ok(Explained {
        explanation,
        output: prepared.output,
        features: golden_set.table.columns.iter().map(|column| column.name.clone()).collect(),
        row: prepared.row.clone(),
        outputs: output_names(&golden_set.task),
        version: model.version(),
        background: format!("{} rows of the golden set {}", prepared.background.rows(), golden_set.name),
        elapsed_ms: started.elapsed().as_millis() as u64,
        at: prepared.at,
    })
}
