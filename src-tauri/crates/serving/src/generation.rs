//! One generated answer, measured while it comes.
//!
//! What it is: what a protocol must tell to generate text ([`TextGeneration`]), and [`Recorder`], which watches an
//! answer's body and turns it into a [`Generation`]. What it hides: which piece came when. What must stay true: the
//! times are those of arrival on this machine; memory is bounded whatever the server sends; no bytes panic.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use pilothouse_domain::generation::{ANSWER_MAX_BYTES, CheckedAnswer};
use pilothouse_domain::{FinishReason, Generation, Prompt, PromptSet, ServerTiming, TargetFailure, TokenCount};
use tokio::time::Instant;

use crate::protocol::{Call, ModelMetadata};
use crate::stream::{EventSplitter, Framing};
use crate::text::{DETAIL_LIMIT, one_line};
use crate::transport::{BodyObserver, Exchange, Failure};

/// Longest text that checks look at, in bytes: 4096 tokens are far shorter.
const TEXT_MAX_BYTES: usize = 256 * 1024;
/// Most gaps between pieces that are kept for the percentile.
const GAPS_MAX: usize = 16 * 1024;
/// Longest beginning of an answer in a failure's detail, in characters.
const QUOTE_CHARACTERS: usize = 80;

/// The part of a protocol that generates text. Pure functions from values to bytes and back.
pub(crate) trait TextGeneration: Send + Sync {
    /// Asks for an answer to `prompt`.
    fn call(&self, prompt: &Prompt, set: &PromptSet, metadata: Option<&ModelMetadata>) -> Result<Call, Failure>;

    /// Learns from a refusal how this model wants to be asked. Whether that was new, so that the same prompt may be asked
    /// again.
    fn adapt(&self, _status: u16, _body: &[u8]) -> bool {
        false
    }

    /// How a streamed answer is framed, unless its content type says otherwise.
    fn framing(&self) -> Framing;

    /// Reads one event of a stream, or the whole answer.
    fn read_part(&self, event: &[u8]) -> Result<Part, Failure>;

    /// Whether a stream without its closing mark is cut off. Some servers of the `OpenAI` API send none.
    fn ends_with_mark(&self) -> bool;
}

/// What one event of an answer says.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Part {
    /// Text of the answer; empty text is no token.
    pub(crate) text: String,
    /// Whether it holds text that the model thinks and does not answer: tokens, but not of the answer.
    pub(crate) thinks: bool,
    /// Whether it holds an answer at all, be it empty.
    pub(crate) is_answer: bool,
    pub(crate) finish_reason: Option<FinishReason>,
    pub(crate) prompt_tokens: Option<u32>,
    pub(crate) completion_tokens: Option<u32>,
    /// The model as the answer names it.
    pub(crate) model: Option<String>,
    pub(crate) server: ServerTiming,
    /// The closing mark.
    pub(crate) last: bool,
}

/// Watches one answer.
pub(crate) struct Recorder<'a> {
    protocol: &'a dyn TextGeneration,
    streamed: bool,
    splitter: Option<EventSplitter>,
    heard: Heard,
}

/// What was heard so far.
#[derive(Default)]
struct Heard {
    started: Option<Instant>,
    first: Option<Instant>,
    latest: Option<Instant>,
    finished: Option<Instant>,
    gaps_us: Vec<u32>,
    pieces: u32,
    text: String,
    text_cut: bool,
    is_answer: bool,
    ended: bool,
    finish_reason: Option<FinishReason>,
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    model: Option<String>,
    server: ServerTiming,
    failure: Option<Failure>,
}

/// What came of one prompt.
pub(crate) struct Answered {
    /// The measurements; absent when the server gave no answer at all.
    pub(crate) generation: Option<Box<Generation>>,
    /// The model as the answer names it.
    pub(crate) model: Option<String>,
    /// Why the answer is not in order.
    pub(crate) failure: Option<Failure>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(protocol: &'a dyn TextGeneration, streamed: bool) -> Self {
        Self { protocol, streamed, splitter: None, heard: Heard::default() }
    }

    /// Draws the conclusions. `refusal` is the exchange's own failure or that of its status.
    pub(crate) fn conclude(
        mut self,
        exchange: &Exchange,
        refusal: Option<Failure>,
        number: usize,
        prompt: &Prompt,
    ) -> Answered {
        if let Some(splitter) = self.splitter.take()
            && refusal.is_none()
        {
            let (heard, protocol) = (&mut self.heard, self.protocol);
            let at = Instant::now();
            splitter.finish(&mut |event| heard.take(protocol, event, at));
        }
        let streamed = self.streamed;
        let must_end = streamed && self.protocol.ends_with_mark();
        let failure = refusal.map(|failure| self.heard.in_the_middle(failure)).or_else(|| self.heard.problem(must_end));
        let checks: Vec<CheckedAnswer> = if failure.is_none() { self.heard.check(prompt) } else { Vec::new() };
        let failure = failure.or_else(|| self.heard.failed_check(number, &checks));
        let Heard { is_answer, ref model, .. } = self.heard;
        Answered {
            model: model.clone(),
            failure,
            generation: is_answer.then(|| Box::new(self.heard.generation(exchange, streamed, number, checks))),
        }
    }
}

impl BodyObserver for Recorder<'_> {
    fn watches(&self) -> bool {
        true
    }

    fn request_starts(&mut self, at: Instant) {
        self.heard = Heard { started: Some(at), ..Heard::default() };
        self.splitter = None;
    }

    fn answer_starts(&mut self, headers: &HeaderMap) {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let framing = match media_type.as_str() {
            "text/event-stream" => Framing::ServerSentEvents,
            "application/x-ndjson" | "application/jsonl" => Framing::JsonLines,
            // Some servers ignore the wish for a stream and answer in one piece, which is no failure.
            "application/json" => Framing::Whole,
            _ if self.streamed => self.protocol.framing(),
            _ => Framing::Whole,
        };
        self.streamed &= framing != Framing::Whole;
        self.splitter = Some(EventSplitter::new(framing));
    }

    fn piece(&mut self, bytes: &[u8], at: Instant) {
        let (heard, protocol) = (&mut self.heard, self.protocol);
        let Some(splitter) = &mut self.splitter else { return };
        if heard.failure.is_none() && splitter.push(bytes, &mut |event| heard.take(protocol, event, at)).is_err() {
            heard.failure = Some(Failure::target(
                TargetFailure::ResponseTooLarge,
                "one event of the stream is larger than a megabyte and was not read further",
            ));
        }
    }
}

impl Heard {
    fn take(&mut self, protocol: &dyn TextGeneration, event: &[u8], at: Instant) {
        if self.failure.is_some() || self.ended {
            return;
        }
        let part = match protocol.read_part(event) {
            Ok(part) => part,
            Err(failure) => {
                self.failure = Some(self.in_the_middle(failure));
                return;
            }
        };
        let Part { text, thinks, is_answer, finish_reason, prompt_tokens, completion_tokens, model, server, last } =
            part;
        if thinks || !text.is_empty() {
            self.pieces = self.pieces.saturating_add(1);
            if let Some(before) = self.latest.filter(|_| self.gaps_us.len() < GAPS_MAX) {
                self.gaps_us.push(micros(before, at));
            }
            self.first.get_or_insert(at);
            self.latest = Some(at);
        }
        let room = TEXT_MAX_BYTES - self.text.len();
        self.text_cut |= text.len() > room;
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        self.is_answer |= is_answer;
        self.ended |= last;
        if finish_reason.is_some() {
            (self.finish_reason, self.finished) = (finish_reason, Some(at));
        }
        self.prompt_tokens = prompt_tokens.or(self.prompt_tokens);
        self.completion_tokens = completion_tokens.or(self.completion_tokens);
        self.model = model.or(self.model.take());
        self.server = ServerTiming {
            load_us: server.load_us.or(self.server.load_us),
            prompt_us: server.prompt_us.or(self.server.prompt_us),
            generate_us: server.generate_us.or(self.server.generate_us),
        };
    }

    /// A failure that came when text had already come says so.
    fn in_the_middle(&self, mut failure: Failure) -> Failure {
        if self.pieces > 0 {
            failure.detail =
                one_line(&format!("after {} pieces of text: {}", self.pieces, failure.detail), DETAIL_LIMIT);
        }
        failure
    }

    /// Why the answer is not one, although the exchange went well.
    fn problem(&mut self, must_end: bool) -> Option<Failure> {
        if let Some(failure) = self.failure.take() {
            return Some(failure);
        }
        if !self.is_answer {
            return Some(Failure::target(TargetFailure::ProtocolViolation, "the answer holds no generated text"));
        }
        if self.finish_reason == Some(FinishReason::Error) {
            let failure = Failure::target(TargetFailure::ServerError, "the server gave up while it generated");
            return Some(self.in_the_middle(failure));
        }
        (must_end && !self.ended).then(|| {
            let failure =
                Failure::target(TargetFailure::ConnectionReset, "the stream ended without the mark that closes it");
            self.in_the_middle(failure)
        })
    }

    fn check(&self, prompt: &Prompt) -> Vec<CheckedAnswer> {
        let checked = prompt.checks.iter().map(|check| CheckedAnswer {
            check: one_line(&check.describe(), DETAIL_LIMIT),
            problem: check.judge(&self.text).err().map(|problem| one_line(&problem, DETAIL_LIMIT)),
        });
        checked.collect()
    }

    fn failed_check(&self, number: usize, checks: &[CheckedAnswer]) -> Option<Failure> {
        let problem = checks.iter().find_map(|checked| checked.problem.as_deref())?;
        let quote = one_line(&self.text, QUOTE_CHARACTERS);
        let answer = if quote.is_empty() { "it is empty".to_owned() } else { format!("it is “{quote}”") };
        let detail = format!("the answer to prompt {} {problem}; {answer}", number + 1);
        Some(Failure::target(TargetFailure::CheckFailed, one_line(&detail, DETAIL_LIMIT)))
    }

    fn generation(self, exchange: &Exchange, streamed: bool, number: usize, checks: Vec<CheckedAnswer>) -> Generation {
        let tokens_per_second = if streamed { self.streamed_rate() } else { self.whole_rate(exchange) };
        let mut gaps_us = self.gaps_us.clone();
        gaps_us.sort_unstable();
        let span = self.first.zip(self.latest).filter(|_| streamed && self.pieces > 1);
        let inter_token_us = span.map(|(first, latest)| micros(first, latest) / (self.pieces - 1));
        let text_end = self.text.floor_char_boundary(ANSWER_MAX_BYTES);
        Generation {
            first_token_us: self.started.zip(self.first).filter(|_| streamed).map(|(start, at)| micros(start, at)),
            inter_token_us,
            // The nearest rank: gaps of one answer are few.
            inter_token_p95_us: gaps_us
                .get((gaps_us.len() * 95).div_ceil(100).saturating_sub(1))
                .copied()
                .filter(|_| streamed),
            tokens_per_second,
            token_count: if self.completion_tokens.is_some() { TokenCount::Server } else { TokenCount::Pieces },
            finish_reason: self.finish_reason,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            server: self.server,
            prompt: u32::try_from(number).unwrap_or(u32::MAX),
            text_cut: self.text_cut || text_end < self.text.len(),
            text: self.text[..text_end].to_owned(),
            checks,
        }
    }

    /// Tokens after the first, by the time from the first to the end of the text. The end is where the server says why
    /// it ended, since the last tokens may be without text of their own.
    fn streamed_rate(&self) -> Option<f64> {
        let tokens = self.completion_tokens.unwrap_or(self.pieces).checked_sub(1)?;
        let end = self.finished.max(self.latest)?;
        rate(tokens, f64::from(micros(self.first?, end)))
    }

    /// All tokens by the time the server says it generated for, or else by the time that was waited.
    fn whole_rate(&self, exchange: &Exchange) -> Option<f64> {
        let waited = || exchange.phases.wait.map(|wait| wait.saturating_add(exchange.phases.receive.unwrap_or(0)));
        rate(self.completion_tokens?, f64::from(self.server.generate_us.or_else(waited)?))
    }
}

fn rate(tokens: u32, us: f64) -> Option<f64> {
    (tokens > 0 && us > 0.0).then(|| f64::from(tokens) * 1e6 / us)
}

fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

/// JSON as a request's body.
pub(crate) fn json_body(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// `call` as one that asks for a stream of this media type. Nothing is compressed: a compressor holds pieces back, and
/// their times with them.
pub(crate) fn streaming(mut call: Call, media_type: &'static str) -> Call {
    call.headers.push((ACCEPT, HeaderValue::from_static(media_type)));
    call.headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    call
}
