//! Secrets in the memory of this process, for tests. Gone when the last handle is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;

use crate::backend::{Backend, Prompting, StillWanted};
use crate::{KeyringState, SecretError, SecretState};

/// The memory backend.
#[derive(Default)]
pub(crate) struct MemoryBackend {
    values: Mutex<HashMap<String, SecretString>>,
}

impl MemoryBackend {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, SecretString>) -> T) -> T {
        work(&mut self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for MemoryBackend {
    fn read(&self, name: &str, _: Prompting) -> Result<SecretString, SecretError> {
        self.with(|values| values.get(name).cloned()).ok_or_else(|| SecretError::Missing { name: name.to_owned() })
    }

    fn write(&self, name: &str, value: &SecretString, _: StillWanted<'_>) -> Result<(), SecretError> {
        self.with(|values| values.insert(name.to_owned(), value.clone()));
        Ok(())
    }

    fn remove(&self, name: &str, _: StillWanted<'_>) -> Result<(), SecretError> {
        self.with(|values| values.remove(name));
        Ok(())
    }

    fn inspect(&self, name: &str) -> SecretState {
        if self.with(|values| values.contains_key(name)) { SecretState::Present } else { SecretState::Missing }
    }

    fn availability(&self) -> KeyringState {
        KeyringState::Unlocked
    }

    fn unlock(&self) -> Result<(), SecretError> {
        Ok(())
    }

    fn give_up_connection(&self) {}
}
