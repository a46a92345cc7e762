//! From plain values to serde types, without passing over what they do not know.
//!
//! Serde's own refusal of unknown fields does not reach into tagged enums, and the domain's types read what an older
//! version stored, so they pass over keys they do not know. Here a key counts as known when the value that was read,
//! written again, has it too. The same writing tells which keys would have been known.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::document::{Document, Path, child};
use crate::error::Problem;

/// How near a key must be to another one to be taken for a slip of it (Jaro-Winkler similarity).
const NEAR: f64 = 0.84;

/// Reads `value`, which stands at `base`. `place` gives the path in the document for a path within `value`, as the two may
/// be arranged differently.
pub(crate) fn read<T: Serialize + DeserializeOwned>(
    document: &Document<'_>,
    value: &Value,
    place: &dyn Fn(&[String]) -> Path,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let before = problems.len();
    match serde_path_to_error::deserialize::<_, T>(value.clone()) {
        Ok(read) => {
            let written = serde_json::to_value(&read).unwrap_or(Value::Null);
            let fits = |value| T::deserialize::<Value>(value).is_ok();
            let mut look = Look { document, given: value, written: &written, place, fits: &fits, problems };
            look.unknown_keys(value, &written, &mut Path::new());
            (problems.len() == before).then_some(read)
        }
        Err(error) => {
            let mut path = path_of(error.path());
            let message = without_text(error.into_inner().to_string());
            let mut hint = None;
            if let Some(named) = quoted(&message) {
                let here = place(&path);
                if document.has(&child(&here, named)) {
                    path.push(named.to_owned());
                } else if let Some(slip) = nearest(named, document.keys(&here).into_iter()) {
                    hint = Some(format!("`{slip}` may be meant for it"));
                }
            }
            problems.push(document.problem(&place(&path), message, hint));
            None
        }
    }
}

struct Look<'a, 'd> {
    document: &'a Document<'d>,
    given: &'a Value,
    written: &'a Value,
    place: &'a dyn Fn(&[String]) -> Path,
    fits: &'a dyn Fn(Value) -> bool,
    problems: &'a mut Vec<Problem>,
}

impl Look<'_, '_> {
    fn unknown_keys(&mut self, given: &Value, written: &Value, path: &mut Path) {
        match (given, written) {
            (Value::Object(given), Value::Object(written)) => {
                for (key, value) in given {
                    path.push(key.clone());
                    match written.get(key) {
                        Some(written) => self.unknown_keys(value, written, path),
                        // TOML has no null: there stood something that was refused already.
                        None if value.is_null() || self.is_left_out(value, path) => {}
                        None => self.report(path, written),
                    }
                    path.pop();
                }
            }
            (Value::Array(given), Value::Array(written)) => {
                for (index, (given, written)) in given.iter().zip(written).enumerate() {
                    path.push(index.to_string());
                    self.unknown_keys(given, written, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, path: &[String], beside: &Map<String, Value>) {
        let place = (self.place)(path);
        let mut candidates = known(beside);
        // Keys that the document has side by side may belong to two tables.
        if place.split_last().is_some_and(|(_, around)| around == (self.place)(&[])) {
            candidates.extend(self.written.as_object().into_iter().flat_map(known));
        }
        self.problems.push(unknown_key(self.document, &place, candidates));
    }

    /// Whether the key is known after all and merely not written with this value: then a value of another kind in its place
    /// is refused.
    fn is_left_out(&self, value: &Value, path: &[String]) -> bool {
        let other = if value.is_boolean() { Value::String("?".into()) } else { Value::Bool(true) };
        let mut changed = self.given.clone();
        let Some(place) = changed.pointer_mut(&pointer(path)) else { return false };
        *place = other;
        !(self.fits)(changed)
    }
}

/// A problem for a key that nobody knows at its place.
pub(crate) fn unknown_key(document: &Document<'_>, path: &[String], mut known: Vec<&str>) -> Problem {
    let key = path.last().map_or("", String::as_str);
    known.sort_unstable();
    known.dedup();
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    document.problem(path, "unknown key", Some(hint))
}

fn known(written: &Map<String, Value>) -> Vec<&str> {
    // The numbers and times of a database are no settings; what they hold is read from elsewhere.
    written.keys().map(String::as_str).filter(|key| !matches!(*key, "id" | "created" | "target")).collect()
}

/// The candidate that a person most likely meant.
pub(crate) fn nearest<'k>(key: &str, candidates: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn path_of(path: &serde_path_to_error::Path) -> Path {
    use serde_path_to_error::Segment::{Enum, Map, Seq, Unknown};
    let part = |segment: &serde_path_to_error::Segment| match segment {
        Seq { index } => Some(index.to_string()),
        Map { key } => Some(key.clone()),
        Enum { .. } | Unknown => None,
    };
    path.iter().map_while(part).collect()
}

/// RFC 6901.
fn pointer(path: &[String]) -> String {
    path.iter().flat_map(|part| ["/".to_owned(), part.replace('~', "~0").replace('/', "~1")]).collect()
}

/// The first text between backticks: in serde's messages the field or variant it is about.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// The message without the text that it is about, which a person may have meant as a secret.
fn without_text(message: String) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(from), Some(to)) if from < to => format!("{}text{}", &message[..from], &message[to + 1..]),
        _ => message,
    }
}
