//! The command surface against the demo fleet and fake servers: what each screen gets, and how each failure is named.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion, also in what the tests share")]

mod discoveries;
mod drafts;
mod failures;
mod imports;
mod screens;
mod support;
