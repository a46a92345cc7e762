//! What a place that holds secrets must do. Every function may block, and is only called from a thread of its own.

use secrecy::SecretString;

use crate::{KeyringState, SecretError, SecretState};

/// Whether a call may make the keyring ask the person to unlock it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompting {
    /// The person asked for this: a prompt is welcome.
    Allowed,
    /// A background read: answer `Locked` instead of prompting, where the platform can tell.
    Avoided,
}

/// Tells whether the caller still waits for the answer. A write that was abandoned must not happen late, after the person
/// has stored or forgotten something else.
pub(crate) type StillWanted<'a> = &'a dyn Fn() -> bool;

/// A place that holds secrets.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Reads a value.
    fn read(&self, name: &str, prompting: Prompting) -> Result<SecretString, SecretError>;

    /// Stores a value, replacing any other.
    fn write(&self, name: &str, value: &SecretString, still_wanted: StillWanted<'_>) -> Result<(), SecretError>;

    /// Removes a value. Removing one that is not there is fine.
    fn remove(&self, name: &str, still_wanted: StillWanted<'_>) -> Result<(), SecretError>;

    /// The state of one secret, without a prompt where the platform can tell.
    fn inspect(&self, name: &str) -> SecretState;

    /// The state of the keyring, without a prompt where the platform can tell.
    fn availability(&self) -> KeyringState;

    /// Asks the person to unlock the keyring if it is locked.
    fn unlock(&self) -> Result<(), SecretError>;

    /// A call was given up while it was inside the backend: later calls must not wait behind it.
    fn give_up_connection(&self);
}
