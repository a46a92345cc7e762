//! Ollama: `/` says `Ollama is running`, `/api/tags` lists the models.
//!
//! Source: its documentation (`docs/api.md`); no package of it is in the registries from which the other servers came.

use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::Finding;
use crate::detect::reply::{Ask, Seen};
use crate::text::one_line;

pub(super) fn server(seen: Seen<'_>) -> Option<Finding> {
    let says = seen.replies.text("/").is_some_and(|text| text.trim() == "Ollama is running");
    let tags = seen.replies.json("/api/tags").and_then(|json| json.get("models")?.as_array());
    let tags = tags.filter(|models| models.iter().all(|model| model.get("digest").is_some()));
    if !says && tags.is_none() {
        return None;
    }
    let mut finding = Finding::model("ollama", "Ollama", "ollama", if says { 0.99 } else { 0.9 })
        .asking(Ask::get("/api/tags"))
        .asking(Ask::get("/api/version"));
    // Its OpenAI-compatible routes serve where the native protocol is not spoken.
    if finding.protocol().is_none() {
        finding.protocol_word = Some("openai");
    }
    if says {
        finding.evidence.push("`GET /` answers `Ollama is running`".into());
    }
    let version = seen.replies.json("/api/version").and_then(|json| json.get("version")?.as_str());
    finding.version = version.map(|version| one_line(version, 40));
    let name = |model: &Value| model.get("name").and_then(Value::as_str).map(DetectedModel::named);
    finding.models = tags.into_iter().flatten().filter_map(name).take(crate::detect::MAX_MODELS).collect();
    if tags.is_some() {
        finding.evidence.push(format!("`/api/tags` lists {} models", finding.models.len()));
    }
    finding.predict = Some("/api/chat".into());
    Some(finding)
}
