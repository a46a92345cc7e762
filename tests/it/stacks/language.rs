//! Servers of language models: their answers are timed piece by piece.

use pilothouse_api::types::AuthDraft;
use pilothouse_tests::{LANGUAGE_KEY, RealServer};

use super::conformance::{Access, Asked, Detected, SECRET, Stack, Version, conforms};
use super::metadata::{Metadata, told};
use super::server_view::{Page, ServerView};

/// A bearer token that the server itself demands.
pub(crate) const OWN_KEY: Access =
    Access::Own(|_| (AuthDraft::Bearer { secret: SECRET.into() }, LANGUAGE_KEY.to_owned()));

#[tokio::test(flavor = "multi_thread")]
async fn llamacpp() {
    conforms(&Stack {
        name: "llama.cpp",
        start: RealServer::llamacpp,
        detected: Some(Detected {
            protocol: Some("openai"),
            server: "llama.cpp",
            version: None,
            model: Some(("tiny", &[])),
            predict: None,
        }),
        settings: |_, draft| {
            draft.protocol = "openai".into();
            draft.model = Some("tiny".into());
        },
        access: OWN_KEY,
        asked: Asked::Text,
        version: Version::Is("tiny"),
        metadata: Metadata::Told(|_| told(&["model tiny", "platform llamacpp"])),
        metrics: Some(ServerView {
            server: "llama.cpp",
            page: Page::BesideApi,
            latency: None,
            told: &["output_tokens", "in_flight", "waiting"],
        }),
    })
    .await;
}
