//! JSON Schema as `OpenAPI` documents use it: references followed, alternatives chosen, the form read.
//!
//! What must stay true: following references ends, however they point.

use serde_json::Value;

/// References and alternatives followed on one way down.
const MAX_STEPS: usize = 16;

/// The form of a value that a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Array,
    Object,
    Number,
    Integer,
    Text,
    Boolean,
    Any,
}

/// The schema behind references, `allOf` of one, and the first alternative of `anyOf` or `oneOf` that is not `null`.
pub(crate) fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut current = schema;
    for _ in 0..MAX_STEPS {
        if let Some(reference) = current.get("$ref").and_then(Value::as_str) {
            let Some(target) = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) else {
                return &Value::Null;
            };
            current = target;
        } else if let Some(next) = only_alternative(current) {
            current = next;
        } else {
            return current;
        }
    }
    &Value::Null
}

fn only_alternative(schema: &Value) -> Option<&Value> {
    if schema.get("type").is_some() || schema.get("properties").is_some() {
        return None;
    }
    ["allOf", "anyOf", "oneOf"].iter().find_map(|word| {
        schema.get(*word)?.as_array()?.iter().find(|part| part.get("type").and_then(Value::as_str) != Some("null"))
    })
}

/// The form that a resolved schema describes.
pub(crate) fn form(schema: &Value) -> Form {
    let word = match schema.get("type") {
        Some(Value::String(word)) => Some(word.as_str()),
        // OpenAPI 3.1: ["array", "null"].
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null"),
        _ => None,
    };
    match word {
        Some("array") => Form::Array,
        Some("object") => Form::Object,
        Some("number") => Form::Number,
        Some("integer") => Form::Integer,
        Some("string") => Form::Text,
        Some("boolean") => Form::Boolean,
        _ if schema.get("properties").is_some() => Form::Object,
        _ if schema.get("items").is_some() => Form::Array,
        _ => Form::Any,
    }
}

/// What an array holds.
pub(crate) fn items<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let items = schema.get("items").or_else(|| schema.pointer("/prefixItems/0"));
    items.map_or(&Value::Null, |items| resolve(document, items))
}

/// The example that a schema or a media type brings.
pub(crate) fn example<'a>(document: &'a Value, holder: &'a Value) -> Option<&'a Value> {
    let first = match holder.get("examples") {
        // JSON Schema: an array of values.
        Some(Value::Array(values)) => values.first(),
        // OpenAPI media type: named examples with a `value`.
        Some(Value::Object(named)) => named.values().next().and_then(|one| resolve(document, one).get("value")),
        _ => None,
    };
    holder.get("example").or(first).filter(|value| !value.is_null())
}
