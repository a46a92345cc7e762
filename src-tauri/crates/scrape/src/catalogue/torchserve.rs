//! `TorchServe` 0.12.0, port 8082 with `metrics_mode=prometheus`, as it printed them; GPU series (no GPU was at hand) from
//! its docs/metrics.md.

use super::{Entry, Form, Part, Server};
use crate::Quantity::{ComputeTime, Errors, Gpu, GpuMemory, Latency, MachineCpu, QueueTime, Throughput};

const REQUESTS: &str = "ts_inference_requests_total";
const HOST: &str = "all models of this server";

pub(super) static SERVER: Server = Server {
    name: "TorchServe",
    entries: &[
        Entry::new(Throughput, REQUESTS, Form::Counter).model("model_name").version("model_version"),
        Entry::new(Errors, "Requests4XX", Form::Counter).part(Part::Named("4xx")).note(HOST),
        Entry::new(Errors, "Requests5XX", Form::Counter).part(Part::Named("5xx")).note(HOST),
        Entry::new(Latency, "ts_inference_latency_microseconds", Form::Total { requests: REQUESTS })
            .scale(1e-6)
            .model("model_name")
            .version("model_version"),
        Entry::new(QueueTime, "ts_queue_latency_microseconds", Form::Total { requests: REQUESTS })
            .scale(1e-6)
            .model("model_name")
            .version("model_version"),
        Entry::new(ComputeTime, "PredictionTime", Form::Gauge)
            .scale(1e-3)
            .model("ModelName")
            .note("the latest request at each look"),
        Entry::new(MachineCpu, "CPUUtilization", Form::Gauge).scale(0.01),
        Entry::new(Gpu, "GPUUtilization", Form::Gauge).scale(0.01).note("the mean of its GPUs, for all models"),
        Entry::new(GpuMemory, "GPUMemoryUsed", Form::Gauge).scale(1_048_576.0).note("all GPUs and models together"),
    ],
};
