//! What the cloud that runs an endpoint says of it.

use super::border;

border! {
    /// What the cloud said, and when it was asked.
    pub struct Deployment {
        /// When it was last asked.
        pub asked_ms: i64,
        /// What it last said; `null` when it never answered.
        pub told: Option<DeploymentTold>,
        /// Why it said nothing the last time it was asked.
        pub problem: Option<String>,
    }

    /// What the cloud said.
    pub struct DeploymentTold {
        /// When it said so.
        pub at_ms: i64,
        /// `serving`, `changing`, `change_failed`, `starting`, `not_serving`, `failed` or `unrecognised`.
        pub state: String,
        /// The cloud's own word; empty where it has none.
        pub word: String,
        /// Variants, deployments, deployed models or served entities, those with most traffic first.
        pub versions: Vec<DeployedVersion>,
        /// The configuration in force.
        pub configuration: Option<String>,
        /// What it is being changed to.
        pub pending: Option<String>,
        /// When the cloud last changed it.
        pub changed_ms: Option<i64>,
        /// Why it failed, in the cloud's words.
        pub problem: Option<String>,
    }

    /// One of the versions behind an endpoint.
    pub struct DeployedVersion {
        /// The name by which answers name it.
        pub name: String,
        /// The model, with its version where the cloud says it.
        pub model: Option<String>,
        /// Share of the traffic, 0 to 1.
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
}
