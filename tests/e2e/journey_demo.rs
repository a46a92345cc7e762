//! From the first start to a verified rollback, as a new person would go.
//!
//! When pictures are wanted (`cargo xtask screenshot`), it first watches long enough that the charts have something to
//! tell.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pictures::{Pictures, Take as _};
use crate::window::{Home, LATER, SOON, Window};

const FLEET: [&str; 4] = ["credit-risk", "diabetes", "diagnosis", "wine"];

/// Checks of the endpoint before the pictures are taken.
const CHECKS_IN_PICTURES: u64 = 150;

#[tokio::test]
async fn journey_demo_from_the_first_start_to_a_verified_rollback() {
    let home = Home::new();
    let window = Window::open(&home).await;
    let pictures = Pictures::wanted();

    // The first start offers two doors.
    window.shows("first-run-connect").await;
    window.click("demo-start").await;
    for name in FLEET {
        window.until_state(name, "healthy").await;
    }
    let good = window.until_text("quality-value-credit-risk", LATER, is_number).await;
    assert_eq!(window.text("version-credit-risk").await, "v6");
    if pictures.is_some() {
        watch_for_a_while(&window).await;
    }

    // A version with a defect goes live: HTTP stays green, the golden set tells.
    window.choose("demo-fault-credit-risk", "version_defect").await;
    window.until_state("credit-risk", "degraded").await;
    let version = window.until_text("version-credit-risk", LATER, |text| text != "v6").await;
    assert_eq!(version, "v7");
    let bad = window.until_text("quality-value-credit-risk", LATER, |text| is_number(text) && text != good).await;
    assert!(number(&bad) < number(&good), "quality fell from {good} to {bad}");
    for name in ["diabetes", "diagnosis", "wine"] {
        assert_eq!(window.attribute(&format!("state-{name}"), "data-state").await, "healthy", "{name}");
    }
    pictures.take(&window, "fleet").await;

    // Why?
    window.click_css("[data-testid='fleet-row-credit-risk'] a").await;
    window.until_text("endpoint-name", SOON, |text| text == "credit-risk").await;
    window.until_picture("chart-latency").await;
    window.until_picture("chart-availability").await;
    pictures.take(&window, "endpoint").await;
    window.click("tab-accuracy").await;
    window.until_picture("chart-quality").await;
    pictures.take(&window, "accuracy").await;
    window.click("tab-explain").await;
    window.click("rows-flipped").await;
    window.click_css("[data-testid='golden-rows'] [role='option']").await;
    window.click("explain-run").await;
    window.until_picture("explain-waterfall").await;
    pictures.take(&window, "explain").await;
    window.click("tab-versions").await;
    window.shows("version-row-v6").await;
    pictures.take(&window, "versions").await;

    // Back to the last good version: plan, checks, reason, name, and five seconds to think again.
    window.click("nav-fleet").await;
    window.click("row-rollback-credit-risk").await;
    window.shows("rollback-version").await;
    let checks = "return [...document.querySelectorAll(\"[data-testid^='check-']\")].map((c) => c.dataset.status)";
    let checks = window.eval(checks, Vec::new()).await;
    let checks: Vec<&str> = checks.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(checks.len() >= 4 && !checks.contains(&"block"), "{checks:?}");
    window.type_into("rollback-reason", "accuracy fell with v7").await;
    window.eval("document.querySelector('[role=dialog] [role=group]').scrollTop = 0", Vec::new()).await;
    pictures.take(&window, "rollback").await;
    window.type_into("rollback-confirm-name", "credit-risk").await;
    window.click("rollback-apply").await;
    window.shows("rollback-countdown").await;
    let verdict = window.until_text("rollback-verdict", LATER, |text| !text.is_empty()).await;
    assert_eq!(verdict, "VERIFIED");
    pictures.take(&window, "verdict").await;

    window.click_css("[aria-label=Close]").await;
    window.shows("fleet-row-credit-risk").await;
    window.until_state("credit-risk", "healthy").await;
    assert_eq!(window.text("version-credit-risk").await, "v6");
    window.until_text("quality-value-credit-risk", LATER, |text| text == good).await;

    // It is on record, with who and why.
    let audit = window.invoke("audit", json!({ "request": { "limit": 50, "before": null } })).await.unwrap();
    let entries = audit["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["action"] == "rollback.verdict").unwrap();
    assert_eq!(entry["reason"], "accuracy fell with v7");
    assert!(entry["after"].as_str().unwrap().contains("verified"), "{entry}");
    assert_ne!(entry["who"], "");
    for (screen, shown) in [("timeline", "timeline-list"), ("audit", "audit-list"), ("settings", "theme-dark")] {
        window.click(&format!("nav-{screen}")).await;
        window.shows(shown).await;
        pictures.take(&window, screen).await;
    }
    window.close().await;
}

fn is_number(text: &str) -> bool {
    number_of(text).is_some()
}

fn number(text: &str) -> f64 {
    number_of(text).unwrap_or_else(|| panic!("`{text}` is no number"))
}

fn number_of(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Waits until the fleet was checked often enough for charts worth looking at.
async fn watch_for_a_while(window: &Window) {
    let fleet = window.invoke("fleet", json!({ "request": {} })).await.unwrap();
    let row = fleet["endpoints"].as_array().unwrap().iter().find(|row| row["name"] == "credit-risk").unwrap();
    let now = fleet["now_ms"].as_i64().unwrap();
    let range = json!({ "request": { "id": row["id"], "from_ms": now - 3_600_000, "to_ms": now + 3_600_000 } });
    let checked = async || {
        let summary = window.invoke("health_summary", range.clone()).await.unwrap();
        summary["n"].as_u64().filter(|n| *n >= CHECKS_IN_PICTURES)
    };
    window.until("there is some history", Duration::from_mins(15), checked).await;
}
