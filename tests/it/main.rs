//! Integration tests against real servers, on loopback (see `servers/README.md`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions as well")]

mod aws;
mod crash;
mod engine_mlflow;
mod engine_mlserver;
mod gaps;
mod heavy;
mod mlflow_control;
mod mlserver;
mod secrets;
mod ssh;
mod stacks;
mod support;
