//! What became stale: the only thing that events to the window say.

use std::fmt;

use pilothouse_domain::{EndpointId, RunId};

/// A part of the data that changed and should be read again by whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The Fleet screen.
    Fleet,
    /// One endpoint's health and events.
    Endpoint(EndpointId),
    /// One endpoint's evaluations.
    Quality(EndpointId),
    /// What one endpoint's server says of itself.
    Server(EndpointId),
    /// One endpoint's versions.
    Versions(EndpointId),
    /// One endpoint's rollbacks.
    Rollbacks(EndpointId),
    /// One rollback run.
    Run(RunId),
    /// The timeline.
    Timeline,
    /// The audit list.
    Audit,
    /// Secrets.
    Secrets,
    /// Settings.
    Settings,
    /// The demo fleet.
    Demo,
    /// Golden sets.
    GoldenSets,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Endpoint(id) => write!(f, "endpoint:{id}"),
            Self::Quality(id) => write!(f, "quality:{id}"),
            Self::Server(id) => write!(f, "server:{id}"),
            Self::Versions(id) => write!(f, "versions:{id}"),
            Self::Rollbacks(id) => write!(f, "rollbacks:{id}"),
            Self::Run(id) => write!(f, "run:{id}"),
            Self::Timeline => f.write_str("timeline"),
            Self::Audit => f.write_str("audit"),
            Self::Secrets => f.write_str("secrets"),
            Self::Settings => f.write_str("settings"),
            Self::Demo => f.write_str("demo"),
            Self::GoldenSets => f.write_str("golden_sets"),
        }
    }
}
