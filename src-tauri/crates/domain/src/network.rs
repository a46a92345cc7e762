//! The way from this machine to a server: as the system says, straight, or through somebody else.
//!
//! What must stay true: no secret stands here, only its name in the keyring.

mod ssh;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

pub use self::ssh::{SshAuth, SshJump};
use crate::endpoint::InvalidSetting;

/// How the connections of one endpoint leave this machine. The same way is taken to its token servers, its metrics and
/// its control plane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Network {
    /// By the proxy of the environment and of the system, where there is one; loopback is reached directly.
    #[default]
    System,
    /// Directly, whatever proxy the system has.
    Direct,
    /// Through a proxy of its own.
    Proxy(Box<Proxy>),
    /// Through an SSH jump host, which also resolves the names.
    Ssh(Box<SshJump>),
    /// The Services of a Kubernetes cluster by forwarded ports; everything else as the system says.
    Kubernetes(Box<ClusterAccess>),
}

/// A proxy, and what is reached without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// `http://`, `https://`, `socks5://` (names are resolved here) or `socks5h://` (the proxy resolves them), with host
    /// and port and without credentials in it.
    pub url: Url,
    /// The user that the proxy asks for, if any.
    #[serde(default)]
    pub username: Option<String>,
    /// The keyring's name of the user's password.
    #[serde(default)]
    pub secret: Option<String>,
    /// What is reached directly, by curl's rules for `NO_PROXY`: a host with everything below it, an address, a network
    /// such as `10.0.0.0/8`, or `*`.
    #[serde(default)]
    pub bypass: Vec<String>,
}

/// A Kubernetes cluster, as a kubeconfig names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAccess {
    /// The kubeconfig's context.
    pub context: String,
    /// The kubeconfig; `None`: `KUBECONFIG`, else `~/.kube/config`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Whether the command with which the context logs in, if it has one, may be run.
    #[serde(default)]
    pub run_plugin: bool,
}

/// A port of a Service of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterService {
    /// The Service.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its port, as the Service numbers it.
    pub port: u16,
}

impl ClusterService {
    /// The Service that an address inside of a cluster names: `http://NAME.NAMESPACE.svc:PORT`, also with `.cluster.local`
    /// (Kubernetes, "DNS for Services and Pods").
    pub fn of_url(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let inside = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc"))?;
        let (name, namespace) = inside.split_once('.')?;
        if name.is_empty() || namespace.is_empty() || namespace.contains('.') {
            return None;
        }
        Some(Self { name: name.into(), namespace: namespace.into(), port: url.port_or_known_default()? })
    }
}

impl Network {
    /// The keyring's names of every secret used.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::System | Self::Direct | Self::Kubernetes(_) => Vec::new(),
            Self::Proxy(proxy) => proxy.secret.as_deref().into_iter().collect(),
            Self::Ssh(jump) => jump.auth.secrets(),
        }
    }

    /// The kind in the word of the configuration file.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Direct => "direct",
            Self::Proxy(_) => "proxy",
            Self::Ssh(_) => "ssh",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Checks what can be known without a network. The first problem found is returned.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        match self {
            Self::Proxy(proxy) => proxy.validate(),
            Self::Ssh(jump) => jump.validate(),
            Self::Kubernetes(access) if access.context.trim().is_empty() => Err(InvalidSetting {
                field: "network.context",
                problem: "must name a context of the kubeconfig".into(),
            }),
            Self::System | Self::Direct | Self::Kubernetes(_) => Ok(()),
        }
    }
}

impl Proxy {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: &str| Err(InvalidSetting { field, problem: problem.into() });
        if !matches!(self.url.scheme(), "http" | "https" | "socks5" | "socks5h")
            || self.url.host_str().is_none_or(str::is_empty)
        {
            return invalid(
                "network.url",
                "must begin with http://, https://, socks5:// or socks5h:// and name a host",
            );
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return invalid(
                "network.url",
                "must not contain a user or password; give the user apart and store the password in the keyring",
            );
        }
        match (&self.username, &self.secret) {
            (None, None) => {}
            (Some(username), Some(secret)) => {
                // RFC 7617 ends the user at the first colon; RFC 1929 has one byte for its length.
                if !(1..=255).contains(&username.len())
                    || username.chars().any(char::is_control)
                    || username.contains(':')
                {
                    return invalid(
                        "network.username",
                        "must have 1 to 255 characters, without a colon or control characters",
                    );
                }
                if secret.trim().is_empty() {
                    return invalid("network.secret", "must be given");
                }
            }
            (Some(_), None) => return invalid("network.secret", "must name the password of the proxy's user"),
            (None, Some(_)) => return invalid("network.username", "must be given where there is a password"),
        }
        for entry in &self.bypass {
            if entry.is_empty()
                || entry.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',')
                || entry.contains("://")
                || (entry.contains('*') && entry != "*")
            {
                return invalid(
                    "network.bypass",
                    "takes one host, address or network per entry, such as `internal.example`, `10.1.2.3` or \
                     `10.0.0.0/8`, without a scheme, blanks or commas; `*` stands alone",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Network {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn every_kind_reads_its_word_and_lists_its_secrets() {
        let check = |json: &str, kind: &str, secrets: &[&str]| {
            let network = parse(json);
            assert_eq!((network.kind(), network.secrets()), (kind, secrets.to_vec()), "{json}");
            assert_eq!(network.validate(), Ok(()), "{json}");
            assert_eq!(parse(&serde_json::to_string(&network).unwrap()), network, "{json}");
        };
        check(r#"{"kind":"system"}"#, "system", &[]);
        check(r#"{"kind":"direct"}"#, "direct", &[]);
        check(r#"{"kind":"proxy","url":"http://proxy.example:3128"}"#, "proxy", &[]);
        check(r#"{"kind":"ssh","host":"jump.example","user":"ann"}"#, "ssh", &[]);
        check(
            r#"{"kind":"ssh","host":"fd00::1","user":"ann","auth":{"kind":"password","secret":"jump-password"}}"#,
            "ssh",
            &["jump-password"],
        );
        check(r#"{"kind":"kubernetes","context":"prod"}"#, "kubernetes", &[]);
        check(r#"{"kind":"kubernetes","context":"prod","kubeconfig":"/k","run_plugin":true}"#, "kubernetes", &[]);
        check(
            r#"{"kind":"proxy","url":"socks5h://10.0.0.1:1080","username":"ann","secret":"proxy-password",
                "bypass":["internal.example",".corp","10.0.0.0/8","fd00::/8","192.0.2.1","*"]}"#,
            "proxy",
            &["proxy-password"],
        );
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |fields: &str, field: &str| {
            let json = format!(r#"{{"kind":"proxy",{fields}}}"#);
            assert_eq!(parse(&json).validate().unwrap_err().field, field, "{json}");
        };
        check(r#""url":"ftp://proxy""#, "network.url");
        check(r#""url":"http://ann:hunter2@proxy""#, "network.url");
        check(r#""url":"socks5:nothing""#, "network.url");
        check(r#""url":"http://p","username":"ann""#, "network.secret");
        check(r#""url":"http://p","secret":"s""#, "network.username");
        check(r#""url":"http://p","username":"a:b","secret":"s""#, "network.username");
        for entry in ["", "a b", "a,b", "*.example", "http://x"] {
            check(&format!(r#""url":"http://p","bypass":["{entry}"]"#), "network.bypass");
        }
    }

    #[test]
    fn services_are_named_by_addresses_inside_of_a_cluster() {
        let check = |url: &str, expect: Option<(&str, &str, u16)>| {
            let found = ClusterService::of_url(&url.parse().unwrap());
            let found = found.as_ref().map(|found| (found.name.as_str(), found.namespace.as_str(), found.port));
            assert_eq!(found, expect, "{url}");
        };
        check("http://iris.models.svc.cluster.local/v2", Some(("iris", "models", 80)));
        check("http://iris.models.svc:8080/", Some(("iris", "models", 8080)));
        check("https://iris.models.svc/", Some(("iris", "models", 443)));
        check("http://iris.models.example.com/", None);
        check("http://pod.iris.models.svc/", None);
        check("http://models.svc/", None);
        check("http://127.0.0.1/", None);
    }
}
