//! Discovering endpoints in a place, and connecting what was chosen.

use std::fs;

use pilothouse_api::Code;
use pilothouse_api::types::{
    DiscoverAddRequest, DiscoverRequest, DiscoveredChoice, DiscoveredImage, DiscoveryPlace, DiscoveryPlacesRequest,
    EndpointDraft, EndpointRequest, EndpointUpdateRequest, FleetRequest, NetworkDraft,
};
use pilothouse_testkit::{Behaviour, FakeServer};

use crate::support::open;

fn two_models() -> Behaviour {
    Behaviour::routes([
        ("/v2", Behaviour::json(r#"{"name":"mlserver","version":"1.7.1","extensions":[]}"#)),
        (
            "/v2/repository/index",
            Behaviour::json(
                r#"[{"name":"bc","version":"1","state":"READY"},{"name":"iris","version":"2","state":"READY"}]"#,
            ),
        ),
        ("/v2/models/bc/ready", Behaviour::status(200, "")),
        ("/v2/models/iris/ready", Behaviour::status(200, "")),
    ])
}

fn choice(name: &str, url: &str, protocol: Option<&str>, model: Option<&str>) -> DiscoveredChoice {
    DiscoveredChoice {
        name: name.into(),
        url: url.into(),
        network: NetworkDraft::System,
        protocol: protocol.map(str::to_owned),
        model: model.map(str::to_owned),
        image: None,
    }
}

#[tokio::test]
async fn each_model_of_a_chosen_server_is_watched() {
    let (place, server) = (open(), FakeServer::start(two_models()).await);
    let items = vec![
        choice("team", server.url().as_str(), Some("v2"), None),
        DiscoveredChoice {
            image: Some(DiscoveredImage { name: "registry.example/iris:2.1".into(), version: Some("2.1".into()) }),
            ..choice("one", server.url().as_str(), Some("v2"), Some("iris"))
        },
        choice("gone", "http://127.0.0.1:1/", None, None),
        // What the place says is enough to watch a server that is down.
        choice("down", "http://127.0.0.1:1/", Some("v2"), Some("churn")),
    ];
    let request = DiscoverAddRequest { environment: "staging".into(), items };
    let added = Box::pin(place.api.discover_add(request)).await.unwrap().items;
    let told: Vec<(&str, bool)> = added.iter().map(|item| (item.name.as_str(), item.id.is_some())).collect();
    assert_eq!(told, [("team/bc", true), ("team/iris", true), ("one", true), ("gone", false), ("down", true)]);
    assert!(added[3].refused.as_ref().unwrap().contains("127.0.0.1:1"), "{:?}", added[3]);
    let shown = place.api.endpoint(EndpointRequest { id: added[2].id.unwrap() }).await.unwrap();
    assert_eq!((shown.draft.model.as_deref(), shown.draft.environment.as_str()), (Some("iris"), "staging"));
    assert_eq!(place.api.fleet(FleetRequest::default()).await.unwrap().endpoints.len(), 4);
    // The image stays through an edit of what the form shows.
    let image = async |item: usize| {
        let id = pilothouse_domain::EndpointId(added[item].id.unwrap());
        place.api.engine().endpoint(id).await.unwrap().target.image.map(|image| image.name)
    };
    assert_eq!((image(1).await, image(2).await.as_deref()), (None, Some("registry.example/iris:2.1")));
    let draft = EndpointDraft { interval_ms: 60_000, ..shown.draft };
    let request = EndpointUpdateRequest { id: added[2].id.unwrap(), revision: shown.revision, draft };
    Box::pin(place.api.endpoint_update(request)).await.unwrap();
    assert_eq!(image(2).await.as_deref(), Some("registry.example/iris:2.1"));
}

#[tokio::test]
async fn places_are_told_without_asking_them() {
    let (place, server) = (open(), FakeServer::start(Behaviour::status(500, "")).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n- name: c\n  cluster: {{server: '{}'}}\n\
         users:\n- name: u\n  user: {{exec: {{command: kubelogin, args: [get-token]}}}}\n\
         contexts:\n- name: prod\n  context: {{cluster: c, user: u}}\n",
        server.url()
    );
    fs::write(&file, text).unwrap();
    let kubeconfig = Some(file.display().to_string());
    let request = DiscoveryPlacesRequest { kubeconfig: kubeconfig.clone() };
    let places = place.api.discovery_places(request).await.unwrap();
    assert_eq!(places.contexts[0].plugin.as_deref(), Some("kubelogin get-token"));
    assert!(places.contexts[0].is_current && server.requests().is_empty());

    let asked = |run_plugin: bool| DiscoverRequest {
        place: DiscoveryPlace::Kubernetes {
            kubeconfig: kubeconfig.clone(),
            context: Some(String::new()),
            namespace: None,
            labels: None,
            run_plugin,
        },
    };
    let error = place.api.discover(asked(false)).await.unwrap_err();
    assert!(error.code == Code::InvalidInput && error.message.contains("kubelogin get-token"), "{error}");
    assert!(error.hint.unwrap().contains("--run-plugin"));
    let missing = DiscoveryPlacesRequest { kubeconfig: Some("/nowhere/config".into()) };
    let places = place.api.discovery_places(missing).await.unwrap();
    assert!(places.kubeconfig_problem.unwrap().contains("/nowhere/config"));
    let docker = DiscoveryPlace::Docker { socket: Some("/nowhere/docker.sock".into()), label: None };
    let error = place.api.discover(DiscoverRequest { place: docker }).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound, "{error}");
}
