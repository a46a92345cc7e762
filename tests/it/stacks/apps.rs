//! Servers that people write on a framework: `FastAPI`, `LitServe`, `BentoML`.

use pilothouse_api::types::{AuthDraft, EndpointDraft, JsonDraft};
use pilothouse_tests::{LITSERVE_KEY, RealServer};

use super::conformance::{Access, Asked, Detected, SECRET, Stack, TWO_TUMOURS, Version, conforms};
use super::metadata::Metadata;
use super::server_view::{Page, ServerView};

pub(crate) fn instances(draft: &mut EndpointDraft, prediction: &str, version: Option<&str>) {
    draft.protocol = "json".into();
    draft.json = Some(JsonDraft {
        path: "/predict".into(),
        body: r#"{"instances": "{{rows}}"}"#.into(),
        prediction: prediction.into(),
        version: version.map(str::to_owned),
        live: None,
        ready: None,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi() {
    conforms(&Stack {
        name: "FastAPI",
        start: RealServer::fastapi,
        detected: Some(Detected {
            protocol: Some("json"),
            server: "fastapi",
            version: None,
            model: None,
            predict: Some("/predict"),
        }),
        settings: |_, draft| instances(draft, "/predictions", Some("/version")),
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("1"),
        metadata: Metadata::Untold("its OpenAPI document gives the route and the request, and nothing of the model"),
        metrics: None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn litserve() {
    conforms(&Stack {
        name: "LitServe",
        start: RealServer::litserve,
        detected: Some(Detected {
            protocol: Some("json"),
            server: "litserve",
            version: None,
            model: None,
            predict: Some("/predict"),
        }),
        settings: |_, draft| instances(draft, "/predictions", Some("/version")),
        access: Access::Own(|_| {
            (AuthDraft::Header { name: "X-API-Key".into(), secret: SECRET.into() }, LITSERVE_KEY.to_owned())
        }),
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("1"),
        metadata: Metadata::Untold("it says how to ask it, and nothing of the model"),
        metrics: None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bentoml() {
    conforms(&Stack {
        name: "BentoML",
        start: RealServer::bentoml,
        detected: Some(Detected {
            protocol: Some("json"),
            server: "bentoml",
            version: Some(("apps", "bentoml")),
            model: None,
            predict: Some("/predict"),
        }),
        settings: |_, draft| instances(draft, "", None),
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Untold,
        metadata: Metadata::Untold("its documents give the route and the request, and nothing of the model"),
        metrics: Some(ServerView {
            server: "BentoML",
            page: Page::BesideApi,
            latency: Some("median"),
            told: &["throughput", "in_flight"],
        }),
    })
    .await;
}
