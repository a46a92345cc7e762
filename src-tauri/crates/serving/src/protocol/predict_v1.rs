//! `POST /v1/models/{model}:predict`: `KServe` V1 and TensorFlow Serving over REST.
//!
//! Source: TensorFlow Serving's REST API (<https://www.tensorflow.org/tfx/serving/api_rest>), `KServe`'s V1 protocol
//! (<https://kserve.github.io/website/latest/modelserving/data_plane/v1_protocol/>), and answers captured from the `KServe`
//! SDK 0.21.0. The paths coincide and the answers do not: `GET /v1/models/{model}` is `{"name", "ready"}` from `KServe`
//! and `{"model_version_status"}` from TensorFlow Serving, which alone knows versions and labels in the path, metadata
//! of signatures, and the columnar form (`inputs`, answered by `outputs`). Both may write bare `NaN` and `Infinity`.

mod answers;
mod requests;

use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure, VersionId};
use url::Url;

use super::{
    Answer, Call, FacetCall, Lacking, ModelMetadata, Readiness, ServingProtocol, VersionState, below, version,
};
use crate::ServingError;
use crate::transport::Failure;

/// The protocol, bound to one target.
pub(super) struct PredictV1 {
    base: Url,
    model: String,
    /// A number is a version; anything else is a label.
    version: Option<String>,
    payload: PayloadForm,
}

impl PredictV1 {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let model = target.model.clone().ok_or_else(|| {
            ServingError::Target("the protocol `v1` needs the model's name; `detect` lists the models".into())
        })?;
        if !target.payload.fits(target.protocol) {
            return Err(ServingError::Target(format!(
                "`{}` is no form of requests of the protocol `v1`; use auto, inputs or instances",
                target.payload.as_str()
            )));
        }
        let (base, version) = (target.url.clone(), target.model_version.clone());
        Ok(Self { base, model, version, payload: target.payload })
    }

    /// `/v1/models/{model}[/versions/{number} | /labels/{label}]{verb}[/{tail}]`.
    fn url(&self, verb: &str, tail: Option<&str>) -> Url {
        let mut segments = vec!["v1", "models"];
        let last = match &self.version {
            Some(version) => {
                let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
                segments.extend([self.model.as_str(), if is_number { "versions" } else { "labels" }]);
                format!("{version}{verb}")
            }
            None => format!("{}{verb}", self.model),
        };
        segments.push(&last);
        segments.extend(tail);
        below(&self.base, &segments)
    }
}

/// The version that answers calls, where the server says its versions' states: the one that was asked for, or the newest
/// that is available (TensorFlow Serving's default policy).
fn serving_version(states: &[VersionState]) -> Option<VersionId> {
    let available = states.iter().filter(|state| state.state == answers::AVAILABLE);
    let newest = available.max_by_key(|state| state.version.parse::<u64>().unwrap_or(0))?;
    version(&newest.version)
}

impl ServingProtocol for PredictV1 {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(Call::get(self.url("", None)))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        self.read_readiness(body).map(|_| ())
    }

    fn predict_call(&self, table: &Table, metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let inputs = metadata.map_or(&[][..], |metadata| &metadata.inputs);
        Ok(Call::post(self.url(":predict", None), requests::body(table, inputs, self.payload)?))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        answers::prediction(body, rows)
    }

    fn metadata_call(&self) -> Option<Call> {
        Some(Call::get(self.url("", Some("metadata"))))
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        answers::metadata(body)
    }

    fn needs_metadata(&self) -> bool {
        true
    }

    fn metadata_is_optional(&self) -> bool {
        // KServe has no such route.
        true
    }

    fn further_calls(&self) -> Vec<Call> {
        vec![Call::get(self.url("", None))]
    }

    fn read_further(&self, _index: usize, body: &[u8], metadata: &mut ModelMetadata) -> Result<(), Failure> {
        match answers::status(body)? {
            answers::Status::KServe { name, ready } => {
                metadata.server.get_or_insert_with(|| "KServe V1".to_owned());
                metadata.name = name;
                metadata.ready = Some(ready);
            }
            answers::Status::TensorFlowServing(states) => {
                metadata.server.get_or_insert_with(|| "TensorFlow Serving".to_owned());
                metadata.ready = Some(states.iter().any(|state| state.state == answers::AVAILABLE));
                metadata.versions = states.iter().map(|state| state.version.clone()).collect();
                metadata.states = states;
            }
        }
        Ok(())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        // KServe answers {"status":"alive"} at its root; TensorFlow Serving has no such route.
        Some(FacetCall { call: Call::get(below(&self.base, &[])), lacking: Lacking::Route })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        answers::alive(body)
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: Call::get(self.url("", None)), lacking: Lacking::Nothing })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        match answers::status(body)? {
            answers::Status::KServe { ready: true, .. } => Ok(Readiness::default()),
            answers::Status::KServe { ready: false, .. } => {
                Err(Failure::target(TargetFailure::NotReady, "the server answered `ready: false`"))
            }
            answers::Status::TensorFlowServing(states) => match serving_version(&states) {
                Some(version) => Ok(Readiness { version: Some(version), detail: None }),
                None => Err(Failure::target(TargetFailure::NotReady, answers::none_available(&states))),
            },
        }
    }

    fn special_status(&self, status: u16, message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        let says_not_ready = message.is_some_and(|message| message.to_ascii_lowercase().contains("not ready"));
        (status == 503 && says_not_ready).then_some(TargetFailure::NotReady)
    }
}

#[cfg(test)]
mod tests;
