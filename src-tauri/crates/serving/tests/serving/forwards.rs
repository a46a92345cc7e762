//! Forwarded ports of a cluster: a probe through one, whose failure is whose, and what is not reached this way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pilothouse_domain::network::ClusterAccess;
use pilothouse_domain::{Network, Outcome, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, ModelClient};
use pilothouse_testkit::{Behaviour, FakeServer, Forwarded, RecordedRequest, quick_probe_config};
use tempfile::TempDir;

use crate::support::{ready_target, transport};

const SERVICE: &str =
    r#"{"metadata":{"name":"m"},"spec":{"selector":{"app":"m"},"ports":[{"port":80,"targetPort":8080}]}}"#;

fn answer_of_cluster(request: &RecordedRequest, ready: &str, forwarded: &Forwarded) -> Behaviour {
    match request.path() {
        "/api/v1/namespaces/models/services/m" => Behaviour::json(SERVICE),
        "/api/v1/namespaces/models/pods" => Behaviour::json(&format!(
            r#"{{"metadata":{{}},"items":[{{"metadata":{{"name":"m-1"}},"status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}]}}"#
        )),
        "/api/v1/namespaces/models/pods/m-1/portforward" => Behaviour::ForwardPort(forwarded.clone()),
        _ => Behaviour::status(404, r#"{"kind":"Status","code":404}"#),
    }
}

/// An API server with the Service `m` and one pod of it, and a kubeconfig that names it.
async fn cluster(ready: &'static str, forwarded: Forwarded) -> (FakeServer, TempDir, PathBuf) {
    let answer = move |request: &RecordedRequest| answer_of_cluster(request, ready, &forwarded);
    let server = FakeServer::start(Behaviour::answer(answer)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("config");
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: '{}'}}}}]\ncontexts: [{{name: prod, context: {{cluster: c}}}}]\n",
        server.url()
    );
    std::fs::write(&file, text).expect("a kubeconfig");
    (server, folder, file)
}

fn client(target: Target, url: &str, kubeconfig: PathBuf) -> ModelClient {
    let access = ClusterAccess { context: "prod".into(), kubeconfig: Some(kubeconfig), run_plugin: false };
    let target = Target { url: url.parse().expect("a URL"), network: Network::Kubernetes(Box::new(access)), ..target };
    let transport = transport().by_way_of(&target.network, &BTreeMap::new()).expect("the way is usable");
    ModelClient::new(transport, &target, &quick_probe_config(), Credential::None, None).expect("the target is usable")
}

fn to(server: &FakeServer) -> Forwarded {
    Forwarded::To(server.url().socket_addrs(|| None).expect("an address")[0])
}

#[tokio::test]
async fn a_service_is_probed_through_a_forwarded_port() {
    let model = FakeServer::start(Behaviour::status(200, "")).await;
    let (api, _folder, file) = cluster("True", to(&model)).await;
    let client = client(ready_target(&model), "http://m.models.svc.cluster.local/", file);
    let report = client.probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    let phases = report.phases;
    assert!(phases.tunnel.is_some() && phases.wait.is_some() && phases.dns.is_none() && phases.connect.is_none());
    let request = &model.requests()[0];
    assert_eq!(request.header("host"), Some("m.models.svc.cluster.local"));
    // The connection is kept, and its tunnel with it.
    let again = client.probe(false).await;
    assert_eq!((again.outcome, again.reused, again.phases.tunnel), (Outcome::Ok, true, None));
    assert_eq!(api.requests().iter().filter(|request| request.path().ends_with("/portforward")).count(), 1);
}

#[tokio::test]
async fn each_failure_is_the_models_or_ours() {
    let check = async |ready: &'static str, forwarded: Forwarded, url: &str, expect: Outcome, text: &str| {
        let model = FakeServer::start(Behaviour::status(200, "")).await;
        let (_api, _folder, file) = cluster(ready, forwarded).await;
        let report = client(ready_target(&model), url, file).probe(false).await;
        assert_eq!(report.outcome, expect, "{report:?}");
        assert!(report.detail.as_deref().unwrap_or_default().contains(text), "{text}: {report:?}");
    };
    let refused = || Forwarded::Refused("connect: connection refused".into());
    let (inside, other) = ("http://m.models.svc/", "http://other.models.svc/");
    let model = Outcome::TargetFailed;
    check("False", refused(), inside, model(TargetFailure::NotReady), "none of the 1 pods").await;
    check("True", refused(), other, model(TargetFailure::Unreachable), "no service `other`").await;
    let ours = Outcome::Unknown(UnknownReason::Misconfigured);
    check("True", refused(), "http://m.models.svc:81/", ours, "has no port 81").await;
}

/// The kubeconfig's credential ends before its time, as that of a plugin may: the same probe logs in anew.
#[tokio::test]
async fn a_login_that_ended_costs_no_probe() {
    let model = FakeServer::start(Behaviour::status(200, "")).await;
    let forwarded = to(&model);
    let guarded = |token: &'static str| {
        let forwarded = forwarded.clone();
        Behaviour::answer(move |request: &RecordedRequest| {
            if request.header("authorization") == Some(&format!("Bearer {token}")) {
                answer_of_cluster(request, "True", &forwarded)
            } else {
                Behaviour::status(401, r#"{"kind":"Status","status":"Failure","reason":"Unauthorized","code":401}"#)
            }
        })
    };
    let (api, _folder, file) = cluster("True", to(&model)).await;
    let log_in = |token: &str| {
        let text = format!(
            "clusters: [{{name: c, cluster: {{server: '{}'}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n\
             contexts: [{{name: prod, context: {{cluster: c, user: u}}}}]\n",
            api.url()
        );
        std::fs::write(&file, text).expect("a kubeconfig");
    };
    log_in("first");
    api.set(guarded("first"));
    let client = client(ready_target(&model), "http://m.models.svc/", file.clone());
    assert_eq!(client.probe(true).await.outcome, Outcome::Ok);

    log_in("second");
    api.set(guarded("second"));
    let report = client.probe(true).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");

    // A new login that is refused as well is told, after one more try and no further ones.
    api.set(guarded("third"));
    let asked = api.requests().len();
    let report = client.probe(true).await;
    assert_eq!(report.outcome, Outcome::Unknown(UnknownReason::TunnelFailed), "{report:?}");
    assert_eq!(api.requests().len(), asked + 2, "{:?}", api.requests());
}

#[tokio::test]
async fn a_cluster_that_is_away_is_our_failure() {
    let model = FakeServer::start(Behaviour::status(200, "")).await;
    let (api, _folder, file) = cluster("True", to(&model)).await;
    drop(api);
    let report = client(ready_target(&model), "http://m.models.svc/", file).probe(false).await;
    assert_eq!(report.outcome, Outcome::Unknown(UnknownReason::TunnelFailed), "{report:?}");
    assert!(report.phases.tunnel.is_some() && model.requests().is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_is_no_service_is_reached_as_the_system_says() {
    let model = FakeServer::start(Behaviour::status(200, "")).await;
    let (api, _folder, file) = cluster("True", to(&model)).await;
    let report = client(ready_target(&model), model.url().as_str(), file).probe(false).await;
    assert_eq!((report.outcome, report.phases.tunnel), (Outcome::Ok, None), "{report:?}");
    assert!(api.requests().is_empty());
}
