//! Against a fake API server over TLS, through kube's own loader. Refusals are those that kube-apiserver 1.20.2 gave;
//! resources are of the form of KServe's CRD and of the core API.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pilothouse_domain::Protocol;
use pilothouse_testkit::{Authority, Behaviour, FakeServer, RecordedRequest, Validity};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::candidate::{Candidate, CandidateKind};

struct FakeApi {
    server: FakeServer,
    folder: TempDir,
}

impl FakeApi {
    /// Answers with `answer` by path and query; everybody who shows the token `t0k` is let in.
    async fn start(answer: impl Fn(&str) -> Behaviour + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let certificate = authority.server(&["127.0.0.1"], Validity::Valid);
        let behaviour = Behaviour::Answer(Arc::new(move |request: &RecordedRequest| {
            if request.header("authorization") != Some("Bearer t0k") {
                return status(401, "Unauthorized", "Unauthorized");
            }
            answer(&request.target)
        }));
        let server = FakeServer::start_tls(behaviour, &certificate).await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { server, folder }
    }

    fn kubeconfig(&self, namespace: &str) -> PathBuf {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
             clusters:\n- name: c\n  cluster: {{server: '{}', certificate-authority: ca.pem}}\n\
             users:\n- name: u\n  user: {{token: t0k}}\n\
             contexts:\n- name: prod\n  context: {{cluster: c, user: u, namespace: {namespace}}}\n",
            self.server.url()
        );
        let path = self.folder.path().join("config");
        fs::write(&path, text).unwrap();
        path
    }

    fn options(&self) -> KubernetesOptions {
        let access = Access { kubeconfig: Some(self.kubeconfig("models")), context: None, run_plugin: false };
        KubernetesOptions { access, namespace: None, labels: None }
    }
}

fn status(code: u16, reason: &str, message: &str) -> Behaviour {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code});
    Behaviour::status(code, &body.to_string())
}

fn list(items: &Value) -> Behaviour {
    Behaviour::json(
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items}).to_string(),
    )
}

fn inference_service() -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
        "metadata": {"name": "bc", "namespace": "models", "generation": 2},
        "spec": {"predictor": {"canaryTrafficPercent": 10, "model": {
            "modelFormat": {"name": "sklearn"}, "protocolVersion": "v2", "runtime": "kserve-mlserver",
            "storageUri": "https://u:marker@store.example/m?sig=marker"}}},
        "status": {
            "url": "http://bc.models.example.com",
            "address": {"url": "http://bc.models.svc.cluster.local"},
            "conditions": [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "True"}],
            "components": {"predictor": {
                "latestCreatedRevision": "bc-predictor-00002", "latestReadyRevision": "bc-predictor-00002",
                "latestRolledoutRevision": "bc-predictor-00001",
                "traffic": [
                    {"revisionName": "bc-predictor-00002", "percent": 10, "latestRevision": true},
                    {"revisionName": "bc-predictor-00001", "percent": 90, "tag": "prev", "latestRevision": false}
                ]}}},
    })
}

fn service(name: &str, labels: &Value, ports: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "models", "labels": labels},
        "spec": {"type": "ClusterIP", "selector": {"app": name}, "ports": ports}})
}

fn pod(name: &str, app: &str, image: &str, ready: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "models", "labels": {"app": app}},
        "spec": {"containers": [{"name": "queue-proxy", "image": "knative/queue"}, {"name": "main", "image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "main", "image": format!("docker.io/{image}"), "ready": true, "restartCount": 0,
                "imageID": "docker.io/library/x@sha256:77aa"}]}})
}

fn whole_cluster(target: &str) -> Behaviour {
    if target.contains("/inferenceservices") {
        return list(&json!([inference_service()]));
    }
    if target.contains("/pods") {
        return list(&json!([
            pod("triton-1", "triton", "nvcr.io/nvidia/tritonserver:24.05-py3", "True"),
            pod("triton-2", "triton", "nvcr.io/nvidia/tritonserver:24.05-py3", "False"),
            pod("db-0", "db", "postgres:16", "True"),
        ]));
    }
    if target.contains("labelSelector=team%3Dml") {
        return list(&json!([service("odd", &json!({"team": "ml"}), &json!([{"port": 9999}]))]));
    }
    list(&json!([
        service("bc-predictor", &json!({"serving.kserve.io/inferenceservice": "bc", "component": "predictor"}),
            &json!([{"name": "http", "port": 80, "targetPort": 8080}])),
        service("triton", &json!({}),
            &json!([{"name": "grpc", "port": 8001}, {"name": "metrics", "port": 8002}, {"name": "x", "port": 8000}])),
        service("scores", &json!({"app.kubernetes.io/component": "model-server"}),
            &json!([{"name": "grpc", "port": 9000}, {"name": "http-predict", "port": 8080}])),
        service("db", &json!({}), &json!([{"port": 5432}])),
        service("odd", &json!({"team": "ml"}), &json!([{"port": 9999}])),
        {"metadata": {"name": "broken"}, "spec": {"ports": "none"}},
    ]))
}

fn named<'a>(found: &'a Discovery, name: &str) -> &'a Candidate {
    found.candidates.iter().find(|candidate| candidate.name == name).unwrap_or_else(|| panic!("{name}: {found:?}"))
}

#[tokio::test]
async fn inference_services_and_services_are_found() {
    let api = FakeApi::start(whole_cluster).await;
    let found = kubernetes(&KubernetesOptions { labels: Some("team=ml".into()), ..api.options() }).await.unwrap();
    let names: Vec<&str> = found.candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    assert_eq!(names, ["bc", "odd", "scores", "triton"]);
    assert!(found.place.contains("context prod"), "{}", found.place);

    let bc = named(&found, "bc");
    assert_eq!((bc.kind, bc.protocol), (CandidateKind::InferenceService, Some(Protocol::OpenInference)));
    assert_eq!((bc.model.as_deref(), bc.version.as_deref()), (Some("bc"), Some("bc-predictor-00001")));
    assert_eq!(bc.url.as_ref().unwrap().as_str(), "http://bc.models.example.com/");
    assert_eq!(bc.inside_url.as_ref().unwrap().as_str(), "http://bc.models.svc.cluster.local/");
    let forward = bc.forward.as_ref().unwrap();
    assert_eq!((forward.service.as_str(), forward.port), ("bc-predictor", 80));
    assert_eq!((bc.ready, bc.traffic.len(), bc.traffic[1].percent), (Some(true), 2, 90));
    assert!(!format!("{bc:?}").contains("marker"), "{bc:?}");

    let triton = named(&found, "triton");
    assert_eq!((triton.stack, triton.version.as_deref()), (Some("NVIDIA Triton"), Some("24.05-py3")));
    assert_eq!((triton.forward.as_ref().unwrap().port, triton.ready), (8000, Some(true)));
    assert_eq!(triton.digest.as_deref(), Some("sha256:77aa"));
    assert!(triton.evidence.iter().any(|line| line == "1 of 2 pods are ready"), "{:?}", triton.evidence);
    let scores = named(&found, "scores");
    assert_eq!((scores.forward.as_ref().unwrap().port, scores.url.as_ref()), (8080, None));
    assert_eq!(scores.inside_url.as_ref().unwrap().as_str(), "http://scores.models.svc.cluster.local:8080/");
    assert!(found.notes.iter().any(|note| note.contains("1 of `services`")), "{:?}", found.notes);
    assert!(api.server.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn what_may_not_be_listed_everywhere_is_listed_in_the_contexts_namespace() {
    let api = FakeApi::start(|target| {
        if target.contains("/namespaces/models/") {
            return whole_cluster(target);
        }
        status(403, "Forbidden", "services is forbidden: User \"viewer\" cannot list resource \"services\" in API group \"\" at the cluster scope")
    })
    .await;
    let found = kubernetes(&api.options()).await.unwrap();
    assert_eq!(found.candidates.len(), 3);
    assert!(found.notes.iter().any(|note| note.contains("only `models` was looked through")), "{:?}", found.notes);
}

#[tokio::test]
async fn a_missing_permission_is_a_note_and_names_what_to_ask_for() {
    let api = FakeApi::start(|target| {
        if target.contains("/pods") {
            return status(403, "Forbidden", "pods is forbidden");
        }
        if target.contains("inferenceservices") {
            return Behaviour::status(404, "404 page not found\n");
        }
        whole_cluster(target)
    })
    .await;
    let found = kubernetes(&KubernetesOptions { namespace: Some("models".into()), ..api.options() }).await.unwrap();
    // Without its pods nothing says what stands behind the Service `triton`.
    let names: Vec<&str> = found.candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    assert_eq!(names, ["bc-predictor", "scores"]);
    let notes = found.notes.join("\n");
    assert!(
        notes.contains("may not list `pods` in the namespace `models`") && notes.contains("Ask for a Role"),
        "{notes}"
    );
    assert!(notes.contains("KServe is not installed"), "{notes}");
}

#[tokio::test]
async fn nothing_at_all_to_see_is_an_error() {
    let api = FakeApi::start(|_| status(403, "Forbidden", "no")).await;
    let error = kubernetes(&api.options()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden { verb: "list", .. }), "{error}");
    let mut options = api.options();
    let text = fs::read_to_string(options.access.kubeconfig.as_ref().unwrap()).unwrap().replace("t0k", "old");
    let path = api.folder.path().join("other");
    fs::write(&path, text).unwrap();
    options.access.kubeconfig = Some(path);
    let error = kubernetes(&options).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorized { .. }) && !error.to_string().contains("old"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_not_ready_says_why() {
    let api = FakeApi::start(|target| {
        if !target.contains("inferenceservices") {
            return list(&json!([]));
        }
        let mut item = inference_service();
        item["status"] = json!({
            "conditions": [{"type": "Ready", "status": "False", "reason": "RevisionMissing", "message": "no such\nimage"}],
            "components": {"predictor": {"latestCreatedRevision": "bc-predictor-00001"}}});
        let bare = json!({"metadata": {"name": "new", "namespace": "models"}, "spec": {"predictor": {"sklearn": {}}}});
        list(&json!([item, bare]))
    })
    .await;
    let found = kubernetes(&api.options()).await.unwrap();
    let bc = named(&found, "bc");
    assert_eq!((bc.ready, bc.is_reachable()), (Some(false), false));
    let problems = bc.problems.join("\n");
    assert!(
        problems.contains("RevisionMissing: no such image") && problems.contains("bc-predictor-00001 is not ready")
    );
    let new = named(&found, "new");
    assert!(
        new.problems[0].contains("controller") && new.evidence.contains(&"model format sklearn".to_owned()),
        "{new:?}"
    );
}
