//! From a request's schema to a body with a place for rows, and from an answer's schema to a pointer.

use serde_json::{Map, Value, json};

use crate::RequestTemplate;
use crate::schema::{Form, example, form, items, resolve};

/// Names under which servers take their rows, the most telling first.
const ROW_NAMES: [&str; 13] = [
    "instances",
    "inputs",
    "dataframe_records",
    "rows",
    "records",
    "features",
    "data",
    "samples",
    "batch",
    "input",
    "x",
    "items",
    "values",
];
/// Names under which servers answer, the most telling first.
const ANSWER_NAMES: [&str; 15] = [
    "predictions",
    "prediction",
    "outputs",
    "output",
    "results",
    "result",
    "scores",
    "score",
    "probabilities",
    "labels",
    "label",
    "classes",
    "class",
    "forecast",
    "y",
];
/// Values sampled for one schema at most: a document must not make us build without end.
const MAX_SAMPLE: usize = 200;
const MAX_DEPTH: usize = 8;

/// The body for a media type (`application/json`, with its `schema` and examples).
pub(crate) fn request(document: &Value, media: &Value) -> (RequestTemplate, String) {
    let schema = media.get("schema").map_or(&Value::Null, |schema| resolve(document, schema));
    let given = example(document, media).or_else(|| example(document, schema));
    match form(schema) {
        Form::Array => {
            let (mark, words) = rows_mark(document, schema);
            let rows = given.filter(|value| value.is_array()).cloned();
            let template = RequestTemplate { body: json!(mark), example_rows: rows, takes_rows: true };
            (template, format!("its body is an array of {words}"))
        }
        Form::Object => object(document, schema, given),
        _ => unknown(given),
    }
}

fn object(document: &Value, schema: &Value, given: Option<&Value>) -> (RequestTemplate, String) {
    let empty = Map::new();
    let members = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let Some(rows) = rows_member(document, members) else {
        if members.is_empty() {
            return unknown(given);
        }
        let sample = given.cloned().unwrap_or_else(|| Sampler { document, left: MAX_SAMPLE }.sample(schema, 0));
        let template = RequestTemplate { body: sample, example_rows: None, takes_rows: false };
        return (template, "its body is one record: rows cannot be filled in, each call sends the example".into());
    };
    let member = resolve(document, &members[rows]);
    let (mark, words) = rows_mark(document, member);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut body = Map::new();
    for (name, part) in members {
        if name == rows {
            body.insert(name.clone(), json!(mark));
        } else if required.contains(&name.as_str()) {
            let value = given.and_then(|value| value.get(name)).cloned();
            let value = value.unwrap_or_else(|| Sampler { document, left: MAX_SAMPLE }.sample(part, 0));
            body.insert(name.clone(), value);
        }
    }
    let example_rows = given.and_then(|value| value.get(rows)).or_else(|| example(document, member));
    let template = RequestTemplate {
        body: Value::Object(body),
        example_rows: example_rows.filter(|value| value.is_array()).cloned(),
        takes_rows: true,
    };
    (template, format!("its body holds an array of {words} under `{rows}`"))
}

fn unknown(given: Option<&Value>) -> (RequestTemplate, String) {
    let template = match given {
        Some(value) => template_of_example(value),
        None => RequestTemplate { body: json!({"instances": "{{rows}}"}), example_rows: None, takes_rows: true },
    };
    let why = if given.is_some() { "its body is known from an example" } else { "its body is not described" };
    (template, why.to_owned())
}

/// A body like this one with its rows taken out: the first array under a telling name, or the only one.
pub fn template_of_example(body: &Value) -> RequestTemplate {
    let mark_of = |rows: &Value| {
        let first = rows.as_array().and_then(|rows| rows.first());
        if first.is_some_and(Value::is_object) { "{{records}}" } else { "{{rows}}" }
    };
    let none = || RequestTemplate { body: body.clone(), example_rows: None, takes_rows: false };
    match body {
        Value::Array(_) => {
            RequestTemplate { body: json!(mark_of(body)), example_rows: Some(body.clone()), takes_rows: true }
        }
        Value::Object(members) => {
            let is_rows = |name: &str| {
                members
                    .get(name)
                    .and_then(Value::as_array)
                    .is_some_and(|rows| rows.first().is_some_and(|row| row.is_array() || row.is_object()))
            };
            let named = ROW_NAMES.into_iter().find(|name| is_rows(name)).map(str::to_owned);
            let mut arrays = members.keys().filter(|name| is_rows(name));
            let only = arrays.next().filter(|_| arrays.next().is_none()).cloned();
            let Some(name) = named.or(only) else { return none() };
            let mut template = members.clone();
            let rows = template.insert(name.clone(), Value::Null).unwrap_or_default();
            template.insert(name, json!(mark_of(&rows)));
            RequestTemplate { body: Value::Object(template), example_rows: Some(rows), takes_rows: true }
        }
        _ => none(),
    }
}

/// `{{rows}}` or `{{records}}`, with words for a person.
fn rows_mark(document: &Value, array: &Value) -> (&'static str, &'static str) {
    match form(items(document, array)) {
        Form::Object => ("{{records}}", "objects"),
        Form::Array => ("{{rows}}", "rows"),
        _ => ("{{rows}}", "values"),
    }
}

/// The member that takes the rows: an array of rows or objects, by its name first.
fn rows_member<'a>(document: &Value, members: &'a Map<String, Value>) -> Option<&'a str> {
    let is_table = |part: &Value| {
        let part = resolve(document, part);
        form(part) == Form::Array && matches!(form(items(document, part)), Form::Array | Form::Object)
    };
    let is_array = |part: &Value| form(resolve(document, part)) == Form::Array;
    let named = |fits: &dyn Fn(&Value) -> bool| {
        ROW_NAMES.iter().find_map(|wanted| {
            members.iter().find(|(name, part)| name.eq_ignore_ascii_case(wanted) && fits(part)).map(|(name, _)| name)
        })
    };
    let only_table = || {
        let mut tables = members.iter().filter(|(_, part)| is_table(part)).map(|(name, _)| name);
        tables.next().filter(|_| tables.next().is_none())
    };
    named(&is_table).or_else(only_table).or_else(|| named(&is_array)).map(String::as_str)
}

/// Where the answer's predictions and its version stand.
pub(crate) fn answer(document: &Value, media: &Value) -> (Option<String>, Option<String>) {
    let schema = media.get("schema").map_or(&Value::Null, |schema| resolve(document, schema));
    match form(schema) {
        Form::Array => (Some(String::new()), None),
        Form::Object => {
            let empty = Map::new();
            let members = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
            let named = |wanted: &[&str]| {
                wanted.iter().find_map(|word| members.keys().find(|name| name.eq_ignore_ascii_case(word)))
            };
            let mut arrays = members.iter().filter(|(_, part)| form(resolve(document, part)) == Form::Array);
            let only_array = arrays.next().filter(|_| arrays.next().is_none()).map(|(name, _)| name);
            let version = named(&["model_version", "modelVersion", "version"]);
            (named(&ANSWER_NAMES).or(only_array).map(|name| pointer(name)), version.map(|name| pointer(name)))
        }
        _ => (None, None),
    }
}

/// A member's RFC 6901 pointer.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Builds a value that a schema accepts.
struct Sampler<'a> {
    document: &'a Value,
    left: usize,
}

impl Sampler<'_> {
    fn sample(&mut self, schema: &Value, depth: usize) -> Value {
        if self.left == 0 || depth > MAX_DEPTH {
            return Value::Null;
        }
        self.left -= 1;
        let document = self.document;
        let schema = resolve(document, schema);
        let given = schema
            .get("default")
            .or_else(|| schema.get("const"))
            .or_else(|| example(document, schema))
            .or_else(|| schema.pointer("/enum/0"));
        if let Some(value) = given {
            return value.clone();
        }
        match form(schema) {
            Form::Array => Value::Array(vec![self.sample(items(document, schema), depth + 1)]),
            Form::Object => {
                let members = schema.get("properties").and_then(Value::as_object);
                let pairs = members.into_iter().flatten();
                Value::Object(pairs.map(|(name, part)| (name.clone(), self.sample(part, depth + 1))).collect())
            }
            Form::Number => json!(0.0),
            Form::Integer => json!(0),
            Form::Text => json!(""),
            Form::Boolean => json!(false),
            Form::Any => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_gives_a_template() {
        let check = |body: Value, expect: Value, rows: Value| {
            let found = template_of_example(&body);
            assert_eq!((found.body, found.example_rows.unwrap_or_default()), (expect, rows), "{body}");
        };
        check(json!({"instances": [[1, 2]]}), json!({"instances": "{{rows}}"}), json!([[1, 2]]));
        check(json!({"data": [{"a": 1}], "k": 3}), json!({"data": "{{records}}", "k": 3}), json!([{"a": 1}]));
        check(json!({"odd": [[1]], "n": [1]}), json!({"odd": "{{rows}}", "n": [1]}), json!([[1]]));
        check(json!([[1, 2]]), json!("{{rows}}"), json!([[1, 2]]));
        check(json!({"text": "hello"}), json!({"text": "hello"}), Value::Null);
        check(json!({"a": [[1]], "b": [[2]]}), json!({"a": [[1]], "b": [[2]]}), Value::Null);
        check(json!(3), json!(3), Value::Null);
    }
}
