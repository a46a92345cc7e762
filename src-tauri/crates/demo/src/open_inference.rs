//! A model server that speaks the Open Inference Protocol V2 over REST.
//!
//! Wire format: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`; error bodies and empty health
//! answers as MLServer 1.7.1 gives them. What must stay true: an answer names the version that computed it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::live::LiveModel;
use crate::model::ModelDefinition;
use crate::reply::{self, Answer, Body, Refusal, SERVER_NAME, error_reply, json_reply};
use crate::tensor::{self, InferRequest, RequestedOutput, ResponseTensor};

/// The output with the predicted probabilities (classification) or values (regression). It stands first.
const PROBABILITIES: &str = "probabilities";
/// The output with the most probable class.
const LABEL: &str = "label";

type Model = State<Arc<LiveModel>>;

/// The routes of one classification model's server.
pub(crate) fn router(model: Arc<LiveModel>) -> Router {
    let routes = Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(healthy))
        .route("/v2/health/ready", get(healthy))
        .route("/v2/repository/index", post(index))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/ready", get(ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer));
    reply::with_fallbacks(routes).layer(from_fn_with_state(Arc::clone(&model), reply::hang)).with_state(model)
}

/// Which model, and perhaps which version, a path names.
#[derive(Debug, Deserialize)]
struct Named {
    model: String,
    version: Option<String>,
}

async fn infer(State(model): Model, Path(named): Path<Named>, body: Body) -> Answer {
    let version = find(&model, &named)?;
    let refused = |message: String| Refusal::from(error_reply(StatusCode::BAD_REQUEST, &message));
    let body = reply::read(body)?;
    let request: InferRequest = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
    let wanted = wanted(request.outputs).map_err(refused)?;
    let rows = tensor::rows(&version.columns, request.inputs).map_err(refused)?;
    model.work().await?;
    let predictions = reply::evaluate(&version, rows).await?.map_err(|error| refused(error.to_string()))?;
    let mut outputs = outputs(&version, &model.shape(predictions));
    outputs.retain(|output| wanted.is_empty() || wanted.contains(&output.name));
    let id = request.id.unwrap_or_else(|| model.answer_id());
    let body = json!({
        "model_name": model.name, "model_version": version.version, "id": id, "parameters": {}, "outputs": outputs
    });
    Ok(json_reply(StatusCode::OK, &body))
}

/// Both outputs, with one row per prediction.
fn outputs(version: &ModelDefinition, predictions: &[Vec<f64>]) -> Vec<ResponseTensor> {
    let classes = version.task.classes();
    let most_probable = |row: &Vec<f64>| {
        let (at, _) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
        Value::from(classes.get(at).map_or("", String::as_str))
    };
    vec![
        ResponseTensor {
            name: PROBABILITIES,
            shape: vec![predictions.len(), version.outputs()],
            datatype: "FP64",
            data: predictions.iter().flatten().map(|&p| Value::from(p)).collect(),
        },
        ResponseTensor {
            name: LABEL,
            shape: vec![predictions.len(), 1],
            datatype: "BYTES",
            data: predictions.iter().map(most_probable).collect(),
        },
    ]
}

/// The names of the outputs that are wanted; none means all.
fn wanted(outputs: Option<Vec<RequestedOutput>>) -> Result<Vec<&'static str>, String> {
    let known = |output: RequestedOutput| {
        [PROBABILITIES, LABEL]
            .into_iter()
            .find(|name| *name == output.name)
            .ok_or_else(|| format!("unknown output `{}`; the outputs are `{PROBABILITIES}`, `{LABEL}`", output.name))
    };
    outputs.unwrap_or_default().into_iter().map(known).collect()
}

async fn metadata(State(model): Model, Path(named): Path<Named>) -> Answer {
    let version = find(&model, &named)?;
    let versions: Vec<&str> = model.versions().iter().map(|v| v.version.as_str()).collect();
    let body = json!({
        "name": model.name,
        "versions": versions,
        "platform": SERVER_NAME,
        "inputs": tensor::input_metadata(&version.columns),
        "outputs": [
            { "name": PROBABILITIES, "datatype": "FP64", "shape": [-1, version.outputs()] },
            { "name": LABEL, "datatype": "BYTES", "shape": [-1, 1] },
        ],
        "parameters": {},
    });
    Ok(json_reply(StatusCode::OK, &body))
}

async fn ready(State(model): Model, Path(named): Path<Named>) -> Answer {
    find(&model, &named)?;
    Ok(StatusCode::OK.into_response())
}

async fn healthy() -> StatusCode {
    StatusCode::OK
}

async fn server() -> Response {
    let body = json!({ "name": SERVER_NAME, "version": env!("CARGO_PKG_VERSION"), "extensions": [] });
    json_reply(StatusCode::OK, &body)
}

async fn index(State(model): Model) -> Response {
    let describe =
        |v: &Arc<ModelDefinition>| json!({ "name": v.name, "version": v.version, "state": "READY", "reason": "" });
    let versions: Vec<Value> = model.versions().iter().rev().map(describe).collect();
    json_reply(StatusCode::OK, &versions)
}

fn find(model: &LiveModel, named: &Named) -> Result<Arc<ModelDefinition>, Refusal> {
    let missing = |message: String| Refusal::from(error_reply(StatusCode::NOT_FOUND, &message));
    if named.model != model.name {
        return Err(missing(format!("Model {} not found", named.model)));
    }
    match &named.version {
        None => Ok(model.live()),
        Some(version) => model
            .version(version)
            .ok_or_else(|| missing(format!("Model {} with version {version} not found", named.model))),
    }
}

/// What MLServer answers to a body that is not JSON, or not of the protocol's form.
fn unreadable(error: &serde_json::Error) -> Refusal {
    let (kind, message) = if error.is_data() {
        ("value_error", error.to_string())
    } else {
        ("json_invalid", "JSON decode error".to_owned())
    };
    let detail = json!([{
        "type": kind,
        "loc": ["body", error.column()],
        "msg": message,
        "input": {},
        "ctx": { "error": error.to_string() },
    }]);
    json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": detail })).into()
}
