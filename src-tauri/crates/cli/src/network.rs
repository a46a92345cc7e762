//! The way to a server on the command line. No secret stands there, only its name in the keyring.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use pilothouse_api::proxy_url;
use pilothouse_domain::Network;
use pilothouse_domain::network::{ClusterAccess, Proxy};

use crate::failure::Failure;
use crate::jump::JumpOptions;

/// How connections leave this machine; without any of these as the system says.
#[derive(Debug, Default, Args)]
pub(crate) struct NetworkOptions {
    /// Connect directly, whatever proxy the system has
    #[arg(long, conflicts_with = "proxy")]
    direct: bool,
    /// Reach addresses NAME.NAMESPACE.svc by forwarded ports of the cluster of this kubeconfig context
    #[arg(long, value_name = "CONTEXT", conflicts_with_all = ["direct", "proxy"])]
    cluster: Option<String>,
    /// Kubeconfig with the context; without it `KUBECONFIG`, else `~/.kube/config`
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// Run the command with which the context logs in, if it has one
    #[arg(long, requires = "cluster")]
    run_plugin: bool,
    /// Through this proxy: http://, https://, socks5:// (names are resolved here) or socks5h:// (by the proxy)
    #[arg(long, value_name = "U")]
    proxy: Option<String>,
    /// The proxy's user and password by reference: USER:keyring:NAME
    #[arg(long, value_name = "REFERENCE", requires = "proxy")]
    proxy_auth: Option<LoginReference>,
    /// Reached without the proxy: hosts with everything below them, addresses, networks such as 10.0.0.0/8
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', requires = "proxy")]
    no_proxy: Vec<String>,
    #[command(flatten)]
    jump: JumpOptions,
}

impl NetworkOptions {
    /// The way that the options ask for.
    pub(crate) fn network(&self) -> Result<Network, Failure> {
        let network = if let Some(url) = &self.proxy {
            let login = self.proxy_auth.clone();
            Network::Proxy(Box::new(Proxy {
                url: proxy_url(url)?,
                username: login.as_ref().map(|login| login.username.clone()),
                secret: login.map(|login| login.secret),
                bypass: self.no_proxy.iter().map(|entry| entry.trim().to_owned()).collect(),
            }))
        } else if let Some(context) = &self.cluster {
            Network::Kubernetes(Box::new(ClusterAccess {
                context: context.clone(),
                kubeconfig: self.kubeconfig.clone(),
                run_plugin: self.run_plugin,
            }))
        } else if let Some(jump) = self.jump.jump() {
            Network::Ssh(Box::new(jump))
        } else if self.direct {
            Network::Direct
        } else {
            Network::System
        };
        network.validate().map_err(|problem| Failure::usage(problem.to_string()))?;
        Ok(network)
    }
}

/// A user whose password stands in the keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginReference {
    pub(crate) username: String,
    pub(crate) secret: String,
}

impl FromStr for LoginReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (username, secret) = text
            .split_once(":keyring:")
            .filter(|(username, _)| !username.is_empty())
            .ok_or("give USER:keyring:NAME; a password never stands on a command line")?;
        pilothouse_secrets::check_name(secret).map_err(|error| error.to_string())?;
        Ok(Self { username: username.to_owned(), secret: secret.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

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
    fn the_options_name_a_way() {
        assert_eq!(read(&[]).unwrap(), Network::System);
        assert_eq!(read(&["--direct"]).unwrap(), Network::Direct);
        let Network::Kubernetes(access) = read(&["--cluster", "prod", "--run-plugin"]).unwrap() else { panic!() };
        assert_eq!((access.context.as_str(), access.run_plugin), ("prod", true));
        let words =
            ["--proxy", "socks5h://p:1080", "--proxy-auth", "ann:keyring:pw", "--no-proxy", "a.example,10.0.0.0/8"];
        let Network::Proxy(proxy) = read(&words).unwrap() else { panic!() };
        assert_eq!(proxy.url.as_str(), "socks5h://p:1080");
        assert_eq!((proxy.username.as_deref(), proxy.secret.as_deref()), (Some("ann"), Some("pw")));
        assert_eq!(proxy.bypass, ["a.example", "10.0.0.0/8"]);
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        for words in [
            &["--proxy", "http://ann:hunter2@p:1"] as &[&str],
            &["--proxy", "p:1", "--proxy-auth", "ann:keyring:"],
            &["--direct", "--proxy", "p:1"],
            &["--no-proxy", "a"],
        ] {
            let refused = read(words).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
