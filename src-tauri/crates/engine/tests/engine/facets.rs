//! The server's own words on its health, beside what its predictions show.

use pilothouse_domain::endpoint::ContainerImage;
use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{Endpoint, FacetState, HealthFacets, Protocol, VersionId};
use pilothouse_engine::Engine;
use pilothouse_testkit::{Behaviour, FakeServer, number_table};

use crate::support::{Place, answer, eventually, json_endpoint};

/// A server of the V2 protocol that calls itself live and ready, and predicts as told.
fn well(infer: Behaviour) -> Behaviour {
    Behaviour::routes([
        ("/v2/health/live", Behaviour::status(200, "")),
        ("/v2/models/m/ready", Behaviour::status(200, "")),
        ("/v2/models/m/infer", infer),
    ])
}

fn v2_endpoint(server: &FakeServer) -> Endpoint {
    let mut endpoint = json_endpoint("wine", server);
    endpoint.target.protocol = Protocol::OpenInference;
    (endpoint.target.model, endpoint.target.json) = (Some("m".into()), None);
    endpoint
}

fn states(facets: &HealthFacets) -> [FacetState; 3] {
    [facets.live.state, facets.ready.state, facets.predicts.state]
}

async fn until_states(engine: &Engine, endpoint: &Endpoint, expect: [FacetState; 3]) -> HealthFacets {
    eventually(&format!("{expect:?}"), || async {
        let facets = engine.health_facets(endpoint).await.unwrap();
        (states(&facets) == expect).then_some(facets)
    })
    .await
}

#[tokio::test]
async fn a_server_that_says_healthy_while_predictions_fail_is_seen_as_that() {
    use FacetState::{Failed, Ok};

    let place = Place::new();
    let engine = place.engine();
    let prediction = r#"{"model_version":"3","outputs":[{"name":"y","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    let server = FakeServer::start(well(Behaviour::json(prediction))).await;
    let id = engine.add_endpoint(v2_endpoint(&server)).await.unwrap();
    let endpoint = engine.endpoint(id).await.unwrap();
    assert_eq!(states(&engine.health_facets(&endpoint).await.unwrap()), [FacetState::NotAsked; 3]);
    engine.watch().await.unwrap();
    let well_then = until_states(&engine, &endpoint, [Ok, Ok, Ok]).await;
    assert!(!well_then.contradict() && well_then.live.since.is_some());

    server.set(well(Behaviour::status(500, r#"{"error":"the model is broken"}"#)));
    let broken = until_states(&engine, &endpoint, [Ok, Ok, Failed]).await;
    assert!(broken.contradict());
    assert!(broken.predicts.detail.is_some_and(|detail| detail.contains("the model is broken")));
    assert_eq!(broken.live.since, well_then.live.since, "a state keeps its beginning");

    // It is not asked because a probe failed only: what it says of itself turns too.
    server.set(Behaviour::status(503, ""));
    let down = until_states(&engine, &endpoint, [Failed, Failed, Failed]).await;
    assert!(!down.contradict());
    engine.stop().await;

    // Another process, and the next start, know them from the store.
    let reader = place.engine();
    assert_eq!(states(&reader.health_facets(&endpoint).await.unwrap()), [Failed; 3]);
}

#[tokio::test]
async fn what_is_not_offered_or_not_asked_is_no_failure() {
    let place = Place::new();
    let engine = place.engine();
    let json = FakeServer::start(answer()).await;
    let server = FakeServer::start(Behaviour::routes([("/v2/models/m/ready", Behaviour::status(200, ""))])).await;
    let json = json_endpoint("plain", &json);
    let mut rowless = v2_endpoint(&server);
    rowless.target.probe_input = None;
    let ids = [engine.add_endpoint(json).await.unwrap(), engine.add_endpoint(rowless).await.unwrap()];
    engine.watch().await.unwrap();
    let expect = [
        [FacetState::NotOffered, FacetState::NotOffered, FacetState::Ok],
        [FacetState::NotOffered, FacetState::Ok, FacetState::NotAsked],
    ];
    for (id, expect) in ids.into_iter().zip(expect) {
        let endpoint = engine.endpoint(id).await.unwrap();
        until_states(&engine, &endpoint, expect).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_version_that_only_the_readiness_route_names_is_followed() {
    let place = Place::new();
    let engine = place.engine();
    let status = |version: &str| {
        let status = format!(r#"{{"model_version_status":[{{"version":"{version}","state":"AVAILABLE"}}]}}"#);
        Behaviour::routes([
            ("/v1/models/m", Behaviour::json(&status)),
            ("/v1/models/m:predict", Behaviour::json(r#"{"predictions":[0.5]}"#)),
        ])
    };
    let server = FakeServer::start(status("41")).await;
    let mut endpoint = v2_endpoint(&server);
    endpoint.target.protocol = Protocol::PredictV1;
    endpoint.target.probe_input = Some(number_table(&["x"], &[&[1.0]]));
    endpoint.probe.fresh_connection_every = 1;
    let id = engine.add_endpoint(endpoint).await.unwrap();
    engine.watch().await.unwrap();
    for version in ["41", "42"] {
        server.set(status(version));
        eventually(version, || async {
            (engine.current_version(id).await.unwrap() == Some(VersionId::from(version))).then_some(())
        })
        .await;
    }
    engine.stop().await;
}

/// The live version of an endpoint in a container, and who told it.
async fn version_in_image(server: &FakeServer, tag: &str) -> Option<(String, VersionSource)> {
    let place = Place::new();
    let engine = place.engine();
    let mut endpoint = v2_endpoint(server);
    endpoint.target.image = Some(ContainerImage { name: format!("team/wine:{tag}"), version: Some(tag.into()) });
    let id = engine.add_endpoint(endpoint).await.unwrap();
    let endpoint = engine.endpoint(id).await.unwrap();
    engine.watch().await.unwrap();
    until_states(&engine, &endpoint, [FacetState::Ok; 3]).await;
    // What a further check says is known when another one is on record.
    for _ in 0..2 {
        engine.probe_now(id).await.unwrap();
    }
    let live = || async { engine.with_store(move |store| store.live_versions(id)).await.unwrap() };
    let told = if tag == "latest" {
        live().await
    } else {
        eventually("a version", || async { Some(live().await).filter(|live| !live.is_empty()) }).await
    };
    assert!(told.len() <= 1, "no version is taken back: {told:?}");
    engine.stop().await;
    told.into_iter().next().map(|live| (live.version.0, live.source))
}

#[tokio::test]
async fn the_tag_of_an_image_stands_in_where_nobody_tells_a_version() {
    let prediction = r#"{"outputs":[{"name":"y","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    let silent = FakeServer::start(well(Behaviour::json(prediction))).await;
    assert_eq!(version_in_image(&silent, "2.1").await, Some(("2.1".to_owned(), VersionSource::Image)));
    assert_eq!(version_in_image(&silent, "latest").await, None, "a tag that moves says nothing");
    let prediction = r#"{"model_version":"3","outputs":[{"name":"y","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    let telling = FakeServer::start(well(Behaviour::json(prediction))).await;
    assert_eq!(version_in_image(&telling, "2.1").await, Some(("3".to_owned(), VersionSource::Endpoint)));
}
