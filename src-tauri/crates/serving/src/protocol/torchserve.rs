//! TorchServe: predictions on its inference API, models and their workers on its management API.
//!
//! Source: TorchServe 0.12.0 (<https://pytorch.org/serve/rest_api.html>), and answers captured from it. Its traps: a
//! wrong or missing token is a 400; `/ping` says `Healthy` while a model has no worker and every prediction is refused;
//! predictions come without a content type; a handler that raises answers 503. What a handler takes and gives is its
//! author's choice: by default `{"instances": [[…]]}` goes out (the `json` and `kserve` envelopes of TorchServe), and a
//! template says otherwise.
//!
//! The management API has an address of its own, port 8081 of the same host unless the target names another, and a token
//! of its own: [`Target::management_auth`], else the endpoint's credential is tried. The page of metrics needs none.

use bytes::Bytes;
use pilothouse_domain::{Table, Target, TargetFailure};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::cells::{parse, write_cell, write_list};
use super::template::{Template, rows_of};
use super::{
    Answer, Call, FacetCall, Lacking, ModelMetadata, Readiness, ServingProtocol, VersionState, below, malformed,
    misfit, version,
};
use crate::ServingError;
use crate::text::one_line;
use crate::transport::Failure;

/// The port of the management API where the configuration names none.
const MANAGEMENT_PORT: u16 = 8081;

/// The protocol, bound to one target.
pub(super) struct TorchServe {
    base: Url,
    management: Url,
    /// Whether a person named the management API's address.
    management_is_named: bool,
    model: Option<String>,
    version: Option<String>,
    template: Option<Template>,
}

impl TorchServe {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        if target.model.is_none() && (target.probe_input.is_some() || target.model_version.is_some()) {
            return Err(ServingError::Target(
                "TorchServe needs the model's name to be asked for a prediction; its management API lists the models"
                    .into(),
            ));
        }
        let management = target.management_url.clone().unwrap_or_else(|| default_management(&target.url));
        Ok(Self {
            base: target.url.clone(),
            management,
            management_is_named: target.management_url.is_some(),
            model: target.model.clone(),
            version: target.model_version.clone(),
            template: target.json.as_ref().map(Template::new).transpose()?,
        })
    }

    /// `/models/{model}` of the management API: the default version, or the pinned one.
    fn describe_url(&self) -> Option<Url> {
        let mut segments = vec!["models", self.model.as_deref()?];
        segments.extend(self.version.as_deref());
        Some(below(&self.management, &segments))
    }
}

/// Port 8081 of the inference API's host, at its root.
fn default_management(inference: &Url) -> Url {
    let mut url = inference.clone();
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    // Only a URL without a host refuses a port, and such a URL is refused before.
    let _ = url.set_port(Some(MANAGEMENT_PORT));
    url
}

/// One version of a model, as `GET /models/{model}[/{version}|/all]` lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    model_name: String,
    model_version: String,
    #[serde(default)]
    runtime: Option<String>,
    #[serde(default)]
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    #[serde(default)]
    status: String,
}

impl Described {
    fn ready_workers(&self) -> usize {
        self.workers.iter().filter(|worker| worker.status == "READY").count()
    }

    /// `2 of 3 workers are ready`.
    fn told(&self) -> String {
        let (ready, all) = (self.ready_workers(), self.workers.len());
        match all {
            0 => "it has no worker".to_owned(),
            1 => format!("its only worker is {}", if ready == 1 { "ready" } else { "not ready" }),
            _ => format!("{ready} of {all} workers are ready"),
        }
    }
}

fn described(body: &[u8]) -> Result<Vec<Described>, Failure> {
    let models: Vec<Described> =
        parse(body).map_err(|error| malformed(&error, body, "the management API's list of a model's versions"))?;
    if models.is_empty() {
        return Err(Failure::target(TargetFailure::ModelNotFound, "the management API lists no version of the model"));
    }
    Ok(models)
}

fn ping(body: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Ping {
        status: String,
    }
    match parse::<Ping>(body) {
        Ok(Ping { status }) if status == "Healthy" => Ok(()),
        // Some releases say so while workers start, with a status of success.
        Ok(Ping { status }) => {
            Err(Failure::target(TargetFailure::NotReady, format!("`/ping` answers `{}`", one_line(&status, 60))))
        }
        Err(_) => Err(Failure::target(
            TargetFailure::ProtocolViolation,
            "`/ping` does not answer with a `status`, as TorchServe does",
        )),
    }
}

impl ServingProtocol for TorchServe {
    fn health_call(&self) -> Result<Call, Failure> {
        // The workers say more than `/ping`, but a management API that nobody named may be closed to us.
        match self.describe_url().filter(|_| self.management_is_named) {
            Some(url) => Ok(Call::get_management(url)),
            None => Ok(Call::get(below(&self.base, &["ping"]))),
        }
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        if self.management_is_named && self.model.is_some() {
            return self.read_readiness(body).map(|_| ());
        }
        ping(body)
    }

    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let model =
            self.model.as_deref().ok_or_else(|| misfit("TorchServe needs the model's name to predict; choose one"))?;
        let mut segments = vec!["predictions", model];
        segments.extend(self.version.as_deref());
        let url = below(&self.base, &segments);
        let body = if let Some(template) = &self.template {
            template.filled(table)?
        } else {
            let mut body = br#"{"instances":"#.to_vec();
            write_list(&mut body, &table.rows, |out, row| write_list(out, row, write_cell));
            body.push(b'}');
            Bytes::from(body)
        };
        Ok(Call::post(url, body))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        if let Some(template) = &self.template {
            return template.read(body, rows);
        }
        let prediction = match parse::<Value>(body).map_err(|error| malformed(&error, body, "JSON"))? {
            Value::Object(mut members) => members.remove("predictions").ok_or_else(|| {
                Failure::target(
                    TargetFailure::ProtocolViolation,
                    "the handler's answer has no `predictions`; say with a template where its prediction stands",
                )
            })?,
            other => other,
        };
        Ok(rows_of(prediction, body, rows)?.into())
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.template.as_ref().and_then(Template::rows_per_call)
    }

    fn metadata_call(&self) -> Option<Call> {
        Some(Call::get_management(below(&self.management, &["models", self.model.as_deref()?, "all"])))
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let models = described(body)?;
        let states = models.iter().map(|model| VersionState {
            version: one_line(&model.model_version, 128),
            state: if model.ready_workers() > 0 { "READY" } else { "NO WORKER" }.to_owned(),
            is_default: false,
            workers: Some(u32::try_from(model.workers.len()).unwrap_or(u32::MAX)),
            detail: Some(model.told()),
        });
        let states: Vec<VersionState> = states.collect();
        Ok(ModelMetadata {
            name: models.first().map(|model| one_line(&model.model_name, 300)).unwrap_or_default(),
            versions: states.iter().map(|state| state.version.clone()).collect(),
            platform: models.iter().find_map(|model| model.runtime.as_deref()).map(|runtime| one_line(runtime, 40)),
            ready: Some(models.iter().any(|model| model.ready_workers() > 0)),
            server: Some("TorchServe".to_owned()),
            states,
            ..ModelMetadata::default()
        })
    }

    fn metadata_hint(&self) -> Option<String> {
        let named = if self.management_is_named { "" } else { ", a guess: its settings can name another" };
        Some(format!(
            "TorchServe describes its models on its management API ({}{named}), which wants a token of its own",
            self.management
        ))
    }

    fn further_calls(&self) -> Vec<Call> {
        // The default version, which the list of all does not mark.
        match self.model.as_deref() {
            Some(model) => vec![Call::get_management(below(&self.management, &["models", model]))],
            None => Vec::new(),
        }
    }

    fn read_further(&self, _index: usize, body: &[u8], metadata: &mut ModelMetadata) -> Result<(), Failure> {
        let default = described(body)?.into_iter().next().map(|model| model.model_version);
        for state in &mut metadata.states {
            state.is_default = Some(&state.version) == default.as_ref();
        }
        Ok(())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: Call::get(below(&self.base, &["ping"])), lacking: Lacking::Nothing })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        ping(body)
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        let lacking = if self.management_is_named { Lacking::Nothing } else { Lacking::Server };
        Some(FacetCall { call: Call::get_management(self.describe_url()?), lacking })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        let models = described(body)?;
        let Some(serving) = models.into_iter().next() else { return Ok(Readiness::default()) };
        if serving.ready_workers() == 0 {
            let problem = format!("version {}: {}", serving.model_version, serving.told());
            return Err(Failure::target(TargetFailure::NotReady, one_line(&problem, 300)));
        }
        Ok(Readiness { version: version(&serving.model_version), detail: Some(serving.told()) })
    }

    fn special_status(&self, status: u16, message: Option<&str>, is_health: bool) -> Option<TargetFailure> {
        let message = message.unwrap_or_default();
        match status {
            400 if message.starts_with("Token Authorization failed") => Some(TargetFailure::Unauthorized),
            503 if message.contains("has no worker to serve") => Some(TargetFailure::NotReady),
            // `/ping` answers 500 with `{"status": "Unhealthy"}`.
            500 if is_health => Some(TargetFailure::NotReady),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
