//! Texts that many samples share (versions, failure details), stored once and referred to by number.
//!
//! What must stay true: a text is marked as used on the day of each sample that refers to it, so that retention can
//! remove texts that only removed samples referred to.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;

/// `AUTOINCREMENT`: a number remembered by another process is never given to another text.
pub(crate) const V1: &str =
    "CREATE TABLE text (id INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL UNIQUE) STRICT;";

/// Texts of older files count as used by their newest sample.
pub(crate) const V2: &str = "
ALTER TABLE text ADD COLUMN last_used_ms INTEGER NOT NULL DEFAULT 0;
UPDATE text SET last_used_ms = coalesce((SELECT max(ts_ms) FROM sample), 0);";

/// Texts kept in memory at most.
const CACHED_TEXTS: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

/// The writer's memory of numbers, so that a text costs a look-up in the file once a day.
#[derive(Debug, Default)]
pub(crate) struct TextCache {
    known: HashMap<String, (i64, i64)>,
}

impl TextCache {
    /// The number of `value`, which a sample of the time `ts_ms` refers to.
    pub(crate) fn intern(&mut self, connection: &Connection, value: &str, ts_ms: i64) -> Result<i64, StoreError> {
        let day_ms = ts_ms - ts_ms.rem_euclid(DAY_MS);
        if let Some(&(id, used_ms)) = self.known.get(value)
            && used_ms == day_ms
        {
            return Ok(id);
        }
        let id = intern(connection, value, day_ms)?;
        if self.known.len() >= CACHED_TEXTS {
            self.known.clear();
        }
        self.known.insert(value.to_owned(), (id, day_ms));
        Ok(id)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

fn intern(connection: &Connection, value: &str, day_ms: i64) -> Result<i64, StoreError> {
    let known = connection
        .prepare_cached("UPDATE text SET last_used_ms = max(last_used_ms, ?2) WHERE value = ?1 RETURNING id")?
        .query_row((value, day_ms), |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO text (value, last_used_ms) VALUES (?1, ?2)")?.execute((value, day_ms))?;
    Ok(connection.last_insert_rowid())
}

/// Removes up to `limit` texts that no sample since `floor_ms` refers to; returns how many.
pub(crate) fn remove_unused(connection: &Connection, floor_ms: i64, limit: usize) -> Result<usize, StoreError> {
    // Marks stand at the beginning of the day.
    let floor_day_ms = floor_ms - floor_ms.rem_euclid(DAY_MS);
    let removed = connection
        .prepare_cached(
            "DELETE FROM text WHERE id IN (SELECT id FROM text WHERE last_used_ms < ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute((floor_day_ms, limit as i64))?;
    Ok(removed)
}
