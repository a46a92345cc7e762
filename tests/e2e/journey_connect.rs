//! Connecting a real MLServer behind a gate that demands a bearer token, kept in the real keyring.

use pilothouse_testkit::BearerGate;
use pilothouse_tests::RealServer;
use serde_json::{Value, json};

use crate::leaks;
use crate::window::{Home, LATER, SOON, Window};

/// Not to be found anywhere but in the keyring and on its way to the gate.
const TOKEN: &str = "marker-c0ffee42-bearer-value";

#[tokio::test]
async fn journey_connect_a_real_server_behind_a_token_kept_in_the_keyring() {
    let server = RealServer::mlserver();
    let gate = BearerGate::start(&server.url, TOKEN).await;
    let home = Home::new();
    let window = Window::open(&home).await;
    record_ipc(&window).await;

    window.click("first-run-connect").await;
    window.type_into("connect-url", gate.url().as_str()).await;
    window.click("connect-detect").await;
    window.until_text("connect-found", LATER, |text| text.contains("asks for a credential")).await;

    // The token goes into the keyring; the page keeps its name alone, and looks again with it.
    window.shows("connect-secret-value").await;
    window.type_into("connect-secret-value", TOKEN).await;
    window.click("connect-secret-store").await;
    window.until_text("connect-secret-state", LATER, |text| text == "Stored in keyring").await;
    assert_absent_from_page(&window).await;
    let found =
        window.until_text("connect-found", LATER, |text| text.contains("MLServer") || text.contains("mlserver")).await;
    assert!(found.contains("bc"), "{found}");

    window.shows("connect-test").await;
    window.type_into("connect-name", "tumours").await;
    window.type_into("connect-environment", "staging").await;
    // A check that predicts tells which version answers; the health route alone would not.
    // The server describes one input of thirty values, so a form stands there; rows can be pasted instead.
    window.click("connect-paste-rows").await;
    window.type_into("connect-probe-rows", &probe_rows()).await;
    window.click("connect-test").await;
    window.shows("probe-outcome").await;
    assert_eq!(window.attribute("probe-outcome", "data-outcome").await, "ok");
    // What the model really said of that row: the class 0 or 1.
    let predicted = window.until_text("probe-prediction", SOON, |text| text.contains("Predicted")).await;
    assert!(predicted.contains("predict") && predicted.trim_end().ends_with(['0', '1']), "{predicted}");
    window.click("connect-save").await;
    window.until_text("endpoint-name", LATER, |text| text == "tumours").await;
    window.until_state("tumours", "healthy").await;
    window.until_text("version-tumours", LATER, |text| text == "v2" || text == "2").await;

    // The gate was passed with the token, and was refused without it before.
    let requests = gate.requests();
    let bearer = format!("Bearer {TOKEN}");
    assert!(requests.iter().any(|request| request.header("authorization").is_none()));
    assert!(requests.iter().any(|request| request.header("authorization") == Some(&bearer)));

    // The keyring has it, and no command gives it back.
    window.click("nav-settings").await;
    let secrets = window.invoke("secrets", json!({ "request": {} })).await.unwrap();
    assert_eq!(secrets["keyring"], "present", "{secrets}");
    let entry = &secrets["secrets"][0];
    assert_eq!((&entry["state"], &entry["used_by"]), (&json!("present"), &json!(["tumours"])), "{secrets}");
    window.shows(&format!("secret-{}", entry["name"].as_str().unwrap())).await;

    assert_absent_from_page(&window).await;
    let (questions, answers) = recorded_ipc(&window).await;
    assert_eq!(
        questions
            .iter()
            .filter(|text| text.contains(TOKEN))
            .map(|text| text.split(' ').next().unwrap())
            .collect::<Vec<_>>(),
        ["ipc://localhost/secret_set"],
        "the value crosses the border once, inwards"
    );
    assert!(answers.len() > 10 && answers.iter().any(|text| text.contains("tumours")), "answers were recorded");
    assert!(answers.iter().all(|text| !text.contains(TOKEN)));
    for process in window.processes() {
        leaks::assert_absent_from_process(process, TOKEN);
    }
    window.close().await;
    leaks::assert_absent(home.path(), TOKEN);

    // A restart reads it from the keyring again.
    let asked = gate.requests().len();
    let window = Window::open(&home).await;
    window.until_state("tumours", "healthy").await;
    let new = async || {
        gate.requests()
            .get(asked..)
            .is_some_and(|new| new.iter().any(|r| r.header("authorization") == Some(&bearer)))
            .then_some(())
    };
    window.until("the gate is passed again", LATER, new).await;
    let name = entry["name"].clone();
    window.invoke("secret_forget", json!({ "request": { "name": name } })).await.unwrap();
    window.close().await;
    leaks::assert_absent(home.path(), TOKEN);
}

/// One row of the thirty numbers that the model takes.
fn probe_rows() -> String {
    let row: serde_json::Map<String, Value> = (0..30).map(|n| (format!("x{n:02}"), json!(n))).collect();
    json!([row]).to_string()
}

/// Keeps every question to and every answer from the engine: they go through `fetch` on the scheme `ipc`.
async fn record_ipc(window: &Window) {
    let script = "window.recorded = { questions: [], answers: [] };
        const real = window.fetch;
        window.fetch = async (...given) => {
          const body = given[1]?.body;
          const text = body instanceof Uint8Array || body instanceof ArrayBuffer ? new TextDecoder().decode(body) : String(body ?? '');
          window.recorded.questions.push(String(given[0]?.url ?? given[0]) + ' ' + text);
          const answer = await real(...given);
          window.recorded.answers.push(await answer.clone().text());
          return answer;
        }";
    window.eval(script, Vec::new()).await;
}

async fn recorded_ipc(window: &Window) -> (Vec<String>, Vec<String>) {
    let recorded = window.eval("return window.recorded", Vec::new()).await;
    let list = |name: &str| -> Vec<String> {
        let texts = recorded[name].as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    (list("questions"), list("answers"))
}

/// The value is in no markup, no field, no storage and no name of the page.
async fn assert_absent_from_page(window: &Window) {
    let script = "return JSON.stringify([
        document.documentElement.outerHTML,
        [...document.querySelectorAll('input,textarea,select')].map((field) => field.value),
        Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href, history.state])";
    let page = window.eval(script, Vec::new()).await;
    let page = page.as_str().unwrap();
    assert!(page.contains("Pilothouse"), "this is the page");
    assert!(!page.contains(TOKEN), "the value is in the page");
}
