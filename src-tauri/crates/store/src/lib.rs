//! Everything Pilothouse remembers, in one SQLite file.
//!
//! What it is: [`Store`], a cheap handle that any thread may clone; one file per table beside it, each with the SQL of
//! that table. What it hides: the only SQL of the project, the schema and its migrations, the writer thread and its
//! batches, the rollups and which of them answers a question.
//!
//! What must stay true:
//! - One writer thread owns the only connection that writes; readers are opened read-only.
//! - Whatever a method other than [`Store::append_probe`] reports as done is on the disk (write-ahead log, synchronous
//!   `FULL`). A kill at any instant loses at most the last unflushed batch of probes.
//! - Rollups change in the same transaction as the samples they sum up, and percentiles come from merged sketches, never
//!   from averages of percentiles.
//! - All reading of raw samples goes through `probes.rs`, so that old days can later be sealed elsewhere.
//! - No bytes found in a file can make this crate panic.

mod audit;
mod deployments;
mod endpoints;
mod error;
mod evaluations;
mod events;
mod fleet;
mod generations;
mod golden_sets;
mod health;
mod health_facets;
mod history;
mod json;
mod live_versions;
mod migrations;
mod open;
mod probes;
mod readers;
mod retention;
mod rollbacks;
mod rollups;
mod server_metrics;
mod settings;
mod store;
#[cfg(test)]
mod testing;
mod text;
mod transaction;
mod writer;

pub use error::StoreError;
pub use evaluations::QualityMark;
pub use events::EventFilter;
pub use fleet::{FleetCache, FleetEntry, FleetFacts};
pub use generations::{GenerationBucket, GenerationHistory, GenerationSummary, LastAnswer, Quantiles};
pub use golden_sets::GoldenSetSummary;
pub use history::{Beat, Bucket, History, PhaseSummary, Summary};
pub use live_versions::VersionChange;
pub use open::OpenOptions;
pub use retention::{Retention, RetentionReport, StorageSize};
pub use server_metrics::{ServerHistory, ServerLook, ServerSeries};
pub use store::Store;
pub use transaction::Transaction;

/// The schema version that this build reads and writes (`PRAGMA user_version`).
pub const SCHEMA_VERSION: u32 = migrations::LATEST;
