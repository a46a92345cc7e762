//! An SSH jump host: where it is, who logs in and how, and which key of it is trusted.
//!
//! What must stay true: no secret stands here, only its name in the keyring; nothing says that an unknown host key may be
//! trusted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::endpoint::InvalidSetting;

/// A host that lets connections through (`ssh -J`). Endpoints with the same settings share one session with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshJump {
    /// Its name or address.
    pub host: String,
    /// Its port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// The user on it.
    pub user: String,
    /// How the user logs in.
    #[serde(default)]
    pub auth: SshAuth,
    /// The fingerprint of the host's key that is trusted, `SHA256:…` as `ssh-keygen -l` shows it; `None`: what stands in
    /// OpenSSH's own files of known hosts.
    #[serde(default)]
    pub host_key: Option<String>,
}

const fn ssh_port() -> u16 {
    22
}

/// How a user logs in to a jump host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SshAuth {
    /// With the keys of a running SSH agent.
    Agent {
        /// Where it listens; `None`: where `SSH_AUTH_SOCK` says.
        #[serde(default)]
        socket: Option<PathBuf>,
    },
    /// With a private key from the keyring.
    Key {
        /// The keyring's name of its text, as it stands in a key file.
        secret: String,
        /// The keyring's name of its passphrase, if it has one.
        #[serde(default)]
        passphrase_secret: Option<String>,
    },
    /// With a private key from a file.
    KeyFile {
        /// The file; `~/` is the home folder.
        path: PathBuf,
        /// The keyring's name of its passphrase, if it has one.
        #[serde(default)]
        passphrase_secret: Option<String>,
    },
    /// With a password.
    Password {
        /// The keyring's name of it.
        secret: String,
    },
}

impl Default for SshAuth {
    fn default() -> Self {
        Self::Agent { socket: None }
    }
}

impl SshAuth {
    /// The keyring's names of every secret used.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Agent { .. } => Vec::new(),
            Self::Key { secret, passphrase_secret } => {
                std::iter::once(secret.as_str()).chain(passphrase_secret.as_deref()).collect()
            }
            Self::KeyFile { passphrase_secret, .. } => passphrase_secret.as_deref().into_iter().collect(),
            Self::Password { secret } => vec![secret],
        }
    }
}

impl SshJump {
    /// Checks what can be known without a network. The first problem found is returned.
    pub(super) fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: &str| Err(InvalidSetting { field, problem: problem.into() });
        let is_word =
            |text: &str| (1..=255).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !is_word(&self.host) || self.host.contains(['/', '@', '[', ']']) || self.host.starts_with('-') {
            return invalid("network.host", "must be the jump host's name or address alone; user and port stand apart");
        }
        if self.port == 0 {
            return invalid("network.port", "must lie between 1 and 65535");
        }
        if !is_word(&self.user) {
            return invalid("network.user", "must be given, without blanks");
        }
        if self.auth.secrets().iter().any(|secret| secret.trim().is_empty()) {
            return invalid("network.auth", "must name its secrets");
        }
        if let SshAuth::KeyFile { path, .. } = &self.auth
            && path.as_os_str().is_empty()
        {
            return invalid("network.auth.path", "must name the file of the private key");
        }
        if self.host_key.as_deref().is_some_and(|key| !is_fingerprint(key)) {
            return invalid(
                "network.host_key",
                "must be a fingerprint as `ssh-keygen -l` shows it: `SHA256:` and 43 characters",
            );
        }
        Ok(())
    }
}

/// 32 bytes in base64 without padding (OpenSSH, `sshkey_fingerprint`).
fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|digest| {
        digest.len() == 43 && digest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> SshJump {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn every_login_lists_its_secrets() {
        let check = |auth: &str, secrets: &[&str]| {
            let jump = parse(&format!(r#"{{"host":"h","user":"u","auth":{auth}}}"#));
            assert_eq!((jump.auth.secrets(), jump.port), (secrets.to_vec(), 22), "{auth}");
            assert_eq!(jump.validate(), Ok(()), "{auth}");
            assert_eq!(parse(&serde_json::to_string(&jump).unwrap()), jump, "{auth}");
        };
        check(r#"{"kind":"agent"}"#, &[]);
        check(r#"{"kind":"agent","socket":"/run/agent"}"#, &[]);
        check(r#"{"kind":"key","secret":"k"}"#, &["k"]);
        check(r#"{"kind":"key","secret":"k","passphrase_secret":"p"}"#, &["k", "p"]);
        check(r#"{"kind":"key_file","path":"~/.ssh/id","passphrase_secret":"p"}"#, &["p"]);
        check(r#"{"kind":"password","secret":"pw"}"#, &["pw"]);
        assert_eq!(parse(r#"{"host":"h","user":"u"}"#).auth, SshAuth::Agent { socket: None });
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |fields: &str, field: &str| {
            let json = format!("{{{fields}}}");
            assert_eq!(parse(&json).validate().unwrap_err().field, field, "{json}");
        };
        for host in ["", "a b", "ann@jump", "ssh://jump", "[::1]:22", "-oProxyCommand=x"] {
            check(&format!(r#""host":"{host}","user":"u""#), "network.host");
        }
        check(r#""host":"h","port":0,"user":"u""#, "network.port");
        check(r#""host":"h","user":"""#, "network.user");
        check(r#""host":"h","user":"u","auth":{"kind":"password","secret":" "}"#, "network.auth");
        check(r#""host":"h","user":"u","auth":{"kind":"key","secret":"k","passphrase_secret":""}"#, "network.auth");
        check(r#""host":"h","user":"u","auth":{"kind":"key_file","path":""}"#, "network.auth.path");
        for key in ["ab:cd", "SHA256:short", "MD5:00"] {
            check(&format!(r#""host":"h","user":"u","host_key":"{key}""#), "network.host_key");
        }
        let pinned = r#"{"host":"fd00::1","port":2222,"user":"u",
            "host_key":"SHA256:uNiVztksCsDhcc0u9e8BrcJXVoKVnKYoAAAAAAAAAA0"}"#;
        assert_eq!(parse(pinned).validate(), Ok(()));
    }
}
