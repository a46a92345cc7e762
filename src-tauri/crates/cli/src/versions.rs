//! `versions`: every version of an endpoint's model.

use clap::Args;
use pilothouse_domain::{ControlPlaneConfig, ModelVersion, VersionId};
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, plain};
use crate::session::{endpoint, with_api};
use crate::times;

/// `versions`
#[derive(Debug, Args)]
pub(crate) struct VersionsOptions {
    /// The endpoint's name
    endpoint: String,
}

/// The control plane's word; the same that `endpoint add --control-plane` takes.
pub(crate) const fn control_plane_word(config: &ControlPlaneConfig) -> &'static str {
    match config {
        ControlPlaneConfig::Demo { .. } => "demo",
        ControlPlaneConfig::Mlflow { .. } => "mlflow",
    }
}

/// Asks the control plane and tells; without one, tells what was seen live.
pub(crate) async fn run(options: &VersionsOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        let endpoint = endpoint(api, &options.endpoint).await?;
        let id = endpoint.id;
        let state = match &endpoint.control_plane {
            Some(_) => Some(api.engine().control_state(id).await?),
            None => None,
        };
        let live = api.engine().with_store(move |store| store.live_versions(id)).await?;
        let now_live = live.iter().find(|stretch| stretch.until.is_none());
        let current: Option<VersionId> = match &state {
            Some(state) => state.current.clone(),
            None => now_live.map(|stretch| stretch.version.clone()),
        };
        let since =
            |version: &VersionId| now_live.filter(|stretch| stretch.version == *version).map(|stretch| stretch.since);
        let mut versions: Vec<ModelVersion> = state.map(|state| state.versions).unwrap_or_default();
        for stretch in &live {
            if versions.iter().all(|version| version.id != stretch.version) {
                versions.push(seen(&stretch.version));
            }
        }
        let listed = versions.iter().map(|version| {
            json!({
                "id": version.id,
                "created_ms": version.created,
                "ready": version.ready,
                "labels": version.labels,
                "metrics": version.metrics,
            })
        });
        let document = json!({
            "control_plane": endpoint.control_plane.as_ref().map(control_plane_word),
            "current": current.as_ref().map(|id| json!({ "id": id, "since_ms": since(id) })),
            "reported": now_live.map(|stretch| &stretch.version),
            "versions": listed.collect::<Vec<_>>(),
        });
        output.answer(&document, || {
            let row = |version: &ModelVersion| {
                let live = if current.as_ref() == Some(&version.id) { "live" } else { "" };
                let created = version.created.map_or_else(|| "-".to_owned(), times::show);
                let metrics: Vec<String> =
                    version.metrics.iter().map(|(name, value)| format!("{} {value:.3}", plain(name))).collect();
                vec![plain(version.id.as_str()), live.to_owned(), created, metrics.join(", ")]
            };
            columns(
                &["version", "", "created", "metrics of the registry"],
                &versions.iter().map(row).collect::<Vec<_>>(),
            )
        });
        Ok(Answer::Good)
    })
    .await
}

/// A version that was live once and that no control plane lists.
fn seen(id: &VersionId) -> ModelVersion {
    ModelVersion { id: id.clone(), created: None, ready: false, labels: [].into(), metrics: [].into() }
}
