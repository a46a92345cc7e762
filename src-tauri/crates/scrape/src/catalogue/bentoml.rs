//! `BentoML` 1.4.39, `/metrics` on the service's own port, as it printed them.

use super::{Entry, Filter, Form, Part, Server};
use crate::Quantity::{Errors, InFlight, Latency, Throughput};

/// The service's own routes; its health and documentation routes are no predictions.
const API: Filter = Filter::IsNot(
    "endpoint",
    &["/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/docs.json", "/", "/favicon.ico"],
);
const CODE: &str = "http_response_code";

pub(super) static SERVER: Server = Server {
    name: "BentoML",
    entries: &[
        Entry::new(Throughput, "bentoml_service_request_total", Form::Counter)
            .only(&[API, Filter::BeginsWith(CODE, &["2"])]),
        Entry::new(Errors, "bentoml_service_request_total", Form::Counter)
            .part(Part::Label(CODE))
            .only(&[API, Filter::BeginsWith(CODE, &["4", "5"])]),
        Entry::new(Latency, "bentoml_service_request_duration_seconds", Form::Histogram)
            .only(&[API, Filter::BeginsWith(CODE, &["2"])]),
        Entry::new(InFlight, "bentoml_service_request_in_progress", Form::Gauge).only(&[API]),
    ],
};
