//! HTTP answers as the imitated servers form them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::Router;
use pilothouse_domain::Cell;
use serde::Serialize;
use serde_json::json;

use crate::feature::RowError;
use crate::live::{Disturbance, LiveModel};
use crate::model::ModelDefinition;

/// The name under which the servers introduce themselves.
pub(crate) const SERVER_NAME: &str = "pilothouse-demo";

/// Largest request body in bytes; enough for 25,000 rows of the widest demo model that has named columns.
pub(crate) const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// A request body, or why it could not be read.
pub(crate) type Body = Result<Bytes, BytesRejection>;

/// A JSON answer.
pub(crate) fn json_reply(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `{"error": message}`, the form of the Open Inference Protocol.
pub(crate) fn error_reply(status: StatusCode, message: &str) -> Response {
    json_reply(status, &json!({ "error": message }))
}

/// What a handler gives: its answer, or the one that refuses the request.
pub(crate) type Answer = Result<Response, Refusal>;

/// An answer that refuses a request. Boxed, so that results which carry it stay small.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// What a server answers that cannot predict now.
impl From<Disturbance> for Refusal {
    fn from(disturbance: Disturbance) -> Self {
        let (status, message) = match disturbance {
            Disturbance::Error => (StatusCode::INTERNAL_SERVER_ERROR, "injected fault: prediction failed"),
            Disturbance::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "the demo fleet is being stopped"),
        };
        error_reply(status, message).into()
    }
}

/// The body, or the answer that says why it could not be read.
pub(crate) fn read(body: Body) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let message = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            format!("the request body is larger than {} MiB", MAX_BODY_BYTES / (1024 * 1024))
        } else {
            rejection.body_text()
        };
        error_reply(rejection.status(), &message).into()
    })
}

/// Predicts away from the threads that serve, since a large request computes for a while.
pub(crate) async fn evaluate(
    version: &Arc<ModelDefinition>,
    rows: Vec<Vec<Cell>>,
) -> Result<Result<Vec<Vec<f64>>, RowError>, Refusal> {
    let version = Arc::clone(version);
    tokio::task::spawn_blocking(move || version.predict(&rows))
        .await
        .map_err(|error| error_reply(StatusCode::INTERNAL_SERVER_ERROR, &format!("evaluating failed: {error}")).into())
}

/// Keeps every answer of a model's server back while it hangs, its health routes included.
pub(crate) async fn hang(State(model): State<Arc<LiveModel>>, request: Request, next: Next) -> Answer {
    model.answering().await?;
    Ok(next.run(request).await)
}

/// Answers unknown paths and methods as `FastAPI` does, on which MLServer and MLflow are built.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(|| async { json_reply(StatusCode::NOT_FOUND, &json!({ "detail": "Not Found" })) })
        .method_not_allowed_fallback(|| async {
            json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": "Method Not Allowed" }))
        })
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
}
