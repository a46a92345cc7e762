//! The protocols that model servers speak, and the forms in which they take rows.

use serde::{Deserialize, Serialize};

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
