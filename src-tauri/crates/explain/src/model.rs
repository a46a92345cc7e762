//! The model that is explained.

use crate::Matrix;

/// A model as a function from rows to outputs.
///
/// It may be slow and far away; whoever implements it decides how a batch travels, for instance as several requests at
/// once. It must be deterministic, as Shapley values presume.
pub trait Model {
    /// The outputs of `rows` (n × features), as n × k with the same k for every call.
    fn predict(&self, rows: &Matrix) -> Result<Matrix, ModelError>;
}

/// Why the model gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ModelError {
    /// An error with a message for people: what happened, to what, and what to do next.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// The same with the error it comes from.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
