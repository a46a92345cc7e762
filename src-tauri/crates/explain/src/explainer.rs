//! [`Explainer`]: one model and one background, many rows.

use crate::background::Background;
use crate::cost::{self, Plan, Refusal};
use crate::query::{Piece, Query};
use crate::sampled::Draw;
use crate::{
    Attribution, Budget, Control, EXACT_FEATURES_MAX, Estimator, ExplainError, Matrix, Model, Progress, RowOrigin,
    ShapleyExplanation, exact, sampled,
};

/// A request to explain one row.
pub struct ShapleyRequest<'a> {
    /// The rows that features are replaced from; typically 50 to 100 inputs the model usually sees.
    pub background: &'a Matrix,
    /// A weight of at least 0 per background row; all equal when absent.
    pub weights: Option<&'a [f64]>,
    /// The row to explain.
    pub row: &'a [f64],
    /// How much it may cost.
    pub budget: Budget,
    /// The seed of the sampling.
    pub seed: u64,
    /// Rows per call of the model; 1000 is a good size over HTTP. Without effect on the figures.
    pub batch_rows: usize,
    /// Told before and after every call; may stop the run.
    pub progress: &'a dyn Fn(Progress) -> Control,
}

/// The Shapley values of one row. To explain several rows against one background use [`Explainer`].
pub fn shapley(model: &dyn Model, request: &ShapleyRequest<'_>) -> Result<ShapleyExplanation, ExplainError> {
    let &ShapleyRequest { background, weights, row, budget, seed, batch_rows, progress } = request;
    Explainer::new(model, background, weights)?.explain(row, &Options { budget, seed, batch_rows, progress })
}

/// How to explain a row.
pub struct Options<'a> {
    /// How much it may cost.
    pub budget: Budget,
    /// The seed of the sampling.
    pub seed: u64,
    /// Rows per call of the model. Without effect on the figures.
    pub batch_rows: usize,
    /// Told before and after every call; may stop the run.
    pub progress: &'a dyn Fn(Progress) -> Control,
}

impl Default for Options<'_> {
    /// [`Budget::Auto`], seed 0, batches of 1000 rows, never stopped.
    fn default() -> Self {
        Self { budget: Budget::Auto, seed: 0, batch_rows: 1000, progress: &|_| Control::Continue }
    }
}

/// Explains rows of one model against one background. The background is predicted once, with the first row.
pub struct Explainer<'a> {
    model: &'a dyn Model,
    background: Background,
    /// The predictions for the background (rows × k) and k, once known.
    known: Option<(Vec<f64>, usize)>,
}

impl<'a> Explainer<'a> {
    /// Checks the background; does not call the model yet. `weights`: at least 0, one per row; all equal when absent.
    pub fn new(model: &'a dyn Model, background: &Matrix, weights: Option<&[f64]>) -> Result<Self, ExplainError> {
        Ok(Self { model, background: Background::new(background, weights)?, known: None })
    }

    /// Which features of `row` take part: those that differ from the background by the rule of `numpy.allclose`
    /// (relative 1e-5, absolute 1e-8, NaN equal to NaN).
    pub fn varying(&self, row: &[f64]) -> Result<Vec<bool>, ExplainError> {
        let (row_features, background) = (row.len(), self.background.rows.columns);
        if row_features != background {
            return Err(ExplainError::Columns { row: row_features, background });
        }
        Ok(self.background.varying(row))
    }

    /// The number of distinct background rows, as [`cost()`](crate::cost()) takes it.
    pub fn background_rows(&self) -> usize {
        self.background.len()
    }

    /// The Shapley values of `row`.
    pub fn explain(&mut self, row: &[f64], options: &Options<'_>) -> Result<ShapleyExplanation, ExplainError> {
        let varying = self.varying(row)?;
        if options.batch_rows == 0 {
            return Err(ExplainError::EmptyBatches);
        }
        let features: Vec<usize> = (0..row.len()).filter(|feature| varying[*feature]).collect();
        let plan = cost::plan(self.background.len(), features.len(), options.budget).map_err(|refusal| {
            match (refusal, options.budget) {
                (Refusal::BudgetTooSmall { needed }, Budget::Rows(rows)) => {
                    ExplainError::BudgetTooSmall { rows, needed }
                }
                _ => ExplainError::TooManyFeatures { varying: features.len(), max: EXACT_FEATURES_MAX },
            }
        })?;
        let draw = match plan {
            Plan::Exact => None,
            Plan::Pairs(pairs) => Some(Draw::new(&self.background, pairs, options.seed)),
        };
        let mixed_rows = draw.as_ref().map_or_else(
            || exact::mixed_rows(&self.background, row, &features),
            |draw| draw.mixed_rows(&self.background, row, &features),
        );
        let unknown_rows = if self.known.is_some() { 1 } else { self.background.len() as u64 + 1 };
        let mut query = Query {
            model: self.model,
            batch_rows: options.batch_rows,
            progress: options.progress,
            done_rows: 0,
            total_rows: unknown_rows + mixed_rows,
            calls: 0,
            outputs: self.known.as_ref().map(|(_, outputs)| *outputs),
        };
        let prediction = self.predict_known(&mut query, row)?;
        let (background_outputs, _) = self.known.as_ref().ok_or(ExplainError::NoBackground)?;
        let base_value = weighted_mean(background_outputs, &self.background.weights, prediction.len());
        let (estimator, mut attributions) = match draw {
            None => {
                let values =
                    exact::attribute(&mut query, &self.background, row, &features, background_outputs, &prediction)?;
                let exact = |output: usize| {
                    values
                        .iter()
                        .skip(output)
                        .step_by(prediction.len())
                        .map(|value| Attribution::exact(*value))
                        .collect()
                };
                (Estimator::Exact, (0..prediction.len()).map(exact).collect::<Vec<Vec<Attribution>>>())
            }
            Some(draw) => {
                let known = sampled::Known { background_outputs, prediction: &prediction, base: &base_value };
                let estimated = sampled::attribute(&mut query, &self.background, row, &features, draw, &known)?;
                (Estimator::AntitheticPermutation, estimated)
            }
        };
        for (output, attributions) in attributions.iter_mut().enumerate() {
            repair(attributions, &features, prediction[output], base_value[output]);
        }
        Ok(ShapleyExplanation {
            estimator: estimator.as_str().to_owned(),
            seed: options.seed,
            base_value,
            prediction,
            attributions,
            varying,
            model_calls: query.calls,
            model_rows: query.done_rows,
        })
    }

    /// Predicts the row, and the background if that was not done yet, in the same batches.
    fn predict_known(&mut self, query: &mut Query<'_>, row: &[f64]) -> Result<Vec<f64>, ExplainError> {
        let background = if self.known.is_some() { &[][..] } else { &self.background.rows.data[..] };
        let pieces = [
            Rows { data: background, columns: row.len(), given_index: Some(&self.background.given_index) },
            Rows { data: row, columns: row.len(), given_index: None },
        ];
        let mut answered: Vec<Vec<f64>> = Vec::new();
        query.run(row.len(), pieces.into_iter(), |_, answers| answered.push(answers.to_vec()))?;
        let prediction = answered.pop().unwrap_or_default();
        if self.known.is_none() {
            self.known = Some((answered.pop().unwrap_or_default(), prediction.len()));
        }
        Ok(prediction)
    }
}

/// Rows sent as they are.
struct Rows<'a> {
    data: &'a [f64],
    columns: usize,
    given_index: Option<&'a [usize]>,
}

impl Piece for Rows<'_> {
    fn push_rows(&self, rows: &mut Vec<f64>) -> usize {
        rows.extend_from_slice(self.data);
        self.data.len() / self.columns
    }

    fn origin(&self, index: usize) -> RowOrigin {
        self.given_index.map_or(RowOrigin::Explained, |given| RowOrigin::Background(given[index]))
    }
}

fn weighted_mean(outputs: &[f64], weights: &[f64], count: usize) -> Vec<f64> {
    let mut mean = vec![0.0; count];
    for (row, weight) in outputs.chunks_exact(count).zip(weights) {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += weight * value;
        }
    }
    mean
}

/// What rounding of sums may leave, relative to the values summed.
const ROUNDING: f64 = 1e-12;

/// Makes the attributions add up to the prediction minus the base value. What is missing is rounding, or the rest of an estimate from part of the
/// background, or what a model that is not deterministic makes up; it goes to each in proportion to its size, so that
/// a feature without effect keeps exactly 0, and evenly when all are 0.
fn repair(attributions: &mut [Attribution], varying: &[usize], prediction: f64, base: f64) {
    let size: f64 = varying.iter().map(|feature| attributions[*feature].value.abs()).sum();
    let missing = prediction - base - varying.iter().map(|feature| attributions[*feature].value).sum::<f64>();
    if size == 0.0 && missing.abs() <= ROUNDING * (prediction.abs() + base.abs()) {
        return;
    }
    for feature in varying {
        let attribution = &mut attributions[*feature];
        let share = if size > 0.0 { attribution.value.abs() / size } else { 1.0 / varying.len() as f64 };
        let change = missing * share;
        attribution.value += change;
        attribution.low = attribution.low.map(|low| low + change);
        attribution.high = attribution.high.map(|high| high + change);
    }
}
