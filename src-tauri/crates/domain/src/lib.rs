//! The words Pilothouse is written in: endpoints, versions, probes, health, golden sets, evaluations, rollbacks.
//!
//! What it is: plain data with the rules that make a value valid. What it hides: nothing. What must stay true: no I/O,
//! no clock, no randomness here; these types are stored, but never sent to the window (`api` has counterparts).

pub mod audit;
pub mod auth;
pub mod clock;
pub mod data;
pub mod deployment;
pub mod endpoint;
pub mod evaluation;
pub mod event;
pub mod facets;
pub mod generation;
pub mod health;
pub mod id;
pub mod metrics;
pub mod network;
pub mod probe;
pub mod prompt;
pub mod quantity;
pub mod rollback;
pub mod version;

pub use audit::AuditEntry;
pub use clock::{Clock, TimestampMs};
pub use data::{Cell, Column, ColumnKind, GoldenSet, Label, Table, Task};
pub use deployment::{DeployedVersion, Deployment, DeploymentLook, DeploymentState};
pub use endpoint::{Auth, ControlPlaneConfig, Endpoint, Environment, EvaluationConfig, ProbeConfig, Protocol, Target};
pub use evaluation::{Evaluation, Metric};
pub use event::{Event, EventKind};
pub use facets::{FacetState, HealthFacet, HealthFacets};
pub use generation::{FinishReason, Generation, ServerTiming, TokenCount};
pub use health::{Health, HealthState};
pub use id::{EndpointId, EvaluationId, GoldenSetId, PlanId, RunId, VersionId};
pub use metrics::{MetricsConfig, Panel};
pub use network::Network;
pub use probe::{Outcome, Phases, Probe, TargetFailure, UnknownReason};
pub use prompt::{AnswerCheck, GenerationRoute, Message, Prompt, PromptSet, Role};
pub use quantity::{Quantity, Unit};
pub use rollback::{Check, CheckStatus, PlannedCall, RollbackPlan, RollbackRun, RunState, Verdict};
pub use version::{LiveVersion, ModelVersion};
