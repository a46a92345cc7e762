//! Every kind of login, through kube's own loader, against a fake API server over TLS. Its refusals are those that
//! kube-apiserver 1.20.2 gave.

use std::fs;

use pilothouse_testkit::{Authority, Behaviour, FakeServer, RecordedRequest, Reply, Validity};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{Place, ResourceKind};

const FORBIDDEN: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"services is forbidden: User \"system:anonymous\" cannot list resource \"services\" in API group \"\" in the namespace \"models\"","reason":"Forbidden","details":{"kind":"services"},"code":403}"#;

/// A server that lets in whoever shows the token `t0k`, and a folder with the files of a kubeconfig.
struct Fixture {
    server: FakeServer,
    folder: TempDir,
    authority: Authority,
}

fn only_with_token(request: &RecordedRequest) -> Behaviour {
    match request.header("authorization") {
        Some("Bearer t0k") => listing(),
        Some(_) => Behaviour::status(401, r#"{"kind":"Status","status":"Failure","reason":"Unauthorized","code":401}"#),
        None => Behaviour::status(403, FORBIDDEN),
    }
}

fn listing() -> Behaviour {
    Behaviour::json(r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"iris"}}]}"#)
}

async fn place(needs_certificate: bool, behaviour: Behaviour) -> Fixture {
    let authority = Authority::new();
    let mut certificate = authority.server(&["127.0.0.1"], Validity::Valid);
    if needs_certificate {
        certificate = certificate.requiring_clients_of(&authority);
    }
    let server = FakeServer::start_tls(behaviour, &certificate).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    Fixture { server, folder, authority }
}

impl Fixture {
    fn access(&self, cluster: &str, user: &str) -> Access {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
             clusters:\n- name: c\n  cluster: {{server: '{}', {cluster}}}\n\
             users:\n- name: u\n  user: {user}\n\
             contexts:\n- name: prod\n  context: {{cluster: c, user: u, namespace: models}}\n",
            self.server.url()
        );
        let path = self.folder.path().join("config");
        fs::write(&path, text).unwrap();
        Access { kubeconfig: Some(path), context: None, run_plugin: false }
    }

    async fn list(&self, access: &Access) -> Result<usize, ClusterError> {
        let cluster = Cluster::login(access).await?;
        let own = Place::Namespace(cluster.namespace().to_owned());
        Ok(cluster.list::<Value>(ResourceKind::SERVICES, &own, None).await?.items.len())
    }
}

const CA: &str = "certificate-authority: ca.pem";

#[tokio::test]
async fn a_token_is_sent_and_a_wrong_one_is_told() {
    let place = place(false, Behaviour::answer(only_with_token)).await;
    assert_eq!(place.list(&place.access(CA, "{token: t0k}")).await, Ok(1));
    assert_eq!(place.server.requests()[0].path(), "/api/v1/namespaces/models/services");
    fs::write(place.folder.path().join("token"), "t0k").unwrap();
    assert_eq!(place.list(&place.access(CA, "{tokenFile: token}")).await, Ok(1));
    let refused = place.list(&place.access(CA, "{token: marker-old}")).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Unauthorized { .. }), "{refused}");
    assert!(!format!("{refused:?}{refused}").contains("marker"), "{refused}");
    let anonymous = place.list(&place.access(CA, "{}")).await.unwrap_err();
    assert!(anonymous.to_string().contains("may not list `services` in the namespace `models`"), "{anonymous}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let place = place(true, listing()).await;
    let client = place.authority.client("me");
    fs::write(place.folder.path().join("me.pem"), &client.certificate_pem).unwrap();
    fs::write(place.folder.path().join("me.key"), &client.key_pem).unwrap();
    let user = "{client-certificate: me.pem, client-key: me.key}";
    assert_eq!(place.list(&place.access(CA, user)).await, Ok(1));
    let without = place.list(&place.access(CA, "{token: t0k}")).await.unwrap_err();
    assert!(matches!(without, ClusterError::Unreachable { .. }), "{without}");
}

#[tokio::test]
async fn a_plugin_runs_only_when_agreed_to() {
    let place = place(false, Behaviour::answer(only_with_token)).await;
    let ran = place.folder.path().join("ran");
    let script = format!("touch {}; echo '{{\"status\":{{\"token\":\"t0k\"}}}}'", ran.display());
    fs::write(place.folder.path().join("plugin.sh"), script).unwrap();
    let user =
        "{exec: {command: sh, args: [PLUGIN], apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}"
            .replace("PLUGIN", &place.folder.path().join("plugin.sh").display().to_string());
    let mut access = place.access(CA, &user);
    let error = place.list(&access).await.unwrap_err();
    assert!(matches!(&error, ClusterError::PluginNotAgreed { command, .. } if command.starts_with("sh ")), "{error}");
    assert!(!ran.exists() && place.server.requests().is_empty());
    access.run_plugin = true;
    assert_eq!(place.list(&access).await, Ok(1));
    assert!(ran.exists());
}

#[tokio::test]
async fn a_plugin_may_hand_out_a_client_certificate() {
    let place = place(true, listing()).await;
    let client = place.authority.client("me");
    let answer = json!({"status": {"clientCertificateData": client.certificate_pem, "clientKeyData": client.key_pem}});
    fs::write(place.folder.path().join("answer.json"), answer.to_string()).unwrap();
    let user = format!("{{exec: {{command: cat, args: ['{}']}}}}", place.folder.path().join("answer.json").display());
    let access = Access { run_plugin: true, ..place.access(CA, &user) };
    assert_eq!(place.list(&access).await, Ok(1));
}

#[tokio::test]
async fn certificates_are_always_verified() {
    let place = place(false, listing()).await;
    let unknown = place.list(&place.access("tls-server-name: 127.0.0.1", "{token: t0k}")).await.unwrap_err();
    assert!(matches!(unknown, ClusterError::Unreachable { .. }), "{unknown}");
    assert!(unknown.to_string().to_lowercase().contains("certificate"), "{unknown}");
    let skipped = place.list(&place.access("insecure-skip-tls-verify: true", "{token: t0k}")).await.unwrap_err();
    assert!(matches!(skipped, ClusterError::Context { .. }), "{skipped}");
    assert!(place.server.requests().is_empty());
}

#[tokio::test]
async fn what_cannot_be_used_says_why() {
    let place = place(false, listing()).await;
    let mut access = place.access(CA, "{auth-provider: {name: gcp, config: {cmd-path: touch}}}");
    assert!(place.list(&access).await.unwrap_err().to_string().contains("auth provider `gcp`"));
    access.context = Some("other".into());
    assert!(place.list(&access).await.unwrap_err().to_string().contains("no context `other`; it has `prod`"));
    access.kubeconfig = Some(place.folder.path().join("none"));
    assert!(place.list(&access).await.unwrap_err().to_string().contains("none"));
}

#[tokio::test]
async fn pages_are_followed_and_every_list_ends() {
    let page = |token: &str, names: &[&str]| {
        let items: Vec<Value> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        Reply::json(200, &json!({"metadata": {"continue": token}, "items": items}).to_string())
    };
    let script = vec![Behaviour::Reply(page("a/b+c", &["one", "two"])), Behaviour::Reply(page("", &["three"]))];
    let pages = place(false, Behaviour::Script(script)).await;
    assert_eq!(pages.list(&pages.access(CA, "{token: t0k}")).await, Ok(3));
    assert!(pages.server.requests()[1].target.contains("continue=a%2Fb%2Bc"), "{}", pages.server.requests()[1].target);
    // A server that always has more, and one that sends empty pages.
    let many: Vec<&str> = vec!["x"; 2_500];
    let endless = place(false, Behaviour::Reply(page("more", &many))).await;
    assert_eq!(endless.list(&endless.access(CA, "{token: t0k}")).await, Ok(5_000));
    let empty = place(false, Behaviour::Reply(page("more", &[]))).await;
    assert_eq!(empty.list(&empty.access(CA, "{token: t0k}")).await, Ok(0));
}

#[tokio::test]
async fn answers_of_another_form_are_told() {
    let check = async |behaviour: Behaviour, expect: &str| {
        let place = place(false, behaviour).await;
        let error = place.list(&place.access(CA, "{token: t0k}")).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
    };
    check(Behaviour::status(404, "404 page not found\n"), "has no `services`").await;
    check(Behaviour::json("<html>"), "not JSON").await;
    check(Behaviour::json("{}"), "no `items`").await;
    let failed = r#"{"kind":"Status","message":"etcdserver: request timed out","code":500}"#;
    check(Behaviour::status(500, failed), "etcdserver: request timed out").await;
    check(Behaviour::Reset, "was not reached").await;
    check(Behaviour::CloseMidBody(Reply::json(200, &"x".repeat(1_000))), "cannot be used").await;
}

#[test]
fn a_credential_that_runs_out_is_known() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let now = at("2030-01-01T00:00:00Z");
    let check = |until: Option<&str>, expect: bool| assert_eq!(is_over(until.map(at), now), expect, "{until:?}");
    check(None, false);
    check(Some("2030-01-01T00:00:10Z"), true);
    check(Some("2030-01-01T00:01:00Z"), false);
}

/// The window's runtime moves commands between threads.
#[tokio::test]
async fn calls_can_be_moved_between_threads() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let place = place(false, listing()).await;
    let access = place.access(CA, "{token: t0k}");
    let cluster = is_send(Cluster::login(&access)).await.unwrap();
    let own = Place::AllNamespaces;
    assert_eq!(is_send(cluster.list::<Value>(ResourceKind::SERVICES, &own, None)).await.unwrap().items.len(), 1);
    let to = crate::ServicePort { namespace: "models".into(), service: "iris".into(), port: 1 };
    assert!(is_send(cluster.forward(&to)).await.is_err());
}
