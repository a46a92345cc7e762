//! Golden sets: import, list, and the rows of an endpoint's set beside its predictions.

use pilothouse_domain::{EndpointId, Evaluation, GoldenSet, GoldenSetId, Label, Task};
use pilothouse_engine::Topic;

use crate::types::{
    Empty, GoldenRow, GoldenRows, GoldenRowsRequest, GoldenSetImport, GoldenSetSummary, GoldenSets, RowPreset,
};
use crate::{Api, ApiError, Code, endpoint, tables};

/// Rows of a golden set: a live model is asked all of them again and again.
const GOLDEN_ROWS_MAX: usize = 100_000;

impl Api {
    /// Stores a labelled table as a golden set.
    pub async fn golden_set_import(&self, request: GoldenSetImport) -> Result<GoldenSetSummary, ApiError> {
        let name = request.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > 80 {
            return Err(ApiError::new(Code::InvalidInput, "a golden set's name has 1 to 80 characters"));
        }
        let mut table = tables::read(&request.text)?;
        if table.rows.len() > GOLDEN_ROWS_MAX {
            let message =
                format!("the table has {} rows, and a golden set at most {GOLDEN_ROWS_MAX}", table.rows.len());
            return Err(ApiError::new(Code::InvalidInput, message).hint("take a sample of it"));
        }
        let label_cells = tables::take_column(&mut table, request.label.trim())?;
        if table.columns.is_empty() {
            return Err(ApiError::new(Code::InvalidInput, "beside the labels the table has no column to predict from"));
        }
        let (task, labels) = tables::labels(&label_cells, request.task.trim(), request.positive.trim())?;
        let created = self.engine.now();
        let mut golden_set =
            GoldenSet { id: GoldenSetId(0), name, task, table, labels, created, source: request.source };
        let stored = golden_set.clone();
        golden_set.id = self.engine.with_store(move |store| store.add_golden_set(&stored)).await?;
        self.engine.announce(Topic::GoldenSets);
        Ok(endpoint::golden_set_summary(&golden_set))
    }

    /// Every golden set without its rows.
    pub async fn golden_sets(&self, _: Empty) -> Result<GoldenSets, ApiError> {
        let sets = self.engine.with_store(pilothouse_store::Store::golden_sets).await?;
        let golden_sets = sets.into_iter().map(|set| GoldenSetSummary {
            id: set.id.0,
            name: set.name,
            task: endpoint::task_word(&set.task).to_owned(),
            n: set.n,
        });
        Ok(GoldenSets { golden_sets: golden_sets.collect() })
    }

    /// Rows of the endpoint's golden set with its predictions.
    pub async fn golden_rows(&self, request: GoldenRowsRequest) -> Result<GoldenRows, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let config = endpoint.evaluation.as_ref().ok_or_else(|| {
            ApiError::new(Code::NotEnoughData, format!("`{}` has no golden set", endpoint.name))
                .hint("import one on its Accuracy tab")
        })?;
        let golden_set = self.engine.golden_set(config.golden_set).await?;
        let wanted = config.golden_set;
        let (latest, before) = self
            .engine
            .with_store(move |store| {
                let fits = |evaluation: &Evaluation| evaluation.golden_set == wanted;
                let latest = store.latest_evaluation(id, None)?.filter(fits);
                let mut before = None;
                for stretch in store.live_versions(id)? {
                    if latest.as_ref().is_some_and(|latest| latest.version.as_ref() != Some(&stretch.version)) {
                        before = store.latest_evaluation(id, Some(&stretch.version))?.filter(fits);
                        if before.is_some() {
                            break;
                        }
                    }
                }
                Ok((latest, before))
            })
            .await?;
        let mut rows = rows(&golden_set, latest.as_ref(), before.as_ref(), request.preset);
        let needle = request.search.trim().to_lowercase();
        if !needle.is_empty() {
            rows.retain(|row| row.cells.iter().chain([&row.label]).any(|cell| cell.to_lowercase().contains(&needle)));
        }
        let total = rows.len() as u32;
        let page = rows.into_iter().skip(request.offset as usize).take(request.limit.clamp(1, 500) as usize).collect();
        let version = |evaluation: Option<Evaluation>| {
            evaluation.and_then(|evaluation| evaluation.version).map(|v| v.to_string())
        };
        Ok(GoldenRows {
            columns: golden_set.table.columns.iter().map(|column| column.name.clone()).collect(),
            outputs: pilothouse_engine::output_names(&golden_set.task),
            total,
            rows: page,
            version: version(latest),
            against: version(before),
        })
    }
}

fn rows(
    golden_set: &GoldenSet,
    latest: Option<&Evaluation>,
    before: Option<&Evaluation>,
    preset: RowPreset,
) -> Vec<GoldenRow> {
    let of = |evaluation: Option<&Evaluation>, index: usize| evaluation.and_then(|e| e.predictions.get(index)).cloned();
    let mut rows: Vec<(f64, bool, GoldenRow)> = golden_set
        .table
        .rows
        .iter()
        .enumerate()
        .map(|(index, cells)| {
            let label = &golden_set.labels[index];
            let (prediction, earlier) = (of(latest, index), of(before, index));
            let hardness = prediction.as_ref().map_or(0.0, |prediction| hardness(label, prediction));
            let flipped = match (&prediction, &earlier) {
                (Some(now), Some(then)) => correct(label, now) != correct(label, then),
                _ => false,
            };
            let row = GoldenRow {
                index: index as u32,
                cells: cells.iter().map(tables::cell_text).collect(),
                label: label_text(&golden_set.task, label),
                correct: prediction.as_ref().and_then(|prediction| correct(label, prediction)),
                prediction,
                before: earlier,
            };
            (hardness, flipped, row)
        })
        .collect();
    match preset {
        RowPreset::All => {}
        RowPreset::Hardest => rows.sort_by(|a, b| b.0.total_cmp(&a.0)),
        RowPreset::Flipped => {
            rows.retain(|(_, flipped, _)| *flipped);
            rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        }
    }
    rows.into_iter().map(|(_, _, row)| row).collect()
}

/// How far off: 1 minus the probability of the right class, or the absolute error.
fn hardness(label: &Label, prediction: &[f64]) -> f64 {
    match label {
        Label::Class(class) => 1.0 - prediction.get(*class as usize).copied().unwrap_or(0.0),
        Label::Value(value) => prediction.first().map_or(0.0, |predicted| (predicted - value).abs()),
    }
}

/// Whether the right class is the first most probable one; `None` for regression.
fn correct(label: &Label, prediction: &[f64]) -> Option<bool> {
    let Label::Class(class) = label else { return None };
    // A binary tie goes to the positive class, as everywhere.
    let predicted = if let [negative, positive] = prediction {
        usize::from(positive >= negative)
    } else {
        let mut best = 0;
        for (index, probability) in prediction.iter().enumerate() {
            if *probability > prediction[best] {
                best = index;
            }
        }
        best
    };
    Some(predicted == *class as usize)
}

fn label_text(task: &Task, label: &Label) -> String {
    match label {
        Label::Class(class) => task.classes().get(*class as usize).cloned().unwrap_or_else(|| class.to_string()),
        Label::Value(value) => value.to_string(),
    }
}
