//! The Explain tab.

use pilothouse_charts::Size;
use pilothouse_charts::waterfall::{Contribution, WaterfallChart};
use pilothouse_domain::{EndpointId, Table};
use pilothouse_engine::{ExplainRow, ExplainTask, Explained, JobState};

use crate::types::{
    Attribution, Empty, ExplainCost, ExplainJob, ExplainRequest, Explanation, Image, JobRequest, JobStarted,
    PredictRequest, PredictResponse, WaterfallRequest,
};
use crate::{Api, ApiError, Code, picture, tables};

/// Model rows per request, to tell the number of requests beforehand.
const ROWS_PER_REQUEST: u64 = pilothouse_engine::EXPLAIN_ROWS_PER_REQUEST as u64;

impl Api {
    /// What an explanation would cost.
    pub async fn explain_cost(&self, request: ExplainRequest) -> Result<ExplainCost, ApiError> {
        let id = EndpointId(request.id);
        let task = self.explain_task(request).await?;
        let (cost, background_rows, varying_features) = self.engine.explain_cost(&task).await?;
        // The golden set's evaluations tell how long this endpoint takes per row.
        let latest = self.engine.with_store(move |store| store.latest_evaluation(id, None)).await?;
        let estimated_ms = latest
            .filter(|evaluation| evaluation.n > 0)
            .map(|evaluation| u64::from(evaluation.elapsed_ms) * cost.model_rows / u64::from(evaluation.n));
        Ok(ExplainCost {
            model_rows: cost.model_rows,
            model_calls: cost.model_rows.div_ceil(ROWS_PER_REQUEST),
            estimator: cost.estimator.as_str().to_owned(),
            estimated_ms,
            background_rows,
            varying_features,
        })
    }

    /// Starts an explanation.
    pub async fn explain_start(&self, request: ExplainRequest) -> Result<JobStarted, ApiError> {
        let task = self.explain_task(request).await?;
        Ok(JobStarted { job: self.engine.explain_start(task).await? })
    }

    /// How far an explanation is.
    pub async fn explain_job(&self, request: JobRequest) -> Result<ExplainJob, ApiError> {
        Ok(match self.engine.explain_job(&request.job)? {
            JobState::Running { done_rows, total_rows } => ExplainJob::Running { done_rows, total_rows },
            JobState::Done(explained) => ExplainJob::Done { explanation: explanation(&explained) },
            JobState::Failed(error) => ExplainJob::Failed { error: ApiError::from_engine(&error) },
            JobState::Cancelled => ExplainJob::Cancelled,
        })
    }

    /// Stops an explanation.
    pub async fn explain_cancel(&self, request: JobRequest) -> Result<Empty, ApiError> {
        self.engine.explain_cancel(&request.job)?;
        Ok(Empty {})
    }

    /// The waterfall of an explanation.
    pub async fn waterfall(&self, request: WaterfallRequest) -> Result<Image, ApiError> {
        let contributions = request.explanation.attributions.into_iter().map(|attribution| Contribution {
            feature: attribution.feature,
            value: attribution.cell,
            attribution: attribution.value,
            low: attribution.low.unwrap_or(attribution.value),
            high: attribution.high.unwrap_or(attribution.value),
        });
        let data = WaterfallChart {
            base_value: request.explanation.base_value,
            prediction: request.explanation.prediction,
            contributions: contributions.collect(),
            top: request.top as usize,
        };
        let size = Size { width: request.width, height: request.height, scale: request.scale };
        let (theme, format) = (picture::theme(request.theme), request.format.into());
        let bytes = pilothouse_charts::waterfall::render(&data, size, &theme, format).map_err(picture::failed)?;
        Ok(picture::image(&bytes, request.format))
    }

    /// One prediction, for what-if.
    pub async fn predict(&self, request: PredictRequest) -> Result<PredictResponse, ApiError> {
        let id = EndpointId(request.id);
        let golden_set = self.golden_set_of(id).await?;
        let columns = &golden_set.table.columns;
        let row = cells(&request.cells, columns)?;
        let table = Table { columns: columns.clone(), rows: vec![row] };
        let (mut outputs, version) = self.engine.predict(id, &table).await?;
        Ok(PredictResponse {
            outputs: pilothouse_engine::output_names(&golden_set.task),
            values: outputs.pop().unwrap_or_default(),
            version: version.map(|version| version.to_string()),
        })
    }

    async fn explain_task(&self, request: ExplainRequest) -> Result<ExplainTask, ApiError> {
        let id = EndpointId(request.id);
        let row = match (request.index, &request.cells) {
            (Some(index), None) => ExplainRow::Golden(index),
            (None, Some(texts)) => {
                let golden_set = self.golden_set_of(id).await?;
                ExplainRow::Cells(cells(texts, &golden_set.table.columns)?)
            }
            _ => {
                return Err(ApiError::new(
                    Code::InvalidInput,
                    "an explanation takes either a golden row's index or cells",
                )
                .hint("give one of them"));
            }
        };
        Ok(ExplainTask { endpoint: id, row, output: request.output, budget: request.budget, seed: request.seed })
    }

    async fn golden_set_of(&self, id: EndpointId) -> Result<std::sync::Arc<pilothouse_domain::GoldenSet>, ApiError> {
        let endpoint = self.engine.endpoint(id).await?;
        let Some(config) = &endpoint.evaluation else {
            return Err(ApiError::from(pilothouse_engine::EngineError::NoGoldenSet(endpoint.name)));
        };
        Ok(self.engine.golden_set(config.golden_set).await?)
    }
}

fn cells(texts: &[String], columns: &[pilothouse_domain::Column]) -> Result<Vec<pilothouse_domain::Cell>, ApiError> {
    if texts.len() != columns.len() {
        let message = format!("the row has {} cells, but the model takes {}", texts.len(), columns.len());
        return Err(ApiError::new(Code::InvalidInput, message));
    }
    texts.iter().zip(columns).map(|(text, column)| tables::cell_from_text(text, column)).collect()
}

fn explanation(explained: &Explained) -> Explanation {
    let shapley = &explained.explanation;
    let attributions = shapley.attributions.first().into_iter().flatten();
    let named = attributions.zip(&explained.features).zip(&explained.row);
    Explanation {
        method: "shapley".to_owned(),
        estimator: shapley.estimator.clone(),
        seed: shapley.seed,
        output: explained.outputs.get(explained.output).cloned().unwrap_or_default(),
        base_value: shapley.base_value.first().copied().unwrap_or(f64::NAN),
        prediction: shapley.prediction.first().copied().unwrap_or(f64::NAN),
        outputs: shapley.prediction.clone(),
        attributions: named
            .map(|((attribution, feature), cell)| Attribution {
                feature: feature.clone(),
                cell: tables::cell_text(cell),
                value: attribution.value,
                low: attribution.low,
                high: attribution.high,
            })
            .collect(),
        model_calls: shapley.model_rows.div_ceil(ROWS_PER_REQUEST),
        model_rows: shapley.model_rows,
        elapsed_ms: explained.elapsed_ms,
        version: explained.version.as_ref().map(ToString::to_string),
        background: explained.background.clone(),
        at_ms: explained.at.0,
    }
}
