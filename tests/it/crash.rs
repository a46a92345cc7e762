//! A rollback that is cut off by SIGKILL: the next start takes it up, or reports what was really found; nothing is sent
//! twice.
//!
//! This program starts itself again to play the part that is killed. Registry and endpoint live in the surviving process,
//! so that the moment of the cut can be chosen: a chosen request is left without an answer, and then the kill comes.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuditRequest, AuthDraft, EndpointRequest, GoldenSetImport, ReloadDraft, RollbackApplyRequest, RollbackPlanRequest,
    RollbackRun, RunState, StepState, Verdict,
};
use pilothouse_testkit::{Behaviour, FakeServer, RecordedRequest};
use serde_json::json;

use crate::support::{LATER, add, draft, mlflow_registry, open};

const PART: &str = "PILOTHOUSE_CRASH_DATABASE";
const SERVER: &str = "PILOTHOUSE_CRASH_SERVER";

/// Where the first process is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The alias call was sent and not carried out.
    BeforeTheAliasMoved,
    /// The alias call was carried out, its answer lost.
    AfterTheAliasMoved,
    /// The reload call was sent, its answer lost.
    DuringTheReload,
    /// Both calls were acknowledged, the endpoint is being asked.
    WhileVerifying,
}

/// An MLflow registry, a scoring server that reports its version, and a reload hook, in one.
#[derive(Debug, Clone)]
struct World {
    alias: String,
    served: String,
    alias_calls: u32,
    reload_calls: u32,
    cut: Option<Cut>,
    /// The chosen request has come and is left without an answer.
    reached: bool,
}

impl World {
    fn answer(&mut self, request: &RecordedRequest) -> Behaviour {
        match (request.method.as_str(), request.path()) {
            ("GET", "/api/2.0/mlflow/registered-models/alias") => {
                let version = json!({ "name": "bc", "version": self.alias });
                Behaviour::json(&json!({ "model_version": version }).to_string())
            }
            ("GET", "/api/2.0/mlflow/model-versions/search") => {
                let version = |n: u32| json!({ "name": "bc", "version": n.to_string(), "creation_timestamp": n, "status": "READY" });
                Behaviour::json(&json!({ "model_versions": [version(1), version(2)] }).to_string())
            }
            ("POST", "/api/2.0/mlflow/registered-models/alias") => {
                self.alias_calls += 1;
                if self.cut == Some(Cut::BeforeTheAliasMoved) {
                    return self.silence();
                }
                request.json()["version"].as_str().unwrap().clone_into(&mut self.alias);
                if self.cut == Some(Cut::AfterTheAliasMoved) { self.silence() } else { Behaviour::json("{}") }
            }
            ("POST", "/reload") => {
                self.reload_calls += 1;
                if self.cut == Some(Cut::DuringTheReload) {
                    return self.silence();
                }
                self.served.clone_from(&self.alias);
                Behaviour::json("{}")
            }
            ("GET", "/v2/models/bc") => {
                let tensor =
                    |datatype: &str, shape: &[i64]| json!({ "name": "predict", "datatype": datatype, "shape": shape });
                let (input, output) = (tensor("FP64", &[-1, 1]), tensor("INT64", &[-1]));
                Behaviour::json(&json!({ "name": "bc", "inputs": [input], "outputs": [output] }).to_string())
            }
            ("POST", "/v2/models/bc/infer") => {
                if self.cut == Some(Cut::WhileVerifying) && self.reload_calls > 0 {
                    return self.silence();
                }
                let rows = request.json()["inputs"][0]["shape"][0].as_u64().unwrap();
                let output =
                    json!({ "name": "predict", "datatype": "INT64", "shape": [rows], "data": vec![1; rows as usize] });
                let answer = json!({ "model_name": "bc", "model_version": self.served, "outputs": [output] });
                Behaviour::json(&answer.to_string())
            }
            _ => Behaviour::json("{}"),
        }
    }

    fn silence(&mut self) -> Behaviour {
        self.reached = true;
        Behaviour::Hang
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_call_that_did_nothing_is_reported_as_found() {
    let (run, world) = cut_and_resume(Cut::BeforeTheAliasMoved).await;
    assert_eq!(run.verdict, Some(Verdict::OutcomeUnknown), "{run:#?}");
    assert!(run.summary.contains("the control plane now shows 2"), "{}", run.summary);
    assert_eq!((world.alias.as_str(), world.alias_calls, world.reload_calls), ("2", 1, 0), "nothing is sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_call_that_worked_is_carried_on_and_verified() {
    let (run, world) = cut_and_resume(Cut::AfterTheAliasMoved).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert!(run.steps[0].detail.contains("shows 1 all the same"), "{:#?}", run.steps);
    assert_eq!((world.alias_calls, world.reload_calls, world.served.as_str()), (1, 1, "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reload_is_not_guessed() {
    let (run, world) = cut_and_resume(Cut::DuringTheReload).await;
    assert_eq!(run.verdict, Some(Verdict::OutcomeUnknown), "{run:#?}");
    assert_eq!((world.alias.as_str(), world.alias_calls, world.reload_calls), ("1", 1, 1), "nothing is sent again");
    assert_eq!(run.steps[1].state, StepState::Failed, "{:#?}", run.steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_verification_is_done_again() {
    let (run, world) = cut_and_resume(Cut::WhileVerifying).await;
    assert_eq!(run.verdict, Some(Verdict::Verified), "{run:#?}");
    assert_eq!((world.alias_calls, world.reload_calls), (1, 1));
}

/// Lets another process roll back, kills it at the cut, starts anew on its database, and gives the finished run.
async fn cut_and_resume(cut: Cut) -> (RollbackRun, World) {
    let world = World {
        alias: "2".into(),
        served: "2".into(),
        alias_calls: 0,
        reload_calls: 0,
        cut: Some(cut),
        reached: false,
    };
    let world = Arc::new(Mutex::new(world));
    let answering = Arc::clone(&world);
    let server = FakeServer::start(Behaviour::answer(move |request| answering.lock().unwrap().answer(request))).await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("pilothouse.db");

    let mut child = Victim(
        Command::new(std::env::current_exe().unwrap())
            .args(["crash::part", "--exact", "--nocapture"])
            .env(PART, &database)
            .env(SERVER, server.url().as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let reached = pilothouse_testkit::wait_until(LATER, || {
        assert_eq!(child.0.try_wait().unwrap(), None, "the process that is to be killed ended by itself");
        world.lock().unwrap().reached
    });
    assert!(reached.await, "the chosen request came");
    child.kill();
    world.lock().unwrap().cut = None;

    // The first look at the database shows the run as it was left; watching takes it up.
    let api = open(&database);
    let runs = api.rollback_runs(EndpointRequest { id: 1 }).await.unwrap().runs;
    assert_eq!(runs.len(), 1);
    assert_ne!(runs[0].state, RunState::Finished, "{:#?}", runs[0]);
    assert!(api.watch().await.unwrap(), "the lock of the dead process does not hold");
    let run = crate::support::until_finished(&api, &runs[0].run_id).await;
    let audit = api.audit(AuditRequest { limit: 100, before: None }).await.unwrap();
    let of_run = audit.entries.iter().filter(|entry| entry.action.starts_with("rollback"));
    let of_run: Vec<(&str, &str)> = of_run.map(|entry| (entry.action.as_str(), entry.reason.as_str())).collect();
    assert_eq!(of_run, [("rollback.verdict", "cut off"), ("rollback.apply", "cut off")]);
    api.stop().await;
    let world = world.lock().unwrap().clone();
    (run, world)
}

/// Killed at the latest when the test ends.
struct Victim(Child);

impl Victim {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The process that is killed. Without its variables there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn part() {
    let (Some(database), Ok(server)) = (std::env::var_os(PART), std::env::var(SERVER)) else { return };
    let api = open(database.as_ref());
    let id = connect(&api, &server).await;
    api.evaluate_now(EndpointRequest { id }).await.unwrap();
    let plan = api.rollback_plan(RollbackPlanRequest { id, to: Some("1".into()) }).await.unwrap();
    let request = RollbackApplyRequest { plan_id: plan.plan_id, confirm: "bc".into(), reason: "cut off".into() };
    api.rollback_apply(request).await.unwrap();
    // Killed long before.
    tokio::time::sleep(Duration::from_mins(5)).await;
}

async fn connect(api: &Api, server: &str) -> i64 {
    let rows: Vec<String> = (0..40).map(|row| format!("{row},{}", row % 2)).collect();
    let golden_set = GoldenSetImport {
        name: "rows".into(),
        text: format!("x,y\n{}\n", rows.join("\n")),
        label: "y".into(),
        task: "binary".into(),
        positive: "1".into(),
        source: String::new(),
    };
    api.golden_set_import(golden_set).await.unwrap();
    let mut wanted = draft("bc", server, "v2");
    wanted.model = Some("bc".into());
    wanted.golden_set = Some("rows".into());
    let reload = ReloadDraft::Http { method: "POST".into(), url: format!("{server}reload"), auth: AuthDraft::None };
    wanted.control_plane = Some(mlflow_registry(server, Some(reload)));
    add(api, wanted).await
}
