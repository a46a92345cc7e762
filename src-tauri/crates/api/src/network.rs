//! The way to a server between the form and the engine: drafts hold text as a person types it.

use pilothouse_domain::Network;
use pilothouse_domain::network::{ClusterAccess, Proxy, SshAuth, SshJump};
use pilothouse_serving::HostKeyStanding;
use url::Url;

use crate::connect::invalid;
use crate::types::{NetworkDraft, SshAuthDraft, SshHostKey, SshHostKeyRequest, SshHostKeyStanding};
use crate::{Api, ApiError, Code};

/// Reads a draft. What it refuses, it names.
pub(crate) fn network(draft: NetworkDraft) -> Result<Network, ApiError> {
    let network = match draft {
        NetworkDraft::System => Network::System,
        NetworkDraft::Direct => Network::Direct,
        NetworkDraft::Kubernetes { context, kubeconfig, run_plugin } => Network::Kubernetes(Box::new(ClusterAccess {
            context: context.trim().to_owned(),
            kubeconfig: filled(kubeconfig).map(Into::into),
            run_plugin,
        })),
        NetworkDraft::Proxy { url, username, secret, bypass } => {
            let username = filled(username);
            Network::Proxy(Box::new(Proxy {
                url: proxy_url(&url)?,
                // A form keeps the name of the password ready before it knows whether there is a user.
                secret: username.is_some().then_some(secret).flatten(),
                username,
                bypass: bypass
                    .split([',', ' ', '\n', '\t'])
                    .filter(|entry| !entry.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }))
        }
        NetworkDraft::Ssh { host, port, user, auth, host_key } => Network::Ssh(Box::new(SshJump {
            host: host.trim().to_owned(),
            port,
            user: user.trim().to_owned(),
            auth: match auth {
                SshAuthDraft::Agent { socket } => SshAuth::Agent { socket: filled(socket).map(Into::into) },
                SshAuthDraft::Key { secret, passphrase_secret } => SshAuth::Key { secret, passphrase_secret },
                SshAuthDraft::KeyFile { path, passphrase_secret } => {
                    SshAuth::KeyFile { path: path.trim().into(), passphrase_secret }
                }
                SshAuthDraft::Password { secret } => SshAuth::Password { secret },
            },
            host_key: filled(host_key),
        })),
    };
    // Without an endpoint (detection) nobody else would look.
    network.validate().map_err(|problem| invalid(problem.to_string()))?;
    Ok(network)
}

/// Reads a proxy's address as people write it; `host:port` is an HTTP proxy's.
pub fn proxy_url(text: &str) -> Result<Url, ApiError> {
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // The address is not repeated: people paste it with its password.
    Url::parse(&with_scheme).map_err(|error| {
        invalid(format!("the proxy's address is no URL: {error}")).hint("write it like http://proxy.example:3128")
    })
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The way to a server as a person edits it.
pub fn network_draft(network: &Network) -> NetworkDraft {
    match network {
        Network::System => NetworkDraft::System,
        Network::Direct => NetworkDraft::Direct,
        Network::Kubernetes(access) => NetworkDraft::Kubernetes {
            context: access.context.clone(),
            kubeconfig: access.kubeconfig.as_ref().map(|file| file.display().to_string()),
            run_plugin: access.run_plugin,
        },
        Network::Proxy(proxy) => NetworkDraft::Proxy {
            url: proxy.url.to_string(),
            username: proxy.username.clone(),
            secret: proxy.secret.clone(),
            bypass: proxy.bypass.join(", "),
        },
        Network::Ssh(jump) => NetworkDraft::Ssh {
            host: jump.host.clone(),
            port: jump.port,
            user: jump.user.clone(),
            auth: match &jump.auth {
                SshAuth::Agent { socket } => {
                    SshAuthDraft::Agent { socket: socket.as_ref().map(|path| path.display().to_string()) }
                }
                SshAuth::Key { secret, passphrase_secret } => {
                    SshAuthDraft::Key { secret: secret.clone(), passphrase_secret: passphrase_secret.clone() }
                }
                SshAuth::KeyFile { path, passphrase_secret } => SshAuthDraft::KeyFile {
                    path: path.display().to_string(),
                    passphrase_secret: passphrase_secret.clone(),
                },
                SshAuth::Password { secret } => SshAuthDraft::Password { secret: secret.clone() },
            },
            host_key: jump.host_key.clone(),
        },
    }
}

impl Api {
    /// The key that a jump host shows. Nobody logs in.
    pub async fn ssh_host_key(&self, request: SshHostKeyRequest) -> Result<SshHostKey, ApiError> {
        let transport = self.engine.transport(&Network::Direct).await?;
        let found = transport.ssh_host_key(request.host.trim(), request.port).await;
        let key = found.map_err(|failure| {
            ApiError::new(Code::TargetFailed, failure.detail).hint("check the jump host's address and port")
        })?;
        Ok(SshHostKey {
            algorithm: key.algorithm,
            fingerprint: key.fingerprint,
            standing: match key.standing {
                HostKeyStanding::Known => SshHostKeyStanding::Known,
                HostKeyStanding::Unknown => SshHostKeyStanding::Unknown,
                HostKeyStanding::Changed => SshHostKeyStanding::Changed,
                HostKeyStanding::Revoked => SshHostKeyStanding::Revoked,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_the_way_again() {
        for json in [
            r#"{"kind":"system"}"#,
            r#"{"kind":"direct"}"#,
            r#"{"kind":"ssh","host":"jump","user":"ann"}"#,
            r#"{"kind":"ssh","host":"jump","port":2222,"user":"ann","auth":{"kind":"key_file","path":"~/.ssh/id",
                "passphrase_secret":"s"},"host_key":"SHA256:uNiVztksCsDhcc0u9e8BrcJXVoKVnKYoAAAAAAAAAA0"}"#,
            r#"{"kind":"ssh","host":"jump","user":"ann","auth":{"kind":"key","secret":"k","passphrase_secret":"s"}}"#,
            r#"{"kind":"ssh","host":"jump","user":"ann","auth":{"kind":"password","secret":"s"}}"#,
            r#"{"kind":"ssh","host":"jump","user":"ann","auth":{"kind":"agent","socket":"/run/agent"}}"#,
            r#"{"kind":"kubernetes","context":"prod","kubeconfig":"/k","run_plugin":true}"#,
            r#"{"kind":"proxy","url":"socks5h://10.0.0.1:1080","username":"ann","secret":"s","bypass":["a.b","10.0.0.0/8"]}"#,
        ] {
            let way: Network = serde_json::from_str(json).unwrap();
            assert_eq!(network(network_draft(&way)).unwrap(), way);
            // The configuration file and the form use the same words for the kinds.
            assert_eq!(serde_json::to_value(network_draft(&way)).unwrap()["kind"], way.kind());
        }
    }

    #[test]
    fn what_is_typed_is_read_as_it_is_meant() {
        let draft = NetworkDraft::Proxy {
            url: " proxy.example:3128 ".into(),
            username: Some("  ".into()),
            secret: Some("proxy-password".into()),
            bypass: "a.example, 10.0.0.0/8\n192.0.2.1".into(),
        };
        let Network::Proxy(proxy) = network(draft).unwrap() else { panic!() };
        assert_eq!((proxy.url.as_str(), &proxy.username, &proxy.secret), ("http://proxy.example:3128/", &None, &None));
        assert_eq!(proxy.bypass, ["a.example", "10.0.0.0/8", "192.0.2.1"]);
        let pasted = NetworkDraft::Proxy {
            url: "http://ann:hunter2@proxy".into(),
            username: None,
            secret: None,
            bypass: String::new(),
        };
        let refused = network(pasted).unwrap_err().to_string();
        assert!(refused.contains("network.url") && !refused.contains("hunter2"), "{refused}");
    }
}
