//! Without a keyring, or with a locked one, the app opens, says so, and everything that needs no secret works.

use serde_json::json;

use crate::window::{Home, Keyring, LATER, SOON, Window};

#[tokio::test]
async fn without_a_keyring_the_demo_works_and_secrets_are_unavailable() {
    check(Keyring::Absent, "unavailable", "keyring_unavailable", "No keyring").await;
}

#[tokio::test]
async fn with_a_locked_keyring_the_demo_works_and_the_lock_is_named() {
    check(Keyring::Locked, "locked", "keyring_locked", "Keyring locked").await;
}

async fn check(keyring: Keyring, state: &str, code: &str, shown: &str) {
    let home = Home::new();
    let window = Window::open_with(&home, keyring).await;
    window.click("demo-start").await;
    for name in ["credit-risk", "diabetes", "diagnosis", "wine"] {
        window.until_state(name, "healthy").await;
    }

    let secrets = window.invoke("secrets", json!({ "request": {} })).await.unwrap();
    assert_eq!(secrets["keyring"], state, "{secrets}");
    assert!(secrets["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{secrets}");
    let page = async || {
        let text = window.eval("return document.body.innerText", Vec::new()).await;
        text.as_str().is_some_and(|text| text.contains(shown)).then_some(())
    };
    window.until(&format!("the page says `{shown}`"), LATER, page).await;

    // Storing fails with that reason and never falls back to a file; nothing freezes meanwhile.
    let set = json!({ "request": { "name": "some-token", "value": "a-value-that-goes-nowhere" } });
    let refusal = window.invoke("secret_set", set).await.unwrap_err();
    assert!(refusal.contains(code), "{refusal}");
    window.click("nav-settings").await;
    window.shows("theme-dark").await;
    window.click("nav-fleet").await;
    window.until_text("version-credit-risk", SOON, |text| text == "v6").await;
    window.close().await;
    crate::leaks::assert_absent(home.path(), "a-value-that-goes-nowhere");
}
