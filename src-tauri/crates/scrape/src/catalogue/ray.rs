//! Ray Serve 2.60.0, on the port of `ray start --metrics-export-port`, or on those that its
//! `prom_metrics_service_discovery.json` lists, as it printed them; the names without `_total` from its documentation
//! (Serve, "Monitor your application", built-in metrics). Each node has a page of its own, and only the pages of the nodes
//! that hold the proxy and the replicas carry these. The proxy's own routes, `/-/healthz` and the like, are counted for no
//! application.

use super::{Entry, Filter, Form, Part, Server};
use crate::Quantity::{ComputeTime, Errors, InFlight, Latency, Throughput, Waiting};

const MILLISECONDS: f64 = 1e-3;
const APPLICATION: &str = "application";
const NODE: &str = "this node's share";
const OF_APPLICATIONS: &[Filter] = &[Filter::IsNot(APPLICATION, &[""])];

pub(super) static SERVER: Server = Server {
    name: "Ray Serve",
    entries: &[
        Entry::new(Throughput, "ray_serve_num_http_requests_total", Form::Counter)
            .model(APPLICATION)
            .only(OF_APPLICATIONS)
            .note(NODE),
        Entry::new(Throughput, "ray_serve_num_http_requests", Form::Counter)
            .model(APPLICATION)
            .only(OF_APPLICATIONS)
            .note(NODE)
            .otherwise(),
        Entry::new(Errors, "ray_serve_num_http_error_requests_total", Form::Counter)
            .model(APPLICATION)
            .part(Part::Label("error_code"))
            .note(NODE),
        Entry::new(Errors, "ray_serve_num_http_error_requests", Form::Counter)
            .model(APPLICATION)
            .part(Part::Label("error_code"))
            .note(NODE)
            .otherwise(),
        Entry::new(Latency, "ray_serve_http_request_latency_ms", Form::Histogram)
            .scale(MILLISECONDS)
            .model(APPLICATION)
            .only(OF_APPLICATIONS)
            .note(NODE),
        Entry::new(ComputeTime, "ray_serve_deployment_processing_latency_ms", Form::Histogram)
            .scale(MILLISECONDS)
            .model(APPLICATION)
            .note(NODE),
        Entry::new(InFlight, "ray_serve_replica_processing_queries", Form::Gauge).model(APPLICATION).note(NODE),
        Entry::new(Waiting, "ray_serve_deployment_queued_queries", Form::Gauge).model(APPLICATION).note(NODE),
    ],
};
