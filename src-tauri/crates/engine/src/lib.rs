//! Everything that goes on while nobody looks: probing, evaluating, following versions, carrying out rollbacks, explaining.
//!
//! What it hides: tasks, clients, credentials, retries. What must stay true: a failure of ours is never recorded as a
//! failure of an endpoint; a control plane is written to only by a persisted rollback run; work has an end.

mod clock;
mod configuration;
mod deployment;
mod describe;
mod endpoints;
mod engine;
mod error;
mod evaluate;
mod explain;
mod explain_table;
mod facets;
mod gap;
mod health;
mod live_model;
mod lock_file;
mod metrics;
mod outputs;
mod quality;
mod rollback;
mod run_end;
mod scheduler;
mod states;
mod topic;
mod verify;
mod versions;
mod watch;

pub use clock::SystemClock;
pub use configuration::{Comparison, MissingSecrets};
pub use describe::ModelSchema;
pub use engine::{Engine, os_user, read_credential, read_identity, read_network};
pub use error::EngineError;
pub use explain::{ExplainRow, ExplainTask, Explained, JobState, output_names};
pub use explain_table::{ExplainedTable, TableExplanation, explain_table};
pub use gap::GapDetector;
pub use health::{HealthChange, HealthTracker};
pub use live_model::{EXPLAIN_ROWS_PER_REQUEST, OutputReading};
pub use metrics::{MetricsFound, MetricsPage, ServerLine, ServerView, find_metrics, read_metrics_page};
pub use outputs::outputs_for_task;
pub use quality::{QualityChange, QualityState};
pub use rollback::PreparedRollback;
pub use scheduler::CollectReport;
pub use states::EndpointState;
pub use topic::Topic;
