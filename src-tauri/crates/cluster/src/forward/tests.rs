//! A forwarded port through a fake API server to a server of this machine.

use std::fs;
use std::net::SocketAddr;

use pilothouse_testkit::{Behaviour, FakeServer, Forwarded, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::Access;

fn service(ports: &Value) -> Value {
    json!({"metadata": {"name": "iris"}, "spec": {"selector": {"app": "iris", "tier": "model"}, "ports": ports}})
}

fn pod(name: &str, ready: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]},
        "spec": {"containers": [{"name": "main", "ports": [{"name": "rest", "containerPort": 8081}]}]}})
}

struct Fixture {
    server: FakeServer,
    cluster: Cluster,
    _folder: TempDir,
}

async fn fixture(service: Value, pods: Value, forwarded: Behaviour) -> Fixture {
    let server = FakeServer::start(Behaviour::answer(move |request: &RecordedRequest| match request.path() {
        "/api/v1/namespaces/models/services/iris" => Behaviour::json(&service.to_string()),
        "/api/v1/namespaces/models/pods" => Behaviour::json(&json!({"metadata": {}, "items": pods}).to_string()),
        path if path.ends_with("/portforward") => forwarded.clone(),
        _ => Behaviour::status(404, r#"{"kind":"Status","code":404,"reason":"NotFound","message":"not found"}"#),
    }))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "current-context: x\nclusters: [{{name: c, cluster: {{server: '{}'}}}}]\ncontexts: [{{name: x, context: {{cluster: c}}}}]\n",
        server.url()
    );
    fs::write(&path, text).unwrap();
    let cluster = Cluster::login(&Access { kubeconfig: Some(path), ..Access::default() }).await.unwrap();
    Fixture { server, cluster, _folder: folder }
}

fn to(service: &str, port: u16) -> ServicePort {
    ServicePort { namespace: "models".into(), service: service.into(), port }
}

fn address(server: &FakeServer) -> SocketAddr {
    server.url().socket_addrs(|| None).unwrap()[0]
}

fn two_pods() -> Value {
    json!([pod("iris-1", "False"), pod("iris-2", "True")])
}

async fn refused(service: Value, pods: Value, to: &ServicePort) -> String {
    let fixture = fixture(service, pods, Behaviour::Close).await;
    fixture.cluster.forward(to).await.err().unwrap().to_string()
}

#[tokio::test]
async fn bytes_pass_both_ways_to_a_ready_pod() {
    let model = FakeServer::start(Behaviour::json(r#"{"name":"mlserver"}"#)).await;
    let forwarded = Behaviour::ForwardPort(Forwarded::To(address(&model)));
    let ports = json!([{"port": 80, "targetPort": "rest"}]);
    let fixture = fixture(service(&ports), two_pods(), forwarded).await;
    let mut stream = fixture.cluster.forward(&to("iris", 80)).await.unwrap();
    stream.write_all(b"GET /v2 HTTP/1.1\r\nhost: iris\r\nconnection: close\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    let asked: Vec<String> = fixture.server.requests().iter().map(|request| request.target.clone()).collect();
    assert!(asked[1].contains("labelSelector=app%3Diris%2Ctier%3Dmodel"), "{asked:?}");
    assert!(asked[2].starts_with("/api/v1/namespaces/models/pods/iris-2/portforward?"), "{asked:?}");
    assert!(asked[2].ends_with("ports=8081"), "{asked:?}");
    assert_eq!(model.requests()[0].target, "/v2");
}

#[tokio::test]
async fn a_port_at_which_nothing_listens_is_a_refused_connection() {
    let said = "error forwarding port 8081 to pod: connect: connection refused";
    let forwarded = Behaviour::ForwardPort(Forwarded::Refused(said.into()));
    let fixture = fixture(service(&json!([{"port": 80, "targetPort": 8081}])), two_pods(), forwarded).await;
    let mut stream = fixture.cluster.forward(&to("iris", 80)).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("iris-2") && error.to_string().contains("connection refused"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_forwarded_says_why() {
    let ports = json!([{"port": 80, "targetPort": 8081}]);
    let check = async |service: Value, pods: Value, to: ServicePort, expect: &str| {
        let error = refused(service, pods, &to).await;
        assert!(error.contains(expect), "{expect}: {error}");
    };
    check(service(&ports), json!([]), to("iris", 80), "selects no pod").await;
    check(service(&ports), json!([pod("a", "False")]), to("iris", 80), "none of the 1 pods").await;
    check(service(&ports), two_pods(), to("iris", 81), "has no port 81; it has 80").await;
    check(service(&ports), two_pods(), to("other", 80), "no service `other`").await;
    let named = service(&json!([{"port": 80, "targetPort": "grpc"}]));
    check(named, two_pods(), to("iris", 80), "does not name").await;
    let external = json!({"metadata": {"name": "iris"}, "spec": {"type": "ExternalName", "externalName": "x.example"}});
    check(external, two_pods(), to("iris", 80), "ExternalName").await;
    check(json!({"metadata": {}, "spec": {"ports": [{"port": 80}]}}), two_pods(), to("iris", 80), "selects no pods")
        .await;
}

#[tokio::test]
async fn a_missing_permission_to_forward_is_named() {
    let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"iris-2\" is forbidden","reason":"Forbidden","code":403}"#;
    let fixture = fixture(service(&json!([{"port": 80}])), two_pods(), Behaviour::status(403, status)).await;
    let error = fixture.cluster.forward(&to("iris", 80)).await.err().unwrap();
    assert!(error.to_string().contains("may not create `pods/portforward`"), "{error}");
}
