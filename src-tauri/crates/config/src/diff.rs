//! What differs between the set-up of a database and a wanted one.

use pilothouse_domain::{GoldenSet, Table};
use serde_json::{Map, Value, json};

use crate::configuration::{Configuration, ConfiguredEndpoint};
use crate::form;
use crate::golden::{digest, fingerprint};

/// One field that is another one.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Its path as written in a configuration: `probe.interval_ms`.
    pub path: String,
    /// The value of the database; `None`: not set there.
    pub old: Option<Value>,
    /// The wanted value; `None`: not set.
    pub new: Option<Value>,
}

/// An endpoint that is there and shall be another one. Same name, same endpoint: its history stays.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointChange {
    /// Its name.
    pub name: String,
    /// What changes, by path. Not empty.
    pub fields: Vec<FieldChange>,
}

/// A golden set that is wanted with another content or source than the stored one.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenSetChange {
    /// Its name.
    pub name: String,
    /// Fingerprints of what is stored and what is wanted, where these differ. A stored set never changes, so this cannot be
    /// applied: another content needs another name.
    pub content: Option<(String, String)>,
    /// Sources, where these differ.
    pub source: Option<(String, String)>,
}

/// What differs, each list ordered by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Difference {
    /// Wanted, and not in the database.
    pub added: Vec<String>,
    /// In both, and different.
    pub changed: Vec<EndpointChange>,
    /// In the database, and not wanted.
    pub only_in_database: Vec<String>,
    /// Settings.
    pub settings: Vec<FieldChange>,
    /// Golden sets that are wanted and not there.
    pub golden_sets_added: Vec<String>,
    /// Golden sets that are wanted otherwise.
    pub golden_sets_changed: Vec<GoldenSetChange>,
    /// Golden sets that only the database has. They are never removed, since evaluations rest on them, and do not count as
    /// a difference.
    pub golden_sets_only_in_database: Vec<String>,
}

impl Difference {
    /// What leads from `current`, which a database holds, to `wanted`.
    pub fn between(current: &Configuration, wanted: &Configuration) -> Self {
        let mut difference = Self::default();
        let stored = |name: &str| current.endpoints.iter().find(|other| other.endpoint.name == name);
        for endpoint in &wanted.endpoints {
            let name = &endpoint.endpoint.name;
            match stored(name) {
                None => difference.added.push(name.clone()),
                Some(stored) => {
                    let fields = changes(&full_form(stored), &full_form(endpoint));
                    if !fields.is_empty() {
                        difference.changed.push(EndpointChange { name: name.clone(), fields });
                    }
                }
            }
        }
        let is_wanted = |name: &str| wanted.endpoints.iter().any(|other| other.endpoint.name == name);
        let stored_names = current.endpoints.iter().map(|endpoint| &endpoint.endpoint.name);
        difference.only_in_database = stored_names.filter(|name| !is_wanted(name)).cloned().collect();
        difference.golden_sets(current, wanted);
        if let Some(retention) = wanted.retention {
            let of = |days| Map::from_iter([("retention".to_owned(), json!(days))]);
            difference.settings = changes(&of(current.retention.unwrap_or_default()), &of(retention));
        }
        difference
    }

    fn golden_sets(&mut self, current: &Configuration, wanted: &Configuration) {
        for set in &wanted.golden_sets {
            match current.golden_sets.iter().find(|stored| stored.name == set.name) {
                None => self.golden_sets_added.push(set.name.clone()),
                Some(stored) => self.golden_sets_changed.extend(golden_set_change(stored, set)),
            }
        }
        let is_wanted = |name: &str| wanted.golden_sets.iter().any(|set| set.name == name);
        let names = current.golden_sets.iter().map(|set| &set.name);
        self.golden_sets_only_in_database = names.filter(|name| !is_wanted(name)).cloned().collect();
    }

    /// Whether database and configuration agree.
    pub fn is_empty(&self) -> bool {
        let Self {
            added,
            changed,
            only_in_database,
            settings,
            golden_sets_added,
            golden_sets_changed,
            golden_sets_only_in_database: _,
        } = self;
        added.is_empty()
            && changed.is_empty()
            && only_in_database.is_empty()
            && settings.is_empty()
            && golden_sets_added.is_empty()
            && golden_sets_changed.is_empty()
    }
}

fn golden_set_change(stored: &GoldenSet, wanted: &GoldenSet) -> Option<GoldenSetChange> {
    let same = stored.task == wanted.task && stored.table == wanted.table && stored.labels == wanted.labels;
    let content = (!same).then(|| (digest(stored), digest(wanted)));
    let source = (stored.source != wanted.source).then(|| (stored.source.clone(), wanted.source.clone()));
    (content.is_some() || source.is_some()).then(|| GoldenSetChange { name: wanted.name.clone(), content, source })
}

fn full_form(configured: &ConfiguredEndpoint) -> Map<String, Value> {
    let mut form = form::of(configured);
    if let Some(table) = &configured.endpoint.target.probe_input {
        form.insert(form::PROBE_INPUT.to_owned(), json!(table_text(table)));
    }
    form
}

fn table_text(table: &Table) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let (rows, columns) = (count(table.rows.len(), "row"), count(table.columns.len(), "column"));
    format!("{rows}, {columns} ({})", fingerprint(table))
}

fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", Some(&Value::Object(old.clone())), Some(&Value::Object(new.clone())), &mut found);
    found
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    let set = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let (old, new) = (set(old), set(new));
    if old == new {
        return;
    }
    let empty = Map::new();
    match (&old, &new) {
        (Some(Value::Object(_)) | None, Some(Value::Object(_)) | None) => {
            let table = |value: &Option<Value>| value.as_ref().and_then(Value::as_object).cloned();
            let (old, new) = (table(&old).unwrap_or_else(|| empty.clone()), table(&new).unwrap_or(empty));
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, old.get(key), new.get(key), found);
            }
        }
        _ => found.push(FieldChange { path: path.to_owned(), old, new }),
    }
}
