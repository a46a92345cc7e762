//! The contexts of a kubeconfig, in words: which server, whom it trusts, how it logs in.

use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Kubeconfig};

use crate::ClusterError;
use crate::error::{cut, kubeconfig_error};

/// A context, without any value of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Whether it is the current one.
    pub is_current: bool,
    /// The API server's URL, without user and password; empty when its cluster names none.
    pub server: String,
    /// The namespace, if one is set.
    pub namespace: Option<String>,
    /// Whom it trusts, in words.
    pub trust: String,
    /// How it logs in, in words.
    pub login: String,
    /// The command that logging in runs.
    pub plugin: Option<String>,
    /// Why this program cannot use it, if it cannot.
    pub problem: Option<String>,
}

/// The contexts of a kubeconfig in its order. Without a file: those of `KUBECONFIG`, else of `~/.kube/config`. That
/// there is no kubeconfig at all is an empty list; a file that was named must exist.
pub async fn contexts(file: Option<&Path>) -> Result<Vec<Context>, ClusterError> {
    let named = file.map(Path::to_owned);
    Ok(read(named).await?.map_or_else(Vec::new, |config| described(&config)))
}

/// The contexts in the text of a kubeconfig, in its order.
pub fn contexts_in(text: &str) -> Result<Vec<Context>, ClusterError> {
    Kubeconfig::from_yaml(text).map(|config| described(&config)).map_err(|error| kubeconfig_error(&error))
}

fn described(config: &Kubeconfig) -> Vec<Context> {
    let current = config.current_context.clone();
    let described = config.contexts.iter().map(|named| {
        let context = named.context.clone().unwrap_or_default();
        let cluster = config.clusters.iter().find(|entry| entry.name == context.cluster);
        let cluster = cluster.and_then(|entry| entry.cluster.clone()).unwrap_or_default();
        let user = context.user.as_ref().and_then(|name| config.auth_infos.iter().find(|entry| entry.name == *name));
        let user = user.and_then(|entry| entry.auth_info.clone()).unwrap_or_default();
        Context {
            name: named.name.clone(),
            is_current: current.as_deref() == Some(named.name.as_str()),
            server: cluster.server.as_deref().map(plain_server).unwrap_or_default(),
            namespace: context.namespace.filter(|namespace| !namespace.is_empty()),
            trust: trust(&cluster),
            login: login(&user),
            plugin: user.exec.as_ref().map(plugin_line),
            problem: problem(&cluster, &user),
        }
    });
    described.collect()
}

/// Reads and merges what is to be read; `None`: there is nothing in the usual places.
pub(crate) async fn read(file: Option<PathBuf>) -> Result<Option<Kubeconfig>, ClusterError> {
    let read = tokio::task::spawn_blocking(move || match file {
        Some(file) => Kubeconfig::read_from(file).map(Some),
        None => match Kubeconfig::from_env()? {
            Some(config) => Ok(Some(config)),
            None => match Kubeconfig::read() {
                Ok(config) => Ok(Some(config)),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            },
        },
    });
    match read.await {
        Ok(Ok(config)) => Ok(config),
        Ok(Err(error)) => Err(kubeconfig_error(&error)),
        Err(_) => Err(ClusterError::Kubeconfig("reading it was cut off".into())),
    }
}

fn is_absent(error: &kube::config::KubeconfigError) -> bool {
    use kube::config::KubeconfigError as E;
    match error {
        E::FindPath => true,
        E::ReadConfig(source, _) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Why a context cannot be used here, whatever its credentials are.
pub(crate) fn problem(cluster: &Cluster, user: &AuthInfo) -> Option<String> {
    if cluster.server.as_deref().unwrap_or_default().is_empty() {
        return Some("its cluster names no server".into());
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Some(
            "it sets `insecure-skip-tls-verify`: certificates are always verified here. Name the cluster's authority \
             with `certificate-authority` instead"
                .into(),
        );
    }
    if let Some(provider) = &user.auth_provider {
        return Some(format!(
            "it uses the auth provider `{}`, which Kubernetes removed in 1.26. Log in with an exec plugin instead",
            cut(&provider.name)
        ));
    }
    None
}

/// The command of an exec plugin on one line, as it is shown to a person before it runs. Its environment is left out:
/// values in it may be secret.
pub(crate) fn plugin_line(exec: &kube::config::ExecConfig) -> String {
    let command = exec.command.as_deref().unwrap_or("(no command)");
    let arguments = exec.args.iter().flatten().map(String::as_str);
    cut(&std::iter::once(command).chain(arguments).collect::<Vec<_>>().join(" "))
}

/// The server without a user or a password that someone put into it.
pub(crate) fn plain_server(server: &str) -> String {
    match url::Url::parse(server) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "an address that is no URL".into(),
    }
}

fn trust(cluster: &Cluster) -> String {
    if cluster.insecure_skip_tls_verify == Some(true) {
        return "nobody is verified".into();
    }
    match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(_), _) => "the authority inside the file".into(),
        (None, Some(file)) => format!("the authority in {}", cut(file)),
        (None, None) => "the system's authorities".into(),
    }
}

fn login(user: &AuthInfo) -> String {
    if let Some(exec) = &user.exec {
        return format!("the command `{}`", cut(exec.command.as_deref().unwrap_or("(none)")));
    }
    if let Some(provider) = &user.auth_provider {
        return format!("the auth provider `{}`", cut(&provider.name));
    }
    if user.client_certificate.is_some() || user.client_certificate_data.is_some() {
        return "a client certificate".into();
    }
    if user.token.is_some() || user.token_file.is_some() {
        return "a token".into();
    }
    if user.username.is_some() {
        return "user and password".into();
    }
    "nothing".into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = r"
apiVersion: v1
kind: Config
current-context: prod
clusters:
  - name: eu
    cluster: {server: 'https://u:p@10.0.0.1:6443', certificate-authority-data: LS0t}
  - name: dev
    cluster: {server: 'https://127.0.0.1:6443', insecure-skip-tls-verify: true}
contexts:
  - name: prod
    context: {cluster: eu, user: oidc, namespace: models}
  - name: dev
    context: {cluster: dev, user: me}
  - name: gone
    context: {cluster: nowhere, user: old}
users:
  - name: oidc
    user:
      exec: {command: kubelogin, args: [get-token, --tenant, t1], apiVersion: client.authentication.k8s.io/v1,
             env: [{name: PASSWORD, value: marker-secret}]}
  - name: me
    user: {client-certificate-data: LS0t, client-key-data: bWFya2VyLXNlY3JldA==}
  - name: old
    user: {auth-provider: {name: gcp}}
";

    #[tokio::test]
    async fn contexts_are_described_without_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, TEXT).unwrap();
        let contexts = contexts(Some(&file)).await.unwrap();
        assert_eq!(contexts_in(TEXT).unwrap(), contexts);
        assert_eq!(contexts.len(), 3);
        let prod = &contexts[0];
        assert_eq!((prod.server.as_str(), prod.is_current), ("https://10.0.0.1:6443/", true));
        assert_eq!(prod.namespace.as_deref(), Some("models"));
        assert_eq!(prod.plugin.as_deref(), Some("kubelogin get-token --tenant t1"));
        assert_eq!(prod.problem, None);
        assert_eq!(contexts[1].login, "a client certificate");
        assert!(contexts[1].problem.as_deref().unwrap().contains("insecure-skip-tls-verify"));
        assert!(contexts[2].problem.as_deref().unwrap().contains("names no server"));
        let shown = format!("{contexts:?}");
        assert!(!shown.contains("marker-secret") && !shown.contains("bWFya2Vy"), "{shown}");
    }

    #[tokio::test]
    async fn a_file_that_was_named_must_exist() {
        let error = contexts(Some(Path::new("/nowhere/kubeconfig"))).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/kubeconfig"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_kubeconfig_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, "contexts: {marker-secret: [").unwrap();
        let error = contexts(Some(&file)).await.unwrap_err().to_string();
        assert!(error.contains("kubeconfig") && !error.contains("marker-secret"), "{error}");
    }
}
