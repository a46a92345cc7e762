//! What can go wrong with the store, and what to do about it.
//!
//! What must stay true: a failure here is ours, never the endpoint's; a message names the file or the record and the
//! next step; no secret can stand in one, because none is stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_domain::{PlanId, RunId};
use rusqlite::ErrorCode;

/// A failure of the store. Cheap to clone, because one failed commit is reported to everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not a Pilothouse database. It was not touched.
    #[error("`{path}` is not a Pilothouse database and was left untouched; choose another path or move that file away")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer Pilothouse. It was not touched.
    #[error(
        "`{path}` has schema version {found}, but this Pilothouse knows only up to {supported}; install the newer \
         Pilothouse again, or restore the back-up `{path}.before-v{found}.bak` if it exists; the file was left untouched"
    )]
    NewerFile {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that this build knows.
        supported: u32,
    },
    /// The file has an older schema and another process has it open, so it cannot be migrated now.
    #[error(
        "`{path}` must be brought to schema version {supported}, but another Pilothouse has it open; close it and try again"
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The version it would be brought to.
        supported: u32,
    },
    /// The file is damaged.
    #[error("`{path}` is damaged ({detail}); close Pilothouse, move the file away, and {}", restore_hint(.backup.as_deref()))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
        /// The newest back-up beside it, if there is one.
        backup: Option<PathBuf>,
    },
    /// A stored value cannot be read back.
    #[error(
        "the stored {what} `{id}` cannot be read ({detail}); restore a back-up, or remove this {what} and add it again"
    )]
    Unreadable {
        /// Kind of record.
        what: &'static str,
        /// Which one.
        id: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The file or its folder cannot be created, opened, locked or copied.
    #[error("cannot {operation} `{path}`: {source}; check that the folder exists, is writable and has room")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// The disk is full. Nothing was changed.
    #[error("the disk is full, so {operation} was not stored in `{path}`; free some room and try again")]
    DiskFull {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Another process held the file for longer than the busy timeout. Nothing was changed.
    #[error("the database was busy with another process while trying to {operation}; nothing was changed, try again")]
    Busy {
        /// What was tried.
        operation: &'static str,
    },
    /// The queue of probes stayed full, because the disk does not keep up. The probe was not taken.
    #[error("{waiting} probes wait to be written and the disk does not keep up; this probe was not stored")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The store was closed.
    #[error("the database was closed; open it again to {operation}")]
    Closed {
        /// What was tried.
        operation: &'static str,
    },
    /// Probes were waiting when the store was closed and could not be written.
    #[error("{count} probes could not be written before closing: {cause}")]
    ProbesLost {
        /// How many.
        count: usize,
        /// Why.
        cause: Box<StoreError>,
    },
    /// There is no such record.
    #[error("there is no {what} `{id}`; list them to see which exist")]
    NotFound {
        /// Kind of record.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// The name belongs to another record.
    #[error("the {what} name `{name}` is already used; choose another one")]
    NameTaken {
        /// Kind of record.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The settings were changed by somebody else since they were read. Nothing was changed.
    #[error(
        "the settings of {what} `{name}` were changed meanwhile, so yours were not stored; load them again and repeat your change"
    )]
    Stale {
        /// Kind of record.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The value breaks a rule of what can be stored.
    #[error("this {what} cannot be stored: {problem}")]
    Invalid {
        /// Kind of record.
        what: &'static str,
        /// The rule it breaks.
        problem: String,
    },
    /// The endpoint has a rollback run that is not finished.
    #[error(
        "rollback run `{run}` of this endpoint is not finished; wait for its verdict, or open it to see where it stands"
    )]
    RunInProgress {
        /// The unfinished run.
        run: RunId,
    },
    /// The plan was already carried out.
    #[error("rollback plan `{plan}` was already used by run `{run}`; make a new plan")]
    PlanUsed {
        /// The plan.
        plan: PlanId,
        /// The run that used it.
        run: RunId,
    },
    /// The run is finished and is not changed any more.
    #[error("rollback run `{run}` is finished and is not changed any more; make a new plan")]
    RunFinished {
        /// The run.
        run: RunId,
    },
    /// SQLite failed in a way that has no meaning of its own here.
    #[error("cannot {operation}: {source}")]
    Sqlite {
        /// What was tried.
        operation: &'static str,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
}

fn restore_hint(backup: Option<&Path>) -> String {
    match backup {
        Some(path) => format!("copy the back-up `{}` to its place", path.display()),
        None => "start with an empty one; there is no back-up beside it".to_owned(),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite { operation: "use the database", source: Arc::new(source) }
    }
}

impl StoreError {
    /// Names the operation and the file, and turns SQLite's result codes into our variants.
    pub(crate) fn during(self, operation: &'static str, path: &Path) -> Self {
        let Self::Sqlite { source, .. } = self else { return self };
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { operation },
            Some(ErrorCode::DiskFull) => Self::DiskFull { operation, path: path.to_owned() },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(path, source.to_string()),
            _ => Self::Sqlite { operation, source },
        }
    }

    /// The file is damaged; names the newest back-up beside it.
    pub(crate) fn corrupt(path: &Path, detail: String) -> Self {
        Self::Corrupt { path: path.to_owned(), detail, backup: newest_backup(path) }
    }

    pub(crate) fn file(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn not_found(what: &'static str, id: &(impl ToString + ?Sized)) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    pub(crate) fn unreadable(
        what: &'static str,
        id: &(impl ToString + ?Sized),
        detail: &(impl ToString + ?Sized),
    ) -> Self {
        Self::Unreadable { what, id: id.to_string(), detail: detail.to_string() }
    }
}

/// The back-up of the highest schema version beside `path`.
fn newest_backup(path: &Path) -> Option<PathBuf> {
    let highest = (0..=crate::SCHEMA_VERSION).rev().map(|version| crate::open::backup_path(path, version));
    highest.into_iter().find(|candidate| candidate.exists())
}

/// Whether SQLite refused a statement because of a `UNIQUE` or `PRIMARY KEY` rule.
pub(crate) fn is_unique_violation(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error
        .sqlite_error()
        .is_some_and(|e| matches!(e.extended_code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY))
}

/// Whether SQLite refused a statement because the record that it refers to does not exist.
pub(crate) fn is_foreign_key_violation(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}
