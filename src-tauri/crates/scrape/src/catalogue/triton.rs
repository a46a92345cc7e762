//! NVIDIA Triton 2.51.0, port 8002, as it printed them; GPU series, pending requests, the summaries and the histogram of
//! first responses (which must be switched on) from its metrics documentation, `docs/user_guide/metrics.md`.

use super::{Entry, Form, Part, Server};
use crate::Quantity::{
    ComputeTime, Errors, FirstToken, Gpu, GpuMemory, Latency, MachineCpu, QueueTime, Throughput, Waiting,
};

const SUCCESS: &str = "nv_inference_request_success";
const MICROSECONDS: f64 = 1e-6;

pub(super) static SERVER: Server = Server {
    name: "Triton",
    entries: &[
        Entry::new(Throughput, SUCCESS, Form::Counter).model("model").version("version"),
        Entry::new(Errors, "nv_inference_request_failure", Form::Counter)
            .model("model")
            .version("version")
            .part(Part::Label("reason")),
        Entry::new(Latency, "nv_inference_request_summary_us", Form::Summary)
            .scale(MICROSECONDS)
            .model("model")
            .version("version"),
        Entry::new(Latency, "nv_inference_request_duration_us", Form::Total { requests: SUCCESS })
            .scale(MICROSECONDS)
            .model("model")
            .version("version")
            .otherwise(),
        Entry::new(QueueTime, "nv_inference_queue_summary_us", Form::Summary)
            .scale(MICROSECONDS)
            .model("model")
            .version("version"),
        Entry::new(QueueTime, "nv_inference_queue_duration_us", Form::Total { requests: SUCCESS })
            .scale(MICROSECONDS)
            .model("model")
            .version("version")
            .otherwise(),
        Entry::new(ComputeTime, "nv_inference_compute_infer_duration_us", Form::Total { requests: SUCCESS })
            .scale(MICROSECONDS)
            .model("model")
            .version("version"),
        Entry::new(FirstToken, "nv_inference_first_response_histogram_ms", Form::Histogram)
            .scale(1e-3)
            .model("model")
            .version("version"),
        Entry::new(Waiting, "nv_inference_pending_request_count", Form::Gauge).model("model").version("version"),
        Entry::new(MachineCpu, "nv_cpu_utilization", Form::Gauge),
        Entry::new(Gpu, "nv_gpu_utilization", Form::Gauge).note("the mean of its GPUs, for all models"),
        Entry::new(GpuMemory, "nv_gpu_memory_used_bytes", Form::Gauge).note("all GPUs and models together"),
    ],
};
