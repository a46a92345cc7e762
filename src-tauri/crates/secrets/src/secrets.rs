//! [`Secrets`]: what the rest of Pilothouse sees.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::backend::{Backend, Prompting};
use crate::calls::{Called, Calls};
use crate::keyring_backend::KeyringBackend;
use crate::memory::MemoryBackend;
use crate::{KeyringState, SecretError, SecretState};

/// The service name under which every secret is stored in the keyring; the secret's name is the user name.
pub const SERVICE: &str = "dev.pilothouse.desktop";

/// The longest name, in characters.
pub const NAME_MAX_CHARS: usize = 100;

const TIMEOUT: Duration = Duration::from_secs(10);
const CACHE_TTL: Duration = Duration::from_mins(1);

/// A handle to the secrets; clones share everything.
///
/// A value that was read stays in memory for 60 s (wiped when it leaves), so that many endpoints probed every few seconds
/// do not load the keyring; `set`, `forget` and [`Secrets::unlock`] drop it. A value that another process changes is
/// therefore noticed after 60 s at most. Must be used inside a tokio runtime with time enabled.
#[derive(Clone)]
pub struct Secrets {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    calls: Calls,
    cache: Mutex<HashMap<String, (SecretString, Instant)>>,
    /// A background read has already made the keyring prompt, and the keyring was not seen unlocked since.
    prompted: Mutex<bool>,
}

impl Secrets {
    /// The keyring of the operating system. Nothing is opened before the first call.
    #[must_use]
    pub fn keyring() -> Self {
        Self::over(Arc::new(KeyringBackend::default()), TIMEOUT)
    }

    /// Secrets in the memory of this process, for tests.
    #[must_use]
    pub fn memory() -> Self {
        Self::over(Arc::new(MemoryBackend::default()), TIMEOUT)
    }

    /// The same place with another time limit for each call (default 10 s) and with nothing cached.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self::over(Arc::clone(&self.shared.backend), timeout)
    }

    fn over(backend: Arc<dyn Backend>, timeout: Duration) -> Self {
        let (cache, prompted) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { backend, calls: Calls::new(timeout), cache, prompted }) }
    }

    /// Stores `value` under `name`, replacing any other. May make the keyring ask the person to unlock it.
    pub async fn set(&self, name: &str, value: SecretString) -> Result<(), SecretError> {
        check_name(name)?;
        if value.expose_secret().is_empty() {
            return Err(SecretError::Empty { name: name.to_owned() });
        }
        let owned = name.to_owned();
        self.call(
            move |backend, still_wanted| backend.write(&owned, &value, still_wanted),
            |shared, written| {
                shared.uncache(name);
                if written.is_ok() {
                    shared.set_prompted(false);
                }
                written
            },
        )
        .await
    }

    /// Reads the value stored under `name`.
    ///
    /// A locked keyring is asked to unlock once; while that prompt is refused or left unanswered, further reads answer
    /// [`SecretError::Locked`] without another prompt until the keyring is found unlocked or the person acts
    /// ([`Secrets::unlock`], [`Secrets::set`]).
    pub async fn get(&self, name: &str) -> Result<SecretString, SecretError> {
        check_name(name)?;
        if let Some(value) = self.shared.cached(name) {
            return Ok(value);
        }
        let owned = name.to_owned();
        let shared = Arc::clone(&self.shared);
        self.call(
            move |backend, _| {
                // Another caller may have read it while this one waited for its turn.
                if let Some(value) = shared.cached(&owned) {
                    return Ok(value);
                }
                match backend.read(&owned, Prompting::Avoided) {
                    Err(SecretError::Locked) if !shared.set_prompted(true) => backend.read(&owned, Prompting::Allowed),
                    answer => answer,
                }
            },
            |shared, read| {
                if let Ok(value) = &read {
                    shared.set_prompted(false);
                    shared.cache(name, value);
                }
                read
            },
        )
        .await
    }

    /// Removes what is stored under `name`; nothing there is fine. May make the keyring ask the person to unlock it.
    pub async fn forget(&self, name: &str) -> Result<(), SecretError> {
        check_name(name)?;
        let owned = name.to_owned();
        self.call(
            move |backend, still_wanted| backend.remove(&owned, still_wanted),
            |shared, removed| {
                shared.uncache(name);
                removed
            },
        )
        .await
    }

    /// The state of one secret. Never prompts on Linux and never uses the cache; a name that cannot exist is missing.
    pub async fn state(&self, name: &str) -> SecretState {
        if check_name(name).is_err() {
            return SecretState::Missing;
        }
        let owned = name.to_owned();
        self.call(move |backend, _| Ok(backend.inspect(&owned)), |_, state| state)
            .await
            .unwrap_or_else(|error| error.state())
    }

    /// The state of the keyring itself. Never prompts on Linux.
    pub async fn availability(&self) -> KeyringState {
        let asked = self.call(|backend, _| Ok(backend.availability()), |_, state| state).await;
        asked.unwrap_or_else(|error| match error {
            SecretError::Unavailable { .. } => KeyringState::Unavailable,
            _ => KeyringState::Locked,
        })
    }

    /// Makes the keyring ask the person to unlock it, if it is locked. The way on after [`SecretError::Locked`].
    pub async fn unlock(&self) -> Result<(), SecretError> {
        self.call(
            |backend, _| backend.unlock(),
            |shared, unlocked| {
                if unlocked.is_ok() {
                    shared.set_prompted(false);
                }
                unlocked
            },
        )
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend, &dyn Fn() -> bool) -> Result<T, SecretError> + Send + 'static,
        settle: impl FnOnce(&Shared, Result<T, SecretError>) -> Result<T, SecretError>,
    ) -> Result<T, SecretError> {
        let backend = Arc::clone(&self.shared.backend);
        let shared = &*self.shared;
        shared
            .calls
            .run(
                move |still_wanted| work(&*backend, still_wanted),
                |called| match called {
                    Called::Answered(answer) => settle(shared, answer),
                    Called::GivenUp => {
                        shared.backend.give_up_connection();
                        settle(shared, Err(SecretError::TimedOut { waited: shared.calls.timeout }))
                    }
                },
            )
            .await
    }
}

impl Shared {
    fn cached(&self, name: &str) -> Option<SecretString> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (_, read)| read.elapsed() < CACHE_TTL);
        cache.get(name).map(|(value, _)| value.clone())
    }

    fn cache(&self, name: &str, value: &SecretString) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // A value answered from the cache keeps its first moment, so that it cannot live on for ever.
        cache.entry(name.to_owned()).or_insert_with(|| (value.clone(), Instant::now()));
    }

    fn uncache(&self, name: &str) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Sets whether a background read has prompted; returns what it was.
    fn set_prompted(&self, now: bool) -> bool {
        std::mem::replace(&mut *self.prompted.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Whether `name` can name a secret: 1 to [`NAME_MAX_CHARS`] of `A-Z a-z 0-9 . _ -`.
pub fn check_name(name: &str) -> Result<(), SecretError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=NAME_MAX_CHARS).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        // A value pasted into the name field by mistake must not come back whole in a message.
        let shown: String = name.chars().take(16).collect();
        let cut = if shown.len() < name.len() { "…" } else { "" };
        Err(SecretError::InvalidName { name: format!("{shown}{cut}") })
    }
}

#[cfg(test)]
mod tests;
