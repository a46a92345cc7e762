//! Models behind a real OpenSSH server.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_api::types::{
    AuthDraft, ConnectTestRequest, DetectRequest, HealthWord, MetricsDraft, NetworkDraft, SecretSetRequest,
    SshAuthDraft, SshHostKeyRequest, SshHostKeyStanding,
};
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::network::{SshAuth, SshJump};
use pilothouse_domain::{Network, Outcome, ProbeConfig, Protocol, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{ControlCall, Credential, ModelClient, ProbeReport, Transport, TransportConfig};
use pilothouse_testkit::{Authority, Behaviour, FakeServer, Validity, quick_probe_config, target, wait_until};
use pilothouse_tests::{OpenSsh, PASSPHRASE, RealServer};
use secrecy::SecretString;

use crate::support::{LATER, add, always, draft, open, until, until_row};

/// The way through `server`, whose key is trusted, by its key file.
fn jump(server: &OpenSsh) -> SshJump {
    SshJump {
        host: "127.0.0.1".into(),
        port: server.port,
        user: server.user.clone(),
        auth: SshAuth::KeyFile { path: server.key_file(), passphrase_secret: None },
        host_key: Some(server.fingerprint()),
    }
}

struct Behind {
    transport: Arc<Transport>,
    client: ModelClient,
}

fn behind(base: &Arc<Transport>, jump: &SshJump, model: &Target) -> Behind {
    let model = Target { network: Network::Ssh(Box::new(jump.clone())), ..model.clone() };
    let mut secrets = BTreeMap::from([("passphrase".to_owned(), SecretString::from(PASSPHRASE))]);
    secrets.insert("password".to_owned(), SecretString::from("no password is right"));
    let transport = base.by_way_of(&model.network, &secrets).unwrap();
    // A debug build takes its time for the passphrase of a key.
    let probe = ProbeConfig { connect_timeout_ms: 15_000, total_timeout_ms: 20_000, ..quick_probe_config() };
    let client = ModelClient::new(Arc::clone(&transport), &model, &probe, Credential::None, None).unwrap();
    Behind { transport, client }
}

fn base() -> Arc<Transport> {
    Transport::new(TransportConfig { system_proxy: false })
}

async fn model() -> (FakeServer, Target) {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let model = model_of(&server);
    (server, model)
}

fn model_of(server: &FakeServer) -> Target {
    Target { model: Some("m".into()), ..target(server.url(), Protocol::OpenInference) }
}

async fn probe_once(jump: &SshJump, model: &Target) -> ProbeReport {
    behind(&base(), jump, model).client.probe(true).await
}

fn is_ours(report: &ProbeReport, words: &str) {
    assert_eq!(report.outcome, Outcome::Unknown(UnknownReason::TunnelFailed), "{report:?}");
    assert!(report.detail.as_ref().unwrap().contains(words), "{words}: {report:?}");
}

/// The whole engine: found, tried, watched and its metrics read through the jump host; whose failure is whose.
#[tokio::test]
async fn a_real_mlserver_is_watched_through_a_jump_host() {
    let (mut server, mut ssh) = (RealServer::mlserver(), OpenSsh::start());
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());

    let asked = SshHostKeyRequest { host: "127.0.0.1".into(), port: ssh.port };
    let shown = api.ssh_host_key(asked).await.unwrap();
    assert_eq!((shown.algorithm.as_str(), shown.standing), ("ssh-ed25519", SshHostKeyStanding::Unknown));
    let key = std::fs::read_to_string(ssh.locked_key_file()).unwrap();
    for (name, value) in [("jump-key", key.as_str()), ("jump-passphrase", PASSPHRASE)] {
        api.secret_set(SecretSetRequest { name: name.into(), value: value.into() }).await.unwrap();
    }
    let network = NetworkDraft::Ssh {
        host: "127.0.0.1".into(),
        port: ssh.port,
        user: ssh.user.clone(),
        auth: SshAuthDraft::Key { secret: "jump-key".into(), passphrase_secret: Some("jump-passphrase".into()) },
        host_key: Some(shown.fingerprint),
    };
    let request =
        DetectRequest { network: network.clone(), ..DetectRequest::new(server.url.to_string(), AuthDraft::None) };
    let found = api.detect(request).await.unwrap();
    assert_eq!(found.protocol.as_deref(), Some("v2"), "{found:?}");

    let mut wanted = draft("bc", server.url.as_str(), "v2");
    wanted.model = Some("bc".into());
    wanted.network = network;
    let test = api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await.unwrap();
    assert_eq!(test.outcome, "ok", "{test:?}");
    assert!(test.phases_us.tunnel.is_some() && test.phases_us.connect.is_none(), "{test:?}");
    let page = server.metrics_url.clone().unwrap().into();
    wanted.metrics = Some(MetricsDraft::Scrape { url: page, interval_ms: 1_000, send_credential: false });

    let id = add(&api, wanted).await;
    until_row(&api, id, "it is healthy", |row| row.health == HealthWord::Healthy).await;
    let told = async || {
        let told = api.server_metrics(always(id)).await.unwrap();
        told.quantities.iter().any(|quantity| quantity.value.is_some()).then_some(())
    };
    until("its metrics are told", LATER, told).await;
    let logins = ssh.logins();
    ssh.kill();
    until_row(&api, id, "nobody knows", |row| row.health == HealthWord::Unknown).await;
    ssh.start_again();
    until_row(&api, id, "it is healthy again", |row| row.health == HealthWord::Healthy).await;
    server.kill();
    until_row(&api, id, "it is down", |row| row.health == HealthWord::Down).await;
    assert!((logins + 1..=logins + 2).contains(&ssh.logins()), "one session for everything: {}", ssh.log());
    api.stop().await;
}

#[tokio::test]
async fn endpoints_behind_one_host_share_a_session() {
    let ssh = OpenSsh::start();
    let ((one, model), (_other, other_model)) = (model().await, model().await);
    let base = base();
    let (first, second) = (behind(&base, &jump(&ssh), &model), behind(&base, &jump(&ssh), &other_model));
    for _ in 0..3 {
        for client in [&first.client, &second.client] {
            let report = client.probe(true).await;
            assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
            let phases = report.phases;
            assert!(phases.tunnel.is_some() && phases.wait.is_some(), "{report:?}");
            assert_eq!((phases.dns, phases.connect, phases.tls), (None, None, None), "{report:?}");
        }
    }
    assert_eq!(ssh.logins(), 1, "{}", ssh.log());
    let kept = first.client.probe(false).await;
    assert_eq!((kept.outcome, kept.reused, kept.phases.tunnel), (Outcome::Ok, true, None));
    // Control planes and token servers take the same way.
    let call = ControlCall {
        method: &http::Method::GET,
        url: one.url(),
        headers: &[],
        body: None,
        credential: None,
        time_limit: Duration::from_secs(10),
        max_answer_bytes: 1_000,
    };
    let answer = second.transport.control_client(&Tls::default(), None).call(&call).await;
    assert_eq!((answer.status, answer.phases.connect, ssh.logins()), (Some(200), None, 1), "{answer:?}");
}

#[tokio::test]
async fn tls_goes_through_to_the_server_and_names_are_resolved_there() {
    let (ssh, folder, authority) = (OpenSsh::start(), tempfile::tempdir().unwrap(), Authority::new());
    let certificate = authority.server(&["127.0.0.1", "localhost"], Validity::Valid);
    let server = FakeServer::start_tls(Behaviour::status(200, ""), &certificate).await;
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let mut model = model_of(&server);
    model.tls.ca_file = Some(file);
    model.url.set_host(Some("localhost")).unwrap();
    let report = probe_once(&jump(&ssh), &model).await;
    assert!(report.outcome == Outcome::Ok && report.phases.tls.is_some(), "{report:?}");
    assert_eq!(report.phases.dns, None, "the jump host resolves: {report:?}");
    model.tls.ca_file = None;
    let report = probe_once(&jump(&ssh), &model).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::CertificateInvalid), "{report:?}");
    model.url.set_host(Some("no-such-host.invalid")).unwrap();
    let report = probe_once(&jump(&ssh), &model).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::Unreachable), "{report:?}");
}

#[tokio::test]
async fn every_way_to_log_in() {
    let ssh = OpenSsh::start();
    let (_server, model) = model().await;
    let by = |auth| SshJump { auth, ..jump(&ssh) };
    let agent = ssh.agent();
    let report = probe_once(&by(SshAuth::Agent { socket: Some(agent.socket.clone()) }), &model).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    drop(agent);
    let gone = SshAuth::Agent { socket: Some(ssh.key_file().with_file_name("no-agent")) };
    is_ours(&probe_once(&by(gone), &model).await, "no SSH agent");

    let key_file = |path, passphrase: Option<&str>| {
        by(SshAuth::KeyFile { path, passphrase_secret: passphrase.map(str::to_owned) })
    };
    let report = probe_once(&key_file(ssh.locked_key_file(), Some("passphrase")), &model).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    for (unusable, words) in [
        (key_file(ssh.locked_key_file(), None), "needs a passphrase"),
        (key_file(ssh.locked_key_file(), Some("password")), "passphrase is wrong"),
        (key_file("/no/such/file".into(), None), "No such file"),
    ] {
        let report = probe_once(&unusable, &model).await;
        assert_eq!(report.outcome, Outcome::Unknown(UnknownReason::Misconfigured), "{report:?}");
        assert!(report.detail.as_ref().unwrap().contains(words), "{words}: {report:?}");
    }

    is_ours(&probe_once(&key_file(ssh.stranger_key_file(), None), &model).await, "does not accept the private key");
    let password = by(SshAuth::Password { secret: "password".into() });
    is_ours(&probe_once(&password, &model).await, "does not accept the password");
    let nobody = SshJump { user: "no-such-user".into(), ..jump(&ssh) };
    is_ours(&probe_once(&nobody, &model).await, "does not accept the private key");
    assert_eq!(ssh.logins(), 2, "{}", ssh.log());
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_at_once() {
    let ssh = OpenSsh::start();
    let (_server, model) = model().await;
    let auth = SshAuth::KeyFile { path: ssh.stranger_key_file(), passphrase_secret: None };
    let through = behind(&base(), &SshJump { auth, ..jump(&ssh) }, &model);
    for _ in 0..5 {
        is_ours(&through.client.probe(true).await, "does not accept");
    }
    assert_eq!(ssh.log().matches("Failed publickey for ").count(), 1, "{}", ssh.log());
}

#[tokio::test]
async fn only_a_trusted_key_is_spoken_to() {
    let ssh = OpenSsh::start();
    let (server, model) = model().await;
    let pinned = |key: String| SshJump { host_key: Some(key), ..jump(&ssh) };
    let changed = probe_once(&pinned(format!("SHA256:{}", "A".repeat(43))), &model).await;
    is_ours(&changed, "another key than the trusted one");
    is_ours(&changed, &ssh.fingerprint());
    assert_eq!((ssh.logins(), server.connections()), (0, 0));
    // A host has a key of each algorithm; the fingerprint of any of them will do.
    let report = probe_once(&pinned(ssh.other_fingerprint()), &model).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
}

const PART: &str = "PILOTHOUSE_SSH_PART";

/// `~/.ssh/known_hosts` is that of a home folder of its own: the test runs again in it.
#[test]
fn known_hosts_are_believed() {
    let home = tempfile::tempdir().unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["ssh::known_hosts_part", "--exact", "--nocapture"]).env("HOME", home.path()).env(PART, "1");
    let output = again.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed") && text.contains("played"), "{text}");
}

/// What runs in that home folder; elsewhere there is nothing to do.
#[tokio::test]
async fn known_hosts_part() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let folder = std::env::home_dir().unwrap().join(".ssh");
    std::fs::create_dir(&folder).unwrap();
    let write = |text: &str| std::fs::write(folder.join("known_hosts"), text).unwrap();
    let ssh = OpenSsh::start();
    let (server, model) = model().await;
    let by_files = SshJump { host_key: None, ..jump(&ssh) };
    let key = ssh.known_hosts();
    let (_, only_key) = key.lines().next().unwrap().split_once(' ').unwrap();

    // No file, and one that names another host.
    let unknown = probe_once(&by_files, &model).await;
    is_ours(&unknown, "not known here");
    is_ours(&unknown, &ssh.fingerprint());
    write(&format!("other.example {only_key}\n"));
    is_ours(&probe_once(&by_files, &model).await, "not known here");
    let other = OpenSsh::start();
    write(&other.known_hosts().replace(&other.port.to_string(), &ssh.port.to_string()));
    is_ours(&probe_once(&by_files, &model).await, "another key than the trusted one");
    write(&format!("{key}@revoked *:{} {only_key}\n", ssh.port));
    is_ours(&probe_once(&by_files, &model).await, "revoked");
    assert_eq!((ssh.logins(), server.connections()), (0, 0));

    for text in [key.clone(), format!("*:{} {only_key}", ssh.port), key.lines().nth(1).unwrap().to_owned()] {
        write(&text);
        let report = probe_once(&by_files, &model).await;
        assert_eq!(report.outcome, Outcome::Ok, "{text}: {report:?}");
    }
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(folder.join("known_hosts")).status().unwrap();
    assert!(hashed.success());
    assert!(!std::fs::read_to_string(folder.join("known_hosts")).unwrap().contains("127.0.0.1"));
    assert_eq!(probe_once(&by_files, &model).await.outcome, Outcome::Ok);
    println!("played");
}

#[tokio::test]
async fn whose_failure_it_is() {
    let mut ssh = OpenSsh::start();
    let (server, model) = model().await;
    let through = behind(&base(), &jump(&ssh), &model);
    assert_eq!(through.client.probe(false).await.outcome, Outcome::Ok);

    // The jump host goes, and comes back.
    ssh.kill();
    is_ours(&through.client.probe(false).await, "jump host");
    ssh.start_again();
    assert_eq!(through.client.probe(false).await.outcome, Outcome::Ok);
    // It starts anew while nobody looks: no check fails for it.
    ssh.kill();
    ssh.start_again();
    let report = through.client.probe(true).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");

    // It goes while the server thinks.
    let before = server.requests().len();
    server.set(Behaviour::Hang);
    let probing = through.client.probe(true);
    let killing = async {
        assert!(wait_until(LATER, || server.requests().len() > before).await, "the request arrived");
        ssh.kill();
    };
    let (report, ()) = tokio::join!(probing, killing);
    is_ours(&report, "jump host");

    // The server is slow, and then it goes.
    ssh.start_again();
    let report = through.client.probe(true).await;
    assert!(matches!(report.outcome, Outcome::TargetFailed(_)), "{report:?}");
    drop(server);
    let report = through.client.probe(true).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::Unreachable), "{report:?}");

    let strict = OpenSsh::start_with("AllowTcpForwarding no");
    is_ours(&probe_once(&jump(&strict), &model).await, "does not let");
    // Something else listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closing = std::thread::spawn(move || drop(listener.accept()));
    is_ours(&probe_once(&SshJump { port, ..jump(&ssh) }, &model).await, "does an SSH server listen there?");
    closing.join().unwrap();
}
