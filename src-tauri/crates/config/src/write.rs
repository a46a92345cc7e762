//! From a configuration to files: one that holds everything, or a folder with one file for each endpoint.
//!
//! What must stay true: the same configuration gives the same bytes; whatever is given out here is read back first and
//! compared, so that nothing is lost without a word.

use std::collections::BTreeSet;

use pilothouse_domain::{GoldenSet, Table};
use serde_json::{Map, Value, json};

use crate::configuration::{Configuration, ConfiguredEndpoint, SourceFile};
use crate::error::ConfigError;
use crate::golden::{TaskWord, digest, hexadecimal, labelled};
use crate::{form, read, rows, toml_text};

/// The first lines of what is written.
pub const HEAD: &str = "\
# The set-up of Pilothouse. What is not said here has its default.
# Secrets stay in the keyring of each machine: they stand here by name only, as `keyring:NAME`.
# `pilothousectl config diff PATH` compares this with a database, `pilothousectl config apply PATH` carries it over.
";

/// Everything in one file.
pub fn write_file(configuration: &Configuration) -> Result<String, ConfigError> {
    let configuration = configuration.clone().sorted();
    let mut text = format!("{HEAD}{}", settings(&configuration));
    for endpoint in &configuration.endpoints {
        text.push('\n');
        text.push_str(&endpoint_text(endpoint, &mut |_| None)?);
    }
    for set in &configuration.golden_sets {
        text.push('\n');
        text.push_str(&golden_set_text(set, &mut |_| None)?);
    }
    prove(&configuration, &[SourceFile { path: "pilothouse.toml".into(), text: text.clone() }])?;
    Ok(text)
}

/// A folder: `pilothouse.toml` with the settings, `endpoints/NAME.toml`, `golden/NAME.toml`, and the rows beside them. The
/// file of a golden set's rows carries the fingerprint of what it holds.
pub fn write_folder(configuration: &Configuration) -> Result<Vec<SourceFile>, ConfigError> {
    let configuration = configuration.clone().sorted();
    let text = format!("{HEAD}{}", settings(&configuration));
    let mut files = vec![SourceFile { path: "pilothouse.toml".into(), text }];
    for endpoint in &configuration.endpoints {
        let name = file_name(&endpoint.endpoint.name);
        let text = endpoint_text(endpoint, &mut |rows| {
            let file = format!("{name}.rows.{}", rows.extension);
            files.push(SourceFile { path: format!("endpoints/{file}"), text: rows.text.clone() });
            Some(file)
        })?;
        files.push(SourceFile { path: format!("endpoints/{name}.toml"), text });
    }
    for set in &configuration.golden_sets {
        let name = file_name(&set.name);
        let text = golden_set_text(set, &mut |rows| {
            let file = format!("{name}-{}.{}", digest(set), rows.extension);
            files.push(SourceFile { path: format!("golden/{file}"), text: rows.text.clone() });
            Some(file)
        })?;
        files.push(SourceFile { path: format!("golden/{name}.toml"), text });
    }
    prove(&configuration, &files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn settings(configuration: &Configuration) -> String {
    let Some(days) = configuration.retention else { return String::new() };
    format!(
        "\n[settings.retention]\nraw_days = {}\nminute_days = {}\nhour_days = {}\n",
        days.raw_days, days.minute_days, days.hour_days
    )
}

/// Puts rows into a file and gives its name, or `None` to have them within the text.
type PutRows<'a> = dyn FnMut(&rows::Written) -> Option<String> + 'a;

fn endpoint_text(configured: &ConfiguredEndpoint, put: &mut PutRows<'_>) -> Result<String, ConfigError> {
    let name = &configured.endpoint.name;
    let refused = |problem: String| ConfigError::NotExpressible { what: "endpoint", name: name.clone(), problem };
    // What was stored before a rule existed would be refused on the way back.
    configured.endpoint.validate().map_err(|invalid| refused(format!("{invalid}; mend it in its settings")))?;
    let mut map = form::without_defaults(configured);
    if let Some(table) = &configured.endpoint.target.probe_input {
        let rows = rows_of(table, put).ok_or_else(|| refused("its probe rows have no form as text".to_owned()))?;
        map.insert(form::PROBE_INPUT.to_owned(), Value::Object(rows));
    }
    let mut text = String::new();
    toml_text::table(&mut text, "[[endpoint]]", &map).map_err(refused)?;
    Ok(text)
}

fn golden_set_text(set: &GoldenSet, put: &mut PutRows<'_>) -> Result<String, ConfigError> {
    let refused = |problem: String| ConfigError::NotExpressible { what: "golden set", name: set.name.clone(), problem };
    let (table, label) = labelled(set);
    let mut map = rows_of(&table, put).ok_or_else(|| refused("its rows have no form as text".to_owned()))?;
    // The labels of classes are text anyway.
    if !set.task.classes().is_empty()
        && let Some(Value::Object(columns)) = map.get_mut("columns")
    {
        columns.remove(&label);
        if columns.is_empty() {
            map.remove("columns");
        }
    }
    map.insert("name".into(), json!(set.name));
    map.insert("task".into(), json!(TaskWord::of(&set.task)));
    map.insert("label".into(), json!(label));
    if !set.task.classes().is_empty() {
        map.insert("classes".into(), json!(set.task.classes()));
    }
    if !set.source.is_empty() {
        map.insert("source".into(), json!(set.source));
    }
    let mut text = String::new();
    toml_text::table(&mut text, "[[golden_set]]", &map).map_err(refused)?;
    Ok(text)
}

fn rows_of(table: &Table, put: &mut PutRows<'_>) -> Option<Map<String, Value>> {
    let written = rows::write(table)?;
    let mut map = Map::new();
    match put(&written) {
        Some(file) => map.insert("file".into(), json!(file)),
        None => map.insert("rows".into(), json!(written.text)),
    };
    if !written.kinds.is_empty() {
        map.insert("columns".into(), json!(written.kinds));
    }
    Some(map)
}

/// Reads what was written and compares.
fn prove(configuration: &Configuration, files: &[SourceFile]) -> Result<(), ConfigError> {
    // A set that an endpoint refers to may be left out of a configuration.
    let known: BTreeSet<String> = configuration.endpoints.iter().filter_map(|e| e.golden_set.clone()).collect();
    let back = read::read(files, &known)?;
    let lost = |what, name: &str| {
        let problem = "it would not be read back as it is; please report this with the endpoint's kind".to_owned();
        Err(ConfigError::NotExpressible { what, name: name.to_owned(), problem })
    };
    for (wanted, read) in configuration.endpoints.iter().zip(&back.endpoints) {
        if wanted != read {
            return lost("endpoint", &wanted.endpoint.name);
        }
    }
    for (wanted, read) in configuration.golden_sets.iter().zip(&back.golden_sets) {
        if wanted != read {
            return lost("golden set", &wanted.name);
        }
    }
    if *configuration == back { Ok(()) } else { lost("configuration", "settings") }
}

/// Whether Windows opens a device by this name, whatever its ending.
fn is_device(file: &str) -> bool {
    let stem = file.split('.').next().unwrap_or_default();
    matches!(stem, "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()))
}

/// A file name without its ending: small letters, digits and `-_.`, told apart by a fingerprint where that changes a name.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let lower = name.to_ascii_lowercase();
    let mut file: String = lower.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    // It holds ASCII alone by now.
    file.truncate(80);
    if file.starts_with('.') {
        file.replace_range(..1, "-");
    }
    if is_device(&file) {
        file.insert(0, '-');
    }
    if file != name {
        file = format!("{file}-{}", hexadecimal(name.as_bytes(), 3));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_has_a_file_of_its_own_below_the_folder() {
        let names = [
            "churn",
            "Churn",
            "meta-llama/Llama-3.1",
            "../../etc/passwd",
            "..",
            ".hidden",
            "con",
            "com1.x",
            "модель",
            "мадель",
            "a\tb",
            "a b",
            "\u{202e}gpj",
            "nul\0",
            &"x".repeat(300),
            &format!("{}y", "x".repeat(299)),
        ];
        let files: BTreeSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len(), "{files:?}");
        for file in &files {
            assert!(file.len() <= 90 && !file.starts_with('.') && !is_device(file), "{file}");
            assert!(
                file.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)),
                "{file}"
            );
        }
        assert_eq!(file_name("churn-v2.1"), "churn-v2.1");
    }
}
