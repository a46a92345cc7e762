//! The engine: everything that goes on while nobody looks, behind one handle.
//!
//! What it hides: tasks, locks, clients, credentials. What must stay true: one process at a time watches a database (the
//! others may read it and change settings); everything that was started ends within two seconds of [`Engine::stop`].

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pilothouse_domain::{
    AuditEntry, Auth, Clock, Endpoint, EndpointId, Event, EventKind, GoldenSet, GoldenSetId, Network, Target,
    TimestampMs, endpoint::Tls,
};
use pilothouse_secrets::Secrets;
use pilothouse_serving::{Authorizer, ClientIdentity, Credential, Transport, TransportConfig};
use pilothouse_store::{Store, StoreError};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::explain::Jobs;
use crate::lock_file::LockFile;
use crate::scheduler::Counters;
use crate::states::JudgedEndpoints;
use crate::watch::Watched;
use crate::{EngineError, Topic};

/// Probes under way at once. A burst larger than this would measure this machine and not the endpoints.
const PROBES_AT_ONCE: usize = 64;
/// Evaluations under way at once; each sends whole golden sets.
const EVALUATIONS_AT_ONCE: usize = 4;
/// Looks at metrics under way at once; a page may be some megabytes.
const METRICS_AT_ONCE: usize = 8;

/// Handle to the engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) database: PathBuf,
    pub(crate) secrets: Secrets,
    pub(crate) transport: Arc<Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) topics: broadcast::Sender<Topic>,
    pub(crate) watched: Mutex<HashMap<EndpointId, Arc<Watched>>>,
    pub(crate) golden_sets: Mutex<HashMap<GoldenSetId, Arc<GoldenSet>>>,
    /// Judgements of endpoints that this process does not watch.
    pub(crate) judged: Mutex<JudgedEndpoints>,
    pub(crate) probe_slots: Semaphore,
    pub(crate) evaluation_slots: Semaphore,
    pub(crate) metrics_slots: Semaphore,
    pub(crate) facet_slots: Semaphore,
    pub(crate) offline_since: Mutex<Option<TimestampMs>>,
    pub(crate) resumed_at: Mutex<Option<Duration>>,
    pub(crate) jobs: Jobs,
    pub(crate) counters: Counters,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Held while this process watches.
    watching: Mutex<Option<LockFile>>,
    /// Held while settings are read, written back and taken up, so that two changes at once neither undo each other nor
    /// are watched in the wrong order.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Engine {
    /// Makes an engine on a database. Nothing runs yet; see [`Engine::watch`].
    pub fn new(store: Store, database: &Path, secrets: Secrets, clock: Arc<dyn Clock>) -> Result<Self, EngineError> {
        let transport = Transport::new(TransportConfig::default());
        let (topics, _) = broadcast::channel(1_024);
        let inner = Inner {
            store,
            database: database.to_owned(),
            secrets,
            transport,
            clock,
            topics,
            watched: Mutex::default(),
            golden_sets: Mutex::default(),
            judged: Mutex::default(),
            probe_slots: Semaphore::new(PROBES_AT_ONCE),
            evaluation_slots: Semaphore::new(EVALUATIONS_AT_ONCE),
            metrics_slots: Semaphore::new(METRICS_AT_ONCE),
            facet_slots: Semaphore::new(crate::facets::ASKED_AT_ONCE),
            offline_since: Mutex::default(),
            resumed_at: Mutex::default(),
            jobs: Jobs::default(),
            counters: Counters::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            watching: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The keyring.
    pub fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    /// The transport shared by everything that opens connections, by the way that `network` asks for.
    pub async fn transport(&self, network: &Network) -> Result<Arc<Transport>, EngineError> {
        read_network(&self.inner.transport, &self.inner.secrets, network).await
    }

    /// The time.
    pub fn now(&self) -> TimestampMs {
        self.inner.clock.now()
    }

    /// What becomes stale from now on. A slow receiver misses old topics, never new ones.
    pub fn topics(&self) -> broadcast::Receiver<Topic> {
        self.inner.topics.subscribe()
    }

    /// Whether this machine seems to have a network: false while probes to other machines find none.
    pub fn online(&self) -> bool {
        lock(&self.inner.offline_since).is_none()
    }

    /// Runs a store operation on a blocking thread.
    pub async fn with_store<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let store = self.inner.store.clone();
        tokio::task::spawn_blocking(move || operation(&store))
            .await
            .map_err(|error| EngineError::Internal(error.to_string()))?
            .map_err(EngineError::from)
    }

    /// Begins to probe, evaluate and follow versions, and takes up what an earlier process left unfinished. Returns false
    /// when another process watches this database already; then this one only reads.
    pub async fn watch(&self) -> Result<bool, EngineError> {
        if self.is_watching() {
            return Ok(true);
        }
        let Some(held) = LockFile::take(&self.inner.database, "watch")? else {
            let engine = self.clone();
            self.inner.tasks.spawn(async move { engine.follow_watcher().await });
            return Ok(false);
        };
        *lock(&self.inner.watching) = Some(held);
        for endpoint in self.with_store(Store::endpoints).await? {
            self.begin_watching(endpoint, false).await?;
        }
        let engine = self.clone();
        self.inner.tasks.spawn(async move { engine.notice_gaps().await });
        let engine = self.clone();
        self.inner.tasks.spawn(async move { engine.retain_regularly().await });
        let engine = self.clone();
        self.inner.tasks.spawn(async move { engine.follow_settings().await });
        let engine = self.clone();
        self.inner.tasks.spawn(async move { engine.resume_regularly().await });
        Ok(true)
    }

    /// Whether this process watches.
    pub fn is_watching(&self) -> bool {
        lock(&self.inner.watching).is_some()
    }

    /// Stops everything within two seconds and closes the store.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.jobs.cancel_all();
        self.inner.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some work did not end within 2 s of stopping");
        }
        lock(&self.inner.watched).clear();
        if let Err(error) = self.with_store(Store::flush).await {
            tracing::error!(%error, "the last batch of probes could not be written");
        }
        *lock(&self.inner.watching) = None;
    }

    /// Says that something became stale that was changed beside the engine.
    pub fn announce(&self, topic: Topic) {
        self.publish(topic);
    }

    pub(crate) fn publish(&self, topic: Topic) {
        // Nobody listening is fine: then nothing is shown that could be stale.
        let _ = self.inner.topics.send(topic);
    }

    /// Writes an event and says what it made stale.
    pub async fn record_event(
        &self,
        endpoint: Option<EndpointId>,
        at: TimestampMs,
        kind: EventKind,
    ) -> Result<(), EngineError> {
        let event = Event { id: 0, at, endpoint, kind };
        self.with_store(move |store| store.append_event(&event)).await?;
        if let Some(id) = endpoint {
            self.publish(Topic::Endpoint(id));
        }
        self.publish(Topic::Timeline);
        Ok(())
    }

    /// Writes an audit entry with the operating system's user as its author.
    pub async fn record_audit(
        &self,
        action: &str,
        endpoint: Option<EndpointId>,
        reason: &str,
        before: serde_json::Value,
        after: serde_json::Value,
        evidence: serde_json::Value,
    ) -> Result<(), EngineError> {
        let entry = AuditEntry {
            id: 0,
            at: self.now(),
            who: os_user(),
            action: action.to_owned(),
            endpoint,
            reason: reason.to_owned(),
            before,
            after,
            evidence,
        };
        self.with_store(move |store| store.append_audit(&entry)).await?;
        self.publish(Topic::Audit);
        Ok(())
    }

    /// One endpoint's settings.
    pub async fn endpoint(&self, id: EndpointId) -> Result<Endpoint, EngineError> {
        self.with_store(move |store| store.endpoint(id)).await?.ok_or(EngineError::NoEndpoint(id))
    }

    /// One endpoint's settings by its unique name.
    pub async fn endpoint_by_name(&self, name: &str) -> Result<Endpoint, EngineError> {
        let wanted = name.to_owned();
        self.with_store(move |store| store.endpoint_by_name(&wanted))
            .await?
            .ok_or_else(|| EngineError::NotFound { what: "endpoint", name: name.to_owned() })
    }

    /// A golden set, read once and then shared: golden sets never change.
    pub async fn golden_set(&self, id: GoldenSetId) -> Result<Arc<GoldenSet>, EngineError> {
        if let Some(known) = lock(&self.inner.golden_sets).get(&id) {
            return Ok(Arc::clone(known));
        }
        let golden_set = self
            .with_store(move |store| store.golden_set(id))
            .await?
            .ok_or_else(|| EngineError::NotFound { what: "golden set", name: id.to_string() })?;
        let golden_set = Arc::new(golden_set);
        lock(&self.inner.golden_sets).insert(id, Arc::clone(&golden_set));
        Ok(golden_set)
    }

    /// Reads the secrets that an authentication refers to.
    pub async fn credential(&self, auth: &Auth) -> Result<Credential, EngineError> {
        read_credential(&self.inner.secrets, auth).await
    }

    /// A credential in use: its secrets from the keyring, its tokens from this process's store of them, fetched by the way
    /// of `target`.
    pub async fn authorizer(&self, auth: &Auth, target: &Target) -> Result<Authorizer, EngineError> {
        let credential = self.credential(auth).await?;
        let transport = self.transport(&target.network).await?;
        Ok(Authorizer::new(&transport, credential, &target.tls)?)
    }

    /// Reads the client certificate and its key, where mutual TLS is configured.
    pub async fn identity(&self, tls: &Tls) -> Result<Option<ClientIdentity>, EngineError> {
        read_identity(&self.inner.secrets, tls).await
    }
}

/// Reads the client certificate and its key, where mutual TLS is configured, without an engine.
pub async fn read_identity(secrets: &Secrets, tls: &Tls) -> Result<Option<ClientIdentity>, EngineError> {
    let (Some(file), Some(secret)) = (&tls.client_certificate_file, &tls.client_key_secret) else {
        return Ok(None);
    };
    let key_pem = secrets.get(secret).await?;
    let file = file.clone();
    let certificate_pem = tokio::task::spawn_blocking(move || {
        std::fs::read(&file).map_err(|error| EngineError::NotFound {
            what: "readable client certificate file",
            name: format!("{}: {error}", file.display()),
        })
    })
    .await
    .map_err(|error| EngineError::Internal(error.to_string()))??;
    Ok(Some(ClientIdentity { certificate_pem, key_pem }))
}

/// Reads the secrets that an authentication refers to, without an engine.
pub async fn read_credential(secrets: &Secrets, auth: &Auth) -> Result<Credential, EngineError> {
    let mut values = BTreeMap::new();
    for name in auth.secrets() {
        values.insert(name.to_owned(), secrets.get(name).await?);
    }
    Ok(Credential::resolve(auth, &values)?)
}

/// Reads the secrets that a way to a server needs, without an engine.
pub async fn read_network(
    transport: &Arc<Transport>,
    secrets: &Secrets,
    network: &Network,
) -> Result<Arc<Transport>, EngineError> {
    if *network == Network::System {
        return Ok(Arc::clone(transport));
    }
    let mut values = BTreeMap::new();
    for name in network.secrets() {
        values.insert(name.to_owned(), secrets.get(name).await?);
    }
    Ok(transport.by_way_of(network, &values)?)
}

/// Locks a mutex. A poisoned one still holds whole values, because nothing here panics between two writes.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operating system's name of the current user. A service or a scheduled job often has no `USER`; then the owner of
/// this process is looked up.
pub fn os_user() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(owner_of_process)
        .unwrap_or_else(|| "unknown user".to_owned())
}

/// Linux: the owner of this process's folder in `/proc`, by name where the list of users holds it.
#[cfg(unix)]
fn owner_of_process() -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let id = std::fs::metadata("/proc/self").ok()?.uid();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(user_name(&users, id).unwrap_or_else(|| format!("user {id}")))
}

#[cfg(not(unix))]
fn owner_of_process() -> Option<String> {
    None
}

/// The name of a numbered user in the form of passwd(5): `name:password:uid:…`.
#[cfg(unix)]
fn user_name(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use super::user_name;

    #[cfg(unix)]
    #[test]
    fn users_are_named_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/nowhere:/bin/sh\n";
        let check = |id, expect: Option<&str>| assert_eq!(user_name(users, id).as_deref(), expect);
        check(0, Some("root"));
        check(1000, Some("ada"));
        check(1001, None);
    }
}
