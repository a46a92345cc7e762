//! Blocking keyring calls, one at a time, each on a thread of its own and under a time limit.
//!
//! What it hides: threads that a keyring prompt holds for as long as nobody answers it. What must stay true: a caller
//! waits at most the time limit; a stuck thread never blocks a later call for ever, the process can end while one is
//! stuck (so these are plain threads: a runtime waits for its blocking tasks when it shuts down), and at most
//! [`STUCK_MAX`] of them exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};

use crate::SecretError;

/// Calls that may hang at the same time. When this many hang, a further call fails at once.
pub(crate) const STUCK_MAX: usize = 3;

/// Runs blocking calls.
pub(crate) struct Calls {
    turn: Mutex<()>,
    alive: Arc<AtomicUsize>,
    pub(crate) timeout: Duration,
}

/// How a call that was made went.
pub(crate) enum Called<T> {
    /// It answered.
    Answered(T),
    /// It was given up inside the backend, and its thread may still be there.
    GivenUp,
}

impl Calls {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { turn: Mutex::new(()), alive: Arc::default(), timeout }
    }

    /// Runs `work` when its turn comes, then `settle` with how it went while the turn still holds. `work` is told through
    /// its argument whether the answer is still wanted.
    pub(crate) async fn run<T: Send + 'static, U>(
        &self,
        work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
        settle: impl FnOnce(Called<T>) -> Result<U, SecretError>,
    ) -> Result<U, SecretError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let timed_out = || SecretError::TimedOut { waited: self.timeout };
        let _turn = tokio::time::timeout_at(deadline, self.turn.lock()).await.map_err(|_| timed_out())?;
        if self.alive.load(Ordering::SeqCst) >= STUCK_MAX {
            return Err(timed_out());
        }
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let still_wanted = Arc::clone(&wanted.0);
        let alive = Alive::enter(&self.alive);
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("keyring".to_owned())
            .spawn(move || {
                let value = work(&|| still_wanted.load(Ordering::SeqCst));
                drop(alive);
                // Nobody waits any more: the value is dropped here, and a secret is wiped as it drops.
                let _ = answer.send(value);
            })
            .map_err(|error| SecretError::Unavailable { why: format!("no thread for the call: {error}") })?;
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(value)) => settle(Called::Answered(value)),
            // The thread ended without an answer: the backend panicked.
            Ok(Err(_)) => Err(SecretError::Unavailable { why: "the keyring library failed".to_owned() }),
            Err(_) => {
                drop(wanted);
                let _ = settle(Called::GivenUp);
                Err(timed_out())
            }
        }
    }
}

/// Withdraws the wish when the caller is gone, be it by time limit or because its future was dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Counts one living thread, also when the thread panics.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
