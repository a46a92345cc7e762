//! Which routes of a document may predict, and how likely.

use serde_json::Value;

use crate::schema::resolve;
use crate::{Route, template};

/// Words of a path, an operation id or a summary that speak for a prediction.
const FOR: [(&str, i32); 11] = [
    ("invocations", 6),
    ("predict", 6),
    ("infer", 5),
    ("score", 4),
    ("classify", 4),
    ("forecast", 4),
    ("detect", 2),
    ("embed", 2),
    ("encode", 2),
    ("rank", 2),
    ("model", 1),
];
/// Words that speak against it: routes that change the server or serve its users.
const AGAINST: [&str; 16] = [
    "login", "token", "auth", "user", "feedback", "upload", "train", "fit", "shutdown", "reload", "load", "unload",
    "register", "delete", "admin", "health",
];
/// Routes looked at.
const MAX_ROUTES: usize = 500;

/// Every route that takes JSON by POST, the likeliest first; `None` when the document has no `paths`.
pub fn routes(document: &Value) -> Option<Vec<Route>> {
    let paths = document.get("paths")?.as_object()?;
    let mut routes: Vec<Route> = paths
        .iter()
        .take(MAX_ROUTES)
        .filter_map(|(path, item)| route(document, path, resolve(document, item).get("post")?))
        .collect();
    // The sort is stable: among equals the document's order holds.
    routes.sort_by_key(|route| -route.score);
    Some(routes)
}

fn route(document: &Value, path: &str, operation: &Value) -> Option<Route> {
    let mut score = 0;
    let mut why = Vec::new();
    let lower = path.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let names = |word: &str| words.iter().any(|part| part.starts_with(word));
    if let Some((word, weight)) = FOR.iter().find(|(word, _)| names(word)) {
        score += weight;
        why.push(format!("its path says `{word}`"));
    }
    let told = ["operationId", "summary", "description"]
        .iter()
        .filter_map(|member| operation.get(*member).and_then(Value::as_str))
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join(" ");
    if score == 0
        && let Some((word, _)) = FOR.iter().take(7).find(|(word, _)| told.contains(word))
    {
        score += 2;
        why.push(format!("its description says `{word}`"));
    }
    if let Some(word) = AGAINST.iter().find(|word| words.iter().any(|part| part == *word)) {
        score -= 6;
        why.push(format!("but its path says `{word}`"));
    }
    // A parameter in the path has to be filled in by a person.
    if path.contains('{') {
        score -= 1;
        why.push("it has a parameter in its path".into());
    }
    let media = body_media(document, operation)?;
    let (request, body_words) = template::request(document, &media);
    if request.takes_rows && media.get("schema").is_some_and(|schema| !schema.is_null()) && !body_words.contains("not")
    {
        score += 2;
    }
    why.push(body_words);
    let (prediction, version) =
        answer_media(document, operation).map_or((None, None), |media| template::answer(document, &media));
    if let Some(pointer) = prediction.as_deref().filter(|pointer| !pointer.is_empty()) {
        score += 1;
        why.push(format!("its answer holds `{pointer}`"));
    }
    Some(Route { path: path.to_owned(), why, score, request, prediction, version })
}

/// The JSON body that an operation takes; an empty media type where it takes any; `None` where it takes none or a form.
fn body_media(document: &Value, operation: &Value) -> Option<Value> {
    if let Some(body) = operation.get("requestBody") {
        return json_media(resolve(document, body));
    }
    // Swagger 2.0: a parameter `in: body`.
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let body = parameters.map(|parameter| resolve(document, parameter)).find(|parameter| parameter["in"] == "body");
    match body {
        Some(body) => Some(body.clone()),
        // Frameworks that read the raw request describe no body: MLflow's `/invocations`, LitServe's `/predict`.
        None => Some(serde_json::json!({})),
    }
}

fn answer_media(document: &Value, operation: &Value) -> Option<Value> {
    let responses = operation.get("responses")?;
    let response = ["200", "201", "default"].iter().find_map(|status| responses.get(*status))?;
    let response = resolve(document, response);
    // Swagger 2.0 keeps the schema in the response itself.
    json_media(response).or_else(|| response.get("schema").map(|_| response.clone()))
}

fn json_media(holder: &Value) -> Option<Value> {
    let content = holder.get("content")?.as_object()?;
    let is_json = |kind: &str| kind.starts_with("application/json") || kind.contains("+json") || kind == "*/*";
    content.iter().find(|(kind, _)| is_json(kind)).map(|(_, media)| media.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(paths: &Value) -> Value {
        json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, "components": {"schemas": {
            "Rows": {"type": "object", "required": ["instances"], "properties": {
                "instances": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                "options": {"type": "string"}}},
            "Flower": {"type": "object", "properties": {"sepal": {"type": "number"}, "kind": {"type": "string"}}},
            "Answer": {"type": "object", "properties": {
                "predictions": {"type": "array", "items": {"type": "integer"}}, "model_version": {"type": "string"}}},
            "Loop": {"$ref": "#/components/schemas/Loop"},
        }}})
    }

    fn post(body: &Value, answer: &Value) -> Value {
        json!({"post": {
            "requestBody": {"content": {"application/json": {"schema": body}}},
            "responses": {"200": {"content": {"application/json": {"schema": answer}}}}}})
    }

    #[test]
    fn the_prediction_route_is_found_among_others() {
        let rows = json!({"$ref": "#/components/schemas/Rows"});
        let answer = json!({"$ref": "#/components/schemas/Answer"});
        let found = routes(&document(&json!({
            "/health": {"get": {}},
            "/login": post(&json!({"type": "object", "properties": {"user": {"type": "string"}}}), &json!({})),
            "/v1/predict": post(&rows, &answer),
            "/feedback/predict": post(&rows, &answer),
        })))
        .unwrap();
        let best = &found[0];
        assert_eq!(best.path, "/v1/predict");
        assert_eq!(best.request.body, json!({"instances": "{{rows}}"}));
        assert_eq!(
            (best.prediction.as_deref(), best.version.as_deref()),
            (Some("/predictions"), Some("/model_version"))
        );
        assert!(best.why.iter().any(|why| why.contains("predict")), "{:?}", best.why);
        assert!(found.last().unwrap().score < 1);
    }

    #[test]
    fn bodies_become_templates() {
        let check = |schema: Value, body: Value, takes_rows: bool| {
            let found = routes(&document(&json!({"/predict": post(&schema, &json!({}))}))).unwrap();
            assert_eq!((&found[0].request.body, found[0].request.takes_rows), (&body, takes_rows), "{schema}");
        };
        let flower = json!({"$ref": "#/components/schemas/Flower"});
        check(json!({"type": "array", "items": flower}), json!("{{records}}"), true);
        check(json!({"type": "array", "items": {"type": "array"}}), json!("{{rows}}"), true);
        check(flower.clone(), json!({"sepal": 0.0, "kind": ""}), false);
        check(
            json!({"type": "object", "required": ["data", "k"], "properties": {
                "data": {"type": "array", "items": flower}, "k": {"type": "integer", "default": 3}}}),
            json!({"data": "{{records}}", "k": 3}),
            true,
        );
        check(
            json!({"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Rows"}]}),
            json!({"instances": "{{rows}}"}),
            true,
        );
        check(json!({"$ref": "#/components/schemas/Loop"}), json!({"instances": "{{rows}}"}), true);
        check(json!({}), json!({"instances": "{{rows}}"}), true);
    }

    #[test]
    fn examples_give_rows() {
        let item = json!({"post": {"requestBody": {"content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Rows"}, "examples": {"one": {"value": {"instances": [[1.5, 2]]}}}}}}}});
        let found = routes(&document(&json!({"/predict": item}))).unwrap();
        assert_eq!(found[0].request.example_rows, Some(json!([[1.5, 2]])));
    }

    #[test]
    fn swagger_two_is_read() {
        let swagger = json!({"swagger": "2.0", "definitions": {"B": {"type": "array", "items": {"type": "array"}}}, "paths": {
            "/score": {"post": {
                "parameters": [{"in": "body", "name": "body", "schema": {"$ref": "#/definitions/B"}}],
                "responses": {"200": {"schema": {"type": "array", "items": {"type": "number"}}}}}}}});
        let found = routes(&swagger).unwrap();
        assert_eq!((found[0].request.body.clone(), found[0].prediction.as_deref()), (json!("{{rows}}"), Some("")));
    }

    #[test]
    fn forms_and_uploads_are_no_prediction_by_json() {
        let upload = json!({"post": {"requestBody": {"content": {"multipart/form-data": {"schema": {}}}}}});
        assert_eq!(routes(&document(&json!({"/predict": upload}))).unwrap(), []);
    }
}
