//! Journeys in the real window, on a virtual display, with a real keyring; `cargo xtask test --only window` runs them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions as well")]

mod journey_connect;
mod journey_demo;
mod journey_restart;
mod journey_stacks;
mod keyring;
mod leaks;
mod pictures;
mod refusals;
mod window;
