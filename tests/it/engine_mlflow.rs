//! The engine brings a bad MLflow version back: the alias moves in the real registry, and serving follows only where a
//! reload is configured.

use std::process::Command;

use pilothouse_api::Api;
use pilothouse_api::types::{
    CheckStatus, HealthWord, ReloadDraft, RollbackApplyRequest, RollbackPlanRequest, StepState, Verdict,
};
use pilothouse_tests::{RealServer, Registered};
use serde_json::{Value, json};

use crate::support::{add, draft, http, import_tumours, mlflow_registry, of, open, until_finished, until_row};

struct Served {
    tracking: RealServer,
    scoring: RealServer,
    registered: Registered,
    _folder: tempfile::TempDir,
    api: Api,
    id: i64,
}

/// A watched endpoint whose good version 1 was evaluated, and after which the bad version 2 went live.
async fn a_bad_version_went_live(with_reload: bool) -> Served {
    let tracking = RealServer::mlflow_tracking();
    let registered = tracking.register("bc", &["good", "bad"]);
    point_at(&tracking, "1").await;
    let scoring = RealServer::mlflow_scoring(&tracking, "models:/bc@champion");
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    import_tumours(&api, Some(&registered.columns)).await;

    let (program, args) = scoring.restart_command().split_first().unwrap();
    let reload = ReloadDraft::Command { program: program.into(), args: args.to_vec(), timeout_ms: 280_000 };
    let mut wanted = draft("bc", scoring.url.as_str(), "mlflow");
    wanted.golden_set = Some("tumours".into());
    wanted.control_plane = Some(mlflow_registry(tracking.url.as_str(), with_reload.then_some(reload)));
    let id = add(&api, wanted).await;
    let good = until_row(&api, id, "the good version is evaluated", |row| {
        row.health == HealthWord::Healthy && row.version.as_deref() == Some("1") && accuracy(row) > 0.95
    });
    good.await;

    // Somebody deploys the bad one: alias, then restart, as servers.md says it has to be done.
    point_at(&tracking, "2").await;
    let words = scoring.restart_command().to_vec();
    let restarted = tokio::task::spawn_blocking(move || Command::new(&words[0]).args(&words[1..]).output().unwrap());
    assert!(restarted.await.unwrap().status.success());
    let bad = until_row(&api, id, "the bad version is found out", |row| {
        row.version.as_deref() == Some("2") && accuracy(row) < 0.75 && row.health == HealthWord::Degraded
    });
    let bad = bad.await;
    let change = bad.quality_change.unwrap();
    assert!(change.significant && change.difference < 0.0 && change.against == "1", "{change:?}");
    assert_eq!(bad.previous_good.as_deref(), Some("1"));
    Served { tracking, scoring, registered, _folder: folder, api, id }
}

fn accuracy(row: &pilothouse_api::types::FleetRow) -> f64 {
    row.quality.as_ref().and_then(|quality| quality.value).unwrap_or(f64::NAN)
}

#[tokio::test]
async fn a_bad_version_is_rolled_back_and_verified_by_its_answers() {
    let Served { tracking, scoring, registered, api, id, .. } = &a_bad_version_went_live(true).await;
    let plan = api.rollback_plan(RollbackPlanRequest { id: *id, to: None }).await.unwrap();
    assert_eq!(plan.to.version, "1", "the last good version is chosen");
    assert_eq!((plan.calls.len(), plan.blocked, &plan.will_not_follow), (2, false, &None));
    assert!(plan.preflight.iter().all(|check| check.status == CheckStatus::Pass), "{:?}", plan.preflight);

    // A wrong name, and then a second click: neither sends anything twice.
    let confirm = |name: &str| RollbackApplyRequest {
        plan_id: plan.plan_id.clone(),
        confirm: name.into(),
        reason: "accuracy fell".into(),
    };
    assert!(api.rollback_apply(confirm("another")).await.is_err());
    assert_eq!(current(tracking).await, "2");
    let run = api.rollback_apply(confirm("bc")).await.unwrap();
    let twice = api.rollback_apply(confirm("bc")).await.unwrap_err();
    assert!(matches!(twice.code, pilothouse_api::Code::Conflict | pilothouse_api::Code::Blocked), "{twice:?}");

    let run = until_finished(api, &run.run_id).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(run.summary.contains("the answers on all") && run.summary.contains("those of 1"), "{}", run.summary);
    assert!(run.steps.iter().all(|step| step.state == StepState::Done), "{:#?}", run.steps);
    assert_eq!(current(tracking).await, "1");
    assert_eq!(predictions(scoring, registered).await, registered.versions[0].predictions);
    until_row(api, *id, "the endpoint is well again", |row| {
        row.health == HealthWord::Healthy && row.version.as_deref() == Some("1") && accuracy(row) > 0.95
    })
    .await;
    is_described_by_the_registry(api, *id, registered).await;
    let audit = api.audit(pilothouse_api::types::AuditRequest { limit: 100, before: None }).await.unwrap();
    let of_run: Vec<&str> =
        audit.entries.iter().map(|entry| entry.action.as_str()).filter(|a| a.starts_with("rollback")).collect();
    assert_eq!(of_run, ["rollback.verdict", "rollback.apply"]);
    assert_eq!(api.rollback_runs(of(*id)).await.unwrap().runs.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn without_a_reload_the_alias_moves_and_the_verdict_is_not_verified() {
    let Served { tracking, scoring, registered, api, id, .. } = &a_bad_version_went_live(false).await;
    let plan = api.rollback_plan(RollbackPlanRequest { id: *id, to: Some("1".into()) }).await.unwrap();
    assert_eq!(plan.calls.len(), 1);
    let why = plan.will_not_follow.clone().unwrap();
    let request = RollbackApplyRequest { plan_id: plan.plan_id, confirm: "bc".into(), reason: "accuracy fell".into() };
    let run = api.rollback_apply(request).await.unwrap();
    let run = until_finished(api, &run.run_id).await;
    assert_eq!(run.verdict, Some(Verdict::NotVerified), "{run:#?}");
    assert!(run.summary.contains(&why), "{}", run.summary);
    assert_eq!(current(tracking).await, "1", "the alias was moved");
    assert_eq!(
        predictions(scoring, registered).await,
        registered.versions[1].predictions,
        "and serving did not follow"
    );
    api.stop().await;
}

/// The scoring server itself describes no inputs; the registry's signature of the version that it serves does.
async fn is_described_by_the_registry(api: &Api, id: i64, registered: &Registered) {
    let described = api.model_describe(of(id)).await.unwrap();
    assert_eq!(described.server, Some(format!("mlflow {}", pilothouse_tests::pinned("mlflow", "mlflow"))));
    assert_eq!(described.schema_source.as_deref(), Some("the registry for version 1"));
    let inputs: Vec<&str> = described.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(inputs, registered.columns, "the columns that the model was registered with, in their order");
    assert!(described.inputs.iter().all(|input| input.datatype == "FP64" && !input.optional), "{described:?}");
    let outputs: Vec<&str> = described.outputs.iter().map(|output| output.datatype.as_str()).collect();
    assert_eq!(outputs, ["INT64"], "a class");
}

const ALIAS: &str = "api/2.0/mlflow/registered-models/alias";

async fn point_at(tracking: &RealServer, version: &str) {
    let body = json!({ "name": "bc", "alias": "champion", "version": version });
    let answer = http().post(tracking.url.join(ALIAS).unwrap()).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

async fn current(tracking: &RealServer) -> String {
    let url = tracking.url.join(&format!("{ALIAS}?name=bc&alias=champion")).unwrap();
    let answer: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    answer["model_version"]["version"].as_str().unwrap().to_owned()
}

async fn predictions(scoring: &RealServer, registered: &Registered) -> Vec<i64> {
    crate::mlflow_control::predictions(scoring, registered).await
}
