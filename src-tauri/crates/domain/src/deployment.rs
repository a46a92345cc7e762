//! What a cloud says of an endpoint that it runs: its state, the versions behind it and how its traffic is divided.
//!
//! What must stay true: several versions live at once is the normal case, and none of them is guessed to be *the* version;
//! the cloud's own word is kept beside our reading of it; a change under way is no failure.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{TimestampMs, VersionId};

/// Our reading of a cloud's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// It serves.
    Serving,
    /// It serves while something is changed.
    Changing,
    /// It serves, and its last change failed.
    ChangeFailed,
    /// It is being made and does not serve yet.
    Starting,
    /// It does not serve, and nothing failed: stopped, without traffic, being removed.
    NotServing,
    /// It does not serve because it failed.
    Failed,
    /// The cloud uses a word that is not known here.
    Unrecognised,
}

impl DeploymentState {
    /// The word used in the API, the CLI and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Changing => "changing",
            Self::ChangeFailed => "change_failed",
            Self::Starting => "starting",
            Self::NotServing => "not_serving",
            Self::Failed => "failed",
            Self::Unrecognised => "unrecognised",
        }
    }

    /// Whether the cloud says that requests are answered; `None` when that is not known.
    pub const fn serves(self) -> Option<bool> {
        match self {
            Self::Serving | Self::Changing | Self::ChangeFailed => Some(true),
            Self::Starting | Self::NotServing | Self::Failed => Some(false),
            Self::Unrecognised => None,
        }
    }
}

/// What a cloud says of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Our reading of its word.
    pub state: DeploymentState,
    /// The cloud's own word; empty where it has none. Untrusted text, as are all texts here.
    pub word: String,
    /// The production variants, deployments, deployed models or served entities, those with most traffic first.
    pub versions: Vec<DeployedVersion>,
    /// The name or number of the configuration that is in force.
    pub configuration: Option<String>,
    /// What it is being changed to.
    pub pending: Option<String>,
    /// When the cloud last changed it.
    pub changed: Option<TimestampMs>,
    /// Why it failed, in the cloud's words.
    pub problem: Option<String>,
}

/// One of the versions behind an endpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeployedVersion {
    /// The name by which answers name it.
    pub name: String,
    /// The model, with its version where the cloud says it.
    pub model: Option<String>,
    /// Its share of the traffic, 0 to 1.
    pub share: Option<f64>,
    /// The share that it is to have, where that is another one.
    pub share_wanted: Option<f64>,
    /// The cloud's word for its state.
    pub state: Option<String>,
    /// Instances that run it.
    pub instances: Option<u32>,
    /// What else the cloud says of it.
    pub detail: Option<String>,
}

impl Deployment {
    /// Puts the versions with most traffic first; equal ones stand by name.
    pub fn sort(&mut self) {
        self.versions.sort_by(|a, b| {
            let by_share = b.share.unwrap_or(0.0).partial_cmp(&a.share.unwrap_or(0.0)).unwrap_or(Ordering::Equal);
            by_share.then_with(|| a.name.cmp(&b.name))
        });
    }

    /// The versions that are given traffic, as one text: `v2`, or `v2 90 % · v1 10 %`; `None` when none is.
    pub fn live(&self) -> Option<VersionId> {
        let live: Vec<&DeployedVersion> =
            self.versions.iter().filter(|version| version.share.is_none_or(|share| share > 0.0)).collect();
        match live.as_slice() {
            [] => None,
            [only] => Some(VersionId(only.name.clone())),
            several => {
                let parts = several.iter().map(|version| match version.share {
                    Some(share) => format!("{} {}", version.name, percent(share)),
                    None => version.name.clone(),
                });
                Some(VersionId(parts.collect::<Vec<_>>().join(" · ")))
            }
        }
    }
}

/// A share as people write it: `90 %`, `0.5 %`, at most one decimal.
pub fn percent(share: f64) -> String {
    let rounded = (share * 1_000.0).round() / 10.0;
    if rounded == 0.0 && share > 0.0 { "<0.1 %".to_owned() } else { format!("{rounded} %") }
}

/// The latest look at a deployment, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentLook {
    /// When the cloud was last asked.
    pub asked: TimestampMs,
    /// What it last said, and when.
    pub told: Option<(TimestampMs, Deployment)>,
    /// Why it said nothing the last time it was asked. At most 300 characters, never with a secret.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_live_versions_are_shown_with_their_shares() {
        let check = |versions: &[(&str, Option<f64>)], expect: Option<&str>| {
            let versions = versions.iter().map(|&(name, share)| DeployedVersion {
                name: name.into(),
                share,
                ..DeployedVersion::default()
            });
            let mut deployment = Deployment {
                state: DeploymentState::Serving,
                word: String::new(),
                versions: versions.collect(),
                configuration: None,
                pending: None,
                changed: None,
                problem: None,
            };
            deployment.sort();
            assert_eq!(deployment.live().as_ref().map(VersionId::as_str), expect);
        };
        check(&[], None);
        check(&[("v1", Some(1.0))], Some("v1"));
        check(&[("v1", None)], Some("v1"));
        check(&[("v1", Some(1.0)), ("v2", Some(0.0))], Some("v1"));
        check(&[("v1", Some(0.1)), ("v2", Some(0.9))], Some("v2 90 % · v1 10 %"));
        check(&[("b", Some(0.5)), ("a", Some(0.5))], Some("a 50 % · b 50 %"));
        check(
            &[("v1", Some(0.125)), ("v2", Some(0.8749)), ("v3", Some(0.0001))],
            Some("v2 87.5 % · v1 12.5 % · v3 <0.1 %"),
        );
        check(&[("v1", Some(0.0))], None);
    }
}
