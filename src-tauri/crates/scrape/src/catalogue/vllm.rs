//! vLLM 0.32.0, `/metrics` on its own port, as it printed them; `vllm:gpu_cache_usage_perc` and
//! `vllm:time_per_output_token_seconds` are the names of versions before 0.11 (its docs/usage/metrics.md).

use super::{Entry, Filter, Form, Part, Server};
use crate::Quantity::{
    ComputeTime, Errors, FirstToken, InFlight, InterToken, KvCache, Latency, OutputTokens, PromptTokens, QueueTime,
    Throughput, Waiting,
};

const MODEL: &str = "model_name";
const REASON: &str = "finished_reason";

pub(super) static SERVER: Server = Server {
    name: "vLLM",
    entries: &[
        Entry::new(Throughput, "vllm:request_success_total", Form::Counter)
            .model(MODEL)
            .only(&[Filter::IsNot(REASON, &["error", "abort"])]),
        Entry::new(Errors, "vllm:request_success_total", Form::Counter)
            .model(MODEL)
            .part(Part::Label(REASON))
            .only(&[Filter::Is(REASON, &["error", "abort"])]),
        Entry::new(Latency, "vllm:e2e_request_latency_seconds", Form::Histogram).model(MODEL),
        Entry::new(QueueTime, "vllm:request_queue_time_seconds", Form::Histogram).model(MODEL),
        Entry::new(ComputeTime, "vllm:request_inference_time_seconds", Form::Histogram).model(MODEL),
        Entry::new(FirstToken, "vllm:time_to_first_token_seconds", Form::Histogram).model(MODEL),
        Entry::new(InterToken, "vllm:inter_token_latency_seconds", Form::Histogram).model(MODEL),
        Entry::new(InterToken, "vllm:time_per_output_token_seconds", Form::Histogram).model(MODEL).otherwise(),
        Entry::new(OutputTokens, "vllm:generation_tokens_total", Form::Counter).model(MODEL),
        Entry::new(PromptTokens, "vllm:prompt_tokens_total", Form::Counter).model(MODEL),
        Entry::new(InFlight, "vllm:num_requests_running", Form::Gauge).model(MODEL),
        Entry::new(Waiting, "vllm:num_requests_waiting", Form::Gauge).model(MODEL),
        Entry::new(KvCache, "vllm:kv_cache_usage_perc", Form::Gauge).model(MODEL),
        Entry::new(KvCache, "vllm:gpu_cache_usage_perc", Form::Gauge).model(MODEL).otherwise(),
    ],
};
