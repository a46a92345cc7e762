//! The demo fleet: four small trained models behind real HTTP on loopback, with faults to inject.
//!
//! What it is: model servers that a person without any of their own can watch, break and repair. `credit-risk`,
//! `diagnosis` and `wine` speak the Open Inference Protocol V2, `diabetes` speaks MLflow's scoring protocol, and a small
//! registry lists the versions of each and switches the live one. What it hides: how the models are stored and
//! evaluated. What must stay true: every answer is computed by a trained model, as scikit-learn computes it; nothing is
//! reachable from outside this machine; no input makes a server panic.

mod catalog;
mod control;
mod fault;
mod feature;
mod fleet;
mod frame;
mod live;
mod mlflow;
mod model;
mod open_inference;
mod reply;
mod tensor;
mod tree;

pub use catalog::golden_sets;
pub use fault::Fault;
pub use fleet::{DemoEndpoint, DemoFleet};

/// Why the demo fleet could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port that was asked for cannot be listened on.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port or stop what uses it")]
    Listen {
        /// The port; 0 means that any free one would have done.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The port asked for leaves no room for the ports after it.
    #[error("port {port} is too high: the fleet takes {needed} ports from it on; choose {highest} or lower")]
    PortTooHigh {
        /// The port asked for.
        port: u16,
        /// Ports needed, the first included.
        needed: u16,
        /// The highest port that works.
        highest: u16,
    },
    /// The fleet has no such model.
    #[error("the demo fleet has no model `{model}`; it has {known}")]
    UnknownModel {
        /// The name asked for.
        model: String,
        /// The names that exist.
        known: String,
    },
    /// The model has no such version.
    #[error("model `{model}` has no version `{version}`; it has {known}")]
    UnknownVersion {
        /// The model.
        model: String,
        /// The version asked for.
        version: String,
        /// The versions that exist.
        known: String,
    },
    /// The live version is not the one the caller thought it was, so nothing was switched.
    #[error("the live version of `{model}` is `{live}`, not `{expected}`; read it again before switching")]
    LiveChanged {
        /// The model.
        model: String,
        /// What is live.
        live: String,
        /// What the caller expected.
        expected: String,
    },
    /// The model has no defective version to ship.
    #[error("model `{model}` has no defective version; inject `version_defect` into `credit-risk`")]
    NoDefectiveVersion {
        /// The model.
        model: String,
    },
    /// A fault's setting is out of range, or its word is unknown.
    #[error("fault {problem}")]
    InvalidFault {
        /// What is wrong and what is accepted.
        problem: String,
    },
}
