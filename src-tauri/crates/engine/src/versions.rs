//! Which version is live, and since when. Registries keep no such history, so each change seen is written down here.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_control::{ControlPlane, ControlState};
use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    Auth, ControlPlaneConfig, Endpoint, EndpointId, EventKind, TimestampMs, VersionId, endpoint::Reload,
};

use crate::engine::lock;
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic};

/// How often a control plane is asked which version it points at.
const ASK_EVERY: Duration = Duration::from_secs(30);

impl Engine {
    /// The control plane of an endpoint, with its credential from the keyring.
    pub(crate) async fn control_plane(&self, endpoint: &Endpoint) -> Result<Arc<dyn ControlPlane>, EngineError> {
        let Some(config) = &endpoint.control_plane else {
            return Err(EngineError::NoControlPlane(endpoint.name.clone()));
        };
        let (auth, reload_auth) = match config {
            ControlPlaneConfig::Demo { .. } => (&Auth::None, &Auth::None),
            ControlPlaneConfig::Mlflow { auth, reload: Some(Reload::Http { auth: reload_auth, .. }), .. } => {
                (auth, reload_auth)
            }
            ControlPlaneConfig::Mlflow { auth, .. } => (auth, &Auth::None),
        };
        let target = &endpoint.target;
        let (credential, reload_credential) =
            (self.authorizer(auth, target).await?, self.authorizer(reload_auth, target).await?);
        let identity = self.identity(&target.tls).await?;
        let client = self.transport(&target.network).await?.control_client(&target.tls, identity);
        Ok(pilothouse_control::connect(config, client, credential, reload_credential)?)
    }

    /// Asks the control plane for its versions, and writes down what is live.
    pub async fn control_state(&self, id: EndpointId) -> Result<ControlState, EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        self.refresh_control_state(&watched).await
    }

    pub(crate) async fn refresh_control_state(&self, watched: &Watched) -> Result<ControlState, EngineError> {
        let plane = self.control_plane(&watched.endpoint).await?;
        let state = plane.state().await?;
        let changed =
            lock(&watched.control).replace(state.clone()).is_none_or(|before| before.fingerprint != state.fingerprint);
        // An endpoint that reports its version knows better than the registry what it serves.
        if lock(&watched.reported).is_none()
            && let Some(current) = state.current.clone()
        {
            self.observe_version(watched, current, self.now(), VersionSource::ControlPlane).await?;
        }
        if changed {
            self.publish(Topic::Versions(watched.endpoint.id));
        }
        Ok(state)
    }

    pub(crate) async fn version_loop(&self, watched: &Watched) {
        // A first probe tells whether the endpoint itself reports its version.
        let mut wait = Duration::from_secs(3);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = watched.cancel.cancelled() => return,
            }
            wait = ASK_EVERY;
            if let Err(error) = self.refresh_control_state(watched).await {
                tracing::warn!(endpoint = %watched.endpoint.name, %error, "the control plane does not tell its versions");
            }
        }
    }

    pub(crate) async fn observe_version(
        &self,
        watched: &Watched,
        version: VersionId,
        at: TimestampMs,
        source: VersionSource,
    ) -> Result<(), EngineError> {
        let id = watched.endpoint.id;
        let seen = version.clone();
        let Some(change) = self.with_store(move |store| store.observe_version(id, &seen, at, source)).await? else {
            return Ok(());
        };
        tracing::info!(endpoint = %watched.endpoint.name, version = %version, "another version is live");
        self.record_event(Some(id), at, EventKind::VersionChanged { from: change.from, to: change.to }).await?;
        self.publish(Topic::Versions(id));
        self.publish(Topic::Fleet);
        watched.evaluate_soon.notify_one();
        Ok(())
    }
}
