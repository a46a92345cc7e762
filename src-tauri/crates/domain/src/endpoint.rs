//! A deployed model behind a URL, and everything a person said about watching it.

mod protocol;
mod target;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

pub use self::protocol::{PayloadForm, Protocol};
pub use self::target::{ContainerImage, JsonTemplate, ResponseChecks, Target, Tls, plain_url, shown_url};
pub use crate::auth::Auth;
use crate::{EndpointId, GoldenSetId, MetricsConfig, TimestampMs};

/// Why a setting is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidSetting {
    /// Which setting, by its name in the configuration file.
    pub field: &'static str,
    /// What is wrong and what is accepted.
    pub problem: String,
}

/// A deployed model behind a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The store's number of it; 0 before it is stored.
    pub id: EndpointId,
    /// A unique name of 1 to 80 characters.
    pub name: String,
    /// Where it runs.
    pub environment: Environment,
    /// How to reach its model.
    pub target: Target,
    /// How often and how strictly it is probed.
    pub probe: ProbeConfig,
    /// Golden-set evaluation, if any.
    pub evaluation: Option<EvaluationConfig>,
    /// The control plane that owns it, if any.
    pub control_plane: Option<ControlPlaneConfig>,
    /// Where the server's own view of itself is read, if anywhere.
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
    /// Not probed while true.
    pub paused: bool,
    /// When it was connected.
    pub created: TimestampMs,
    /// The store's count of changes of these settings, 1 when they are new; 0 before they are stored. Not a setting
    /// itself: it tells whether somebody else changed them since they were read.
    #[serde(skip)]
    pub revision: i64,
}

/// Where an endpoint runs. `production` is guarded more strictly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(pub String);

impl Environment {
    /// Whether changes ask for the typed name.
    pub fn is_production(&self) -> bool {
        ["production", "prod"].iter().any(|word| word.eq_ignore_ascii_case(&self.0))
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often and how strictly an endpoint is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeConfig {
    /// Milliseconds between probes, 1,000 to 86,400,000.
    pub interval_ms: u32,
    /// Limit for name resolution, TCP and TLS together, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Limit from the request's end to the answer's first byte, in milliseconds.
    pub first_byte_timeout_ms: u32,
    /// Limit for everything, in milliseconds.
    pub total_timeout_ms: u32,
    /// Every k-th probe opens a new connection, so that its phases are sampled; 1: always.
    pub fresh_connection_every: u32,
    /// Largest decompressed body, in bytes.
    pub max_response_bytes: u32,
    /// Failures in a row before `down` is believed.
    pub confirm_after: u32,
    /// Successes in a row before `healthy` is believed again.
    pub recover_after: u32,
    /// Slower than this is `degraded`, in milliseconds.
    pub degraded_above_ms: Option<u32>,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval_ms: 15_000,
            connect_timeout_ms: 5_000,
            first_byte_timeout_ms: 10_000,
            total_timeout_ms: 30_000,
            fresh_connection_every: 10,
            max_response_bytes: 8 * 1024 * 1024,
            confirm_after: 2,
            recover_after: 2,
            degraded_above_ms: None,
        }
    }
}

impl ProbeConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: String| Err(InvalidSetting { field, problem });
        if !(1_000..=86_400_000).contains(&self.interval_ms) {
            return invalid(
                "interval_ms",
                format!("must lie between 1000 (1 s) and 86400000 (1 day); got {}", self.interval_ms),
            );
        }
        for (field, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("first_byte_timeout_ms", self.first_byte_timeout_ms),
            ("total_timeout_ms", self.total_timeout_ms),
        ] {
            if !(10..=600_000).contains(&value) {
                return invalid(field, format!("must lie between 10 and 600000; got {value}"));
            }
        }
        for (field, value) in [
            ("fresh_connection_every", self.fresh_connection_every),
            ("confirm_after", self.confirm_after),
            ("recover_after", self.recover_after),
        ] {
            if !(1..=1_000).contains(&value) {
                return invalid(field, format!("must lie between 1 and 1000; got {value}"));
            }
        }
        Ok(())
    }
}

/// Golden-set evaluation of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationConfig {
    /// The golden set.
    pub golden_set: GoldenSetId,
    /// Milliseconds between evaluations, at least 5,000.
    #[serde(default = "evaluation_interval_ms")]
    pub interval_ms: u32,
}

fn evaluation_interval_ms() -> u32 {
    300_000
}

/// The system that decides which version is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one per endpoint; a box would only complicate matching")]
pub enum ControlPlaneConfig {
    /// The demo fleet's registry.
    Demo {
        /// Its base URL.
        url: Url,
        /// The model's name there.
        model: String,
    },
    /// An MLflow model registry; an alias decides.
    Mlflow {
        /// The tracking server's base URL.
        url: Url,
        /// The registered model.
        model: String,
        /// The alias that production follows, such as `champion`.
        alias: String,
        /// Credential of the registry.
        #[serde(default)]
        auth: Auth,
        /// How the scoring server is made to follow a moved alias.
        #[serde(default)]
        reload: Option<Reload>,
    },
}

/// How a server is made to load what the registry now points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reload {
    /// An HTTP call.
    Http {
        /// Method.
        method: String,
        /// URL.
        url: Url,
        /// Credential.
        #[serde(default)]
        auth: Auth,
    },
    /// A local command, run without a shell.
    Command {
        /// The program's path.
        program: PathBuf,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Limit in milliseconds.
        #[serde(default = "reload_timeout_ms")]
        timeout_ms: u32,
    },
}

fn reload_timeout_ms() -> u32 {
    60_000
}

impl Endpoint {
    /// Every credential that its settings refer to: the model's, the management API's, the control plane's, the reload
    /// call's and that of its metrics.
    pub fn auths(&self) -> Vec<&Auth> {
        let mut auths = vec![&self.target.auth];
        auths.extend(&self.target.management_auth);
        match &self.control_plane {
            None | Some(ControlPlaneConfig::Demo { .. }) => {}
            Some(ControlPlaneConfig::Mlflow { auth, reload, .. }) => {
                auths.push(auth);
                match reload {
                    None | Some(Reload::Command { .. }) => {}
                    Some(Reload::Http { auth, .. }) => auths.push(auth),
                }
            }
        }
        auths.extend(self.metrics.as_ref().and_then(MetricsConfig::auth));
        auths
    }

    /// Checks every setting's range. The first problem found is returned, named as in the configuration file.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: String| Err(InvalidSetting { field, problem });
        let length = self.name.chars().count();
        if self.name.trim() != self.name || !(1..=80).contains(&length) || self.name.chars().any(char::is_control) {
            return invalid(
                "name",
                "must have 1 to 80 characters, without surrounding blanks or control characters".into(),
            );
        }
        if !matches!(self.target.url.scheme(), "http" | "https") || self.target.url.host_str().is_none() {
            let scheme = self.target.url.scheme();
            let advice = match scheme {
                "grpc" => "; for gRPC write http:// with the protocol `v2_grpc` or `grpc_health`",
                "grpcs" => "; for gRPC over TLS write https:// with the protocol `v2_grpc` or `grpc_health`",
                _ => "",
            };
            return invalid(
                "url",
                format!("must begin with http:// or https:// and name a host; got scheme `{scheme}`{advice}"),
            );
        }
        if !self.target.url.username().is_empty() || self.target.url.password().is_some() {
            return invalid(
                "url",
                "must not contain a user or password; store the secret in the keyring instead".into(),
            );
        }
        self.target.validate_protocol()?;
        self.auths().into_iter().try_for_each(Auth::validate)?;
        self.target.network.validate()?;
        self.probe.validate()?;
        if let Some(prompts) = &self.target.prompts {
            if !self.target.protocol.generates_text() {
                return invalid(
                    "prompts",
                    format!("apply to the protocols openai and ollama only; got {}", self.target.protocol.as_str()),
                );
            }
            prompts.validate()?;
        }
        if self.target.protocol.generates_text() && self.evaluation.is_some() {
            return invalid(
                "evaluation",
                "does not apply to an endpoint that generates text: a golden set holds rows; use prompts with checks"
                    .into(),
            );
        }
        if self.target.protocol == Protocol::GrpcHealth && self.evaluation.is_some() {
            return invalid(
                "evaluation",
                "does not apply to the protocol `grpc_health`, which predicts nothing".into(),
            );
        }
        if let Some(evaluation) = &self.evaluation
            && evaluation.interval_ms < 5_000
        {
            return invalid("evaluation.interval_ms", format!("must be at least 5000; got {}", evaluation.interval_ms));
        }
        if let Some(metrics) = &self.metrics {
            metrics.validate()?;
        }
        Ok(())
    }
}
