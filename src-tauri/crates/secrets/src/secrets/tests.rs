//! The keyring calls under a fake that hangs, fails and counts.

use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::backend::StillWanted;
use crate::calls::STUCK_MAX;

const VALUE: &str = "marker-7f3a";

fn secret(value: &str) -> SecretString {
    SecretString::from(value)
}

/// A keyring that can be locked, hold a prompt open, and count.
#[derive(Default)]
struct FakeKeyring {
    memory: MemoryBackend,
    state: Mutex<Fake>,
    changed: Condvar,
    reads: AtomicUsize,
    prompts: AtomicUsize,
    given_up: AtomicUsize,
    late: AtomicUsize,
}

#[derive(Default)]
struct Fake {
    locked: bool,
    /// A prompt is never answered.
    prompt_hangs: bool,
}

impl FakeKeyring {
    fn change(&self, change: impl FnOnce(&mut Fake)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn locked(&self) -> bool {
        self.state.lock().unwrap().locked
    }

    fn prompt(&self) -> Result<(), SecretError> {
        if !self.locked() {
            return Ok(());
        }
        self.prompts.fetch_add(1, Ordering::SeqCst);
        let state = self.changed.wait_while(self.state.lock().unwrap(), |state| state.prompt_hangs).unwrap();
        if state.locked { Err(SecretError::Locked) } else { Ok(()) }
    }
}

impl Backend for Arc<FakeKeyring> {
    fn read(&self, name: &str, prompting: Prompting) -> Result<SecretString, SecretError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match prompting {
            Prompting::Avoided if self.locked() => return Err(SecretError::Locked),
            Prompting::Avoided => {}
            Prompting::Allowed => self.prompt()?,
        }
        self.memory.read(name, prompting)
    }

    fn write(&self, name: &str, value: &SecretString, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
        self.prompt()?;
        if !still_wanted() {
            self.late.fetch_add(1, Ordering::SeqCst);
            return Err(SecretError::Locked);
        }
        self.memory.write(name, value, still_wanted)
    }

    fn remove(&self, name: &str, still_wanted: StillWanted<'_>) -> Result<(), SecretError> {
        self.memory.remove(name, still_wanted)
    }

    fn inspect(&self, name: &str) -> SecretState {
        if self.locked() { SecretState::Locked } else { self.memory.inspect(name) }
    }

    fn availability(&self) -> KeyringState {
        if self.locked() { KeyringState::Locked } else { KeyringState::Unlocked }
    }

    fn unlock(&self) -> Result<(), SecretError> {
        self.prompt()
    }

    fn give_up_connection(&self) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
    }
}

fn fake(timeout_ms: u64) -> (Arc<FakeKeyring>, Secrets) {
    let keyring = Arc::new(FakeKeyring::default());
    let secrets = Secrets::over(Arc::new(Arc::clone(&keyring)), Duration::from_millis(timeout_ms));
    (keyring, secrets)
}

const LONG_MS: u64 = 30_000;
const SHORT_MS: u64 = 30;

async fn read(secrets: &Secrets, name: &str) -> Result<String, SecretError> {
    secrets.get(name).await.map(|value| value.expose_secret().to_owned())
}

#[tokio::test]
async fn a_secret_can_be_set_read_replaced_and_forgotten() {
    let secrets = Secrets::memory();
    assert_eq!(secrets.availability().await, KeyringState::Unlocked);
    assert_eq!(secrets.state("token").await, SecretState::Missing);
    assert_eq!(read(&secrets, "token").await, Err(SecretError::Missing { name: "token".into() }));
    secrets.set("token", secret(VALUE)).await.unwrap();
    assert_eq!(secrets.state("token").await, SecretState::Present);
    assert_eq!(read(&secrets, "token").await.unwrap(), VALUE);
    secrets.clone().set("token", secret("second")).await.unwrap();
    assert_eq!(read(&secrets, "token").await.unwrap(), "second");
    secrets.forget("token").await.unwrap();
    secrets.forget("token").await.unwrap();
    assert_eq!(secrets.state("token").await, SecretState::Missing);
    assert_eq!(read(&secrets, "token").await, Err(SecretError::Missing { name: "token".into() }));
}

#[tokio::test]
async fn names_and_values_are_checked() {
    let secrets = Secrets::memory();
    let good = ["a", "Registry.token_2-x", &"n".repeat(NAME_MAX_CHARS)];
    for name in good {
        secrets.set(name, secret(VALUE)).await.unwrap();
    }
    let bad = ["", "a b", "a/b", "größe", "a\n", &"n".repeat(NAME_MAX_CHARS + 1)];
    for name in bad {
        let refused = |result| matches!(result, Err(SecretError::InvalidName { .. }));
        assert!(refused(secrets.set(name, secret(VALUE)).await), "{name}");
        assert!(refused(secrets.get(name).await.map(drop)), "{name}");
        assert!(refused(secrets.forget(name).await), "{name}");
        assert_eq!(secrets.state(name).await, SecretState::Missing);
    }
    assert_eq!(secrets.set("a", secret("")).await, Err(SecretError::Empty { name: "a".into() }));
}

#[tokio::test]
async fn nothing_shows_a_value() {
    let secrets = Secrets::memory();
    secrets.set("token", secret(VALUE)).await.unwrap();
    let value = secrets.get("token").await.unwrap();
    assert!(!format!("{secrets:?} {value:?}").contains(VALUE));
    // A value pasted into the field of the name comes back cut.
    let pasted = "sk-live 0123456789abcdef0123456789abcdef";
    let message = secrets.set(pasted, secret("x")).await.unwrap_err().to_string();
    assert!(!message.contains("abcdef"), "{message}");
}

#[tokio::test]
async fn a_value_is_read_once_a_minute() {
    let (keyring, secrets) = fake(LONG_MS);
    secrets.set("token", secret(VALUE)).await.unwrap();
    let reads = || keyring.reads.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(read(&secrets, "token").await.unwrap(), VALUE);
    }
    assert_eq!(reads(), 1);
    // Another process replaces the value; the next minute sees it.
    keyring.memory.write("token", &secret("other"), &|| true).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::time::resume();
    assert_eq!(read(&secrets, "token").await.unwrap(), VALUE);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(read(&secrets, "token").await.unwrap(), "other");
    assert_eq!(reads(), 2);
}

#[tokio::test]
async fn setting_and_forgetting_drop_what_was_read() {
    let (_, secrets) = fake(LONG_MS);
    secrets.set("token", secret(VALUE)).await.unwrap();
    read(&secrets, "token").await.unwrap();
    secrets.set("token", secret("second")).await.unwrap();
    assert_eq!(read(&secrets, "token").await.unwrap(), "second");
    secrets.forget("token").await.unwrap();
    assert!(secrets.get("token").await.is_err());
}

#[tokio::test]
async fn a_locked_keyring_is_asked_once_by_background_reads() {
    let (keyring, secrets) = fake(LONG_MS);
    secrets.set("token", secret(VALUE)).await.unwrap();
    keyring.change(|state| state.locked = true);
    let prompts = || keyring.prompts.load(Ordering::SeqCst);
    for _ in 0..4 {
        assert_eq!(read(&secrets, "token").await, Err(SecretError::Locked));
    }
    assert_eq!(prompts(), 1);
    assert_eq!(secrets.state("token").await, SecretState::Locked);
    assert_eq!(secrets.availability().await, KeyringState::Locked);
    assert_eq!(prompts(), 1);
    // The person asks: that always prompts.
    assert_eq!(secrets.unlock().await, Err(SecretError::Locked));
    assert_eq!(prompts(), 2);
    keyring.change(|state| state.locked = false);
    assert_eq!(read(&secrets, "token").await.unwrap(), VALUE);
    // Locked again later: asked once more.
    secrets.set("token", secret("second")).await.unwrap();
    keyring.change(|state| state.locked = true);
    assert_eq!(read(&secrets, "token").await, Err(SecretError::Locked));
    assert_eq!(prompts(), 3);
}

#[tokio::test]
async fn an_unanswered_prompt_freezes_nobody_and_writes_nothing_late() {
    let (keyring, secrets) = fake(SHORT_MS);
    keyring.change(|state| *state = Fake { locked: true, prompt_hangs: true });
    let timed_out = SecretError::TimedOut { waited: Duration::from_millis(SHORT_MS) };
    for _ in 0..STUCK_MAX + 3 {
        assert_eq!(secrets.set("token", secret(VALUE)).await, Err(timed_out.clone()));
    }
    assert_eq!(timed_out.state(), SecretState::Locked);
    assert_eq!(keyring.prompts.load(Ordering::SeqCst), STUCK_MAX, "the number of stuck threads is bounded");
    assert_eq!(keyring.given_up.load(Ordering::SeqCst), STUCK_MAX);
    assert_eq!(secrets.availability().await, KeyringState::Locked);

    // The person answers at last: the stuck calls end without storing, and later ones work.
    keyring.change(|state| *state = Fake::default());
    for _ in 0..1000 {
        if keyring.late.load(Ordering::SeqCst) == STUCK_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(keyring.late.load(Ordering::SeqCst), STUCK_MAX);
    let patient = secrets.with_timeout(Duration::from_millis(LONG_MS));
    assert_eq!(patient.state("token").await, SecretState::Missing);
    patient.set("token", secret("second")).await.unwrap();
    assert_eq!(read(&patient, "token").await.unwrap(), "second");
}

#[tokio::test]
async fn a_caller_that_leaves_withdraws_its_write() {
    let (keyring, secrets) = fake(LONG_MS);
    keyring.change(|state| *state = Fake { locked: true, prompt_hangs: true });
    {
        let write = secrets.set("token", secret(VALUE));
        tokio::pin!(write);
        for _ in 0..1000 {
            assert!(tokio::time::timeout(Duration::from_millis(5), &mut write).await.is_err());
            if keyring.prompts.load(Ordering::SeqCst) == 1 {
                break;
            }
        }
    }
    keyring.change(|state| *state = Fake::default());
    for _ in 0..1000 {
        if keyring.late.load(Ordering::SeqCst) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(keyring.late.load(Ordering::SeqCst), 1);
    assert_eq!(secrets.state("token").await, SecretState::Missing);
}

#[tokio::test]
async fn many_callers_read_through_one_call() {
    let (keyring, secrets) = fake(LONG_MS);
    secrets.set("token", secret(VALUE)).await.unwrap();
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let secrets = secrets.clone();
            tokio::spawn(async move { read(&secrets, "token").await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), VALUE);
    }
    assert_eq!(keyring.reads.load(Ordering::SeqCst), 1);
}
