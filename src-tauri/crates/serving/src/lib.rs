//! Model servers: how they are reached, spoken to, recognised and checked.
//!
//! What it is: [`Transport`] (timed HTTP exchanges, and clients for control planes), [`ModelClient`] (one endpoint:
//! probe, predict, metadata) over one file per serving protocol, [`DeploymentClient`] (what a cloud says of an endpoint),
//! [`detect()`] (which server stands behind a bare URL) and the checks an answer must pass. What it hides: sockets, TLS,
//! proxies, redirects, wire formats. What must stay true:
//! this crate's transport is the only place that opens client sockets; a failure of ours is never reported as one of the
//! target; no answer of any bytes panics; no credential appears in an error, a detail, a log or `Debug`.

mod bounded_json;
pub mod checks;
pub mod client;
pub mod credential;
pub mod describe;
pub mod detect;
mod error;
mod facets;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod generate;
mod generation;
mod grpc;
pub mod metrics;
mod prediction;
pub mod protocol;
mod retry_after;
mod stream;
mod text;
pub mod transport;

pub use http::HeaderName;

pub use client::{ModelClient, Prediction, ProbeReport};
pub use credential::{Authorization, Authorizer, ClientIdentity, Credential, MASK, RequestParts};
pub use describe::{DeploymentClient, DescribeFailure};
pub use detect::{DetectFailure, DetectedModel, Detection, detect};
pub use error::{PredictFailure, ServingError};
pub use facets::{Facet, Facets};
pub use grpc::GrpcCode;
pub use metrics::{MetricsClient, MetricsFailure};
pub use prediction::{SHOWN_OUTPUTS, SHOWN_ROWS, ShownPrediction};
pub use protocol::{LoadedModel, ModelMetadata, TensorSpec, VersionState};
pub use transport::control_client::{ControlCall, ControlClient};
pub use transport::failure::{Failure, network_is_up};
pub use transport::{
    ConnectionSlot, Exchange, ExchangeRequest, HostKey, HostKeyStanding, Limits, Redirects, TlsProfile, Transport,
    TransportConfig, Wire,
};

/// `pilothouse/VERSION`, sent as `User-Agent` with every request.
pub const USER_AGENT: &str = concat!("pilothouse/", env!("CARGO_PKG_VERSION"));
