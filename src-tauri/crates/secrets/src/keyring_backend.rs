//! The keyring of the operating system, through the `keyring` crate: Keychain and Credential Manager directly, the
//! Secret Service through [`crate::secret_service_backend`], which can also reconnect and look without prompting.

use crate::SecretError;

#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use crate::secret_service_backend::SecretServiceBackend as KeyringBackend;
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(crate) use native::NativeBackend as KeyringBackend;

/// What a keyring error means for the secret `name`. Bytes that an error carries are dropped, never shown.
pub(crate) fn explain(name: &str, error: keyring::Error) -> SecretError {
    let name = name.to_owned();
    match error {
        keyring::Error::NoEntry => SecretError::Missing { name },
        keyring::Error::NoStorageAccess(_) => SecretError::Locked,
        keyring::Error::TooLong(_, limit_bytes) => SecretError::TooLong { name, limit_bytes },
        keyring::Error::BadEncoding(_) => SecretError::Unusable { name, why: "it is not text".to_owned() },
        keyring::Error::BadDataFormat(..) => SecretError::Unusable { name, why: "it is malformed".to_owned() },
        keyring::Error::Ambiguous(_) => SecretError::Unusable { name, why: "there are several".to_owned() },
        other => SecretError::Unavailable { why: other.to_string() },
    }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
mod native {
    use secrecy::{ExposeSecret, SecretString};

    use super::explain;
    use crate::backend::{Backend, Prompting, StillWanted};
    use crate::{KeyringState, SERVICE, SecretError, SecretState};

    /// Keychain or Credential Manager.
    #[derive(Default)]
    pub(crate) struct NativeBackend;

    /// A name nothing is stored under: looking it up asks the keyring only whether it answers.
    const NOBODY: &str = "availability-check";

    fn entry(name: &str) -> Result<keyring::Entry, SecretError> {
        keyring::Entry::new(SERVICE, name).map_err(|error| explain(name, error))
    }

    impl Backend for NativeBackend {
        fn read(&self, name: &str, _: Prompting) -> Result<SecretString, SecretError> {
            entry(name)?.get_password().map(SecretString::from).map_err(|error| explain(name, error))
        }

        fn write(&self, name: &str, value: &SecretString, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
            let entry = entry(name)?;
            if !still_wanted() {
                return Err(SecretError::Locked);
            }
            entry.set_password(value.expose_secret()).map_err(|error| explain(name, error))
        }

        fn remove(&self, name: &str, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
            let entry = entry(name)?;
            if !still_wanted() {
                return Err(SecretError::Locked);
            }
            match entry.delete_credential() {
                Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
                Err(error) => Err(explain(name, error)),
            }
        }

        fn inspect(&self, name: &str) -> SecretState {
            self.read(name, Prompting::Avoided).map_or_else(|error| error.state(), |_| SecretState::Present)
        }

        fn availability(&self) -> KeyringState {
            match self.inspect(NOBODY) {
                SecretState::Present | SecretState::Missing => KeyringState::Unlocked,
                SecretState::Locked => KeyringState::Locked,
                SecretState::Unavailable => KeyringState::Unavailable,
            }
        }

        fn unlock(&self) -> Result<(), SecretError> {
            match self.read(NOBODY, Prompting::Allowed) {
                Ok(_) | Err(SecretError::Missing { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }

        fn give_up_connection(&self) {}
    }
}
