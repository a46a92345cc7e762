//! A server that describes itself with `OpenAPI`: plain JSON, with the route and the template from its own document.

use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_openapi::describe;
use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::{Finding, Need};
use crate::detect::reply::Seen;
use crate::text::one_line;

pub(super) fn json(seen: Seen<'_>) -> Option<Finding> {
    let document = seen.replies.json("/openapi.json")?;
    describe(document).ok()?;
    let is_fastapi = document.pointer("/components/schemas/HTTPValidationError").is_some()
        || seen.replies.iter().any(|reply| reply.header("server") == Some("uvicorn"));
    let (server, title) =
        if is_fastapi { ("fastapi", "FastAPI application") } else { ("openapi", "Application with OpenAPI") };
    let mut finding = Finding::model(server, title, "json", 0.4);
    fill(document, "/openapi.json", seen, &mut finding);
    finding.template.is_some().then_some(finding)
}

/// Takes route, template and evidence out of a document. Nothing is set when no route looks like a prediction.
pub(super) fn fill(document: &Value, place: &str, seen: Seen<'_>, finding: &mut Finding) {
    let Ok(description) = describe(document) else { return };
    // A route that a person pasted says more than any word in it.
    let pasted = description.routes.iter().find(|route| route.path == seen.hints.route);
    let Some(best) = pasted.or_else(|| description.routes.first().filter(|route| route.score > 0)) else { return };
    let path = one_line(&best.path, 120);
    let title =
        description.title.as_deref().map_or_else(String::new, |title| format!(" (title `{}`)", one_line(title, 60)));
    let why = if pasted.is_some() {
        "it is the route of the address".to_owned()
    } else {
        one_line(&best.why.join("; "), 240)
    };
    finding.evidence.push(format!("`{place}`{title} describes `POST {path}`: {why}"));
    let rivals: Vec<&str> = description
        .routes
        .iter()
        .filter(|route| pasted.is_none() && route.path != best.path && route.score > 0 && route.score + 1 >= best.score)
        .map(|route| route.path.as_str())
        .take(5)
        .collect();
    if !rivals.is_empty() {
        finding.evidence.push(format!("others look alike: {}", one_line(&rivals.join(", "), 200)));
    }
    let prediction = best.prediction.clone();
    let why = match (&prediction, best.request.takes_rows) {
        (Some(_), true) => "the request was made from the server's own description; check it with a test",
        (None, true) => "the server does not describe its answer: say where in it the predictions stand",
        (_, false) => {
            "the route takes one record per call: each check sends the server's example, and rows cannot be filled in"
        }
    };
    finding.needs.push(Need::Template { why: why.into() });
    finding.template = Some(JsonTemplate {
        path: best.path.clone(),
        body: best.request.body.clone(),
        prediction: prediction.unwrap_or_else(|| "/predictions".into()),
        version: best.version.clone(),
        live: description.live.clone(),
        ready: description.ready.clone(),
    });
    finding.example_rows.clone_from(&best.request.example_rows);
    finding.predict = Some(path);
    finding.confidence = finding.confidence.max(if best.score >= 6 { 0.6 } else { 0.4 });
    if finding.models.is_empty() && finding.server != "bentoml" {
        let name = description.title.filter(|title| title != "FastAPI");
        finding.models.extend(name.map(|title| {
            let mut model = DetectedModel::named(one_line(&title, 80));
            model.versions.extend(description.version.as_deref().map(|version| one_line(version, 40)));
            model
        }));
    }
}
