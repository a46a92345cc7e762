//! The secrets of a jump host: a private key, its passphrase, a password.

use super::*;
use pilothouse_tests::OpenSsh;

/// What the jump host is, for the part that runs in the session: its key's file, port, user and fingerprint.
const JUMP_HOST: &str = "PILOTHOUSE_SECRETS_JUMP_HOST";

#[test]
fn a_key_and_its_passphrase_leak_nowhere() {
    let (home, ssh) = (tempfile::tempdir().unwrap(), OpenSsh::start());
    let key_file = ssh.locked_key_file();
    let place = format!("{} {} {} {}", key_file.display(), ssh.port, ssh.user, ssh.fingerprint());
    let output = session_with(home.path(), "ssh", &[(JUMP_HOST, &place)]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("1 passed"), "the part was played: {}", text(&output));
    assert_absent(home.path(), &output);
    let key = std::fs::read_to_string(key_file).unwrap();
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(line.len() > 10 && !text(&output).contains(line), "a line of the key was printed");
        for file in files(home.path()) {
            assert!(!contains(&std::fs::read(&file).unwrap(), line), "a line of the key is in {}", file.display());
        }
    }
    assert!(ssh.logins() > 0, "the key was used: {}", ssh.log());
}

/// One endpoint behind the jump host, by a key that needs a passphrase; then by a password that is refused.
pub(super) async fn play(server: &RealServer, home: &Path) {
    let place = std::env::var(JUMP_HOST).unwrap();
    let [key_file, port, user, fingerprint] = place.split(' ').collect::<Vec<_>>()[..] else { panic!("{place}") };
    let api = Api::open(&home.join("pilothouse.db"), Secrets::keyring(), Some(home.to_owned())).unwrap();
    assert!(api.watch().await.unwrap());
    let mut answers = Answers(Vec::new());
    import_tumours(&api, None).await;
    let secret = |kind: &str| format!("jump-{kind}");
    let network = |auth| NetworkDraft::Ssh {
        host: "127.0.0.1".into(),
        port: port.parse().unwrap(),
        user: user.into(),
        auth,
        host_key: Some(fingerprint.into()),
    };
    let by_key = network(SshAuthDraft::Key { secret: secret("key"), passphrase_secret: Some(secret("passphrase")) });
    let request = |network| DetectRequest { network, ..DetectRequest::new(server.url.to_string(), AuthDraft::None) };
    let set = |kind: &str, value: &str| SecretSetRequest { name: secret(kind), value: value.into() };
    // Missing, wrong, and then right.
    answers.keep(api.detect(request(by_key.clone())).await).unwrap_err();
    let key = std::fs::read_to_string(key_file).unwrap();
    answers.keep(api.secret_set(set("key", &key)).await).unwrap();
    answers.keep(api.secret_set(set("passphrase", "another value")).await).unwrap();
    answers.keep(api.detect(request(by_key.clone())).await).ok();
    answers.keep(api.secret_set(set("passphrase", PASSPHRASE)).await).unwrap();
    let found = answers.keep(api.detect(request(by_key.clone())).await).unwrap();
    assert_eq!(found.protocol.as_deref(), Some("v2"), "{found:?}");

    let mut wanted = draft("jump", server.url.as_str(), "v2");
    wanted.model = Some("bc".into());
    wanted.golden_set = Some("tumours".into());
    wanted.network = by_key;
    let test = answers.keep(api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await).unwrap();
    assert_eq!(test.outcome, "ok", "{test:?}");
    let id = add(&api, wanted.clone()).await;
    until_row(&api, id, "it is healthy and evaluated", |row| {
        row.health == HealthWord::Healthy && row.quality.is_some()
    })
    .await;
    ask_everything(&api, id, &secret("key"), &mut answers).await;
    ask_everything(&api, id, &secret("passphrase"), &mut answers).await;

    answers.keep(api.secret_set(set("password", SSH_PASSWORD)).await).unwrap();
    wanted.network = network(SshAuthDraft::Password { secret: secret("password") });
    let refused = answers.keep(api.connect_test(ConnectTestRequest { draft: wanted }).await).unwrap();
    assert_eq!(
        (refused.outcome.as_str(), refused.reason.as_deref()),
        ("unknown", Some("tunnel_failed")),
        "{refused:?}"
    );
    assert_absent_from_the_running_program(home);
    answers.write(home);
    api.stop().await;
}
