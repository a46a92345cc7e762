//! Opening a file: whose it is, whether it is sound, and bringing it to this build's schema.
//!
//! What must stay true: a file that is not ours, or newer than this build, is not written to, not even by SQLite's own
//! housekeeping; a file with data is copied before its schema changes; a file left behind by a crash is checked.
//!
//! Who else has the file open is known from a lock on the empty file `NAME.lock` beside it: everyone holds it in shared
//! mode, so whoever gets it alone is alone. The operating system gives it back when a process dies.

use std::fs::{File, OpenOptions as FileOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::migrations::{self, LATEST};
use crate::readers::open_reader;

/// `PRAGMA application_id` of a Pilothouse database: the bytes `Pilo`.
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Pilo");

/// How the store waits and batches. The default suits the app and the CLI alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// How long to wait for another process that is writing, in milliseconds.
    pub busy_timeout_ms: u32,
    /// A batch of probes is written when it has this many rows …
    pub batch_rows: usize,
    /// … or when its first probe has waited for this long, in milliseconds.
    pub batch_ms: u32,
    /// How many probes may wait when the disk does not keep up.
    pub queue_rows: usize,
    /// How long `append_probe` waits for room in a full queue, in milliseconds.
    pub queue_wait_ms: u32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { busy_timeout_ms: 5_000, batch_rows: 500, batch_ms: 1_000, queue_rows: 20_000, queue_wait_ms: 2_000 }
    }
}

/// An opened file.
pub(crate) struct Opened {
    pub(crate) writer: Connection,
    /// The shared lock; `None` where the file system cannot lock.
    pub(crate) presence: Option<File>,
}

/// Opens `path`, see [`crate::Store::open`].
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Opened, StoreError> {
    let operation = "open the database";
    let busy_timeout = Duration::from_millis(options.busy_timeout_ms.into());
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| StoreError::file("create the folder of", path, e))?;
    }
    // Before anything is created beside it: a file of somebody else stays exactly as it was.
    inspect(path, busy_timeout).map_err(|e| e.during(operation, path))?;
    let (lock, alone) = take_lock(path)?;
    // Again under the lock: another process may have just created or migrated the file.
    let found = inspect(path, busy_timeout).map_err(|e| e.during(operation, path))?;
    let writer = prepare(path, found, alone, busy_timeout).map_err(|e| e.during(operation, path))?;
    let presence = lock.map(|file| if alone { share(file, path) } else { Ok(file) }).transpose()?;
    // Between giving back the exclusive lock and taking the shared one, a newer Pilothouse may have migrated.
    refuse_newer(path, migrations::version(&writer).map_err(|e| e.during(operation, path))?)?;
    Ok(Opened { writer, presence })
}

/// How often a file is looked at before it is called damaged or not ours.
const LOOKS: u32 = 6;
/// Between two looks; a checkpoint writes a page in far less.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A database of ours.
    Ours { version: u32, unfinished_log: bool },
}

/// Looks at the file without changing anything.
///
/// SQLite itself reads it, and never `std::fs`: closing any other handle of a file gives back all POSIX locks that this
/// process has on it, also those of a store that is open on another thread.
fn inspect(path: &Path, busy_timeout: Duration) -> Result<Found, StoreError> {
    // Reading takes no lock, so a page may be seen while another process writes it: what is really damaged, or not ours,
    // is so at every look.
    for _ in 1..LOOKS {
        match look(path, busy_timeout) {
            Ok(found) => return Ok(found),
            Err(error @ (StoreError::NewerFile { .. } | StoreError::File { .. })) => return Err(error),
            Err(_) => std::thread::sleep(BETWEEN_LOOKS),
        }
    }
    look(path, busy_timeout)
}

fn look(path: &Path, busy_timeout: Duration) -> Result<Found, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {}
        Ok(_) => return Ok(Found::Nothing),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(StoreError::file("read", path, error)),
    }
    let not_ours = || StoreError::NotOurs { path: path.to_owned() };
    let file = open_immutable(path)?;
    let application_id: i32 = match file.query_row("PRAGMA application_id", [], |row| row.get(0)) {
        Ok(id) => id,
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Err(not_ours()),
        Err(error) => return Err(error.into()),
    };
    if application_id != APPLICATION_ID {
        return Err(not_ours());
    }
    let unfinished_log = std::fs::metadata(log_path(path)).is_ok_and(|log| log.len() > 0);
    // What stands in the file lags behind the log.
    let version = migrations::version(&if unfinished_log { open_reader(path, busy_timeout)? } else { file })?;
    refuse_newer(path, version)?;
    Ok(Found::Ours { version, unfinished_log })
}

/// Opens the file as if it lay on a read-only medium: without locks, without its log, without files beside it
/// (<https://www.sqlite.org/uri.html>, `immutable`).
fn open_immutable(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.:".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}

fn refuse_newer(path: &Path, found: u32) -> Result<(), StoreError> {
    if found > LATEST {
        return Err(StoreError::NewerFile { path: path.to_owned(), found, supported: LATEST });
    }
    Ok(())
}

/// Opens the write connection; checks, copies and migrates as needed. `alone` says that no other process has the file.
fn prepare(path: &Path, found: Found, alone: bool, busy_timeout: Duration) -> Result<Connection, StoreError> {
    if found == Found::Nothing {
        create_private(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut writer = Connection::open_with_flags(path, flags)?;
    writer.busy_timeout(busy_timeout)?;
    if found == Found::Nothing {
        // Both stand in the file's first page, which is written here, before the log exists: from then on the file can
        // be told to be ours by its header alone.
        writer.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        writer.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if matches!(found, Found::Ours { unfinished_log: true, .. }) && alone {
        tracing::warn!(path = %path.display(), "the database was not closed cleanly; checking it");
        quick_check(&writer, path)?;
    }
    // Changing the mode does not wait for the busy timeout where it could deadlock, so try only when it must change.
    let mode: String = writer.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    }
    writer.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000;
         PRAGMA journal_size_limit = 33554432; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )?;
    writer.set_prepared_statement_cache_capacity(64);
    if let Found::Ours { version, .. } = found
        && (1..LATEST).contains(&version)
    {
        if !alone {
            return Err(StoreError::InUse { path: path.to_owned(), supported: LATEST });
        }
        back_up(&writer, path, LATEST)?;
    }
    migrations::migrate(&mut writer, LATEST)?;
    Ok(writer)
}

/// Creates an empty file that only its owner can read, because it will list internal host names. One that exists is not
/// even opened, see [`inspect`].
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = FileOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(StoreError::file("create", path, error)),
        _ => Ok(()),
    }
}

fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::corrupt(path, verdict)) }
}

/// Copies the database to `NAME.before-vN.bak`. The name appears only when the copy is complete and on the disk.
fn back_up(connection: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    let target = backup_path(path, version);
    let partial = with_suffix(&target, ".partial");
    let failed = |error| StoreError::file("write the back-up", &target, error);
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    create_private(&partial)?;
    let name = partial.to_str().ok_or_else(|| failed(std::io::Error::other("the path is not valid Unicode")))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    File::options().write(true).open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&partial, &target).map_err(failed)?;
    tracing::info!(backup = %target.display(), "the database was copied before its schema changes");
    Ok(())
}

/// Where the copy stands that is made before the migration to `version`.
pub(crate) fn backup_path(path: &Path, version: u32) -> PathBuf {
    with_suffix(path, &format!(".before-v{version}.bak"))
}

/// SQLite's write-ahead log of `path`.
pub(crate) fn log_path(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the lock on `NAME.lock`: exclusively when nobody else has it (second value `true`), in shared mode otherwise,
/// after waiting for whoever is checking or migrating right now. No lock where the file system cannot lock.
fn take_lock(path: &Path) -> Result<(Option<File>, bool), StoreError> {
    let lock_path = with_suffix(path, ".lock");
    create_private(&lock_path)?;
    let file = File::options().write(true).open(&lock_path).map_err(|e| StoreError::file("open", &lock_path, e))?;
    match file.try_lock() {
        Ok(()) => Ok((Some(file), true)),
        Err(TryLockError::WouldBlock) => {
            file.lock_shared().map_err(|e| StoreError::file("lock", &lock_path, e))?;
            Ok((Some(file), false))
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %lock_path.display(), %error, "this file system cannot lock; unclean stops are not noticed");
            Ok((None, false))
        }
    }
}

/// Turns the exclusive lock into a shared one.
fn share(file: File, path: &Path) -> Result<File, StoreError> {
    file.unlock().and_then(|()| file.lock_shared()).map_err(|e| StoreError::file("lock", path, e))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pilothouse_domain::EndpointId;

    use super::*;
    use crate::Store;
    use crate::testing::{MONDAY, endpoint, probe, samples, store};

    fn open_default(path: &Path) -> Result<Store, StoreError> {
        Store::open(path, &OpenOptions::default())
    }

    /// A file of an older schema with one endpoint, one sample with a text, and one event.
    fn older(path: &Path, version: u32) {
        create_private(path).unwrap();
        let mut connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA foreign_keys = ON").unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        migrations::migrate(&mut connection, version).unwrap();
        let settings = r#"{"target":{"url":"http://127.0.0.1/","protocol":"v2","model":null},"probe":{"interval_ms":15000,
            "connect_timeout_ms":1,"first_byte_timeout_ms":1,"total_timeout_ms":1,"fresh_connection_every":1,
            "max_response_bytes":1,"confirm_after":1,"recover_after":1,"degraded_above_ms":null},"evaluation":null,
            "control_plane":null}"#;
        connection
            .execute(
                "INSERT INTO endpoint (id, name, environment, paused, created_ms, settings)
                 VALUES (1, 'wine', 'staging', 0, 5, ?1)",
                [settings],
            )
            .and_then(|_| connection.execute("INSERT INTO text (id, value) VALUES (1, '7')", []))
            .and_then(|_| {
                connection.execute(
                    "INSERT INTO sample (endpoint, ts_ms, outcome, late_us, version, reused, response_bytes)
                     VALUES (1, ?1, 0, 0, 1, 0, 0)",
                    [MONDAY.0],
                )
            })
            .and_then(|_| connection.execute("INSERT INTO event VALUES (1, 6, 1, '{\"kind\":\"paused\"}')", []))
            .unwrap();
        if version >= 2 {
            connection.execute("UPDATE text SET last_used_ms = ?1", [MONDAY.0]).unwrap();
        }
    }

    fn schema(path: &Path) -> BTreeMap<String, String> {
        let connection = open_reader(path, Duration::ZERO).unwrap();
        let mut statement =
            connection.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn migration_from_every_version_gives_the_fresh_schema_and_keeps_the_rows() {
        let (folder, _fresh) = store();
        let fresh_schema = schema(&folder.path().join("pilothouse.db"));
        for version in 1..=LATEST {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("old.db");
            older(&path, version);
            let store = open_default(&path).unwrap();
            assert_eq!(schema(&path), fresh_schema, "from version {version}");
            assert_eq!(store.endpoints().unwrap().len(), 1);
            assert_eq!(samples(&store, EndpointId(1))[0].version, Some("7".into()));
            // A text that a kept sample refers to survives retention, although version 1 did not mark its use.
            store.retain(&crate::Retention::default(), MONDAY).unwrap();
            assert_eq!(samples(&store, EndpointId(1))[0].version, Some("7".into()));

            let backup = backup_path(&path, LATEST);
            assert_eq!(backup.exists(), version < LATEST, "a back-up exactly before a migration");
            if version < LATEST {
                let copy = Connection::open(&backup).unwrap();
                assert_eq!(migrations::version(&copy).unwrap(), version);
                assert_eq!(copy.query_row("SELECT name FROM endpoint", [], |r| r.get::<_, String>(0)).unwrap(), "wine");
                quick_check(&copy, &backup).unwrap();
            }
        }
    }

    #[test]
    fn the_schema_is_the_reviewed_one() {
        let (folder, _store) = store();
        let schema = schema(&folder.path().join("pilothouse.db"));
        let text: Vec<_> = schema.into_iter().map(|(name, sql)| format!("-- {name}\n{sql}\n")).collect();
        insta::assert_snapshot!("schema", text.join("\n"));
    }

    /// Runs `open` on these bytes and expects that neither they nor the folder change.
    fn refused_untouched(bytes: &[u8]) -> StoreError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        std::fs::write(&path, bytes).unwrap();
        let error = open_default(&path).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file was changed");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was put beside the file");
        error
    }

    #[test]
    fn a_newer_file_is_refused_untouched() {
        let (folder, store) = store();
        store.close().unwrap();
        let path = folder.path().join("pilothouse.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", LATEST + 1).unwrap();
        let error = refused_untouched(&std::fs::read(&path).unwrap());
        assert!(matches!(error, StoreError::NewerFile { found, .. } if found == LATEST + 1), "{error:?}");
    }

    #[test]
    fn a_newer_file_whose_version_stands_in_the_log_is_refused() {
        let (folder, store) = store();
        store.close().unwrap();
        let path = folder.path().join("pilothouse.db");
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", LATEST + 1).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(std::fs::metadata(log_path(&path)).unwrap().len() > 0, "the log is not folded yet");
        assert!(matches!(open_default(&path), Err(StoreError::NewerFile { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").unwrap();
        let database = std::fs::read(&path).unwrap();
        for bytes in [&database[..], &database[..50], b"x", &[0; 200], b"SQLite format 3\0"] {
            let error = refused_untouched(bytes);
            assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_named_with_its_backup() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pilothouse.db");
        older(&path, 1);
        let store = open_default(&path).unwrap();
        for i in 0..5_000 {
            store.append_probe(probe(EndpointId(1), MONDAY.plus_ms(i * 1_000 + 1), 900)).unwrap();
        }
        store.close().unwrap();
        // An unclean stop: a log that is not empty, here of a reader that keeps it from being folded.
        let reader = open_default(&path).unwrap();
        reader.set_setting("theme", &serde_json::json!("dark")).unwrap();
        let copy = folder.path().join("copy.db");
        for (from, to) in [(path.clone(), copy.clone()), (log_path(&path), log_path(&copy))] {
            std::fs::copy(from, to).unwrap();
        }
        std::fs::copy(backup_path(&path, LATEST), backup_path(&copy, LATEST)).unwrap();
        let mut bytes = std::fs::read(&copy).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 40_000].fill(0xA5);
        std::fs::write(&copy, bytes).unwrap();
        let error = open_default(&copy).unwrap_err();
        let StoreError::Corrupt { backup, .. } = &error else { panic!("{error:?}") };
        assert_eq!(backup.as_deref(), Some(&*backup_path(&copy, LATEST)));
        assert!(error.to_string().contains(&format!("copy.db.before-v{LATEST}.bak")), "{error}");
    }

    #[test]
    fn an_older_file_in_use_is_not_migrated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        older(&path, 1);
        let (lock, alone) = take_lock(&path).unwrap();
        assert!(alone);
        let lock = share(lock.unwrap(), &path).unwrap();
        assert!(matches!(open_default(&path), Err(StoreError::InUse { .. })));
        drop(lock);
        open_default(&path).unwrap();
    }

    #[test]
    fn closing_folds_the_log_and_opening_goes_on() {
        let (folder, store) = store();
        let path = folder.path().join("pilothouse.db");
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(probe(id, MONDAY, 900)).unwrap();
        let other_handle = store.clone();
        store.close().unwrap();
        store.close().unwrap();
        assert!(!log_path(&path).exists() || std::fs::metadata(log_path(&path)).unwrap().len() == 0);
        assert!(matches!(other_handle.append_probe(probe(id, MONDAY, 1)), Err(StoreError::Closed { .. })));
        assert!(matches!(other_handle.endpoints(), Err(StoreError::Closed { .. })));
        assert!(matches!(other_handle.flush(), Err(StoreError::Closed { .. })));
        let again = open_default(&path).unwrap();
        assert_eq!(samples(&again, id).len(), 1);
        again.append_probe(probe(id, MONDAY.plus_ms(5), 900)).unwrap();
        drop(again);
        assert_eq!(samples(&open_default(&path).unwrap(), id).len(), 2, "dropping the last handle flushes");
    }

    #[test]
    fn many_may_open_a_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/pilothouse.db");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || open_default(path).unwrap().add_endpoint(&endpoint(&format!("e{i}"))).unwrap());
            }
        });
        assert_eq!(open_default(&path).unwrap().endpoints().unwrap().len(), 8);
    }

    /// Closing any handle of the file that `std::fs` opened would give back the locks of the store that is open: then
    /// another process could take the write lock although ours holds it.
    #[test]
    fn opening_a_second_time_keeps_the_locks_of_the_first() {
        let (folder, store) = store();
        let path = folder.path().join("pilothouse.db");
        let (held, release) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let (held, release) = (std::sync::Arc::new(held), std::sync::Arc::new(release));
        std::thread::scope(|scope| {
            let (in_write, end_write) = (held.clone(), release.clone());
            let store = &store;
            scope.spawn(move || {
                let wait = move |_: &Connection| {
                    in_write.wait();
                    end_write.wait();
                    Ok(())
                };
                store.write("hold the lock", wait).unwrap();
            });
            held.wait();
            let locks = || posix_locks(&path);
            let before = locks();
            inspect(&path, Duration::ZERO).unwrap();
            create_private(&path).unwrap();
            let after = locks();
            release.wait();
            assert_eq!(after, before);
        });
    }

    /// How many POSIX locks this process holds on the file, where the system tells (Linux).
    fn posix_locks(path: &Path) -> Option<usize> {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt as _;
            let inode = std::fs::metadata(path).unwrap().ino();
            let needle = format!(":{inode} ");
            let locks = std::fs::read_to_string("/proc/locks").ok()?;
            Some(locks.lines().filter(|line| line.contains("POSIX") && line.contains(&needle)).count())
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            None
        }
    }

    #[test]
    fn a_path_of_any_characters_opens() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a b", "50%25.db", "what?.db", "no#1.db", "Größe.db", "a&b=c.db"] {
            let path = folder.path().join(name);
            for _ in 0..2 {
                open_default(&path).unwrap().close().unwrap();
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, _store) = store();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        }
    }
}
