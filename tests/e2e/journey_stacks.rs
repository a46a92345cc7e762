//! Connecting servers of other stacks from nothing but their URL: one of language models, and one that people write.

use pilothouse_tests::{LANGUAGE_KEY, RealServer};
use serde_json::json;

use crate::pictures::{Pictures, Take as _};
use crate::window::{Home, LATER, SOON, Window};

#[tokio::test]
async fn journey_connect_a_language_model_and_see_how_it_generates() {
    let server = RealServer::llamacpp();
    let home = Home::new();
    let window = Window::open(&home).await;
    let pictures = Pictures::wanted();

    window.click("first-run-connect").await;
    window.type_into("connect-url", server.url.as_str()).await;
    window.click("connect-detect").await;
    window.until_text("connect-need-credential", LATER, |text| text.contains("--api-key")).await;
    pictures.take(&window, "connect-credential").await;
    window.type_into("connect-secret-value", LANGUAGE_KEY).await;
    window.click("connect-secret-store").await;
    let found = window.until_text("connect-found", LATER, |text| text.contains("tiny")).await;
    assert!(found.contains("OpenAI API"), "{found}");

    window.shows("connect-test").await;
    window.type_into("connect-name", "assistant").await;
    window.type_into("connect-environment", "staging").await;
    window.choose("connect-interval", "1000").await;
    if !window.has("connect-prompt-text").await {
        window.click("connect-prompts").await;
    }
    window.type_into("connect-prompt-text", "Say something.").await;
    window.click("connect-test").await;
    window.shows("probe-outcome").await;
    assert_eq!(window.attribute("probe-outcome", "data-outcome").await, "ok");
    pictures.take(&window, "connect-prompts").await;
    window.click("connect-save").await;
    window.until_text("endpoint-name", LATER, |text| text == "assistant").await;
    window.until_state("assistant", "healthy").await;
    says_that_it_lives_and_is_ready(&window).await;

    // What only such a model has: how long until it says something, and how fast it goes on.
    let generation = window.until_text("generation", LATER, |text| text.contains("First token")).await;
    assert!(generation.contains("Between tokens"), "{generation}");
    pictures.take(&window, "generation").await;
    window.close().await;
}

#[tokio::test]
async fn journey_connect_a_service_by_what_its_openapi_document_says() {
    let server = RealServer::bentoml();
    let home = Home::new();
    let window = Window::open(&home).await;
    let pictures = Pictures::wanted();

    window.click("first-run-connect").await;
    window.type_into("connect-url", server.url.as_str()).await;
    window.click("connect-detect").await;
    let found = window.until_text("connect-found", LATER, |text| text.contains("/predict")).await;
    assert!(found.contains("BentoML"), "{found}");
    window.shows("connect-test").await;
    window.type_into("connect-name", "tumours").await;
    window.type_into("connect-environment", "staging").await;
    window.choose("connect-interval", "1000").await;
    window.type_into("connect-probe-rows", &json!([{ "radius": 20.0, "texture": 1.0 }]).to_string()).await;
    window.click("connect-test").await;
    window.shows("probe-outcome").await;
    assert_eq!(window.attribute("probe-outcome", "data-outcome").await, "ok");
    pictures.take(&window, "connect-openapi").await;
    window.click("connect-save").await;
    window.until_text("endpoint-name", LATER, |text| text == "tumours").await;
    window.until_state("tumours", "healthy").await;
    says_that_it_lives_and_is_ready(&window).await;

    // What the server itself says stands beside what we measure.
    window.until_text("server", LATER, |text| text.contains("requests")).await;
    window.until_picture("chart-latency").await;
    pictures.take(&window, "server").await;

    // The same from a command that somebody pasted: nothing is asked of the server.
    window.click("nav-fleet").await;
    window.click("connect-open").await;
    window.click("connect-import").await;
    let command = format!(
        "curl -X POST {}predict -H 'Content-Type: application/json' -d '{{\"instances\": [[20, 1]]}}'",
        server.url
    );
    window.type_into("import-text", &command).await;
    window.click("import-read").await;
    window.until_text("import-view", SOON, |text| text.contains(server.url.as_str())).await;
    pictures.take(&window, "import").await;
    window.close().await;
}

/// The server's own health routes were found, beside the prediction.
async fn says_that_it_lives_and_is_ready(window: &Window) {
    for facet in ["facet-live", "facet-ready", "facet-predicts"] {
        window.until_text(facet, LATER, |text| text.contains("Yes")).await;
    }
}
