//! The stacks whose servers take gigabytes; `cargo xtask test --all` runs these.

use pilothouse_api::types::AuthDraft;
use pilothouse_tests::RealServer;

use crate::stacks::apps::instances;
use crate::stacks::conformance::{Access, Asked, Detected, SECRET, Stack, TWO_TUMOURS, Version, conforms};

#[tokio::test(flavor = "multi_thread")]
async fn torchserve() {
    conforms(&Stack {
        name: "TorchServe",
        start: RealServer::torchserve,
        detected: Some(Detected {
            protocol: Some("torchserve"),
            server: "torchserve",
            version: None,
            model: None,
            predict: None,
        }),
        settings: |_, draft| {
            draft.protocol = "torchserve".into();
            draft.model = Some("tumours".into());
        },
        access: Access::Own(|server| (AuthDraft::Bearer { secret: SECRET.into() }, server.torchserve_key("inference"))),
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Untold,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ray_serve() {
    conforms(&Stack {
        name: "Ray Serve",
        start: RealServer::ray_serve,
        detected: Some(Detected {
            protocol: Some("json"),
            server: "ray-serve",
            version: None,
            model: None,
            predict: None,
        }),
        settings: |_, draft| {
            instances(draft, "/predictions", Some("/version"));
            draft.json.as_mut().unwrap().path = "/tumours".into();
        },
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("1"),
    })
    .await;
}
