//! One watched endpoint: its client, its health, its latest quality; and one probe of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_control::ControlState;
use pilothouse_domain::endpoint::ContainerImage;
use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    DeploymentLook, Endpoint, EventKind, HealthFacets, HealthState, Outcome, Phases, Probe, Table, Target,
    TargetFailure, TimestampMs, UnknownReason, VersionId,
};
use pilothouse_secrets::SecretError;
use pilothouse_serving::{DeploymentClient, MetricsClient, ModelClient};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deployment::AnsweringVersions;
use crate::engine::lock;
use crate::health::HealthTracker;
use crate::quality::QualityState;
use crate::{Engine, EngineError, HealthChange, Topic};

/// Connection failures within this time after waking are the network coming back, and not the endpoint.
const WAKE_GRACE: Duration = Duration::from_secs(15);

/// What is kept in memory for one endpoint.
pub(crate) struct Watched {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: tokio::sync::Mutex<Option<Arc<ModelClient>>>,
    pub(crate) metrics_client: tokio::sync::Mutex<Option<Arc<MetricsClient>>>,
    pub(crate) deployment_client: tokio::sync::Mutex<Option<Arc<DeploymentClient>>>,
    /// What the cloud that runs it said last.
    pub(crate) deployment: Mutex<Option<DeploymentLook>>,
    /// Where the cloud does not say how it divides the traffic: who answered lately.
    pub(crate) answering: Mutex<AnsweringVersions>,
    pub(crate) health: Mutex<HealthTracker>,
    /// The version that the endpoint's own answers report.
    pub(crate) reported: Mutex<Option<VersionId>>,
    pub(crate) quality: Mutex<Arc<QualityState>>,
    /// Whether the endpoint's predictions name the version that gave them.
    pub(crate) answers_tell_version: Mutex<bool>,
    pub(crate) facets: Mutex<HealthFacets>,
    /// Whether the version in the image's tag was written down.
    image_told: AtomicBool,
    /// Set while the server's own health routes are asked.
    pub(crate) asking_facets: AtomicBool,
    pub(crate) control: Mutex<Option<ControlState>>,
    pub(crate) evaluate_soon: Notify,
    pub(crate) next_evaluation: Mutex<Option<TimestampMs>>,
    /// Whether the last evaluation failed: only the first failure in a row is an event.
    pub(crate) evaluation_failing: Mutex<bool>,
    /// Until when the server asked to be left alone.
    pub(crate) not_before: Mutex<Option<Instant>>,
    pub(crate) cancel: CancellationToken,
    /// Held during a probe: there are never two of one endpoint at once.
    probing: tokio::sync::Mutex<()>,
    probes: AtomicU32,
}

impl Watched {
    pub(crate) fn new(
        endpoint: Endpoint,
        health: HealthTracker,
        quality: QualityState,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            endpoint,
            client: tokio::sync::Mutex::default(),
            metrics_client: tokio::sync::Mutex::default(),
            deployment_client: tokio::sync::Mutex::default(),
            deployment: Mutex::default(),
            answering: Mutex::default(),
            health: Mutex::new(health),
            reported: Mutex::default(),
            quality: Mutex::new(Arc::new(quality)),
            answers_tell_version: Mutex::default(),
            facets: Mutex::default(),
            image_told: AtomicBool::new(false),
            asking_facets: AtomicBool::new(false),
            control: Mutex::default(),
            evaluate_soon: Notify::new(),
            next_evaluation: Mutex::default(),
            evaluation_failing: Mutex::default(),
            not_before: Mutex::default(),
            cancel,
            probing: tokio::sync::Mutex::default(),
            probes: AtomicU32::new(0),
        }
    }
}

impl Engine {
    /// A client for an endpoint's model, with its credential from the keyring.
    pub async fn model_client(&self, endpoint: &Endpoint) -> Result<ModelClient, EngineError> {
        let credential = self.credential(&endpoint.target.auth).await?;
        let identity = self.identity(&endpoint.target.tls).await?;
        let client = ModelClient::new(
            self.transport(&endpoint.target.network).await?,
            &self.target_of(endpoint).await?,
            &endpoint.probe,
            credential,
            identity,
        )?;
        Ok(match endpoint.target.management_auth_of_model() {
            Some(auth) => client.with_management(self.credential(auth).await?)?,
            None => client,
        })
    }

    /// Where and what a probe asks. Without rows of its own it sends the first golden row: the health route alone tells
    /// neither whether the model predicts nor, with most servers, which version answers.
    async fn target_of(&self, endpoint: &Endpoint) -> Result<Target, EngineError> {
        let mut target = endpoint.target.clone();
        // Where a server holds models by name, none can be asked for a prediction without it.
        let can_predict =
            target.protocol.predicts_rows() && (!target.protocol.names_models() || target.model.is_some());
        if let (None, true, Some(config)) = (&target.probe_input, can_predict, &endpoint.evaluation) {
            let golden_set = self.golden_set(config.golden_set).await?;
            let first = golden_set.table.rows.first().cloned();
            target.probe_input = first.map(|row| Table { columns: golden_set.table.columns.clone(), rows: vec![row] });
        }
        Ok(target)
    }

    /// The watched endpoint's client, made once and kept until its settings or secrets change.
    pub(crate) async fn client_of(&self, watched: &Watched) -> Result<Arc<ModelClient>, EngineError> {
        let mut client = watched.client.lock().await;
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(self.model_client(&watched.endpoint).await?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Probes once, records it, and draws the conclusions. `due` is when it should have started.
    pub(crate) async fn probe_watched(&self, watched: &Arc<Watched>, due: Instant) -> Result<Probe, EngineError> {
        let _probing = watched.probing.lock().await;
        let started = Instant::now();
        let late = started.saturating_duration_since(due);
        let wall_before = self.now();
        let monotonic_before = self.inner.clock.monotonic();
        let mut probe = Probe {
            endpoint: watched.endpoint.id,
            due: wall_before.plus_ms(-i64::try_from(late.as_millis()).unwrap_or(0)),
            late_us: u32::try_from(late.as_micros()).unwrap_or(u32::MAX),
            outcome: Outcome::Unknown(UnknownReason::Cancelled),
            http_status: None,
            version: None,
            phases: Phases::default(),
            total_us: None,
            reused: false,
            response_bytes: 0,
            detail: None,
            generation: None,
        };
        let client = tokio::select! {
            client = self.client_of(watched) => client,
            () = watched.cancel.cancelled() => return Ok(probe),
        };
        let mut asked = None;
        match client {
            Ok(client) => {
                let number = watched.probes.fetch_add(1, Ordering::Relaxed);
                let fresh = number.is_multiple_of(watched.endpoint.probe.fresh_connection_every);
                let report = tokio::select! {
                    report = client.probe(fresh) => report,
                    () = watched.cancel.cancelled() => return Ok(probe),
                };
                *lock(&watched.not_before) = report.retry_after.map(|wait| Instant::now() + wait);
                probe.outcome = report.outcome;
                probe.http_status = report.http_status;
                probe.version = report.version;
                probe.phases = report.phases;
                probe.total_us = report.total_us;
                probe.reused = report.reused;
                probe.response_bytes = report.response_bytes;
                probe.detail = report.detail;
                probe.generation = report.generation;
                asked = Some((client, fresh));
            }
            Err(error) => {
                probe.outcome = Outcome::Unknown(unknown_reason(&error));
                probe.detail = Some(error.to_string());
            }
        }
        if matches!(probe.outcome, Outcome::TargetFailed(TargetFailure::Unauthorized)) {
            // The secret may have been renewed in the keyring by another program: read it again next time.
            *watched.client.lock().await = None;
        }
        let wall_passed = Duration::from_millis(u64::try_from(self.now().since(wall_before)).unwrap_or(0));
        let slept = wall_passed.saturating_sub(self.inner.clock.monotonic().saturating_sub(monotonic_before));
        self.excuse_after_sleep(&mut probe, slept);
        self.conclude(watched, &probe).await?;
        if let Some((client, fresh)) = asked {
            self.follow_facets(watched, &client, &probe, fresh).await?;
        }
        Ok(probe)
    }

    /// A failure to connect while or just after this machine slept says nothing of the endpoint.
    fn excuse_after_sleep(&self, probe: &mut Probe, slept: Duration) {
        let just_woke = lock(&self.inner.resumed_at)
            .is_some_and(|resumed| self.inner.clock.monotonic().saturating_sub(resumed) < WAKE_GRACE);
        let of_the_way = matches!(
            probe.outcome,
            Outcome::TargetFailed(
                TargetFailure::DnsFailed
                    | TargetFailure::ConnectTimeout
                    | TargetFailure::ConnectionReset
                    | TargetFailure::FirstByteTimeout
                    | TargetFailure::TotalTimeout
                    | TargetFailure::Unreachable
            )
        );
        if of_the_way && (just_woke || slept >= crate::gap::SMALLEST_GAP) {
            probe.outcome = Outcome::Unknown(UnknownReason::Asleep);
        }
    }

    async fn conclude(&self, watched: &Watched, probe: &Probe) -> Result<(), EngineError> {
        let id = watched.endpoint.id;
        self.inner.store.append_probe(probe.clone())?;
        self.follow_network(watched, probe).await?;
        if let Some(version) = probe.version.clone() {
            *lock(&watched.answers_tell_version) = true;
            if let Some(version) = Self::version_after_answer(watched, version) {
                self.follow_reported_version(watched, version, probe.due).await?;
            }
        }
        let total_us = (probe.outcome == Outcome::Ok).then_some(probe.total_us).flatten();
        let change = lock(&watched.health).observe(probe.outcome, total_us, &watched.endpoint.probe, probe.due);
        if let Some(change) = change {
            self.record_health(watched, change, probe.due).await?;
        }
        self.publish(Topic::Fleet);
        self.publish(Topic::Endpoint(id));
        Ok(())
    }

    pub(crate) async fn record_health(
        &self,
        watched: &Watched,
        change: HealthChange,
        at: TimestampMs,
    ) -> Result<(), EngineError> {
        let id = watched.endpoint.id;
        let state = HealthState { health: change.to, since: at, reason: change.reason.clone() };
        self.with_store(move |store| store.set_health(id, &state)).await?;
        tracing::info!(endpoint = %watched.endpoint.name, from = change.from.as_str(), to = change.to.as_str(), reason = change.reason, "health changed");
        let kind = EventKind::HealthChanged { from: change.from, to: change.to, reason: change.reason };
        self.record_event(Some(id), at, kind).await?;
        self.publish(Topic::Fleet);
        Ok(())
    }

    /// Takes the version from the tag of the image, where nobody who knows better tells one.
    pub(crate) async fn follow_image(&self, watched: &Watched, at: TimestampMs) -> Result<(), EngineError> {
        let image = watched.endpoint.target.image.as_ref().filter(|_| watched.endpoint.control_plane.is_none());
        let Some(version) = image.and_then(ContainerImage::model_version) else { return Ok(()) };
        if lock(&watched.reported).is_some() || watched.image_told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.observe_version(watched, version, at, VersionSource::Image).await
    }

    pub(crate) async fn follow_reported_version(
        &self,
        watched: &Watched,
        version: VersionId,
        at: TimestampMs,
    ) -> Result<(), EngineError> {
        if lock(&watched.reported).as_ref() == Some(&version) {
            return Ok(());
        }
        self.observe_version(watched, version.clone(), at, VersionSource::Endpoint).await?;
        *lock(&watched.reported) = Some(version);
        Ok(())
    }

    /// Keeps account of this machine's own network: it is off from the first probe that finds none until another machine
    /// answers (or refuses).
    async fn follow_network(&self, watched: &Watched, probe: &Probe) -> Result<(), EngineError> {
        if is_loopback(&watched.endpoint) {
            return Ok(());
        }
        let ended = match probe.outcome {
            Outcome::Unknown(UnknownReason::NoNetwork) => {
                lock(&self.inner.offline_since).get_or_insert(probe.due);
                None
            }
            Outcome::Ok | Outcome::TargetFailed(_) => lock(&self.inner.offline_since).take(),
            Outcome::Unknown(_) => None,
        };
        if let Some(from) = ended {
            self.record_event(None, probe.due, EventKind::Gap { reason: UnknownReason::NoNetwork, from }).await?;
        }
        Ok(())
    }
}

/// Which of our own failures this is.
pub(crate) fn unknown_reason(error: &EngineError) -> UnknownReason {
    match error {
        EngineError::Secret(SecretError::Missing { .. }) => UnknownReason::SecretMissing,
        EngineError::Secret(SecretError::Locked | SecretError::TimedOut { .. }) => UnknownReason::KeyringLocked,
        EngineError::Secret(_) => UnknownReason::KeyringUnavailable,
        EngineError::Serving(_) | EngineError::NotFound { .. } | EngineError::Setting(_) => {
            UnknownReason::Misconfigured
        }
        EngineError::Cancelled => UnknownReason::Cancelled,
        _ => UnknownReason::Internal,
    }
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    match endpoint.target.url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pilothouse_domain::{Clock, EndpointId, Health};
    use pilothouse_secrets::Secrets;
    use pilothouse_store::{EventFilter, OpenOptions, Store};
    use pilothouse_testkit::{ManualClock, endpoint};

    use super::*;

    const START: TimestampMs = TimestampMs(1_000_000);

    fn engine(folder: &tempfile::TempDir) -> (Engine, Arc<ManualClock>) {
        let database = folder.path().join("fleet.db");
        let store = Store::open(&database, &OpenOptions::default()).unwrap();
        let clock = Arc::new(ManualClock::new(START));
        (Engine::new(store, &database, Secrets::memory(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap(), clock)
    }

    fn watched(engine: &Engine, url: &str) -> Watched {
        let health = HealthTracker::new(Health::Healthy, START, false);
        let mut endpoint = endpoint("wine", &url.parse().unwrap());
        endpoint.id = EndpointId(1);
        Watched::new(endpoint, health, QualityState::default(), engine.inner.stop.child_token())
    }

    fn probe(outcome: Outcome, due: TimestampMs) -> Probe {
        Probe {
            endpoint: EndpointId(1),
            due,
            late_us: 0,
            outcome,
            http_status: None,
            version: None,
            phases: Phases::default(),
            total_us: None,
            reused: false,
            response_bytes: 0,
            detail: None,
            generation: None,
        }
    }

    #[test]
    fn failures_of_the_way_are_excused_while_and_after_sleeping() {
        use TargetFailure::{ConnectTimeout, ConnectionRefused, DnsFailed, ServerError, TotalTimeout};

        let folder = tempfile::tempdir().unwrap();
        let (engine, clock) = engine(&folder);
        let check = |failure: TargetFailure, slept_s: u64, excused: bool| {
            let mut probe = probe(Outcome::TargetFailed(failure), START);
            engine.excuse_after_sleep(&mut probe, Duration::from_secs(slept_s));
            let expect = if excused { Outcome::Unknown(UnknownReason::Asleep) } else { Outcome::TargetFailed(failure) };
            assert_eq!(probe.outcome, expect, "{failure:?} after {slept_s} s of sleep");
        };
        // It slept during the probe.
        check(TotalTimeout, 60, true);
        check(ConnectTimeout, 1, false);
        // An answer is an answer, whenever it came.
        check(ServerError, 60, false);
        check(ConnectionRefused, 60, false);
        // It woke just now.
        *lock(&engine.inner.resumed_at) = Some(clock.monotonic());
        check(DnsFailed, 0, true);
        check(ServerError, 0, false);
        clock.advance(WAKE_GRACE);
        check(DnsFailed, 0, false);
    }

    #[tokio::test]
    async fn the_own_network_is_off_until_another_machine_answers() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = engine(&folder);
        let (remote, local) = (watched(&engine, "http://models.example/"), watched(&engine, "http://127.0.0.1:9/"));
        let offline = Outcome::Unknown(UnknownReason::NoNetwork);
        let at = |s: i64| START.plus_ms(s * 1_000);
        let gaps = || {
            let filter = EventFilter { endpoint: None, from: TimestampMs(0), to: at(1_000), limit: 10 };
            let events = engine.store().events(&filter).unwrap();
            events.into_iter().map(|event| (event.at, event.kind)).collect::<Vec<_>>()
        };
        engine.follow_network(&local, &probe(offline, at(1))).await.unwrap();
        assert!(engine.online(), "loopback says nothing of the network");
        engine.follow_network(&remote, &probe(offline, at(2))).await.unwrap();
        engine.follow_network(&remote, &probe(offline, at(3))).await.unwrap();
        engine.follow_network(&remote, &probe(Outcome::Unknown(UnknownReason::KeyringLocked), at(4))).await.unwrap();
        engine.follow_network(&local, &probe(Outcome::Ok, at(5))).await.unwrap();
        assert!(!engine.online() && gaps().is_empty());
        // A refusal comes from another machine too.
        let refused = Outcome::TargetFailed(TargetFailure::ConnectionRefused);
        engine.follow_network(&remote, &probe(refused, at(6))).await.unwrap();
        engine.follow_network(&remote, &probe(Outcome::Ok, at(7))).await.unwrap();
        assert!(engine.online());
        assert_eq!(gaps(), [(at(6), EventKind::Gap { reason: UnknownReason::NoNetwork, from: at(2) })]);
    }

    #[test]
    fn our_own_failures_are_named_and_never_the_endpoints() {
        let check = |error: EngineError, expect: UnknownReason| assert_eq!(unknown_reason(&error), expect, "{error}");
        check(SecretError::Missing { name: "token".into() }.into(), UnknownReason::SecretMissing);
        check(SecretError::Locked.into(), UnknownReason::KeyringLocked);
        check(SecretError::Empty { name: "token".into() }.into(), UnknownReason::KeyringUnavailable);
        check(EngineError::NotFound { what: "file", name: "ca.pem".into() }, UnknownReason::Misconfigured);
        check(EngineError::Cancelled, UnknownReason::Cancelled);
        check(EngineError::Internal("no".into()), UnknownReason::Internal);
    }
}
