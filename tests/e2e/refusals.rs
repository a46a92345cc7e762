//! What a script that got into the page could not do.

use pilothouse_testkit::{Behaviour, FakeServer};
use serde_json::json;

use crate::window::{Home, Window};

#[tokio::test]
async fn an_unlisted_command_is_refused() {
    let home = Home::new();
    let window = Window::open(&home).await;
    let answer = window.invoke("fleet", json!({ "request": {} })).await;
    assert!(answer.is_ok(), "a listed command is answered: {answer:?}");

    let path = home.database();
    for (command, payload) in [
        ("nope", json!({})),
        ("secret_get", json!({ "request": { "name": "x" } })),
        ("plugin:fs|read_file", json!({ "path": path })),
        ("plugin:shell|open", json!({ "path": "https://example.com" })),
        ("plugin:shell|execute", json!({ "program": "sh", "args": [] })),
        ("plugin:http|fetch", json!({ "clientConfig": { "url": "https://example.com" } })),
        ("plugin:window|close", json!({ "label": "main" })),
        ("plugin:window|set_title", json!({ "label": "main", "value": "x" })),
        ("plugin:webview|create_webview_window", json!({ "options": { "label": "x", "url": "https://example.com" } })),
        ("plugin:event|emit", json!({ "event": "stale", "payload": {} })),
        ("plugin:path|resolve_directory", json!({ "directory": 1 })),
        ("plugin:app|version", json!({})),
    ] {
        let answer = window.invoke(command, payload).await;
        let refusal = answer.expect_err(command);
        assert!(refusal.contains("not allowed") || refusal.contains("not found"), "{command}: {refusal}");
    }
    // The window is still there and answers.
    window.shows("nav-fleet").await;
    assert!(window.invoke("settings", json!({ "request": {} })).await.is_ok());
    window.close().await;
}

#[tokio::test]
async fn another_origin_is_neither_shown_nor_reached() {
    let elsewhere = FakeServer::start(Behaviour::json("{}")).await;
    let home = Home::new();
    let window = Window::open(&home).await;
    let here = window.url().await;
    let there = elsewhere.at("/taken");

    let frozen = "return Object.isFrozen(Object.prototype) && (() => {
        try { Object.prototype.polluted = 1 } catch { /* in strict mode it throws */ } return ({}).polluted === undefined })()";
    assert_eq!(window.eval(frozen, Vec::new()).await, json!(true), "Object.prototype is frozen");

    let fetched = window.eval_async("fetch(arguments[0]).then(() => 'reached', () => 'refused')", json!(there)).await;
    assert_eq!(fetched, "refused", "the content security policy lets nothing out");
    let image = "new Promise((done) => { const image = new Image(); image.onload = () => done('reached');
        image.onerror = () => done('refused'); image.src = arguments[0] })";
    assert_eq!(window.eval_async(image, json!(there)).await, "refused");
    let inline = "new Promise((done) => { const script = document.createElement('script');
        script.textContent = 'window.ran = true'; document.head.append(script); done(window.ran ? 'ran' : 'refused') })";
    assert_eq!(window.eval_async(inline, json!(null)).await, "refused", "no inline script");

    for away in [
        "location.href = arguments[0]",
        "location.replace(arguments[0])",
        "const a = document.createElement('a'); a.href = arguments[0]; document.body.append(a); a.click()",
        "window.open(arguments[0])",
        "const f = document.createElement('form'); f.action = arguments[0]; document.body.append(f); f.submit()",
        "const i = document.createElement('iframe'); i.src = arguments[0]; document.body.append(i)",
    ] {
        window.eval(away, vec![json!(there)]).await;
        // An answer of the engine comes after the navigation was decided.
        assert!(window.invoke("fleet", json!({ "request": {} })).await.is_ok(), "{away}");
        window.shows("nav-fleet").await;
        assert_eq!(window.url().await, here, "{away}");
    }
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
    window.close().await;
}
