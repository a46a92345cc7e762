//! Requests and responses: what crosses the border to the window and the command line.
//!
//! What must stay true: no secret value except in [`secrets::SecretSetRequest`] and in the text of an
//! import ([`import::ImportReadRequest`]), both on their way in; times are epoch milliseconds, durations
//! carry their unit in the name; every type is generated into `ui/src/backend/gen/types.ts`.

pub mod charts;
pub mod configuration;
pub mod connect;
pub mod demo;
pub mod deployment;
pub mod discovery;
pub mod endpoint;
pub mod explain;
pub mod fleet;
pub mod generation;
pub mod import;
pub mod model;
pub mod network;
pub mod rollback;
pub mod secrets;
pub mod server;
pub mod settings;
pub mod timeline;
pub mod versions;

pub use charts::*;
pub use configuration::*;
pub use connect::*;
pub use demo::*;
pub use deployment::*;
pub use discovery::*;
pub use endpoint::*;
pub use explain::*;
pub use fleet::*;
pub use generation::*;
pub use import::*;
pub use model::*;
pub use network::*;
pub use rollback::*;
pub use secrets::*;
pub use server::*;
pub use settings::*;
pub use timeline::*;
pub use versions::*;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Derives what every border type needs.
macro_rules! border {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)*) => {
        $(
            #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, ts_rs::TS)]
            #[ts(export_to = "types.ts")]
            #[serde(rename_all = "snake_case")]
            $(#[$meta])*
            pub $kind $name $body
        )*
    };
}
pub(crate) use border;

/// A request without parameters, and an answer without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[ts(export_to = "types.ts")]
pub struct Empty {}

border! {
    /// Names one endpoint.
    pub struct EndpointRequest {
        /// Its id.
        pub id: i64,
    }

    /// The id of what was made.
    pub struct Created {
        /// The id.
        pub id: i64,
    }

    /// One estimate with its 95 % interval.
    pub struct MetricValue {
        /// Standard name.
        pub name: String,
        /// The estimate; `null` when undefined.
        pub value: Option<f64>,
        /// Lower end.
        pub low: Option<f64>,
        /// Upper end.
        pub high: Option<f64>,
        /// How the interval was made.
        pub method: String,
        /// Why something is missing.
        pub why: Option<String>,
    }
}
