//! `KServe` SDK 0.21.0 (custom predictors and the servers built on it), `/metrics` on its own port, as it printed them.

use super::{Entry, Form, Server};
use crate::Quantity::{Latency, Throughput};

const MODEL: &str = "model_name";

pub(super) static SERVER: Server = Server {
    name: "KServe",
    entries: &[
        // One observation per prediction.
        Entry::new(Throughput, "request_predict_seconds_count", Form::Counter).model(MODEL),
        Entry::new(Latency, "request_predict_seconds", Form::Histogram)
            .model(MODEL)
            .note("the prediction alone; it does not time the whole request"),
    ],
};
