//! A real Docker engine: its containers are found, and one that serves a model is connected and followed through a crash.

use pilothouse_api::types::{DiscoveredChoice, DiscoveredImage, DiscoveryPlace, HealthWord};
use pilothouse_tests::DockerEngine;

use super::connected;
use crate::support::{of, open, until_row};

#[tokio::test(flavor = "multi_thread")]
async fn docker() {
    let engine = tokio::task::spawn_blocking(DockerEngine::start).await.unwrap();
    engine.make_empty_image("seldonio/mlserver:1.7.1");
    engine.make_empty_image("team/app:7");
    engine.run_mlserver("churn", "seldonio/mlserver:1.7.1");
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
    let url = format!("http://127.0.0.1:{}/", engine.port());
    assert_eq!(
        told,
        [
            ("churn", Some(url.as_str()), Some("1.7.1")),
            ("inner", None, Some("1.7.1")),
            ("scores", Some("http://127.0.0.1:15001/"), Some("7")),
        ]
    );
    let churn = &found.items[0];
    assert!(churn.digest.as_deref().unwrap().starts_with("sha256:"), "{churn:?}");
    assert!(churn.evidence.contains(&format!("port {} is its metrics", engine.port() + 2)), "{churn:?}");
    assert!(found.items[1].problems[0].contains("not published"), "{:?}", found.items[1]);
    assert!(found.notes[0].starts_with("1 of 4 running containers"), "{:?}", found.notes);

    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let choice = DiscoveredChoice {
        name: churn.name.clone(),
        url,
        network: churn.ways[0].network.clone(),
        protocol: churn.protocol.clone(),
        model: churn.model.clone(),
        image: churn.image.clone().map(|name| DiscoveredImage { name, version: churn.version.clone() }),
    };
    let id = connected(&api, choice).await;
    until_row(&api, id, "the container is healthy", |row| row.health == HealthWord::Healthy).await;
    // Its server was given no version of the model to tell: the tag stands in, and says that it is one.
    until_row(&api, id, "the tag is its version", |row| row.version.as_deref() == Some("1.7.1")).await;
    let live = api.versions(of(id)).await.unwrap().live;
    assert_eq!(live.iter().map(|stretch| stretch.source.as_str()).collect::<Vec<_>>(), ["image"]);
    engine.kill("churn");
    until_row(&api, id, "the container is down", |row| row.health == HealthWord::Down).await;
    engine.start_again("churn");
    until_row(&api, id, "the container is healthy again", |row| row.health == HealthWord::Healthy).await;
    api.stop().await;
}
