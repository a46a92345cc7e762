//! Lock files beside the database: who watches it, and who carries out which rollback run.
//!
//! What it hides: where the files lie. What must stay true: the operating system lets go of a lock when its process ends,
//! however it ends; a file is removed only when nobody can want its lock any more, since removing one that another process
//! has just opened would let two processes hold "the" lock.

use std::fs::File;
use std::path::{Path, PathBuf};

use pilothouse_domain::RunId;

use crate::EngineError;

/// A lock that this process holds.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    /// Keeps the lock until it is dropped.
    _file: File,
}

impl LockFile {
    /// Takes the lock `DATABASE.NAME.lock`; `None` when another process, or another part of this one, holds it.
    pub(crate) fn take(database: &Path, name: &str) -> Result<Option<Self>, EngineError> {
        let path = path(database, name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed(&path, &error))?;
        Ok(try_lock(&file, &path)?.then(|| Self { path, _file: file }))
    }

    /// Whether somebody holds the lock. Leaves no file behind.
    pub(crate) fn is_held(database: &Path, name: &str) -> Result<bool, EngineError> {
        let path = path(database, name);
        match File::options().write(true).open(&path) {
            Ok(file) => Ok(!try_lock(&file, &path)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Lets go for good: nobody will want this lock again.
    pub(crate) fn remove(self) {
        // A file that cannot be removed is only litter.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a lock file stays behind");
        }
    }
}

/// The name of a run's lock.
pub(crate) fn of_run(id: &RunId) -> String {
    format!("run-{id}")
}

fn path(database: &Path, name: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!(".{name}.lock"));
    path.into()
}

fn try_lock(file: &File, path: &Path) -> Result<bool, EngineError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(path, &error)),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> EngineError {
    EngineError::Internal(format!("lock file {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("fleet.db");
        let held = || LockFile::is_held(&database, "watch").unwrap();
        assert!(!held());
        let lock = LockFile::take(&database, "watch").unwrap().expect("free");
        assert!(held() && LockFile::take(&database, "watch").unwrap().is_none());
        assert!(LockFile::take(&database, "other").unwrap().is_some());
        drop(lock);
        assert!(!held());
        LockFile::take(&database, "watch").unwrap().expect("free again").remove();
        LockFile::take(&database, "other").unwrap().expect("free again").remove();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
