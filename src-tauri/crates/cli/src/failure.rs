//! How a command ends when it has no answer: a code for programs, a message and a hint for people, an exit code for shells.

use pilothouse_api::{ApiError, Code, OpenError};
use pilothouse_engine::EngineError;

/// How a command ends that has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Good,
    /// Exit code 1: down, blocked, not verified.
    BadNews,
}

impl Answer {
    /// Good when the condition holds.
    pub(crate) fn good_if(condition: bool) -> Self {
        if condition { Self::Good } else { Self::BadNews }
    }
}

/// A command without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    pub(crate) exit: u8,
}

impl Failure {
    /// The caller's own mistake: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        ApiError::new(Code::InvalidInput, message).into()
    }

    /// Ours: exit code 3.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        ApiError::new(Code::Internal, message).into()
    }

    /// The same with what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    pub(crate) fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// The exit code that belongs to a kind of failure.
fn exit_code(code: Code) -> u8 {
    match code {
        Code::Blocked | Code::TargetFailed | Code::ControlPlaneFailed => 1,
        Code::InvalidInput | Code::NotFound | Code::Conflict | Code::SecretMissing | Code::NotEnoughData => 2,
        Code::KeyringLocked | Code::KeyringUnavailable | Code::Cancelled | Code::Storage | Code::Internal => 3,
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { exit: exit_code(error.code), error }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let hint = match &error {
            EngineError::NoGoldenSet(_) => {
                Some("store one with `pilothousectl golden import` and name it with --golden")
            }
            EngineError::NoControlPlane(_) => Some("name it with --control-plane when the endpoint is added"),
            EngineError::NoTarget(_) => Some("name the version with --to"),
            EngineError::NotConfirmed { .. } => Some("give the endpoint's exact name to --confirm"),
            _ => None,
        };
        let mut failure = Self::from(ApiError::from(error));
        failure.error.hint = hint.map(str::to_owned).or(failure.error.hint);
        failure
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        ApiError::new(Code::Storage, error.to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_kind_of_failure() {
        let check = |code, expect| assert_eq!(Failure::from(ApiError::new(code, "")).exit, expect, "{code:?}");
        check(Code::InvalidInput, 2);
        check(Code::NotFound, 2);
        check(Code::TargetFailed, 1);
        check(Code::Blocked, 1);
        check(Code::Storage, 3);
        check(Code::KeyringUnavailable, 3);
    }
}
