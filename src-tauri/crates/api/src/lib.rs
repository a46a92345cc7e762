//! The command surface: what the window and the command line can ask of the engine.
//!
//! What it is: one table of all commands ([`commands!`]), their requests and responses, and [`ApiError`]. What it hides:
//! the engine and the store. What must stay true: any screen can be rebuilt from commands alone; no command returns a
//! secret; a consumer never has to read a message to know what happened.

pub mod commands;
mod error;
pub mod types;

pub use error::{ApiError, Code};
