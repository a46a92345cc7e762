//! The handle, and how it reaches the writer and the readers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_domain::Probe;
use rusqlite::Connection;

use crate::readers::Readers;
use crate::writer::Writer;
use crate::{OpenOptions, StoreError, open};

/// Everything Pilothouse remembers. Cloning is cheap; every method blocks, so call it from a blocking thread.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    /// Held in shared mode for as long as the store is open, so that another process knows whether it is alone.
    _presence: Option<File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, or creates it. Brings an older schema up to date after a back-up beside it
    /// (`NAME.before-vN.bak`), refuses a newer one and a file that is not ours without touching them, and checks the file
    /// after an unclean stop.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let opened = open::open(path, options)?;
        let readers = Readers::new(path.to_owned(), options);
        let writer = Writer::start(path.to_owned(), opened.writer, options)?;
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), readers, writer, _presence: opened.presence }) })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Writes what is waiting, folds the write-ahead log into the file and stops. Every handle is closed by this; later
    /// calls get [`StoreError::Closed`]. Dropping the last handle does the same, but can only log a failure.
    pub fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }

    /// Hands one probe to the writer, which commits it within about a second. Never waits for the disk, except when the
    /// queue is full: then briefly, and [`StoreError::QueueFull`] says that this probe was not taken. A probe of an
    /// endpoint that was removed meanwhile is dropped. Two probes of one endpoint in the same millisecond are both kept;
    /// the second moves on by one millisecond.
    pub fn append_probe(&self, probe: Probe) -> Result<(), StoreError> {
        crate::probes::check(&probe)?;
        self.inner.writer.append(probe)
    }

    /// Returns when every probe appended before is committed.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.write("write the waiting probes", |_| Ok(()))
    }

    /// Runs `f` on the writer thread inside a transaction and returns once that is committed. When `f` fails, nothing of
    /// it remains.
    pub(crate) fn write<T, F>(&self, operation: &'static str, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.writer.write(operation, f).map_err(|error| error.during(operation, &self.inner.path))
    }

    /// Runs `f` on a read-only connection, with one consistent view of the file.
    pub(crate) fn read<T>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.with(operation, f).map_err(|error| error.during(operation, &self.inner.path))
    }
}

impl Inner {
    fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.writer.stop()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(path = %self.path.display(), %error, "the database was not closed cleanly");
        }
    }
}
