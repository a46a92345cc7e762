//! What was changed outside this program, by whom and why. Entries are added and never changed; the file itself refuses.

use pilothouse_domain::{AuditEntry, EndpointId, TimestampMs};

use rusqlite::Connection;

use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

/// No foreign key to the endpoint: its entries outlive it.
pub(crate) const V1: &str = "
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    endpoint INTEGER,
    reason TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'audit entries are never changed'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'audit entries are never removed'); END;";

const WHAT: &str = "audit entry";

impl Store {
    /// Stores an entry (its `id` is ignored) and returns its number. On the disk before it returns.
    pub fn append_audit(&self, entry: &AuditEntry) -> Result<i64, StoreError> {
        let entry = entry.clone();
        self.write("store the audit entry", move |connection| insert(connection, &entry))
    }

    /// At most `limit` entries, newest first, only those before the entry `before_id` when that is given.
    pub fn audit_entries(&self, limit: u32, before_id: Option<i64>) -> Result<Vec<AuditEntry>, StoreError> {
        self.read("read the audit entries", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, at_ms, who, action, endpoint, reason, before, after, evidence FROM audit
                 WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let mut rows = statement.query((before_id.unwrap_or(i64::MAX), limit))?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                let document = |column: usize| from_json(WHAT, &id, &row.get::<_, String>(column)?);
                entries.push(AuditEntry {
                    id,
                    at: TimestampMs(row.get(1)?),
                    who: row.get(2)?,
                    action: row.get(3)?,
                    endpoint: row.get::<_, Option<i64>>(4)?.map(EndpointId),
                    reason: row.get(5)?,
                    before: document(6)?,
                    after: document(7)?,
                    evidence: document(8)?,
                });
            }
            Ok(entries)
        })
    }
}

pub(crate) fn insert(connection: &Connection, entry: &AuditEntry) -> Result<i64, StoreError> {
    let [before, after, evidence] =
        [to_json(WHAT, &entry.before)?, to_json(WHAT, &entry.after)?, to_json(WHAT, &entry.evidence)?];
    connection
        .prepare_cached(
            "INSERT INTO audit (at_ms, who, action, endpoint, reason, before, after, evidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            entry.at.0,
            &entry.who,
            &entry.action,
            entry.endpoint.map(|id| id.0),
            &entry.reason,
            before,
            after,
            evidence,
        ))?;
    Ok(connection.last_insert_rowid())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{MONDAY, store};

    #[test]
    fn entries_are_paged_and_cannot_be_changed() {
        let (_folder, store) = store();
        let entry = |i: i64| AuditEntry {
            id: i,
            at: MONDAY.plus_ms(i),
            who: "ada".to_owned(),
            action: "rollback.apply".to_owned(),
            endpoint: (i > 2).then_some(EndpointId(i)),
            reason: "accuracy fell".to_owned(),
            before: json!({ "alias": "7" }),
            after: json!({ "alias": "6" }),
            evidence: json!([1.5, null]),
        };
        for i in 1..=5 {
            assert_eq!(store.append_audit(&entry(i)).unwrap(), i);
        }
        assert_eq!(store.audit_entries(2, None).unwrap(), [entry(5), entry(4)]);
        assert_eq!(store.audit_entries(9, Some(4)).unwrap(), [entry(3), entry(2), entry(1)]);
        for sql in ["UPDATE audit SET who = 'eve'", "DELETE FROM audit"] {
            let refused = store.write("tamper", move |connection| Ok(connection.execute(sql, [])?));
            assert!(refused.unwrap_err().to_string().contains("never"), "{sql}");
        }
        assert_eq!(store.audit_entries(9, None).unwrap().len(), 5);
    }
}
