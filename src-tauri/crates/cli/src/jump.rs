//! An SSH jump host on the command line, in the words of `ssh`. No secret stands there, only its name in the keyring.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use pilothouse_domain::network::{SshAuth, SshJump};

/// A jump host, and how to log in to it.
#[derive(Debug, Default, Args)]
pub(crate) struct JumpOptions {
    /// Through this SSH jump host, with the keys of the SSH agent
    #[arg(long, value_name = "USER@HOST[:PORT]", conflicts_with_all = ["direct", "proxy", "cluster"])]
    ssh: Option<JumpAddress>,
    /// Private key for the jump host, in the place of the agent: a file, or keyring:NAME
    #[arg(long, value_name = "FILE|REFERENCE", requires = "ssh")]
    ssh_key: Option<KeySource>,
    /// Passphrase of --ssh-key by reference: keyring:NAME
    #[arg(long, value_name = "REFERENCE", requires = "ssh_key")]
    ssh_passphrase: Option<SecretReference>,
    /// Password for the jump host by reference: keyring:NAME
    #[arg(long, value_name = "REFERENCE", requires = "ssh", conflicts_with = "ssh_key")]
    ssh_password: Option<SecretReference>,
    /// Fingerprint of the jump host's key (SHA256:…), where it stands in no file of known hosts
    #[arg(long, value_name = "FINGERPRINT", requires = "ssh")]
    ssh_host_key: Option<String>,
}

impl JumpOptions {
    /// The jump host that the options ask for.
    pub(crate) fn jump(&self) -> Option<SshJump> {
        let passphrase_secret = self.ssh_passphrase.as_ref().map(|secret| secret.0.clone());
        let auth = match (&self.ssh_key, &self.ssh_password) {
            (Some(KeySource::File(path)), _) => SshAuth::KeyFile { path: path.clone(), passphrase_secret },
            (Some(KeySource::Keyring(secret)), _) => SshAuth::Key { secret: secret.0.clone(), passphrase_secret },
            (None, Some(secret)) => SshAuth::Password { secret: secret.0.clone() },
            (None, None) => SshAuth::default(),
        };
        let JumpAddress { user, host, port } = self.ssh.clone()?;
        Some(SshJump { host, port, user, auth, host_key: self.ssh_host_key.clone() })
    }
}

/// A jump host as `ssh -J` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct JumpAddress {
    user: String,
    host: String,
    port: u16,
}

impl FromStr for JumpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "give USER@HOST or USER@HOST:PORT; an IPv6 address with a port stands in brackets";
        let (user, place) =
            text.rsplit_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty()).ok_or(form)?;
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(form)?)),
            None if place.matches(':').count() > 1 => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(22), str::parse).map_err(|_| form)?;
        Ok(Self { user: user.to_owned(), host: host.to_owned(), port })
    }
}

/// A secret that stands in the keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretReference(String);

impl FromStr for SecretReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("keyring:").ok_or("give keyring:NAME; a secret never stands on a command line")?;
        pilothouse_secrets::check_name(name).map_err(|error| error.to_string())?;
        Ok(Self(name.to_owned()))
    }
}

/// Where a private key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeySource {
    Keyring(SecretReference),
    File(PathBuf),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("keyring:") { text.parse().map(Self::Keyring) } else { Ok(Self::File(text.into())) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pilothouse_domain::Network;

    use super::*;
    use crate::network::NetworkOptions;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        network: NetworkOptions,
    }

    fn read(words: &[&str]) -> Result<Network, String> {
        let line = Line::try_parse_from(std::iter::once("x").chain(words.iter().copied()));
        line.map_err(|error| error.to_string())?.network.network().map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn a_jump_host_is_written_as_ssh_takes_it() {
        let check = |text: &str, user: &str, host: &str, port: u16| {
            let Network::Ssh(jump) = read(&["--ssh", text]).unwrap() else { panic!("{text}") };
            assert_eq!((jump.user.as_str(), jump.host.as_str(), jump.port), (user, host, port), "{text}");
            assert_eq!(jump.auth, SshAuth::default());
        };
        check("ann@jump.example", "ann", "jump.example", 22);
        check("ann@jump:2222", "ann", "jump", 2222);
        check("ann@corp@jump", "ann@corp", "jump", 22);
        check("ann@[fd00::1]:2222", "ann", "fd00::1", 2222);
        check("ann@[fd00::1]", "ann", "fd00::1", 22);
        check("ann@fd00::1", "ann", "fd00::1", 22);
    }

    #[test]
    fn every_login_has_its_words() {
        let check = |words: &[&str], expect: SshAuth| {
            let words = [&["--ssh", "a@h"], words].concat();
            let Network::Ssh(jump) = read(&words).unwrap() else { panic!("{words:?}") };
            assert_eq!(jump.auth, expect, "{words:?}");
        };
        let phrase = || Some("phrase".to_owned());
        check(
            &["--ssh-key", "~/.ssh/id", "--ssh-passphrase", "keyring:phrase"],
            SshAuth::KeyFile { path: "~/.ssh/id".into(), passphrase_secret: phrase() },
        );
        check(
            &["--ssh-key", "keyring:key", "--ssh-passphrase", "keyring:phrase"],
            SshAuth::Key { secret: "key".into(), passphrase_secret: phrase() },
        );
        check(&["--ssh-password", "keyring:pw"], SshAuth::Password { secret: "pw".into() });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_no_secret_repeated() {
        for words in [
            &["--ssh", "jump"] as &[&str],
            &["--ssh", "a@h:no"],
            &["--ssh", "a@[::1]22"],
            &["--ssh", "a@h", "--ssh-password", "hunter2"],
            &["--ssh", "a@h", "--ssh-key", "keyring:"],
            &["--ssh", "a@h", "--ssh-host-key", "00:11"],
            &["--ssh", "a@h", "--proxy", "p:1"],
            &["--ssh", "a@h", "--cluster", "prod"],
            &["--ssh-key", "f"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
