//! `LitServe`: `/` says `litserve running`; with an API key everything but the `OpenAPI` document is closed.

use pilothouse_domain::endpoint::JsonTemplate;
use serde_json::{Value, json};

use crate::detect::finding::{CredentialHint, Finding, Need};
use crate::detect::reply::{Ask, Seen};

pub(super) fn server(seen: Seen<'_>) -> Option<Finding> {
    let says = seen.replies.text("/").is_some_and(|text| text.trim().trim_matches('"') == "litserve running");
    let info = seen.replies.json("/info").filter(|json| json.pointer("/server/workers_per_device").is_some());
    let paths = seen.replies.json("/openapi.json").and_then(|json| json.get("paths")?.as_object());
    // Its document names no server; the two routes together are its own.
    let is_described = paths.is_some_and(|paths| {
        paths.contains_key("/info")
            && paths.contains_key("/health")
            && paths.values().any(|item| item.get("post").is_some())
    });
    let closed = seen.replies.get("/health").filter(|reply| reply.status == Some(401));
    let is_closed = is_described && closed.is_some_and(|reply| reply.any_text().contains("Not authenticated"));
    if !says && info.is_none() && !is_closed {
        return None;
    }
    let confidence = match (says, info.is_some()) {
        (true, true) => 0.99,
        (true, false) | (false, true) => 0.92,
        (false, false) => 0.75,
    };
    let mut finding = Finding::model("litserve", "LitServe", "json", confidence).asking(Ask::get("/info"));
    if says {
        finding.evidence.push("`GET /` answers `litserve running`".into());
    }
    let routes: Vec<String> = match info.and_then(|info| info.pointer("/server/stream")?.as_object()) {
        Some(routes) => {
            finding.evidence.push(format!("`/info` names {} routes", routes.len()));
            routes.keys().cloned().collect()
        }
        None => posts(paths).unwrap_or_default(),
    };
    if is_closed {
        let why = "LitServe wants its key in the header X-API-Key (the variable LIT_SERVER_API_KEY of the server)";
        finding.evidence.push("`GET /health` answered 401 and `/openapi.json` describes LitServe's routes".into());
        finding.needs.push(Need::credential(CredentialHint::Header { name: "X-API-Key".into() }, why));
    }
    let path = routes.first().cloned().unwrap_or_else(|| "/predict".into());
    finding.needs.push(Need::Template {
        why: "LitServe does not describe its request: check the body against what decode_request reads".into(),
    });
    finding.template = Some(JsonTemplate {
        path: path.clone(),
        body: json!({"instances": "{{rows}}"}),
        prediction: "/predictions".into(),
        version: None,
        live: Some("/health".into()),
        ready: None,
    });
    finding.predict = Some(path);
    Some(finding)
}

fn posts(paths: Option<&serde_json::Map<String, Value>>) -> Option<Vec<String>> {
    let posts = paths?.iter().filter(|(_, item)| item.get("post").is_some());
    Some(posts.map(|(path, _)| path.clone()).collect())
}
