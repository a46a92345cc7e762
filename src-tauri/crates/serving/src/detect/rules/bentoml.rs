//! `BentoML`: its page, `/schema.json`, and `/docs.json` in the place of `/openapi.json`.

use serde_json::Value;

use super::described;
use crate::detect::DetectedModel;
use crate::detect::finding::Finding;
use crate::detect::reply::{Ask, Seen};
use crate::text::one_line;

/// The page's title gives it away; `/schema.json` is `{"name", "type": "service", "routes"}`.
pub(super) fn service(seen: Seen<'_>) -> Option<Finding> {
    let has_page = seen.replies.text("/").is_some_and(|text| text.contains("<title>BentoML Prediction Service"));
    let schema = seen.replies.json("/schema.json").filter(|json| {
        json.get("type").and_then(Value::as_str) == Some("service") && json.get("routes").is_some_and(Value::is_array)
    });
    let document = seen.replies.json("/docs.json");
    let badge = document.and_then(|json| bentoml_version(json.pointer("/info/description")?.as_str()?));
    if !has_page && schema.is_none() && badge.is_none() {
        return None;
    }
    let confidence = match (schema.is_some(), badge.is_some()) {
        (true, true) => 0.99,
        (true, false) | (false, true) => 0.93,
        (false, false) => 0.7,
    };
    let mut finding = Finding::model("bentoml", "BentoML service", "json", confidence);
    if has_page {
        finding.evidence.push("its page is titled BentoML Prediction Service".into());
    }
    if let Some(schema) = schema {
        let routes = schema.get("routes").and_then(Value::as_array).map_or(0, Vec::len);
        finding.evidence.push(format!("`/schema.json` describes a service with {routes} routes"));
        let name = schema.get("name").and_then(Value::as_str).map(|name| one_line(name, 80));
        finding.models.extend(name.map(DetectedModel::named));
    }
    finding.version = badge;
    if let Some(document) = document {
        described::fill(document, "/docs.json", seen, &mut finding);
        // The document's version is the bento's tag: the model's, not the server's.
        let tag = document.pointer("/info/version").and_then(Value::as_str).filter(|tag| *tag != "None");
        if let (Some(tag), Some(model)) = (tag, finding.models.first_mut()) {
            model.versions = vec![one_line(tag, 80)];
        }
    }
    Some(finding.asking(Ask::get("/schema.json")).asking(Ask::get("/docs.json")))
}

/// `BentoML-1.4.39` in the badge of the description.
fn bentoml_version(description: &str) -> Option<String> {
    let rest = description.split("BentoML-").nth(1)?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    (!version.is_empty() && version.len() < 30).then_some(version)
}
