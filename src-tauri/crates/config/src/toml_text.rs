//! Plain values as TOML 1.0 text, always in the same order and form.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder};

/// Longest array that stays on one line, in characters.
const LINE: usize = 90;

/// Keys that people look for first; the others follow by the alphabet.
const FIRST: [&str; 12] = [
    "kind",
    "name",
    "environment",
    "url",
    "protocol",
    "model",
    "model_version",
    "alias",
    "paused",
    "task",
    "classes",
    "golden_set",
];
/// Keys whose text is long.
const LAST: [&str; 2] = ["body", "rows"];

/// Appends a table with its header line, `[[endpoint]]` or the like: its plain keys first, then its tables.
pub(crate) fn table(out: &mut String, header: &str, map: &Map<String, Value>) -> Result<(), String> {
    let _ = writeln!(out, "{header}");
    fields(out, header.trim_matches(['[', ']']), map, 0)
}

fn fields(out: &mut String, name: &str, map: &Map<String, Value>, depth: usize) -> Result<(), String> {
    // What follows the header of a table belongs to it, so that plain keys come first.
    let mut tables = Vec::new();
    for (key, value) in ordered(map) {
        if value.is_object() && (depth == 0 || has_tables(value)) {
            tables.push((key, value));
            continue;
        }
        let text = inline(value, 0).map_err(|problem| format!("`{name}.{key}` {problem}"))?;
        if value.is_object() && text.chars().count() > LINE {
            tables.push((key, value));
        } else {
            let _ = writeln!(out, "{} = {text}", key_text(key));
        }
    }
    for (key, value) in tables {
        let name = format!("{name}.{}", key_text(key));
        let _ = writeln!(out, "\n[{name}]");
        value.as_object().map_or(Ok(()), |map| fields(out, &name, map, depth + 1))?;
    }
    Ok(())
}

fn has_tables(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.values().any(Value::is_object))
}

fn ordered(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut fields: Vec<(&String, &Value)> = map.iter().collect();
    let rank = |key: &str| match FIRST.iter().position(|first| *first == key) {
        Some(position) => position,
        None => FIRST.len() + LAST.iter().position(|last| *last == key).map_or(0, |position| position + 1),
    };
    fields.sort_by(|a, b| rank(a.0).cmp(&rank(b.0)).then_with(|| a.0.cmp(b.0)));
    fields.into_iter()
}

fn key_text(key: &str) -> String {
    TomlKeyBuilder::new(key).as_default().to_toml_key()
}

fn string(text: &str) -> String {
    TomlStringBuilder::new(text).as_default().to_toml_value()
}

fn inline(value: &Value, depth: usize) -> Result<String, String> {
    Ok(match value {
        Value::Null => return Err("holds nothing, which TOML cannot say".to_owned()),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.to_string(),
            (None, Some(float)) if number.is_f64() => format!("{float:?}"),
            _ => return Err("is a number too large for TOML".to_owned()),
        },
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items = items.iter().map(|item| inline(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
            let line = format!("[{}]", items.join(", "));
            if depth > 0 || (line.chars().count() <= LINE && !line.contains('\n')) {
                line
            } else {
                format!("[\n    {},\n]", items.join(",\n    "))
            }
        }
        Value::Object(map) => {
            let field =
                |(key, value): (&String, &Value)| Ok(format!("{} = {}", key_text(key), inline(value, depth + 1)?));
            let fields = ordered(map).map(field).collect::<Result<Vec<_>, String>>()?;
            if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
        }
    })
}
