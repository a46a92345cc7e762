//! Exec plugins: the command of a kubeconfig that hands out a credential.
//!
//! Source: Kubernetes, "Authenticating: client-go credential plugins" (`client.authentication.k8s.io/v1`). kube runs them
//! on the calling thread without a limit and lets them ask at the terminal; here they have a limit, no terminal, and are
//! ended with the call that waits for them.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::cut;

/// Limit for a plugin. Those of the clouds ask a token server and take a second or two.
const LIMIT: Duration = Duration::from_secs(20);
/// The most that is read of each of its outputs, in bytes.
const MAX_OUTPUT: u64 = 256 * 1024;

/// What a plugin answers: the part of `ExecCredential` that a client uses.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs the plugin and puts what it answered into `user`, in its place. Says until when it holds.
pub(crate) async fn run(exec: ExecConfig, user: &mut AuthInfo) -> Result<Option<Timestamp>, String> {
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err("it wants to ask at a terminal; log in there first, so that it need not ask".into());
    }
    let mut command = Command::new(exec.command.as_deref().ok_or("its entry names no command")?);
    command.args(exec.args.iter().flatten());
    for entry in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (entry.get("name"), entry.get("value")) {
            command.env(name, value);
        }
    }
    let cluster = if exec.provide_cluster_info { exec.cluster.as_ref() } else { None };
    let info = serde_json::json!({
        "apiVersion": exec.api_version,
        "kind": "ExecCredential",
        "spec": { "interactive": false, "cluster": cluster },
    });
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match (error.kind(), &exec.install_hint) {
        (std::io::ErrorKind::NotFound, Some(hint)) => format!("it is not installed. {}", cut(hint)),
        (std::io::ErrorKind::NotFound, None) => "it is not installed, or not in the `PATH`".into(),
        _ => error.to_string(),
    })?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(read(out), read(err), child.wait()) };
    let (out, err, status) =
        timeout(LIMIT, ended).await.map_err(|_| format!("it did not end within {} s", LIMIT.as_secs()))?;
    let status = status.map_err(|error| error.to_string())?;
    if !status.success() {
        // Its standard error is for people; its standard output is where credentials stand.
        let said = cut(&String::from_utf8_lossy(&err));
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        return Err(format!("{status}{said}"));
    }
    take(&out, user)
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        // A broken pipe ends the text; what came is judged by its form.
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Puts an answer's credential in the place of the plugin.
fn take(output: &[u8], user: &mut AuthInfo) -> Result<Option<Timestamp>, String> {
    // Plugins may answer in YAML, of which JSON is a part. The parser's own words would quote the answer.
    let answer: ExecCredential =
        serde_saphyr::from_slice(output).map_err(|_| "its answer is no ExecCredential".to_owned())?;
    let status = answer.status.ok_or("its answer holds no `status`")?;
    if status.token.is_none() && status.client_certificate_data.is_none() {
        return Err("its answer holds neither a token nor a client certificate".into());
    }
    if status.client_certificate_data.is_some() != status.client_key_data.is_some() {
        return Err("its answer holds only one of a client certificate and its key".into());
    }
    user.exec = None;
    user.token = status.token.map(SecretString::from);
    if let (Some(certificate), Some(key)) = (status.client_certificate_data, status.client_key_data) {
        user.client_certificate_data = Some(STANDARD.encode(certificate));
        user.client_key_data = Some(SecretString::from(STANDARD.encode(key)));
    }
    match status.expiration_timestamp {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| "its answer holds an expiry that is no time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn exec(command: &str, args: &[&str]) -> ExecConfig {
        ExecConfig {
            command: Some(command.into()),
            args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
            ..ExecConfig::default()
        }
    }

    #[test]
    fn a_token_takes_the_plugins_place() {
        let mut user = AuthInfo { exec: Some(exec("x", &[])), ..AuthInfo::default() };
        let text = r#"{"kind":"ExecCredential","status":{"token":"t0k","expirationTimestamp":"2030-01-01T00:00:00Z"}}"#;
        let until = take(text.as_bytes(), &mut user).unwrap().unwrap();
        assert_eq!((user.exec.is_none(), user.token.unwrap().expose_secret()), (true, "t0k"));
        assert_eq!(until.to_string(), "2030-01-01T00:00:00Z");
    }

    #[test]
    fn answers_that_hold_no_credential_are_refused() {
        let check = |text: &str, expect: &str| {
            let error = take(text.as_bytes(), &mut AuthInfo::default()).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "no `status`");
        check("{}", "no `status`");
        check(r#"{"status":{}}"#, "neither");
        check(r#"{"status":{"clientCertificateData":"x"}}"#, "only one");
        check(r#"{"status":{"token":"x","expirationTimestamp":"soon"}}"#, "no time");
        check("marker: [", "no ExecCredential");
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_told_in_its_own_words() {
        let mut user = AuthInfo::default();
        let error = run(exec("sh", &["-c", "echo not logged in >&2; exit 3"]), &mut user).await.unwrap_err();
        assert!(error.contains("not logged in") && error.contains('3'), "{error}");
        let missing = ExecConfig { install_hint: Some("install it so".into()), ..exec("no-such-plugin", &[]) };
        assert!(run(missing, &mut user).await.unwrap_err().contains("install it so"));
        let asks = ExecConfig { interactive_mode: Some(ExecInteractiveMode::Always), ..exec("sh", &[]) };
        assert!(run(asks, &mut user).await.unwrap_err().contains("terminal"));
    }

    #[tokio::test]
    async fn a_plugin_is_told_what_the_interface_says() {
        let script = r#"printf '{"status":{"token":"%s"}}' "$(printf '%s' "$KUBERNETES_EXEC_INFO" | tr -cd 'a-zA-Z.0-9/')$EXTRA""#;
        let mut exec = exec("sh", &["-c", script]);
        exec.api_version = Some("client.authentication.k8s.io/v1".into());
        exec.env = Some(vec![[("name", "EXTRA"), ("value", "-more")].map(|(k, v)| (k.into(), v.into())).into()]);
        let mut user = AuthInfo::default();
        run(exec, &mut user).await.unwrap();
        let token = user.token.unwrap().expose_secret().to_owned();
        assert!(token.contains("client.authentication.k8s.io/v1") && token.contains("interactivefalse"), "{token}");
        assert!(token.ends_with("-more"), "{token}");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = take(&bytes, &mut AuthInfo::default());
        }
    }
}
