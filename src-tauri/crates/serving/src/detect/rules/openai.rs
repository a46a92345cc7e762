//! Servers that speak as `OpenAI` does: vLLM, llama.cpp (one model, or a router), transformers, gateways.

use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::{CredentialHint, Finding, Need};
use crate::detect::reply::{Reply, Seen};
use crate::text::one_line;

const UNLISTED: &str = "the server does not list its models; name the one to watch";

/// `GET /v1/models` with `{"object": "list", "data": [{"id"}]}`. llama.cpp adds `models`, its router leaves `object` out.
pub(super) fn server(seen: Seen<'_>) -> Option<Finding> {
    let reply = seen.replies.get("/v1/models")?;
    let data = reply.json()?.get("data")?.as_array()?;
    let ids: Vec<&str> = data.iter().filter_map(|model| model.get("id")?.as_str()).collect();
    if ids.len() != data.len() {
        return None;
    }
    let owner = data.iter().find_map(|model| model.get("owned_by")?.as_str()).unwrap_or_default();
    let is_llama = owner == "llamacpp" || reply.header("server") == Some("llama.cpp");
    let is_router = is_llama && data.iter().any(|model| model.pointer("/status/value").is_some());
    let document = seen.replies.json("/openapi.json");
    let api = document.and_then(|json| json.pointer("/info/title")?.as_str()).unwrap_or_default();
    let has_revision = ids.iter().any(|id| id.contains('@'));
    let (server, title, confidence) = if owner == "vllm" {
        ("vllm", "vLLM", 0.99)
    } else if is_router {
        ("llama.cpp", "llama.cpp server, as a router", 0.99)
    } else if is_llama {
        ("llama.cpp", "llama.cpp server", 0.99)
    } else if api.contains("LiteLLM") {
        ("litellm", "LiteLLM gateway", 0.95)
    } else if describes_transformers(seen) {
        ("transformers", "transformers serve", 0.95)
    } else if has_revision {
        ("transformers", "transformers serve", 0.8)
    } else {
        ("openai", "OpenAI-compatible server", 0.8)
    };
    let mut finding = Finding::model(server, title, "openai", confidence);
    if describes_transformers(seen) {
        finding.evidence.push("`/openapi.json` describes `/load_model` and `/v1/chat/completions`".into());
    }
    finding.evidence.push(format!("`GET /v1/models` lists {} models as an OpenAI-compatible server does", ids.len()));
    if !owner.is_empty() {
        finding.evidence.push(format!("they are owned by `{}`", one_line(owner, 40)));
    }
    finding.version = vllm_version(seen).filter(|_| owner == "vllm");
    finding.models = data.iter().filter_map(model).take(crate::detect::MAX_MODELS).collect();
    if finding.models.is_empty() {
        finding.models.extend(seen.hints.model.clone().map(DetectedModel::named));
        finding.needs.push(Need::ModelName { why: UNLISTED.into() });
    }
    finding.predict = Some("/v1/chat/completions".into());
    Some(finding)
}

fn model(entry: &Value) -> Option<DetectedModel> {
    let mut model = DetectedModel::named(entry.get("id")?.as_str()?);
    // The router of llama.cpp loads models when they are asked for.
    model.ready = entry.pointer("/status/value").and_then(Value::as_str).map(|state| state == "loaded");
    Some(model)
}

fn vllm_version(seen: Seen<'_>) -> Option<String> {
    let json = seen.replies.json("/version")?;
    let only_version = json.as_object()?.len() == 1;
    json.get("version").and_then(Value::as_str).filter(|_| only_version).map(|version| one_line(version, 40))
}

/// The same behind an API key: `/v1/models` is refused while other routes answer.
pub(super) fn locked(seen: Seen<'_>) -> Option<Finding> {
    let reply = seen.replies.get("/v1/models").filter(|reply| matches!(reply.status, Some(401 | 403)))?;
    let is_open =
        |path: &str| seen.replies.get(path).is_some_and(|reply| reply.status == Some(200) && !reply.is_page());
    let error = reply.any_json().and_then(|json| json.get("error"));
    let is_llama = reply.header("server") == Some("llama.cpp");
    let is_vllm = vllm_version(seen).is_some() && is_open("/health") && is_open("/ping");
    let is_styled =
        error.is_some_and(|error| error.get("message").is_some_and(Value::is_string) && error.get("type").is_some());
    let (server, title, confidence, why) = if is_llama {
        let why = "llama.cpp was started with --api-key: it wants that key as a bearer token";
        ("llama.cpp", "llama.cpp server", 0.97, why)
    } else if is_vllm {
        ("vllm", "vLLM", 0.8, "vLLM was started with --api-key: it wants that key as a bearer token")
    } else if is_styled {
        ("openai", "OpenAI-compatible server", 0.6, "it wants an API key as a bearer token")
    } else {
        return None;
    };
    let mut finding = Finding::model(server, title, "openai", confidence)
        .saw(format!("`GET /v1/models` answered {}", reply.words()))
        .needing(Need::credential(CredentialHint::Bearer, why));
    finding.version = vllm_version(seen).filter(|_| is_vllm);
    finding.predict = Some("/v1/chat/completions".into());
    Some(finding)
}

fn described(seen: Seen<'_>) -> Option<&serde_json::Map<String, Value>> {
    seen.replies.json("/openapi.json").and_then(|json| json.get("paths")?.as_object())
}

/// The routes that `transformers serve` alone has beside those of the `OpenAI` API (5.23).
fn describes_transformers(seen: Seen<'_>) -> bool {
    described(seen)
        .is_some_and(|paths| ["/v1/chat/completions", "/load_model"].iter().all(|path| paths.contains_key(*path)))
}

/// `transformers serve` answers 500 at `/v1/models` while its model cache has no folder yet; its document names the routes.
/// With the folder, it lists what lies there, which need not be what it serves.
pub(super) fn transformers(seen: Seen<'_>) -> Option<Finding> {
    if seen.replies.json("/v1/models").is_some_and(|json| json.get("data").is_some()) {
        return None;
    }
    let describes_chat = described(seen).is_some_and(|paths| paths.contains_key("/v1/chat/completions"));
    let is_ok =
        seen.replies.json("/health").is_some_and(|json| json.get("status").and_then(Value::as_str) == Some("ok"));
    let broken_list = seen.replies.get("/v1/models").is_some_and(|reply| reply.status == Some(500));
    let has_id = |reply: &Reply| reply.header("x-request-id").is_some();
    let is_transformers = is_ok && broken_list && seen.replies.iter().any(has_id);
    if !describes_chat && !is_transformers {
        return None;
    }
    let (server, title, confidence) = if is_ok && broken_list {
        ("transformers", "transformers serve", 0.75)
    } else {
        ("openai", "OpenAI-compatible server", 0.6)
    };
    let mut finding = Finding::model(server, title, "openai", confidence);
    if describes_chat {
        finding.evidence.push("`/openapi.json` describes `/v1/chat/completions`".into());
    }
    if broken_list {
        finding.evidence.push("`GET /v1/models` answered 500".into());
    }
    finding.models.extend(seen.hints.model.clone().map(DetectedModel::named));
    finding.needs.push(Need::ModelName { why: UNLISTED.into() });
    finding.predict = Some("/v1/chat/completions".into());
    Some(finding)
}
