//! A marker secret, kept in a real gnome-keyring and used against a real server behind a gate, leaks nowhere.
//!
//! Each test runs this program again inside a D-Bus session with an unlocked keyring and folders of its own.
#![cfg(target_os = "linux")]

mod jump_host;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pilothouse_api::types::*;
use pilothouse_api::{Api, ApiError};
use pilothouse_domain::Auth;
use pilothouse_secrets::Secrets;
use pilothouse_testkit::{BearerGate, Behaviour, FakeServer, RecordedRequest, Reply};
use pilothouse_tests::{PASSPHRASE, RealServer};

use crate::support::{LATER, add, always, draft, import_tumours, mlflow_registry, of, until, until_row};

/// Must be found nowhere but in the keyring and at the gate.
const MARKER: &str = "marker-9d1f77ab-bearer-value";
/// The same, for each other kind of credential, and a token that one of them brings.
const QUERY_KEY: &str = "marker-51b0c9e2-query-value";
const PASSWORD: &str = "marker-7c33aa18-basic-value";
const CLIENT_SECRET: &str = "marker-e04d5f96-oauth2-value";
const AWS_SECRET_KEY: &str = "marker/2a9b64d1/aws/secret/access/key000";
const TOKEN: &str = "marker-b8812c07-issued-token";
const SSH_PASSWORD: &str = "marker-0c6e47d3-ssh-password";
const MARKERS: [&str; 8] =
    [MARKER, QUERY_KEY, PASSWORD, CLIENT_SECRET, AWS_SECRET_KEY, TOKEN, PASSPHRASE, SSH_PASSWORD];
/// `ann` with her password, as Basic sends it (RFC 7617).
const BASIC: &str = "Basic YW5uOm1hcmtlci03YzMzYWExOC1iYXNpYy12YWx1ZQ==";
const PART: &str = "PILOTHOUSE_SECRETS_PART";

const SESSION: &str = "printf passphrase | gnome-keyring-daemon --unlock --components=secrets >/dev/null
exec \"$TEST\" secrets::part --exact --nocapture";

#[test]
fn a_secret_in_use_leaks_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let output = session(home.path(), "use");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("1 passed"), "the part was played: {}", text(&output));
    assert_absent(home.path(), &output);
}

#[test]
fn every_other_kind_of_secret_leaks_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let output = session(home.path(), "kinds");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("1 passed"), "the part was played: {}", text(&output));
    assert_absent(home.path(), &output);
}

#[test]
fn a_crash_tells_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let output = session(home.path(), "crash");
    assert!(text(&output).contains("a crash with everything in its message"), "{}", text(&output));
    assert_absent(home.path(), &output);
}

/// Runs one part in a session of its own.
fn session(home: &Path, part: &str) -> Output {
    session_with(home, part, &[])
}

/// The same, with further variables of the environment.
fn session_with(home: &Path, part: &str, variables: &[(&str, &str)]) -> Output {
    for name in ["data", "config", "cache", "runtime"] {
        std::fs::create_dir_all(home.join(name)).unwrap();
    }
    std::fs::set_permissions(home.join("runtime"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-e", "-c", SESSION]).stdin(Stdio::null());
    command.env("TEST", std::env::current_exe().unwrap()).env(PART, part).env("RUST_BACKTRACE", "full");
    command.envs(variables.iter().copied());
    for (variable, name) in [
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "runtime"),
    ] {
        command.env(variable, home.join(name));
    }
    for variable in ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "GNOME_KEYRING_CONTROL"] {
        command.env_remove(variable);
    }
    command.output().unwrap_or_else(|error| panic!("`dbus-run-session` (package dbus) could not be run: {error}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The marker is neither in what was printed nor in any file: database, WAL, log at its most talkative, exports, keyring.
fn assert_absent(home: &Path, output: &Output) {
    for marker in MARKERS.iter().chain([&BASIC]) {
        assert!(!text(output).contains(marker), "{marker} was printed");
    }
    let files = files(home);
    for wanted in ["pilothouse.db", "trace.log", "answers.json"] {
        assert!(files.iter().any(|file| file.ends_with(wanted)), "{wanted} is among {files:?}");
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for marker in MARKERS.iter().chain([&BASIC]) {
            assert!(!contains(&bytes, marker), "{marker} is in {}", file.display());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let plain = files.into_iter().filter(|path| path.is_file());
    plain.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What runs inside the session; without one there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let home = PathBuf::from(std::env::var_os("XDG_DATA_HOME").unwrap());
    let log = std::fs::File::create(home.join("trace.log")).unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log)
        .with_ansi(false)
        .init();

    let server = RealServer::mlserver();
    if part == "kinds" {
        Box::pin(every_kind(&server, &home)).await;
        return;
    }
    if part == "ssh" {
        Box::pin(jump_host::play(&server, &home)).await;
        return;
    }
    let gate = BearerGate::start(&server.url, MARKER).await;
    let database = home.join("pilothouse.db");
    let api = Api::open(&database, Secrets::keyring(), Some(home.clone())).unwrap();
    assert!(api.watch().await.unwrap());
    let mut answers = Answers(Vec::new());

    let name = "gate-token".to_owned();
    let auth = AuthDraft::Bearer { secret: name.clone() };
    let detect = |auth: AuthDraft| DetectRequest::new(gate.url().to_string(), auth);
    let found = answers.keep(api.detect(detect(AuthDraft::None)).await).unwrap();
    assert!(found.needs_auth);
    // Missing, wrong, and then right.
    answers.keep(api.detect(detect(auth.clone())).await).unwrap_err();
    let set = |value: &str| SecretSetRequest { name: name.clone(), value: value.into() };
    answers.keep(api.secret_set(set("another value")).await).unwrap();
    assert!(answers.keep(api.detect(detect(auth.clone())).await).unwrap().needs_auth);
    let entry = answers.keep(api.secret_set(set(MARKER)).await).unwrap();
    assert_eq!(entry.state, SecretState::Present);
    assert_eq!(answers.keep(api.detect(detect(auth.clone())).await).unwrap().protocol.as_deref(), Some("v2"));

    import_tumours(&api, None).await;
    let mut wanted = draft("bc", gate.url().as_str(), "v2");
    wanted.model = Some("bc".into());
    wanted.golden_set = Some("tumours".into());
    wanted.auth = auth.clone();
    // The gate is no registry: its refusals are answers that could quote what was sent.
    wanted.control_plane = match mlflow_registry(gate.url().as_str(), None) {
        ControlPlaneDraft::Mlflow { url, model, alias, reload, .. } => {
            Some(ControlPlaneDraft::Mlflow { url, model, alias, auth: auth.clone(), reload })
        }
        ControlPlaneDraft::Demo { .. } => None,
    };
    let test = answers.keep(api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await).unwrap();
    assert_eq!(test.outcome, "ok", "{test:?}");
    let id = add(&api, wanted).await;
    until_row(&api, id, "it is healthy and evaluated", |row| {
        row.health == HealthWord::Healthy && row.quality.is_some()
    })
    .await;
    assert!(gate.requests().iter().any(|request| request.mentions(MARKER)), "the secret was used");

    if part == "crash" {
        answers.write(&home);
        let auth = Auth::Bearer { secret: name };
        let credential = api.engine().credential(&auth).await.unwrap();
        let endpoint = api.engine().endpoint(pilothouse_domain::EndpointId(id)).await.unwrap();
        panic!("a crash with everything in its message: {credential:?} {endpoint:?} {:?}", api.engine().secrets());
    }

    ask_everything(&api, id, &name, &mut answers).await;
    assert_absent_from_the_running_program(&home);
    // The gate closes: failures of connecting are told as well.
    drop(gate);
    until_row(&api, id, "it is down", |row| row.health == HealthWord::Down).await;
    answers.keep(api.evaluate_now(of(id)).await).unwrap_err();
    ask_everything(&api, id, &name, &mut answers).await;
    let wrong = SecretSetRequest { name: "not a name\u{0}".into(), value: MARKER.into() };
    answers.keep(api.secret_set(wrong).await).unwrap_err();
    let entry = answers.keep(api.secret_forget(SecretRequest { name }).await).unwrap();
    assert_eq!(entry.state, SecretState::Missing);
    answers.write(&home);
    api.stop().await;
}

/// While a database is open its WAL holds what is new.
fn assert_absent_from_the_running_program(home: &Path) {
    let database = ["", "-wal", "-shm"].map(|suffix| home.join(format!("pilothouse.db{suffix}")));
    for file in database.into_iter().chain(["/proc/self/cmdline", "/proc/self/environ"].map(PathBuf::from)) {
        let bytes = std::fs::read(&file).unwrap();
        for marker in MARKERS {
            assert!(!contains(&bytes, marker), "{marker} is in {}", file.display());
        }
    }
}

/// One endpoint after the other, each with a credential of another kind before the same real server.
async fn every_kind(server: &RealServer, home: &Path) {
    let tokens = token_server().await;
    let api = Api::open(&home.join("pilothouse.db"), Secrets::keyring(), Some(home.to_owned())).unwrap();
    assert!(api.watch().await.unwrap());
    let mut answers = Answers(Vec::new());
    import_tumours(&api, None).await;
    let secret = |kind: &str| format!("{kind}-secret");
    let kinds: [(&str, &str, AuthDraft); 4] = [
        ("query", QUERY_KEY, AuthDraft::Query { name: "api-key".into(), secret: secret("query") }),
        ("basic", PASSWORD, AuthDraft::Basic { username: "ann".into(), secret: secret("basic") }),
        (
            "oauth2",
            CLIENT_SECRET,
            AuthDraft::Oauth2 {
                token_url: tokens.at("/token").to_string(),
                client_id: "pilothouse".into(),
                secret: secret("oauth2"),
                scopes: "predict".into(),
                audience: None,
                client_auth: ClientAuthWord::Body,
            },
        ),
        (
            "aws",
            AWS_SECRET_KEY,
            AuthDraft::AwsSigv4 {
                region: "eu-west-1".into(),
                service: "sagemaker".into(),
                source: AwsSourceDraft::Static {
                    access_key_id: "AKIAEXAMPLE000000000".into(),
                    secret: secret("aws"),
                    session_token_secret: None,
                },
                assume_role: None,
            },
        ),
    ];
    for (kind, value, auth) in kinds {
        let gate = BearerGate::demanding(&server.url, move |request| admits(kind, request)).await;
        let request = || DetectRequest::new(gate.url().to_string(), auth.clone());
        let set = |value: &str| SecretSetRequest { name: secret(kind), value: value.into() };
        // Missing, wrong, and then right.
        answers.keep(api.detect(request()).await).unwrap_err();
        answers.keep(api.secret_set(set("another value")).await).unwrap();
        answers.keep(api.detect(request()).await).ok();
        answers.keep(api.secret_set(set(value)).await).unwrap();
        let found = answers.keep(api.detect(request()).await).unwrap();
        assert_eq!(found.protocol.as_deref(), Some("v2"), "{kind}: {found:?}");
        let mut wanted = draft(kind, gate.url().as_str(), "v2");
        wanted.model = Some("bc".into());
        wanted.golden_set = Some("tumours".into());
        wanted.auth = auth.clone();
        let test = answers.keep(api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await).unwrap();
        assert_eq!(test.outcome, "ok", "{kind}: {test:?}");
        let id = add(&api, wanted).await;
        until_row(&api, id, "it is healthy and evaluated", |row| {
            row.health == HealthWord::Healthy && row.quality.is_some()
        })
        .await;
        ask_everything(&api, id, &secret(kind), &mut answers).await;
        assert_absent_from_the_running_program(home);
        drop(gate);
        until_row(&api, id, "it is down", |row| row.health == HealthWord::Down).await;
        ask_everything(&api, id, &secret(kind), &mut answers).await;
    }
    let asked = tokens.requests();
    assert!(asked.iter().any(|request| request.mentions(CLIENT_SECRET)), "the client's secret was used");
    answers.write(home);
    api.stop().await;
}

/// Whether a request has the right credential of this kind.
fn admits(kind: &str, request: &RecordedRequest) -> bool {
    let authorization = request.header("authorization").unwrap_or_default();
    match kind {
        "query" => request.target.contains(&format!("api-key={QUERY_KEY}")),
        "basic" => authorization == BASIC,
        "oauth2" => authorization == format!("Bearer {TOKEN}"),
        // Whether signatures are right is asked of a server that knows: see `stacks::sagemaker`.
        _ => authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE000000000/"),
    }
}

/// Issues a token for the right secret, and repeats a wrong request whole, as careless servers do.
async fn token_server() -> FakeServer {
    FakeServer::start(Behaviour::answer(|request| {
        let answer = if request.mentions(CLIENT_SECRET) {
            serde_json::json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3_600 })
        } else {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            return Reply::json(
                401,
                &serde_json::json!({ "error": "invalid_client", "error_description": body }).to_string(),
            )
            .into();
        };
        Behaviour::json(&answer.to_string())
    }))
    .await
}

/// Every command that tells something, with its answer or its error.
async fn ask_everything(api: &Api, id: i64, name: &str, answers: &mut Answers) {
    answers.keep(api.fleet(FleetRequest::default()).await).unwrap();
    answers.keep(api.endpoint(of(id)).await).unwrap();
    answers.keep(api.health_summary(always(id)).await).unwrap();
    answers.keep(api.quality(always(id)).await).unwrap();
    answers.keep(api.versions(of(id)).await).ok();
    answers.keep(api.rollback_plan(RollbackPlanRequest { id, to: Some("1".into()) }).await).unwrap_err();
    answers.keep(api.rollback_runs(of(id)).await).unwrap();
    answers.keep(api.probe_now(of(id)).await).unwrap();
    answers.keep(api.secrets(Empty {}).await).unwrap();
    answers.keep(api.secret_state(SecretRequest { name: name.into() }).await).unwrap();
    answers.keep(api.settings(Empty {}).await).unwrap();
    answers.keep(api.golden_sets(Empty {}).await).unwrap();
    let range = TimelineRequest { id: None, from_ms: 0, to_ms: i64::MAX / 4, limit: 1_000 };
    let timeline = answers.keep(api.timeline(range).await).unwrap();
    assert!(!timeline.events.is_empty());
    let audit = answers.keep(api.audit(AuditRequest { limit: 1_000, before: None }).await).unwrap();
    assert!(audit.entries.iter().any(|entry| entry.action == "secret.set"));
    let rows = GoldenRowsRequest { id, preset: RowPreset::All, search: String::new(), offset: 0, limit: 5 };
    answers.keep(api.golden_rows(rows).await).unwrap();
    let explain = ExplainRequest { id, index: Some(0), cells: None, output: None, budget: Some(500), seed: 1 };
    if let Ok(started) = answers.keep(api.explain_start(explain).await) {
        let job = JobRequest { job: started.job };
        let over = until("the explanation is over", LATER, async || {
            let job = api.explain_job(job.clone()).await.unwrap();
            (!matches!(job, ExplainJob::Running { .. })).then_some(job)
        });
        answers.keep(Ok(over.await)).unwrap();
    }
}

/// All that the engine answered, as a consumer would export it.
struct Answers(Vec<String>);

impl Answers {
    fn keep<T: serde::Serialize>(&mut self, answer: Result<T, ApiError>) -> Result<T, ApiError> {
        let text = match &answer {
            Ok(answer) => serde_json::to_string(answer).unwrap(),
            Err(error) => format!("{} {error} {error:?}", serde_json::to_string(error).unwrap()),
        };
        for marker in MARKERS {
            assert!(!text.contains(marker), "{marker} is in an answer: {text}");
        }
        self.0.push(text);
        answer
    }

    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("answers.json"), self.0.join("\n")).unwrap();
    }
}
