//! Read-only connections, kept for reuse.
//!
//! What must stay true: a reader sees one consistent state of the file from its first statement to its last, and cannot
//! write. A connection on which something failed is not reused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{OpenOptions, StoreError};

/// How many connections are kept when nobody reads.
const IDLE_CONNECTIONS: usize = 4;
/// Statements that one connection keeps prepared.
const CACHED_STATEMENTS: usize = 64;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, options: &OpenOptions) -> Self {
        let busy_timeout = Duration::from_millis(options.busy_timeout_ms.into());
        Self { path, busy_timeout, idle: Mutex::new(Vec::new()), closed: AtomicBool::new(false) }
    }

    /// Runs `f` inside one read transaction.
    pub(crate) fn with<T>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed { operation });
        }
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => open_reader(&self.path, self.busy_timeout)?,
        };
        let transaction = connection.transaction()?;
        let value = f(&transaction)?;
        transaction.commit()?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS && !self.closed.load(Ordering::Acquire) {
            idle.push(connection);
        }
        Ok(value)
    }

    /// Closes the idle connections; one in use is closed when its reading ends.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Opens one read-only connection.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection
        .execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}
