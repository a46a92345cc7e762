//! Serving protocols: one file each, behind one small trait of pure functions from values to bytes and back.
//!
//! What it hides: paths, bodies and answers of each protocol. What must stay true: nothing here does I/O; a body of any
//! bytes gives an answer or a reason, never a panic.

mod azure_ml;
mod cells;
mod databricks;
mod grpc_health;
mod json;
mod mlflow;
mod ollama;
mod open_inference;
mod open_inference_grpc;
mod openai;
mod predict_v1;
mod sagemaker;
mod table_answer;
mod table_body;
mod table_form;
mod template;
mod tensors;
mod torchserve;
mod vertex;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pilothouse_domain::{Cell, Outcome, Protocol, Table, Target, TargetFailure, UnknownReason, VersionId};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::ServingError;
use crate::bounded_json::TOO_HEAVY;
use crate::generation::TextGeneration;
use crate::text::{DETAIL_LIMIT, one_line, server_message};
use crate::transport::{ExchangeRequest, Failure, TlsProfile, Wire};

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// JSON, unless `headers` name another content type; `None`: no body.
    pub(crate) body: Option<Bytes>,
    /// Headers of the protocol itself, in the place of the usual ones of the same name.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What it is sent over.
    pub(crate) wire: Wire,
    /// Whether it goes to a management API, which may want a credential of its own.
    pub(crate) is_management: bool,
}

impl Call {
    pub(crate) const fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, headers: Vec::new(), wire: Wire::Http1, is_management: false }
    }

    /// As [`Self::get`], from a management API.
    pub(crate) fn get_management(url: Url) -> Self {
        Self { is_management: true, ..Self::get(url) }
    }

    pub(crate) fn post(url: Url, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: Some(body.into()), ..Self::get(url) }
    }

    /// A unary call of gRPC with this message.
    pub(crate) fn grpc(url: Url, message: impl Into<Bytes>) -> Self {
        Self { wire: Wire::Grpc, ..Self::post(url, message) }
    }

    /// It as the transport takes it, before a credential was put in. Without `fresh` a kept connection does.
    pub(crate) fn request<'a>(&'a self, tls: &'a TlsProfile, fresh: bool) -> ExchangeRequest<'a> {
        ExchangeRequest {
            method: &self.method,
            url: &self.url,
            body: self.body.as_ref(),
            headers: &self.headers,
            credential: None,
            tls,
            fresh,
            wire: self.wire,
        }
    }
}

/// A prediction as the protocol's answer gave it, before any check.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    /// One row per input row (already counted where the number of rows is known).
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What the answer calls the first values of a row; empty where it names none.
    pub(crate) names: Vec<String>,
    /// The model version that the answer reports.
    pub(crate) version: Option<VersionId>,
    /// The output chosen, where outputs have names.
    pub(crate) output: Option<OutputForm>,
}

impl From<cells::Rows> for Answer {
    fn from(rows: cells::Rows) -> Self {
        Self { rows: rows.cells, names: rows.names, ..Self::default() }
    }
}

/// The form of the chosen output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputForm {
    pub(crate) name: String,
    pub(crate) datatype: String,
}

/// A tensor in a model's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// `FP64`, `INT64`, `BYTES`, … (Open Inference Protocol, "Tensor Data Types").
    pub datatype: String,
    /// Dimensions; -1 where any size is accepted; empty where the server does not say.
    #[serde(default)]
    pub shape: Vec<i64>,
    /// Whether a request may leave it out.
    #[serde(default)]
    pub optional: bool,
}

/// What a server says of one version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VersionState {
    /// The version.
    pub version: String,
    /// The server's own word, such as `AVAILABLE` or `READY`.
    pub state: String,
    /// Whether calls without a version go to it, where the server says so.
    pub is_default: bool,
    /// Worker processes, where the server says.
    pub workers: Option<u32>,
    /// What else it says, in words.
    pub detail: Option<String>,
}

/// A model that a server holds in memory, where it loads and unloads them as they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoadedModel {
    /// Its name.
    pub name: String,
    /// What it takes in all, in bytes.
    pub size_bytes: u64,
    /// What of that lies in the memory of GPUs, in bytes.
    pub gpu_bytes: u64,
    /// When it is unloaded unless it is asked again, in milliseconds since 1970.
    pub until_ms: Option<i64>,
}

/// What a server says about a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name; empty where the protocol has none.
    pub name: String,
    /// The versions it says it serves. `MLServer` leaves this empty unless its settings list them.
    pub versions: Vec<String>,
    /// The framework or server behind it.
    pub platform: Option<String>,
    /// Inputs.
    pub inputs: Vec<TensorSpec>,
    /// Outputs.
    pub outputs: Vec<TensorSpec>,
    /// The server software with its version, as it names itself.
    #[serde(default)]
    pub server: Option<String>,
    /// Whether the server says that the model is ready; `None` where this was not asked.
    #[serde(default)]
    pub ready: Option<bool>,
    /// Its versions with their states, where the server lists them.
    #[serde(default)]
    pub states: Vec<VersionState>,
    /// The models that the server holds in memory now; `None` where it does not say.
    #[serde(default)]
    pub loaded: Option<Vec<LoadedModel>>,
}

/// A health route to be asked beside the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FacetCall {
    pub(crate) call: Call,
    pub(crate) lacking: Lacking,
}

/// What may be missing at a health route without anything being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Every server of the protocol has it.
    Nothing,
    /// Some servers of the protocol have no such route, or another one at its path.
    Route,
    /// Its address is a guess: nothing may listen there, or something that lets us not in.
    Server,
}

/// What a readiness route says beyond "ready".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Readiness {
    /// The version that calls without a version go to, where the route names it.
    pub(crate) version: Option<VersionId>,
    /// In words.
    pub(crate) detail: Option<String>,
}

/// One serving protocol, bound to one target.
pub(crate) trait ServingProtocol: Send + Sync {
    /// Asks for health without a prediction; an error when the protocol has no such route.
    fn health_call(&self) -> Result<Call, Failure> {
        Err(no_health_route())
    }

    /// Judges the answer to [`Self::health_call`] with a status of success.
    fn read_health(&self, _body: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    /// Asks for a prediction of every row.
    fn predict_call(&self, table: &Table, metadata: Option<&ModelMetadata>) -> Result<Call, Failure>;

    /// Reads the answer to [`Self::predict_call`]; `rows` is the number sent.
    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure>;

    /// The version that gave the prediction, where a header of the answer names it.
    fn answering_version(&self, _headers: &HeaderMap) -> Option<VersionId> {
        None
    }

    /// What the answer to [`Self::health_call`] predicts, where that call is a whole prediction of its own.
    fn health_prediction(&self, _body: &[u8]) -> Option<Answer> {
        None
    }

    /// Asks for metadata, where the protocol has them.
    fn metadata_call(&self) -> Option<Call> {
        None
    }

    /// Reads the answer to [`Self::metadata_call`].
    fn read_metadata(&self, _body: &[u8]) -> Result<ModelMetadata, Failure> {
        Ok(ModelMetadata::default())
    }

    /// Whether [`Self::predict_call`] is shaped by the metadata.
    fn needs_metadata(&self) -> bool {
        false
    }

    /// Whether servers of this protocol may have no metadata route, so that the further calls alone describe a model.
    fn metadata_is_optional(&self) -> bool {
        false
    }

    /// What to add to the reason why no metadata came.
    fn metadata_hint(&self) -> Option<String> {
        None
    }

    /// Calls that tell more of the model and its server, for people; requests are not shaped by them.
    fn further_calls(&self) -> Vec<Call> {
        Vec::new()
    }

    /// Adds what the answer to the `index`-th of [`Self::further_calls`] says.
    fn read_further(&self, _index: usize, _body: &[u8], _metadata: &mut ModelMetadata) -> Result<(), Failure> {
        Ok(())
    }

    /// The most rows that one request takes; `None`: any number.
    fn rows_per_call(&self) -> Option<usize> {
        None
    }

    /// The most rows of this table that one request takes, where that depends on them.
    fn rows_of_one_call(&self, _table: &Table) -> Option<usize> {
        self.rows_per_call()
    }

    /// Asks whether the server lives, where the protocol has a route for it.
    fn liveness_call(&self) -> Option<FacetCall> {
        None
    }

    /// Judges the answer to [`Self::liveness_call`] with a status of success.
    fn read_liveness(&self, _body: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    /// Asks whether the model is ready, where the protocol has a route for it.
    fn readiness_call(&self) -> Option<FacetCall> {
        None
    }

    /// Judges the answer to [`Self::readiness_call`] with a status of success.
    fn read_readiness(&self, _body: &[u8]) -> Result<Readiness, Failure> {
        Ok(Readiness::default())
    }

    /// How it generates text, where it does that instead of predicting rows.
    fn generation(&self) -> Option<&dyn TextGeneration> {
        None
    }

    /// A closer reading of an error status, where the protocol gives it a meaning of its own.
    fn special_status(&self, _status: u16, _message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        None
    }
}

/// The protocol of a target.
pub(crate) fn of_target(target: &Target) -> Result<Box<dyn ServingProtocol>, ServingError> {
    for name in [&target.model, &target.model_version].into_iter().flatten() {
        // A URL cannot hold them: they would climb out of the model's own routes.
        if matches!(name.as_str(), "." | "..") {
            return Err(ServingError::Target(format!(
                "`{name}` cannot stand in a URL as the name of a model or version"
            )));
        }
    }
    Ok(match target.protocol {
        Protocol::OpenInference => Box::new(open_inference::OpenInference::new(target)?),
        Protocol::OpenInferenceGrpc => Box::new(open_inference_grpc::OpenInferenceGrpc::new(target)?),
        Protocol::GrpcHealth => Box::new(grpc_health::GrpcHealth::new(target)),
        Protocol::PredictV1 => Box::new(predict_v1::PredictV1::new(target)?),
        Protocol::TorchServe => Box::new(torchserve::TorchServe::new(target)?),
        Protocol::Mlflow => Box::new(mlflow::Mlflow::new(target)),
        Protocol::Json => Box::new(json::Json::new(target)?),
        Protocol::OpenAi => Box::new(openai::OpenAi::new(target)),
        Protocol::Ollama => Box::new(ollama::Ollama::new(target)),
        Protocol::SageMaker => Box::new(sagemaker::SageMaker::new(target)?),
        Protocol::AzureMl => Box::new(azure_ml::AzureMl::new(target)?),
        Protocol::Vertex => Box::new(vertex::Vertex::new(target)?),
        Protocol::Databricks => Box::new(databricks::Databricks::new(target)?),
    })
}

use crate::text::percent_decoded;
pub(crate) use grpc_health::{CHECK as HEALTH_CHECK, read_check as read_health_check};
pub(crate) use mlflow::is_version_number;
pub(crate) use open_inference::{IndexEntry, read_repository_index};
pub(crate) use open_inference_grpc::{
    index_call as grpc_index_call, read_index as read_grpc_index, read_server_metadata as read_grpc_server_metadata,
    ready_call as grpc_ready_call, says_ready as read_grpc_ready, server_metadata_call as grpc_server_metadata_call,
    wanted_header as grpc_wanted_header,
};
pub(crate) use vertex::{endpoint_url, model_version as vertex_model_version};

/// The outcome of an answer's status; `None` for a status of success (2xx).
pub(crate) fn status_failure(
    protocol: &dyn ServingProtocol,
    status: u16,
    body: &[u8],
    is_health: bool,
) -> Option<Failure> {
    use TargetFailure as F;
    if (200..300).contains(&status) {
        return None;
    }
    let message = server_message(body);
    let reason = protocol.special_status(status, message.as_deref(), is_health).unwrap_or(match status {
        401 => F::Unauthorized,
        403 => F::Forbidden,
        404 => F::ModelNotFound,
        429 => F::RateLimited,
        400..=499 => F::RequestRejected,
        500..=599 => F::ServerError,
        _ => F::ProtocolViolation,
    });
    let detail = match message {
        Some(message) => format!("the server answered {status}: {message}"),
        None => format!("the server answered {status}"),
    };
    Some(Failure::target(reason, detail))
}

/// `base` with further path segments, each percent-encoded; a query stays.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_fragment(None);
    let mut path = base.path().trim_end_matches('/').to_owned();
    for segment in segments {
        path.push('/');
        write_segment(&mut path, segment);
    }
    url.set_path(&path);
    url
}

/// Appends a path segment (RFC 3986, `pchar`). The URL library's own encoder leaves out tabs and line breaks, so that two
/// names would become one.
fn write_segment(path: &mut String, segment: &str) {
    const KEPT: &[u8] = b"-._~!$&'()*+,;=:@";
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || KEPT.contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push(char::from(HEX[usize::from(byte >> 4)]));
            path.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A header of an answer as the name of a version.
fn version_header(headers: &HeaderMap, name: &str) -> Option<VersionId> {
    version(&String::from_utf8_lossy(headers.get(name)?.as_bytes()))
}

/// A header of a request from a setting.
fn setting_header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), ServingError> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| ServingError::Target(format!("`{value}` cannot stand in the header `{name}`")))?;
    Ok((HeaderName::from_static(name), value))
}

/// The base URL before `/{segment}/{name}`, with the name, where the URL holds them; else the URL and the name that was
/// set. People paste the whole route as often as its base.
pub(crate) fn base_and_name(target: &Target, segment: &str) -> Result<(Url, String), ServingError> {
    let mut base = target.url.clone();
    let parts: Vec<String> = base.path_segments().map(|parts| parts.map(str::to_owned).collect()).unwrap_or_default();
    let mut named = None;
    if let Some(at) = parts.iter().position(|part| part == segment) {
        named = parts.get(at + 1).filter(|name| !name.is_empty()).map(|name| percent_decoded(name));
        base.set_path(&parts[..at].join("/"));
    }
    let name = target.model.clone().or(named).ok_or_else(|| {
        ServingError::Target(format!(
            "the endpoint's name in the cloud is not known: name it as the model, or give the URL with /{segment}/NAME"
        ))
    })?;
    Ok((base, name))
}

/// What a protocol without a health route says.
fn no_health_route() -> Failure {
    misfit("the endpoint has no health route of its own; give it rows to send with each probe")
}

/// Whether a table's columns are only numbered (`0`, `1`, `2` …): the model behind has no names for them.
fn numbered_columns(table: &Table) -> bool {
    table.columns.iter().enumerate().all(|(index, column)| column.name == index.to_string())
}

/// A version as an answer spells it, made fit to be stored and shown.
pub(crate) fn version(text: &str) -> Option<VersionId> {
    let text = one_line(text, 128);
    (!text.is_empty()).then_some(VersionId(text))
}

fn malformed(error: &serde_json::Error, body: &[u8], what: &str) -> Failure {
    use serde_json::error::Category;
    if error.to_string().starts_with(TOO_HEAVY) {
        return Failure::target(TargetFailure::ResponseTooLarge, format!("the answer holds {error}"));
    }
    if error.classify() == Category::Data {
        return Failure::target(TargetFailure::ProtocolViolation, format!("the answer is not {what}: {error}"));
    }
    // The library names its limits by text alone.
    let text = error.to_string();
    let problem = if body.is_empty() {
        "is not JSON: it is empty".to_owned()
    } else if let Err(error) = std::str::from_utf8(body) {
        format!("is not JSON: it is not UTF-8 from byte {} on", error.valid_up_to() + 1)
    } else if text.starts_with("recursion limit") {
        "is nested too deeply to be read".to_owned()
    } else if text.starts_with("number out of range") {
        format!("holds a number beyond every float: {text}")
    } else if error.classify() == Category::Eof {
        format!("ends too early to be JSON: {text}")
    } else {
        let begin = String::from_utf8_lossy(&body[..body.len().min(60)]);
        format!("is not JSON: it begins with `{begin}`")
    };
    Failure::target(TargetFailure::BodyMalformed, one_line(&format!("the answer {problem}"), DETAIL_LIMIT))
}

/// What a protocol without predictions says when rows are to be predicted.
fn no_rows() -> Failure {
    misfit("the endpoint generates text from prompts and predicts no rows")
}

/// The failure that a server names in the middle of its answer: `{"error": …}` after a status of success.
fn error_member(error: &serde_json::Value) -> Failure {
    let text = server_message(error.to_string().as_bytes());
    let code = error.get("code").and_then(serde_json::Value::as_u64);
    let reason = match code {
        Some(401) => TargetFailure::Unauthorized,
        Some(403) => TargetFailure::Forbidden,
        Some(404) => TargetFailure::ModelNotFound,
        Some(429) => TargetFailure::RateLimited,
        Some(400..=499) => TargetFailure::RequestRejected,
        _ => TargetFailure::ServerError,
    };
    Failure::target(reason, format!("the answer names an error: {}", text.as_deref().unwrap_or("without a message")))
}

pub(crate) fn misfit(text: impl AsRef<str>) -> Failure {
    Failure::ours(UnknownReason::Misconfigured, text)
}

fn wrong_row_count(found: usize, sent: usize) -> Failure {
    Failure::target(TargetFailure::WrongShape, format!("{sent} rows were sent and {found} predictions came back"))
}

/// A failure as a prediction's caller sees it.
pub(crate) fn predict_failure(failure: Failure, http_status: Option<u16>) -> crate::PredictFailure {
    debug_assert_ne!(failure.outcome, Outcome::Ok, "a failure has a reason");
    crate::PredictFailure { outcome: failure.outcome, detail: failure.detail, http_status }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{answers_to, protocols};

    pub(super) fn target(url: &str, protocol: Protocol, model: Option<&str>) -> Target {
        Target { model: model.map(str::to_owned), ..Target::new(url.parse().unwrap(), protocol) }
    }

    proptest! {
        /// A response body of any bytes never panics.
        #[test]
        fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400), rows in 0_usize..5) {
            answers_to(&body, rows);
        }

        /// Neither does a body that is nearly right: pieces of real answers in any order.
        #[test]
        fn nearly_right_bodies_never_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"outputs\"", "\"shape\"", "\"datatype\"", "\"data\"", "\"name\"",
                    "\"predictions\"", "\"model_version\"", "\"FP64\"", "\"BYTES\"", "-1", "3", "1e308", "1e999", "NaN",
                    "-Infinity", "null", "true", "\"x\"", "[[1,2],[3]]", "9223372036854775807", "\u{e9}", "\\",
                    "{\"choices\":[{\"delta\":{\"content\":", "\"usage\"", "\"error\"", "\"done\"", "{\"data\":[{\"id\":",
                    "{\"outputs\":[{\"name\":\"p\",\"shape\":", "],\"datatype\":\"INT64\",\"data\":[", "\"version\"",
                    "{\"model_version_status\":[{\"version\":", "\"state\":\"AVAILABLE\"", "{\"instances\"", "\"ready\"",
                    "[{\"modelName\":\"m\",\"modelVersion\":\"1\",\"workers\":[", "{\"status\":\"READY\"}", "\"status\"",
                    "{\"metadata\":{\"signature_def\":{\"signature_def\":{\"serving_default\":{\"inputs\":{",
                    "\"tensor_shape\":{\"dim\":[{\"size\":", "\"deployedModelId\":\"", "\"modelVersionId\"", "0.5,0.25\n", "\"[1]\"",
                ]),
                0..30,
            ),
            rows in 0_usize..5,
        ) {
            answers_to(pieces.concat().as_bytes(), rows);
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_overflowed() {
        let deep = format!(r#"{{"predictions":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        answers_to(deep.as_bytes(), 1);
    }

    #[test]
    fn statuses_map_to_reasons() {
        let v2 = &protocols()[0];
        let check = |status: u16, body: &str, is_health: bool, expect: Option<TargetFailure>| {
            let found = status_failure(v2.as_ref(), status, body.as_bytes(), is_health).map(|failure| failure.outcome);
            assert_eq!(found, expect.map(Outcome::TargetFailed), "{status} {body}");
        };
        check(200, "", false, None);
        check(204, "", false, None);
        check(304, "", false, Some(TargetFailure::ProtocolViolation));
        check(400, "", false, Some(TargetFailure::RequestRejected));
        check(400, r#"{"error":"Model version not ready"}"#, true, Some(TargetFailure::NotReady));
        check(400, "", true, Some(TargetFailure::NotReady));
        check(401, "", false, Some(TargetFailure::Unauthorized));
        check(403, "", false, Some(TargetFailure::Forbidden));
        check(404, "", true, Some(TargetFailure::ModelNotFound));
        check(422, "", false, Some(TargetFailure::RequestRejected));
        check(429, "", false, Some(TargetFailure::RateLimited));
        check(500, "", false, Some(TargetFailure::ServerError));
        check(503, r#"{"error":"Model with name bc is not ready."}"#, false, Some(TargetFailure::NotReady));
        check(503, "", true, Some(TargetFailure::NotReady));
        check(503, "", false, Some(TargetFailure::ServerError));
    }

    #[test]
    fn paths_are_built_below_the_base() {
        let check = |base: &str, segments: &[&str], expect: &str| {
            assert_eq!(below(&base.parse().unwrap(), segments).as_str(), expect);
        };
        check("http://h", &["v2", "models", "m"], "http://h/v2/models/m");
        check("http://h/", &["ping"], "http://h/ping");
        check("http://h/a/b/", &["v2"], "http://h/a/b/v2");
        check("http://h/a?key=1#f", &["v2"], "http://h/a/v2?key=1");
        check("http://h", &[], "http://h/");
        check("http://h/a%20b/", &["tab\there", "мо"], "http://h/a%20b/tab%09here/%D0%BC%D0%BE");
        check("http://h/", &["v2", "models", "a/b ?#"], "http://h/v2/models/a%2Fb%20%3F%23");
    }
}
