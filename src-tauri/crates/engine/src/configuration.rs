//! The set-up as configuration: what is stored, what differs from a wanted one, and carrying that over.
//!
//! What must stay true: all of it or nothing; what was shown is what is applied (a set-up that changed meanwhile is
//! refused); the same name is the same endpoint, so that its history stays; nothing is removed without being told to.

use std::collections::BTreeMap;

use pilothouse_config::{ConfigError, Configuration, ConfiguredEndpoint, Difference, RetentionDays, SourceFile};
use pilothouse_domain::{AuditEntry, Endpoint, EndpointId, Event, EventKind, GoldenSet, GoldenSetId, TimestampMs};
use pilothouse_secrets::{KeyringState, SecretState};
use pilothouse_store::{StoreError, Transaction};
use serde_json::{Value, json};

use crate::endpoints::{secrets_of, settings_json};
use crate::engine::os_user;
use crate::{Engine, EngineError, Topic};

/// The reason that the audit gives for what was changed by applying a configuration.
const REASON: &str = "configuration applied";

/// A wanted set-up beside the stored one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is wanted.
    pub wanted: Configuration,
    /// What differs.
    pub difference: Difference,
    /// Names the stored set-up as it was when it was compared.
    pub revision: String,
}

/// Secrets that a set-up refers to and this machine does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSecrets {
    /// Names of the secrets, each with the endpoints that use it. Empty when the keyring does not answer.
    pub missing: BTreeMap<String, Vec<String>>,
    /// Whether the keyring answered.
    pub keyring: KeyringState,
}

impl Engine {
    /// The whole set-up as it is stored.
    pub async fn configuration(&self) -> Result<Configuration, EngineError> {
        self.with_store(|store| store.transaction("read the set-up", stored)).await
    }

    /// Reads a configuration and compares it with what is stored.
    pub async fn compare_configuration(&self, files: &[SourceFile]) -> Result<Comparison, EngineError> {
        let current = self.configuration().await?;
        let known = current.golden_sets.iter().map(|set| set.name.clone()).collect();
        let wanted = pilothouse_config::read(files, &known)?;
        let difference = Difference::between(&current, &wanted);
        Ok(Comparison { wanted, difference, revision: current.revision() })
    }

    /// Carries over what was compared, in one transaction; with `prune` endpoints that are not wanted are removed with their
    /// history. Refused when the stored set-up is not the one of `revision` any more.
    pub async fn apply_configuration(
        &self,
        wanted: Configuration,
        revision: &str,
        prune: bool,
    ) -> Result<(), EngineError> {
        let now = self.now();
        let expected = revision.to_owned();
        let applied = {
            let _changing = self.inner.changing.lock().await;
            self.with_store(move |store| {
                store.transaction("apply the configuration", move |transaction| {
                    let current = stored(transaction)?;
                    // Nothing is written yet, so that a refusal leaves nothing behind.
                    if current.revision() != expected {
                        return Ok(Err(EngineError::ConfigurationChanged));
                    }
                    let difference = Difference::between(&current, &wanted);
                    if let Some(set) = difference.golden_sets_changed.iter().find(|set| set.content.is_some()) {
                        return Ok(Err(EngineError::GoldenSetDiffers(set.name.clone())));
                    }
                    Apply { transaction, now, who: os_user() }.all(&wanted, &difference, prune).map(Ok)
                })
            })
            .await??
        };
        for id in &applied.removed {
            let id = *id;
            self.with_store(move |store| store.remove_history(id)).await?;
        }
        self.take_over_settings().await?;
        for id in applied.changed {
            self.publish(Topic::Endpoint(id));
            self.publish(Topic::Quality(id));
            self.publish(Topic::Versions(id));
        }
        for topic in [Topic::Fleet, Topic::Timeline, Topic::Audit, Topic::Settings, Topic::GoldenSets, Topic::Secrets] {
            self.publish(topic);
        }
        Ok(())
    }

    /// Which secrets of a set-up this machine does not hold yet.
    pub async fn missing_secrets(&self, configuration: &Configuration) -> MissingSecrets {
        let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for configured in &configuration.endpoints {
            for name in secrets_of(&configured.endpoint) {
                missing.entry(name.to_owned()).or_default().push(configured.endpoint.name.clone());
            }
        }
        // Without any secret nobody needs the keyring.
        let keyring = if missing.is_empty() { KeyringState::Unlocked } else { self.secrets().availability().await };
        if keyring != KeyringState::Unlocked {
            missing.clear();
        }
        for name in missing.keys().cloned().collect::<Vec<_>>() {
            if self.secrets().state(&name).await != SecretState::Missing {
                missing.remove(&name);
            }
        }
        MissingSecrets { missing, keyring }
    }
}

/// The whole set-up as one transaction sees it.
fn stored(transaction: &Transaction<'_>) -> Result<Configuration, StoreError> {
    let mut golden_sets: Vec<GoldenSet> = Vec::new();
    for summary in transaction.golden_sets()? {
        golden_sets.extend(transaction.golden_set(summary.id)?);
    }
    let names: BTreeMap<GoldenSetId, String> = golden_sets.iter().map(|set| (set.id, set.name.clone())).collect();
    let configured = |mut endpoint: Endpoint| {
        let name = endpoint.evaluation.as_ref().and_then(|evaluation| names.get(&evaluation.golden_set)).cloned();
        if name.is_none() {
            endpoint.evaluation = None;
        }
        ConfiguredEndpoint::new(endpoint, name)
    };
    let endpoints = transaction.endpoints()?.into_iter().map(configured).collect();
    let retention = transaction.setting("retention")?.and_then(|value| serde_json::from_value(value).ok());
    let retention = Some(retention.unwrap_or_default());
    Ok(Configuration { retention, endpoints, golden_sets }.sorted())
}

/// What was changed.
#[derive(Default)]
struct Applied {
    changed: Vec<EndpointId>,
    removed: Vec<EndpointId>,
}

struct Apply<'a, 't> {
    transaction: &'a Transaction<'t>,
    now: TimestampMs,
    who: String,
}

impl Apply<'_, '_> {
    fn all(self, wanted: &Configuration, difference: &Difference, prune: bool) -> Result<Applied, StoreError> {
        self.golden_sets(wanted, difference)?;
        let golden_sets: BTreeMap<String, GoldenSetId> =
            self.transaction.golden_sets()?.into_iter().map(|set| (set.name, set.id)).collect();
        let stored: BTreeMap<String, Endpoint> =
            self.transaction.endpoints()?.into_iter().map(|endpoint| (endpoint.name.clone(), endpoint)).collect();
        let mut applied = Applied::default();
        for configured in &wanted.endpoints {
            let mut endpoint = configured.endpoint.clone();
            if let Some(evaluation) = &mut endpoint.evaluation {
                let name = configured.golden_set.as_deref().unwrap_or_default();
                evaluation.golden_set = *golden_sets.get(name).ok_or_else(|| not_found("golden set", name))?;
            }
            match stored.get(&endpoint.name) {
                None => self.add(endpoint)?,
                Some(before) => {
                    endpoint.id = before.id;
                    endpoint.created = before.created;
                    endpoint.revision = before.revision;
                    if endpoint != *before {
                        self.change(before, &endpoint)?;
                        applied.changed.push(endpoint.id);
                    }
                }
            }
        }
        if prune {
            for name in &difference.only_in_database {
                let Some(endpoint) = stored.get(name) else { continue };
                self.transaction.remove_endpoint(endpoint.id)?;
                self.audit("endpoint.remove", None, settings_json(endpoint), json!({ "removed": name }))?;
                applied.removed.push(endpoint.id);
            }
        }
        if let (Some(retention), false) = (wanted.retention, difference.settings.is_empty()) {
            self.retention(retention)?;
        }
        Ok(applied)
    }

    fn golden_sets(&self, wanted: &Configuration, difference: &Difference) -> Result<(), StoreError> {
        for set in wanted.golden_sets.iter().filter(|set| difference.golden_sets_added.contains(&set.name)) {
            self.transaction.add_golden_set(&GoldenSet { created: self.now, ..set.clone() })?;
        }
        for change in &difference.golden_sets_changed {
            if let Some((_, source)) = &change.source {
                self.transaction.set_golden_set_source(&change.name, source)?;
            }
        }
        Ok(())
    }

    fn add(&self, mut endpoint: Endpoint) -> Result<(), StoreError> {
        endpoint.created = self.now;
        endpoint.id = self.transaction.add_endpoint(&endpoint)?;
        self.event(endpoint.id, EventKind::EndpointAdded)?;
        self.audit("endpoint.add", Some(endpoint.id), Value::Null, settings_json(&endpoint))
    }

    fn change(&self, before: &Endpoint, after: &Endpoint) -> Result<(), StoreError> {
        if before.paused != after.paused {
            self.transaction.pause_endpoint(after.id, after.paused)?;
            self.event(after.id, if after.paused { EventKind::Paused } else { EventKind::Resumed })?;
        }
        if *before != (Endpoint { paused: before.paused, ..after.clone() }) {
            self.transaction.update_endpoint(after)?;
            self.event(after.id, EventKind::EndpointChanged)?;
        }
        self.audit("endpoint.update", Some(after.id), settings_json(before), settings_json(after))
    }

    fn retention(&self, retention: RetentionDays) -> Result<(), StoreError> {
        let before = self.transaction.setting("retention")?.unwrap_or_default();
        let after = json!(retention);
        self.transaction.set_setting("retention", &after)?;
        self.audit("settings.update", None, json!({ "retention": before }), json!({ "retention": after }))
    }

    fn event(&self, endpoint: EndpointId, kind: EventKind) -> Result<(), StoreError> {
        self.transaction.append_event(&Event { id: 0, at: self.now, endpoint: Some(endpoint), kind }).map(drop)
    }

    fn audit(&self, action: &str, endpoint: Option<EndpointId>, before: Value, after: Value) -> Result<(), StoreError> {
        let entry = AuditEntry {
            id: 0,
            at: self.now,
            who: self.who.clone(),
            action: action.to_owned(),
            endpoint,
            reason: REASON.to_owned(),
            before,
            after,
            evidence: Value::Null,
        };
        self.transaction.append_audit(&entry).map(drop)
    }
}

fn not_found(what: &'static str, name: &str) -> StoreError {
    StoreError::NotFound { what, id: name.to_owned() }
}

impl EngineError {
    /// What is wrong with the configuration, where that is the failure.
    pub fn configuration_problems(&self) -> Option<&[pilothouse_config::Problem]> {
        match self {
            Self::Configuration(ConfigError::Invalid(problems)) => Some(problems),
            _ => None,
        }
    }
}
