//! The connector against a registry in miniature that answers as MLflow 3.17.2 was seen to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pilothouse_domain::endpoint::Reload;
use pilothouse_domain::{Auth, CheckStatus, EndpointId, PlanId, TimestampMs};

use super::*;
use crate::Credential;
use crate::fake::{Asked, Fake, Reply};
use crate::wire::tests::{authorizer, client};

/// Registered versions by model, aliases by model and name, and whether writing is allowed.
#[derive(Default)]
struct Registry {
    versions: BTreeMap<String, u32>,
    aliases: BTreeMap<(String, String), String>,
    read_only: bool,
    /// The alias jumps here as soon as it was moved, as when two people act at once.
    overtaken_by: Option<String>,
    /// A move is answered with this instead, though it is carried out.
    move_reply: Option<Reply>,
    page_size: usize,
}

impl Registry {
    fn with_bc() -> Self {
        let aliases = BTreeMap::from([(("bc".into(), "champion".into()), "3".into())]);
        Self { versions: BTreeMap::from([("bc".into(), 3)]), aliases, page_size: 2, ..Self::default() }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        let url = Url::parse("http://fake").unwrap().join(&asked.target).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        match (asked.method.as_str(), url.path()) {
            ("GET", "/prefix/api/2.0/mlflow/registered-models/alias") => self.alias(&query["name"], &query["alias"]),
            ("GET", "/prefix/api/2.0/mlflow/model-versions/search") => self.search(&query),
            ("GET", "/prefix/api/2.0/mlflow/runs/get") => match query["run_id"].as_str() {
                "run-1" => Reply::html(500, "lost"),
                run => Reply::json(
                    200,
                    &json!({"run": {"info": {"run_id": run, "status": "FINISHED"},
                        "data": {"metrics": [{"key": "accuracy", "value": if run == "run-2" { 0.96 } else { 0.63 }}]}}}),
                ),
            },
            ("POST", "/prefix/api/2.0/mlflow/registered-models/alias") => self.set_alias(asked),
            ("GET", "/prefix/model-versions/get-artifact") => {
                assert_eq!((query["path"].as_str(), query["name"].as_str()), ("MLmodel", "bc"));
                let kind = if query["version"] == "3" { "double" } else { "long" };
                let file = format!("signature:\n  inputs: '[{{\"type\": \"{kind}\", \"name\": \"x\"}}]'\n");
                Reply::html(200, &file)
            }
            _ => Reply::html(404, "<!doctype html><title>404 Not Found</title>"),
        }
    }

    fn alias(&self, name: &str, alias: &str) -> Reply {
        if !self.versions.contains_key(name) {
            return failure(404, "RESOURCE_DOES_NOT_EXIST", &format!("Registered Model with name={name} not found"));
        }
        match self.aliases.get(&(name.to_owned(), alias.to_owned())) {
            Some(version) => Reply::json(200, &json!({"model_version": {"name": name, "version": version}})),
            None => failure(400, "INVALID_PARAMETER_VALUE", &format!("Registered model alias {alias} not found.")),
        }
    }

    fn search(&self, query: &BTreeMap<String, String>) -> Reply {
        let filter = query["filter"].strip_prefix("name=").unwrap();
        let name = &filter[1..filter.len() - 1];
        let count = self.versions.get(name).copied().unwrap_or(0);
        let all: Vec<Value> = (1..=count)
            .map(|n| {
                json!({"name": name, "version": n.to_string(), "creation_timestamp": n, "run_id": format!("run-{n}"),
                "current_stage": "None", "status": if n == 1 { "PENDING_REGISTRATION" } else { "READY" }})
            })
            .collect();
        let from: usize = query.get("page_token").map_or(0, |token| token.parse().unwrap());
        let to = all.len().min(from + self.page_size);
        let mut answer = json!({"model_versions": all[from..to]});
        if to < all.len() {
            answer["next_page_token"] = to.to_string().into();
        }
        Reply::json(200, &if all.is_empty() { json!({}) } else { answer })
    }

    fn set_alias(&mut self, asked: &Asked) -> Reply {
        if self.read_only {
            return Reply::html(403, "Permission denied");
        }
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let [name, alias, version] = ["name", "alias", "version"].map(|key| body[key].as_str().unwrap().to_owned());
        if version.parse::<u32>().unwrap() > self.versions[&name] {
            let message = format!("Model Version (name={name}, version={version}) not found");
            return failure(404, "RESOURCE_DOES_NOT_EXIST", &message);
        }
        self.aliases.insert((name, alias), self.overtaken_by.clone().unwrap_or(version));
        self.move_reply.clone().unwrap_or_else(|| Reply::json(200, &json!({})))
    }
}

fn failure(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error_code": code, "message": message, "sqlstate": "KAM00"}))
}

async fn start(registry: Registry) -> (Fake, Arc<Mutex<Registry>>) {
    let registry = Arc::new(Mutex::new(registry));
    let answering = Arc::clone(&registry);
    (Fake::start(move |asked| answering.lock().unwrap().answer(asked)).await, registry)
}

fn mlflow(fake: &Fake, model: &str, alias: &str, reload: Option<&Reload>) -> Mlflow {
    let client = client();
    let reload = reload.map(|reload| Reloader::new(reload, client.clone(), authorizer(Credential::None)).unwrap());
    let credential = Credential::Basic { username: "ada".into(), password: "marker-pass".into() };
    Mlflow::new(&fake.url.join("prefix/").unwrap(), model, alias, client, authorizer(credential), reload).unwrap()
}

fn plan(mlflow: &Mlflow, from: Option<&str>, to: &str) -> RollbackPlan {
    let (from, to) = (from.map(VersionId::from), VersionId::from(to));
    let Planned { calls, follows } = mlflow.plan(from.as_ref(), &to);
    let (id, endpoint) = (PlanId::from("p"), EndpointId(1));
    RollbackPlan { id, endpoint, created: TimestampMs(0), from, to, calls, follows }
}

fn status_of(checks: &[Check], name: &str) -> CheckStatus {
    checks.iter().find(|check| check.check == name).unwrap().status
}

#[tokio::test]
async fn all_pages_are_read_newest_first_with_metrics() {
    let (fake, _) = start(Registry::with_bc()).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let state = mlflow.state().await.unwrap();
    assert_eq!(state.current, Some("3".into()));
    assert_eq!(state.versions.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["3", "2", "1"]);
    let accuracy = |at: usize| state.versions[at].metrics.get("accuracy").copied();
    assert_eq!([accuracy(0), accuracy(1), accuracy(2)], [Some(0.63), Some(0.96), None]);
    let runs = || fake.asked().iter().filter(|asked| asked.target.contains("runs/get")).count();
    assert_eq!(runs(), 3);
    mlflow.state().await.unwrap();
    assert_eq!(runs(), 4, "finished runs are remembered, the unreadable one is tried again");
}

#[tokio::test]
async fn the_signature_of_the_live_version_or_of_another_is_read() {
    let (fake, _registry) = start(Registry::with_bc()).await;
    let datatype = async |alias: &str, version: Option<&str>| {
        let version = version.map(VersionId::from);
        let signature = mlflow(&fake, "bc", alias, None).signature(version.as_ref()).await.unwrap();
        signature.map(|signature| signature.inputs[0].datatype.clone())
    };
    assert_eq!(datatype("champion", None).await.as_deref(), Some("FP64"));
    assert_eq!(datatype("champion", Some("2")).await.as_deref(), Some("INT64"));
    assert_eq!(datatype("nobody", None).await, None, "without a live version there is no signature");
}

#[tokio::test]
async fn no_alias_is_no_version_but_no_model_is_an_error() {
    let (fake, _) = start(Registry::with_bc()).await;
    assert_eq!(mlflow(&fake, "bc", "nope", None).state().await.unwrap().current, None);
    let error = mlflow(&fake, "nope", "champion", None).state().await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NotFound));
    assert!(error.to_string().contains("Registered Model with name=nope not found"), "{error}");
}

#[tokio::test]
async fn names_with_quotes_and_blanks_are_searched_as_they_are() {
    for name in ["it's \u{e9} & 100%", "say \"hi\"", "a/b?c#d"] {
        let (fake, _) =
            start(Registry { versions: BTreeMap::from([(name.into(), 2)]), page_size: 9, ..Registry::default() }).await;
        assert_eq!(mlflow(&fake, name, "champion", None).state().await.unwrap().versions.len(), 2, "{name}");
    }
    let (fake, _) = start(Registry::default()).await;
    let made = Mlflow::new(&fake.url, "'\"", "a", client(), authorizer(Credential::None), None);
    assert!(made.unwrap_err().to_string().contains("`model`"));
}

#[tokio::test]
async fn what_is_sent_is_what_the_plan_shows() {
    let (fake, registry) = start(Registry::with_bc()).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let plan = plan(&mlflow, Some("3"), "2");
    let checks = mlflow.preflight(&plan).await;
    assert!(checks.iter().all(|check| check.status != CheckStatus::Block), "{checks:?}");
    assert_eq!(status_of(&checks, "reload"), CheckStatus::Warn);
    assert!(matches!(plan.follows, Follows::No(_)));
    assert!(fake.writes().is_empty(), "a preflight only reads");

    let reply = mlflow.send(&plan, 0).await.unwrap();
    assert_eq!(reply.detail, "accepted; read back: alias `champion` points at version 2");
    assert_eq!(registry.lock().unwrap().aliases[&("bc".into(), "champion".into())], "2");
    let (shown, sent) = (&plan.calls[0], &fake.writes()[0]);
    assert_eq!(shown.url, fake.url.join(&sent.target).unwrap().as_str());
    assert_eq!(shown.body.as_ref().unwrap().to_string(), sent.body);
    for (name, value) in &shown.headers {
        let sent_value = sent.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
        assert!(sent_value == value || value == pilothouse_serving::MASK, "{name}");
    }
    assert!(!format!("{plan:?}{checks:?}{mlflow:?}").contains("marker-pass"));

    assert_eq!(mlflow.send(&plan, 0).await.unwrap_err().refusal(), Some(Refusal::Changed));
    assert_eq!(fake.writes().len(), 1, "a second click writes nothing");
}

#[tokio::test]
async fn a_reload_runs_only_while_the_alias_stands_where_confirmed() {
    let (fake, registry) = start(Registry::with_bc()).await;
    let url = fake.url.join("reload?token=secret-token").unwrap();
    let reload = Reload::Http { method: "POST".into(), url, auth: Auth::None };
    let mlflow = mlflow(&fake, "bc", "champion", Some(&reload));
    let plan = plan(&mlflow, Some("3"), "2");
    assert_eq!((plan.calls.len(), &plan.follows), (2, &Follows::Yes));
    assert_eq!(status_of(&mlflow.preflight(&plan).await, "reload"), CheckStatus::Pass);
    assert_eq!(mlflow.send(&plan, 1).await.unwrap_err().refusal(), Some(Refusal::Changed));
    mlflow.send(&plan, 0).await.unwrap();
    // The fake knows no reload route, which its own 404 says.
    assert_eq!(mlflow.send(&plan, 1).await.unwrap_err().refusal(), Some(Refusal::NotFound));
    assert!(fake.writes().last().unwrap().target.ends_with("/reload?token=secret-token"));
    registry.lock().unwrap().aliases.insert(("bc".into(), "champion".into()), "1".into());
    assert_eq!(mlflow.send(&plan, 1).await.unwrap_err().refusal(), Some(Refusal::Changed));
    assert_eq!(fake.writes().len(), 2);
}

#[tokio::test]
async fn a_missing_or_unready_target_blocks_and_is_refused() {
    let (fake, registry) = start(Registry::with_bc()).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let missing = plan(&mlflow, Some("3"), "99");
    assert_eq!(status_of(&mlflow.preflight(&missing).await, "target_exists"), CheckStatus::Block);
    let error = mlflow.send(&missing, 0).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NotFound));
    assert!(error.to_string().contains("version=99) not found"), "{error}");
    let unready = plan(&mlflow, Some("3"), "1");
    let checks = mlflow.preflight(&unready).await;
    assert_eq!(status_of(&checks, "target_ready"), CheckStatus::Block);
    assert_eq!(status_of(&checks, "target_metrics"), CheckStatus::Warn);
    assert_eq!(registry.lock().unwrap().aliases[&("bc".into(), "champion".into())], "3");
}

#[tokio::test]
async fn a_reader_without_the_right_to_write_is_refused_in_words() {
    let (fake, _) = start(Registry { read_only: true, ..Registry::with_bc() }).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let plan = plan(&mlflow, Some("3"), "2");
    assert_eq!(status_of(&mlflow.preflight(&plan).await, "permission"), CheckStatus::Pass);
    let error = mlflow.send(&plan, 0).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::Forbidden));
    assert!(error.to_string().contains("Permission denied"), "{error}");
}

#[tokio::test]
async fn no_credential_blocks_the_permission() {
    let fake = Fake::start(|_| Reply::html(401, "You are not authenticated.")).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let checks = mlflow.preflight(&plan(&mlflow, Some("3"), "2")).await;
    assert_eq!(status_of(&checks, "permission"), CheckStatus::Block);
    assert!(checks.iter().any(|check| check.detail.contains("credential in the settings")), "{checks:?}");
}

#[tokio::test]
async fn an_overtaken_move_is_not_reported_as_done() {
    let (fake, _) = start(Registry { overtaken_by: Some("1".into()), ..Registry::with_bc() }).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    let error = mlflow.send(&plan(&mlflow, Some("3"), "2"), 0).await.unwrap_err();
    assert!(error.may_have_changed() && error.to_string().contains("points at version 1"), "{error}");
}

#[tokio::test]
async fn a_move_without_a_clear_answer_is_open() {
    for reply in [Reply::Close, Reply::html(502, "bad gateway")] {
        let (fake, _) = start(Registry { move_reply: Some(reply), ..Registry::with_bc() }).await;
        let mlflow = mlflow(&fake, "bc", "champion", None);
        let error = mlflow.send(&plan(&mlflow, Some("3"), "2"), 0).await.unwrap_err();
        assert!(error.may_have_changed(), "{error}");
        assert_eq!(mlflow.state().await.unwrap().current, Some("2".into()), "which `state` then tells");
    }
    // A sign-in page is not MLflow's answer, but reading back proves the move.
    let page = Reply::html(200, "<html>hello</html>");
    let (fake, _) = start(Registry { move_reply: Some(page), ..Registry::with_bc() }).await;
    let mlflow = mlflow(&fake, "bc", "champion", None);
    assert!(mlflow.send(&plan(&mlflow, Some("3"), "2"), 0).await.is_ok());
}

#[tokio::test]
async fn a_first_version_can_be_made_live() {
    let (fake, _) = start(Registry::with_bc()).await;
    let mlflow = mlflow(&fake, "bc", "fresh", None);
    let plan = plan(&mlflow, None, "2");
    let checks = mlflow.preflight(&plan).await;
    assert_eq!(status_of(&checks, "current_unchanged"), CheckStatus::Pass);
    assert!(mlflow.send(&plan, 0).await.is_ok());
}
