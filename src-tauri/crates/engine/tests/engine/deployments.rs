//! What a cloud says of an endpoint, beside what its answers show.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pilothouse_domain::{
    DeploymentLook, DeploymentState, Endpoint, EndpointId, EventKind, FacetState, Health, Protocol, VersionId,
};
use pilothouse_engine::Engine;
use pilothouse_store::EventFilter;
use pilothouse_testkit::{Behaviour, FakeServer, Reply};
use serde_json::{Value, json};

use crate::support::{Place, eventually, json_endpoint, until_health};

/// Databricks: two served entities that answer in turn, and what it says of itself.
fn databricks(described: &Behaviour) -> Behaviour {
    let answered = Arc::new(AtomicUsize::new(0));
    let described = described.clone();
    Behaviour::answer(move |request| match request.path() {
        "/serving-endpoints/ep/invocations" => {
            let entity = ["bc-1", "bc-2"][answered.fetch_add(1, Ordering::Relaxed) % 2];
            let reply = Reply::json(200, r#"{"predictions": [0.5]}"#).with_header("served-model-name", entity);
            Behaviour::Reply(reply)
        }
        "/api/2.0/serving-endpoints/ep" => described.clone(),
        _ => Behaviour::status(404, ""),
    })
}

fn told(update: &str, shares: [u32; 2]) -> Behaviour {
    let entity =
        |n: u32| json!({"name": format!("bc-{n}"), "entity_name": "cat.sch.bc", "entity_version": n.to_string()});
    let route = |n: u32, share: u32| json!({"served_model_name": format!("bc-{n}"), "traffic_percentage": share});
    let body: Value = json!({
        "name": "ep", "state": {"ready": "READY", "config_update": update},
        "config": {
            "config_version": 3, "served_entities": [entity(1), entity(2)],
            "traffic_config": {"routes": [route(1, shares[0]), route(2, shares[1])]},
        },
    });
    Behaviour::json(&body.to_string())
}

fn endpoint(server: &FakeServer) -> Endpoint {
    let mut endpoint = json_endpoint("churn", server);
    (endpoint.target.protocol, endpoint.target.json) = (Protocol::Databricks, None);
    endpoint.target.model = Some("ep".into());
    endpoint.probe.interval_ms = 1_000;
    endpoint
}

async fn until_look(
    engine: &Engine,
    id: EndpointId,
    what: &str,
    wanted: impl Fn(&DeploymentLook) -> bool,
) -> DeploymentLook {
    let endpoint = engine.endpoint(id).await.unwrap();
    eventually(what, || async { engine.deployment(&endpoint).await.unwrap().filter(&wanted) }).await
}

async fn until_version(engine: &Engine, id: EndpointId, version: &str) {
    let wanted = Some(VersionId::from(version));
    eventually(version, || async { (engine.current_version(id).await.unwrap() == wanted).then_some(()) }).await;
}

fn kinds(engine: &Engine, id: EndpointId) -> Vec<EventKind> {
    let (from, to) = (pilothouse_domain::TimestampMs(0), pilothouse_domain::TimestampMs(i64::MAX / 4));
    let filter = EventFilter { endpoint: Some(id), from, to, limit: 100 };
    engine.store().events(&filter).unwrap().into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_canary_is_shown_with_its_shares_and_a_failed_change_with_its_word() {
    let place = Place::new();
    let engine = place.engine();
    let server = FakeServer::start(databricks(&told("NOT_UPDATING", [90, 10]))).await;
    let id = engine.add_endpoint(endpoint(&server)).await.unwrap();
    engine.watch().await.unwrap();
    until_version(&engine, id, "bc-1 90 % · bc-2 10 %").await;
    let look = until_look(&engine, id, "it is described", |look| look.told.is_some()).await;
    let (_, deployment) = look.told.unwrap();
    assert_eq!((deployment.state, deployment.word.as_str()), (DeploymentState::Serving, "READY"));
    assert_eq!(deployment.versions[1].model.as_deref(), Some("cat.sch.bc:2"));
    let watched = engine.endpoint(id).await.unwrap();
    eventually("the cloud's word is a facet", || async {
        let ready = engine.health_facets(&watched).await.unwrap().ready;
        (ready.state == FacetState::Ok && ready.detail.as_deref() == Some("READY")).then_some(())
    })
    .await;

    // Either entity answers, and that is no news.
    let asked = server.requests().len();
    eventually("several more answers", || async { (server.requests().len() >= asked + 4).then_some(()) }).await;
    let shown = engine.current_version(id).await.unwrap();
    assert_eq!(shown, Some(VersionId::from("bc-1 90 % · bc-2 10 %")));

    // Its last change failed: it says so, and goes on serving.
    server.set(databricks(&told("UPDATE_FAILED", [100, 0])));
    engine.pause_endpoint(id, true).await.unwrap();
    engine.pause_endpoint(id, false).await.unwrap();
    until_version(&engine, id, "bc-1").await;
    until_health(&engine, id, Health::Healthy).await;
    let changed = EventKind::DeploymentChanged {
        state: "change_failed".into(),
        word: "READY, UPDATE_FAILED".into(),
        problem: None,
    };
    assert!(kinds(&engine, id).contains(&changed));
    engine.stop().await;

    // Another process, and the next start, know it from the store.
    let reader = place.engine();
    until_look(&reader, id, "it was kept", |look| {
        look.told.as_ref().is_some_and(|(_, told)| told.state == DeploymentState::ChangeFailed)
    })
    .await;
}

#[tokio::test]
async fn a_cloud_that_refuses_to_describe_says_nothing_of_the_model() {
    let place = Place::new();
    let engine = place.engine();
    let refusal = Behaviour::status(403, r#"{"error_code":"PERMISSION_DENIED","message":"you may not view ep"}"#);
    let server = FakeServer::start(databricks(&refusal)).await;
    let id = engine.add_endpoint(endpoint(&server)).await.unwrap();
    engine.watch().await.unwrap();
    let look = until_look(&engine, id, "it is refused", |look| look.problem.is_some()).await;
    let problem = look.problem.unwrap();
    assert!(problem.contains("403") && problem.contains("you may not view ep"), "{problem}");
    assert_eq!(look.told, None);
    until_health(&engine, id, Health::Healthy).await;
    // The answers tell who is live, in one text.
    until_version(&engine, id, "bc-1 · bc-2").await;
    let watched = engine.endpoint(id).await.unwrap();
    eventually("whether it is ready cannot be said", || async {
        (engine.health_facets(&watched).await.unwrap().ready.state == FacetState::Unknown).then_some(())
    })
    .await;
    engine.stop().await;
}

#[tokio::test]
async fn an_endpoint_addressed_by_one_version_is_that_version() {
    let place = Place::new();
    let engine = place.engine();
    let reply = Reply::json(200, r#"{"predictions": [0.5]}"#).with_header("served-model-name", "bc-2");
    let server = FakeServer::start(Behaviour::routes([
        ("/serving-endpoints/ep/served-models/bc-2/invocations", Behaviour::Reply(reply)),
        ("/api/2.0/serving-endpoints/ep", told("NOT_UPDATING", [90, 10])),
    ]))
    .await;
    let mut pinned = endpoint(&server);
    pinned.target.model_version = Some("bc-2".into());
    let id = engine.add_endpoint(pinned).await.unwrap();
    engine.watch().await.unwrap();
    until_look(&engine, id, "it is described", |look| look.told.is_some()).await;
    until_version(&engine, id, "bc-2").await;
    engine.stop().await;
}
