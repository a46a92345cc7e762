//! What can go wrong with an explanation.

use std::fmt;

use crate::ModelError;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The background has no rows (of positive weight).
    #[error("the background is empty: choose a golden set or a sample of recent inputs with at least one row")]
    NoBackground,
    /// The row and the background do not have the same number of features.
    #[error("the row has {row} features and the background {background}: both must come from the same columns")]
    Columns {
        /// Features of the row.
        row: usize,
        /// Features of the background.
        background: usize,
    },
    /// The weights of the background cannot be used.
    #[error("the background weights cannot be used: {why}; give one finite weight of at least 0 per row")]
    Weights {
        /// What is wrong with them.
        why: String,
    },
    /// Exact enumeration was asked for with too many varying features.
    #[error(
        "{varying} features differ from the background, and exact enumeration of more than {max} would take too many \
         rows: use a row budget instead"
    )]
    TooManyFeatures {
        /// Features that differ.
        varying: usize,
        /// The most that is enumerated.
        max: usize,
    },
    /// The row budget does not allow a single estimate.
    #[error("a budget of {rows} rows is too small: this explanation needs at least {needed}")]
    BudgetTooSmall {
        /// The budget, in model rows.
        rows: u64,
        /// The smallest budget that works, in model rows.
        needed: u64,
    },
    /// The batch size is zero.
    #[error("a batch of 0 rows cannot be sent: set the batch size to at least 1")]
    EmptyBatches,
    /// The model failed.
    #[error("the model did not answer a batch of {rows} rows: {source}")]
    Model {
        /// Rows in the batch.
        rows: usize,
        /// Why.
        source: ModelError,
    },
    /// The model's answer does not have one equally long row of outputs per row.
    #[error(
        "the model answered {got_values} values in rows of {got_columns} for {rows} rows; expected {rows} rows of \
         {expected}: check how the endpoint's outputs are read"
    )]
    OutputShape {
        /// Rows sent.
        rows: usize,
        /// Values received.
        got_values: usize,
        /// Values per row received.
        got_columns: usize,
        /// Values per row expected: those of earlier answers, or "at least 1".
        expected: String,
    },
    /// The model answered NaN or an infinity.
    #[error(
        "the model answered {value} as output {output} for {origin}, {}: explain a row the model can handle, or \
         remove such rows from the background",
        Shown(row)
    )]
    NonFiniteOutput {
        /// The answer.
        value: f64,
        /// Index of the output.
        output: usize,
        /// Where the row comes from.
        origin: RowOrigin,
        /// The row as it was sent.
        row: Vec<f64>,
    },
    /// The progress callback asked to stop.
    #[error("the explanation was cancelled")]
    Cancelled,
}

/// Where a row that was sent to the model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrigin {
    /// The row that is explained.
    Explained,
    /// A background row, by its index in the background as it was given.
    Background(usize),
    /// A mixture of the explained row and this background row.
    Mixed(usize),
}

impl fmt::Display for RowOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explained => write!(formatter, "the explained row"),
            Self::Background(index) => write!(formatter, "background row {index}"),
            Self::Mixed(index) => write!(formatter, "a mixture of the explained row and background row {index}"),
        }
    }
}

/// The first values of a row.
struct Shown<'a>(&'a [f64]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        write!(formatter, "[")?;
        for (index, value) in self.0.iter().take(SHOWN).enumerate() {
            write!(formatter, "{}{value}", if index == 0 { "" } else { ", " })?;
        }
        write!(formatter, "{}]", if self.0.len() > SHOWN { ", …" } else { "" })
    }
}
