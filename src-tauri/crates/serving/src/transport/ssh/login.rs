//! Logging in to a jump host: by the agent, with a key, or with a password.
//!
//! What must stay true: a password, a passphrase and a key are in no message; a key is decrypted for one login only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_domain::UnknownReason;
use pilothouse_domain::network::{SshAuth, SshJump};
use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::host_key::HostKeyCheck;
use super::ours;
use crate::ServingError;
use crate::transport::failure::Failure;

/// Keys of the agent that are tried; servers end the connection after a few (six in OpenSSH).
const AGENT_KEYS_TRIED: usize = 5;

/// A login with its secrets.
pub(super) enum Login {
    Agent { socket: Option<PathBuf> },
    Key { text: SecretString, passphrase: Option<SecretString> },
    KeyFile { path: PathBuf, passphrase: Option<SecretString> },
    Password(SecretString),
}

impl Login {
    /// `value` gives a secret by its name.
    pub(super) fn new<'s>(
        auth: &SshAuth,
        value: impl Fn(&str) -> Result<&'s SecretString, ServingError>,
    ) -> Result<Self, ServingError> {
        let optional = |name: &Option<String>| name.as_deref().map(|name| value(name).cloned()).transpose();
        Ok(match auth {
            SshAuth::Agent { socket } => Self::Agent { socket: socket.as_deref().map(expanded) },
            SshAuth::Key { secret, passphrase_secret } => {
                Self::Key { text: value(secret)?.clone(), passphrase: optional(passphrase_secret)? }
            }
            SshAuth::KeyFile { path, passphrase_secret } => {
                Self::KeyFile { path: expanded(path), passphrase: optional(passphrase_secret)? }
            }
            SshAuth::Password { secret } => Self::Password(value(secret)?.clone()),
        })
    }

    /// A digest that differs whenever the settings or a secret differ.
    pub(super) fn digest_with(&self, jump: &SshJump) -> [u8; 32] {
        let secrets = match self {
            Self::Agent { .. } => [None, None],
            Self::Key { text, passphrase } => [Some(text), passphrase.as_ref()],
            Self::KeyFile { passphrase, .. } => [passphrase.as_ref(), None],
            Self::Password(password) => [Some(password), None],
        };
        let settings = serde_json::to_string(jump).unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [settings.as_str()].into_iter().chain(secrets.map(|secret| secret.map_or("", exposed))) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Logs in. `place` is the jump host's, for messages.
    pub(super) async fn log_in(
        &self,
        handle: &mut Handle<HostKeyCheck>,
        user: &str,
        place: &str,
    ) -> Result<(), Failure> {
        let broke = |error: russh::Error| broke(place, &error);
        let (is_accepted, what) = match self {
            Self::Agent { socket } => {
                (by_agent(handle, user, socket.as_deref(), place).await?, "any key of the SSH agent")
            }
            Self::Key { .. } | Self::KeyFile { .. } => {
                let key = self.read_key().await?;
                let hash = rsa_hash(handle, &key.algorithm()).await.map_err(broke)?;
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
                (handle.authenticate_publickey(user, key).await.map_err(broke)?.success(), "the private key")
            }
            Self::Password(password) => {
                let answer = handle.authenticate_password(user, exposed(password)).await.map_err(broke)?;
                (answer.success(), "the password")
            }
        };
        if is_accepted {
            return Ok(());
        }
        Err(ours(format!(
            "the jump host {place} does not accept {what} of the user `{user}`; check the network settings"
        )))
    }

    /// Takes its time: passphrases are stretched.
    async fn read_key(&self) -> Result<PrivateKey, Failure> {
        let (shown, source, passphrase) = match self {
            Self::Key { text, passphrase } => {
                ("the private key from the keyring".to_owned(), Ok(text.clone()), passphrase)
            }
            Self::KeyFile { path, passphrase } => {
                (format!("the private key {}", path.display()), Err(path.clone()), passphrase)
            }
            Self::Agent { .. } | Self::Password(_) => return Err(ours("this login has no private key")),
        };
        let passphrase = passphrase.clone();
        let read = tokio::task::spawn_blocking(move || {
            let text = match source {
                Ok(text) => text,
                Err(path) => SecretString::from(std::fs::read_to_string(path)?),
            };
            russh::keys::decode_secret_key(exposed(&text), passphrase.as_ref().map(exposed))
        });
        let problem = match read.await {
            Ok(Ok(key)) => return Ok(key),
            Ok(Err(russh::keys::Error::KeyIsEncrypted)) => "it needs a passphrase".to_owned(),
            Ok(Err(russh::keys::Error::IO(error))) => error.to_string(),
            // The library's words may name what it read; they are left out.
            Ok(Err(_)) => "it is no private key, or the passphrase is wrong".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Failure::ours(UnknownReason::Misconfigured, format!("{shown} cannot be used: {problem}")))
    }
}

fn exposed(secret: &SecretString) -> &str {
    secret.expose_secret()
}

fn broke(place: &str, error: &russh::Error) -> Failure {
    ours(format!("the login to the jump host {place} was cut off: {error}"))
}

/// RSA keys sign with the hash that the server prefers; others have one of their own.
async fn rsa_hash(handle: &Handle<HostKeyCheck>, algorithm: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
    match algorithm {
        // A server that does not say which, is old; most of them know SHA-256 all the same (RFC 8332 §3.3).
        Algorithm::Rsa { .. } => Ok(handle.best_supported_rsa_hash().await?.unwrap_or(Some(HashAlg::Sha256))),
        _ => Ok(None),
    }
}

async fn by_agent(
    handle: &mut Handle<HostKeyCheck>,
    user: &str,
    socket: Option<&Path>,
    place: &str,
) -> Result<bool, Failure> {
    let no_agent = |problem: &dyn std::fmt::Display| {
        ours(format!(
            "no SSH agent to log in to {place} with: {problem}. Start one and add your key (`ssh-add`), or use a key file"
        ))
    };
    #[cfg(unix)]
    let agent = match socket {
        Some(socket) => AgentClient::connect_uds(socket).await,
        None => AgentClient::connect_env().await,
    };
    #[cfg(windows)]
    let agent = AgentClient::connect_named_pipe(socket.unwrap_or(Path::new(r"\\.\pipe\openssh-ssh-agent"))).await;
    let mut agent = agent.map_err(|error| no_agent(&error))?;
    let identities = agent.request_identities().await.map_err(|error| no_agent(&error))?;
    if identities.is_empty() {
        return Err(no_agent(&"it holds no key"));
    }
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    for key in keys.take(AGENT_KEYS_TRIED) {
        let hash = rsa_hash(handle, &key.algorithm()).await.map_err(|error| broke(place, &error))?;
        // A key that the server or the agent refuses is none; another one may do.
        if handle.authenticate_publickey_with(user, key, hash, &mut agent).await.is_ok_and(|answer| answer.success()) {
            return Ok(true);
        }
        if handle.is_closed() {
            return Ok(false);
        }
    }
    Ok(false)
}

/// `~/` is the home folder, as people write it.
fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
