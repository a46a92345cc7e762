//! What one generated answer measured: how soon it began, how fast it went on, why it ended, what it said.
//!
//! What must stay true: a number is present only when it was measured or told; who counted the tokens is always said.

use serde::{Deserialize, Serialize};

/// Longest text of an answer that is kept, in bytes.
pub const ANSWER_MAX_BYTES: usize = 2048;

/// One generated answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Generation {
    /// From the first byte of the request sent to the first piece of text that came, in microseconds. Opening the
    /// connection does not count. Absent when no text came or the answer was not streamed.
    pub first_token_us: Option<u32>,
    /// Mean gap between two pieces of text, in microseconds; absent with fewer than two. Servers send one token in a
    /// piece, as a rule.
    pub inter_token_us: Option<u32>,
    /// 95th percentile of those gaps within this answer, in microseconds.
    pub inter_token_p95_us: Option<u32>,
    /// Tokens after the first, by the seconds from the first to the end of the text. Of an answer that was not
    /// streamed: all tokens by the seconds from the request's end to the answer's.
    pub tokens_per_second: Option<f64>,
    /// Who counted the tokens behind [`Self::tokens_per_second`].
    pub token_count: TokenCount,
    /// Why the answer ended, if the server said.
    pub finish_reason: Option<FinishReason>,
    /// Tokens of the prompt, as the server counted them.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, as the server counted them.
    pub completion_tokens: Option<u32>,
    /// What the server says of its own time.
    pub server: ServerTiming,
    /// Which prompt of the set was asked, from 0.
    pub prompt: u32,
    /// The answer's beginning, at most [`ANSWER_MAX_BYTES`] bytes. Untrusted text.
    pub text: String,
    /// Whether [`Self::text`] is not the whole answer.
    pub text_cut: bool,
    /// What came of each check of the prompt, in its order.
    pub checks: Vec<CheckedAnswer>,
}

/// Who counted tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenCount {
    /// We counted the pieces of text that came.
    #[default]
    Pieces,
    /// The server's own count.
    Server,
}

/// A server's own account of its time, in microseconds (Ollama's durations, llama.cpp's `timings`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTiming {
    /// Loading the model.
    pub load_us: Option<u32>,
    /// Reading the prompt.
    pub prompt_us: Option<u32>,
    /// Generating the answer.
    pub generate_us: Option<u32>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedAnswer {
    /// What was asked for, in words.
    pub check: String,
    /// Why it failed; `None`: it holds.
    pub problem: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model had said everything.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The server held text back.
    ContentFilter,
    /// The model wants a tool to be called.
    ToolCalls,
    /// The server failed in the middle.
    Error,
    /// A word that this build does not know.
    Other,
}

impl FinishReason {
    /// Every reason, in the order of its code.
    pub const ALL: [Self; 6] =
        [Self::Stop, Self::Length, Self::ContentFilter, Self::ToolCalls, Self::Error, Self::Other];

    /// The word of the `OpenAI` API for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::ToolCalls => "tool_calls",
            Self::Error => "error",
            Self::Other => "other",
        }
    }

    /// The reason that a server names; `other` for an unknown word.
    pub fn parse(text: &str) -> Self {
        match text {
            "function_call" => Self::ToolCalls,
            // vLLM's word for a request that was cancelled on the server.
            "abort" => Self::Error,
            _ => Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Other),
        }
    }

    /// The stable number under which this is stored. A number is never given a second meaning.
    pub const fn code(self) -> u8 {
        match self {
            Self::Stop => 1,
            Self::Length => 2,
            Self::ContentFilter => 3,
            Self::ToolCalls => 4,
            Self::Error => 5,
            Self::Other => 6,
        }
    }

    /// The reason with this stored number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_code_and_its_word() {
        for reason in FinishReason::ALL {
            assert_eq!(FinishReason::from_code(reason.code()), Some(reason));
            assert_eq!(FinishReason::parse(reason.as_str()), reason);
        }
        assert_eq!(FinishReason::parse("function_call"), FinishReason::ToolCalls);
        assert_eq!(FinishReason::parse("<b>"), FinishReason::Other);
        assert_eq!(FinishReason::from_code(0), None);
    }
}
