//! What can go wrong here: inputs that do not fit together, and bytes that are not a sketch.

/// Inputs that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// Two columns that must have one entry per row differ in length.
    #[error("{what} has {found} rows where {expected} are due; pass one entry per row")]
    LengthMismatch {
        /// Which column.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The number of rows.
        expected: usize,
    },
    /// There is nothing to evaluate.
    #[error("there are no rows to evaluate; pass at least one labelled row")]
    NoRows,
    /// An output has another number of values than the task says.
    #[error("the output of row {row} has {found} values where the task has {expected}; check the model's output shape")]
    OutputShape {
        /// Index of the row.
        row: usize,
        /// How many values the output has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// An output is NaN or infinite.
    #[error("the output of row {row} is NaN or infinite; the model failed on this row")]
    NotFinite {
        /// Index of the row.
        row: usize,
    },
    /// A label is not one of the task's classes, or not a finite number in a regression.
    #[error(
        "the label of row {row} does not fit the task; use a class index of the task, or a finite number in a regression"
    )]
    Label {
        /// Index of the row.
        row: usize,
    },
    /// The measure is defined for another kind of task.
    #[error("{measure} needs a {needs} task; choose another measure for this golden set")]
    WrongTask {
        /// What was asked for.
        measure: &'static str,
        /// The task it is defined for.
        needs: &'static str,
    },
}

/// Bytes that are not a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// The first byte names a format that this program does not know.
    #[error("the latency sketch has format {0}, which this program does not know; open it with a newer Pilothouse")]
    Version(u8),
    /// The bytes end too early, go on too long, or contradict themselves.
    #[error("the latency sketch is damaged ({0}); the raw samples of that time are still exact")]
    Damaged(&'static str),
}
