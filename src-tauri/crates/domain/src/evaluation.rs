//! A golden set run against one version: metrics with their intervals.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, EvaluationId, GoldenSetId, TimestampMs, VersionId};

/// One estimate with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The field's standard name: `accuracy`, `f1`, `rmse`, …
    pub name: String,
    /// The estimate; `None` when undefined, then `why` says why.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub high: Option<f64>,
    /// How the interval was made: `wilson`, `bootstrap(1000, seed 7)`.
    pub method: String,
    /// Why the value or the interval is missing.
    pub why: Option<String>,
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The store's number of it; 0 before it is stored.
    pub id: EvaluationId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The golden set.
    pub golden_set: GoldenSetId,
    /// The version that answered, if known.
    pub version: Option<VersionId>,
    /// When it was made.
    pub at: TimestampMs,
    /// Rows evaluated.
    pub n: u32,
    /// The metrics; the first is the main one (`accuracy`, or `r2` for regression).
    pub metrics: Vec<Metric>,
    /// The model's output per row, in the golden set's order: class probabilities, or one value for regression.
    /// A row of class labels without probabilities is stored one-hot.
    pub predictions: Vec<Vec<f64>>,
    /// How long the model took for all rows, in milliseconds.
    pub elapsed_ms: u32,
}

impl Evaluation {
    /// The main metric.
    pub fn main(&self) -> Option<&Metric> {
        self.metrics.first()
    }
}
