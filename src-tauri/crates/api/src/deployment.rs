//! What the cloud that runs an endpoint says of it, as it crosses the border.

use pilothouse_domain::DeploymentLook;

use crate::types::{DeployedVersion, Deployment, DeploymentTold};

/// The counterpart of the latest look at a deployment.
pub(crate) fn deployment(look: DeploymentLook) -> Deployment {
    let told = look.told.map(|(at, told)| DeploymentTold {
        at_ms: at.0,
        state: told.state.as_str().to_owned(),
        word: told.word,
        versions: told
            .versions
            .into_iter()
            .map(|version| DeployedVersion {
                name: version.name,
                model: version.model,
                share: version.share,
                share_wanted: version.share_wanted,
                state: version.state,
                instances: version.instances,
                detail: version.detail,
            })
            .collect(),
        configuration: told.configuration,
        pending: told.pending,
        changed_ms: told.changed.map(|at| at.0),
        problem: told.problem,
    });
    Deployment { asked_ms: look.asked.0, told, problem: look.problem }
}
