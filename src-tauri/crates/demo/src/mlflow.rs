//! A model server that speaks MLflow's scoring protocol, as `mlflow models serve` does.
//!
//! Wire format: MLflow 3.17.2, from captures of its answers: `/ping` and `/health` answer one line feed, `/version` is
//! MLflow's own version and never the model's, errors carry `error_code` and `message`. What must stay true: nothing
//! that is served names the model's version, because the real server does not know it either.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;
use serde_json::ser::{Formatter, Serializer};

use crate::frame::{self, FrameError, INVALID_PARAMETER_VALUE};
use crate::live::LiveModel;
use crate::reply::{self, Answer, Body, Refusal};

/// The version of MLflow whose behaviour is imitated.
const MLFLOW_VERSION: &str = "3.17.2";
const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

type Model = State<Arc<LiveModel>>;

/// The routes of one regression model's server.
pub(crate) fn router(model: Arc<LiveModel>) -> Router {
    let routes = Router::new()
        .route("/ping", get(ping))
        .route("/health", get(ping))
        .route("/version", get(|| async { (JSON, MLFLOW_VERSION) }))
        .route("/invocations", post(invocations));
    reply::with_fallbacks(routes).layer(from_fn_with_state(Arc::clone(&model), reply::hang)).with_state(model)
}

async fn ping() -> Response {
    (JSON, "\n").into_response()
}

async fn invocations(State(model): Model, headers: HeaderMap, body: Body) -> Answer {
    let version = model.live();
    let content_type = headers.get(header::CONTENT_TYPE).map_or("None", |v| v.to_str().unwrap_or("unreadable"));
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = reply::read(body)?;
    let rows = match media_type.as_str() {
        "application/json" => frame::json_rows(&version.columns, &body),
        "text/csv" => frame::csv_rows(&version.columns, &body),
        _ => return Err(unsupported(content_type)),
    };
    let rows = rows.map_err(|error| failed(&error))?;
    model.work().await?;
    let predictions = reply::evaluate(&version, rows).await?.map_err(|error| {
        failed(&FrameError {
            code: INVALID_PARAMETER_VALUE,
            message: format!("Failed to enforce schema of data: {error}"),
        })
    })?;
    let values: Vec<f64> = model.shape(predictions).into_iter().flatten().collect();
    Ok((JSON, python_json(&json!({ "predictions": values }))).into_response())
}

fn failed(error: &FrameError) -> Refusal {
    let body = json!({
        "error_code": error.code,
        "message": error.message,
        "sqlstate": "KAM00",
        "error_class": "INVALID_PARAMETER_VALUE",
    });
    (StatusCode::BAD_REQUEST, JSON, python_json(&body)).into_response().into()
}

fn unsupported(content_type: &str) -> Refusal {
    let message = format!(
        "This predictor only supports the following content types: Types: ['text/csv', 'application/json']. Got \
         '{content_type}'."
    );
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response().into()
}

/// JSON with a space after each comma and colon, as Python's `json.dumps` writes it.
fn python_json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    // Values made of objects with text keys, written to memory, cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, PythonFormatter));
    text
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
