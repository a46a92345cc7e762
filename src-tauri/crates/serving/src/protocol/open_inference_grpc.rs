//! Open Inference Protocol V2 over gRPC: `MLServer`, Triton, `KServe`.
//!
//! Source: <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md>, and
//! answers of `MLServer` 1.7.1 and Triton 2.51.0. Where they differ: Triton answers with bytes in
//! `raw_output_contents`, `MLServer` with lists; for a model that is not ready Triton says UNAVAILABLE. What is said over
//! REST as well is read by the same rules; see [`open_inference`](super::open_inference) and [`tensors`](super::tensors).

mod contents;
mod messages;

use pilothouse_domain::{Cell, Table, Target, TargetFailure};
use prost::Message;
use prost::bytes::BytesMut;
use url::Url;

use self::contents::Kind;
use self::messages::{
    InferTensor, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataResponse, ModelRequest,
    RepositoryIndexResponse, ServerMetadata, TensorMetadata, Word,
};
use super::open_inference::{IndexEntry, check_model, not_ready, preferred, states};
use super::tensors::{Tensor, reshape, tensors};
use super::{
    Answer, Call, FacetCall, Lacking, ModelMetadata, OutputForm, Readiness, ServingProtocol, TensorSpec, below, misfit,
    version,
};
use crate::ServingError;
use crate::text::one_line;
use crate::transport::Failure;

/// The service, under which every call stands.
const SERVICE: &str = "inference.GRPCInferenceService";

/// Most servers refuse a message of more than 4 MiB, the limit that gRPC's libraries have; some room is left for names.
const MOST_BYTES: usize = 3_500_000;

/// What a cell takes in a message at most.
fn sent_bytes(cell: &Cell) -> usize {
    match cell {
        Cell::Number(_) | Cell::Missing => 10,
        Cell::Text(text) => text.len() + 5,
    }
}

/// The protocol, bound to one target.
pub(super) struct OpenInferenceGrpc {
    base: Url,
    model: Option<String>,
    version: String,
}

impl OpenInferenceGrpc {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        check_model(target)?;
        Ok(Self {
            base: target.url.clone(),
            model: target.model.clone(),
            version: target.model_version.clone().unwrap_or_default(),
        })
    }

    fn call(&self, method: &str, message: &impl Message) -> Call {
        call(&self.base, method, message)
    }

    fn model_call(&self, method: &str) -> Option<Call> {
        let name = self.model.clone()?;
        Some(self.call(method, &ModelRequest { name, version: self.version.clone() }))
    }
}

/// A call of the service below a base URL.
fn call(base: &Url, method: &str, message: &impl Message) -> Call {
    Call::grpc(below(base, &[SERVICE, method]), message.encode_to_vec())
}

impl ServingProtocol for OpenInferenceGrpc {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(self.model_call("ModelReady").unwrap_or_else(|| self.call("ServerReady", &())))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        read_word(body, "ready")
    }

    fn predict_call(&self, table: &Table, metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let Some(model_name) = self.model.clone() else {
            return Err(misfit("the protocol `v2_grpc` needs the model's name to ask for a prediction"));
        };
        let inputs = metadata.map_or(&[][..], |metadata| &metadata.inputs);
        let (inputs, raw_input_contents) = request_tensors(&tensors(table, inputs)?)?;
        let request = ModelInferRequest {
            model_name,
            model_version: self.version.clone(),
            id: "pilothouse".into(),
            inputs,
            raw_input_contents,
        };
        Ok(self.call("ModelInfer", &request))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let mut answer: ModelInferResponse = read(body, "an inference answer")?;
        let chosen = preferred(answer.outputs.iter().map(|output| output.name.as_str()))?;
        let InferTensor { name, datatype, shape, contents } = answer.outputs.swap_remove(chosen);
        let data = match (answer.raw_output_contents.get(chosen), contents) {
            (Some(raw), _) => contents::from_raw(&name, &datatype, raw)?,
            (None, Some(contents)) => contents::listed(&name, &datatype, &contents)?,
            // An empty list of values is left out of a message.
            (None, None) => Vec::new(),
        };
        let form = OutputForm { name, datatype };
        let rows = reshape(data, &shape, rows, &form)?;
        Ok(Answer { rows, version: version(&answer.model_version), output: Some(form), ..Answer::default() })
    }

    fn metadata_call(&self) -> Option<Call> {
        self.model_call("ModelMetadata")
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let answer: ModelMetadataResponse = read(body, "model metadata")?;
        let specs = |tensors: Vec<TensorMetadata>| {
            let spec = |TensorMetadata { name, datatype, shape }| TensorSpec { name, datatype, shape, optional: false };
            tensors.into_iter().map(spec).collect()
        };
        Ok(ModelMetadata {
            name: answer.name,
            versions: answer.versions,
            platform: Some(answer.platform).filter(|platform| !platform.is_empty()),
            inputs: specs(answer.inputs),
            outputs: specs(answer.outputs),
            ..ModelMetadata::default()
        })
    }

    fn needs_metadata(&self) -> bool {
        true
    }

    fn rows_of_one_call(&self, table: &Table) -> Option<usize> {
        let bytes: usize = table.rows.iter().flatten().map(sent_bytes).sum();
        let calls = bytes.div_ceil(MOST_BYTES).max(1);
        Some((table.rows.len() / calls).max(1))
    }

    fn further_calls(&self) -> Vec<Call> {
        vec![server_metadata_call(&self.base), index_call(&self.base)]
    }

    fn read_further(&self, index: usize, body: &[u8], metadata: &mut ModelMetadata) -> Result<(), Failure> {
        if index == 1 {
            metadata.states = states(read_index(body).unwrap_or_default(), self.model.as_deref());
            return Ok(());
        }
        let server = read_server_metadata(body)?;
        metadata.server = Some(one_line(&format!("{} {}", server.name, server.version), 120));
        Ok(())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.call("ServerLive", &()), lacking: Lacking::Route })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        read_word(body, "live")
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.health_call().ok()?, lacking: Lacking::Nothing })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        self.read_health(body).map(|()| Readiness::default())
    }

    fn special_status(&self, status: u16, message: Option<&str>, is_health: bool) -> Option<TargetFailure> {
        match status {
            // UNIMPLEMENTED: whatever this is, it does not speak the protocol.
            501 => Some(TargetFailure::ProtocolViolation),
            // `MLServer` 1.7.1 does not catch this one when it is asked whether a model is ready, and says UNKNOWN.
            500 if message.is_some_and(|text| text.contains("mlserver.errors.ModelNotFound")) => {
                Some(TargetFailure::ModelNotFound)
            }
            503 if message.is_some_and(|text| wanted_header(text).is_some()) => Some(TargetFailure::Forbidden),
            _ => not_ready(status, message, is_health),
        }
    }
}

/// The inputs, in lists; or, where one has a type for which there is no list, all of them as bytes, since a request holds
/// either the one or the other.
fn request_tensors(tensors: &[Tensor<'_>]) -> Result<(Vec<InferTensor>, Vec<prost::bytes::Bytes>), Failure> {
    let kinds: Vec<Kind> = tensors
        .iter()
        .map(|tensor| {
            Kind::of(&tensor.input.datatype).ok_or_else(|| {
                let TensorSpec { name, datatype, .. } = &*tensor.input;
                misfit(format!("the model's input `{name}` takes `{datatype}`, a type that the protocol does not know"))
            })
        })
        .collect::<Result<_, _>>()?;
    let in_bytes = kinds.iter().any(|kind| kind.is_raw_only());
    let (mut inputs, mut raw_contents) = (Vec::new(), Vec::new());
    for (tensor, kind) in tensors.iter().zip(kinds) {
        let (mut raw, mut contents) = (BytesMut::new(), InferTensorContents::default());
        tensor.each(|value| if in_bytes { kind.put(&mut raw, &value) } else { kind.add(&mut contents, &value) })?;
        inputs.push(InferTensor {
            name: tensor.input.name.clone(),
            datatype: tensor.input.datatype.clone(),
            shape: tensor.shape.iter().map(|size| *size as i64).collect(),
            contents: (!in_bytes).then_some(contents),
        });
        raw_contents.extend(in_bytes.then(|| raw.freeze()));
    }
    Ok((inputs, raw_contents))
}

fn read<M: Message + Default>(body: &[u8], what: &str) -> Result<M, Failure> {
    M::decode(body).map_err(|error| {
        let problem = format!("the answer is not {what}: {error}");
        Failure::target(TargetFailure::BodyMalformed, problem)
    })
}

fn read_word(body: &[u8], word: &str) -> Result<(), Failure> {
    match read::<Word>(body, "a word on the health")? {
        Word { yes: true } => Ok(()),
        Word { yes: false } => {
            Err(Failure::target(TargetFailure::NotReady, format!("the server answered `{word}: false`")))
        }
    }
}

/// The header that Triton demands for a restricted protocol (its option `--grpc-restricted-protocol`): over gRPC it says
/// UNAVAILABLE, where over REST it says 403.
pub(crate) fn wanted_header(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("is restricted, expecting header '")?;
    rest.split('\'').next().filter(|header| !header.is_empty())
}

/// Asks who the server is.
pub(crate) fn server_metadata_call(base: &Url) -> Call {
    call(base, "ServerMetadata", &())
}

/// Reads the answer to [`server_metadata_call`].
pub(crate) fn read_server_metadata(body: &[u8]) -> Result<ServerMetadata, Failure> {
    read(body, "server metadata")
}

/// Asks for the models that the server holds (model repository extension).
pub(crate) fn index_call(base: &Url) -> Call {
    call(base, "RepositoryIndex", &())
}

/// Reads the answer to [`index_call`].
pub(crate) fn read_index(body: &[u8]) -> Option<Vec<IndexEntry>> {
    let index: RepositoryIndexResponse = read(body, "a repository index").ok()?;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let entries = index.models.into_iter().map(|model| IndexEntry {
        name: model.name,
        version: filled(model.version),
        // `MLServer` 1.7.1 writes the name of its own type before the word.
        state: filled(model.state).map(|state| state.trim_start_matches("State.").to_owned()),
        reason: filled(model.reason),
    });
    Some(entries.collect())
}

/// Asks whether a model is ready.
pub(crate) fn ready_call(base: &Url, name: &str) -> Call {
    call(base, "ModelReady", &ModelRequest { name: name.to_owned(), version: String::new() })
}

/// Whether the answer to [`ready_call`] says so.
pub(crate) fn says_ready(body: &[u8]) -> Option<bool> {
    Word::decode(body).ok().map(|word| word.yes)
}

#[cfg(test)]
mod tests;
