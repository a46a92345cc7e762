//! Open Inference Protocol V2 over REST: `MLServer`, Triton, `KServe`.
//!
//! Source: <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>, and
//! answers captured from `MLServer` 1.7.1, Triton 2.51.0 and the `KServe` SDK 0.21.0. Where they differ: Triton says 400
//! where others say 503 for a model that is not ready; `KServe` needs an `id` in every request; `MLServer` answers NaN as
//! `null`, and shapes of another rank than its metadata say.

use bytes::Bytes;
use pilothouse_domain::{Table, Target, TargetFailure};
use serde::Deserialize;
use url::Url;

use super::cells::{FlatCells, parse};
use super::tensors::{self, reshape};
use super::{
    Answer, Call, FacetCall, Lacking, ModelMetadata, OutputForm, Readiness, ServingProtocol, TensorSpec, VersionState,
    below, malformed, version,
};
use crate::ServingError;
use crate::text::one_line;
use crate::transport::Failure;

/// Longest state of a version, and longest reason for it, in characters.
const STATE_LIMIT: usize = 40;
const REASON_LIMIT: usize = 200;

/// The protocol, bound to one target.
pub(super) struct OpenInference {
    base: Url,
    model: Option<String>,
    version: Option<String>,
}

impl OpenInference {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        check_model(target)?;
        Ok(Self { base: target.url.clone(), model: target.model.clone(), version: target.model_version.clone() })
    }

    /// `/v2/models/{model}[/versions/{version}]` with `last` behind it.
    fn model_url(&self, last: Option<&str>) -> Option<Url> {
        let mut segments = vec!["v2", "models", self.model.as_deref()?];
        if let Some(version) = &self.version {
            segments.extend(["versions", version]);
        }
        segments.extend(last);
        Some(below(&self.base, &segments))
    }
}

#[derive(Deserialize)]
struct InferAnswer {
    #[serde(default)]
    model_version: FlatCells,
    outputs: Vec<OutputTensor>,
}

#[derive(Deserialize)]
struct OutputTensor {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    /// Absent when the tensor travels in another way (binary extension, shared memory), which is never asked for.
    data: Option<FlatCells>,
}

#[derive(Deserialize)]
struct MetadataAnswer {
    name: String,
    #[serde(default)]
    versions: Option<Vec<String>>,
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    inputs: Option<Vec<TensorSpec>>,
    #[serde(default)]
    outputs: Option<Vec<TensorSpec>>,
}

impl ServingProtocol for OpenInference {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(Call::get(self.model_url(Some("ready")).unwrap_or_else(|| below(&self.base, &["v2", "health", "ready"]))))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        // MLServer and Triton answer with nothing, KServe with {"ready": …}. A page is someone else's 200.
        #[derive(Deserialize)]
        struct Ready {
            ready: Option<bool>,
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match parse::<Ready>(body) {
            Ok(Ready { ready: Some(false) }) => {
                Err(Failure::target(TargetFailure::NotReady, "the server answered `ready: false`"))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::target(
                TargetFailure::ProtocolViolation,
                "the readiness route answered with a text that is not of the Open Inference Protocol",
            )),
        }
    }

    fn predict_call(&self, table: &Table, metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let url = self
            .model_url(Some("infer"))
            .ok_or_else(|| super::misfit("the protocol `v2` needs the model's name to ask for a prediction"))?;
        let inputs = metadata.map_or(&[][..], |metadata| &metadata.inputs);
        Ok(Call::post(url, Bytes::from(tensors::infer_body(table, inputs)?)))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let answer: InferAnswer = parse(body).map_err(|error| malformed(&error, body, "an inference answer"))?;
        let mut outputs = answer.outputs;
        let output = outputs.swap_remove(preferred(outputs.iter().map(|output| output.name.as_str()))?);
        let Some(FlatCells(data)) = output.data else {
            let problem = format!("the output `{}` has no `data`", output.name);
            return Err(Failure::target(TargetFailure::ProtocolViolation, problem));
        };
        let form = OutputForm { name: output.name, datatype: output.datatype };
        let rows = reshape(data, &output.shape, rows, &form)?;
        let reported = match answer.model_version.0.as_slice() {
            [pilothouse_domain::Cell::Text(text)] => version(text),
            [pilothouse_domain::Cell::Number(number)] => version(&number.to_string()),
            _ => None,
        };
        Ok(Answer { rows, names: Vec::new(), version: reported, output: Some(form) })
    }

    fn metadata_call(&self) -> Option<Call> {
        self.model_url(None).map(Call::get)
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let answer: MetadataAnswer = parse(body).map_err(|error| malformed(&error, body, "model metadata"))?;
        Ok(ModelMetadata {
            name: answer.name,
            versions: answer.versions.unwrap_or_default(),
            platform: answer.platform,
            inputs: answer.inputs.unwrap_or_default(),
            outputs: answer.outputs.unwrap_or_default(),
            ..ModelMetadata::default()
        })
    }

    fn needs_metadata(&self) -> bool {
        true
    }

    fn further_calls(&self) -> Vec<Call> {
        let index = below(&self.base, &["v2", "repository", "index"]);
        vec![Call::get(below(&self.base, &["v2"])), Call::post(index, "{}")]
    }

    fn read_further(&self, index: usize, body: &[u8], metadata: &mut ModelMetadata) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Server {
            name: String,
            #[serde(default)]
            version: Option<String>,
        }
        if index == 1 {
            let entries = parse(body).map_err(|error| malformed(&error, body, "a repository index"))?;
            metadata.states = states(entries, self.model.as_deref());
            return Ok(());
        }
        let server: Server = parse(body).map_err(|error| malformed(&error, body, "server metadata"))?;
        let version = server.version.unwrap_or_default();
        metadata.server = Some(one_line(&format!("{} {version}", server.name), 120));
        Ok(())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: Call::get(below(&self.base, &["v2", "health", "live"])), lacking: Lacking::Route })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        // MLServer and Triton answer with nothing, KServe with {"live": …}.
        #[derive(Deserialize)]
        struct Live {
            live: Option<bool>,
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match parse::<Live>(body) {
            Ok(Live { live: Some(false) }) => {
                Err(Failure::target(TargetFailure::NotReady, "the server answered `live: false`"))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::target(
                TargetFailure::ProtocolViolation,
                "the liveness route answered with a text that is not of the Open Inference Protocol",
            )),
        }
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.health_call().ok()?, lacking: Lacking::Nothing })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        self.read_health(body).map(|()| Readiness::default())
    }

    fn special_status(&self, status: u16, message: Option<&str>, is_health: bool) -> Option<TargetFailure> {
        not_ready(status, message, is_health)
    }
}

/// The output that is read: probabilities say more than labels; where both are given they are preferred.
pub(super) fn preferred<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> Result<usize, Failure> {
    if names.len() == 0 {
        return Err(Failure::target(TargetFailure::ProtocolViolation, "the answer has no outputs"));
    }
    Ok(names.position(|name| name.to_ascii_lowercase().contains("proba")).unwrap_or(0))
}

/// Whether a refusal means that the model is not ready.
pub(super) fn not_ready(status: u16, message: Option<&str>, is_health: bool) -> Option<TargetFailure> {
    let says_not_ready = message.is_some_and(|message| message.to_ascii_lowercase().contains("not ready"));
    (matches!(status, 400 | 503) && (is_health || says_not_ready)).then_some(TargetFailure::NotReady)
}

/// The model's name is needed wherever more than the server's health is asked.
pub(super) fn check_model(target: &Target) -> Result<(), ServingError> {
    if target.model.is_none() && (target.probe_input.is_some() || target.model_version.is_some()) {
        return Err(ServingError::Target(format!(
            "the protocol `{}` needs the model's name to ask for a prediction; `detect` lists the models",
            target.protocol.as_str()
        )));
    }
    Ok(())
}

/// One line of `POST /v2/repository/index` (model repository extension).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct IndexEntry {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) state: Option<String>,
    /// Why it is in that state.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// What an index says of the versions of one model, in their order.
pub(super) fn states(entries: Vec<IndexEntry>, model: Option<&str>) -> Vec<VersionState> {
    let of_it = entries.into_iter().filter(|entry| Some(entry.name.as_str()) == model);
    let state = |entry: IndexEntry| {
        Some(VersionState {
            version: entry.version.filter(|version| !version.is_empty())?,
            state: one_line(&entry.state.unwrap_or_default(), STATE_LIMIT),
            detail: entry.reason.map(|reason| one_line(&reason, REASON_LIMIT)).filter(|reason| !reason.is_empty()),
            ..VersionState::default()
        })
    };
    let mut states: Vec<VersionState> = of_it.filter_map(state).collect();
    // MLServer lists them in the order in which it found their folders.
    states.sort_by_key(|state| (state.version.parse::<u64>().ok(), state.version.clone()));
    states
}

/// Reads the answer of `POST /v2/repository/index`.
pub(crate) fn read_repository_index(body: &[u8]) -> Option<Vec<IndexEntry>> {
    parse(body).ok()
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Cell, Outcome, Protocol};

    use super::super::tests::target;
    use super::*;

    fn v2() -> OpenInference {
        OpenInference::new(&target("http://h/", Protocol::OpenInference, Some("bc"))).unwrap()
    }

    #[test]
    fn paths_follow_model_and_version() {
        let mut target = target("http://h/pre", Protocol::OpenInference, Some("bc"));
        target.model_version = Some("2".into());
        let versioned = OpenInference::new(&target).unwrap();
        let check = |call: Call, expect: &str| assert_eq!(call.url.path(), expect);
        check(v2().health_call().unwrap(), "/v2/models/bc/ready");
        check(versioned.health_call().unwrap(), "/pre/v2/models/bc/versions/2/ready");
        check(versioned.metadata_call().unwrap(), "/pre/v2/models/bc/versions/2");
        check(versioned.predict_call(&Table::default(), None).unwrap(), "/pre/v2/models/bc/versions/2/infer");
        target.model = None;
        assert!(OpenInference::new(&target).is_err());
        target.model_version = None;
        let server = OpenInference::new(&target).unwrap();
        check(server.health_call().unwrap(), "/pre/v2/health/ready");
        assert!(server.metadata_call().is_none() && server.predict_call(&Table::default(), None).is_err());
    }

    #[test]
    fn the_index_tells_the_states_of_a_models_versions() {
        let mut metadata = ModelMetadata::default();
        v2().read_further(1, include_bytes!("../../tests/data/triton-2.51.0-index.json"), &mut metadata).unwrap();
        let told: Vec<_> =
            metadata.states.iter().map(|told| (&*told.version, &*told.state, told.detail.as_deref())).collect();
        assert_eq!(told, [("1", "UNAVAILABLE", Some("unloaded")), ("2", "READY", None)]);
        let other = br#"[{"name":"bc","version":"10"},{"name":"other","version":"1"},{"name":"bc"},{"name":"bc","version":"9"}]"#;
        v2().read_further(1, other, &mut metadata).unwrap();
        let state = |version: &str| VersionState { version: version.into(), ..VersionState::default() };
        assert_eq!(metadata.states, [state("9"), state("10")]);
        assert!(v2().read_further(1, b"not found", &mut metadata).is_err());
    }

    #[test]
    fn captured_answers_are_read() {
        let answer = v2().read_prediction(include_bytes!("../../tests/data/mlserver-1.7.1-infer.json"), 3).unwrap();
        assert_eq!(answer.rows, vec![vec![Cell::Number(1.0)]; 3]);
        assert_eq!(answer.version, Some("2".into()));
        let answer = v2().read_prediction(include_bytes!("../../tests/data/triton-2.51.0-infer.json"), 1).unwrap();
        assert_eq!((answer.rows, answer.version), (vec![vec![Cell::Number(3.0)]], Some("1".into())));

        let metadata = v2().read_metadata(include_bytes!("../../tests/data/mlserver-1.7.1-metadata.json")).unwrap();
        assert_eq!(
            metadata.inputs[0],
            TensorSpec { name: "predict".into(), datatype: "FP64".into(), shape: vec![-1, 30], optional: false }
        );
        assert_eq!((metadata.platform.as_deref(), metadata.versions.len()), (Some("sklearn"), 0));
        let metadata = v2().read_metadata(include_bytes!("../../tests/data/triton-2.51.0-metadata.json")).unwrap();
        assert_eq!(metadata.versions, ["1"]);

        let index = read_repository_index(include_bytes!("../../tests/data/mlserver-1.7.1-index.json")).unwrap();
        assert_eq!((index.len(), index[0].version.as_deref()), (2, Some("2")));
    }

    #[test]
    fn kserve_gives_no_version_but_is_understood() {
        let body = br#"{"model_name":"bc","model_version":null,"id":"req-1","parameters":null,
            "outputs":[{"name":"label","shape":[2],"datatype":"BYTES","data":["a","b"]},
                       {"name":"Probabilities","shape":[2,2],"datatype":"FP64","data":[[0.25,0.75],[1,0]]}]}"#;
        let answer = v2().read_prediction(body, 2).unwrap();
        assert_eq!(answer.rows, [[Cell::Number(0.25), Cell::Number(0.75)], [Cell::Number(1.0), Cell::Number(0.0)]]);
        assert_eq!((answer.version, answer.output.unwrap().name.as_str()), (None, "Probabilities"));
        assert_eq!(v2().read_health(br#"{"ready":true}"#), Ok(()));
        let outcome = |body: &[u8]| v2().read_health(body).unwrap_err().outcome;
        assert_eq!(outcome(br#"{"name":"bc","ready":false}"#), Outcome::TargetFailed(TargetFailure::NotReady));
        assert_eq!(outcome(b"<html>sign in</html>"), Outcome::TargetFailed(TargetFailure::ProtocolViolation));
    }

    #[test]
    fn answers_of_another_form_have_a_reason() {
        let check = |body: &str, expect: TargetFailure| {
            let found = v2().read_prediction(body.as_bytes(), 1).unwrap_err();
            assert_eq!(found.outcome, Outcome::TargetFailed(expect), "{body}");
        };
        check("", TargetFailure::BodyMalformed);
        check("<html>", TargetFailure::BodyMalformed);
        check(r#"{"outputs":"#, TargetFailure::BodyMalformed);
        check(r#"{"predictions":[1]}"#, TargetFailure::ProtocolViolation);
        check(r#"{"outputs":[]}"#, TargetFailure::ProtocolViolation);
        check(r#"{"outputs":[{"name":"y","shape":[1],"datatype":"FP32"}]}"#, TargetFailure::ProtocolViolation);
        check(r#"{"outputs":[{"name":"y","shape":[2],"datatype":"FP32","data":[1,2]}]}"#, TargetFailure::WrongShape);
        check(r#"{"outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":["a"]}]}"#, TargetFailure::WrongDtype);
    }
}
