//! Integration tests against real servers, on loopback (see `servers/README.md`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions as well")]

mod mlflow_control;
mod mlserver;
