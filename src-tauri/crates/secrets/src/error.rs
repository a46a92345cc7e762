//! What can go wrong with a secret. Every message says what to do next; none carries a value.

use std::time::Duration;

use crate::{NAME_MAX_CHARS, SecretState};

/// Why a secret could not be stored, read or forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing is stored under this name.
    #[error("no secret is stored as `{name}`: store it in Settings, or with `pilothousectl secret set {name}`")]
    Missing {
        /// The name that was asked for.
        name: String,
    },
    /// The keyring is locked, and asking to unlock it was refused or has already been tried.
    #[error("the keyring is locked: unlock it (log in to the desktop session, or answer its prompt), then try again")]
    Locked,
    /// There is no usable keyring. `why` is the platform's reason.
    #[error(
        "no usable keyring ({why}): on Linux start one that provides the Secret Service, such as gnome-keyring, \
         KWallet or KeePassXC, in this session, then try again"
    )]
    Unavailable {
        /// What the platform said; never a value.
        why: String,
    },
    /// The keyring did not answer, most likely because a prompt of it waits for an answer. Treated as locked.
    #[error("the keyring did not answer within {} s: answer its prompt if one is open, then try again", waited.as_secs())]
    TimedOut {
        /// How long the call waited.
        waited: Duration,
    },
    /// The name cannot be used. `name` is what was given, cut to a readable length.
    #[error("`{name}` cannot name a secret: use 1 to {NAME_MAX_CHARS} of the characters A-Z a-z 0-9 `.` `_` `-`")]
    InvalidName {
        /// What was given, cut to a readable length.
        name: String,
    },
    /// The value is empty; an empty secret is always a mistake.
    #[error("the value for `{name}` is empty: give a value, or forget the secret instead")]
    Empty {
        /// The secret's name.
        name: String,
    },
    /// The platform's keyring cannot hold a value of this size (Windows: 2,560 bytes of UTF-16).
    #[error(
        "the value for `{name}` is too long for this keyring, which holds {limit_bytes} bytes: use a shorter token"
    )]
    TooLong {
        /// The secret's name.
        name: String,
        /// The platform's limit in bytes, in the platform's encoding.
        limit_bytes: u32,
    },
    /// Something is stored under this name, but it is not text or there are several.
    #[error("what the keyring holds as `{name}` cannot be used ({why}): set it again")]
    Unusable {
        /// The secret's name.
        name: String,
        /// What is wrong with it; never a value.
        why: String,
    },
}

impl SecretError {
    /// The state of a secret that this error amounts to.
    #[must_use]
    pub const fn state(&self) -> SecretState {
        match self {
            Self::Missing { .. } | Self::InvalidName { .. } | Self::Empty { .. } | Self::TooLong { .. } => {
                SecretState::Missing
            }
            Self::Locked | Self::TimedOut { .. } => SecretState::Locked,
            Self::Unavailable { .. } => SecretState::Unavailable,
            // Something is there; reading it will tell what is wrong.
            Self::Unusable { .. } => SecretState::Present,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_what_to_do_next() {
        let name = || "registry-token".to_owned();
        let check = |error: SecretError, step: &str| {
            let message = error.to_string();
            assert!(message.contains(step), "{message}");
        };
        check(SecretError::Missing { name: name() }, "pilothousectl secret set registry-token");
        check(SecretError::Locked, "unlock it");
        check(SecretError::Unavailable { why: "no D-Bus".into() }, "start one");
        check(SecretError::TimedOut { waited: Duration::from_secs(10) }, "within 10 s: answer its prompt");
        check(SecretError::InvalidName { name: "a b".into() }, "use 1 to 100");
        check(SecretError::Empty { name: name() }, "give a value");
        check(SecretError::TooLong { name: name(), limit_bytes: 2560 }, "shorter token");
        check(SecretError::Unusable { name: name(), why: "not text".into() }, "set it again");
    }
}
