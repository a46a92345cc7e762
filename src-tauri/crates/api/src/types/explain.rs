//! The Explain tab.

use super::border;

border! {
    /// Asks for golden rows.
    pub struct GoldenRowsRequest {
        /// Endpoint.
        pub id: i64,
        /// Which rows.
        pub preset: RowPreset,
        /// Free-text search in the cells; empty: all.
        pub search: String,
        /// First row.
        pub offset: u32,
        /// At most so many.
        pub limit: u32,
    }

    /// Which rows come first.
    #[derive(Copy, Eq)]
    pub enum RowPreset {
        /// In the set's order.
        All,
        /// Wrong, most confident first (regression: largest error first).
        Hardest,
        /// Correctness changed since the version before.
        Flipped,
    }

    /// Golden rows.
    pub struct GoldenRows {
        /// Feature names.
        pub columns: Vec<String>,
        /// Output names: classes, or `value`.
        pub outputs: Vec<String>,
        /// Rows that match.
        pub total: u32,
        /// The page.
        pub rows: Vec<GoldenRow>,
        /// Version of the predictions shown, if known.
        pub version: Option<String>,
        /// Version compared with, for `flipped`.
        pub against: Option<String>,
    }

    /// One golden row.
    pub struct GoldenRow {
        /// Index in the golden set.
        pub index: u32,
        /// Cells as text.
        pub cells: Vec<String>,
        /// The right answer.
        pub label: String,
        /// Model's outputs, if evaluated.
        pub prediction: Option<Vec<f64>>,
        /// Outputs of the version compared with.
        pub before: Option<Vec<f64>>,
        /// Whether the prediction is right; `null` for regression.
        pub correct: Option<bool>,
    }

    /// What to explain.
    pub struct ExplainRequest {
        /// Endpoint.
        pub id: i64,
        /// Index in the golden set; `null` when `cells` are given.
        pub index: Option<u32>,
        /// Cells as text, in the order of the columns.
        pub cells: Option<Vec<String>>,
        /// Output to explain; `null`: the last class, or the value.
        pub output: Option<u32>,
        /// Largest number of model rows; `null`: automatic.
        pub budget: Option<u64>,
        /// Seed of the sampled estimator.
        pub seed: u64,
    }

    /// What a run would cost.
    pub struct ExplainCost {
        /// Model rows.
        pub model_rows: u64,
        /// Requests.
        pub model_calls: u64,
        /// `exact` or `antithetic_permutation`.
        pub estimator: String,
        /// Estimate from this endpoint's own speed; `null` when unknown.
        pub estimated_ms: Option<u64>,
        /// Rows of the background.
        pub background_rows: u32,
        /// Features that vary.
        pub varying_features: u32,
    }

    /// A job was started.
    #[derive(Eq)]
    pub struct JobStarted {
        /// Its id.
        pub job: String,
    }

    /// Names one job.
    #[derive(Eq)]
    pub struct JobRequest {
        /// Its id.
        pub job: String,
    }

    /// How far an explanation is.
    #[serde(tag = "state")]
    pub enum ExplainJob {
        /// Under way.
        Running {
            /// Model rows answered.
            done_rows: u64,
            /// Model rows planned.
            total_rows: u64,
        },
        /// Done.
        Done {
            /// The explanation.
            explanation: Explanation,
        },
        /// Failed.
        Failed {
            /// Why.
            error: crate::ApiError,
        },
        /// Stopped on request.
        Cancelled,
    }

    /// Shapley values of one row.
    pub struct Explanation {
        /// `shapley`.
        pub method: String,
        /// `exact` or `antithetic_permutation`.
        pub estimator: String,
        /// Seed.
        pub seed: u64,
        /// Output explained.
        pub output: String,
        /// Mean prediction over the background.
        pub base_value: f64,
        /// Prediction of the row.
        pub prediction: f64,
        /// All outputs of the row.
        pub outputs: Vec<f64>,
        /// One per feature, in the model's order.
        pub attributions: Vec<Attribution>,
        /// Requests made.
        pub model_calls: u64,
        /// Rows sent.
        pub model_rows: u64,
        /// Duration.
        pub elapsed_ms: u64,
        /// Version that answered.
        pub version: Option<String>,
        /// Rows of the background and where they come from.
        pub background: String,
        /// When it was made.
        pub at_ms: i64,
    }

    /// One feature's share.
    pub struct Attribution {
        /// Feature.
        pub feature: String,
        /// The row's value as text.
        pub cell: String,
        /// Shapley value.
        pub value: f64,
        /// Lower end of its 95 % interval; `null` when exact.
        pub low: Option<f64>,
        /// Upper end.
        pub high: Option<f64>,
    }

    /// Asks for the waterfall of an explanation that was made.
    pub struct WaterfallRequest {
        /// The explanation.
        pub explanation: Explanation,
        /// Features shown by name; the rest is summed.
        pub top: u32,
        /// Width in CSS pixels.
        pub width: u32,
        /// Height in CSS pixels.
        pub height: u32,
        /// Device pixels per CSS pixel (PNG only).
        pub scale: f32,
        /// Colours.
        pub theme: super::ChartTheme,
        /// `svg` or `png`.
        pub format: super::ImageFormat,
    }

    /// A picture.
    #[derive(Eq)]
    pub struct Image {
        /// SVG text, or base64 of the PNG.
        pub image: String,
        /// `image/svg+xml` or `image/png`.
        pub media_type: String,
    }

    /// What-if: one row to predict.
    #[derive(Eq)]
    pub struct PredictRequest {
        /// Endpoint.
        pub id: i64,
        /// Cells as text, in the order of the columns.
        pub cells: Vec<String>,
    }

    /// The model's answer.
    pub struct PredictResponse {
        /// Output names.
        pub outputs: Vec<String>,
        /// Values.
        pub values: Vec<f64>,
        /// Version that answered.
        pub version: Option<String>,
    }
}
