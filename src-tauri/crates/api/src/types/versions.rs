//! The Versions tab.

use super::{VersionFacts, border};

border! {
    /// Versions of an endpoint.
    pub struct Versions {
        /// Control plane in words; `null` when none is configured.
        pub control_plane: Option<String>,
        /// Live version as the control plane says.
        pub current: Option<String>,
        /// Live version as the endpoint itself reports, if it does.
        pub reported: Option<String>,
        /// Every version, newest first.
        pub versions: Vec<VersionFacts>,
        /// Who was live when, newest first.
        pub live: Vec<LiveStretch>,
        /// Why the control plane's list is missing.
        pub error: Option<crate::ApiError>,
    }

    /// One stretch of time.
    #[derive(Eq)]
    pub struct LiveStretch {
        /// Version.
        pub version: String,
        /// From.
        pub since_ms: i64,
        /// To; `null`: still.
        pub until_ms: Option<i64>,
        /// `endpoint`, `control_plane` or `image` (the tag of the container's image).
        pub source: String,
    }
}
