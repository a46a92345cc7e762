//! Discovering containers in a real Docker engine, where this machine has one to start. Elsewhere the fake engine of the
//! crate `discovery` has to do.

use pilothouse_api::types::DiscoveryPlace;
use pilothouse_tests::DockerEngine;

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_real_engine() {
    let Some(engine) = DockerEngine::start() else { return };
    engine.make_empty_image("seldonio/mlserver:1.7.1");
    engine.make_empty_image("team/app:7");
    engine.run_sleeper(
        "churn",
        "seldonio/mlserver:1.7.1",
        &["--publish=127.0.0.1:18080:8080", "--publish=18082:8082", "--expose=8081"],
    );
    engine.run_sleeper("inner", "seldonio/mlserver:1.7.1", &["--expose=8080"]);
    engine.run_sleeper("scores", "team/app:7", &["--publish=127.0.0.1:15001:5001", "--label=team=ml"]);
    engine.run_sleeper("other", "team/app:7", &[]);

    let socket = Some(engine.socket().display().to_string());
    let place = DiscoveryPlace::Docker { socket, label: Some("team=ml".into()) };
    let found = pilothouse_api::discover(place).await.unwrap();
    assert!(found.place.starts_with("Docker Engine "), "{}", found.place);
    let told: Vec<(&str, Option<&str>, Option<&str>)> = found
        .items
        .iter()
        .map(|item| (item.name.as_str(), item.ways.first().map(|way| way.url.as_str()), item.version.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("churn", Some("http://127.0.0.1:18080/"), Some("1.7.1")),
            ("inner", None, Some("1.7.1")),
            ("scores", Some("http://127.0.0.1:15001/"), Some("7")),
        ]
    );
    let churn = &found.items[0];
    assert!(churn.digest.as_deref().unwrap().starts_with("sha256:"), "{churn:?}");
    assert!(churn.evidence.contains(&"port 18082 is its metrics".to_owned()), "{churn:?}");
    assert!(found.items[1].problems[0].contains("not published"), "{:?}", found.items[1]);
    assert!(found.notes[0].starts_with("1 of 4 running containers"), "{:?}", found.notes);
}
