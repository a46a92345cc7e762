//! What can go wrong with a control plane, sorted by what it says about the model that is live.
//!
//! What must stay true: only [`ControlError::Ambiguous`] may have changed anything; texts hold no credential.

/// A control plane's failure. The message says what happened, to what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A setting cannot work. Nothing was sent.
    #[error("the control plane's setting `{setting}` {problem}")]
    Misconfigured {
        /// Its name in the configuration file.
        setting: &'static str,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// No answer, and nothing was changed: a connection failed, a command could not be started, or a read timed out.
    #[error("{to} could not be reached: {why}. Nothing was changed; check that it runs and that its address is right.")]
    Unreachable {
        /// What was to be reached.
        to: String,
        /// Why not.
        why: String,
    },
    /// Definitely not carried out.
    #[error("{by} refused{}: {why}. Nothing was changed; {}", status_in_brackets(*.status), .reason.next_step())]
    Refused {
        /// Who refused.
        by: String,
        /// Why, as a closed list.
        reason: Refusal,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// Why, in the words of the one who refused, or ours.
        why: String,
    },
    /// Sent, and perhaps carried out: the connection broke or the answer told of an inner failure.
    #[error(
        "{to} may or may not have carried out the call{}: {why}. Read its present state before doing anything else.",
        status_in_brackets(*.status)
    )]
    Ambiguous {
        /// Where it was sent.
        to: String,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// What happened.
        why: String,
    },
    /// A read was answered with something that the wire format does not know.
    #[error(
        "{from} gave an answer that cannot be used{}: {why}. Check that the address is its base URL and its version is supported.",
        status_in_brackets(*.status)
    )]
    Unreadable {
        /// Who answered.
        from: String,
        /// The HTTP status.
        status: Option<u16>,
        /// What is wrong with the answer.
        why: String,
    },
}

impl ControlError {
    /// Whether the control plane may have been changed all the same.
    pub const fn may_have_changed(&self) -> bool {
        matches!(self, Self::Ambiguous { .. })
    }

    /// Why it was refused, if it was.
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            _ => None,
        }
    }
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// HTTP 401 or 407: no credential, or one that is not accepted.
    Unauthenticated,
    /// HTTP 403: the credential is accepted but may not do this.
    Forbidden,
    /// HTTP 404: no such model or version.
    NotFound,
    /// Something else is live than the plan expects.
    Changed,
    /// HTTP 429.
    RateLimited,
    /// A redirect, which is never followed with a credential.
    Redirected,
    /// The stored plan is not what the present settings would give.
    PlanOutdated,
    /// Any other refusal: the call as such is not accepted.
    Invalid,
}

impl Refusal {
    const fn next_step(self) -> &'static str {
        match self {
            Self::Unauthenticated => "set or replace the control plane's credential in the settings.",
            Self::Forbidden => "ask the owner of the control plane for the right to change this model.",
            Self::NotFound => "check the model's name and pick a version from its list.",
            Self::Changed => "make a new plan from the present state.",
            Self::RateLimited => "wait a little and try again.",
            Self::Redirected => "set the address that it redirects to as the control plane's address.",
            Self::PlanOutdated => "make a new plan.",
            Self::Invalid => "check the control plane's settings and its own log.",
        }
    }
}

fn status_in_brackets(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (HTTP {status})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_who_what_and_the_next_step() {
        let error = ControlError::Refused {
            by: "MLflow at http://127.0.0.1:5000".into(),
            reason: Refusal::Forbidden,
            status: Some(403),
            why: "Permission denied".into(),
        };
        assert_eq!(
            error.to_string(),
            "MLflow at http://127.0.0.1:5000 refused (HTTP 403): Permission denied. Nothing was changed; ask the owner of \
             the control plane for the right to change this model."
        );
        assert!(!error.may_have_changed());
        let error = ControlError::Ambiguous { to: "x".into(), status: None, why: "connection reset".into() };
        assert!(error.may_have_changed());
        assert_eq!(error.refusal(), None);
    }
}
