//! Errors of this crate. What must stay true: no message holds a secret or a header's value.

use std::path::PathBuf;

use pilothouse_domain::{Outcome, UnknownReason};

/// Settings with which no request can be made. All of these are ours, never the target's.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The file with further certificate authorities cannot be used.
    #[error("cannot use the certificate authority file `{}`: {problem}. Choose a readable PEM file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The client certificate or its key cannot be used.
    #[error("cannot use the client certificate: {0}. Choose a PEM certificate chain and its PEM private key")]
    ClientIdentity(String),
    /// The system's certificate authorities cannot be used.
    #[error("cannot load the system's certificate authorities: {0}. Install the package `ca-certificates`")]
    SystemRoots(String),
    /// The credential cannot be sent.
    #[error("cannot send the credential: {0}")]
    Credential(String),
    /// The target's settings cannot be used.
    #[error("cannot call the endpoint: {0}")]
    Target(String),
}

impl ServingError {
    /// The outcome under which this is recorded: always one of ours.
    pub const fn outcome(&self) -> Outcome {
        Outcome::Unknown(match self {
            Self::SystemRoots(_) => UnknownReason::Internal,
            Self::CaFile { .. } | Self::ClientIdentity(_) | Self::Credential(_) | Self::Target(_) => {
                UnknownReason::Misconfigured
            }
        })
    }
}

/// Why no prediction or no metadata came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", outcome.phrase())]
pub struct PredictFailure {
    /// Whose failure it is, and which.
    pub outcome: Outcome,
    /// What happened, to what; at most 300 characters, never with a secret.
    pub detail: String,
    /// The HTTP status, when an answer came.
    pub http_status: Option<u16>,
}
