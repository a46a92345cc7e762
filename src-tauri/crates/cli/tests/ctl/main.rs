//! The real program against a real demo fleet: every command, its JSON, its exit code.

#![cfg(unix)]

mod answers;
mod config;
mod journey;
mod support;
