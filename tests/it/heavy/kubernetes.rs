//! A real Kubernetes cluster: rights are respected, models are found, and one that has no address outside of the cluster is
//! connected by a forwarded port and followed while its pod goes and comes.

use pilothouse_api::Code;
use pilothouse_api::types::{DiscoveredChoice, DiscoveryPlace, HealthWord};
use pilothouse_tests::KubernetesCluster;
use serde_json::json;

use super::connected;
use crate::support::{RESTART, of, open, until, until_row};

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes() {
    let mut cluster = tokio::task::spawn_blocking(KubernetesCluster::start).await.unwrap();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let place = |context: &str| DiscoveryPlace::Kubernetes {
        kubeconfig: Some(kubeconfig.clone()),
        context: Some(context.into()),
        namespace: None,
        labels: None,
        run_plugin: false,
    };

    // A user without any right is told so, and what to ask for.
    let refused = pilothouse_api::discover(place("viewer")).await.unwrap_err();
    assert_eq!(refused.code, Code::ControlPlaneFailed, "{refused:?}");
    assert!(refused.message.contains("may not list `services`"), "{refused:?}");
    grant_least(&cluster);

    cluster.deploy_mlserver("churn");
    let empty = pilothouse_api::discover(place("admin")).await.unwrap();
    assert!(empty.notes.iter().any(|note| note.contains("KServe is not installed")), "{:?}", empty.notes);
    install_inference_services(&cluster);
    let ready = async || {
        let found = pilothouse_api::discover(place("viewer")).await.unwrap();
        let is_ready = found.items.iter().any(|item| item.name == "churn" && item.ready == Some(true));
        is_ready.then_some(found)
    };
    let found = until("the pod is ready", RESTART, ready).await;
    assert_eq!(found.items.len(), 2, "{:?}", found.items);
    let service = found.items.iter().find(|item| item.kind == "service").unwrap();
    assert_eq!((service.name.as_str(), service.stack.as_deref()), ("churn", Some("MLServer")), "{service:?}");
    assert_eq!(service.version.as_deref(), Some("1.7.1"), "{service:?}");
    assert_eq!(service.ways[0].url, "http://churn.default.svc.cluster.local/", "{service:?}");
    let inference = found.items.iter().find(|item| item.kind == "inference_service").unwrap();
    assert_eq!((inference.name.as_str(), inference.protocol.as_deref()), ("iris", Some("v2")), "{inference:?}");
    assert_eq!((inference.model.as_deref(), inference.ready), (Some("iris"), Some(false)), "{inference:?}");

    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let choice = DiscoveredChoice {
        name: service.name.clone(),
        url: service.ways[0].url.clone(),
        network: service.ways[0].network.clone(),
        protocol: service.protocol.clone(),
        model: service.model.clone(),
        image: None,
    };
    let id = connected(&api, choice).await;
    until_row(&api, id, "it is healthy through the forwarded port", |row| row.health == HealthWord::Healthy).await;
    let probe = api.probe_now(of(id)).await.unwrap();
    assert_eq!(probe.outcome, "ok", "{probe:?}");

    // Without a pod there is no model.
    cluster.must(&["scale", "deployment/churn", "--replicas=0"]);
    until_row(&api, id, "it is down without a pod", |row| row.health == HealthWord::Down).await;
    cluster.must(&["scale", "deployment/churn", "--replicas=1"]);
    until_row(&api, id, "it is healthy with a new pod", |row| row.health == HealthWord::Healthy).await;

    // Without an API server we are blind, and the model is not to blame.
    cluster.kill();
    let blind = until("a probe meets no API server", RESTART, async || {
        Some(api.probe_now(of(id)).await.unwrap()).filter(|probe| probe.outcome != "ok")
    });
    assert_eq!(blind.await.outcome, "unknown");
    api.stop().await;
}

/// What Pilothouse needs of a cluster, and nothing else.
fn grant_least(cluster: &KubernetesCluster) {
    cluster.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "pilothouse"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
            {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": ["list"]},
        ],
    }));
    cluster.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "pilothouse"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pilothouse"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
    }));
}

/// An `InferenceService` as KServe defines it, in a cluster without KServe's controller: nobody makes it ready.
fn install_inference_services(cluster: &KubernetesCluster) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    cluster.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "inferenceservices.serving.kserve.io"},
        "spec": {
            "group": "serving.kserve.io", "scope": "Namespaced",
            "names": {"kind": "InferenceService", "plural": "inferenceservices"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    }));
    cluster.must(&["wait", "--for=condition=Established", "crd/inferenceservices.serving.kserve.io"]);
    let model = json!({"modelFormat": {"name": "sklearn"}, "protocolVersion": "v2", "storageUri": "gs://models/iris"});
    cluster.apply(&json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "iris"},
        "spec": {"predictor": {"model": model}},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NoController"}]},
    }));
}
