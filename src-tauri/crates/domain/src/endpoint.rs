//! A deployed model behind a URL, and everything a person said about watching it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

pub use crate::auth::Auth;
use crate::{EndpointId, GoldenSetId, MetricsConfig, Network, TimestampMs, VersionId};

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

/// How a model server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Open Inference Protocol V2 over REST (MLServer, Triton, KServe).
    #[serde(rename = "v2")]
    OpenInference,
    /// Open Inference Protocol V2 over gRPC (MLServer, Triton, KServe).
    #[serde(rename = "v2_grpc")]
    OpenInferenceGrpc,
    /// The standard health service of gRPC, which tells of a server that lives and predicts nothing that is known here.
    GrpcHealth,
    /// KServe V1 and TensorFlow Serving over REST, `:predict`.
    #[serde(rename = "v1")]
    PredictV1,
    /// TorchServe's inference and management API.
    #[serde(rename = "torchserve")]
    TorchServe,
    /// MLflow scoring server, `/invocations`.
    Mlflow,
    /// Plain JSON over HTTP with a given request template.
    Json,
    /// The `OpenAI` API (vLLM, llama.cpp server, transformers serve, gateways).
    #[serde(rename = "openai")]
    OpenAi,
    /// Ollama's own API.
    Ollama,
    /// An endpoint of Amazon `SageMaker`, through its runtime.
    #[serde(rename = "sagemaker")]
    SageMaker,
    /// An online endpoint of Azure Machine Learning.
    #[serde(rename = "azureml")]
    AzureMl,
    /// An endpoint of Google Vertex AI.
    Vertex,
    /// A serving endpoint of Databricks.
    Databricks,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 13] = [
        Self::OpenInference,
        Self::OpenInferenceGrpc,
        Self::PredictV1,
        Self::TorchServe,
        Self::Mlflow,
        Self::SageMaker,
        Self::AzureMl,
        Self::Vertex,
        Self::Databricks,
        Self::OpenAi,
        Self::Ollama,
        Self::Json,
        Self::GrpcHealth,
    ];

    /// The word used in configuration, CLI and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenInference => "v2",
            Self::OpenInferenceGrpc => "v2_grpc",
            Self::GrpcHealth => "grpc_health",
            Self::PredictV1 => "v1",
            Self::TorchServe => "torchserve",
            Self::Mlflow => "mlflow",
            Self::Json => "json",
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::SageMaker => "sagemaker",
            Self::AzureMl => "azureml",
            Self::Vertex => "vertex",
            Self::Databricks => "databricks",
        }
    }

    /// The protocol with this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text)
    }

    /// Whether it generates text from prompts, rather than predicting rows. Golden sets and explanations do not apply.
    pub const fn generates_text(self) -> bool {
        matches!(self, Self::OpenAi | Self::Ollama)
    }

    /// Whether a server of this protocol holds models by name, so that a prediction needs one.
    pub const fn names_models(self) -> bool {
        matches!(
            self,
            Self::OpenInference
                | Self::OpenInferenceGrpc
                | Self::PredictV1
                | Self::TorchServe
                | Self::SageMaker
                | Self::Databricks
        )
    }

    /// Whether it is spoken over gRPC. The address then names a port and no routes, and the words `grpc://` and `grpcs://`
    /// stand for `http://` and `https://`.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::OpenInferenceGrpc | Self::GrpcHealth)
    }

    /// Whether rows can be sent to it and are answered with predictions.
    pub const fn predicts_rows(self) -> bool {
        !self.generates_text() && !matches!(self, Self::GrpcHealth)
    }

    /// Whether its endpoints divide their traffic among several versions as a matter of course, so that one answer's version
    /// is not the version of the endpoint.
    pub const fn divides_traffic(self) -> bool {
        matches!(self, Self::SageMaker | Self::AzureMl | Self::Vertex | Self::Databricks)
    }

    /// Whether its endpoints are described by a management API, which may stand elsewhere and want another credential.
    pub const fn has_management_api(self) -> bool {
        matches!(self, Self::TorchServe) || self.divides_traffic()
    }

    /// What a person should know about servers of this protocol before relying on them; none for most.
    pub const fn notice(self) -> Option<&'static str> {
        match self {
            Self::TorchServe => Some(
                "TorchServe is no longer maintained: 0.12.0 (September 2024) is its last release, and faults found in \
                 it stay unmended. Plan to move to another server.",
            ),
            _ => None,
        }
    }
}

/// How rows are written into a request, where a protocol has several forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadForm {
    /// What most servers of the protocol accept: `dataframe_split` for MLflow and Databricks; for V1 and Vertex AI
    /// `instances`, as rows of numbers or, where the server's metadata name the columns as inputs, as objects; `csv` for
    /// `SageMaker`, `input_data` for Azure ML.
    #[default]
    Auto,
    /// `{"dataframe_split": {"columns": […], "data": [[…]]}}` (MLflow).
    DataframeSplit,
    /// `{"dataframe_records": [{column: value}]}` (MLflow).
    DataframeRecords,
    /// By column: `{"inputs": {column: […]}}`.
    Inputs,
    /// By row: `{"instances": [{column: value}]}`.
    Instances,
    /// Lines of values between commas, without a heading line, as `text/csv` (`SageMaker`'s built-in algorithms).
    Csv,
    /// `{"input_data": {"columns": […], "index": […], "data": [[…]]}}` (MLflow models on Azure ML).
    InputData,
    /// `{"data": [[…]]}` (scoring scripts on Azure ML, by convention).
    Data,
}

impl PayloadForm {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::DataframeSplit,
        Self::DataframeRecords,
        Self::Inputs,
        Self::Instances,
        Self::Csv,
        Self::InputData,
        Self::Data,
    ];

    /// The word used in configuration, CLI and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::DataframeSplit => "dataframe_split",
            Self::DataframeRecords => "dataframe_records",
            Self::Inputs => "inputs",
            Self::Instances => "instances",
            Self::Csv => "csv",
            Self::InputData => "input_data",
            Self::Data => "data",
        }
    }

    /// The form with this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }

    /// This form, or `usual` where it is left to the protocol.
    #[must_use]
    pub const fn or(self, usual: Self) -> Self {
        match self {
            Self::Auto => usual,
            form => form,
        }
    }

    /// Whether servers of `protocol` know this form.
    pub const fn fits(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Mlflow | Protocol::Databricks => !matches!(self, Self::Csv | Self::InputData | Self::Data),
            Protocol::SageMaker => !matches!(self, Self::InputData | Self::Data),
            Protocol::AzureMl => !matches!(self, Self::Csv),
            Protocol::PredictV1 => matches!(self, Self::Auto | Self::Inputs | Self::Instances),
            Protocol::Vertex => matches!(self, Self::Auto | Self::Instances),
            _ => matches!(self, Self::Auto),
        }
    }
}

/// An address of gRPC as it is kept: `grpc://` stands for `http://` and `grpcs://` for `https://`, since the protocol and not
/// the address says what is spoken. `None`: it begins with neither.
pub fn plain_url(url: &Url) -> Option<Url> {
    let rest = url.as_str().strip_prefix("grpc").filter(|_| matches!(url.scheme(), "grpc" | "grpcs"))?;
    format!("http{rest}").parse().ok()
}

fn kept_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let url = Url::deserialize(deserializer)?;
    Ok(plain_url(&url).unwrap_or(url))
}

/// How to reach a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The server's base URL, without credentials in it. Where it is read, `grpc://` and `grpcs://` are understood.
    #[serde(deserialize_with = "kept_url")]
    pub url: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The model's name, where a server holds several.
    pub model: Option<String>,
    /// A fixed version to call; `None`: whatever the server serves by default. For [`Protocol::PredictV1`] a word that is
    /// no number is a version label. For clouds it is the production variant, deployment or served entity by its name.
    #[serde(default)]
    pub model_version: Option<String>,
    /// The base URL of the management API. For [`Protocol::TorchServe`] `None` means that port 8081 of the same host is
    /// tried. For clouds it is the API that describes the endpoint: for `SageMaker`, Vertex AI and Databricks `None` means
    /// the one that belongs to the URL; for Azure ML it is the endpoint's address in the Azure Resource Manager, and without
    /// it nothing is asked.
    #[serde(default)]
    pub management_url: Option<Url>,
    /// For [`Protocol::TorchServe`] and clouds: the credential of the management API, where it is another one than the
    /// endpoint's.
    #[serde(default)]
    pub management_auth: Option<Auth>,
    /// For [`Protocol::SageMaker`]: sent as `X-Amzn-SageMaker-Custom-Attributes`, which the model's container reads.
    #[serde(default)]
    pub custom_attributes: Option<String>,
    /// How rows are written, where the protocol has several forms.
    #[serde(default)]
    pub payload: PayloadForm,
    /// For [`Protocol::Json`], and where a TorchServe handler or a model in a cloud wants a body of its own: the request
    /// and where the prediction stands.
    #[serde(default)]
    pub json: Option<JsonTemplate>,
    /// Credential, by reference.
    #[serde(default)]
    pub auth: Auth,
    /// TLS settings.
    #[serde(default)]
    pub tls: Tls,
    /// The way to it from this machine.
    #[serde(default)]
    pub network: Network,
    /// What a healthy answer must satisfy.
    #[serde(default)]
    pub checks: ResponseChecks,
    /// Rows that each probe sends; `None`: only the protocol's health and metadata routes are asked.
    #[serde(default)]
    pub probe_input: Option<crate::Table>,
    /// The container image that it was discovered in.
    #[serde(default)]
    pub image: Option<ContainerImage>,
    /// Prompts that probes of an endpoint that generates text send; `None`: only its health route is asked.
    #[serde(default)]
    pub prompts: Option<crate::PromptSet>,
}

impl Target {
    /// The credential of a management API that the model server itself has; a cloud's is asked apart from the model.
    pub fn management_auth_of_model(&self) -> Option<&Auth> {
        self.management_auth.as_ref().filter(|_| !self.protocol.divides_traffic())
    }

    /// A target of which only URL and protocol are known.
    pub fn new(url: Url, protocol: Protocol) -> Self {
        Self {
            url,
            protocol,
            model: None,
            model_version: None,
            management_url: None,
            management_auth: None,
            custom_attributes: None,
            payload: PayloadForm::Auto,
            json: None,
            auth: Auth::None,
            tls: Tls::default(),
            network: Network::System,
            checks: ResponseChecks::default(),
            probe_input: None,
            prompts: None,
            image: None,
        }
    }

    /// Checks that what the protocol needs is there, and that nothing is set that it does not have.
    fn validate_protocol(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: String| Err(InvalidSetting { field, problem });
        if self.protocol == Protocol::Json && self.json.is_none() {
            return invalid(
                "json",
                "is needed for the protocol `json`: a request body and a pointer to the prediction".into(),
            );
        }
        if self.protocol == Protocol::PredictV1 && self.model.is_none() {
            return invalid("model", "is needed for the protocol `v1`: its routes name the model".into());
        }
        if let Some(route) = match self.protocol {
            Protocol::SageMaker => Some("endpoints"),
            Protocol::Databricks => Some("serving-endpoints"),
            _ => None,
        } && self.model.is_none()
            && !self.url.path().contains(&format!("/{route}/"))
        {
            return invalid(
                "model",
                format!("is needed for the protocol `{}`: the endpoint's name in the cloud", self.protocol.as_str()),
            );
        }
        if self.protocol == Protocol::Vertex {
            if !self.url.path().contains("/endpoints/") {
                return invalid(
                    "url",
                    "must name the endpoint: https://REGION-aiplatform.googleapis.com/v1/projects/P/locations/L/endpoints/ID"
                        .into(),
                );
            }
            if self.model_version.is_some() {
                return invalid(
                    "model_version",
                    "cannot be set for the protocol `vertex`: Vertex AI alone chooses the deployed model of each request"
                        .into(),
                );
            }
        }
        if self.protocol == Protocol::GrpcHealth && self.probe_input.is_some() {
            return invalid(
                "probe_input",
                "cannot be sent by the protocol `grpc_health`, which asks for health alone; for predictions use `v2_grpc`"
                    .into(),
            );
        }
        if self.protocol.is_grpc() && matches!(self.auth, Auth::Query { .. }) {
            return invalid(
                "auth",
                "of kind `query` does not exist over gRPC, whose calls have no query; use a header".into(),
            );
        }
        if !self.payload.fits(self.protocol) {
            return invalid(
                "payload",
                format!(
                    "`{}` is no form of the protocol `{}`; leave it `auto`",
                    self.payload.as_str(),
                    self.protocol.as_str()
                ),
            );
        }
        if self.custom_attributes.is_some() && self.protocol != Protocol::SageMaker {
            return invalid("custom_attributes", "apply to the protocol `sagemaker` only".into());
        }
        if self.management_auth.is_some() && !self.protocol.has_management_api() {
            return invalid(
                "management_auth",
                "applies to the protocols torchserve, sagemaker, azureml, vertex and databricks only".into(),
            );
        }
        if let Some(management) = &self.management_url
            && (!matches!(management.scheme(), "http" | "https")
                || management.host_str().is_none()
                || !management.username().is_empty()
                || management.password().is_some())
        {
            return invalid(
                "management_url",
                "must begin with http:// or https://, name a host and contain no user or password".into(),
            );
        }
        Ok(())
    }
}

/// The image of a container, as an engine named it when the endpoint was connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// Its whole name: `registry.example/team/tumours:2.1`.
    pub name: String,
    /// Its version: the tag, or the label `org.opencontainers.image.version`.
    #[serde(default)]
    pub version: Option<String>,
}

impl ContainerImage {
    /// What it says of the model's version. A tag that moves says nothing.
    pub fn model_version(&self) -> Option<VersionId> {
        let version = self.version.as_deref().map(str::trim).filter(|tag| !tag.is_empty() && *tag != "latest");
        version.map(VersionId::from)
    }
}

/// Request and answer of a plain JSON endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JsonTemplate {
    /// Path below the base URL, `""` for the URL itself.
    #[serde(default)]
    pub path: String,
    /// The body: any JSON in which the string `"{{rows}}"` is replaced by an array of rows (arrays of cells),
    /// `"{{records}}"` by an array of objects. A server that takes one row per request is given `"{{row}}"` or
    /// `"{{record}}"`.
    pub body: serde_json::Value,
    /// RFC 6901 pointer to the array of predictions in the answer.
    pub prediction: String,
    /// RFC 6901 pointer to the model version in the answer, if there is one.
    #[serde(default)]
    pub version: Option<String>,
    /// Path below the base URL of the route that says whether the server lives, such as `/livez`; `None`: it has none.
    #[serde(default)]
    pub live: Option<String>,
    /// Path below the base URL of the route that says whether the model is ready, such as `/readyz`.
    #[serde(default)]
    pub ready: Option<String>,
}

/// TLS settings. Verification cannot be switched off; a private authority is added with `ca_file`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// PEM file with further certificate authorities.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain (mutual TLS).
    #[serde(default)]
    pub client_certificate_file: Option<PathBuf>,
    /// The keyring's name of the client certificate's PEM private key.
    #[serde(default)]
    pub client_key_secret: Option<String>,
}

/// What a healthy answer must satisfy, beyond the protocol's own form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseChecks {
    /// Reject NaN and infinities.
    pub finite: bool,
    /// Probabilities per row lie in [0, 1] and sum to 1 within 1e-3, where a row has several numbers.
    pub probability_sum: bool,
    /// The expected numbers per row.
    pub outputs_per_row: Option<u32>,
}

impl Default for ResponseChecks {
    fn default() -> Self {
        Self { finite: true, probability_sum: false, outputs_per_row: None }
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
    /// Every credential that its settings refer to: the model's, the management API's, the control plane's, the reload call's and that of its
    /// metrics.
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
