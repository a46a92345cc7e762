//! One watched endpoint: its client, its health, its latest quality; and one probe of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_control::ControlState;
use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    Endpoint, EventKind, HealthState, Outcome, Phases, Probe, TargetFailure, TimestampMs, UnknownReason, VersionId,
};
use pilothouse_secrets::SecretError;
use pilothouse_serving::ModelClient;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    pub(crate) health: Mutex<HealthTracker>,
    /// The version that the endpoint's own answers report.
    pub(crate) reported: Mutex<Option<VersionId>>,
    pub(crate) quality: Mutex<QualityState>,
    pub(crate) control: Mutex<Option<ControlState>>,
    pub(crate) evaluate_soon: Notify,
    pub(crate) next_evaluation: Mutex<Option<TimestampMs>>,
    /// Whether the last evaluation failed: only the first failure in a row is an event.
    pub(crate) evaluation_failing: Mutex<bool>,
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
            health: Mutex::new(health),
            reported: Mutex::default(),
            quality: Mutex::new(quality),
            control: Mutex::default(),
            evaluate_soon: Notify::new(),
            next_evaluation: Mutex::default(),
            evaluation_failing: Mutex::default(),
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
        Ok(ModelClient::new(
            Arc::clone(&self.inner.transport),
            &endpoint.target,
            &endpoint.probe,
            credential,
            identity,
        )?)
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
    pub(crate) async fn probe_watched(&self, watched: &Watched, due: Instant) -> Result<Probe, EngineError> {
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
        };
        match self.client_of(watched).await {
            Ok(client) => {
                let number = watched.probes.fetch_add(1, Ordering::Relaxed);
                let fresh = number % watched.endpoint.probe.fresh_connection_every == 0;
                let report = tokio::select! {
                    report = client.probe(fresh) => report,
                    () = watched.cancel.cancelled() => return Ok(probe),
                };
                probe.outcome = report.outcome;
                probe.http_status = report.http_status;
                probe.version = report.version;
                probe.phases = report.phases;
                probe.total_us = report.total_us;
                probe.reused = report.reused;
                probe.response_bytes = report.response_bytes;
                probe.detail = report.detail;
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
            self.follow_reported_version(watched, version, probe.due).await?;
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

    async fn follow_reported_version(
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
