//! Versions of a model, and which of them was live when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, TimestampMs, VersionId};

/// A version as its control plane lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The owner's name for it.
    pub id: VersionId,
    /// When it was made, if the control plane says.
    pub created: Option<TimestampMs>,
    /// Whether the control plane says that it can be served (for MLflow: status READY).
    pub ready: bool,
    /// Tags, aliases, stage, run id: what the control plane tells. Untrusted text.
    pub labels: BTreeMap<String, String>,
    /// Metrics that the control plane stores (not measured by us).
    pub metrics: BTreeMap<String, f64>,
}

/// One stretch of time in which a version was live on an endpoint, as we observed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVersion {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The version.
    pub version: VersionId,
    /// First seen live.
    pub since: TimestampMs,
    /// First seen replaced; `None` while live.
    pub until: Option<TimestampMs>,
    /// How we know: `endpoint` (the answer reported it), `control_plane` or `image`.
    pub source: VersionSource,
}

/// How we know which version is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionSource {
    /// The endpoint's own answer reported it.
    Endpoint,
    /// The control plane points at it; the endpoint itself reports none.
    ControlPlane,
    /// The tag of the image that it was discovered in; neither the endpoint nor a control plane tells one.
    Image,
}
