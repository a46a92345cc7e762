//! The secrets against a real gnome-keyring, on a D-Bus session and in a home directory of their own.
//!
//! Each test starts `dbus-run-session -- sh` with a script that starts the keyring daemon and then this test binary
//! again, with the name of the part to play in `PILOTHOUSE_KEYRING_PART`. The session ends with its script, so nothing is left.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure inside a test's own steps should stop it where it is")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pilothouse_secrets::{ExposeSecret, KeyringState, SecretError, SecretState, SecretString, Secrets};

const PART: &str = "PILOTHOUSE_KEYRING_PART";

/// A value that must not be found on disk in the clear.
const MARKER: &str = "marker-5e1d0c6b-plain-value";

const UNLOCKED: &str = "printf passphrase | gnome-keyring-daemon --unlock --components=secrets >/dev/null";

/// Runs `script`, which plays one or more parts with `"$TEST" PART`, inside a session of its own.
fn session(home: &Path, script: &str) -> Output {
    for tool in ["dbus-run-session", "gnome-keyring-daemon"] {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
        assert!(
            found,
            "`{tool}` is missing: install it with `sudo apt-get install dbus dbus-x11 gnome-keyring`, then run again"
        );
    }
    let folder = |name: &str| {
        let path = home.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let play = format!("play() {{ {PART}=$1 \"$TEST\" part --exact --nocapture --test-threads=1; }}\n");
    let mut command = Command::new("dbus-run-session");
    command
        .args(["--", "sh", "-e", "-c", &format!("{play}{script}")])
        .env("TEST", std::env::current_exe().unwrap())
        .env("HOME", home)
        .env("XDG_DATA_HOME", folder("data"))
        .env("XDG_CONFIG_HOME", folder("config"))
        .env("XDG_CACHE_HOME", folder("cache"))
        .env("XDG_RUNTIME_DIR", folder("runtime"))
        // No prompt can appear on a display of whoever runs the tests.
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("GNOME_KEYRING_CONTROL");
    std::fs::set_permissions(home.join("runtime"), std::fs::Permissions::from_mode(0o700)).unwrap();
    command.output().unwrap()
}

fn passes(home: &Path, script: &str) {
    let output = session(home, script);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    // A filter that matches no test also succeeds; the part must really have been played.
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
}

#[test]
fn values_are_kept_in_the_keyring() {
    let home = tempfile::tempdir().unwrap();
    passes(home.path(), &format!("{UNLOCKED}\nplay round_trip"));
    // The login keyring was written, and without the value in the clear.
    let keyrings = home.path().join("data/keyrings");
    let files: Vec<_> = std::fs::read_dir(keyrings).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.extension().is_some_and(|end| end == "keyring")), "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()), "{}", file.display());
    }
}

#[test]
fn values_survive_the_session() {
    let home = tempfile::tempdir().unwrap();
    passes(home.path(), &format!("{UNLOCKED}\nplay store"));
    passes(home.path(), &format!("{UNLOCKED}\nplay find"));
}

#[test]
fn a_locked_keyring_answers_without_a_freeze() {
    let home = tempfile::tempdir().unwrap();
    passes(home.path(), &format!("{UNLOCKED}\nplay store"));
    // A new session whose keyring nobody unlocks.
    passes(home.path(), "gnome-keyring-daemon --start --components=secrets >/dev/null\nplay locked");
}

#[test]
fn a_restarted_keyring_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    passes(home.path(), &format!("{UNLOCKED}\nplay restart"));
}

#[test]
fn without_a_session_bus_there_is_no_keyring() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = format!("export DBUS_SESSION_BUS_ADDRESS=unix:path={}/nowhere\nplay no_bus", home.path().display());
    passes(home.path(), &nowhere);
    // Neither an address nor a socket where one is expected.
    passes(home.path(), "unset DBUS_SESSION_BUS_ADDRESS\nplay no_bus");
}

#[test]
fn questions_leave_no_connection_behind() {
    let home = tempfile::tempdir().unwrap();
    passes(home.path(), &format!("{UNLOCKED}\nplay questions"));
}

/// Plays one part inside a session; without one there is nothing to do.
#[tokio::test]
async fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let secrets = Secrets::keyring();
    match part.as_str() {
        "round_trip" => round_trip(&secrets).await,
        "store" => secrets.set("kept", value(MARKER)).await.unwrap(),
        "find" => {
            assert_eq!(secrets.state("kept").await, SecretState::Present);
            assert_eq!(read(&secrets, "kept").await.unwrap(), MARKER);
        }
        "locked" => locked(&secrets).await,
        "restart" => restart(&secrets).await,
        "questions" => questions(&secrets).await,
        "no_bus" => no_bus(&secrets).await,
        other => panic!("no part `{other}`"),
    }
}

fn value(value: &str) -> SecretString {
    SecretString::from(value)
}

async fn read(secrets: &Secrets, name: &str) -> Result<String, SecretError> {
    secrets.get(name).await.map(|value| value.expose_secret().to_owned())
}

async fn round_trip(secrets: &Secrets) {
    assert_eq!(secrets.availability().await, KeyringState::Unlocked);
    assert_eq!(secrets.state("token").await, SecretState::Missing);
    assert_eq!(read(secrets, "token").await, Err(SecretError::Missing { name: "token".into() }));
    secrets.forget("token").await.unwrap();

    secrets.set("token", value("first")).await.unwrap();
    assert_eq!(secrets.state("token").await, SecretState::Present);
    assert_eq!(read(secrets, "token").await.unwrap(), "first");
    secrets.set("token", value("größer 🔑")).await.unwrap();
    assert_eq!(read(secrets, "token").await.unwrap(), "größer 🔑");
    // Another handle, with nothing in memory, finds the same.
    assert_eq!(read(&Secrets::keyring(), "token").await.unwrap(), "größer 🔑");
    assert_eq!(read(secrets, "token2").await, Err(SecretError::Missing { name: "token2".into() }));

    secrets.forget("token").await.unwrap();
    assert_eq!(secrets.state("token").await, SecretState::Missing);
    assert_eq!(read(secrets, "token").await, Err(SecretError::Missing { name: "token".into() }));

    let long = "x".repeat(16 * 1024);
    secrets.set("long", value(&long)).await.unwrap();
    assert_eq!(read(&Secrets::keyring(), "long").await.unwrap(), long);
    secrets.set("kept", value(MARKER)).await.unwrap();
}

async fn locked(secrets: &Secrets) {
    // A bound far above the time limit: what is tested is that every call returns at all.
    let bound = Instant::now();
    let secrets = secrets.with_timeout(Duration::from_secs(2));
    assert_eq!(secrets.availability().await, KeyringState::Locked);
    assert_eq!(secrets.state("kept").await, SecretState::Locked);
    let is_locked = |error: &SecretError| matches!(error, SecretError::Locked | SecretError::TimedOut { .. });
    for _ in 0..3 {
        let error = read(&secrets, "kept").await.unwrap_err();
        assert!(is_locked(&error), "{error}");
        assert_eq!(error.state(), SecretState::Locked);
    }
    let error = secrets.set("kept", value("other")).await.unwrap_err();
    assert!(is_locked(&error), "{error}");
    let error = secrets.forget("kept").await.unwrap_err();
    assert!(is_locked(&error), "{error}");
    let error = secrets.unlock().await.unwrap_err();
    assert!(is_locked(&error), "{error}");
    assert_eq!(secrets.state("kept").await, SecretState::Locked);
    assert!(bound.elapsed() < Duration::from_mins(1));
}

async fn restart(secrets: &Secrets) {
    secrets.set("kept", value(MARKER)).await.unwrap();
    // The daemon is replaced, which invalidates every session it had handed out.
    let replaced = Command::new("sh")
        .args(["-c", "printf passphrase | gnome-keyring-daemon --replace --unlock --components=secrets >/dev/null"])
        .status()
        .unwrap();
    assert!(replaced.success());
    secrets.set("token", value("after")).await.unwrap();
    assert_eq!(read(secrets, "token").await.unwrap(), "after");
    assert_eq!(read(secrets, "kept").await.unwrap(), MARKER);
}

async fn questions(secrets: &Secrets) {
    let open = || {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        (count("/proc/self/fd"), count("/proc/self/task"))
    };
    secrets.state("token").await;
    let before = open();
    for _ in 0..100 {
        assert_eq!(secrets.state("token").await, SecretState::Missing);
        assert_eq!(secrets.availability().await, KeyringState::Unlocked);
    }
    // Connections close in the background; 200 of them must not remain.
    for _ in 0..1000 {
        let now = open();
        if now.0 < before.0 + 10 && now.1 < before.1 + 10 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{before:?} files and threads before, {:?} after", open());
}

async fn no_bus(secrets: &Secrets) {
    assert_eq!(secrets.availability().await, KeyringState::Unavailable);
    assert_eq!(secrets.state("kept").await, SecretState::Unavailable);
    let unavailable = |error: SecretError| {
        assert!(matches!(error, SecretError::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains(MARKER));
    };
    unavailable(read(secrets, "kept").await.unwrap_err());
    unavailable(secrets.set("kept", value(MARKER)).await.unwrap_err());
    unavailable(secrets.forget("kept").await.unwrap_err());
    unavailable(secrets.unlock().await.unwrap_err());
}
