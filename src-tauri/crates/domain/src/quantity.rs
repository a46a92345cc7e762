//! What a model server can tell about itself, whatever it calls it, and what each is measured in.

use serde::{Deserialize, Serialize};

/// What a number is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A number of things at one moment.
    Count,
    /// A part of a whole, 0 to 1.
    Share,
    /// Bytes.
    Bytes,
    /// Processor cores kept busy.
    Cores,
}

impl Unit {
    /// The word used in the store, the API and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
            Self::Count => "count",
            Self::Share => "share",
            Self::Bytes => "bytes",
            Self::Cores => "cores",
        }
    }

    /// The unit of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::PerSecond, Self::Seconds, Self::Count, Self::Share, Self::Bytes, Self::Cores]
            .into_iter()
            .find(|unit| unit.as_str() == text)
    }

    /// Whether the values of several engines or devices of one server add up; shares are averaged.
    pub const fn adds_up(self) -> bool {
        !matches!(self, Self::Share | Self::Seconds)
    }
}

macro_rules! quantities {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $title:literal, $unit:ident;)*) => {
        /// A quantity of a model server. The words are stored for years: one is never given a second meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Quantity { $($(#[$doc])* $name,)* }

        impl Quantity {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in the store, the API and the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// A short title for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What it is measured in.
            pub const fn unit(self) -> Unit {
                match self { $(Self::$name => Unit::$unit,)* }
            }
        }
    };
}

quantities! {
    /// From the arrival of a request at the server to the end of its answer.
    Latency = "latency", "Latency in the server", Seconds;
    /// Requests answered per second.
    Throughput = "throughput", "Throughput", PerSecond;
    /// Requests failed per second, by reason.
    Errors = "errors", "Errors", PerSecond;
    /// How long requests waited before their computation began.
    QueueTime = "queue_time", "Queue time", Seconds;
    /// How long the model itself computed.
    ComputeTime = "compute_time", "Compute time", Seconds;
    /// To the first token of an answer.
    FirstToken = "first_token", "Time to first token", Seconds;
    /// Between two tokens of an answer.
    InterToken = "inter_token", "Time between tokens", Seconds;
    /// Tokens generated per second, over all requests.
    OutputTokens = "output_tokens", "Tokens generated", PerSecond;
    /// Tokens of prompts read per second.
    PromptTokens = "prompt_tokens", "Prompt tokens", PerSecond;
    /// Requests being worked on.
    InFlight = "in_flight", "In flight", Count;
    /// Requests that wait for their turn.
    Waiting = "waiting", "Waiting", Count;
    /// The part of the key-value cache that is in use.
    KvCache = "kv_cache", "KV cache in use", Share;
    /// Processor cores that the server keeps busy.
    Cpu = "cpu", "CPU", Cores;
    /// The part of the whole machine's processors that is busy.
    MachineCpu = "machine_cpu", "CPU of the machine", Share;
    /// Memory that the server holds.
    Memory = "memory", "Memory", Bytes;
    /// The part of time in which the GPU is busy.
    Gpu = "gpu", "GPU", Share;
    /// GPU memory in use.
    GpuMemory = "gpu_memory", "GPU memory", Bytes;
}

impl Quantity {
    /// The quantity of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|quantity| quantity.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_one_quantity() {
        for quantity in Quantity::ALL {
            assert_eq!(Quantity::parse(quantity.as_str()), Some(*quantity));
            assert_eq!(Unit::parse(quantity.unit().as_str()), Some(quantity.unit()));
        }
        assert_eq!(Quantity::parse("speed"), None);
    }
}
