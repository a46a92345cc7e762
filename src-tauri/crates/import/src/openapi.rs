//! An `OpenAPI` document: each route that looks like a prediction, on each server that the document names.

use pilothouse_domain::endpoint::JsonTemplate;
use serde_json::Value;

use crate::proposal::{Proposal, short};
use crate::request::parse_url;
use crate::{Import, ImportError, Kind};

/// Where the server is unknown: a person fills the host in.
const UNKNOWN_SERVER: &str = "http://localhost";

pub(crate) fn read(document: &Value) -> Result<Import, ImportError> {
    let malformed = |problem: &str| ImportError::Malformed { kind: Kind::OpenApi, problem: problem.to_owned() };
    let description = pilothouse_openapi::describe(document)
        .map_err(|_| malformed("it needs the member `openapi` or `swagger`, and `paths`"))?;
    let mut import = Import { kind: Kind::OpenApi, proposals: Vec::new(), ignored: Vec::new() };
    let servers = servers(document);
    let base = servers.iter().find_map(|server| parse_url(server).ok());
    if servers.len() > 1 {
        import.ignored.push(format!("{} further servers of the document were left out", servers.len() - 1));
    }
    let total = description.routes.len();
    let (live, ready) = (description.live, description.ready);
    for route in description.routes.into_iter().filter(|route| route.score > 0) {
        let Some(url) = base.clone().or_else(|| parse_url(UNKNOWN_SERVER).ok()) else { continue };
        let mut proposal = Proposal::at(url);
        let title = description.title.as_deref().unwrap_or("model");
        proposal.name = short(&format!("{title} {}", route.path.trim_start_matches('/')));
        proposal.protocol = Some("json");
        proposal.understood.push(format!("POST {}: {}", route.path, route.why.join("; ")));
        if base.is_none() {
            proposal
                .ignored
                .push("the document names no server: put its address in the place of http://localhost".into());
        }
        if route.prediction.is_none() {
            proposal.ignored.push("the answer is not described: say where in it the predictions stand".into());
        }
        proposal.json = Some(JsonTemplate {
            path: route.path,
            body: route.request.body,
            prediction: route.prediction.unwrap_or_else(|| "/predictions".into()),
            version: route.version,
            live: live.clone(),
            ready: ready.clone(),
        });
        proposal.rows = route.request.example_rows;
        import.proposals.push(proposal);
    }
    let left = total - import.proposals.len();
    if left > 0 {
        import.ignored.push(format!("{left} routes that take JSON do not look like predictions"));
    }
    if import.proposals.is_empty() {
        import.ignored.push("no route of the document looks like a prediction".into());
    }
    Ok(import)
}

/// `servers[].url` of `OpenAPI` 3; `schemes`, `host` and `basePath` of Swagger 2.
fn servers(document: &Value) -> Vec<String> {
    let text = |member: &str| document.get(member).and_then(Value::as_str);
    if let Some(host) = text("host") {
        let scheme = document.pointer("/schemes/0").and_then(Value::as_str).unwrap_or("https");
        return vec![format!("{scheme}://{host}{}", text("basePath").unwrap_or_default().trim_end_matches('/'))];
    }
    let list = document.get("servers").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|server| server.get("url")?.as_str())
        // A relative server is below wherever the document was read.
        .filter(|url| url.contains("://") && !url.contains('{'))
        .map(|url| url.trim_end_matches('/').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_of_fastapi_is_understood() {
        let document = json!({
            "openapi": "3.1.0", "info": {"title": "risk", "version": "2"}, "servers": [{"url": "https://risk.example.com/api/"}],
            "paths": {"/health": {"get": {}}, "/login": {"post": {}}, "/predict": {"post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rows"}}}},
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "object",
                    "properties": {"predictions": {"type": "array"}, "model_version": {"type": "string"}}}}}}}}}},
            "components": {"schemas": {"Rows": {"type": "object", "required": ["data"], "properties": {
                "data": {"type": "array", "items": {"type": "object"}, "examples": [[{"age": 3}]]}}}}}});
        let import = read(&document).unwrap();
        let found = &import.proposals[0];
        assert_eq!((import.proposals.len(), found.url.as_str()), (1, "https://risk.example.com/api"));
        let template = found.json.as_ref().unwrap();
        assert_eq!(
            (template.body.clone(), template.prediction.as_str()),
            (json!({"data": "{{records}}"}), "/predictions")
        );
        assert_eq!(template.version.as_deref(), Some("/model_version"));
        assert_eq!(found.rows, Some(json!([{"age": 3}])));
    }

    #[test]
    fn swagger_names_its_server_in_pieces() {
        let document = json!({"swagger": "2.0", "host": "h:8080", "basePath": "/v1/", "schemes": ["http"],
            "paths": {"/score": {"post": {}}}});
        assert_eq!(read(&document).unwrap().proposals[0].url.as_str(), "http://h:8080/v1");
    }
}
