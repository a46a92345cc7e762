//! Health and quality as this process knows them: of what it watches from memory, of the rest from the store.
//!
//! What it hides: which of the two. What must stay true: a quality that did not change is the very allocation of the look
//! before, so that a caller sees it by comparing pointers; an endpoint that is not watched is judged once per evaluation
//! and not once per look.

use std::collections::HashMap;
use std::sync::Arc;

use pilothouse_domain::{Endpoint, EndpointId, GoldenSetId, Health, HealthState};
use pilothouse_store::{QualityMark, Store};

use crate::engine::lock;
use crate::quality::QualityState;
use crate::watch::Watched;
use crate::{Engine, EngineError};

/// Health and quality of one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointState {
    /// Its health, since when and why.
    pub health: HealthState,
    /// What its latest evaluation says.
    pub quality: Arc<QualityState>,
}

/// A judgement from the store with what it was made from: nothing for an endpoint without golden set or evaluation.
pub(crate) struct Judged {
    basis: Option<(GoldenSetId, QualityMark)>,
    quality: Arc<QualityState>,
}

impl Engine {
    /// The states of these endpoints, in their order.
    pub async fn states_of(&self, endpoints: &[Arc<Endpoint>]) -> Result<Vec<EndpointState>, EngineError> {
        let watched = lock(&self.inner.watched).clone();
        let (mut health, marks) = if endpoints.iter().all(|endpoint| watched.contains_key(&endpoint.id)) {
            Default::default()
        } else {
            self.with_store(|store| Ok((store.health()?, store.quality_marks()?))).await?
        };
        let mut states = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let id = endpoint.id;
            states.push(match watched.get(&id) {
                Some(watched) => {
                    EndpointState { health: watched.health_state(), quality: Arc::clone(&lock(&watched.quality)) }
                }
                None => EndpointState {
                    health: stored_or_new(health.remove(&id), endpoint),
                    quality: self.judged(endpoint, marks.get(&id).copied()).await?,
                },
            });
        }
        self.forget_judged(endpoints);
        Ok(states)
    }

    /// The state of one endpoint as this process knows it: health, since when, why. From the store when this process does
    /// not watch it.
    pub async fn health_of(&self, endpoint: &Endpoint) -> Result<HealthState, EngineError> {
        let id = endpoint.id;
        if let Some(watched) = self.watched(id) {
            return Ok(watched.health_state());
        }
        let stored = self.with_store(move |store: &Store| store.health_of(id)).await?;
        Ok(stored_or_new(stored, endpoint))
    }

    /// The quality of an endpoint as this process knows it.
    pub async fn quality_of(&self, endpoint: &Endpoint) -> Result<Arc<QualityState>, EngineError> {
        match self.watched(endpoint.id) {
            Some(watched) => Ok(Arc::clone(&lock(&watched.quality))),
            None => Ok(Arc::new(self.quality_from_store(endpoint).await?)),
        }
    }

    async fn judged(&self, endpoint: &Endpoint, mark: Option<QualityMark>) -> Result<Arc<QualityState>, EngineError> {
        let basis = endpoint.evaluation.as_ref().map(|config| config.golden_set).zip(mark);
        let known = lock(&self.inner.judged).get(&endpoint.id).map(|known| (known.basis, Arc::clone(&known.quality)));
        if let Some((_, quality)) = known.filter(|(known, _)| *known == basis) {
            return Ok(quality);
        }
        // The mark was read before: whatever comes in between is judged again the next time.
        let quality = match basis {
            Some(_) => Arc::new(self.quality_from_store(endpoint).await?),
            None => Arc::default(),
        };
        lock(&self.inner.judged).insert(endpoint.id, Judged { basis, quality: Arc::clone(&quality) });
        Ok(quality)
    }

    /// Forgets what was judged of endpoints that are gone.
    fn forget_judged(&self, endpoints: &[Arc<Endpoint>]) {
        let mut judged = lock(&self.inner.judged);
        if judged.len() > endpoints.len() {
            let here: std::collections::HashSet<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
            judged.retain(|id, _| here.contains(id));
        }
    }
}

impl Watched {
    fn health_state(&self) -> HealthState {
        let tracker = lock(&self.health);
        HealthState { health: tracker.health(), since: tracker.since(), reason: tracker.reason() }
    }
}

fn stored_or_new(stored: Option<HealthState>, endpoint: &Endpoint) -> HealthState {
    stored.unwrap_or_else(|| HealthState {
        health: if endpoint.paused { Health::Paused } else { Health::Unknown },
        since: endpoint.created,
        reason: "not checked yet".to_owned(),
    })
}

/// The judgements kept by an engine.
pub(crate) type JudgedEndpoints = HashMap<EndpointId, Judged>;
