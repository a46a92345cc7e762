//! From files to a configuration, with every problem and its place.

use std::collections::{BTreeMap, BTreeSet};

use pilothouse_domain::{Cell, Endpoint, GoldenSet, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::configuration::{Configuration, ConfiguredEndpoint, RetentionDays, SourceFile};
use crate::document::{Document, Path, child};
use crate::error::{ConfigError, Problem};
use crate::golden::{GoldenForm, RowsForm};
use crate::{form, keys, plain_secret, rows};

const SETTINGS: &str = "settings";
const ENDPOINT: &str = "endpoint";
const GOLDEN_SET: &str = "golden_set";
const TABLES: [&str; 3] = [ENDPOINT, GOLDEN_SET, SETTINGS];

/// Reads every `.toml` file among `files`; what they name as `file` must be among them too. `golden_sets` are the names of
/// sets that are there already, so that an endpoint may refer to them.
pub fn read(files: &[SourceFile], golden_sets: &BTreeSet<String>) -> Result<Configuration, ConfigError> {
    let mut reading = Reading { files, found: Configuration::default(), names: BTreeMap::new(), problems: Vec::new() };
    let mut documents: Vec<&SourceFile> = files.iter().filter(|file| is_toml(&file.path)).collect();
    documents.sort_by(|a, b| a.path.cmp(&b.path));
    if documents.is_empty() {
        let (file, hint) = (files.first().map_or_else(|| ".".to_owned(), |file| file.path.clone()), None);
        let message = "there is no `.toml` file here".to_owned();
        return Err(ConfigError::Invalid(vec![Problem {
            file,
            line: 1,
            column: 1,
            key: String::new(),
            message,
            hint,
        }]));
    }
    let documents: Vec<Document<'_>> =
        documents.into_iter().map(|file| Document::parse(file, &mut reading.problems)).collect();
    if !reading.problems.is_empty() {
        return Err(ConfigError::Invalid(reading.problems));
    }
    for document in &documents {
        reading.document(document);
    }
    for document in &documents {
        reading.references(document, golden_sets);
    }
    if reading.problems.is_empty() { Ok(reading.found.sorted()) } else { Err(ConfigError::Invalid(reading.problems)) }
}

/// The files with rows that a TOML file names, as paths below the configuration's folder. Lenient: what cannot be read is
/// told by [`read`].
pub fn row_files(file: &SourceFile) -> Vec<String> {
    let document = Document::parse(file, &mut Vec::new());
    let tables = |key: &str| document.top.get(key).and_then(Value::as_array).into_iter().flatten();
    let inputs = tables(ENDPOINT).filter_map(|endpoint| endpoint.get(form::PROBE_INPUT));
    let named = tables(GOLDEN_SET).chain(inputs).filter_map(|table| table.get("file")?.as_str());
    named.filter_map(|name| beside(&file.path, name)).collect()
}

fn is_toml(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("toml"))
}

/// The path of a file named in another one; `None` when it lies outside the configuration's folder.
fn beside(file: &str, name: &str) -> Option<String> {
    let name = name.replace('\\', "/");
    if name.starts_with('/') || name.contains(':') {
        return None;
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SettingsForm {
    #[serde(default)]
    retention: Option<RetentionDays>,
}

struct Reading<'a> {
    files: &'a [SourceFile],
    found: Configuration,
    /// Names given so far, by kind, with the place of the first.
    names: BTreeMap<(&'static str, String), String>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn document(&mut self, document: &Document<'_>) {
        for (key, value) in &document.top {
            let path = vec![key.clone()];
            match (key.as_str(), value) {
                (SETTINGS, _) => self.settings(document, value, &path),
                (ENDPOINT | GOLDEN_SET, Value::Array(tables)) => {
                    for (index, table) in tables.iter().enumerate() {
                        self.table(document, key, table, &child(&path, &index.to_string()));
                    }
                }
                (ENDPOINT | GOLDEN_SET, Value::Null) => {}
                (ENDPOINT | GOLDEN_SET, _) => {
                    let hint = Some(format!("begin each one with a line `[[{key}]]`"));
                    self.problems.push(document.problem(&path, "must be a list of tables", hint));
                }
                _ => {
                    let before = self.problems.len();
                    plain_secret::find(document, value, &mut path.clone(), &mut self.problems);
                    if self.problems.len() == before {
                        self.problems.push(keys::unknown_key(document, &path, TABLES.to_vec()));
                    }
                }
            }
        }
    }

    fn table(&mut self, document: &Document<'_>, key: &str, table: &Value, path: &Path) {
        let before = self.problems.len();
        plain_secret::find(document, table, &mut path.clone(), &mut self.problems);
        if self.problems.len() > before {
            return;
        }
        let Value::Object(table) = table else {
            let hint = Some(format!("begin it with a line `[[{key}]]`"));
            return self.problems.push(document.problem(path, "must be a table", hint));
        };
        if key == ENDPOINT {
            self.endpoint(document, table, path);
        } else {
            self.golden_set(document, table, path);
        }
    }

    fn settings(&mut self, document: &Document<'_>, value: &Value, path: &Path) {
        let place = |inner: &[String]| path.iter().chain(inner).cloned().collect();
        let Some(read) = keys::read::<SettingsForm>(document, value, &place, &mut self.problems) else { return };
        let Some(retention) = read.retention else { return };
        let path = child(path, "retention");
        if let Some(problem) = retention.problem() {
            let hint = "keep single probes at least 1 day, and each coarser step at least as long".to_owned();
            self.problems.push(document.problem(&path, problem, Some(hint)));
        } else if self.found.retention.replace(retention).is_some() {
            self.problems.push(document.problem(&path, "is said in another file already", None));
        }
    }

    fn endpoint(&mut self, document: &Document<'_>, table: &Map<String, Value>, path: &Path) {
        let before = self.problems.len();
        let mut form = table.clone();
        let rows = form.remove(form::PROBE_INPUT);
        let body = form.get("json").and_then(|json| json.get("body"));
        if let Some(Err(error)) = body.and_then(Value::as_str).map(serde_json::from_str::<Value>) {
            let path = child(&child(path, "json"), "body");
            self.problems.push(document.problem(&path, format!("is not JSON: {error}"), None));
        }
        let golden_set = self.golden_set_name(document, &form, path);
        let place = |inner: &[String]| form::place_in_form(path, inner);
        let read = keys::read::<Endpoint>(document, &form::to_domain(&form), &place, &mut self.problems);
        let Some(mut endpoint) = read else { return };
        if let Some(rows) = rows {
            endpoint.target.probe_input = self.rows(document, &rows, &child(path, form::PROBE_INPUT));
        }
        if let Err(invalid) = endpoint.validate() {
            let inner: Path = invalid.field.split('.').map(str::to_owned).collect();
            // Some are named without the table that they stand in.
            let places = [place(&inner), place(&[&["probe".to_owned()], inner.as_slice()].concat())];
            let place = places.iter().find(|place| document.has(place)).unwrap_or(&places[0]);
            self.problems.push(document.problem(place, invalid.problem, None));
        }
        self.name_once(document, ENDPOINT, &endpoint.name, path);
        if self.problems.len() == before {
            self.found.endpoints.push(ConfiguredEndpoint::new(endpoint, golden_set));
        }
    }

    fn golden_set_name(&mut self, document: &Document<'_>, form: &Map<String, Value>, path: &Path) -> Option<String> {
        let evaluation = form.get("evaluation")?.as_object()?;
        let path = child(path, "evaluation");
        match evaluation.get(GOLDEN_SET) {
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => {
                let problem = "must be the name of a golden set, in quotes";
                self.problems.push(document.problem(&child(&path, GOLDEN_SET), problem, None));
                None
            }
            None => {
                let near = keys::nearest(GOLDEN_SET, evaluation.keys().map(String::as_str));
                let hint = near.map(|slip| format!("`{slip}` may be meant for it"));
                self.problems.push(document.problem(&path, "names no `golden_set`", hint));
                None
            }
        }
    }

    fn golden_set(&mut self, document: &Document<'_>, table: &Map<String, Value>, path: &Path) {
        let place = |inner: &[String]| path.iter().chain(inner).cloned().collect();
        let value = Value::Object(table.clone());
        let Some(form) = keys::read::<GoldenForm>(document, &value, &place, &mut self.problems) else { return };
        let length = form.name.chars().count();
        if form.name.trim() != form.name || !(1..=80).contains(&length) {
            let problem = "must have 1 to 80 characters, without surrounding blanks";
            self.problems.push(document.problem(&child(path, "name"), problem, None));
        }
        self.name_once(document, GOLDEN_SET, &form.name, path);
        let Some(rows) = self.rows_of(document, &form.rows(), path) else { return };
        match form.with_rows(rows) {
            Ok(set) => self.found.golden_sets.push(set),
            Err((key, problem)) => self.problems.push(document.problem(&child(path, key), problem, None)),
        }
    }

    fn rows(&mut self, document: &Document<'_>, value: &Value, path: &Path) -> Option<Table> {
        let place = |inner: &[String]| path.iter().chain(inner).cloned().collect();
        let form = keys::read::<RowsForm>(document, value, &place, &mut self.problems)?;
        self.rows_of(document, &form, path)
    }

    fn rows_of(&mut self, document: &Document<'_>, form: &RowsForm, path: &Path) -> Option<Table> {
        let (key, read) = match (&form.rows, &form.file) {
            (Some(Value::String(text)), None) => ("rows", rows::read(text, &form.columns)),
            (Some(Value::Array(records)), None) => {
                ("rows", from_tables(document, records, &child(path, "rows"), &form.columns))
            }
            (None, Some(name)) => match self.file(document, name) {
                Ok(text) => ("file", rows::read(text, &form.columns)),
                Err((problem, hint)) => {
                    self.problems.push(document.problem(&child(path, "file"), problem, Some(hint)));
                    return None;
                }
            },
            (Some(_), None) => {
                let problem = "must be text (CSV, JSON Lines) or a list of tables, one for each row";
                self.problems.push(document.problem(&child(path, "rows"), problem, None));
                return None;
            }
            (rows, _) => {
                let problem = if rows.is_some() { "has `rows` and `file`" } else { "has neither `rows` nor `file`" };
                self.problems.push(document.problem(path, problem, Some("give one of them".to_owned())));
                return None;
            }
        };
        let file = form.file.as_deref().filter(|_| key == "file").map(|file| format!("`{file}`: ")).unwrap_or_default();
        match read {
            Ok(table) => Some(table),
            Err(error) => {
                let path = child(path, key);
                self.problems.push(document.problem(&path, format!("{file}{}", error.problem), error.hint));
                None
            }
        }
    }

    fn file(&self, document: &Document<'_>, name: &str) -> Result<&str, (String, String)> {
        let outside = || {
            let problem = format!("`{name}` lies outside the configuration's folder");
            (problem, "put it beside this file, and write its path from here".to_owned())
        };
        let path = beside(document.file(), name).ok_or_else(outside)?;
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str()).ok_or_else(|| {
            (format!("there is no file `{path}`"), "paths begin at the folder of the file that names them".to_owned())
        })
    }

    fn name_once(&mut self, document: &Document<'_>, kind: &'static str, name: &str, path: &Path) {
        let problem = document.problem(&child(path, "name"), "", None);
        let here = format!("{}:{}", problem.file, problem.line);
        if let Some(first) = self.names.insert((kind, name.to_owned()), here) {
            self.problems.push(Problem { message: format!("`{name}` is described at {first} already"), ..problem });
        }
    }

    /// Golden sets that endpoints refer to are described here or there already.
    fn references(&mut self, document: &Document<'_>, known: &BTreeSet<String>) {
        for (index, endpoint) in document.top.get(ENDPOINT).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let named = endpoint.get("evaluation").and_then(|evaluation| evaluation.get(GOLDEN_SET)?.as_str());
            let Some(name) = named else { continue };
            let is_described = |set: &GoldenSet| set.name == name;
            // A set that is described wrongly is told once, at its own place.
            let is_attempted = self.names.contains_key(&(GOLDEN_SET, name.to_owned()));
            if known.contains(name) || is_attempted || self.found.golden_sets.iter().any(is_described) {
                continue;
            }
            let described = self.found.golden_sets.iter().map(|set| set.name.as_str());
            let near = keys::nearest(name, described.chain(known.iter().map(String::as_str)));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "describe it with `[[golden_set]]`, or import it first".to_owned(),
            };
            let path: Path = [ENDPOINT, &index.to_string(), "evaluation", GOLDEN_SET].map(str::to_owned).to_vec();
            self.problems.push(document.problem(&path, format!("there is no golden set `{name}`"), Some(hint)));
        }
    }
}

/// Rows written as TOML tables, with their columns in the order of the text.
fn from_tables(
    document: &Document<'_>,
    records: &[Value],
    path: &Path,
    kinds: &rows::Kinds,
) -> Result<Table, rows::RowsError> {
    let invalid = |problem: String| rows::RowsError { problem, hint: None };
    let mut names: Vec<String> = Vec::new();
    let mut tables: Vec<&Map<String, Value>> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let table = record.as_object().ok_or_else(|| invalid(format!("row {} is no table", index + 1)))?;
        for key in document.keys_in_order(&child(path, &index.to_string()), table) {
            if !names.contains(key) {
                names.push(key.clone());
            }
        }
        tables.push(table);
    }
    let cell = |(row, table): (usize, &&Map<String, Value>), name: &String| {
        table
            .get(name)
            .map_or(Some(Cell::Missing), rows::cell)
            .ok_or_else(|| invalid(format!("row {}: `{name}` is neither a number nor a text", row + 1)))
    };
    let rows = tables.iter().enumerate().map(|row| names.iter().map(|name| cell(row, name)).collect());
    let rows = rows.collect::<Result<Vec<Vec<Cell>>, _>>()?;
    rows::from_cells(names, rows, kinds)
}
