//! The fleet's control plane: the registry of versions, and the faults.
//!
//! What it is: HTTP on a port of its own. `GET /registry/models`, `GET /registry/models/{m}`,
//! `GET /registry/models/{m}/history`, `PUT /registry/models/{m}/live` with `{"version","expected"}`, `GET /faults`,
//! `PUT /faults/{m}` with `{"fault":"latency","ms":400}`. What must stay true: a `200` of a switch means that the next
//! request is answered by the new version; a refused call changes nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::DemoError;
use crate::live::LiveModel;
use crate::model::ModelDefinition;
use crate::reply::{self, Answer, Body, Refusal, SERVER_NAME, json_reply};

/// The models that the control plane knows, in the order of their ports.
pub(crate) type Models = Arc<[Arc<LiveModel>]>;

/// The routes of the control plane.
pub(crate) fn router(models: Models) -> Router {
    let routes = Router::new()
        .route("/", get(server))
        .route("/registry/models", get(list))
        .route("/registry/models/{model}", get(show))
        .route("/registry/models/{model}/history", get(history))
        .route("/registry/models/{model}/live", put(switch))
        .route("/faults", get(faults))
        .route("/faults/{model}", put(inject));
    reply::with_fallbacks(routes).with_state(models)
}

/// The model of this name.
pub(crate) fn find<'a>(models: &'a [Arc<LiveModel>], name: &str) -> Result<&'a Arc<LiveModel>, DemoError> {
    models.iter().find(|m| m.name == name).ok_or_else(|| DemoError::UnknownModel {
        model: name.to_owned(),
        known: models.iter().map(|m| format!("`{}`", m.name)).collect::<Vec<_>>().join(", "),
    })
}

/// The body of a switch.
#[derive(Debug, Deserialize)]
struct Wanted {
    version: String,
    #[serde(default)]
    expected: Option<String>,
}

async fn switch(State(models): State<Models>, Path(name): Path<String>, body: Body) -> Answer {
    let model = find(&models, &name)?;
    let wanted: Wanted = parse(body)?;
    model.switch(&wanted.version, wanted.expected.as_deref(), "registry")?;
    Ok(json_reply(StatusCode::OK, &describe(model)))
}

async fn inject(State(models): State<Models>, Path(name): Path<String>, body: Body) -> Answer {
    let model = find(&models, &name)?;
    model.inject(parse(body)?)?;
    Ok(json_reply(StatusCode::OK, &fault_of(model)))
}

async fn list(State(models): State<Models>) -> Response {
    let models: Vec<Value> = models.iter().map(|m| describe(m)).collect();
    json_reply(StatusCode::OK, &json!({ "models": models }))
}

async fn show(State(models): State<Models>, Path(name): Path<String>) -> Answer {
    Ok(json_reply(StatusCode::OK, &describe(find(&models, &name)?)))
}

async fn history(State(models): State<Models>, Path(name): Path<String>) -> Answer {
    let model = find(&models, &name)?;
    Ok(json_reply(StatusCode::OK, &json!({ "name": model.name, "switches": model.history() })))
}

async fn faults(State(models): State<Models>) -> Response {
    let faults: Vec<Value> = models.iter().map(|m| fault_of(m)).collect();
    json_reply(StatusCode::OK, &json!({ "faults": faults }))
}

async fn server() -> Response {
    json_reply(StatusCode::OK, &json!({ "name": SERVER_NAME, "version": env!("CARGO_PKG_VERSION") }))
}

/// A model as the registry shows it. The etag changes with every switch.
fn describe(model: &LiveModel) -> Value {
    let (live, switches) = model.live_and_switches();
    let version = |v: &Arc<ModelDefinition>| {
        json!({
            "version": v.version,
            "created_ms": v.created_ms,
            "ready": true,
            "description": v.description,
            "metrics": v.metrics,
        })
    };
    let versions: Vec<Value> = model.versions().iter().map(version).collect();
    json!({ "name": model.name, "live": live, "etag": format!("{}-{switches}", model.name), "versions": versions })
}

/// `{"model": "wine", "fault": "latency", "ms": 400}`
fn fault_of(model: &LiveModel) -> Value {
    let mut described = json!({ "model": model.name });
    if let (Value::Object(into), Ok(Value::Object(from))) = (&mut described, serde_json::to_value(model.fault())) {
        into.extend(from);
    }
    described
}

fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let body = reply::read(body)?;
    serde_json::from_slice(&body).map_err(|error| {
        reply::error_reply(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}")).into()
    })
}

impl From<DemoError> for Refusal {
    fn from(error: DemoError) -> Self {
        let mut body = json!({ "error": error.to_string() });
        let status = match error {
            DemoError::UnknownModel { .. } | DemoError::UnknownVersion { .. } => StatusCode::NOT_FOUND,
            DemoError::LiveChanged { live, .. } => {
                body["live"] = json!(live);
                StatusCode::CONFLICT
            }
            _ => StatusCode::BAD_REQUEST,
        };
        json_reply(status, &body).into()
    }
}
