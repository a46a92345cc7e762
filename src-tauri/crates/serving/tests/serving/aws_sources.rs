//! AWS access keys from the environment and from the shared files, as the AWS tools themselves find them.
//!
//! Both are read from this process's environment, which a test must not change for its neighbours: each case runs this
//! program again with one of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use pilothouse_domain::{Auth, Outcome, UnknownReason};
use pilothouse_serving::Credential;
use pilothouse_testkit::{Behaviour, FakeServer, quick_probe_config};
use serde_json::{Value, json};

use crate::support::{client_with, ours, ready_target};

const PART: &str = "PILOTHOUSE_AWS_SOURCE";
const SECRET: &str = "marker/aws/secret/key/0123456789abcdefgh";

/// Runs [`part`] with this environment and nothing else of AWS. `source` is where keys come from, `key` the access key with
/// which the request was signed; `None`: no request was made, since there are no keys.
fn check(environment: &[(&str, &str)], files: &Path, source: &Value, key: Option<&str>) {
    let mut command = Command::new(std::env::current_exe().expect("the test knows its own path"));
    command.args(["aws_sources::part", "--exact", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_CONFIG_FILE", files.join("config"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", files.join("credentials"));
    command.env("HOME", files).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env(PART, json!({ "source": source, "key": key }).to_string()).envs(environment.iter().copied());
    let output = command.output().expect("the test can be run again");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{source}: {text}");
    assert!(!text.contains("marker"), "{source}: {text}");
}

/// What runs in the environment of a case; without one there is nothing to do.
#[tokio::test]
async fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let part: Value = serde_json::from_str(&part).unwrap();
    let auth = json!({ "kind": "aws_sigv4", "region": "eu-west-1", "service": "sagemaker", "source": part["source"] });
    let auth: Auth = serde_json::from_value(auth).unwrap();
    let credential = Credential::resolve(&auth, &BTreeMap::new()).unwrap();
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let report = client_with(&ready_target(&server), &quick_probe_config(), credential).probe(false).await;
    let requests = server.requests();
    if let Some(key) = part["key"].as_str() {
        assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
        let authorization = requests[0].header("authorization").unwrap_or_default();
        assert!(authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={key}/")), "{authorization}");
        let session = requests[0].header("x-amz-security-token");
        assert_eq!(session.is_some(), key.ends_with("SESSION"), "a session token goes along where there is one");
    } else {
        assert_eq!((report.outcome, requests.len()), (ours(UnknownReason::Misconfigured), 0), "{report:?}");
        let detail = report.detail.unwrap();
        let place = part["source"]["name"].as_str().unwrap_or("AWS_ACCESS_KEY_ID");
        assert!(detail.contains(place) && detail.contains("no AWS credentials from"), "{detail}");
    }
}

#[test]
fn the_environment_gives_keys() {
    let folder = tempfile::tempdir().unwrap();
    let source = json!({ "from": "environment" });
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    check(&keys, folder.path(), &source, Some("AKIAENVIRONMENT"));
    let [id, secret] = keys;
    let temporary = [("AWS_ACCESS_KEY_ID", "ASIASESSION"), secret, ("AWS_SESSION_TOKEN", "marker-session")];
    check(&temporary, folder.path(), &source, Some("ASIASESSION"));
    check(&[], folder.path(), &source, None);
    check(&[id], folder.path(), &source, None);
}

#[test]
fn the_shared_files_give_the_keys_of_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "credentials",
        &format!(
            "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = {SECRET}\n\n\
             [watch]\naws_access_key_id = ASIASESSION\naws_secret_access_key = {SECRET}\naws_session_token = marker-token\n"
        ),
    );
    write("config", "[profile half]\nregion = eu-west-1\n");
    let profile = |name: &str| json!({ "from": "profile", "name": name });
    check(&[], folder.path(), &profile("default"), Some("AKIADEFAULT"));
    check(&[], folder.path(), &profile("watch"), Some("ASIASESSION"));
    // The environment does not answer for a profile that was named.
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    check(&keys, folder.path(), &profile("default"), Some("AKIADEFAULT"));
    check(&[], folder.path(), &profile("half"), None);
    check(&[], folder.path(), &profile("nobody"), None);
}

#[cfg(unix)]
#[test]
fn a_program_gives_the_keys_of_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let answer = json!({ "Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": SECRET });
    std::fs::write(folder.path().join("answer.json"), answer.to_string()).unwrap();
    let program = format!("[profile sso]\ncredential_process = cat {}/answer.json\n", folder.path().display());
    std::fs::write(folder.path().join("config"), program).unwrap();
    check(&[], folder.path(), &json!({ "from": "profile", "name": "sso" }), Some("AKIAPROGRAM"));
}
