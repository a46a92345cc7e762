//! What the cloud says of an endpoint that it runs: asked at a slow pace beside the probes, and kept.
//!
//! What must stay true: the cloud's word never decides the health; that it cannot be asked says nothing about the model;
//! where traffic is divided, no single answer's version is taken for the version of the endpoint.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    Deployment, DeploymentLook, DeploymentState, Endpoint, EventKind, FacetState, TimestampMs, VersionId,
};
use pilothouse_serving::{DeploymentClient, ModelMetadata, VersionState};
use tokio::time::Instant;

use crate::engine::lock;
use crate::scheduler::{next_turn, phase};
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic};

/// How often a cloud is asked; its management APIs allow few requests.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// The first question comes within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(4);
/// So many answers are looked at to tell which versions are live, where the cloud does not say it. A version with a tenth of
/// the traffic is missed by all of them once in two hundred times.
const ANSWERS_KEPT: usize = 50;

/// The versions that the latest answers came from.
#[derive(Debug, Default)]
pub(crate) struct AnsweringVersions(VecDeque<VersionId>);

impl AnsweringVersions {
    /// Takes in one answer's version; all that answered lately, as one text.
    fn observe(&mut self, version: VersionId) -> VersionId {
        self.0.push_back(version);
        if self.0.len() > ANSWERS_KEPT {
            self.0.pop_front();
        }
        let names: BTreeSet<&str> = self.0.iter().map(VersionId::as_str).collect();
        VersionId(names.into_iter().collect::<Vec<_>>().join(" · "))
    }
}

impl Engine {
    /// What the cloud that runs an endpoint said of it last; `None` where none was asked.
    pub async fn deployment(&self, endpoint: &Endpoint) -> Result<Option<DeploymentLook>, EngineError> {
        let id = endpoint.id;
        match self.watched(id) {
            Some(watched) => Ok(lock(&watched.deployment).clone()),
            None => self.with_store(move |store| store.deployment(id)).await,
        }
    }

    /// A client for the management API that describes an endpoint, with its credential; `None` where there is none.
    async fn deployment_client(&self, endpoint: &Endpoint) -> Result<Option<DeploymentClient>, EngineError> {
        let target = &endpoint.target;
        let credential = self.credential(target.management_auth.as_ref().unwrap_or(&target.auth)).await?;
        let identity = self.identity(&target.tls).await?;
        let transport = self.transport(&target.network).await?;
        Ok(DeploymentClient::new(transport, target, credential, identity)?)
    }

    async fn deployment_client_of(&self, watched: &Watched) -> Result<Option<Arc<DeploymentClient>>, EngineError> {
        let mut client = watched.deployment_client.lock().await;
        if client.is_none() {
            *client = self.deployment_client(&watched.endpoint).await?.map(Arc::new);
        }
        Ok(client.clone())
    }

    /// What the cloud says of the versions behind an endpoint, as metadata of its model; empty where it cannot be asked.
    pub(crate) async fn metadata_of_cloud(&self, endpoint: &Endpoint) -> Result<ModelMetadata, EngineError> {
        let name = endpoint.target.model.clone().unwrap_or_default();
        let Some(client) = self.deployment_client(endpoint).await? else {
            return Ok(ModelMetadata { name, ..ModelMetadata::default() });
        };
        let told = client
            .describe()
            .await
            .map_err(|failure| EngineError::Undescribed { endpoint: endpoint.name.clone(), why: failure.detail })?;
        let states = told.versions.into_iter().map(|version| {
            let share = version.share.map(pilothouse_domain::deployment::percent);
            VersionState {
                version: version.name,
                state: share.into_iter().chain(version.state).collect::<Vec<_>>().join(", "),
                is_default: false,
                workers: version.instances,
                detail: version.model.or(version.detail),
            }
        });
        Ok(ModelMetadata { name, ready: told.state.serves(), states: states.collect(), ..ModelMetadata::default() })
    }

    /// Asks the cloud again and again, until there turns out to be nothing to ask.
    pub(crate) async fn deployment_loop(&self, watched: &Watched) {
        let mut due = Instant::now() + FIRST_WITHIN.mul_f64(phase(watched.endpoint.id));
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = watched.cancel.cancelled() => return,
            }
            let Ok(_slot) = self.inner.metrics_slots.acquire().await else { return };
            let looked = tokio::select! {
                looked = self.look_at_deployment(watched) => looked,
                () = watched.cancel.cancelled() => return,
            };
            match looked {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(endpoint = %watched.endpoint.name, %error, "what the cloud says could not be recorded");
                }
            }
            due = next_turn(due, ASK_EVERY, Instant::now());
        }
    }

    /// Asks the cloud once and keeps what it says; whether there is anything to ask.
    pub(crate) async fn look_at_deployment(&self, watched: &Watched) -> Result<bool, EngineError> {
        let said = match self.deployment_client_of(watched).await {
            Ok(Some(client)) => client.describe().await.map_err(|failure| failure.detail),
            Ok(None) => return Ok(false),
            // Our own keyring or settings: said in the place of the description, and tried again.
            Err(error) => Err(error.to_string()),
        };
        let (at, before) = (self.now(), lock(&watched.deployment).clone());
        let earlier = before.and_then(|look| look.told);
        let look = match said {
            Ok(deployment) => {
                self.follow_deployment(watched, earlier.map(|(_, deployment)| deployment), &deployment, at).await?;
                DeploymentLook { asked: at, told: Some((at, deployment)), problem: None }
            }
            Err(problem) => DeploymentLook { asked: at, told: earlier, problem: Some(problem) },
        };
        *lock(&watched.deployment) = Some(look.clone());
        let id = watched.endpoint.id;
        self.with_store(move |store| store.set_deployment(id, &look)).await?;
        if let Some((state, detail)) = ready_by_deployment(watched) {
            let changed = lock(&watched.facets).ready.observe(state, detail, at);
            if changed {
                self.keep_facets(watched).await?;
            }
        }
        self.publish(Topic::Endpoint(id));
        Ok(true)
    }

    /// Writes down what is new: another state, and other versions or shares of the traffic.
    async fn follow_deployment(
        &self,
        watched: &Watched,
        before: Option<Deployment>,
        now: &Deployment,
        at: TimestampMs,
    ) -> Result<(), EngineError> {
        let news = match &before {
            Some(before) => (before.state, &before.word, &before.problem) != (now.state, &now.word, &now.problem),
            None => now.state != DeploymentState::Serving,
        };
        if news {
            let kind = EventKind::DeploymentChanged {
                state: now.state.as_str().to_owned(),
                word: now.word.clone(),
                problem: now.problem.clone(),
            };
            self.record_event(Some(watched.endpoint.id), at, kind).await?;
        }
        // Checks of one version by its name say themselves which one it is.
        if let (Some(live), None) = (now.live(), &watched.endpoint.target.model_version) {
            self.observe_version(watched, live, at, VersionSource::ControlPlane).await?;
        }
        Ok(())
    }

    /// The version of the endpoint after an answer that came from `answering`; `None` where the cloud says it better.
    pub(crate) fn version_after_answer(watched: &Watched, answering: VersionId) -> Option<VersionId> {
        let target = &watched.endpoint.target;
        if !target.protocol.divides_traffic() || target.model_version.is_some() {
            return Some(answering);
        }
        let seen = lock(&watched.answering).observe(answering);
        let told = lock(&watched.deployment).as_ref().is_some_and(|look| look.problem.is_none() && look.told.is_some());
        (!told).then_some(seen)
    }
}

/// Whether the cloud says that the model is ready to answer; `None` where it is not asked.
pub(crate) fn ready_by_deployment(watched: &Watched) -> Option<(FacetState, Option<String>)> {
    let look = lock(&watched.deployment);
    let look = look.as_ref()?;
    let (None, Some((_, told))) = (&look.problem, &look.told) else {
        return Some((FacetState::Unknown, look.problem.clone()));
    };
    let state = match told.state.serves() {
        Some(true) => FacetState::Ok,
        Some(false) => FacetState::Failed,
        None => FacetState::Unknown,
    };
    let problem = told.problem.as_deref().filter(|_| told.state != DeploymentState::Serving);
    let detail = match (told.word.as_str(), problem) {
        ("", problem) => problem.map(str::to_owned),
        (word, None) => Some(word.to_owned()),
        (word, Some(problem)) => Some(format!("{word}: {problem}")),
    };
    Some((state, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_answer_in_turn_are_one_state_and_no_change() {
        let mut answering = AnsweringVersions::default();
        let mut see = |name: &str| answering.observe(VersionId::from(name)).0;
        assert_eq!(see("v1"), "v1");
        assert_eq!(see("v2"), "v1 · v2");
        assert_eq!(see("v1"), "v1 · v2");
        for _ in 0..ANSWERS_KEPT - 2 {
            assert_eq!(see("v2"), "v1 · v2");
        }
        assert_eq!(see("v2"), "v1 · v2", "the last v1 is still among them");
        assert_eq!(see("v2"), "v2");
    }
}
