//! Every serving stack that can run here, put through the same steps against its real server.
//!
//! One test for each row of the table, so that each server is started once, and a failure names its stack.

pub(crate) mod apps;
pub(crate) mod conformance;
pub(crate) mod language;
pub(crate) mod metadata;
mod metrics;
mod open_inference;
mod sagemaker;
mod scoring;
pub(crate) mod server_view;
