//! Bringing a file to this build's schema, one version at a time.
//!
//! What must stay true: a migration that was ever released is never changed, only followed by another; each runs in one
//! immediate transaction together with its version number, so that a kill leaves the old or the new schema, never half.

use rusqlite::{Connection, TransactionBehavior};

use crate::{
    StoreError, audit, deployments, endpoints, evaluations, events, generations, golden_sets, health, health_facets,
    live_versions, probes, retention, rollbacks, rollups, server_metrics, settings, text,
};

/// The SQL of every version, in order: `MIGRATIONS[0]` makes version 1. The statements stand beside the code of their
/// table; a table comes after those it refers to.
const MIGRATIONS: &[&[&str]] = &[
    &[
        endpoints::V1,
        text::V1,
        probes::V1,
        rollups::V1,
        retention::V1,
        events::V1,
        golden_sets::V1,
        evaluations::V1,
        live_versions::V1,
        health::V1,
        rollbacks::V1,
        audit::V1,
        settings::V1,
    ],
    &[events::V2, text::V2],
    &[server_metrics::V3],
    &[endpoints::V4],
    &[generations::V5],
    &[health_facets::V6],
    &[deployments::V7],
    &[probes::V8],
];

/// The newest schema version.
pub(crate) const LATEST: u32 = MIGRATIONS.len() as u32;

/// The schema version of the file; 0 when it is new.
pub(crate) fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Brings the file up to version `target`. Nothing happens when it is there already.
pub(crate) fn migrate(connection: &mut Connection, target: u32) -> Result<(), StoreError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read inside the transaction: another process may have migrated while we waited for the lock.
        let current = version(&transaction)?;
        let Some(statements) = MIGRATIONS.get(current as usize).filter(|_| current < target) else { return Ok(()) };
        for statement in *statements {
            transaction.execute_batch(statement)?;
        }
        transaction.pragma_update(None, "user_version", current + 1)?;
        transaction.commit()?;
        tracing::info!(version = current + 1, "the database schema was brought up to date");
    }
}
