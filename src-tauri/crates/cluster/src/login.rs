//! Logging in to the cluster of a context.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::config::{Config, KubeConfigOptions};

use crate::context::{plain_server, plugin_line, problem, read};
use crate::error::{ClusterError, cut, kubeconfig_error, with_causes};
use crate::plugin;

/// Limit for name resolution, TCP and TLS of a call to the API server.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Limit for one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(15);

/// How long before its end a credential is no longer used.
const MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// The kubeconfig; `None`: `KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context; `None`: the current one.
    pub context: Option<String>,
    /// Whether the command that logs in, if the context has one, may be run.
    pub run_plugin: bool,
}

/// A cluster that was logged in to. Whether it accepts the credential shows at the first call.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) context: String,
    pub(crate) server: String,
    namespace: String,
    expires: Option<Timestamp>,
}

impl Cluster {
    /// Reads the kubeconfig and, where the context has one and `access` allows it, runs its plugin. Sends nothing to
    /// the cluster.
    pub async fn login(access: &Access) -> Result<Self, ClusterError> {
        let kubeconfig = read(access.kubeconfig.clone()).await?.ok_or(ClusterError::NoKubeconfig)?;
        let wanted = access.context.clone().filter(|name| !name.is_empty()).or(kubeconfig.current_context.clone());
        let named = wanted.as_ref().and_then(|name| kubeconfig.contexts.iter().find(|entry| entry.name == *name));
        let Some(context) = named.map(|entry| entry.name.clone()) else {
            let known: Vec<String> =
                kubeconfig.contexts.iter().map(|entry| format!("`{}`", cut(&entry.name))).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(ClusterError::NoContext { name: wanted, known });
        };
        let entry = named.and_then(|entry| entry.context.clone()).unwrap_or_default();
        let described = kubeconfig.clusters.iter().find(|named| named.name == entry.cluster);
        let described = described.and_then(|named| named.cluster.clone()).unwrap_or_default();
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let unusable = |problem: String| ClusterError::Context { context: context.clone(), problem };
        let user = entry.user.as_ref().and_then(|name| kubeconfig.auth_infos.iter().find(|named| named.name == *name));
        let user = user.and_then(|named| named.auth_info.clone()).unwrap_or_default();
        if let Some(problem) = problem(&described, &user) {
            return Err(unusable(problem));
        }
        // Reads the files that the entries name.
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| match error {
            kube::config::KubeconfigError::ParseProxyUrl(_) => unusable("its `proxy-url` is no URL".into()),
            error => kubeconfig_error(&error),
        })?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        config.default_retry = false;
        let server = plain_server(&config.cluster_url.to_string());
        let mut expires = None;
        if let Some(exec) = config.auth_info.exec.clone() {
            let command = plugin_line(&exec);
            if !access.run_plugin {
                return Err(ClusterError::PluginNotAgreed { context, command });
            }
            expires = plugin::run(exec, &mut config.auth_info).await.map_err(|problem| ClusterError::Plugin {
                context: context.clone(),
                command,
                problem,
            })?;
        }
        let namespace = config.default_namespace.clone();
        // kube takes the process's provider of cryptography; another crate may have brought a second one in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Parses certificates and reads token files.
        let client = tokio::task::spawn_blocking(move || Client::try_from(config)).await;
        match client {
            Ok(Ok(client)) => Ok(Self { client, context, server, namespace, expires }),
            Ok(Err(error)) => Err(unusable(with_causes(&error))),
            Err(_) => Err(unusable("its settings could not be used".into())),
        }
    }

    /// The context's name.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The API server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The context's namespace; `default` when it names none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the plugin's credential has run out, or will within half a minute.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        is_over(self.expires, now)
    }
}

fn is_over(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_some_and(|until| now.checked_add(MARGIN).is_ok_and(|soon| soon >= until))
}

#[cfg(test)]
mod tests;
