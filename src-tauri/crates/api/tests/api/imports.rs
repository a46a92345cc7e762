//! Adding many at once, and importing what other tools wrote down.

use pilothouse_api::Code;
use pilothouse_api::types::{
    AuthDraft, Empty, EndpointRequest, EndpointsAddRequest, FleetRequest, ImportApplyRequest, ImportChoice,
    ImportReadRequest, SecretRequest, SecretState,
};
use pilothouse_testkit::{Behaviour, FakeServer};

use crate::support::{draft, open};

const MARKER: &str = "marker-7f3a-never-shown";

fn v2() -> Behaviour {
    Behaviour::routes([
        ("/v2", Behaviour::json(r#"{"name":"mlserver","version":"1.7.1","extensions":[]}"#)),
        ("/v2/repository/index", Behaviour::json(r#"[{"name":"bc","version":"1","state":"READY"}]"#)),
        ("/v2/models/bc/ready", Behaviour::status(200, "")),
    ])
}

fn choices(names: &[&str]) -> Vec<ImportChoice> {
    let choice = |(index, name): (usize, &&str)| ImportChoice { index, name: (*name).to_owned(), store_secret: true };
    names.iter().enumerate().map(choice).collect()
}

#[tokio::test]
async fn several_are_added_and_each_refusal_is_told() {
    let (place, server) = (open(), FakeServer::start(Behaviour::json("{}")).await);
    let mut broken = draft("broken", &server);
    broken.protocol = "smoke-signals".into();
    let drafts = vec![draft("iris", &server), broken, draft("iris", &server)];
    let added = place.api.endpoints_add(EndpointsAddRequest { drafts }).await.unwrap().items;
    let told: Vec<(&str, bool)> = added.iter().map(|item| (item.name.as_str(), item.id.is_some())).collect();
    assert_eq!(told, [("iris", true), ("broken", false), ("iris-2", true)]);
    assert!(added[1].refused.as_ref().unwrap().contains("smoke-signals"));
    assert_eq!(place.api.fleet(FleetRequest::default()).await.unwrap().endpoints.len(), 2);
}

#[tokio::test]
async fn a_text_is_read_without_being_stored_and_applied_after_that() {
    let (place, server) = (open(), FakeServer::start(v2()).await);
    let url = server.url().as_str().trim_end_matches('/');
    let text = format!(
        "curl -H 'Authorization: Bearer {MARKER}' {url}\n\
         curl -H 'X-Api-Key: {MARKER}' {url}/score -d '{{\"instances\": [[1, 2]]}}'\n\
         curl http://127.0.0.1:1/nothing"
    );
    let view = place.api.import_read(ImportReadRequest { text: text.clone(), kind: None }).await.unwrap();
    assert_eq!((view.kind.as_str(), view.items.len()), ("curl", 3));
    assert!(view.items[0].secret.is_some() && !format!("{view:?}").contains(MARKER));
    assert!(place.api.fleet(FleetRequest::default()).await.unwrap().endpoints.is_empty());
    assert!(place.api.secrets(Empty {}).await.unwrap().secrets.is_empty() && server.requests().is_empty());

    let items = choices(&["first", "second", "third"]);
    let request = ImportApplyRequest { text, kind: None, environment: "staging".into(), items };
    let added = place.api.import_apply(request).await.unwrap().items;
    let told: Vec<(&str, bool)> = added.iter().map(|item| (item.name.as_str(), item.id.is_some())).collect();
    assert_eq!(told, [("first", true), ("second", true), ("third", false)]);
    assert!(!format!("{added:?}").contains(MARKER));

    // The server was asked with the secret that now stands in the keyring.
    let bearer = format!("Bearer {MARKER}");
    assert!(server.requests().iter().all(|asked| asked.header("authorization") == Some(bearer.as_str())));
    let first = place.api.endpoint(EndpointRequest { id: added[0].id.unwrap() }).await.unwrap().draft;
    assert_eq!((first.protocol.as_str(), first.model.as_deref()), ("v2", Some("bc")));
    let AuthDraft::Bearer { secret } = &first.auth else { panic!("{:?}", first.auth) };
    let state = place.api.secret_state(SecretRequest { name: secret.clone() }).await.unwrap().state;
    assert_eq!(state, SecretState::Present);
    let second = place.api.endpoint(EndpointRequest { id: added[1].id.unwrap() }).await.unwrap().draft;
    assert_eq!((second.protocol.as_str(), second.environment.as_str()), ("json", "staging"));
    assert_eq!(second.json.unwrap().body, r#"{"instances":"{{rows}}"}"#);
    assert_eq!(second.probe_rows.as_deref(), Some(r#"[{"x1":1.0,"x2":2.0}]"#));
}

#[tokio::test]
async fn a_secret_that_is_not_wanted_is_not_stored_and_none_is_overwritten() {
    let (place, server) = (open(), FakeServer::start(v2()).await);
    let text = format!("curl -u ann:{MARKER} {}score -d '[[1]]'", server.url());
    for (store_secret, expect) in [(false, SecretState::Missing), (true, SecretState::Present)] {
        let items = vec![ImportChoice { index: 0, name: "a".into(), store_secret }];
        let request = ImportApplyRequest { text: text.clone(), kind: None, environment: "e".into(), items };
        let id = place.api.import_apply(request).await.unwrap().items[0].id.unwrap();
        let AuthDraft::Basic { secret, username } =
            place.api.endpoint(EndpointRequest { id }).await.unwrap().draft.auth
        else {
            panic!("user and password are basic")
        };
        assert_eq!(username, "ann");
        assert_eq!(place.api.secret_state(SecretRequest { name: secret }).await.unwrap().state, expect);
    }
    // Another text with a secret of the same name gets a name of its own.
    let request = ImportApplyRequest { text, kind: None, environment: "e".into(), items: choices(&["b"]) };
    let id = place.api.import_apply(request).await.unwrap().items[0].id.unwrap();
    let auth = place.api.endpoint(EndpointRequest { id }).await.unwrap().draft.auth;
    assert!(matches!(&auth, AuthDraft::Basic { secret, .. } if secret.ends_with("-password-2")), "{auth:?}");
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let place = open();
    for (text, kind, words) in [
        ("", None, "empty"),
        ("hello", None, "not recognised"),
        ("hello", Some("telepathy"), "`telepathy` is no format"),
        ("a: 1", Some("gatus"), "endpoints"),
    ] {
        let request = ImportReadRequest { text: text.into(), kind: kind.map(str::to_owned) };
        let error = place.api.import_read(request).await.unwrap_err();
        assert!(error.code == Code::InvalidInput && error.to_string().contains(words), "{error}");
    }
}
