//! What was changed outside this program, by whom, why, and what stood before and after.

use serde::{Deserialize, Serialize};

use crate::{EndpointId, TimestampMs};

/// One audit entry. Written before the action is acknowledged, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The store's number of it; 0 before it is stored.
    pub id: i64,
    /// When.
    pub at: TimestampMs,
    /// The operating system's user.
    pub who: String,
    /// What was done: `rollback.apply`, `endpoint.add`, `secret.set` …
    pub action: String,
    /// The endpoint concerned.
    pub endpoint: Option<EndpointId>,
    /// Why, in the person's own words.
    pub reason: String,
    /// State before, as JSON without secrets.
    pub before: serde_json::Value,
    /// State after, as JSON without secrets.
    pub after: serde_json::Value,
    /// What the claim rests on, as JSON.
    pub evidence: serde_json::Value,
}
