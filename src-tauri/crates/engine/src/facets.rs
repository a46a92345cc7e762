//! The facets of health: what the server says of itself, asked now and then beside the probes.
//!
//! What must stay true: asking neither delays nor changes a probe; an endpoint is never asked twice at once; a few
//! endpoints at a time are asked, whatever their number; only changes are written down.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilothouse_domain::{Endpoint, FacetState, HealthFacets, Outcome, Probe};
use pilothouse_serving::ModelClient;

use crate::deployment::ready_by_deployment;
use crate::engine::lock;
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic};

/// Endpoints asked at once.
pub(crate) const ASKED_AT_ONCE: usize = 8;

impl Engine {
    /// What the latest words say of an endpoint's health, facet by facet.
    pub async fn health_facets(&self, endpoint: &Endpoint) -> Result<HealthFacets, EngineError> {
        let id = endpoint.id;
        match self.watched(id) {
            Some(watched) => Ok(lock(&watched.facets).clone()),
            None => self.with_store(move |store| store.health_facets(id)).await,
        }
    }

    /// Takes in whether a probe predicted, and asks the server's own health routes: with every probe over a fresh
    /// connection, and whenever the outcome turned.
    pub(crate) async fn follow_facets(
        &self,
        watched: &Arc<Watched>,
        client: &Arc<ModelClient>,
        probe: &Probe,
        fresh: bool,
    ) -> Result<(), EngineError> {
        let (state, detail) = if client.probes_a_prediction() {
            let detail = || Some(probe.detail.clone().unwrap_or_else(|| probe.outcome.phrase().to_owned()));
            match probe.outcome {
                Outcome::Ok => (FacetState::Ok, None),
                Outcome::TargetFailed(_) => (FacetState::Failed, detail()),
                Outcome::Unknown(_) => (FacetState::Unknown, detail()),
            }
        } else {
            (FacetState::NotAsked, Some("its probes send no rows".to_owned()))
        };
        let turned = {
            let mut facets = lock(&watched.facets);
            let before = facets.predicts.state;
            // A failing answer may say something else each time; that alone is not worth a write.
            let changed = facets.predicts.observe(state, detail, probe.due);
            changed && (before != state || state == FacetState::NotAsked)
        };
        if turned {
            self.keep_facets(watched).await?;
        }
        if (fresh || turned) && !watched.asking_facets.swap(true, Ordering::AcqRel) {
            let (engine, watched, client) = (self.clone(), Arc::clone(watched), Arc::clone(client));
            self.inner.tasks.spawn(async move {
                let cancel = watched.cancel.clone();
                tokio::select! {
                    result = engine.ask_facets(&watched, &client) => {
                        if let Err(error) = result {
                            tracing::error!(endpoint = %watched.endpoint.name, %error, "the server's health words could not be kept");
                        }
                    }
                    () = cancel.cancelled() => {}
                }
                watched.asking_facets.store(false, Ordering::Release);
            });
        }
        Ok(())
    }

    async fn ask_facets(&self, watched: &Arc<Watched>, client: &ModelClient) -> Result<(), EngineError> {
        // The semaphore is never closed, so that waiting for it cannot fail.
        let _slot = self.inner.facet_slots.acquire().await;
        let said = client.facets().await;
        let now = self.now();
        // A cloud's readiness is told by its management API, where that can be asked.
        let (ready, detail) = ready_by_deployment(watched).unwrap_or((said.ready.state, said.ready.detail));
        let (changed, answers_tell_no_version, answers) = {
            let mut facets = lock(&watched.facets);
            let live = facets.live.observe(said.live.state, said.live.detail, now);
            let ready = facets.ready.observe(ready, detail, now);
            let answers =
                [&facets.predicts, &facets.ready, &facets.live].iter().any(|facet| facet.state == FacetState::Ok);
            (live || ready, !*lock(&watched.answers_tell_version), answers)
        };
        if changed {
            self.keep_facets(watched).await?;
        }
        // Where answers name no version, the readiness route's word is the best there is.
        match said.version.filter(|_| answers_tell_no_version) {
            Some(version) => self.follow_reported_version(watched, version, now).await,
            None if answers => self.follow_image(watched, now).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn keep_facets(&self, watched: &Watched) -> Result<(), EngineError> {
        let (id, facets) = (watched.endpoint.id, lock(&watched.facets).clone());
        self.with_store(move |store| store.set_health_facets(id, &facets)).await?;
        self.publish(Topic::Endpoint(id));
        Ok(())
    }
}
