//! Secrets of Pilothouse: tokens and passwords, kept only in the keyring of the operating system.
//!
//! What it is: [`Secrets`], an asynchronous `set`, `get`, `forget`, `state` by name over the Secret Service (Linux),
//! Keychain (macOS) and Credential Manager (Windows). What it hides: the keyring crates, threads, prompts, time limits
//! and a short-lived cache. What must stay true: no call freezes its caller; a value is never written anywhere else, and
//! never part of an error, a log line or `Debug` output.

mod backend;
mod calls;
mod error;
mod keyring_backend;
mod memory;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service_backend;
mod secrets;
mod state;

pub use error::SecretError;
pub use secrecy::{ExposeSecret, SecretString};
pub use secrets::{NAME_MAX_CHARS, SERVICE, Secrets, check_name};
pub use state::{KeyringState, SecretState};
