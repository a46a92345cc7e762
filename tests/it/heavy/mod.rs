//! The stacks whose servers take gigabytes; `cargo xtask test --all` runs these.

use pilothouse_tests::RealServer;

use crate::stacks::apps::instances;
use crate::stacks::conformance::{Access, Detected, Stack, TWO_TUMOURS, conforms};

#[tokio::test(flavor = "multi_thread")]
async fn ray_serve() {
    conforms(&Stack {
        name: "Ray Serve",
        start: RealServer::ray_serve,
        detected: Detected { protocol: None, server: "unknown", version: None, model: None, predict: None },
        settings: |draft| {
            instances(draft, "/predictions", Some("/version"));
            draft.json.as_mut().unwrap().path = "/tumours".into();
        },
        access: Access::Gate,
        examples: TWO_TUMOURS,
        version: Some("1"),
    })
    .await;
}
