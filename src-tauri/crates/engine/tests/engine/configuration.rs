//! The set-up as configuration: carried over whole or not at all, without touching what was recorded.

use std::time::Duration;

use pilothouse_config::SourceFile;
use pilothouse_domain::{EndpointId, EventKind};
use pilothouse_engine::{Engine, EngineError, Topic};
use pilothouse_secrets::{SecretString, Secrets};
use pilothouse_store::StoreError;

use crate::support::{PATIENCE, Place, events, eventually};

/// Two endpoints that nobody answers for, with everything that refers to something else.
const FLEET: &str = r#"
[settings.retention]
raw_days = 7

[[endpoint]]
name = "churn"
environment = "staging"
url = "http://127.0.0.1:1/"
protocol = "v2"
paused = true

[[endpoint]]
name = "credit"
environment = "production"
url = "http://127.0.0.1:1/"
protocol = "v2"
model = "credit"
auth = { kind = "bearer", secret = "keyring:credit-token" }
tls = { client_certificate_file = "/c.pem", client_key_secret = "keyring:client-key" }
probe_input = { rows = "age\n30\n" }
evaluation = { golden_set = "held out" }
paused = true

[[golden_set]]
name = "held out"
task = "binary"
classes = ["bad", "good"]
label = "outcome"
rows = "age,outcome\n30,good\n40,bad\n"
"#;

fn files(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { path: "fleet.toml".to_owned(), text: text.to_owned() }]
}

async fn apply(engine: &Engine, text: &str, prune: bool) -> Result<(), EngineError> {
    let comparison = engine.compare_configuration(&files(text)).await?;
    engine.apply_configuration(comparison.wanted, &comparison.revision, prune).await
}

async fn written(engine: &Engine) -> String {
    pilothouse_config::write_file(&engine.configuration().await.unwrap()).unwrap()
}

#[tokio::test]
async fn an_export_applied_to_an_empty_database_gives_the_same_set_up() {
    let (here, there) = (Place::new(), Place::new());
    let (engine, other) = (here.engine(), there.engine());
    apply(&engine, FLEET, false).await.unwrap();
    let text = written(&engine).await;
    assert!(text.contains("raw_days = 7") && text.contains("keyring:client-key"), "{text}");
    let comparison = other.compare_configuration(&files(&text)).await.unwrap();
    assert_eq!(comparison.difference.added, ["churn", "credit"]);
    apply(&other, &text, false).await.unwrap();
    assert_eq!(other.configuration().await.unwrap(), engine.configuration().await.unwrap());
    assert_eq!(written(&other).await, text);
    assert!(other.compare_configuration(&files(&text)).await.unwrap().difference.is_empty());
    let credit = other.endpoint_by_name("credit").await.unwrap();
    assert!(credit.created.0 > 0);
    let set = other.golden_set(credit.evaluation.unwrap().golden_set).await.unwrap();
    assert_eq!((set.name.as_str(), set.labels.len()), ("held out", 2));
    engine.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn the_same_name_is_the_same_endpoint() {
    let place = Place::new();
    let engine = place.engine();
    apply(&engine, FLEET, false).await.unwrap();
    let before = engine.endpoint_by_name("credit").await.unwrap();
    let changed = FLEET.replace("30\\n\" }", "31\\n\" }").replace("name = \"churn\"", "name = \"wine\"");

    apply(&engine, &changed, false).await.unwrap();
    let after = engine.endpoint_by_name("credit").await.unwrap();
    assert_eq!((after.id, after.created), (before.id, before.created));
    assert_ne!(after.target.probe_input, before.target.probe_input);
    assert!(engine.endpoint_by_name("churn").await.is_ok(), "nothing is removed without being told to");

    apply(&engine, &changed, true).await.unwrap();
    assert!(engine.endpoint_by_name("churn").await.is_err());
    let kinds: Vec<_> = events(&engine).into_iter().filter(|event| event.endpoint == Some(after.id)).collect();
    assert_eq!(kinds.iter().filter(|event| event.kind == EventKind::EndpointChanged).count(), 1);
    let audit = engine.store().audit_entries(100, None).unwrap();
    let actions: Vec<&str> = audit.iter().rev().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["endpoint.add", "endpoint.add", "settings.update", "endpoint.update", "endpoint.add", "endpoint.remove"]
    );
    assert!(audit.iter().all(|entry| entry.reason == "configuration applied"));
    engine.stop().await;
}

#[tokio::test]
async fn what_was_not_looked_at_is_not_applied() {
    let place = Place::new();
    let engine = place.engine();
    apply(&engine, FLEET, false).await.unwrap();
    let wanted = FLEET.replace("staging", "development");
    let comparison = engine.compare_configuration(&files(&wanted)).await.unwrap();
    let churn = engine.endpoint_by_name("churn").await.unwrap();
    engine.pause_endpoint(churn.id, false).await.unwrap();
    let refused = engine.apply_configuration(comparison.wanted, &comparison.revision, true).await;
    assert!(matches!(refused, Err(EngineError::ConfigurationChanged)), "{refused:?}");
    assert_eq!(engine.endpoint_by_name("churn").await.unwrap().environment.0, "staging");
    engine.stop().await;
}

#[tokio::test]
async fn all_of_it_or_nothing() {
    let place = Place::new();
    let engine = place.engine();
    apply(&engine, FLEET, false).await.unwrap();
    let before = engine.configuration().await.unwrap();
    // Other rows under the same name.
    let other_rows = FLEET.replace("40,bad", "41,bad").replace("name = \"churn\"", "name = \"new\"");
    let refused = apply(&engine, &other_rows, false).await;
    assert!(matches!(&refused, Err(EngineError::GoldenSetDiffers(name)) if name == "held out"), "{refused:?}");
    assert_eq!(engine.configuration().await.unwrap(), before);

    // An endpoint in the middle of a rollback cannot be removed; what came before in the same transaction is gone with it.
    let churn = engine.endpoint_by_name("churn").await.unwrap();
    begin_run(&engine, churn.id).await;
    let without = FLEET.replace("name = \"churn\"", "name = \"new\"");
    let refused = apply(&engine, &without, true).await;
    assert!(matches!(refused, Err(EngineError::Store(StoreError::RunInProgress { .. }))), "{refused:?}");
    assert_eq!(engine.configuration().await.unwrap(), before);

    let broken = apply(&engine, &FLEET.replace("paused", "pause"), false).await.unwrap_err();
    assert_eq!(broken.configuration_problems().unwrap().len(), 2);
    engine.stop().await;
}

async fn begin_run(engine: &Engine, endpoint: EndpointId) {
    use pilothouse_domain::rollback::Follows;
    use pilothouse_domain::{PlanId, RollbackPlan, RollbackRun, RunId, RunState};

    let plan = RollbackPlan {
        id: PlanId("p".into()),
        endpoint,
        created: engine.now(),
        from: None,
        to: "6".into(),
        calls: Vec::new(),
        follows: Follows::Yes,
    };
    let run = RollbackRun {
        id: RunId("r".into()),
        plan: plan.clone(),
        who: "ada".into(),
        reason: String::new(),
        started: engine.now(),
        finished: None,
        state: RunState::Pending,
        preflight: Vec::new(),
        steps: Vec::new(),
        verdict: None,
        evidence: serde_json::json!({}),
    };
    let write = move |store: &pilothouse_store::Store| {
        store.add_plan(&plan)?;
        store.begin_run(&run)
    };
    engine.with_store(write).await.unwrap();
}

#[tokio::test]
async fn a_watching_process_takes_over_what_another_one_applied() {
    let place = Place::new();
    let (watching, other) = (place.engine(), place.engine());
    assert!(watching.watch().await.unwrap());
    let mut topics = watching.topics();
    apply(&other, FLEET, false).await.unwrap();
    let hears_settings = async { while topics.recv().await.unwrap() != Topic::Settings {} };
    tokio::time::timeout(PATIENCE, hears_settings).await.expect("the window hears of other settings");
    let credit = other.endpoint_by_name("credit").await.unwrap();
    eventually("the new endpoint is known", async || {
        (watching.health_of(&credit).await.unwrap().reason != "not checked yet").then_some(())
    })
    .await;
    watching.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_process_that_only_shows_hears_of_the_one_that_watches() {
    let place = Place::new();
    let (watching, showing) = (place.engine(), place.engine());
    assert!(watching.watch().await.unwrap());
    assert!(!showing.watch().await.unwrap());
    let mut topics = showing.topics();
    let hears = async { while topics.recv().await.unwrap() != Topic::Fleet {} };
    // The first look only remembers, so more than one change may be needed.
    let changes = async {
        for days in 1.. {
            apply(&watching, &format!("[settings.retention]\nraw_days = {}\n", 1 + days % 9), false).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = hears => {}
        () = changes => {}
        () = tokio::time::sleep(PATIENCE) => panic!("waited in vain"),
    }
    showing.stop().await;
    watching.stop().await;
}

#[tokio::test]
async fn missing_secrets_are_named_with_who_needs_them() {
    let place = Place::new();
    let secrets = Secrets::memory();
    secrets.set("client-key", SecretString::from("k")).await.unwrap();
    let engine = place.engine_with(secrets, std::sync::Arc::new(pilothouse_engine::SystemClock::default()));
    let wanted = engine.compare_configuration(&files(FLEET)).await.unwrap().wanted;
    let missing = engine.missing_secrets(&wanted).await.missing;
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), [("credit-token".to_owned(), vec!["credit".to_owned()])]);
    engine.stop().await;
}
