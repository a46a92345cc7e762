//! What servers of the V1 routes answer.

use std::fmt;

use pilothouse_domain::{Cell, TargetFailure};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::super::cells::{FlatCells, Rows, parse};
use super::super::{Answer, ModelMetadata, TensorSpec, VersionState, malformed, wrong_row_count};
use crate::prediction::{NAME_LIMIT, SHOWN_OUTPUTS};
use crate::text::one_line;
use crate::transport::Failure;

/// The state of a version that answers.
pub(super) const AVAILABLE: &str = "AVAILABLE";

/// Versions shown of one model; a server lists few.
const MAX_VERSIONS: usize = 1_000;

/// What `GET /v1/models/{model}` says.
pub(super) enum Status {
    /// `{"name": "bc", "ready": true}`
    KServe { name: String, ready: bool },
    /// `{"model_version_status": [{"version", "state", "status": {"error_code", "error_message"}}]}`
    TensorFlowServing(Vec<VersionState>),
}

#[derive(Deserialize)]
struct StatusAnswer {
    model_version_status: Option<Vec<VersionAnswer>>,
    name: Option<String>,
    ready: Option<Value>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    version: String,
    #[serde(default)]
    state: String,
    status: Option<VersionProblem>,
}

#[derive(Deserialize)]
struct VersionProblem {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    error_message: String,
}

pub(super) fn status(body: &[u8]) -> Result<Status, Failure> {
    let answer: StatusAnswer = parse(body).map_err(|error| malformed(&error, body, "a model's status"))?;
    match answer {
        StatusAnswer { model_version_status: Some(versions), .. } => {
            let state = |version: VersionAnswer| {
                let problem = version.status.filter(|status| !matches!(status.error_code.as_str(), "" | "OK"));
                VersionState {
                    version: one_line(&version.version, 128),
                    state: one_line(&version.state, 40),
                    is_default: false,
                    workers: None,
                    detail: problem
                        .map(|problem| one_line(&format!("{}: {}", problem.error_code, problem.error_message), 300)),
                }
            };
            Ok(Status::TensorFlowServing(versions.into_iter().take(MAX_VERSIONS).map(state).collect()))
        }
        // Older KServe servers write the word of Python: "True".
        StatusAnswer { name: Some(name), ready: Some(ready), .. } => {
            let ready = match ready {
                Value::Bool(ready) => ready,
                Value::String(word) => word.eq_ignore_ascii_case("true"),
                _ => false,
            };
            Ok(Status::KServe { name: one_line(&name, 300), ready })
        }
        StatusAnswer { .. } => Err(Failure::target(
            TargetFailure::ProtocolViolation,
            "the model's route answered neither `model_version_status` (TensorFlow Serving) nor `ready` (KServe)",
        )),
    }
}

/// Why no version answers, from what the server says of each.
pub(super) fn none_available(states: &[VersionState]) -> String {
    let told = states.iter().take(3).map(|state| {
        let detail = state.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("version {} is {}{detail}", state.version, state.state)
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return "the server lists no version of the model".to_owned();
    }
    one_line(&format!("no version is available: {}", told.join("; ")), 300)
}

/// `{"status": "alive"}` of `KServe`'s root.
pub(super) fn alive(body: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Alive {
        status: String,
    }
    match parse::<Alive>(body) {
        Ok(Alive { status }) if status == "alive" => Ok(()),
        _ => Err(Failure::target(TargetFailure::ProtocolViolation, "the root does not answer `status: alive`")),
    }
}

#[derive(Deserialize)]
struct PredictAnswer {
    predictions: Option<Vec<Prediction>>,
    outputs: Option<Outputs>,
}

/// One row's prediction: its cells, and by name where the model has several outputs.
struct Prediction(Vec<(String, Vec<Cell>)>);

/// A columnar answer: one unnamed output, or several by name.
struct Outputs(Vec<(String, Rows)>);

/// Named members in the order of their writing, or one value without a name.
struct NamedOr<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NamedOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = NamedOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outputs by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut named = Vec::new();
                while let Some(member) = members.next_entry::<String, T>()? {
                    named.push(member);
                }
                Ok(NamedOr(named))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Prediction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Named(NamedOr<FlatCells>),
            Plain(FlatCells),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Named(NamedOr(members)) => Self(members.into_iter().map(|(name, cells)| (name, cells.0)).collect()),
            Either::Plain(cells) => Self(vec![(String::new(), cells.0)]),
        })
    }
}

impl<'de> Deserialize<'de> for Outputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Named(NamedOr<Rows>),
            Plain(Rows),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Named(NamedOr(members)) => Self(members),
            Either::Plain(rows) => Self(vec![(String::new(), rows)]),
        })
    }
}

/// Reads a row-wise (`predictions`) or columnar (`outputs`) answer.
pub(super) fn prediction(body: &[u8], rows: usize) -> Result<Answer, Failure> {
    let answer: PredictAnswer =
        parse(body).map_err(|error| malformed(&error, body, "an object with `predictions` or `outputs`"))?;
    let found = match answer {
        PredictAnswer { predictions: Some(predictions), .. } => {
            let names = predictions.first().map(names_of).unwrap_or_default();
            Rows { cells: predictions.into_iter().map(cells_of).collect(), names }
        }
        PredictAnswer { outputs: Some(Outputs(outputs)), .. } => {
            let chosen = preferred(outputs.iter().map(|(name, _)| name.as_str()));
            let named = |(name, rows): (String, Rows)| {
                let width = rows.cells.first().map_or(0, Vec::len);
                let of_output = shown_names([(name.as_str(), width)]);
                Rows { names: if rows.names.is_empty() { of_output } else { rows.names }, cells: rows.cells }
            };
            outputs.into_iter().nth(chosen).map(named).ok_or_else(|| {
                Failure::target(TargetFailure::ProtocolViolation, "the answer's `outputs` hold no output")
            })?
        }
        PredictAnswer { .. } => {
            let problem = "the answer has neither `predictions` nor `outputs`";
            return Err(Failure::target(TargetFailure::ProtocolViolation, problem));
        }
    };
    if found.cells.len() != rows {
        return Err(wrong_row_count(found.cells.len(), rows));
    }
    Ok(found.into())
}

/// What a row calls the values that [`cells_of`] takes.
fn names_of(Prediction(members): &Prediction) -> Vec<String> {
    let widths = members.iter().map(|(name, cells)| (name.as_str(), cells.len()));
    match members.iter().position(|(name, _)| is_probability(name)) {
        Some(chosen) => shown_names(widths.skip(chosen).take(1)),
        None => shown_names(widths),
    }
}

/// A name for each of the first values; none where the answer names nothing.
fn shown_names<'a>(widths: impl IntoIterator<Item = (&'a str, usize)>) -> Vec<String> {
    let repeated = widths.into_iter().flat_map(|(name, width)| std::iter::repeat_n(name, width));
    let names: Vec<String> = repeated.take(SHOWN_OUTPUTS).map(|name| one_line(name, NAME_LIMIT)).collect();
    if names.iter().all(String::is_empty) { Vec::new() } else { names }
}

/// Of several named outputs of a row the probabilities, where one is called so; else all of them side by side.
fn cells_of(Prediction(members): Prediction) -> Vec<Cell> {
    match members.iter().position(|(name, _)| is_probability(name)) {
        Some(chosen) => members.into_iter().nth(chosen).map(|(_, cells)| cells).unwrap_or_default(),
        None => members.into_iter().flat_map(|(_, cells)| cells).collect(),
    }
}

fn preferred<'a>(mut names: impl Iterator<Item = &'a str>) -> usize {
    names.position(is_probability).unwrap_or(0)
}

/// Probabilities say more than labels; `scores` is what TensorFlow's classification signature calls them.
fn is_probability(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("proba") || name == "scores"
}

#[derive(Deserialize)]
struct MetadataAnswer {
    model_spec: Option<ModelSpec>,
    metadata: SignatureMetadata,
}

#[derive(Deserialize)]
struct ModelSpec {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct SignatureMetadata {
    signature_def: SignatureDefs,
}

#[derive(Deserialize)]
struct SignatureDefs {
    signature_def: NamedOr<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    inputs: Option<NamedOr<TensorInfo>>,
    outputs: Option<NamedOr<TensorInfo>>,
}

#[derive(Deserialize)]
struct TensorInfo {
    #[serde(default)]
    dtype: String,
    tensor_shape: Option<TensorShape>,
}

#[derive(Deserialize)]
struct TensorShape {
    #[serde(default)]
    dim: Vec<Dimension>,
}

#[derive(Deserialize)]
struct Dimension {
    /// A 64-bit number, which protobuf's JSON writes as text.
    size: Value,
}

/// Reads `GET /v1/models/{model}/metadata` of TensorFlow Serving: the inputs and outputs of its default signature.
pub(super) fn metadata(body: &[u8]) -> Result<ModelMetadata, Failure> {
    let answer: MetadataAnswer = parse(body).map_err(|error| malformed(&error, body, "signature metadata"))?;
    let mut signatures = answer.metadata.signature_def.signature_def.0;
    let chosen = signatures.iter().position(|(name, _)| name == "serving_default").unwrap_or(0);
    let signature = if signatures.is_empty() { None } else { Some(signatures.swap_remove(chosen).1) };
    let (inputs, outputs) = signature.map_or((None, None), |signature| (signature.inputs, signature.outputs));
    let spec = answer.model_spec;
    Ok(ModelMetadata {
        name: spec.as_ref().map(|spec| one_line(&spec.name, 300)).unwrap_or_default(),
        versions: spec.and_then(|spec| spec.version).into_iter().map(|version| one_line(&version, 128)).collect(),
        platform: Some("tensorflow".to_owned()),
        inputs: tensors(inputs),
        outputs: tensors(outputs),
        server: Some("TensorFlow Serving".to_owned()),
        ..ModelMetadata::default()
    })
}

fn tensors(named: Option<NamedOr<TensorInfo>>) -> Vec<TensorSpec> {
    let spec = |(name, info): (String, TensorInfo)| TensorSpec {
        name,
        datatype: datatype(&info.dtype),
        shape: info.tensor_shape.map(|shape| shape.dim.iter().map(size).collect()).unwrap_or_default(),
        optional: false,
    };
    let mut tensors: Vec<TensorSpec> = named.map(|named| named.0).unwrap_or_default().into_iter().map(spec).collect();
    // The server's map has no order of its own; by name it is the same each time.
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

fn size(dimension: &Dimension) -> i64 {
    match &dimension.size {
        Value::String(text) => text.parse().unwrap_or(-1),
        Value::Number(number) => number.as_i64().unwrap_or(-1),
        _ => -1,
    }
}

/// TensorFlow's data types by the names that the Open Inference Protocol gives them; any other stays as it is.
fn datatype(dtype: &str) -> String {
    let name = match dtype {
        "DT_HALF" => "FP16",
        "DT_BFLOAT16" => "BF16",
        "DT_FLOAT" => "FP32",
        "DT_DOUBLE" => "FP64",
        "DT_STRING" => "BYTES",
        other => other.strip_prefix("DT_").unwrap_or(other),
    };
    one_line(name, 40)
}
