//! Against a fake engine on a Unix socket. Its answers are of the form that the Docker Engine API documents for v1.43.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use pilothouse_domain::Protocol;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

struct FakeEngine {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Answers {
    containers: Value,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeEngine {
    fn start(containers: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().fallback(answer).with_state(Answers { containers, asked: Arc::clone(&asked) });
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { folder, asked, task }
    }

    fn options(&self) -> DockerOptions {
        DockerOptions { socket: Some(self.folder.path().join("docker.sock")), label: None }
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(answers): State<Answers>, method: Method, uri: Uri) -> axum::response::Response {
    answers.asked.lock().unwrap().push(format!("{method} {uri}"));
    let path = uri.path();
    if path.ends_with("/version") {
        let version = json!({"Version": "24.0.7", "ApiVersion": "1.43", "MinAPIVersion": "1.12", "Os": "linux"});
        return axum::Json(version).into_response();
    }
    if path.ends_with("/containers/json") {
        let labelled = uri.query().is_some_and(|query| query.contains("filters="));
        let all = answers.containers.as_array().unwrap().iter();
        let shown: Vec<&Value> =
            all.filter(|container| !labelled || container["Labels"].get("team") == Some(&json!("ml"))).collect();
        return axum::Json(json!(shown)).into_response();
    }
    if path.contains("/images/") && path.ends_with("/json") {
        if path.contains("mlserver") {
            let image = json!({"Id": "sha256:aa", "RepoDigests": ["seldonio/mlserver@sha256:1f2e"]});
            return axum::Json(image).into_response();
        }
        return (StatusCode::NOT_FOUND, axum::Json(json!({"message": "No such image"}))).into_response();
    }
    (StatusCode::NOT_FOUND, axum::Json(json!({"message": "page not found"}))).into_response()
}

fn container(name: &str, image: &str, ports: &Value, labels: &Value) -> Value {
    json!({
        "Id": format!("8dfafdbc3a40{name}"), "Names": [format!("/{name}")], "Image": image,
        "ImageID": "sha256:d74508fb6632", "Command": "/docker-entrypoint.sh", "Created": 1_367_854_155,
        "State": "running", "Status": "Up 4 minutes", "Ports": ports, "Labels": labels,
        "HostConfig": {"NetworkMode": "default"}, "NetworkSettings": {"Networks": {}}, "Mounts": [],
    })
}

fn port(inside: u16, outside: Option<u16>, ip: &str) -> Value {
    match outside {
        Some(outside) => json!({"IP": ip, "PrivatePort": inside, "PublicPort": outside, "Type": "tcp"}),
        None => json!({"PrivatePort": inside, "Type": "tcp"}),
    }
}

#[tokio::test]
async fn containers_with_the_image_of_a_model_server_are_found() {
    let engine = FakeEngine::start(json!([
        container(
            "churn",
            "seldonio/mlserver:1.7.1",
            &json!([
                port(8082, Some(18082), "0.0.0.0"),
                port(8080, Some(18080), "0.0.0.0"),
                port(8080, Some(18080), "::")
            ]),
            &json!({})
        ),
        container("llm", "ollama/ollama", &json!([port(11434, Some(11434), "127.0.0.1")]), &json!({})),
        container("hidden", "nvcr.io/nvidia/tritonserver:24.05-py3", &json!([port(8000, None, "")]), &json!({})),
        container("db", "postgres:16", &json!([port(5432, Some(5432), "0.0.0.0")]), &json!({})),
    ]));
    let found = docker(&engine.options()).await.unwrap();
    assert!(found.place.starts_with("Docker Engine 24.0.7 at "), "{}", found.place);
    let names: Vec<&str> = found.candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    assert_eq!(names, ["churn", "hidden", "llm"]);

    let churn = &found.candidates[0];
    assert_eq!(churn.url.as_ref().unwrap().as_str(), "http://127.0.0.1:18080/");
    assert_eq!((churn.protocol, churn.stack), (Some(Protocol::OpenInference), Some("MLServer")));
    assert_eq!((churn.version.as_deref(), churn.digest.as_deref()), (Some("1.7.1"), Some("sha256:1f2e")));
    assert!(churn.evidence.iter().any(|line| line == "port 18082 is its metrics"), "{:?}", churn.evidence);

    let hidden = &found.candidates[1];
    assert!(!hidden.is_reachable() && hidden.problems[0].contains("port 8000 is not published"), "{hidden:?}");
    assert_eq!(hidden.version.as_deref(), Some("24.05-py3"));
    assert_eq!((found.candidates[2].version.as_deref(), found.candidates[2].digest.as_deref()), (None, None));
    assert!(found.notes[0].starts_with("1 of 4 running containers were left out"), "{:?}", found.notes);

    // Only reading: every call is one of the three that the module names.
    let asked = engine.asked.lock().unwrap().clone();
    let known = |path: &&String| {
        path.starts_with("GET /version") || path.starts_with("GET /containers/json") || path.starts_with("GET /images/")
    };
    assert_eq!(asked.iter().filter(known).count(), asked.len(), "{asked:?}");
}

#[tokio::test]
async fn a_label_lists_containers_whatever_their_image_is() {
    let engine = FakeEngine::start(json!([
        container("scores", "team/app:7", &json!([port(5001, Some(15001), "192.168.1.5")]), &json!({"team": "ml"})),
        container("db", "postgres:16", &json!([]), &json!({"team": "core"})),
    ]));
    let found = docker(&DockerOptions { label: Some("team=ml".into()), ..engine.options() }).await.unwrap();
    assert_eq!(found.candidates.len(), 1);
    let scores = &found.candidates[0];
    assert_eq!(scores.url.as_ref().unwrap().as_str(), "http://192.168.1.5:15001/");
    assert_eq!((scores.protocol, scores.version.as_deref()), (None, Some("7")));
}

#[tokio::test]
async fn ports_and_states_are_read() {
    let state = |status: &str| {
        let mut container = container("m", "vllm/vllm-openai:v0.11.0", &json!([]), &json!({}));
        container["Status"] = json!(status);
        container
    };
    let check = |container: Value, url: Option<&str>, ready: Option<bool>| {
        let summary: ContainerSummary = serde_json::from_value(container).unwrap();
        let found = candidate(&summary, false).unwrap();
        assert_eq!((found.url.as_ref().map(Url::as_str), found.ready), (url, ready), "{found:?}");
    };
    check(state("Up 2 minutes (healthy)"), None, Some(true));
    check(state("Up 2 minutes (unhealthy)"), None, Some(false));
    check(state("Up 2 minutes"), None, None);
    let mut on_host = state("Up");
    on_host["HostConfig"]["NetworkMode"] = json!("host");
    check(on_host, Some("http://127.0.0.1:8000/"), None);
    let mut v6 = state("Up");
    v6["Ports"] = json!([port(8000, Some(9), "2001:db8::1")]);
    check(v6, Some("http://[2001:db8::1]:9/"), None);
    let mut udp = state("Up");
    udp["Ports"] = json!([{"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 8000, "Type": "udp"}]);
    check(udp, None, None);
}

#[tokio::test]
async fn an_engine_that_is_not_there_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = DockerOptions { socket: Some(folder.path().join("none.sock")), label: None };
    let error = docker(&missing).await.unwrap_err().to_string();
    assert!(error.contains("none.sock") && error.contains("name its socket"), "{error}");
    // A socket at which nobody listens any more.
    let path = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = docker(&DockerOptions { socket: Some(path), label: None }).await.unwrap_err().to_string();
    assert!(error.contains("start the engine"), "{error}");
}
