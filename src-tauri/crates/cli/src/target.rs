//! How a model is named on the command line, and a client for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use pilothouse_api::{ApiError, Code};
use pilothouse_domain::endpoint::{JsonTemplate, PayloadForm, plain_url};
use pilothouse_domain::{Auth, Outcome, ProbeConfig, Protocol, Table, Target};
use pilothouse_engine::{EngineError, read_credential, read_identity, read_network};
use pilothouse_secrets::Secrets;
use pilothouse_serving::{DetectFailure, Detection, ModelClient, Transport, TransportConfig};

use crate::access::{AccessOptions, AuthReference, auth_of};
use crate::failure::Failure;
use crate::prompts::PromptOptions;
use crate::table_file;

/// How a model behind a URL is reached and spoken to.
#[derive(Debug, Args)]
pub(crate) struct ModelOptions {
    /// How the server is spoken to; without it the server is asked what it is
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<ProtocolWord>,
    /// The model's name, where a server holds several; sagemaker and databricks: the endpoint's name; a health
    /// service over gRPC: the service's
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// A fixed version to call, in place of the one served by default; for v1 a word is a version label; for clouds the
    /// production variant, deployment or served entity
    #[arg(long, value_name = "VERSION")]
    pub(crate) model_version: Option<String>,
    /// torchserve: base URL of its management API; without it port 8081 of the same host is tried. Clouds: where the
    /// endpoint is described; azureml: its address in the Azure Resource Manager
    #[arg(long, value_name = "U")]
    pub(crate) management_url: Option<String>,
    /// torchserve and clouds: credential of the management API by reference, where it is not the endpoint's own
    #[arg(long, value_name = "REFERENCE", conflicts_with = "management_auth_file")]
    pub(crate) management_auth: Option<AuthReference>,
    /// The same of any kind, from a file as for --auth-file
    #[arg(long, value_name = "FILE")]
    pub(crate) management_auth_file: Option<PathBuf>,
    /// mlflow, v1 and clouds: how rows are written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) payload: PayloadWord,
    /// For the protocols json and torchserve, and for clouds: a JSON file {"path", "body", "prediction", "version", "live", "ready"}
    #[arg(long, value_name = "FILE")]
    pub(crate) request_template: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) prompts: PromptOptions,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
}

/// The protocols by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolWord {
    /// Open Inference Protocol V2 (MLServer, Triton, KServe)
    V2,
    /// Open Inference Protocol V2 over gRPC
    #[value(name = "v2_grpc")]
    V2Grpc,
    /// KServe V1 and TensorFlow Serving
    V1,
    /// TorchServe
    Torchserve,
    /// MLflow scoring server
    Mlflow,
    /// Plain JSON over HTTP with a request template
    Json,
    /// Chat and completions of vLLM, llama.cpp, transformers serve and gateways
    Openai,
    /// Ollama's own API
    Ollama,
    /// Amazon SageMaker's runtime
    Sagemaker,
    /// Azure Machine Learning online endpoint
    Azureml,
    /// Google Vertex AI endpoint
    Vertex,
    /// Databricks model serving
    Databricks,
    /// The standard health service of gRPC, and no predictions
    #[value(name = "grpc_health")]
    GrpcHealth,
}

impl From<ProtocolWord> for Protocol {
    fn from(word: ProtocolWord) -> Self {
        match word {
            ProtocolWord::V2 => Self::OpenInference,
            ProtocolWord::V2Grpc => Self::OpenInferenceGrpc,
            ProtocolWord::GrpcHealth => Self::GrpcHealth,
            ProtocolWord::V1 => Self::PredictV1,
            ProtocolWord::Torchserve => Self::TorchServe,
            ProtocolWord::Mlflow => Self::Mlflow,
            ProtocolWord::Json => Self::Json,
            ProtocolWord::Openai => Self::OpenAi,
            ProtocolWord::Ollama => Self::Ollama,
            ProtocolWord::Sagemaker => Self::SageMaker,
            ProtocolWord::Azureml => Self::AzureMl,
            ProtocolWord::Vertex => Self::Vertex,
            ProtocolWord::Databricks => Self::Databricks,
        }
    }
}

/// The forms of a request by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum PayloadWord {
    /// What every server of the protocol accepts
    #[default]
    Auto,
    /// For mlflow: columns and rows apart
    #[value(name = "dataframe_split")]
    DataframeSplit,
    /// For mlflow: a list of objects
    #[value(name = "dataframe_records")]
    DataframeRecords,
    /// By column
    Inputs,
    /// By row
    Instances,
    /// For sagemaker: comma-separated values without a heading line
    Csv,
    /// For azureml: columns, index and rows apart, as MLflow models take them
    #[value(name = "input_data")]
    InputData,
    /// For azureml: a list of lists
    Data,
}

impl From<PayloadWord> for PayloadForm {
    fn from(word: PayloadWord) -> Self {
        match word {
            PayloadWord::Auto => Self::Auto,
            PayloadWord::DataframeSplit => Self::DataframeSplit,
            PayloadWord::DataframeRecords => Self::DataframeRecords,
            PayloadWord::Inputs => Self::Inputs,
            PayloadWord::Instances => Self::Instances,
            PayloadWord::Csv => Self::Csv,
            PayloadWord::InputData => Self::InputData,
            PayloadWord::Data => Self::Data,
        }
    }
}

/// A transport by the way that the options ask for.
pub(crate) async fn transport(access: &AccessOptions) -> Result<Arc<Transport>, Failure> {
    let transport = Transport::new(TransportConfig::default());
    Ok(read_network(&transport, &Secrets::keyring(), &access.network()?).await?)
}

/// Asks a URL what stands behind it.
pub(crate) async fn detect(
    transport: &Arc<Transport>,
    url: &str,
    access: &AccessOptions,
) -> Result<Detection, Failure> {
    let url = pilothouse_api::parse_server_url("URL", url)?;
    let credential = read_credential(&Secrets::keyring(), &access.auth()?).await?;
    let tls = access.tls();
    let identity = read_identity(&Secrets::keyring(), &tls).await?;
    let found = pilothouse_serving::detect(transport, &url, &credential, &tls, identity.as_ref()).await;
    found.map_err(|failure| detect_failure(&url, &failure))
}

fn detect_failure(url: &url::Url, failure: &DetectFailure) -> Failure {
    let message = format!("nothing at {url} can be recognised: {}: {}", failure.outcome.phrase(), failure.detail);
    match failure.outcome {
        Outcome::TargetFailed(_) => Failure::from(ApiError::new(Code::TargetFailed, message))
            .hint("check the address, and that the server runs"),
        _ => Failure::internal(message).hint("check this machine's network, proxy and keyring"),
    }
}

impl ModelOptions {
    /// Where and how the model is reached. Asks the server what it is when no protocol is named.
    pub(crate) async fn target(
        &self,
        transport: &Arc<Transport>,
        url: &str,
        probe_input: Option<Table>,
    ) -> Result<Target, Failure> {
        let protocol = self.protocol.map_or(Protocol::OpenInference, Protocol::from);
        let management_url =
            self.management_url.as_deref().map(|url| pilothouse_api::parse_url("--management-url", url));
        let given = pilothouse_api::parse_server_url("URL", url)?;
        let plain = plain_url(&given);
        if let (Some(_), true, false) = (&plain, self.protocol.is_some(), protocol.is_grpc()) {
            return Err(Failure::usage(format!("{given} is an address of gRPC, which {} is not", protocol.as_str()))
                .hint("name --protocol v2_grpc or grpc_health, or none to have the server asked"));
        }
        let mut target = Target {
            model: self.model.clone(),
            model_version: self.model_version.clone(),
            management_url: management_url.transpose()?,
            management_auth: self.management_auth()?,
            payload: self.payload.into(),
            json: self.request_template.as_deref().map(read_template).transpose()?,
            auth: self.access.auth()?,
            tls: self.access.tls(),
            network: self.access.network()?,
            probe_input,
            prompts: self.prompts.set()?,
            ..Target::new(plain.unwrap_or(given), protocol)
        };
        if self.protocol.is_none() {
            let found = detect(transport, url, &self.access).await?;
            target.protocol = found.protocol.ok_or_else(|| {
                Failure::usage(format!("no known protocol was recognised at {}", target.url))
                    .hint(format!("name it with --protocol {}", Protocol::ALL.map(Protocol::as_str).join(", ")))
            })?;
            if target.protocol == Protocol::Json {
                target.json = target.json.or(found.template);
            } else {
                target.model = target.model.or(only_model(&found)?);
            }
            target.management_url = target.management_url.or(found.management_url);
            target.url = found.base_url;
        }
        if target.prompts.is_some() && !target.protocol.generates_text() {
            return Err(Failure::usage(format!("the protocol {} takes no prompt", target.protocol.as_str()))
                .hint("prompts are for --protocol openai and ollama; send rows with --input"));
        }
        if target.protocol == Protocol::Json && target.json.is_none() {
            return Err(Failure::usage("the protocol json needs --request-template FILE").hint(
                r#"the file holds {"path": "/predict", "body": {"rows": "{{rows}}"}, "prediction": "/predictions"}"#,
            ));
        }
        Ok(target)
    }

    fn management_auth(&self) -> Result<Option<Auth>, Failure> {
        let auth = auth_of(self.management_auth.as_ref(), self.management_auth_file.as_deref())?;
        Ok((auth != Auth::None).then_some(auth))
    }

    /// A client for the model.
    pub(crate) async fn client(
        &self,
        transport: &Arc<Transport>,
        target: &Target,
        probe: &ProbeConfig,
    ) -> Result<ModelClient, Failure> {
        let credential = read_credential(&Secrets::keyring(), &target.auth).await?;
        let identity = read_identity(&Secrets::keyring(), &target.tls).await?;
        let client = ModelClient::new(Arc::clone(transport), target, probe, credential, identity);
        let client = match target.management_auth_of_model() {
            Some(auth) => {
                let management = read_credential(&Secrets::keyring(), auth).await?;
                client.and_then(|client| client.with_management(management))
            }
            None => client,
        };
        client.map_err(|error| EngineError::from(error).into())
    }
}

fn only_model(found: &Detection) -> Result<Option<String>, Failure> {
    match found.models.as_slice() {
        [] => Ok(None),
        [model] => Ok(Some(model.name.clone())),
        several => {
            let names: Vec<&str> = several.iter().map(|model| model.name.as_str()).collect();
            Err(Failure::usage(format!("the server holds {} models", names.len()))
                .hint(format!("name one with --model: {}", names.join(", "))))
        }
    }
}

fn read_template(path: &Path) -> Result<JsonTemplate, Failure> {
    let text = table_file::read_text(path)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("the request template {} cannot be read: {error}", path.display())))
}
