//! Secrets: set, forget, ask the state. There is no way to read one.

use super::border;

border! {
    /// Stores a secret in the keyring.
    #[derive(Eq)]
    pub struct SecretSetRequest {
        /// Name.
        pub name: String,
        /// The value. It goes straight to the keyring.
        pub value: String,
    }

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
