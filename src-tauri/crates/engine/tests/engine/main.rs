//! The engine against real HTTP on loopback: fake servers for faults, and the demo fleet for everything that has a model.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion, also in what the tests share")]

mod configuration;
mod deployments;
mod explain;
mod facets;
mod metrics;
mod outcomes;
mod quality;
mod recovery;
mod rollback;
mod scheduling;
mod settings;
mod support;
