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

    /// A number that changes when somebody else wrote to the file (another process, or another handle of this one), and
    /// never by what was written through this handle. It may change without need, as when the other one closes the file.
    pub fn foreign_changes(&self) -> Result<i64, StoreError> {
        // https://sqlite.org/pragma.html#pragma_data_version, on the one connection that writes.
        self.write("look for changes of other programs", |connection| {
            Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
        })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pilothouse_domain::{
        AuditEntry, EndpointId, Evaluation, EvaluationId, Event, EventKind, GoldenSet, GoldenSetId, Health,
        HealthState, Label, Table, Task, TimestampMs, VersionId,
    };
    use proptest::prelude::*;

    use crate::testing::{DAY, MONDAY, endpoint, plan, probe, run, store};
    use crate::{EventFilter, OpenOptions, Retention, Store, StoreError};

    /// A store with at least one row in every table.
    fn full() -> (tempfile::TempDir, Store) {
        let (folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for i in 0..200 {
            let detail = Some(format!("detail {i}"));
            let due = MONDAY.plus_ms(i * 15_000);
            store.append_probe(pilothouse_domain::Probe { detail, ..probe(id, due, 900 + i as u32) }).unwrap();
        }
        store.append_event(&Event { id: 0, at: MONDAY, endpoint: Some(id), kind: EventKind::EndpointAdded }).unwrap();
        let set = GoldenSet {
            id: GoldenSetId(0),
            name: "held out".to_owned(),
            task: Task::Regression,
            table: Table { columns: Vec::new(), rows: vec![Vec::new()] },
            labels: vec![Label::Value(1.5)],
            created: MONDAY,
            source: String::new(),
        };
        let evaluation = Evaluation {
            id: EvaluationId(0),
            endpoint: id,
            golden_set: store.add_golden_set(&set).unwrap(),
            version: Some("7".into()),
            at: MONDAY,
            n: 1,
            metrics: Vec::new(),
            predictions: vec![vec![1.0, 2.0]],
            elapsed_ms: 1,
        };
        store.add_evaluation(&evaluation).unwrap();
        let source = pilothouse_domain::version::VersionSource::Endpoint;
        store.observe_version(id, &VersionId("7".to_owned()), MONDAY, source).unwrap();
        let state = HealthState { health: Health::Down, since: MONDAY, reason: "refused".to_owned() };
        store.set_health(id, &state).unwrap();
        store.add_plan(&plan("p", id)).unwrap();
        store.begin_run(&run("r", plan("p", id))).unwrap();
        let null = serde_json::Value::Null;
        let entry = AuditEntry {
            id: 0,
            at: MONDAY,
            who: "ada".to_owned(),
            action: "test".to_owned(),
            endpoint: Some(id),
            reason: String::new(),
            before: null.clone(),
            after: null.clone(),
            evidence: null.clone(),
        };
        store.append_audit(&entry).unwrap();
        store.set_setting("theme", &null).unwrap();
        (folder, store)
    }

    /// Everything that reads, and some of what writes; the errors, if any.
    fn use_everything(store: &Store) -> Vec<StoreError> {
        let id = EndpointId(1);
        let (from, to) = (TimestampMs(i64::MIN), TimestampMs(i64::MAX));
        let all = EventFilter { endpoint: None, from, to, limit: 10 };
        let again = probe(id, MONDAY.plus_ms(1), 5);
        let results = [
            store.endpoints().map(drop),
            store.read_samples(id, from, to, &mut |_| ()),
            store.history(id, MONDAY, MONDAY.plus_ms(DAY / 24), 1_000).map(drop),
            store.history(id, MONDAY, MONDAY.plus_ms(DAY), 100).map(drop),
            store.history(id, from, to, 100).map(drop),
            store.summary(id, MONDAY.plus_ms(1), MONDAY.plus_ms(DAY + 1)).map(drop),
            store.fleet_summaries(MONDAY, MONDAY.plus_ms(DAY)).map(drop),
            store.phases(id, from, to).map(drop),
            store.recent(52).map(drop),
            store.events(&all).map(drop),
            store.golden_sets().map(drop),
            store.golden_set(GoldenSetId(1)).map(drop),
            store.evaluations(id, from, to).map(drop),
            store.latest_evaluation(id, None).map(drop),
            store.latest_evaluations().map(drop),
            store.quality_marks().map(drop),
            store.live_versions(id).map(drop),
            store.current_versions().map(drop),
            store.health().map(drop),
            store.health_of(id).map(drop),
            store.fleet(&mut crate::FleetCache::default(), MONDAY.plus_ms(DAY / 24), 52).map(drop),
            store.plan(&"p".into()).map(drop),
            store.runs(None).map(drop),
            store.audit_entries(10, None).map(drop),
            store.setting("theme").map(drop),
            store.storage_size().map(drop),
            store.append_probe(again).and_then(|()| store.flush()),
            store.retain(&Retention::default(), MONDAY.plus_ms(20 * DAY)).map(drop),
        ];
        results.into_iter().filter_map(Result::err).collect()
    }

    #[test]
    fn a_sound_file_gives_no_error() {
        let (_folder, store) = full();
        assert!(use_everything(&store).is_empty());
    }

    #[test]
    fn only_the_writes_of_others_are_foreign() {
        let (folder, store) = store();
        let before = store.foreign_changes().unwrap();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(probe(id, MONDAY, 1_000)).unwrap();
        store.flush().unwrap();
        assert_eq!(store.endpoints().unwrap().len(), 1);
        assert_eq!(store.foreign_changes().unwrap(), before);
        let other = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).unwrap();
        let before = store.foreign_changes().unwrap();
        assert_eq!(other.endpoints().unwrap().len(), 1);
        assert_eq!(store.foreign_changes().unwrap(), before, "reading changes nothing");
        other.set_setting("theme", &serde_json::Value::Null).unwrap();
        assert_ne!(store.foreign_changes().unwrap(), before);
    }

    #[test]
    fn values_without_meaning_never_panic() {
        let tables = [
            ("sample", "outcome, late_us, http_status, version, dns_us, total_us, reused, response_bytes, detail"),
            ("rollup_minute", "n_ok, n_target_failed, n_unknown"),
            ("rollup_hour", "n_ok, n_target_failed, n_unknown"),
            ("rollup_day", "n_ok, n_target_failed, n_unknown, bucket"),
            ("evaluation", "width, n, elapsed_ms, at_ms"),
            ("golden_set", "n, created_ms"),
            ("live_version", "since_ms, source"),
            ("event", "at_ms"),
            ("health", "since_ms"),
            ("endpoint", "created_ms"),
        ];
        for value in [i64::MIN, -1, i64::from(u32::MAX) + 1, i64::MAX] {
            let (_folder, store) = full();
            store.flush().unwrap();
            for (table, columns) in tables {
                for column in columns.split(", ") {
                    let sql = format!("UPDATE OR IGNORE {table} SET {column} = ?1");
                    store.write("damage", move |connection| Ok(connection.execute(&sql, [value])?)).unwrap();
                }
            }
            use_everything(&store);
        }
        let texts = [
            ("endpoint", "settings"),
            ("event", "kind"),
            ("golden_set", "task"),
            ("golden_set", "content"),
            ("evaluation", "metrics"),
            ("health", "health"),
            ("rollback_run", "run"),
            ("setting", "value"),
        ];
        for (table, column) in texts {
            let (_folder, store) = full();
            let sql = format!("UPDATE {table} SET {column} = '{{\"a\":['");
            store.write("damage", move |connection| Ok(connection.execute(&sql, [])?)).unwrap();
            let errors = use_everything(&store);
            assert!(!errors.is_empty(), "{table}.{column}");
            assert!(errors.iter().all(|error| matches!(error, StoreError::Unreadable { .. })), "{errors:?}");
        }
    }

    fn damage(path: &Path, bytes: &[u8], flips: &[(prop::sample::Index, u8)]) {
        let mut bytes = bytes.to_vec();
        for (index, byte) in flips {
            // The first 100 bytes are the header, by which a file is told to be ours.
            let at = 100 + index.index(bytes.len() - 100);
            bytes[at] = *byte;
        }
        std::fs::write(path, bytes).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 64, ..ProptestConfig::default() })]

        /// Whatever bytes stand in the file, there is an answer or an error, never a panic.
        #[test]
        fn flipped_bytes_never_panic(flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..200)) {
            static SOUND: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let sound = SOUND.get_or_init(|| {
                let (folder, store) = full();
                store.close().unwrap();
                std::fs::read(folder.path().join("pilothouse.db")).unwrap()
            });
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("damaged.db");
            damage(&path, sound, &flips);
            if let Ok(store) = Store::open(&path, &OpenOptions::default()) {
                use_everything(&store);
            }
        }
    }
}
