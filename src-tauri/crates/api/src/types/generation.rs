//! Endpoints that generate text: their prompts, and what an answer measured.

use super::border;

border! {
    /// Prompts that take turns, one with each probe.
    #[derive(Eq)]
    pub struct PromptSetDraft {
        /// `chat` or `completions`.
        pub route: String,
        /// Whether the answer is asked for piece by piece.
        pub stream: bool,
        /// Most tokens of an answer.
        pub max_tokens: u32,
        /// The prompts.
        pub prompts: Vec<PromptDraft>,
    }

    /// One prompt with what its answer must satisfy.
    #[derive(Eq)]
    pub struct PromptDraft {
        /// The messages in order.
        pub messages: Vec<MessageDraft>,
        /// All of these must hold.
        pub checks: Vec<AnswerCheckDraft>,
    }

    /// One message.
    #[derive(Eq)]
    pub struct MessageDraft {
        /// `system`, `user` or `assistant`.
        pub role: String,
        /// What is said.
        pub content: String,
    }

    /// What an answer must satisfy.
    #[derive(Eq)]
    #[serde(tag = "kind")]
    pub enum AnswerCheckDraft {
        /// It contains this text.
        Contains {
            /// The text.
            text: String,
        },
        /// The regular expression is found in it.
        Regex {
            /// The expression.
            pattern: String,
        },
        /// It is JSON.
        Json {
            /// Members that it must have.
            required_keys: Vec<String>,
        },
        /// It is this text.
        Exact {
            /// The text.
            text: String,
        },
    }

    /// What one generated answer measured.
    pub struct GenerationResult {
        /// From the request to the first text, in microseconds.
        pub first_token_us: Option<u32>,
        /// Mean gap between two pieces of text, in microseconds.
        pub inter_token_us: Option<u32>,
        /// 95th percentile of those gaps, in microseconds.
        pub inter_token_p95_us: Option<u32>,
        /// Tokens per second.
        pub tokens_per_second: Option<f64>,
        /// Who counted them: `server` or `pieces`.
        pub token_count: String,
        /// Why the answer ended: `stop`, `length`, `content_filter`, `tool_calls`, `error` or `other`.
        pub finish_reason: Option<String>,
        /// Tokens of the prompt, as the server counted them.
        pub prompt_tokens: Option<u32>,
        /// Tokens of the answer, as the server counted them.
        pub completion_tokens: Option<u32>,
        /// What the server says it took to load the model, in microseconds.
        pub server_load_us: Option<u32>,
        /// What the server says it took to read the prompt, in microseconds.
        pub server_prompt_us: Option<u32>,
        /// What the server says it took to generate, in microseconds.
        pub server_generate_us: Option<u32>,
        /// Which prompt was asked, from 0.
        pub prompt: u32,
        /// The beginning of the answer, at most 2 KB. Untrusted.
        pub text: String,
        /// Whether that is not all of it.
        pub text_cut: bool,
        /// What came of each check.
        pub checks: Vec<CheckedAnswer>,
    }

    /// Generated answers of a range.
    pub struct GenerationSummary {
        /// Answers measured.
        pub n: u32,
        /// Time to the first token in microseconds.
        pub first_token_us: GenerationQuantiles,
        /// Gap between tokens in microseconds.
        pub inter_token_us: GenerationQuantiles,
        /// Tokens per second.
        pub tokens_per_second: GenerationQuantiles,
        /// The last answer, whatever the range.
        pub last: Option<LastAnswer>,
    }

    /// Points of a distribution, each within 1 %; `null` where nothing was measured.
    #[derive(Copy)]
    pub struct GenerationQuantiles {
        /// 5th percentile.
        pub p05: Option<f64>,
        /// Median.
        pub p50: Option<f64>,
        /// 95th percentile.
        pub p95: Option<f64>,
        /// 99th percentile.
        pub p99: Option<f64>,
    }

    /// The last answer of an endpoint.
    pub struct LastAnswer {
        /// When its probe was due.
        pub at_ms: i64,
        /// The prompt as it is set now; `null` when the set has become shorter since.
        pub asked: Option<String>,
        /// What it measured and said.
        pub result: GenerationResult,
    }

    /// What came of one check.
    #[derive(Eq)]
    pub struct CheckedAnswer {
        /// What was asked for, in words.
        pub check: String,
        /// Why it failed; `null`: it holds.
        pub problem: Option<String>,
    }
}
