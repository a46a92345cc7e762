//! Explanations of rows of a table, asked directly of a model: for callers that wait for the answer, with or without an
//! endpoint in the database.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pilothouse_domain::{Cell, EndpointId, Table, VersionId};
use pilothouse_explain::{Budget, Control, Explainer, Matrix, Options, ShapleyExplanation};
use pilothouse_serving::ModelClient;
use tokio::runtime::Handle;

use crate::explain::background_rows;
use crate::live_model::{Asked, Coding, LiveModel, OutputReading, ROWS_PER_BATCH};
use crate::{Engine, EngineError};

/// What to explain.
#[derive(Debug, Clone, PartialEq)]
pub struct TableExplanation {
    /// The model's name in messages.
    pub name: String,
    /// The average cases.
    pub background: Table,
    /// Rows to explain, with the background's columns.
    pub rows: Vec<Vec<Cell>>,
    /// How the model's answers become numbers.
    pub reading: OutputReading,
    /// Cost of the whole call: [`Budget::Rows`] is divided among the rows.
    pub budget: Budget,
    /// Seed of the sampled estimator.
    pub seed: u64,
}

/// Explanations of all outputs.
#[derive(Debug, Clone)]
pub struct ExplainedTable {
    /// One per explained row.
    pub explanations: Vec<ShapleyExplanation>,
    /// The version that answered, if it says.
    pub version: Option<VersionId>,
    /// Requests sent.
    pub model_calls: u64,
    /// Duration in milliseconds.
    pub elapsed_ms: u64,
}

/// Explains rows of a table. Answers when all are done.
pub async fn explain_table(client: Arc<ModelClient>, request: TableExplanation) -> Result<ExplainedTable, EngineError> {
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || explain(client, &request, &handle))
        .await
        .map_err(|error| EngineError::Internal(error.to_string()))?
}

fn explain(
    client: Arc<ModelClient>,
    request: &TableExplanation,
    handle: &Handle,
) -> Result<ExplainedTable, EngineError> {
    let started = Instant::now();
    let coding = Coding::new(&request.background, &request.rows);
    let columns = request.background.columns.clone();
    let data = request.background.rows.iter().flat_map(|row| coding.encode(row)).collect();
    let background = Matrix { data, columns: columns.len() };
    let asked =
        Asked { client, name: request.name.clone(), columns, coding, reading: request.reading.clone(), output: None };
    let cancel = AtomicBool::new(false);
    let model = LiveModel::new(&asked, handle, &cancel);
    let budget = match request.budget {
        Budget::Rows(rows) => Budget::Rows(rows / (request.rows.len() as u64).max(1)),
        other => other,
    };
    let options = Options { budget, seed: request.seed, batch_rows: ROWS_PER_BATCH, progress: &|_| Control::Continue };
    // One explainer for all rows: the model's answers for the background are asked once.
    let mut explainer = Explainer::new(&model, &background, None)?;
    let mut explanations = Vec::with_capacity(request.rows.len());
    for row in &request.rows {
        let explanation = explainer.explain(&asked.coding.encode(row), &options);
        explanations.push(explanation.map_err(|error| model.take_failure().unwrap_or_else(|| error.into()))?);
    }
    Ok(ExplainedTable {
        explanations,
        version: model.version(),
        model_calls: model.requests(),
        elapsed_ms: started.elapsed().as_millis() as u64,
    })
}

impl Engine {
    /// Explains rows of an endpoint's golden set against the same background rows as its Explain tab.
    pub async fn explain_golden_rows(
        &self,
        id: EndpointId,
        indices: &[u32],
        budget: Budget,
        seed: u64,
    ) -> Result<ExplainedTable, EngineError> {
        let endpoint = self.endpoint(id).await?;
        let Some(config) = &endpoint.evaluation else { return Err(EngineError::NoGoldenSet(endpoint.name)) };
        let golden_set = self.golden_set(config.golden_set).await?;
        let table = &golden_set.table;
        let row = |index: &u32| {
            table.rows.get(*index as usize).cloned().ok_or_else(|| EngineError::NotFound {
                what: "golden row",
                name: format!("{index} (there are {})", table.rows.len()),
            })
        };
        let background = background_rows(table.rows.len(), seed).into_iter().map(|index| table.rows[index].clone());
        let request = TableExplanation {
            name: endpoint.name.clone(),
            background: Table { columns: table.columns.clone(), rows: background.collect() },
            rows: indices.iter().map(row).collect::<Result<_, _>>()?,
            reading: OutputReading::Task(golden_set.task.clone()),
            budget,
            seed,
        };
        let client = Arc::new(self.model_client(&endpoint).await?);
        explain_table(client, request).await
    }
}
