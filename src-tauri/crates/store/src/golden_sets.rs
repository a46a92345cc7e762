//! Golden sets: rows whose right answers are known. Stored whole and never changed.

use pilothouse_domain::{Cell, GoldenSet, GoldenSetId, Label, Table, Task, TimestampMs};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

pub(crate) const V1: &str = "
CREATE TABLE golden_set (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    n INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;";

const WHAT: &str = "golden set";

/// A golden set without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenSetSummary {
    /// Its number.
    pub id: GoldenSetId,
    /// Its unique name.
    pub name: String,
    /// What is predicted.
    pub task: Task,
    /// Rows.
    pub n: u32,
    /// When it was stored.
    pub created: TimestampMs,
    /// Where the rows come from and under which licence.
    pub source: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    table: Table,
    labels: Vec<Label>,
}

impl Store {
    /// Stores a golden set (its `id` is ignored). The same name with the same task, rows and labels gives the number it
    /// already has; the same name with others is [`StoreError::NameTaken`].
    pub fn add_golden_set(&self, set: &GoldenSet) -> Result<GoldenSetId, StoreError> {
        validate(set)?;
        let set = set.clone();
        self.write("add the golden set", move |connection| insert(connection, &set))
    }

    /// The golden set with this number, with its rows.
    pub fn golden_set(&self, id: GoldenSetId) -> Result<Option<GoldenSet>, StoreError> {
        self.read("read the golden set", |connection| find(connection, "id = ?1", id.0))
    }

    /// The golden set with exactly this name, with its rows.
    pub fn golden_set_by_name(&self, name: &str) -> Result<Option<GoldenSet>, StoreError> {
        self.read("read the golden set", |connection| find(connection, "name = ?1", name))
    }

    /// All golden sets without their rows, by name.
    pub fn golden_sets(&self) -> Result<Vec<GoldenSetSummary>, StoreError> {
        self.read("list the golden sets", all)
    }
}

pub(crate) fn insert(connection: &Connection, set: &GoldenSet) -> Result<GoldenSetId, StoreError> {
    validate(set)?;
    let task = to_json(WHAT, &set.task)?;
    let content = to_json(WHAT, &Content { table: set.table.clone(), labels: set.labels.clone() })?;
    let same_name = connection
        .prepare_cached("SELECT id, task = ?2 AND content = ?3 FROM golden_set WHERE name = ?1")?
        .query_row((&set.name, &task, &content), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match same_name {
        Some((id, true)) => return Ok(GoldenSetId(id)),
        Some((_, false)) => return Err(StoreError::NameTaken { what: WHAT, name: set.name.clone() }),
        None => {}
    }
    connection
        .prepare_cached(
            "INSERT INTO golden_set (name, task, n, created_ms, source, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((&set.name, task, set.labels.len() as i64, set.created.0, &set.source, content))?;
    Ok(GoldenSetId(connection.last_insert_rowid()))
}

pub(crate) fn set_source(connection: &Connection, name: &str, source: &str) -> Result<(), StoreError> {
    match connection.prepare_cached("UPDATE golden_set SET source = ?2 WHERE name = ?1")?.execute((name, source))? {
        0 => Err(StoreError::not_found(WHAT, name)),
        _ => Ok(()),
    }
}

pub(crate) fn all(connection: &Connection) -> Result<Vec<GoldenSetSummary>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, task, n, created_ms, source FROM golden_set ORDER BY name COLLATE NOCASE, id",
    )?;
    let mut rows = statement.query([])?;
    let mut sets = Vec::new();
    while let Some(row) = rows.next()? {
        let id = GoldenSetId(row.get(0)?);
        sets.push(GoldenSetSummary {
            id,
            name: row.get(1)?,
            task: from_json(WHAT, &id, &row.get::<_, String>(2)?)?,
            n: crate::probes::saturated(row.get(3)?),
            created: TimestampMs(row.get(4)?),
            source: row.get(5)?,
        });
    }
    Ok(sets)
}

pub(crate) fn find(
    connection: &Connection,
    condition: &str,
    key: impl rusqlite::ToSql,
) -> Result<Option<GoldenSet>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, name, task, created_ms, source, content FROM golden_set WHERE {condition}"
    ))?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let id = GoldenSetId(row.get(0)?);
    let Content { table, labels } = from_json(WHAT, &id, &row.get::<_, String>(5)?)?;
    Ok(Some(GoldenSet {
        id,
        name: row.get(1)?,
        task: from_json(WHAT, &id, &row.get::<_, String>(2)?)?,
        table,
        labels,
        created: TimestampMs(row.get(3)?),
        source: row.get(4)?,
    }))
}

/// JSON has no NaN and no infinity: they would come back as "missing", which is another golden set.
fn validate(set: &GoldenSet) -> Result<(), StoreError> {
    let invalid = |problem: String| Err(StoreError::Invalid { what: WHAT, problem });
    if set.table.rows.len() != set.labels.len() {
        return invalid(format!("{} rows have {} labels", set.table.rows.len(), set.labels.len()));
    }
    for (index, (row, label)) in set.table.rows.iter().zip(&set.labels).enumerate() {
        if row.len() != set.table.columns.len() {
            return invalid(format!(
                "row {} has {} cells for {} columns",
                index + 1,
                row.len(),
                set.table.columns.len()
            ));
        }
        let infinite = |cell: &Cell| matches!(cell, Cell::Number(number) if !number.is_finite());
        if row.iter().any(infinite) || matches!(label, Label::Value(value) if !value.is_finite()) {
            return invalid(format!("row {} holds NaN or an infinite number; leave the cell empty instead", index + 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Column, ColumnKind};

    use super::*;
    use crate::testing::{MONDAY, store};

    fn golden_set() -> GoldenSet {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        GoldenSet {
            id: GoldenSetId(0),
            name: "german credit, held out".to_owned(),
            task: Task::Regression,
            table: Table {
                columns: vec![column("age", ColumnKind::Numeric), column("purpose", ColumnKind::Categorical)],
                rows: vec![
                    vec![Cell::Number(0.1 + 0.2), Cell::Text("car".to_owned())],
                    vec![Cell::Number(41.0), Cell::Missing],
                ],
            },
            labels: vec![Label::Value(3.0), Label::Value(1e-300)],
            created: MONDAY,
            source: "UCI, CC BY 4.0".to_owned(),
        }
    }

    #[test]
    fn the_same_content_is_stored_once_and_another_one_is_refused() {
        let (_folder, store) = store();
        let mut set = golden_set();
        set.id = store.add_golden_set(&set).unwrap();
        assert_eq!(store.add_golden_set(&set).unwrap(), set.id);
        assert_eq!(store.golden_set(set.id).unwrap().as_ref(), Some(&set));
        assert_eq!(store.golden_set_by_name(&set.name).unwrap().as_ref(), Some(&set));
        let summary = &store.golden_sets().unwrap()[0];
        assert_eq!((summary.id, summary.n, &summary.task), (set.id, 2, &set.task));
        let mut relabelled = set.clone();
        relabelled.labels[0] = Label::Value(4.0);
        let mut retasked = set;
        retasked.task = Task::Binary { classes: ["no".to_owned(), "yes".to_owned()] };
        for other in [relabelled, retasked] {
            assert!(matches!(store.add_golden_set(&other), Err(StoreError::NameTaken { .. })));
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let (_folder, store) = store();
        let damaged: [fn(&mut GoldenSet); 4] = [
            |set| set.labels.truncate(1),
            |set| set.table.rows[1].truncate(1),
            |set| set.table.rows[0][0] = Cell::Number(f64::NAN),
            |set| set.labels[1] = Label::Value(f64::INFINITY),
        ];
        for damage in damaged {
            let mut set = golden_set();
            damage(&mut set);
            assert!(matches!(store.add_golden_set(&set), Err(StoreError::Invalid { .. })));
        }
    }
}
