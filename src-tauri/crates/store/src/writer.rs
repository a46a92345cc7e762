//! The one thread that writes.
//!
//! What it hides: batching. Everything that waits when the thread wakes goes into one transaction, the probes first and
//! then each write in a savepoint of its own, so that a failing write takes nothing else with it and many writers share
//! one sync of the disk.
//!
//! What must stay true: a write is answered only after its commit; probes leave the queue only after their commit; while
//! commits fail (disk full, another process busy), probes wait up to the queue's limit and writes get the error.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pilothouse_domain::Probe;
use rusqlite::{Connection, TransactionBehavior};

use crate::text::TextCache;
use crate::{OpenOptions, StoreError, probes};

/// Pause after a failed commit of probes, so that a full disk does not keep a core busy.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How often the last batch is tried when closing.
const CLOSING_ATTEMPTS: u32 = 3;

/// The handle to the thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    queue_rows: usize,
    queue_wait: Duration,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is something to do.
    work: Condvar,
    /// Signalled when the queue of probes got shorter, or the thread ended.
    space: Condvar,
    batch_rows: usize,
    batch_wait: Duration,
}

#[derive(Default)]
struct Queue {
    probes: VecDeque<Probe>,
    jobs: Vec<Box<dyn Job>>,
    /// When the waiting probes must be written; set by the first of them.
    due: Option<Instant>,
    /// Probes wait for this even when the batch is full, after a failure.
    not_before: Option<Instant>,
    stopping: bool,
    stopped: bool,
}

/// A write with its answer. `run` is called at most once, `finish` exactly once.
trait Job: Send {
    /// Runs it inside its savepoint; whether the savepoint is kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers it: with its own result when the transaction was committed, with the failure otherwise.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Write<T, F> {
    action: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: SyncSender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.action.take().map(|action| action(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.result, committed) {
            // A refusal stands whether or not the others were committed.
            (Some(Err(error)), _) | (_, Err(error)) => Some(Err(error)),
            (result, Ok(())) => result,
        };
        // Without an answer the channel closes, which the caller reads as "closed".
        if let Some(answer) = answer {
            // Nobody listens when the caller's thread is gone; the write is done all the same.
            self.answer.send(answer).ok();
        }
    }
}

impl Writer {
    /// Starts the thread on its connection.
    pub(crate) fn start(path: PathBuf, connection: Connection, options: &OpenOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            space: Condvar::new(),
            batch_rows: options.batch_rows.max(1),
            batch_wait: Duration::from_millis(options.batch_ms.into()),
        });
        let for_thread = Arc::clone(&shared);
        let lock_path = path.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || Thread { connection, texts: TextCache::default(), path, shared: for_thread }.run())
            .map_err(|error| StoreError::file("start the thread that writes", &lock_path, error))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            queue_rows: options.queue_rows.max(1),
            queue_wait: Duration::from_millis(options.queue_wait_ms.into()),
        })
    }

    /// Queues one probe; waits briefly when the queue is full.
    pub(crate) fn append(&self, probe: Probe) -> Result<(), StoreError> {
        let queue = self.shared.lock();
        let is_full = |queue: &mut Queue| queue.probes.len() >= self.queue_rows && !queue.stopping && !queue.stopped;
        let (mut queue, _) = self
            .shared
            .space
            .wait_timeout_while(queue, self.queue_wait, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.stopping || queue.stopped {
            return Err(StoreError::Closed { operation: "store a probe" });
        }
        if queue.probes.len() >= self.queue_rows {
            return Err(StoreError::QueueFull { waiting: queue.probes.len() });
        }
        queue.probes.push_back(probe);
        let first = queue.due.is_none();
        if first {
            queue.due = Some(Instant::now() + self.shared.batch_wait);
        }
        // The thread sets its alarm at the first probe and is woken again only by a full batch.
        if first || queue.probes.len() == self.shared.batch_rows {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Runs `action` on the thread; returns after its commit.
    pub(crate) fn write<T, F>(&self, operation: &'static str, action: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, receive) = sync_channel(1);
        let closed = StoreError::Closed { operation };
        {
            let mut queue = self.shared.lock();
            if queue.stopping || queue.stopped {
                return Err(closed);
            }
            queue.jobs.push(Box::new(Write { action: Some(action), result: None, answer }));
            self.shared.work.notify_one();
        }
        receive.recv().unwrap_or(Err(closed))
    }

    /// Writes what waits, folds the log into the file and ends the thread. The second call does nothing.
    pub(crate) fn stop(&self) -> Result<(), StoreError> {
        self.shared.lock().stopping = true;
        self.shared.work.notify_one();
        self.shared.space.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let closed = StoreError::Closed { operation: "write the waiting probes" };
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Err(closed)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work: jobs, a full or overdue batch, or the end.
    fn next(&self) -> (Vec<Probe>, Vec<Box<dyn Job>>, bool) {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let batch_at = match queue.due {
                Some(due) if queue.probes.len() < self.batch_rows => Some(due.max(queue.not_before.unwrap_or(due))),
                Some(_) => Some(queue.not_before.unwrap_or(now)),
                None => None,
            };
            if queue.stopping || !queue.jobs.is_empty() || batch_at.is_some_and(|at| at <= now) {
                queue.due = None;
                queue.not_before = None;
                let probes = std::mem::take(&mut queue.probes).into();
                return (probes, std::mem::take(&mut queue.jobs), queue.stopping);
            }
            queue = match batch_at {
                Some(at) => self.work.wait_timeout(queue, at - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Puts back what could not be committed, before what came later.
    fn put_back(&self, probes: Vec<Probe>) {
        if probes.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for probe in probes.into_iter().rev() {
            queue.probes.push_front(probe);
        }
        let later = Instant::now() + RETRY_AFTER;
        queue.due = Some(later);
        queue.not_before = Some(later);
    }
}

struct Thread {
    connection: Connection,
    texts: TextCache,
    path: PathBuf,
    shared: Arc<Shared>,
}

/// Tells everybody who waits that the thread is gone, whatever ended it.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.stopped = true;
        queue.jobs.clear();
        drop(queue);
        self.0.space.notify_all();
    }
}

impl Thread {
    fn run(mut self) -> Result<(), StoreError> {
        let _gone = Gone(Arc::clone(&self.shared));
        let mut attempts = 0;
        loop {
            let (probes, mut jobs, stopping) = self.shared.next();
            let committed = self.commit(&probes, &mut jobs);
            for job in jobs {
                job.finish(committed.clone());
            }
            match committed {
                Ok(()) if stopping => return self.checkpoint(),
                Ok(()) => {}
                Err(error) if stopping => {
                    attempts += 1;
                    if attempts == CLOSING_ATTEMPTS {
                        let error = error.during("write the waiting probes", &self.path);
                        return Err(StoreError::ProbesLost { count: probes.len(), cause: Box::new(error) });
                    }
                    self.shared.put_back(probes);
                }
                Err(error) => {
                    if !probes.is_empty() {
                        tracing::warn!(%error, waiting = probes.len(), "probes could not be written yet; trying again");
                    }
                    self.shared.put_back(probes);
                }
            }
            self.shared.space.notify_all();
        }
    }

    fn commit(&mut self, probes: &[Probe], jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        if probes.is_empty() && jobs.is_empty() {
            return Ok(());
        }
        let committed = commit(&mut self.connection, &mut self.texts, probes, jobs);
        if committed.is_err() {
            // It may hold ids that were rolled back.
            self.texts.clear();
        }
        committed
    }

    /// Folds the log into the file and empties it, the mark of a clean stop. While another process reads, the log stays,
    /// and whoever closes last folds it.
    fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| StoreError::from(error).during("close the database", &self.path))
    }
}

fn commit(
    connection: &mut Connection,
    texts: &mut TextCache,
    probes: &[Probe],
    jobs: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !probes.is_empty() {
        probes::insert(&transaction, probes, texts)?;
    }
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        let keep = job.run(&savepoint);
        // On some failures (disk full, I/O) SQLite rolls the whole transaction back; then nothing may go on without one.
        if savepoint.is_autocommit() {
            return Err(StoreError::Sqlite {
                operation: "write",
                source: Arc::new(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                    Some("the transaction was rolled back by a failing write in it".to_owned()),
                )),
            });
        }
        if keep {
            savepoint.commit()?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::EndpointId;
    use rusqlite::Connection;
    use serde_json::json;

    use crate::testing::{MONDAY, endpoint, probe, samples};
    use crate::{OpenOptions, Store, StoreError};

    const IMPATIENT: OpenOptions =
        OpenOptions { busy_timeout_ms: 20, batch_rows: 4, batch_ms: 3_600_000, queue_rows: 6, queue_wait_ms: 20 };

    fn impatient() -> (tempfile::TempDir, Store, EndpointId) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("pilothouse.db"), &IMPATIENT).unwrap();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        (folder, store, id)
    }

    /// Waits until `done`, for ten seconds at most.
    fn wait_until(mut done: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !done() {
            assert!(begin.elapsed().as_secs() < 10, "waited in vain");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_full_batch_is_written_without_waiting_for_the_hour() {
        let (_folder, store, id) = impatient();
        for i in 0..3 {
            store.append_probe(probe(id, MONDAY.plus_ms(i), 1)).unwrap();
        }
        assert!(samples(&store, id).is_empty(), "the batch is not full");
        store.append_probe(probe(id, MONDAY.plus_ms(3), 1)).unwrap();
        wait_until(|| samples(&store, id).len() == 4);
    }

    #[test]
    fn an_overdue_batch_is_written_although_not_full() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions { batch_ms: 5, ..IMPATIENT };
        let store = Store::open(&folder.path().join("pilothouse.db"), &options).unwrap();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(probe(id, MONDAY, 1)).unwrap();
        wait_until(|| samples(&store, id).len() == 1);
    }

    #[test]
    fn a_write_carries_the_waiting_probes_with_it() {
        let (_folder, store, id) = impatient();
        store.append_probe(probe(id, MONDAY, 1)).unwrap();
        store.set_setting("theme", &json!("dark")).unwrap();
        assert_eq!(samples(&store, id).len(), 1);
    }

    #[test]
    fn while_another_process_writes_nothing_is_lost_silently() {
        let (folder, store, id) = impatient();
        let other = Connection::open(folder.path().join("pilothouse.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let busy = store.set_setting("theme", &json!("dark"));
        assert!(matches!(busy, Err(StoreError::Busy { operation: "store the setting" })), "{busy:?}");
        let mut taken = 0;
        let full = loop {
            match store.append_probe(probe(id, MONDAY.plus_ms(taken), 1)) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
            assert!(taken < 1_000, "the queue is never full");
        };
        assert!(matches!(full, StoreError::QueueFull { .. }), "{full:?}");
        assert!(matches!(store.flush(), Err(StoreError::Busy { .. })));
        other.execute_batch("ROLLBACK").unwrap();
        store.flush().unwrap();
        let kept: Vec<_> = samples(&store, id).iter().map(|p| p.due.since(MONDAY)).collect();
        assert_eq!(kept, (0..taken).collect::<Vec<_>>(), "every probe that was taken is stored, in order");
        assert_eq!(store.setting("theme").unwrap(), None, "a refused write left nothing");
    }

    #[test]
    fn closing_tells_how_many_probes_could_not_be_written() {
        let (folder, store, id) = impatient();
        let other = Connection::open(folder.path().join("pilothouse.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        store.append_probe(probe(id, MONDAY, 1)).unwrap();
        let lost = store.close();
        assert!(matches!(lost, Err(StoreError::ProbesLost { count: 1, .. })), "{lost:?}");
    }

    #[test]
    fn a_failing_write_takes_no_other_with_it() {
        let (_folder, store, id) = impatient();
        store.append_probe(probe(id, MONDAY, 1)).unwrap();
        std::thread::scope(|scope| {
            for i in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    let written = store.write("test", move |connection| {
                        connection.execute("INSERT INTO setting VALUES (?1, '1')", [format!("key {i}")])?;
                        let problem = "refused".to_owned();
                        if i % 2 == 0 { Ok(()) } else { Err(StoreError::Invalid { what: "test", problem }) }
                    });
                    assert_eq!(written.is_ok(), i % 2 == 0);
                });
            }
        });
        for i in 0..16 {
            assert_eq!(store.setting(&format!("key {i}")).unwrap().is_some(), i % 2 == 0, "key {i}");
        }
        assert_eq!(samples(&store, id).len(), 1);
    }

    #[test]
    fn a_write_that_ends_the_transaction_fails_everybody_and_loses_nothing() {
        let (_folder, store, id) = impatient();
        store.append_probe(probe(id, MONDAY, 1)).unwrap();
        let broken = store.write("test", |connection| Ok(connection.execute_batch("ROLLBACK")?));
        assert!(broken.is_err());
        store.flush().unwrap();
        assert_eq!(samples(&store, id).len(), 1);
    }

    #[test]
    fn readers_cannot_write() {
        let (_folder, store, _) = impatient();
        let refused = store.read("test", |connection| Ok(connection.execute("DELETE FROM endpoint", [])?));
        assert!(refused.is_err());
        assert_eq!(store.endpoints().unwrap().len(), 1);
    }
}
