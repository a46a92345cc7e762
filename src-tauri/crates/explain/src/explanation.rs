//! What an explanation is.

/// Shapley values of one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapleyExplanation {
    /// How they were computed: `exact` or `antithetic_permutation`.
    pub estimator: String,
    /// The seed of the sampling; the same seed gives the same figures. Without effect on `exact`.
    pub seed: u64,
    /// The weighted mean prediction over the background, one per output.
    pub base_value: Vec<f64>,
    /// The prediction for the explained row, one per output.
    pub prediction: Vec<f64>,
    /// The attributions, by output and then by feature. For every output they sum to `prediction - base_value`.
    pub attributions: Vec<Vec<Attribution>>,
    /// Whether each feature differs from the background; one that does not has the attribution 0.
    pub varying: Vec<bool>,
    /// Batches the model answered for this explanation.
    pub model_calls: u64,
    /// Rows the model answered for this explanation.
    pub model_rows: u64,
}

/// What one feature adds to one output, in the unit of that output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribution {
    /// The Shapley value, or its estimate.
    pub value: f64,
    /// The standard error of a sampled estimate; `None` when it is exact or when one sample cannot tell.
    pub standard_error: Option<f64>,
    /// The lower end of the 95 % interval, present with the standard error.
    pub low: Option<f64>,
    /// The upper end of the 95 % interval, present with the standard error.
    pub high: Option<f64>,
}

impl Attribution {
    pub(crate) const fn exact(value: f64) -> Self {
        Self { value, standard_error: None, low: None, high: None }
    }

    pub(crate) fn estimated(value: f64, standard_error: f64, quantile: f64) -> Self {
        let half_width = quantile * standard_error;
        Self {
            value,
            standard_error: Some(standard_error),
            low: Some(value - half_width),
            high: Some(value + half_width),
        }
    }
}
