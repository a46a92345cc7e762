//! Whether a jump host is the one that it claims to be.
//!
//! What must stay true: a key is trusted because a person said so, in the settings or in OpenSSH's own files of known
//! hosts, and never because it was the first one seen.

use std::sync::{Arc, Mutex, PoisonError};

use pilothouse_domain::network::SshJump;
use russh::Preferred;
use russh::client::Handler;
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::known_hosts::{self, Recorded};
use super::ours;
use crate::transport::failure::Failure;

/// A jump host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// `ssh-ed25519` and the like.
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// What OpenSSH's files of known hosts say of it.
    pub standing: HostKeyStanding,
}

/// What is known of a host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyStanding {
    /// It stands in a file of known hosts.
    Known,
    /// The host stands in none.
    Unknown,
    /// The host stands there with another key.
    Changed,
    /// It is marked as revoked.
    Revoked,
}

/// Which keys of one host are trusted.
#[derive(Debug, Clone)]
pub(super) enum TrustedKeys {
    /// The one with this fingerprint, whatever stands in files.
    Fingerprint(String),
    /// What stands in files of known hosts.
    Files(Recorded),
}

impl TrustedKeys {
    pub(super) async fn of(jump: &SshJump) -> Result<Self, Failure> {
        match &jump.host_key {
            Some(fingerprint) => Ok(Self::Fingerprint(fingerprint.clone())),
            None => Self::of_files(&jump.host, jump.port).await,
        }
    }

    pub(super) async fn of_files(host: &str, port: u16) -> Result<Self, Failure> {
        known_hosts::read(host, port).await.map(Self::Files)
    }

    pub(super) const fn is_fingerprint(&self) -> bool {
        matches!(self, Self::Fingerprint(_))
    }

    /// Algorithms in the order of preference: a host that has several keys is to show the one that is recorded.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Preferred::DEFAULT.key.to_vec();
        if let Self::Files(recorded) = self {
            let is_recorded =
                |algorithm: &Algorithm| recorded.keys.iter().any(|key| is_of(algorithm, key.algorithm().as_str()));
            algorithms.sort_by_key(|algorithm| !is_recorded(algorithm));
        }
        algorithms
    }

    fn standing(&self, key: &PublicKey) -> HostKeyStanding {
        // Comments are no part of a key.
        let is_among = |keys: &[PublicKey]| keys.iter().any(|known| known.key_data() == key.key_data());
        match self {
            Self::Fingerprint(trusted) if *trusted == fingerprint(key) => HostKeyStanding::Known,
            Self::Files(recorded) if is_among(&recorded.revoked) => HostKeyStanding::Revoked,
            Self::Files(recorded) if is_among(&recorded.keys) => HostKeyStanding::Known,
            Self::Files(recorded) if recorded.keys.is_empty() => HostKeyStanding::Unknown,
            Self::Fingerprint(_) | Self::Files(_) => HostKeyStanding::Changed,
        }
    }
}

/// Whether keys of the type `key_type` (`ssh-rsa`) are used with the algorithm; RSA keys have several (RFC 8332).
pub(super) fn is_of(algorithm: &Algorithm, key_type: &str) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => matches!(key_type, "ssh-rsa" | "rsa-sha2-256" | "rsa-sha2-512"),
        other => other.as_str() == key_type,
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Why a connection was not made.
#[derive(Debug)]
pub(super) enum Refusal {
    Unknown(HostKey),
    Changed(HostKey),
    Revoked(HostKey),
    Protocol(russh::Error),
}

impl Refusal {
    /// What happened at `place`, and what to do.
    pub(super) fn told(&self, place: &str) -> Failure {
        ours(match self {
            Self::Unknown(key) => format!(
                "the jump host {place} is not known here: its key is {} {}. Compare it with what its administrator says, \
                 then trust it in the network settings or in ~/.ssh/known_hosts",
                key.algorithm, key.fingerprint
            ),
            Self::Changed(key) => format!(
                "the jump host {place} shows another key than the trusted one: {} {}. Somebody may be listening in; ask \
                 its administrator before you trust the new key",
                key.algorithm, key.fingerprint
            ),
            Self::Revoked(key) => format!(
                "the key of the jump host {place} is revoked in known_hosts: {} {}; ask its administrator for the new one",
                key.algorithm, key.fingerprint
            ),
            Self::Protocol(russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_)) => {
                format!("the jump host {place} closed the connection; does an SSH server listen there?")
            }
            Self::Protocol(error) => format!("SSH with the jump host {place} failed: {error}"),
        })
    }
}

impl From<russh::Error> for Refusal {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

/// Looks at the key that a host shows.
pub(super) struct HostKeyCheck {
    trusted: TrustedKeys,
    seen: Arc<Mutex<Option<HostKey>>>,
}

impl HostKeyCheck {
    pub(super) fn new(trusted: TrustedKeys) -> Self {
        Self { trusted, seen: Arc::default() }
    }

    /// Where the key will stand that was shown.
    pub(super) fn seen(&self) -> Arc<Mutex<Option<HostKey>>> {
        Arc::clone(&self.seen)
    }
}

impl Handler for HostKeyCheck {
    type Error = Refusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        // No certificate algorithm is offered, so that none can be shown.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let standing = self.trusted.standing(key);
        let found = HostKey { algorithm: key.algorithm().to_string(), fingerprint: fingerprint(key), standing };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        match standing {
            HostKeyStanding::Known => Ok(true),
            HostKeyStanding::Unknown => Err(Refusal::Unknown(found)),
            HostKeyStanding::Changed => Err(Refusal::Changed(found)),
            HostKeyStanding::Revoked => Err(Refusal::Revoked(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn key(text: &str) -> PublicKey {
        russh::keys::parse_public_key_base64(text).unwrap()
    }

    fn recorded(keys: &[&str], revoked: &[&str]) -> TrustedKeys {
        let read = |texts: &[&str]| texts.iter().map(|text| key(text)).collect();
        TrustedKeys::Files(Recorded { keys: read(keys), revoked: read(revoked) })
    }

    #[test]
    fn only_the_recorded_key_is_trusted() {
        let check = |trusted: &TrustedKeys, shown: &str, expect| assert_eq!(trusted.standing(&key(shown)), expect);
        check(&recorded(&[], &[]), ONE, HostKeyStanding::Unknown);
        check(&recorded(&[ONE], &[]), ONE, HostKeyStanding::Known);
        check(&recorded(&[ONE], &[]), OTHER, HostKeyStanding::Changed);
        check(&recorded(&[ONE, OTHER], &[]), OTHER, HostKeyStanding::Known);
        check(&recorded(&[ONE], &[ONE]), ONE, HostKeyStanding::Revoked);
        let pinned = TrustedKeys::Fingerprint(fingerprint(&key(ONE)));
        check(&pinned, ONE, HostKeyStanding::Known);
        check(&pinned, OTHER, HostKeyStanding::Changed);
    }

    #[test]
    fn a_recorded_algorithm_is_asked_for_first() {
        let p256 = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHXcmCzK9t1zi//zMVhduktW296LQ+57BFJpaSzEUdRHzdc8\
                    qWlFZDJiRYGlA3emfJmdh8hc3kagv8GYiAX6V9g=";
        let first = |trusted: &TrustedKeys| trusted.algorithms()[0].to_string();
        assert_eq!(first(&recorded(&[], &[])), "ssh-ed25519");
        assert_eq!(first(&recorded(&[p256], &[])), "ecdsa-sha2-nistp256");
        assert_eq!(recorded(&[ONE], &[]).algorithms().len(), Preferred::DEFAULT.key.len());
        assert!(is_of(&Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, "ssh-rsa"));
        assert!(!is_of(&Algorithm::Rsa { hash: None }, "ssh-ed25519"));
    }
}
