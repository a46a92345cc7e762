//! The demo fleet and its faults.

use super::border;

border! {
    /// The running demo fleet.
    pub struct DemoState {
        /// Base URL of its control port.
        pub control_url: String,
        /// One entry per model.
        pub models: Vec<DemoModel>,
    }

    /// One model of the demo fleet.
    #[derive(Eq)]
    pub struct DemoModel {
        /// Model name, equal to its endpoint's name.
        pub name: String,
        /// Fault in force: `none`, `latency`, `errors`, `hang`, `wrong_shape`, `version_defect`.
        pub fault: String,
        /// Whether a version with a defect exists.
        pub has_defect: bool,
    }

    /// Injects a fault.
    #[derive(Eq)]
    pub struct DemoInjectRequest {
        /// Model.
        pub model: String,
        /// Fault word; `none` clears.
        pub fault: String,
    }
}
