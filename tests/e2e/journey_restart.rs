//! What was seen stays, over a restart.

use serde_json::json;

use crate::window::{Home, LATER, Window};

#[tokio::test]
async fn journey_restart_keeps_history_settings_and_the_demo() {
    let home = Home::new();
    let window = Window::open(&home).await;
    window.click("demo-start").await;
    window.until_state("credit-risk", "healthy").await;
    window.until_text("quality-value-credit-risk", LATER, |text| text.starts_with("0.")).await;
    window.eval("document.querySelector(\"[aria-label='Dark theme']\").click()", Vec::new()).await;
    let stored = async || {
        let view = window.invoke("settings", json!({ "request": {} })).await.unwrap();
        (view["settings"]["theme"] == "dark").then_some(())
    };
    window.until("the theme is stored", LATER, stored).await;
    let before = history(&window).await;
    assert!(before.evaluations >= 1 && before.events >= 5, "{before:?}");
    window.close().await;

    let window = Window::open(&home).await;
    for name in ["credit-risk", "diabetes", "diagnosis", "wine"] {
        window.shows(&format!("fleet-row-{name}")).await;
        window.until_state(name, "healthy").await;
    }
    assert!(!window.has("demo-start").await, "the first run is over");
    let theme = window.eval("return document.documentElement.dataset.theme", Vec::new()).await;
    assert_eq!(theme, "dark");
    let after = history(&window).await;
    // The last unflushed second of probes may be lost, nothing else.
    assert!(after.probes + 2 >= before.probes, "{before:?} {after:?}");
    assert!(after.evaluations >= before.evaluations && after.events >= before.events, "{before:?} {after:?}");
    assert_eq!(after.first_event, before.first_event);
    window.close().await;
}

#[derive(Debug)]
struct History {
    probes: u64,
    evaluations: usize,
    events: usize,
    first_event: String,
}

async fn history(window: &Window) -> History {
    let fleet = window.invoke("fleet", json!({ "request": {} })).await.unwrap();
    let row = fleet["endpoints"].as_array().unwrap().iter().find(|row| row["name"] == "credit-risk").unwrap();
    let (id, now) = (row["id"].clone(), fleet["now_ms"].as_i64().unwrap());
    let range = json!({ "request": { "id": id, "from_ms": now - 3_600_000, "to_ms": now + 1_000 } });
    let summary = window.invoke("health_summary", range.clone()).await.unwrap();
    let quality = window.invoke("quality", range).await.unwrap();
    let request = json!({ "id": null, "from_ms": now - 3_600_000, "to_ms": now + 1_000, "limit": 500 });
    let timeline = window.invoke("timeline", json!({ "request": request })).await.unwrap();
    let events = timeline["events"].as_array().unwrap();
    History {
        probes: summary["n"].as_u64().unwrap(),
        evaluations: quality["evaluations"].as_array().unwrap().len(),
        events: events.len(),
        first_event: events.last().unwrap().to_string(),
    }
}
