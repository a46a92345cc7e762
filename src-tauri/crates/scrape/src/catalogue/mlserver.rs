//! Seldon `MLServer` 1.7.1, port 8087 (`metrics_port`), as it printed them.

use super::{Entry, Filter, Form, Part, Server};
use crate::Quantity::{ComputeTime, Errors, InFlight, Latency, Throughput};

/// Infer routes of every model: the label holds the route's pattern, `/v2/models/{model_name}/infer`.
const INFER: &[Filter] = &[Filter::EndsWith("path", "/infer")];

pub(super) static SERVER: Server = Server {
    name: "MLServer",
    entries: &[
        Entry::new(Throughput, "model_infer_request_success_total", Form::Counter).model("model").version("version"),
        Entry::new(Errors, "model_infer_request_failure_total", Form::Counter)
            .model("model")
            .version("version")
            .part(Part::Named("inference failed"))
            .note("requests refused before the model (400, 422) are not counted by model"),
        Entry::new(Latency, "rest_server_request_duration_seconds", Form::Histogram)
            .only(INFER)
            .note("all models of this server; it does not tell them apart"),
        // A summary without quantiles: only the mean is known.
        Entry::new(ComputeTime, "model_infer_request_duration", Form::Summary).model("model").version("version"),
        Entry::new(InFlight, "rest_server_requests_in_progress", Form::Gauge)
            .only(&[Filter::Is("method", &["POST"])])
            .note("all models of this server"),
    ],
};
