//! The command surface: what the window and the command line can ask of the engine.
//!
//! What it is: one table of all commands ([`commands!`]), their requests and responses, [`ApiError`], and [`Api`] with one
//! method per command. What it hides: the engine and the store. What must stay true: any screen can be rebuilt from
//! commands alone; no command returns a secret; a consumer never has to read a message to know what happened.

#![expect(clippy::unused_async, reason = "every command is async: the table calls them all in one way")]

mod api;
mod auth;
mod chart;
pub mod commands;
mod configuration;
mod connect;
mod connect_many;
mod convert;
mod demo;
mod deployment;
mod detected;
mod discovery;
mod endpoint;
mod error;
mod explain;
mod fleet;
mod fleet_changes;
mod generation;
mod golden;
mod import;
mod model;
mod network;
mod picture;
pub mod places;
mod prompts;
mod rollback;
mod secrets;
mod server;
mod server_chart;
mod settings;
pub mod tables;
mod timeline;
pub mod types;
mod versions;

pub use api::{Api, OpenError};
pub use auth::auth_draft;
pub use connect::{parse_server_url, parse_url};
pub use convert::{outcome_reason, outcome_word, prediction_result};
pub use detected::json_draft;
pub use discovery::{discover, discovery_places};
pub use error::{ApiError, Code};
pub use model::health_facets;
pub use network::{network_draft, proxy_url};
pub use prompts::{generation_result, prompt_set_draft};
