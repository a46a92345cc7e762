//! Secrets: set, forget, ask the state. There is no way to read one.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::border;

/// Stores a secret in the keyring.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export_to = "types.ts")]
pub struct SecretSetRequest {
    /// Name.
    pub name: String,
    /// The value. It goes straight to the keyring.
    pub value: String,
}

impl fmt::Debug for SecretSetRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSetRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

border! {
    /// Names one secret.
    #[derive(Eq)]
    pub struct SecretRequest {
        /// Name.
        pub name: String,
    }

    /// A secret's name and state.
    #[derive(Eq)]
    pub struct SecretEntry {
        /// Name.
        pub name: String,
        /// State.
        pub state: SecretState,
        /// Names of the endpoints that use it.
        pub used_by: Vec<String>,
    }

    /// Whether a secret is there.
    #[derive(Copy, Eq)]
    pub enum SecretState {
        /// Stored.
        Present,
        /// Not stored.
        Missing,
        /// The keyring is locked.
        Locked,
        /// The keyring cannot be reached.
        Unavailable,
    }

    /// Every secret that an endpoint refers to.
    pub struct SecretList {
        /// Whether the keyring answers (`present`: yes).
        pub keyring: SecretState,
        /// What to do when it does not.
        pub advice: Option<String>,
        /// Entries by name.
        pub secrets: Vec<SecretEntry>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_its_name_and_not_its_value() {
        let request = SecretSetRequest { name: "registry-token".into(), value: "marker-value".into() };
        let shown = format!("{request:?}");
        assert!(shown.contains("registry-token") && !shown.contains("marker-value"), "{shown}");
    }
}
