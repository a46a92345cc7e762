//! Ollama's own API: `GET /api/tags`, `GET /api/ps`, `POST /api/chat`, `POST /api/generate`, answers in JSON lines.
//!
//! Source: Ollama's `docs/api.md` ("Generate a chat completion", "List local models", "List Running Models"); not run here, for no package
//! registry offers the server. What must stay true: its durations, in nanoseconds, stand beside our measurements and
//! never in their place. The model's version is the beginning of its digest, as `ollama list` shows it.

use pilothouse_domain::{FinishReason, GenerationRoute, Prompt, PromptSet, ServerTiming, Table, Target, TargetFailure};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::cells::parse;
use super::{
    Answer, Call, FacetCall, Lacking, LoadedModel, ModelMetadata, Readiness, ServingProtocol, below, error_member,
    malformed, misfit, no_rows,
};
use crate::generation::{Part, TextGeneration, json_body, streaming};
use crate::stream::Framing;
use crate::text::one_line;
use crate::transport::Failure;

/// Characters of a digest that `ollama list` shows.
const DIGEST_CHARACTERS: usize = 12;
/// Models in memory that are shown; a machine holds few.
const MAX_LOADED: usize = 50;

/// The protocol, bound to one target.
pub(super) struct Ollama {
    base: Url,
    model: Option<String>,
}

impl Ollama {
    pub(super) fn new(target: &Target) -> Self {
        Self { base: target.url.clone(), model: target.model.clone() }
    }

    fn tags_call(&self) -> Call {
        Call::get(below(&self.base, &["api", "tags"]))
    }

    fn choose(&self, models: Vec<Tag>) -> Result<Tag, Failure> {
        let names: Vec<String> = models.iter().take(8).map(|tag| tag.name.clone()).collect();
        let mut models = models.into_iter();
        let found = match &self.model {
            // A name without a tag means `latest`.
            Some(name) => models.find(|tag| tag.name == *name || tag.name.strip_suffix(":latest") == Some(name)),
            None if models.len() == 1 => models.next(),
            None => None,
        };
        found.ok_or_else(|| match &self.model {
            Some(name) => Failure::target(
                TargetFailure::ModelNotFound,
                format!("Ollama holds no model `{name}`; it holds {}", names.join(", ")),
            ),
            None if names.is_empty() => Failure::target(TargetFailure::NotReady, "Ollama holds no model"),
            None => misfit(format!("Ollama holds several models; name one of {}", names.join(", "))),
        })
    }
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    digest: Option<String>,
}

#[derive(Deserialize)]
struct Running {
    models: Vec<RunningModel>,
}

#[derive(Deserialize)]
struct RunningModel {
    name: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    size_vram: u64,
    #[serde(default)]
    expires_at: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    message: Option<Message>,
    /// Text of `/api/generate`.
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    load_duration: Option<u64>,
    #[serde(default)]
    prompt_eval_count: Option<u32>,
    #[serde(default)]
    prompt_eval_duration: Option<u64>,
    #[serde(default)]
    eval_count: Option<u32>,
    #[serde(default)]
    eval_duration: Option<u64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
}

fn ns_to_us(ns: Option<u64>) -> Option<u32> {
    ns.map(|ns| u32::try_from(ns / 1000).unwrap_or(u32::MAX))
}

impl ServingProtocol for Ollama {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(self.tags_call())
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        let tags: Tags = parse(body).map_err(|error| malformed(&error, body, "Ollama's list of models"))?;
        if self.model.is_none() && !tags.models.is_empty() {
            return Ok(());
        }
        self.choose(tags.models).map(|_| ())
    }

    fn liveness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: Call::get(below(&self.base, &["api", "version"])), lacking: Lacking::Nothing })
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.tags_call(), lacking: Lacking::Nothing })
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
        Some(self.tags_call())
    }

    fn read_metadata(&self, body: &[u8]) -> Result<ModelMetadata, Failure> {
        let tags: Tags = parse(body).map_err(|error| malformed(&error, body, "Ollama's list of models"))?;
        let Tag { name, digest } = self.choose(tags.models)?;
        let digest = digest.map(|digest| {
            digest.strip_prefix("sha256:").unwrap_or(&digest).chars().take(DIGEST_CHARACTERS).collect::<String>()
        });
        let versions = digest.into_iter().filter(|digest| !digest.is_empty()).collect();
        Ok(ModelMetadata { name, versions, platform: Some("ollama".to_owned()), ..ModelMetadata::default() })
    }

    fn further_calls(&self) -> Vec<Call> {
        vec![Call::get(below(&self.base, &["api", "ps"])), Call::get(below(&self.base, &["api", "version"]))]
    }

    fn read_further(&self, index: usize, body: &[u8], metadata: &mut ModelMetadata) -> Result<(), Failure> {
        if index == 0 {
            metadata.loaded = Some(loaded(body)?);
            return Ok(());
        }
        let version: Version = parse(body).map_err(|error| malformed(&error, body, "Ollama's version"))?;
        metadata.server = Some(one_line(&format!("ollama {}", version.version), 60));
        Ok(())
    }

    fn generation(&self) -> Option<&dyn TextGeneration> {
        Some(self)
    }
}

/// The models in memory, as `GET /api/ps` ("List Running Models") names them.
fn loaded(body: &[u8]) -> Result<Vec<LoadedModel>, Failure> {
    let running: Running = parse(body).map_err(|error| malformed(&error, body, "Ollama's list of running models"))?;
    let model = |model: RunningModel| LoadedModel {
        name: one_line(&model.name, 300),
        size_bytes: model.size,
        gpu_bytes: model.size_vram.min(model.size),
        // A model that stays for ever has a time three hundred years from now.
        until_ms: model.expires_at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    Ok(running.models.into_iter().take(MAX_LOADED).map(model).collect())
}

impl TextGeneration for Ollama {
    fn call(&self, prompt: &Prompt, set: &PromptSet, metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let model = self.model.as_ref().or(metadata.map(|metadata| &metadata.name));
        let model = model.ok_or_else(|| misfit("Ollama holds several models or none; name the one to ask"))?;
        let options = json!({ "temperature": 0, "num_predict": set.max_tokens });
        let mut body = json!({ "model": model, "stream": set.stream, "options": options });
        let path = match set.route {
            GenerationRoute::Chat => {
                body["messages"] = json!(prompt.messages);
                "chat"
            }
            GenerationRoute::Completions => {
                let text: String = prompt.messages.iter().map(|message| message.content.as_str()).collect();
                body["prompt"] = json!(text);
                "generate"
            }
        };
        let call = Call::post(below(&self.base, &["api", path]), json_body(&body));
        Ok(if set.stream { streaming(call, "application/x-ndjson") } else { call })
    }

    fn framing(&self) -> Framing {
        Framing::JsonLines
    }

    fn read_part(&self, event: &[u8]) -> Result<Part, Failure> {
        let object: Object = parse(event).map_err(|error| malformed(&error, event, "an answer of Ollama"))?;
        if let Some(error) = object.error.filter(|error| !error.is_null()) {
            return Err(error_member(&error));
        }
        let is_answer = object.message.is_some() || object.response.is_some();
        let (content, thinking) = object.message.map_or((None, None), |message| (message.content, message.thinking));
        let last = object.done == Some(true);
        Ok(Part {
            text: content.or(object.response).unwrap_or_default(),
            thinks: thinking.or(object.thinking).is_some_and(|thought| !thought.is_empty()),
            is_answer,
            finish_reason: object.done_reason.as_deref().filter(|_| last).map(FinishReason::parse),
            prompt_tokens: object.prompt_eval_count,
            completion_tokens: object.eval_count,
            model: object.model.filter(|model| !model.is_empty()),
            server: ServerTiming {
                load_us: ns_to_us(object.load_duration),
                prompt_us: ns_to_us(object.prompt_eval_duration),
                generate_us: ns_to_us(object.eval_duration),
            },
            last,
        })
    }

    fn ends_with_mark(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Outcome, Protocol};

    use super::super::tests::target;
    use super::*;

    fn ollama(model: Option<&str>) -> Ollama {
        Ollama::new(&target("http://h:11434", Protocol::Ollama, model))
    }

    #[test]
    fn documented_lists_are_read() {
        let tags = br#"{"models":[
            {"name":"deepseek-r1:latest","model":"deepseek-r1:latest","size":4683075271,
             "digest":"0a8c266910232fd3291e71e5ba1e058cc5af9d411192cf88b6d30e92b6e73163"},
            {"name":"llama3.2:1b","digest":"sha256:a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"}]}"#;
        let version = |model: Option<&str>| {
            let metadata = ollama(model).read_metadata(tags).map_err(|failure| failure.outcome)?;
            Ok::<_, Outcome>((metadata.name, metadata.versions.concat()))
        };
        assert_eq!(version(Some("deepseek-r1")), Ok(("deepseek-r1:latest".to_owned(), "0a8c26691023".to_owned())));
        assert_eq!(version(Some("llama3.2:1b")), Ok(("llama3.2:1b".to_owned(), "a80c4f17acd5".to_owned())));
        assert_eq!(version(Some("llama3.2")), Err(Outcome::TargetFailed(TargetFailure::ModelNotFound)));
        assert!(matches!(version(None), Err(Outcome::Unknown(_))));
        assert_eq!(ollama(None).read_health(tags), Ok(()));
        let empty = ollama(None).read_health(br#"{"models":[]}"#).unwrap_err();
        assert_eq!(empty.outcome, Outcome::TargetFailed(TargetFailure::NotReady));
    }

    #[test]
    fn documented_running_models_are_read() {
        let running = br#"{"models":[{"name":"mistral:latest","model":"mistral:latest","size":5137025024,
            "digest":"2ae6f6dd7a3dd734790bbbf58b8909a606e0e7e97e94b7604e0aa7ae4490e6d8",
            "details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],
            "parameter_size":"7.2B","quantization_level":"Q4_0"},
            "expires_at":"2024-06-04T14:38:31.83753-07:00","size_vram":5137025024}]}"#;
        let mut metadata = ModelMetadata::default();
        ollama(None).read_further(0, running, &mut metadata).unwrap();
        ollama(None).read_further(1, br#"{"version":"0.5.1"}"#, &mut metadata).unwrap();
        let expect = LoadedModel {
            name: "mistral:latest".into(),
            size_bytes: 5_137_025_024,
            gpu_bytes: 5_137_025_024,
            until_ms: Some(1_717_537_111_837),
        };
        assert_eq!(metadata.loaded, Some(vec![expect]));
        assert_eq!(metadata.server.as_deref(), Some("ollama 0.5.1"));
        assert_eq!(loaded(br#"{"models":[]}"#), Ok(Vec::new()), "none is loaded until it is asked");
        let odd = loaded(br#"{"models":[{"name":"m","size":1,"size_vram":9,"expires_at":"never"}]}"#).unwrap();
        assert_eq!((odd[0].gpu_bytes, odd[0].until_ms), (1, None));
        assert!(loaded(b"{}").is_err());
    }

    #[test]
    fn documented_lines_are_read() {
        let part = |text: &str| ollama(None).read_part(text.as_bytes());
        let piece =
            part(r#"{"model":"llama3.2","message":{"role":"assistant","content":"The"},"done":false}"#).unwrap();
        assert_eq!((piece.text.as_str(), piece.last, piece.is_answer), ("The", false, true));
        let end = part(
            r#"{"model":"llama3.2","created_at":"2023-08-04T19:22:45.499127Z","message":{"role":"assistant","content":""},
                "done_reason":"stop","done":true,"total_duration":4883583458,"load_duration":1334875,
                "prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}"#,
        );
        let end = end.unwrap();
        assert_eq!((end.finish_reason, end.last), (Some(FinishReason::Stop), true));
        assert_eq!((end.prompt_tokens, end.completion_tokens), (Some(26), Some(282)));
        let expect = ServerTiming { load_us: Some(1_334), prompt_us: Some(342_546), generate_us: Some(4_535_599) };
        assert_eq!(end.server, expect);
        assert_eq!(part(r#"{"model":"m","response":"a","done":false}"#).unwrap().text, "a");
        let failure = part(r#"{"error":"an error was encountered while running the model"}"#).unwrap_err();
        assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::ServerError));
    }

    #[test]
    fn a_request_needs_a_model() {
        let message = pilothouse_domain::Message { role: pilothouse_domain::Role::User, content: "Hi".into() };
        let prompt = Prompt { messages: vec![message], checks: Vec::new() };
        let set = |route| PromptSet { route, stream: true, max_tokens: 8, prompts: Vec::new() };
        assert!(ollama(None).call(&prompt, &set(GenerationRoute::Chat), None).is_err());
        let call = ollama(Some("m")).call(&prompt, &set(GenerationRoute::Completions), None).unwrap();
        assert_eq!(call.url.as_str(), "http://h:11434/api/generate");
        let body: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
        let options = json!({"temperature": 0, "num_predict": 8});
        assert_eq!(body, json!({"model": "m", "prompt": "Hi", "stream": true, "options": options}));
    }
}
