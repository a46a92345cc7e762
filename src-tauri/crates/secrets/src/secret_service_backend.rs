//! The Secret Service over D-Bus (gnome-keyring, `KWallet`, `KeePassXC`).
//!
//! Values are read and written by `keyring` entries over a store of our own, so that a lost connection, a restarted daemon
//! or a call stuck in a prompt is left behind with its store. Questions about the state are asked without values and
//! without prompts on a short connection of their own. Reference: freedesktop.org Secret Service API 0.2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyring_core::api::CredentialStoreApi as _;
use secrecy::{ExposeSecret, SecretString};
use secret_service::EncryptionType;
use secret_service::blocking::SecretService;
use zbus_secret_service_keyring_store::Store;

use crate::backend::{Backend, Prompting, StillWanted};
use crate::keyring_backend::explain;
use crate::{KeyringState, SERVICE, SecretError, SecretState};

/// The Secret Service of this session.
#[derive(Default)]
pub(crate) struct SecretServiceBackend {
    store: Mutex<Option<Arc<Store>>>,
}

impl Backend for SecretServiceBackend {
    fn read(&self, name: &str, prompting: Prompting) -> Result<SecretString, SecretError> {
        if prompting == Prompting::Avoided {
            let service = connect()?;
            match item_state(&service, name).map_err(|error| unavailable(&error))? {
                SecretState::Missing => return Err(SecretError::Missing { name: name.to_owned() }),
                SecretState::Locked => return Err(SecretError::Locked),
                SecretState::Present | SecretState::Unavailable => {}
            }
        }
        self.with_entry(name, keyring::Entry::get_password).map(SecretString::from)
    }

    fn write(&self, name: &str, value: &SecretString, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
        // Unlocking is a step of its own, so that a prompt answered long after the caller left stores nothing.
        self.unlock()?;
        self.with_entry(name, |entry| {
            if !still_wanted() {
                return Err(keyring::Error::Invalid("call".to_owned(), "no longer wanted".to_owned()));
            }
            match entry.set_password(value.expose_secret()) {
                // Left by another program or by a restored backup: the value given now is the only right one.
                Err(keyring::Error::Ambiguous(entries)) => {
                    for entry in entries {
                        entry.delete_credential()?;
                    }
                    entry.set_password(value.expose_secret())
                }
                written => written,
            }
        })
    }

    fn remove(&self, name: &str, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
        let service = connect()?;
        if item_state(&service, name).map_err(|error| unavailable(&error))? == SecretState::Missing {
            return Ok(());
        }
        self.unlock()?;
        self.with_entry(name, |entry| {
            if !still_wanted() {
                return Err(keyring::Error::Invalid("call".to_owned(), "no longer wanted".to_owned()));
            }
            match entry.delete_credential() {
                Err(keyring::Error::NoEntry) => Ok(()),
                Err(keyring::Error::Ambiguous(entries)) => {
                    entries.into_iter().try_for_each(|entry| entry.delete_credential())
                }
                removed => removed,
            }
        })
    }

    fn inspect(&self, name: &str) -> SecretState {
        let Ok(service) = connect() else { return SecretState::Unavailable };
        item_state(&service, name).unwrap_or(SecretState::Unavailable)
    }

    fn availability(&self) -> KeyringState {
        let Ok(service) = connect() else { return KeyringState::Unavailable };
        match default_is_locked(&service) {
            Ok(Some(true)) => KeyringState::Locked,
            // Without a default keyring there is nothing to unlock; the first value stored creates it.
            Ok(Some(false) | None) => KeyringState::Unlocked,
            Err(_) => KeyringState::Unavailable,
        }
    }

    fn unlock(&self) -> Result<(), SecretError> {
        let service = connect()?;
        let unlocked = match service.get_default_collection() {
            Ok(collection) => collection.ensure_unlocked().or_else(|_| {
                collection.unlock()?;
                // A prompt that was refused can also end without an error.
                collection.ensure_unlocked()
            }),
            Err(secret_service::Error::NoResult) => service.create_collection("Default keyring", "default").map(|_| ()),
            Err(error) => Err(error),
        };
        unlocked.map_err(|error| match error {
            secret_service::Error::Locked | secret_service::Error::Prompt | secret_service::Error::NoResult => {
                SecretError::Locked
            }
            other => unavailable(&other),
        })
    }

    fn give_up_connection(&self) {
        *self.slot() = None;
    }
}

impl SecretServiceBackend {
    /// Runs `work` on the entry of `name`, once more over a new connection when the kept one turns out to be lost.
    fn with_entry<T>(
        &self,
        name: &str,
        work: impl Fn(&keyring::Entry) -> keyring::Result<T>,
    ) -> Result<T, SecretError> {
        let kept = self.slot().clone();
        let is_kept = kept.is_some();
        let attempt = |store: &Store| {
            let label = format!("Pilothouse: {name}");
            let inner = store.build(SERVICE, name, Some(&HashMap::from([("label", label.as_str())])))?;
            work(&keyring::Entry { inner })
        };
        let result = match kept {
            Some(store) => attempt(&store),
            None => self.reconnect().and_then(|store| attempt(&store)),
        };
        match result {
            Err(keyring::Error::PlatformFailure(_)) if is_kept => {
                self.reconnect().and_then(|store| attempt(&store)).map_err(|error| explain(name, error))
            }
            other => other.map_err(|error| explain(name, error)),
        }
    }

    fn reconnect(&self) -> keyring::Result<Arc<Store>> {
        // Connecting can hang, so it happens outside the lock.
        let store = Store::new()?;
        *self.slot() = Some(Arc::clone(&store));
        Ok(store)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Store>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for questions; no value ever travels on it.
fn connect() -> Result<SecretService<'static>, SecretError> {
    SecretService::connect(EncryptionType::Plain).map_err(|error| unavailable(&error))
}

fn item_state(service: &SecretService<'_>, name: &str) -> Result<SecretState, secret_service::Error> {
    let found = service.search_items(HashMap::from([("service", SERVICE), ("username", name)]))?;
    Ok(if !found.unlocked.is_empty() {
        SecretState::Present
    } else if !found.locked.is_empty() || default_is_locked(service)? == Some(true) {
        // Some services list nothing while they are locked, so an empty answer then means nothing.
        SecretState::Locked
    } else {
        SecretState::Missing
    })
}

/// Whether the default keyring is locked; `None` when there is none.
fn default_is_locked(service: &SecretService<'_>) -> Result<Option<bool>, secret_service::Error> {
    match service.get_default_collection() {
        Ok(collection) => collection.is_locked().map(Some),
        Err(secret_service::Error::NoResult) => Ok(None),
        Err(error) => Err(error),
    }
}

fn unavailable(error: &secret_service::Error) -> SecretError {
    SecretError::Unavailable { why: error.to_string() }
}
