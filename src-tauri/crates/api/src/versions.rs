//! The Versions tab, and what we measured of each version.

use std::collections::HashMap;

use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    ControlPlaneConfig, Endpoint, EndpointId, Evaluation, LiveVersion, ModelVersion, TimestampMs, VersionId,
};

use crate::types::{EndpointRequest, LiveStretch, NamedValue, VersionFacts, Versions};
use crate::{Api, ApiError, convert};

impl Api {
    /// Every version, who was live when, and what we measured. A control plane that does not answer leaves what we know.
    pub async fn versions(&self, request: EndpointRequest) -> Result<Versions, ApiError> {
        let endpoint = self.engine.endpoint(EndpointId(request.id)).await?;
        let (state, error) = match &endpoint.control_plane {
            None => (None, None),
            Some(_) => match self.engine.control_state(endpoint.id).await {
                Ok(state) => (Some(state), None),
                Err(error) => (None, Some(ApiError::from(error))),
            },
        };
        let listed = state.as_ref().map(|state| state.versions.clone()).unwrap_or_default();
        let (versions, live) = self.version_facts(&endpoint, listed).await?;
        Ok(Versions {
            control_plane: endpoint.control_plane.as_ref().map(control_plane_in_words),
            current: state.and_then(|state| state.current).map(|version| version.to_string()),
            reported: self.engine.reported_version(endpoint.id).map(|version| version.to_string()),
            versions,
            live: live.iter().map(stretch).collect(),
            error,
        })
    }

    /// Facts of every version that the control plane lists or that we saw live; and who was live when.
    pub(crate) async fn version_facts(
        &self,
        endpoint: &Endpoint,
        listed: Vec<ModelVersion>,
    ) -> Result<(Vec<VersionFacts>, Vec<LiveVersion>), ApiError> {
        let id = endpoint.id;
        let now = self.engine.now();
        let facts = self
            .engine
            .with_store(move |store| {
                let live = store.live_versions(id)?;
                let mut ids: Vec<VersionId> = listed.iter().map(|version| version.id.clone()).collect();
                for stretch in &live {
                    if !ids.contains(&stretch.version) {
                        ids.push(stretch.version.clone());
                    }
                }
                let listed: HashMap<&VersionId, &ModelVersion> =
                    listed.iter().map(|version| (&version.id, version)).collect();
                let mut facts = Vec::with_capacity(ids.len());
                for version in &ids {
                    let evaluation = store.latest_evaluation(id, Some(version))?;
                    let last = live.iter().find(|stretch| &stretch.version == version);
                    let p95_us = match last {
                        Some(stretch) => p95_while_live(store, stretch, now)?,
                        None => None,
                    };
                    facts.push(facts_of(version, listed.get(version).copied(), evaluation.as_ref(), last, p95_us));
                }
                Ok((facts, live))
            })
            .await?;
        Ok(facts)
    }
}

/// p95 over the last day of a stretch in which a version was live.
fn p95_while_live(
    store: &pilothouse_store::Store,
    stretch: &LiveVersion,
    now: TimestampMs,
) -> Result<Option<f64>, pilothouse_store::StoreError> {
    let to = stretch.until.unwrap_or(now.plus_ms(1));
    let from = stretch.since.max(to.plus_ms(-86_400_000));
    if from >= to {
        return Ok(None);
    }
    Ok(store.summary(stretch.endpoint, from, to)?.p95_us)
}

fn facts_of(
    version: &VersionId,
    listed: Option<&ModelVersion>,
    evaluation: Option<&Evaluation>,
    last: Option<&LiveVersion>,
    p95_us: Option<f64>,
) -> VersionFacts {
    let metrics = listed.map(|listed| &listed.metrics).into_iter().flatten();
    VersionFacts {
        version: version.to_string(),
        quality: evaluation.and_then(Evaluation::main).map(convert::metric),
        p95_us,
        live_from_ms: last.map(|stretch| stretch.since.0),
        live_to_ms: last.and_then(|stretch| stretch.until).map(|until| until.0),
        created_ms: listed.and_then(|listed| listed.created).map(|created| created.0),
        metrics: metrics.map(|(name, value)| NamedValue { name: name.clone(), value: *value }).collect(),
        ready: listed.is_some_and(|listed| listed.ready),
    }
}

fn stretch(live: &LiveVersion) -> LiveStretch {
    LiveStretch {
        version: live.version.to_string(),
        since_ms: live.since.0,
        until_ms: live.until.map(|until| until.0),
        source: match live.source {
            VersionSource::Endpoint => "endpoint",
            VersionSource::ControlPlane => "control_plane",
            VersionSource::Image => "image",
        }
        .to_owned(),
    }
}

pub(crate) fn control_plane_in_words(config: &ControlPlaneConfig) -> String {
    match config {
        ControlPlaneConfig::Demo { model, .. } => format!("Demo registry, model {model}"),
        ControlPlaneConfig::Mlflow { model, alias, .. } => format!("MLflow registry, model {model}, alias {alias}"),
    }
}
