//! Names of models as people and machines make them: every one leads to its own routes and to no others.

use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Outcome, Protocol, Target};
use pilothouse_serving::{Credential, ModelClient, detect};
use pilothouse_testkit::{Behaviour, FakeServer, quick_probe_config, target};

use crate::support::{client_of, transport};

const NAMES: [(&str, &str); 9] = [
    ("meta-llama/Llama-3.1-8B", "meta-llama%2FLlama-3.1-8B"),
    ("a.b.c", "a.b.c"),
    ("модель", "%D0%BC%D0%BE%D0%B4%D0%B5%D0%BB%D1%8C"),
    ("模型 🙂", "%E6%A8%A1%E5%9E%8B%20%F0%9F%99%82"),
    ("../../admin", "..%2F..%2Fadmin"),
    ("m?x=1#y", "m%3Fx=1%23y"),
    ("tab\there\r\nx: y", "tab%09here%0D%0Ax:%20y"),
    ("nul\0\u{1b}[31m", "nul%00%1B%5B31m"),
    ("100%25", "100%2525"),
];

#[tokio::test]
async fn each_name_has_its_own_path() {
    let server = FakeServer::start(Behaviour::status(200, "{}")).await;
    for (name, written) in NAMES {
        let target = Target { model: Some(name.into()), ..target(server.url(), Protocol::OpenInference) };
        assert_eq!(client_of(&target).probe(false).await.outcome, Outcome::Ok, "{name:?}");
        let request = server.requests().pop().unwrap();
        assert_eq!(request.target, format!("/v2/models/{written}/ready"), "{name:?}");
    }
    for name in [".", ".."] {
        let target = Target { model: Some(name.into()), ..target(server.url(), Protocol::OpenInference) };
        let refused = ModelClient::new(transport(), &target, &quick_probe_config(), Credential::None, None);
        assert!(refused.is_err_and(|error| error.to_string().contains("cannot stand in a URL")));
    }
}

#[tokio::test]
async fn detection_lists_each_name_as_it_is() {
    let entries: Vec<_> = NAMES.iter().map(|(name, _)| serde_json::json!({"name": name, "state": "READY"})).collect();
    let server = FakeServer::start(Behaviour::routes([
        ("/v2", Behaviour::json(include_str!("../data/triton-2.51.0-server.json"))),
        ("/v2/repository/index", Behaviour::json(&serde_json::Value::from(entries).to_string())),
    ]))
    .await;
    let found = detect(&transport(), server.url(), &Credential::None, &Tls::default(), None).await.unwrap();
    let listed: Vec<&str> = found.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(listed, NAMES.map(|(name, _)| name));
}
