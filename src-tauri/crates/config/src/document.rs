//! TOML text as plain values that remember where each of them stands.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::configuration::SourceFile;
use crate::error::Problem;

/// A place within a document: keys, and numbers of array elements from 0.
pub(crate) type Path = Vec<String>;

/// One parsed file.
pub(crate) struct Document<'a> {
    file: &'a SourceFile,
    /// The top table.
    pub(crate) top: Map<String, Value>,
    /// Byte offset of each key and each array element.
    offsets: BTreeMap<Path, usize>,
}

impl<'a> Document<'a> {
    /// Parses a file. One that is no TOML has nothing in it but its first problem: what follows from that helps nobody.
    pub(crate) fn parse(file: &'a SourceFile, problems: &mut Vec<Problem>) -> Self {
        let mut document = Document { file, top: Map::new(), offsets: BTreeMap::new() };
        let top = match DeTable::parse(&file.text) {
            Ok(top) => top,
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                // Only the message: the error's own text quotes the line, and the line may hold a secret.
                problems.push(document.problem_at(offset, String::new(), error.message().to_owned(), None));
                return document;
            }
        };
        let mut path = Path::new();
        document.top = document.table(top.get_ref(), &mut path, problems);
        document
    }

    fn table(&mut self, table: &DeTable<'_>, path: &mut Path, problems: &mut Vec<Problem>) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            self.offsets.insert(path.clone(), key.span().start);
            let value = self.value(value, path, problems);
            map.extend(path.pop().map(|key| (key, value)));
        }
        map
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &mut Path, problems: &mut Vec<Problem>) -> Value {
        let refused = match value.get_ref() {
            DeValue::String(text) => return Value::String(text.to_string()),
            DeValue::Boolean(flag) => return Value::Bool(*flag),
            DeValue::Integer(integer) => {
                let (text, radix) = (integer.as_str(), integer.radix());
                let number = i64::from_str_radix(text, radix).map(Number::from);
                match number.or_else(|_| u64::from_str_radix(text, radix).map(Number::from)) {
                    Ok(number) => return Value::Number(number),
                    Err(_) => "is a number too large",
                }
            }
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => return Value::Number(number),
                None => "must be a finite number",
            },
            DeValue::Datetime(_) => "is a date, and no setting takes one; write it in quotes",
            DeValue::Array(items) => {
                let mut array = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.offsets.insert(path.clone(), item.span().start);
                    array.push(self.value(item, path, problems));
                    path.pop();
                }
                return Value::Array(array);
            }
            DeValue::Table(table) => return Value::Object(self.table(table, path, problems)),
        };
        problems.push(self.problem(path, refused, None));
        Value::Null
    }

    /// A problem at a key; when that stands nowhere, at the nearest table around it.
    pub(crate) fn problem(&self, path: &[String], message: impl Into<String>, hint: Option<String>) -> Problem {
        let offset = (0..=path.len()).rev().find_map(|length| self.offsets.get(&path[..length]).copied());
        self.problem_at(offset.unwrap_or(0), key_text(path), message.into(), hint)
    }

    fn problem_at(&self, offset: usize, key: String, message: String, hint: Option<String>) -> Problem {
        let before = self.file.text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
        Problem { file: self.file.path.clone(), line, column, key, message, hint }
    }

    /// Whether something stands at this path.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        self.offsets.contains_key(path)
    }

    /// The keys of the table at this path.
    pub(crate) fn keys(&self, path: &[String]) -> Vec<&str> {
        let below = self.offsets.keys().filter(|key| key.len() == path.len() + 1 && key.starts_with(path));
        below.filter_map(|key| key.last().map(String::as_str)).collect()
    }

    /// The keys of a table in the order of the text.
    pub(crate) fn keys_in_order<'m>(&self, path: &[String], table: &'m Map<String, Value>) -> Vec<&'m String> {
        let mut keys: Vec<&String> = table.keys().collect();
        keys.sort_by_key(|key| self.offsets.get(&child(path, key)).copied());
        keys
    }

    /// The file's path.
    pub(crate) fn file(&self) -> &'a str {
        &self.file.path
    }
}

/// The path one step further.
pub(crate) fn child(path: &[String], key: &str) -> Path {
    let mut longer = path.to_vec();
    longer.push(key.to_owned());
    longer
}

/// A path as people read it: `endpoint.probe.interval_ms`, without the numbers of repeated tables.
fn key_text(path: &[String]) -> String {
    let named = path.iter().enumerate().filter(|(at, part)| *at != 1 || part.parse::<usize>().is_err());
    named.map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(".")
}
