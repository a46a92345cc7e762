//! The `OpenAI` API: `GET /v1/models`, `POST /v1/chat/completions`, `POST /v1/completions`.
//!
//! Sources: answers captured from vLLM 0.32.0, llama.cpp b11434 (server and router) and transformers serve 5.19; the
//! `OpenAI` API reference for what they share. What differs: a stream may end without `data: [DONE]` (transformers), a
//! first piece may hold `null` or empty content, the usage comes in a piece without choices, `/v1/models/{id}` is missing
//! (vLLM) and `/v1/models` may fail or be empty although chat works (transformers 5.19, 5.23).
//!
//! The model's version is its `root` in the list where that differs from its name (vLLM: where the weights come from),
//! else the name in the answer. `system_fingerprint` names the server's own build with vLLM and llama.cpp, and is not used.

use std::sync::atomic::{AtomicBool, Ordering};

use pilothouse_domain::{FinishReason, GenerationRoute, Prompt, PromptSet, ServerTiming, Table, Target, TargetFailure};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::cells::parse;
use super::{
    Answer, Call, FacetCall, Lacking, ModelMetadata, Readiness, ServingProtocol, below, error_member, malformed,
    misfit, no_rows,
};
use crate::generation::{Part, TextGeneration, json_body, streaming};
use crate::stream::Framing;
use crate::transport::Failure;

/// Most names of models in one message.
const NAMES_MAX: usize = 8;

/// The protocol, bound to one target.
pub(super) struct OpenAi {
    /// The URL below which `models` and `chat/completions` stand.
    base: Url,
    model: Option<String>,
    /// The model refused `max_tokens`: reasoning models of `OpenAI` want `max_completion_tokens`.
    wants_completion_tokens: AtomicBool,
    /// The model refused a temperature of its caller's, as the same models do.
    refuses_temperature: AtomicBool,
}

impl OpenAi {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            base: versioned(&target.url),
            model: target.model.clone(),
            wants_completion_tokens: AtomicBool::new(false),
            refuses_temperature: AtomicBool::new(false),
        }
    }

    /// The listed model that answers: the named one under any of its names, or the only one.
    fn choose(&self, listed: Vec<Listed>) -> Result<Listed, Failure> {
        let mut names: Vec<String> = listed.iter().map(|model| model.id.clone()).collect();
        // llama.cpp with one model answers under any name; its router tells each model's `status`.
        let serves_any =
            matches!(listed.as_slice(), [one] if one.owned_by.as_deref() == Some("llamacpp") && one.status.is_none());
        let mut listed = listed.into_iter();
        let found = match &self.model {
            // An empty list tells nothing: transformers serve lists what lies in its cache, which is not what it serves.
            Some(name) if names.is_empty() => Some(Listed::named(name)),
            None if names.len() == 1 => listed.next(),
            Some(_) if serves_any => listed.next(),
            Some(name) => listed.find(|model| model.is_called(name)),
            None => None,
        };
        names.truncate(NAMES_MAX);
        found.ok_or_else(|| match &self.model {
            Some(name) => Failure::target(
                TargetFailure::ModelNotFound,
                format!("the server does not list the model `{name}`; it lists {}", names.join(", ")),
            ),
            None if names.is_empty() => Failure::target(TargetFailure::NotReady, "the server lists no model"),
            None => misfit(format!("the server lists several models; name one of {}", names.join(", "))),
        })
    }
}

/// The URL with its version: people paste `http://host:8000` as well as `https://host/v1`.
fn versioned(url: &Url) -> Url {
    let last = url.path_segments().and_then(|mut segments| segments.rfind(|segment| !segment.is_empty()));
    let is_version = |segment: &str| {
        segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    if last.is_some_and(is_version) { url.clone() } else { below(url, &["v1"]) }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    root: Option<String>,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    /// llama.cpp's router: `{"value": "unloaded" | "loading" | "loaded" …}`.
    #[serde(default)]
    status: Option<Value>,
}

impl Listed {
    fn named(name: &str) -> Self {
        Self { id: name.to_owned(), root: None, owned_by: None, aliases: None, status: None }
    }

    fn is_called(&self, name: &str) -> bool {
        self.id == name
            || self.root.as_deref() == Some(name)
            || self.aliases.as_ref().is_some_and(|aliases| aliases.iter().any(|alias| alias == name))
    }
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    timings: Option<Timings>,
}

/// `{"error": {"message", "param", "code"}}` of the `OpenAI` API reference.
#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    /// A piece of a chat.
    #[serde(default)]
    delta: Option<Said>,
    /// A whole chat answer.
    #[serde(default)]
    message: Option<Said>,
    /// Text of the completions route, a piece or the whole.
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<Content>,
    /// What a reasoning model thinks, as vLLM and others name it.
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
}

/// Text, or the parts that some gateways make of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(default)]
    text: Option<String>,
}

impl Content {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
}

/// llama.cpp's own times, in milliseconds.
#[derive(Deserialize)]
struct Timings {
    #[serde(default)]
    prompt_ms: Option<f64>,
    #[serde(default)]
    predicted_ms: Option<f64>,
}

fn ms_to_us(ms: Option<f64>) -> Option<u32> {
    ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| (ms * 1e3).round().min(f64::from(u32::MAX)) as u32)
}

impl ServingProtocol for OpenAi {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(Call::get(below(&self.base, &["models"])))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        let list: List = parse(body).map_err(|error| malformed(&error, body, "a list of models"))?;
        // Without a name any model will do: only a prompt needs one.
        if self.model.is_none() && !list.data.is_empty() {
            return Ok(());
        }
        self.choose(list.data).map(|_| ())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        // Not part of the API: vLLM, llama.cpp and transformers serve have it beside `/v1`, gateways mostly not.
        let mut server = self.base.clone();
        server.set_path(self.base.path().trim_end_matches('/').trim_end_matches("/v1"));
        Some(FacetCall { call: Call::get(below(&server, &["health"])), lacking: Lacking::Route })
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: Call::get(below(&self.base, &["models"])), lacking: Lacking::Route })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        self.read_health(body).map(|()| Readiness::default())
    }

    fn predict_call(&self, _table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        Err(no_rows())
    }

    fn read_prediction(&self, _body: &[u8], _rows: usize) -> Result<Answer, Failure> {
        Err(no_rows())
    }

    fn metadata_call(&self) -> Option<Call> {
        Some(Call::get(below(&self.base, &["models"])))
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let list: List = parse(body).map_err(|error| malformed(&error, body, "a list of models"))?;
        let Listed { id, root, owned_by, .. } = self.choose(list.data)?;
        let root = root.filter(|root| !root.is_empty() && *root != id);
        Ok(ModelMetadata { name: id, versions: root.into_iter().collect(), platform: owned_by, ..Default::default() })
    }

    fn generation(&self) -> Option<&dyn TextGeneration> {
        Some(self)
    }

    fn special_status(&self, status: u16, message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        let message = message.unwrap_or_default().to_ascii_lowercase();
        match status {
            // llama.cpp's router: `model 'x' not found`; transformers serve: `Server is pinned to 'x'; requested 'y'.`
            400 if message.contains("model") && message.contains("not found") => Some(TargetFailure::ModelNotFound),
            400 if message.contains("pinned to") => Some(TargetFailure::ModelNotFound),
            503 if message.contains("loading") => Some(TargetFailure::NotReady),
            _ => None,
        }
    }
}

impl TextGeneration for OpenAi {
    fn call(&self, prompt: &Prompt, set: &PromptSet, metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let mut body = json!({ "stream": set.stream });
        let limit =
            if self.wants_completion_tokens.load(Ordering::Relaxed) { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = json!(set.max_tokens);
        if !self.refuses_temperature.load(Ordering::Relaxed) {
            body["temperature"] = json!(0);
        }
        // A server that lists one model is content without a name, and one that lists none must say so itself.
        if let Some(model) = self.model.as_ref().or(metadata.map(|metadata| &metadata.name)) {
            body["model"] = json!(model);
        }
        if set.stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        let path: &[&str] = match set.route {
            GenerationRoute::Chat => {
                body["messages"] = json!(prompt.messages);
                &["chat", "completions"]
            }
            GenerationRoute::Completions => {
                let text: String = prompt.messages.iter().map(|message| message.content.as_str()).collect();
                body["prompt"] = json!(text);
                &["completions"]
            }
        };
        let call = Call::post(below(&self.base, path), json_body(&body));
        Ok(if set.stream { streaming(call, "text/event-stream") } else { call })
    }

    fn adapt(&self, status: u16, body: &[u8]) -> bool {
        let Some(Refusal { error }) = (status == 400).then(|| parse(body).ok()).flatten() else { return false };
        let is_unsupported = error.code.is_some_and(|code| code.starts_with("unsupported_"));
        let learned = match error.param.as_deref() {
            // A server that knows neither word is not asked with the other one.
            Some("max_tokens") if error.message.contains("max_completion_tokens") => &self.wants_completion_tokens,
            Some("temperature") if is_unsupported => &self.refuses_temperature,
            _ => return false,
        };
        !learned.swap(true, Ordering::Relaxed)
    }

    fn framing(&self) -> Framing {
        Framing::ServerSentEvents
    }

    fn read_part(&self, event: &[u8]) -> Result<Part, Failure> {
        if event.trim_ascii() == b"[DONE]" {
            return Ok(Part { last: true, ..Part::default() });
        }
        let object: Object = parse(event).map_err(|error| malformed(&error, event, "an object of the OpenAI API"))?;
        if let Some(error) = object.error.filter(|error| !error.is_null()) {
            return Err(error_member(&error));
        }
        let mut part = Part { model: object.model.filter(|model| !model.is_empty()), ..Part::default() };
        if let Some(Usage { prompt_tokens, completion_tokens }) = object.usage {
            (part.prompt_tokens, part.completion_tokens) = (prompt_tokens, completion_tokens);
        }
        if let Some(Timings { prompt_ms, predicted_ms }) = object.timings {
            let (prompt_us, generate_us) = (ms_to_us(prompt_ms), ms_to_us(predicted_ms));
            part.server = ServerTiming { load_us: None, prompt_us, generate_us };
        }
        // One answer is asked for; a piece without any holds the usage.
        let Some(choice) = object.choices.and_then(|choices| choices.into_iter().next()) else { return Ok(part) };
        part.is_answer = choice.delta.is_some() || choice.message.is_some() || choice.text.is_some();
        part.finish_reason = choice.finish_reason.as_deref().map(FinishReason::parse);
        part.text = choice.text.unwrap_or_default();
        if let Some(said) = choice.delta.or(choice.message) {
            part.thinks = [&said.reasoning_content, &said.reasoning]
                .into_iter()
                .any(|thought| thought.as_ref().is_some_and(|thought| !thought.is_empty()));
            if let Some(content) = said.content {
                part.text = content.into_text();
            }
        }
        Ok(part)
    }

    fn ends_with_mark(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Outcome, Protocol};

    use super::super::tests::target;
    use super::*;

    fn openai(model: Option<&str>) -> OpenAi {
        OpenAi::new(&target("http://h/", Protocol::OpenAi, model))
    }

    #[test]
    fn the_version_in_the_url_is_not_doubled() {
        let check = |url: &str, expect: &str| {
            let call = OpenAi::new(&target(url, Protocol::OpenAi, None)).health_call().unwrap();
            assert_eq!(call.url.as_str(), expect);
        };
        check("http://h:8000", "http://h:8000/v1/models");
        check("http://h/v1/", "http://h/v1/models");
        check("https://h/openai/v1", "https://h/openai/v1/models");
        check("https://h/gateway/?key=1", "https://h/gateway/v1/models?key=1");
        check("https://h/vision", "https://h/vision/v1/models");
    }

    #[test]
    fn the_health_route_lies_beside_the_api() {
        let check = |url: &str, expect: &str| {
            let asked = OpenAi::new(&target(url, Protocol::OpenAi, None)).liveness_call().unwrap();
            assert_eq!(asked.call.url.as_str(), expect);
        };
        check("http://h:8000", "http://h:8000/health");
        check("http://h/v1/", "http://h/health");
        check("https://h/gateway/?key=1", "https://h/gateway/health?key=1");
    }

    #[test]
    fn captured_lists_are_read() {
        let vllm = include_bytes!("../../tests/data/vllm-0.32.0-models.json");
        let llama = include_bytes!("../../tests/data/llama-b11434-models.json");
        let router = include_bytes!("../../tests/data/llama-b11434-router-models.json");
        let version = |list: &[u8], model: Option<&str>| {
            let metadata = openai(model).read_metadata(list).map_err(|failure| failure.outcome)?;
            Ok::<_, Outcome>((metadata.name, metadata.versions.into_iter().next()))
        };
        let named = |name: &str, root: Option<&str>| Ok((name.to_owned(), root.map(str::to_owned)));
        let not_found = Err(Outcome::TargetFailed(TargetFailure::ModelNotFound));
        assert_eq!(version(vllm, Some("tiny")), named("tiny", Some("/srv/models/tiny-v1")));
        assert_eq!(version(vllm, None), named("tiny", Some("/srv/models/tiny-v1")));
        assert_eq!(version(vllm, Some("nope")), not_found);
        assert_eq!(version(llama, Some("any name")), named("tiny", None));
        assert_eq!(version(router, Some("tiny-v2")), named("tiny-v2", None));
        assert_eq!(version(router, Some("tiny-v9")), not_found);
        assert!(matches!(version(router, None), Err(Outcome::Unknown(_))));
        assert_eq!(openai(None).read_health(router), Ok(()));
        assert!(openai(Some("nope")).read_health(vllm).is_err());
        // transformers serve 5.23.0 with a model from a folder.
        let empty = br#"{"object":"list","data":[]}"#;
        assert_eq!(version(empty, Some("/srv/tiny")), named("/srv/tiny", None));
        assert_eq!(version(empty, None), Err(Outcome::TargetFailed(TargetFailure::NotReady)));
        // KServe answers the same path in another form.
        assert!(openai(None).read_health(br#"{"models":["bc"]}"#).is_err());
    }

    #[test]
    fn captured_pieces_are_read() {
        let part = |text: &str| openai(None).read_part(text.as_bytes());
        let check = |event: &str, text: &str, finish_reason: Option<FinishReason>| {
            let part = part(event).unwrap();
            assert_eq!(
                (part.text.as_str(), part.finish_reason, part.is_answer),
                (text, finish_reason, true),
                "{event}"
            );
        };
        check(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, "", None);
        check(
            r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}"#,
            "",
            None,
        );
        check(r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"wn"}}]}"#, "wn", None);
        check(r#"{"choices":[{"finish_reason":"length","index":0,"delta":{}}]}"#, "", Some(FinishReason::Length));
        check(r#"{"choices":[{"index":0,"text":"mp","finish_reason":"stop"}]}"#, "mp", Some(FinishReason::Stop));
        check(r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"}]}}]}"#, "ab", None);
        let usage = part(
            r#"{"model":"tiny","choices":[],"usage":{"prompt_tokens":17,"total_tokens":21,"completion_tokens":4}}"#,
        );
        let usage = usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.is_answer), (Some(17), Some(4), false));
        assert!(part("[DONE]").unwrap().last);
        assert!(part(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#).unwrap().thinks);
        let timed = part(r#"{"choices":[],"timings":{"prompt_n":1,"prompt_ms":0.735,"predicted_ms":0.542}}"#).unwrap();
        assert_eq!((timed.server.prompt_us, timed.server.generate_us), (Some(735), Some(542)));
        let failure = part(r#"{"error":{"message":"CUDA out of memory","type":"InternalServerError","code":500}}"#);
        let failure = failure.unwrap_err();
        assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::ServerError));
        assert!(failure.detail.contains("CUDA out of memory"), "{}", failure.detail);
        let text = part(r#"{"error":"too many","code":1}"#).unwrap_err();
        assert!(text.detail.contains("too many"), "{}", text.detail);
        assert!(part("<html>").is_err());
    }

    /// The refusals are those of the `OpenAI` API's reasoning models, as its users quote them.
    #[test]
    fn a_model_is_asked_as_it_wants() {
        let model = openai(Some("o"));
        let set = PromptSet { route: GenerationRoute::Chat, stream: false, max_tokens: 8, prompts: Vec::new() };
        let asked = || {
            let prompt = Prompt { messages: Vec::new(), checks: Vec::new() };
            let body = model.call(&prompt, &set, None).unwrap().body.unwrap();
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        let limit = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#;
        let temperature = r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#;
        assert!(!model.adapt(500, limit.as_bytes()) && !model.adapt(400, b"{\"error\":\"no\"}"));
        assert!(
            !model.adapt(400, br#"{"error":{"message":"max_tokens is too large","param":"max_tokens","code":null}}"#)
        );
        assert_eq!(asked()["max_tokens"], 8);
        assert!(model.adapt(400, limit.as_bytes()) && !model.adapt(400, limit.as_bytes()), "learned once");
        assert!(model.adapt(400, temperature.as_bytes()));
        assert_eq!(asked(), json!({"model": "o", "messages": [], "max_completion_tokens": 8, "stream": false}));
    }

    #[test]
    fn requests_say_what_is_wanted_and_nothing_more() {
        let prompt = |content: &str| Prompt {
            messages: vec![pilothouse_domain::Message { role: pilothouse_domain::Role::User, content: content.into() }],
            checks: Vec::new(),
        };
        let set = |route, stream| PromptSet { route, stream, max_tokens: 8, prompts: Vec::new() };
        let request = |model: Option<&str>, set: &PromptSet| {
            let metadata = ModelMetadata { name: "listed".into(), ..ModelMetadata::default() };
            let call = openai(model).call(&prompt("Hi"), set, Some(&metadata)).unwrap();
            (call.url.path().to_owned(), serde_json::from_slice::<Value>(&call.body.unwrap()).unwrap())
        };
        let (path, body) = request(Some("tiny"), &set(GenerationRoute::Chat, true));
        assert_eq!(path, "/v1/chat/completions");
        assert_eq!(
            body,
            json!({
                "model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0,
                "stream": true, "stream_options": {"include_usage": true},
            })
        );
        let (path, body) = request(None, &set(GenerationRoute::Completions, false));
        assert_eq!(path, "/v1/completions");
        let expect = json!({"model": "listed", "prompt": "Hi", "max_tokens": 8, "temperature": 0, "stream": false});
        assert_eq!(body, expect);
    }
}
