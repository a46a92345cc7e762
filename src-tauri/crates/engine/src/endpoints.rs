//! Connecting, changing, pausing and removing endpoints while they are being watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{Auth, Endpoint, EndpointId, EventKind, Health, Probe, TimestampMs};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::engine::lock;
use crate::health::HealthTracker;
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic};

/// How often the settings are compared with what is watched.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Connects an endpoint and begins to watch it. Its id is given back.
    pub async fn add_endpoint(&self, mut endpoint: Endpoint) -> Result<EndpointId, EngineError> {
        endpoint.validate()?;
        endpoint.created = self.now();
        let _changing = self.inner.changing.lock().await;
        let new = endpoint.clone();
        let id = self.with_store(move |store| store.add_endpoint(&new)).await?;
        endpoint.id = id;
        endpoint.revision = 1;
        let after = settings_json(&endpoint);
        self.record_audit("endpoint.add", Some(id), "", Value::Null, after, Value::Null).await?;
        self.record_event(Some(id), self.now(), EventKind::EndpointAdded).await?;
        if self.is_watching() {
            self.begin_watching(endpoint, true).await?;
        }
        self.publish(Topic::Fleet);
        Ok(id)
    }

    /// Changes an endpoint's settings and gives back their new revision. Its history stays, and so does whether it is
    /// paused. Refused when the settings were changed since `endpoint.revision` was read.
    pub async fn update_endpoint(&self, mut endpoint: Endpoint) -> Result<i64, EngineError> {
        endpoint.validate()?;
        let _changing = self.inner.changing.lock().await;
        let before = self.endpoint(endpoint.id).await?;
        endpoint.created = before.created;
        endpoint.paused = before.paused;
        if (Endpoint { revision: before.revision, ..endpoint.clone() }) == before {
            return Ok(before.revision);
        }
        let id = endpoint.id;
        let new = endpoint.clone();
        let revision = self.with_store(move |store| store.update_endpoint(&new)).await?;
        endpoint.revision = revision;
        let (before, after) = (settings_json(&before), settings_json(&endpoint));
        self.record_audit("endpoint.update", Some(id), "", before, after, Value::Null).await?;
        self.record_event(Some(id), self.now(), EventKind::EndpointChanged).await?;
        self.rewatch(endpoint).await?;
        Ok(revision)
    }

    /// Removes an endpoint with its history.
    pub async fn remove_endpoint(&self, id: EndpointId) -> Result<(), EngineError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.endpoint(id).await?;
        // Refused while a rollback of it is in progress; then it goes on being watched.
        self.with_store(move |store| store.remove_endpoint(id)).await?;
        self.end_watching(id);
        let after = json!({ "removed": before.name });
        self.record_audit("endpoint.remove", None, "", settings_json(&before), after, Value::Null).await?;
        self.publish(Topic::Fleet);
        self.publish(Topic::Timeline);
        Ok(())
    }

    /// Pauses or resumes probing.
    pub async fn pause_endpoint(&self, id: EndpointId, paused: bool) -> Result<(), EngineError> {
        let _changing = self.inner.changing.lock().await;
        let mut endpoint = self.endpoint(id).await?;
        if endpoint.paused == paused {
            return Ok(());
        }
        endpoint.paused = paused;
        self.with_store(move |store| store.pause_endpoint(id, paused)).await?;
        self.record_event(Some(id), self.now(), if paused { EventKind::Paused } else { EventKind::Resumed }).await?;
        self.rewatch(endpoint).await
    }

    /// Probes at once, outside the schedule, and records it.
    pub async fn probe_now(&self, id: EndpointId) -> Result<Probe, EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        self.probe_watched(&watched, Instant::now()).await
    }

    /// Makes new clients for every endpoint that refers to this secret.
    pub async fn secret_changed(&self, name: &str) {
        let affected: Vec<Arc<Watched>> = lock(&self.inner.watched)
            .values()
            .filter(|watched| secrets_of(&watched.endpoint).contains(&name))
            .cloned()
            .collect();
        for watched in affected {
            *watched.client.lock().await = None;
            *watched.metrics_client.lock().await = None;
            *watched.deployment_client.lock().await = None;
        }
        self.publish(Topic::Secrets);
    }

    /// Names of all secrets that endpoints refer to, each with the names of those endpoints.
    pub async fn secret_names(&self) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for endpoint in self.with_store(pilothouse_store::Store::endpoints).await? {
            for secret in secrets_of(&endpoint) {
                names.entry(secret.to_owned()).or_default().push(endpoint.name.clone());
            }
        }
        Ok(names)
    }

    pub(crate) fn watched(&self, id: EndpointId) -> Option<Arc<Watched>> {
        lock(&self.inner.watched).get(&id).cloned()
    }

    /// The watched endpoint, or, in a process that does not watch, one made for this use.
    pub(crate) async fn watched_or_ad_hoc(&self, id: EndpointId) -> Result<Arc<Watched>, EngineError> {
        if let Some(watched) = self.watched(id) {
            return Ok(watched);
        }
        let endpoint = self.endpoint(id).await?;
        Ok(Arc::new(self.make_watched(endpoint).await?))
    }

    async fn make_watched(&self, endpoint: Endpoint) -> Result<Watched, EngineError> {
        let id = endpoint.id;
        let stored = self.with_store(move |store| store.health_of(id)).await?;
        let (health, since) = stored.map_or((Health::Unknown, endpoint.created), |state| (state.health, state.since));
        let mut tracker = HealthTracker::new(health, since, endpoint.paused);
        let quality = self.quality_from_store(&endpoint).await?;
        // What the latest evaluation said holds until the next one.
        let _ = tracker.observe_quality(quality.problem.clone(), since);
        let watched = Watched::new(endpoint, tracker, quality, self.inner.stop.child_token());
        *lock(&watched.facets) = self.with_store(move |store| store.health_facets(id)).await?;
        *lock(&watched.deployment) = self.with_store(move |store| store.deployment(id)).await?;
        // What the endpoint itself reported last stands above the control plane until it reports again: while it is down
        // after a restart, the registry's word must not be taken for a change.
        let live = self.with_store(move |store| store.live_versions(id)).await?.into_iter().next();
        if let Some(live) = live.filter(|live| live.until.is_none() && live.source == VersionSource::Endpoint) {
            *lock(&watched.reported) = Some(live.version);
        }
        Ok(watched)
    }

    /// Begins to watch; `announce` writes the change of health that pausing or resuming means.
    pub(crate) async fn begin_watching(&self, endpoint: Endpoint, announce: bool) -> Result<(), EngineError> {
        let paused = endpoint.paused;
        // Boxed: it is by far the largest of the futures that carry a change of settings.
        let watched = Arc::new(Box::pin(self.make_watched(endpoint)).await?);
        let now = self.now();
        let change = lock(&watched.health).set_paused(paused, now);
        if let Some(change) = change.filter(|_| announce) {
            self.record_health(&watched, change, now).await?;
        }
        if !paused {
            self.spawn_loops(&watched);
        }
        let replaced = lock(&self.inner.watched).insert(watched.endpoint.id, watched);
        if let Some(replaced) = replaced {
            // Two changes at once must not leave two loops that probe the same endpoint.
            replaced.cancel.cancel();
        }
        Ok(())
    }

    async fn rewatch(&self, endpoint: Endpoint) -> Result<(), EngineError> {
        let id = endpoint.id;
        if self.is_watching() {
            self.end_watching(id);
            self.begin_watching(endpoint, true).await?;
        }
        self.publish(Topic::Fleet);
        self.publish(Topic::Endpoint(id));
        Ok(())
    }

    /// Takes over, every few seconds, what another process changed in the settings: that one wrote the event and the audit
    /// entry, this one has to watch accordingly.
    pub(crate) async fn follow_settings(&self) {
        // Until the first look succeeds, everything counts as changed.
        let mut seen = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.inner.stop.cancelled() => return,
            }
            // Asked before the settings are read, so that a change in between is seen the next time.
            let looked = match self.with_store(pilothouse_store::Store::foreign_changes).await {
                Ok(version) if seen == Some(version) => continue,
                Ok(version) => self.take_over_settings().await.map(|()| {
                    self.announce_foreign_changes();
                    version
                }),
                Err(error) => Err(error),
            };
            match looked {
                Ok(version) => seen = Some(version),
                Err(error) => tracing::error!(%error, "the settings could not be read again"),
            }
        }
    }

    /// Says, every few seconds, that what another process wrote is stale here: for a process that shows a database which
    /// another one watches.
    pub(crate) async fn follow_watcher(&self) {
        let mut seen = None;
        loop {
            match self.with_store(pilothouse_store::Store::foreign_changes).await {
                Ok(version) if seen == Some(version) => {}
                Ok(version) => {
                    // The first look only remembers: nothing shown is older than it.
                    if seen.replace(version).is_some() {
                        self.announce_everything().await;
                    }
                }
                Err(error) => tracing::error!(%error, "what another process wrote could not be noticed"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.inner.stop.cancelled() => return,
            }
        }
    }

    async fn announce_everything(&self) {
        match self.with_store(pilothouse_store::Store::endpoints).await {
            Ok(endpoints) => {
                for endpoint in endpoints {
                    let id = endpoint.id;
                    for topic in [Topic::Endpoint(id), Topic::Quality(id), Topic::Versions(id), Topic::Rollbacks(id)] {
                        self.publish(topic);
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the endpoints could not be read again"),
        }
        self.publish(Topic::Fleet);
        self.announce_foreign_changes();
    }

    /// What another process may have written beside the endpoints.
    fn announce_foreign_changes(&self) {
        for topic in [Topic::Timeline, Topic::Audit, Topic::Settings, Topic::GoldenSets, Topic::Secrets] {
            self.publish(topic);
        }
    }

    pub(crate) async fn take_over_settings(&self) -> Result<(), EngineError> {
        let _changing = self.inner.changing.lock().await;
        let stored = self.with_store(pilothouse_store::Store::endpoints).await?;
        let known: Vec<EndpointId> = lock(&self.inner.watched).keys().copied().collect();
        let mut changed = false;
        let stored_ids: BTreeSet<EndpointId> = stored.iter().map(|endpoint| endpoint.id).collect();
        for gone in known.into_iter().filter(|id| !stored_ids.contains(id)) {
            self.end_watching(gone);
            changed = true;
        }
        for endpoint in stored {
            if self.watched(endpoint.id).is_none_or(|watched| watched.endpoint != endpoint) {
                tracing::info!(endpoint = %endpoint.name, "another process changed the settings");
                self.rewatch(endpoint).await?;
                changed = true;
            }
        }
        if changed {
            self.publish(Topic::Fleet);
        }
        Ok(())
    }

    fn end_watching(&self, id: EndpointId) {
        if let Some(watched) = lock(&self.inner.watched).remove(&id) {
            watched.cancel.cancel();
        }
    }

    /// When the next evaluation of an endpoint is due.
    pub fn next_evaluation(&self, id: EndpointId) -> Option<TimestampMs> {
        self.watched(id).and_then(|watched| *lock(&watched.next_evaluation))
    }

    /// The version that the endpoint's own answers report, as far as this process heard it.
    pub fn reported_version(&self, id: EndpointId) -> Option<pilothouse_domain::VersionId> {
        self.watched(id).and_then(|watched| lock(&watched.reported).clone())
    }
}

/// Names of all secrets that an endpoint refers to.
pub(crate) fn secrets_of(endpoint: &Endpoint) -> Vec<&str> {
    let mut names: Vec<&str> = endpoint.auths().into_iter().flat_map(Auth::secrets).collect();
    names.extend(endpoint.target.tls.client_key_secret.as_deref());
    names.extend(endpoint.target.network.secrets());
    names
}

/// Settings as JSON for the audit list. They hold references to secrets, never values.
pub(crate) fn settings_json(endpoint: &Endpoint) -> Value {
    serde_json::to_value(endpoint).unwrap_or(Value::Null)
}
