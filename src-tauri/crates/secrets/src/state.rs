//! What can be said about a secret, and about the keyring, without showing a value.

/// The state of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretState {
    /// It is stored and can be read.
    Present,
    /// Nothing is stored under this name.
    Missing,
    /// The keyring is locked, or a prompt of it was not answered in time: whether it can be read is not known.
    Locked,
    /// There is no usable keyring.
    Unavailable,
}

impl SecretState {
    /// The stable word for it, as the CLI and the window use it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Locked => "locked",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The state of the keyring itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyringState {
    /// Secrets can be read and written.
    Unlocked,
    /// It is locked, or a prompt of it was not answered in time.
    Locked,
    /// There is no usable keyring.
    Unavailable,
}

impl KeyringState {
    /// The stable word for it, as the CLI and the window use it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unlocked => "unlocked",
            Self::Locked => "locked",
            Self::Unavailable => "unavailable",
        }
    }
}
