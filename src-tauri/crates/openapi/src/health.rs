//! Health routes by their usual names: of frameworks (`BentoML`, `LitServe`, KServe), of Kubernetes, of habit.

use serde_json::Value;

/// The likeliest first. `/health` alone mostly says that the process answers.
const LIVE: &[&str] = &["/livez", "/health/live", "/live", "/healthz", "/health", "/-/healthz", "/ping"];
const READY: &[&str] = &["/readyz", "/health/ready", "/ready", "/-/ready"];

/// The route of a document that says whether the server lives.
pub(crate) fn live_route(document: &Value) -> Option<String> {
    first_of(LIVE, document)
}

/// The route of a document that says whether the model is ready.
pub(crate) fn ready_route(document: &Value) -> Option<String> {
    first_of(READY, document)
}

fn first_of(names: &[&str], document: &Value) -> Option<String> {
    let paths = document.get("paths")?.as_object()?;
    names.iter().find(|name| paths.get(**name).is_some_and(|item| item.get("get").is_some())).map(|&name| name.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usual_names_are_found_where_they_are_read_with_get() {
        let check = |paths: Value, live: Option<&str>, ready: Option<&str>| {
            let document = json!({ "paths": paths });
            assert_eq!((live_route(&document).as_deref(), ready_route(&document).as_deref()), (live, ready), "{paths}");
        };
        check(json!({"/health": {"get": {}}, "/predict": {"post": {}}}), Some("/health"), None);
        // BentoML has all three.
        check(
            json!({"/healthz": {"get": {}}, "/livez": {"get": {}}, "/readyz": {"get": {}}}),
            Some("/livez"),
            Some("/readyz"),
        );
        check(json!({"/health": {"post": {}}, "/ready": {"get": {}}}), None, Some("/ready"));
        check(json!([]), None, None);
    }
}
