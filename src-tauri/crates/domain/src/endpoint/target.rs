//! How to reach a model: its server's address, protocol, credential and way, and what is asked of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{InvalidSetting, PayloadForm, Protocol};
use crate::{Auth, Network, VersionId};

/// An address of gRPC as it is kept: `grpc://` stands for `http://` and `grpcs://` for `https://`, since the protocol and not
/// the address says what is spoken. `None`: it begins with neither.
pub fn plain_url(url: &Url) -> Option<Url> {
    let rest = url.as_str().strip_prefix("grpc").filter(|_| matches!(url.scheme(), "grpc" | "grpcs"))?;
    format!("http{rest}").parse().ok()
}

/// The address of a server as people write it: with the words of gRPC where that is spoken. The reverse of [`plain_url`].
pub fn shown_url(url: &Url, protocol: Protocol) -> Url {
    let rest = url.as_str().strip_prefix("http").filter(|_| protocol.is_grpc());
    rest.and_then(|rest| format!("grpc{rest}").parse().ok()).unwrap_or_else(|| url.clone())
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
    pub(super) fn validate_protocol(&self) -> Result<(), InvalidSetting> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_grpc_are_kept_as_those_of_http_and_shown_as_they_are_written() {
        let check = |written: &str, protocol: Protocol, kept: &str| {
            let target = serde_json::json!({ "url": written, "protocol": protocol.as_str(), "model": null });
            let target: Target = serde_json::from_value(target).unwrap();
            assert_eq!(target.url.as_str(), kept, "{written}");
            let shown = shown_url(&target.url, protocol);
            assert_eq!(plain_url(&shown).unwrap_or(shown), target.url, "{written}");
        };
        check("grpc://h:8001", Protocol::OpenInferenceGrpc, "http://h:8001/");
        check("grpcs://[::1]:8001/a/b", Protocol::GrpcHealth, "https://[::1]:8001/a/b");
        check("grpcs://h", Protocol::GrpcHealth, "https://h/");
        check("http://h:443/", Protocol::OpenInferenceGrpc, "http://h:443/");
        check("http://h/", Protocol::OpenInference, "http://h/");
        let shown = |url: &str, protocol| shown_url(&url.parse().unwrap(), protocol).to_string();
        assert_eq!(shown("https://h:8001/", Protocol::OpenInferenceGrpc), "grpcs://h:8001/");
        assert_eq!(shown("http://h:8001/", Protocol::OpenInference), "http://h:8001/");
        assert_eq!(plain_url(&"ftp://h/".parse().unwrap()), None);
    }

    #[test]
    fn what_grpc_does_not_have_is_refused_by_name() {
        let url: Url = "http://h:1/".parse().unwrap();
        let check = |target: Target, field: Option<&str>| {
            let found = target.validate_protocol().err().map(|invalid| invalid.field);
            assert_eq!(found, field);
        };
        let health = Target::new(url.clone(), Protocol::GrpcHealth);
        check(health.clone(), None);
        check(Target { probe_input: Some(crate::Table::default()), ..health.clone() }, Some("probe_input"));
        let query = Auth::Query { name: "key".into(), secret: "s".into() };
        check(Target { auth: query.clone(), ..health }, Some("auth"));
        check(Target { auth: query.clone(), ..Target::new(url.clone(), Protocol::OpenInferenceGrpc) }, Some("auth"));
        check(Target { auth: query, ..Target::new(url, Protocol::OpenInference) }, None);
    }
}
