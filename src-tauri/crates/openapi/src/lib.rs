//! What an `OpenAPI` document says about predicting: the route, the request's template, the answer's pointer.
//!
//! What it is: pure functions over a parsed document of `OpenAPI` 3.0 or 3.1, or of Swagger 2.0. What it hides: `$ref`,
//! `allOf` and `anyOf`, and where each version keeps its schemas. What must stay true: any JSON gives an answer in bounded
//! time, a circular reference included; nothing is asked of a network; a guess is told as one.

mod health;
mod pick;
mod schema;
mod template;

pub use pick::routes;
pub use template::template_of_example;

use serde_json::Value;

/// A document that describes an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `info.title`.
    pub title: Option<String>,
    /// `info.version`, unless it is the framework's default and says nothing.
    pub version: Option<String>,
    /// The routes that may predict, the likeliest first.
    pub routes: Vec<Route>,
    /// The route that says whether the server lives, where one has a name that is usual for it.
    pub live: Option<String>,
    /// The route that says whether the model is ready, where one has a name that is usual for it.
    pub ready: Option<String>,
}

/// A route that takes JSON by POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The path as the document gives it, below the server's base.
    pub path: String,
    /// Why it was chosen, in words.
    pub why: Vec<String>,
    /// How well it fits; a route with less than 1 is no prediction route by any sign.
    pub score: i32,
    /// The request.
    pub request: RequestTemplate,
    /// RFC 6901 pointer to the predictions, when the answer's schema tells it.
    pub prediction: Option<String>,
    /// RFC 6901 pointer to the model's version, when the answer's schema has one.
    pub version: Option<String>,
}

/// A request body with a place for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTemplate {
    /// JSON in which `"{{rows}}"` stands for an array of rows and `"{{records}}"` for an array of objects. Without one of
    /// them the route takes one row per call, and the body is the document's example of it.
    pub body: Value,
    /// Rows from the document's own example, if it has one that fits the template.
    pub example_rows: Option<Value>,
    /// Whether rows can be filled in.
    pub takes_rows: bool,
}

/// Why a document was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOpenApi;

/// Reads a document. An error when it has no `openapi` or `swagger` member, or no `paths`.
pub fn describe(document: &Value) -> Result<Description, NotOpenApi> {
    if document.get("openapi").or_else(|| document.get("swagger")).and_then(Value::as_str).is_none() {
        return Err(NotOpenApi);
    }
    let text = |pointer: &str| {
        document.pointer(pointer).and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty())
    };
    let routes = routes(document).ok_or(NotOpenApi)?;
    // FastAPI's default is 0.1.0, BentoML's for a service that was not built is the word `None`.
    let version = text("/info/version").filter(|version| version != "None" && version != "0.1.0");
    let (live, ready) = (health::live_route(document), health::ready_route(document));
    Ok(Description { title: text("/info/title"), version, routes, live, ready })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::sample::select(vec![
                "array",
                "object",
                "number",
                "integer",
                "string",
                "#/components/schemas/a",
                "#/components/schemas/b",
                "#",
                "3.1.0",
                "predict",
                "",
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            let key = proptest::sample::select(vec![
                "openapi",
                "paths",
                "/predict",
                "post",
                "requestBody",
                "content",
                "application/json",
                "schema",
                "$ref",
                "properties",
                "items",
                "type",
                "allOf",
                "anyOf",
                "components",
                "schemas",
                "a",
                "b",
                "responses",
                "200",
                "example",
                "examples",
                "default",
                "enum",
                "instances",
                "prefixItems",
                "parameters",
                "in",
                "body",
                "required",
            ]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key, inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        /// A document of any JSON gives an answer.
        #[test]
        fn any_json_never_panics(mut document in value(), schemas in value()) {
            if let Some(members) = document.as_object_mut() {
                members.insert("openapi".into(), "3.1.0".into());
                members.insert("components".into(), json!({ "schemas": schemas }));
            }
            let _ = describe(&document);
            let whole = json!({"openapi": "3.1.0", "components": {"schemas": schemas},
                "paths": {"/predict": {"post": {"requestBody": {"content": {"application/json": {"schema": document.clone()}}},
                    "responses": {"200": {"content": {"application/json": {"schema": document}}}}}}}});
            let found = describe(&whole).expect("it has paths");
            prop_assert_eq!(found.routes.len(), 1);
        }
    }

    #[test]
    fn what_is_not_openapi_is_refused() {
        for text in ["{}", "[]", "null", r#"{"openapi":"3.1.0"}"#, r#"{"openapi":3,"paths":{}}"#, r#"{"paths":{}}"#] {
            assert_eq!(describe(&serde_json::from_str(text).unwrap()), Err(NotOpenApi), "{text}");
        }
        assert_eq!(describe(&json!({"swagger": "2.0", "paths": {}})).unwrap().routes, []);
    }
}
