//! llama.cpp server b11434 with `--metrics`, as it printed them and as its tools/server/README.md lists them. It holds one
//! model and tells no requests apart.

use super::{Entry, Form, Server};
use crate::Quantity::{InFlight, KvCache, OutputTokens, PromptTokens, Waiting};

pub(super) static SERVER: Server = Server {
    name: "llama.cpp",
    entries: &[
        Entry::new(OutputTokens, "llamacpp:tokens_predicted_total", Form::Counter),
        Entry::new(PromptTokens, "llamacpp:prompt_tokens_total", Form::Counter).note("without those from its cache"),
        Entry::new(InFlight, "llamacpp:requests_processing", Form::Gauge),
        Entry::new(Waiting, "llamacpp:requests_deferred", Form::Gauge),
        Entry::new(KvCache, "llamacpp:kv_cache_usage_ratio", Form::Gauge),
    ],
};
