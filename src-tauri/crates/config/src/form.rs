//! An endpoint as a person writes it, and as the domain's serde types read it.
//!
//! What differs: the target's keys stand beside the name and not one level deeper; a secret is `keyring:NAME`; the golden
//! set has its name and not its number; a JSON body is JSON text, because TOML has no null; probe rows are text or a file.
//! Every other key is the domain's own, so that a new setting needs nothing here.

use std::sync::OnceLock;

use pilothouse_domain::Endpoint;
use serde_json::{Map, Value, json};

use crate::configuration::ConfiguredEndpoint;
use crate::document::Path;
use crate::plain_secret::{REFERENCE, is_reference_key, referred};

/// The key of the rows that a probe sends.
pub(crate) const PROBE_INPUT: &str = "probe_input";

/// Keys of the domain's endpoint that are no settings.
const NOT_SET: [&str; 3] = ["id", "created", "target"];

/// An endpoint in which nothing is said.
fn blank() -> Value {
    json!({ "id": 0, "created": 0, "paused": false, "probe": {}, "evaluation": null, "control_plane": null })
}

/// The keys that stand beside `target` in the domain; all others are the target's.
fn is_outer(key: &str) -> bool {
    static OUTER: OnceLock<Vec<String>> = OnceLock::new();
    let outer = OUTER.get_or_init(|| {
        let mut smallest = blank();
        for (key, value) in [
            ("name", json!("a")),
            ("environment", json!("a")),
            ("target", json!({ "url": "http://localhost/", "protocol": "v2" })),
        ] {
            smallest[key] = value;
        }
        let written = serde_json::from_value::<Endpoint>(smallest).ok().and_then(|e| serde_json::to_value(e).ok());
        let keys = written.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys);
        keys.filter(|key| !NOT_SET.contains(&key.as_str())).cloned().collect()
    });
    outer.iter().any(|known| known == key)
}

/// The domain's value of a form whose rows and golden set were taken out, and whose secrets are references still.
pub(crate) fn to_domain(form: &Map<String, Value>) -> Value {
    let mut value = blank();
    let mut target = Map::new();
    for (key, field) in form {
        let mut field = field.clone();
        strip_references(&mut field);
        if is_outer(key) { value[key.as_str()] = field } else { target.extend([(key.clone(), field)]) }
    }
    if let Some(Value::String(text)) = target.get("json").and_then(|json| json.get("body"))
        && let Ok(body) = serde_json::from_str(text)
    {
        target["json"]["body"] = body;
    }
    if let Some(evaluation) = value["evaluation"].as_object_mut() {
        evaluation.insert("golden_set".into(), json!(0));
    }
    value["target"] = Value::Object(target);
    value
}

/// Where a path within the domain's value stands in the form.
pub(crate) fn place_in_form(base: &[String], path: &[String]) -> Path {
    let inner = if path.first().is_some_and(|first| first == "target") { &path[1..] } else { path };
    base.iter().chain(inner).cloned().collect()
}

/// The full form, with every default, without the rows.
pub(crate) fn of(configured: &ConfiguredEndpoint) -> Map<String, Value> {
    let mut endpoint = configured.endpoint.clone();
    endpoint.target.probe_input = None;
    let Ok(Value::Object(mut form)) = serde_json::to_value(endpoint) else { return Map::new() };
    let target = form.remove("target");
    form.retain(|key, _| !NOT_SET.contains(&key.as_str()));
    if let Some(Value::Object(target)) = target {
        form.extend(target);
    }
    form.remove(PROBE_INPUT);
    if let Some(body) = form.get_mut("json").and_then(|json| json.get_mut("body")) {
        *body = Value::String(body.to_string());
    }
    if let Some(evaluation) = form.get_mut("evaluation").and_then(Value::as_object_mut) {
        evaluation.insert("golden_set".into(), json!(configured.golden_set));
    }
    form.values_mut().for_each(add_references);
    form
}

/// The form without what a reader would fill in by itself. A key stays when the endpoint would be another one without it;
/// serde itself is asked.
pub(crate) fn without_defaults(configured: &ConfiguredEndpoint) -> Map<String, Value> {
    let mut bare = configured.endpoint.clone();
    bare.target.probe_input = None;
    let same = |form: &Map<String, Value>| {
        // The golden set stands in the form by name; its number is that of no database.
        serde_json::from_value::<Endpoint>(to_domain(form)).is_ok_and(|read| read == bare)
    };
    let mut form = of(configured);
    // All that is not set goes at once, which spares most of the questions below.
    let mut set = form.clone();
    drop_unset(&mut set);
    if same(&set) {
        form = set;
    }
    leave_out(&mut form, &mut Vec::new(), &same);
    form
}

fn drop_unset(table: &mut Map<String, Value>) {
    table.retain(|_, value| !value.is_null());
    for value in table.values_mut() {
        match value {
            Value::Object(inner) => drop_unset(inner),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(drop_unset),
            _ => {}
        }
    }
}

fn leave_out(form: &mut Map<String, Value>, path: &mut Path, same: &dyn Fn(&Map<String, Value>) -> bool) {
    for key in keys_at(form, path) {
        path.push(key);
        let is_golden_set = path.as_slice() == ["evaluation", "golden_set"];
        if !is_golden_set && !is_spared(form, path, same) {
            leave_out(form, path, same);
        }
        path.pop();
    }
}

/// Removes the key at the path if the endpoint is the same without it.
fn is_spared(form: &mut Map<String, Value>, path: &[String], same: &dyn Fn(&Map<String, Value>) -> bool) -> bool {
    let Some((key, around)) = path.split_last() else { return false };
    // Elements of arrays have no keys; what is in them may have defaults of its own.
    let Some(taken) = table_mut(form, around).and_then(|table| table.remove(key)) else { return false };
    if same(form) {
        return true;
    }
    if let Some(table) = table_mut(form, around) {
        table.insert(key.clone(), taken);
    }
    false
}

fn keys_at(form: &mut Map<String, Value>, path: &[String]) -> Vec<String> {
    if path.is_empty() {
        return form.keys().cloned().collect();
    }
    match value_mut(form, path) {
        Some(Value::Object(table)) => table.keys().cloned().collect(),
        Some(Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    }
}

fn table_mut<'m>(form: &'m mut Map<String, Value>, path: &[String]) -> Option<&'m mut Map<String, Value>> {
    if path.is_empty() { Some(form) } else { value_mut(form, path)?.as_object_mut() }
}

fn value_mut<'m>(form: &'m mut Map<String, Value>, path: &[String]) -> Option<&'m mut Value> {
    let (first, rest) = path.split_first()?;
    let mut value = form.get_mut(first)?;
    for key in rest {
        value = match value {
            Value::Object(table) => table.get_mut(key)?,
            Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn each_reference(value: &mut Value, change: &dyn Fn(&mut String)) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                match value {
                    Value::String(text) if is_reference_key(key) => change(text),
                    other => each_reference(other, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|value| each_reference(value, change)),
        _ => {}
    }
}

fn add_references(value: &mut Value) {
    each_reference(value, &|name| *name = format!("{REFERENCE}{name}"));
}

fn strip_references(value: &mut Value) {
    each_reference(value, &|text| {
        if let Some(name) = referred(text) {
            *text = name.to_owned();
        }
    });
}
