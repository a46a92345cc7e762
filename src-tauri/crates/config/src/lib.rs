//! The whole set-up as readable TOML: endpoints, golden sets, settings worth sharing.
//!
//! What it is: text to [`Configuration`] ([`read`]), [`Configuration`] to text ([`write_file`], [`write_folder`]), and
//! what differs between two ([`Difference`]). What it hides: TOML, the forms in which rows are written, how a key that
//! nobody knows is found. Endpoints are read and written through the domain's own serde types, so that a new setting of
//! an endpoint is a new key here without a line of code.
//!
//! What must stay true:
//! - No input and no output: a caller hands in texts and gets texts back.
//! - Writing and reading again gives the same configuration, and the same configuration gives the same bytes.
//! - Secrets stand here only as `keyring:NAME`. What looks like a secret itself is refused, and no message repeats it.
//! - A key that nobody knows is refused with its line, never passed over.

mod configuration;
mod diff;
mod document;
mod error;
mod form;
mod golden;
mod keys;
mod plain_secret;
mod read;
pub mod rows;
mod toml_text;
mod write;

pub use configuration::{Configuration, ConfiguredEndpoint, RetentionDays, SourceFile};
pub use diff::{Difference, EndpointChange, FieldChange, GoldenSetChange};
pub use error::{ConfigError, Problem};
pub use golden::digest as golden_set_digest;
pub use read::{read, row_files};
pub use write::{HEAD, write_file, write_folder};
