//! A kubeconfig: its contexts, with the server, whom it trusts and how it authenticates.
//!
//! Source: Kubernetes, "kubeconfig (v1)". No value of a credential is kept: the file itself is named when the cluster is
//! connected.

use serde_json::Value;

use crate::proposal::{ClusterContext, short};
use crate::{Import, ImportError, Kind};

pub(crate) fn read(document: &Value) -> Result<Import, ImportError> {
    let contexts = document.get("contexts").and_then(Value::as_array).ok_or_else(|| ImportError::Malformed {
        kind: Kind::Kubeconfig,
        problem: "it needs a list `contexts`".into(),
    })?;
    let current = document.get("current-context").and_then(Value::as_str);
    let mut import =
        Import { kind: Kind::Kubeconfig, proposals: Vec::new(), contexts: Vec::new(), ignored: Vec::new() };
    for entry in contexts.iter().take(crate::MAX_PROPOSALS) {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let name = text("/name").unwrap_or("without a name");
        let cluster = text("/context/cluster").and_then(|cluster| named(document, "clusters", cluster, "cluster"));
        let Some(server) = cluster.and_then(|cluster| cluster.get("server")?.as_str()) else {
            import.ignored.push(format!("the context `{}` was left out: its cluster names no server", short(name)));
            continue;
        };
        let user = text("/context/user").and_then(|user| named(document, "users", user, "user"));
        import.contexts.push(ClusterContext {
            name: short(name),
            is_current: current == Some(name),
            server: plain_server(server),
            namespace: text("/context/namespace").map(short),
            trust: trust(cluster.unwrap_or(&Value::Null)),
            auth: auth(user.unwrap_or(&Value::Null)),
        });
    }
    Ok(import)
}

fn named<'a>(document: &'a Value, list: &str, name: &str, member: &str) -> Option<&'a Value> {
    let entries = document.get(list)?.as_array()?;
    entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?.get(member)
}

/// The server without a user or a password that someone put into it.
fn plain_server(server: &str) -> String {
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

fn trust(cluster: &Value) -> String {
    let text = |member: &str| cluster.get(member).and_then(Value::as_str);
    if cluster.get("insecure-skip-tls-verify").and_then(Value::as_bool) == Some(true) {
        return "nobody is verified, which is not done here: name the cluster's authority".into();
    }
    match (text("certificate-authority"), text("certificate-authority-data")) {
        (Some(file), _) => format!("the authority in {}", short(file)),
        (None, Some(_)) => "the authority inside the file".into(),
        (None, None) => "the system's authorities".into(),
    }
}

fn auth(user: &Value) -> String {
    let has = |member: &str| user.get(member).is_some();
    if let Some(command) = user.pointer("/exec/command").and_then(Value::as_str) {
        return format!("the plugin `{}`", short(command));
    }
    if has("auth-provider") {
        return "an auth provider, which Kubernetes itself no longer has".into();
    }
    if has("client-certificate") || has("client-certificate-data") {
        return "a client certificate".into();
    }
    if has("token") || has("tokenFile") {
        return "a token".into();
    }
    if has("username") {
        return "user and password, which Kubernetes itself no longer has".into();
    }
    "nothing".into()
}

#[cfg(test)]
mod tests {
    use crate::{Kind, read};

    #[test]
    fn contexts_are_listed() {
        let text = r"
apiVersion: v1
kind: Config
current-context: prod
clusters:
  - name: eu
    cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: LS0t}
  - name: dev
    cluster: {server: 'https://127.0.0.1:6443', insecure-skip-tls-verify: true}
contexts:
  - name: prod
    context: {cluster: eu, user: oidc, namespace: models}
  - name: dev
    context: {cluster: dev, user: me}
  - name: gone
    context: {cluster: nowhere, user: me}
users:
  - name: oidc
    user: {exec: {command: kubelogin, apiVersion: client.authentication.k8s.io/v1}}
  - name: me
    user: {client-certificate-data: LS0t, client-key-data: c2VjcmV0}
";
        let import = read(text, None).unwrap();
        assert_eq!((import.kind, import.contexts.len(), import.ignored.len()), (Kind::Kubeconfig, 2, 1));
        let prod = &import.contexts[0];
        assert_eq!((prod.server.as_str(), prod.is_current), ("https://10.0.0.1:6443/", true));
        assert_eq!((prod.namespace.as_deref(), prod.auth.as_str()), (Some("models"), "the plugin `kubelogin`"));
        let dev = &import.contexts[1];
        assert_eq!(dev.auth, "a client certificate");
        assert!(dev.trust.contains("not done here") && !format!("{import:?}").contains("c2VjcmV0"));
    }
}
