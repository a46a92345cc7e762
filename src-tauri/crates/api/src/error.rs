//! What goes wrong, in a form that a consumer can act on without reading the message.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[ts(export_to = "types.ts")]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure; consumers match on this, never on the text.
    pub code: Code,
    /// What happened, to what.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// The closed set of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[ts(export_to = "types.ts")]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request itself is not valid.
    InvalidInput,
    /// What it names does not exist.
    NotFound,
    /// It contradicts what is there: name taken, run in progress, plan used, state changed.
    Conflict,
    /// The plan's preflight blocks it.
    Blocked,
    /// The keyring is locked.
    KeyringLocked,
    /// The keyring cannot be reached.
    KeyringUnavailable,
    /// The keyring holds no secret of that name.
    SecretMissing,
    /// The model endpoint failed.
    TargetFailed,
    /// The control plane failed or refused.
    ControlPlaneFailed,
    /// Too few rows or observations for an honest answer.
    NotEnoughData,
    /// Stopped on request.
    Cancelled,
    /// The database is in use, newer, damaged or out of space.
    Storage,
    /// A fault of this program.
    Internal,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
