//! The messages of `inference.GRPCInferenceService`, as far as they are sent or read here.
//!
//! Source: `open_inference_grpc.proto` of <https://github.com/kserve/open-inference-protocol>, whose field numbers were
//! compared with the descriptors in `MLServer` 1.7.1 and tritonclient 2.73.0. Fields that are left out (parameters,
//! requested outputs, shared memory) are skipped by any reader of protocol buffers.

use prost::Message;
use prost::bytes::Bytes;

/// `ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`, which are alike.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Word {
    #[prost(bool, tag = "1")]
    pub(crate) yes: bool,
}

/// `ModelReadyRequest` and `ModelMetadataRequest`, which are alike.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// Empty: the server's choice.
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

/// `ServerMetadataResponse`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) extensions: Vec<String>,
}

/// `ModelMetadataResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelMetadataResponse {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) versions: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) platform: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) inputs: Vec<TensorMetadata>,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<TensorMetadata>,
}

/// `ModelMetadataResponse.TensorMetadata`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
}

/// `ModelInferRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelInferRequest {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(string, tag = "2")]
    pub(super) model_version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) inputs: Vec<InferTensor>,
    /// In the place of every input's contents, or empty.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) raw_input_contents: Vec<Bytes>,
}

/// `ModelInferResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelInferResponse {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(string, tag = "2")]
    pub(super) model_version: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<InferTensor>,
    /// In the place of every output's contents, or empty.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) raw_output_contents: Vec<Bytes>,
}

/// `InferInputTensor` and `InferOutputTensor`, which are alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InferTensor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(super) contents: Option<InferTensorContents>,
}

/// `InferTensorContents`: one list, by the tensor's data type.
#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
#[derive(Clone, PartialEq, Message)]
pub(super) struct InferTensorContents {
    #[prost(bool, repeated, tag = "1")]
    pub(super) bool_contents: Vec<bool>,
    /// `INT8`, `INT16`, `INT32`
    #[prost(int32, repeated, tag = "2")]
    pub(super) int_contents: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub(super) int64_contents: Vec<i64>,
    /// `UINT8`, `UINT16`, `UINT32`
    #[prost(uint32, repeated, tag = "4")]
    pub(super) uint_contents: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    pub(super) uint64_contents: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    pub(super) fp32_contents: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    pub(super) fp64_contents: Vec<f64>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(super) bytes_contents: Vec<Bytes>,
}

/// `RepositoryIndexResponse` (model repository extension). Its request is empty.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RepositoryIndexResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) models: Vec<ModelIndex>,
}

/// `RepositoryIndexResponse.ModelIndex`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelIndex {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) state: String,
    #[prost(string, tag = "4")]
    pub(super) reason: String,
}
