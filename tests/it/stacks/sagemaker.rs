//! Amazon `SageMaker`'s runtime, emulated: the model is a fixed answer, signatures and policies are really checked.

use pilothouse_api::types::{AuthDraft, AwsSourceDraft, ConnectTestRequest, EndpointPauseRequest, SecretSetRequest};
use pilothouse_tests::{AwsAccess, RealServer};

use super::conformance::{Access, Asked, SECRET, Stack, TWO_TUMOURS, Version, conforms};
use super::metadata::{Metadata, told};
use crate::support::{LATER, add, draft, of, open, until, until_row};

const ENDPOINT: &str = "tumours";
const ROWS: &str = r#"[{"mean radius": 20.5, "mean texture": 21}, {"mean radius": 11, "mean texture": 14}]"#;

fn signed(access: &AwsAccess) -> AuthDraft {
    AuthDraft::AwsSigv4 {
        region: access.region.clone(),
        service: "sagemaker".into(),
        source: AwsSourceDraft::Static {
            access_key_id: access.access_key_id.clone(),
            secret: SECRET.into(),
            session_token_secret: None,
        },
        assume_role: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sagemaker() {
    conforms(&Stack {
        name: "Amazon SageMaker",
        start: RealServer::moto,
        detected: None,
        settings: |_, draft| {
            draft.protocol = "sagemaker".into();
            draft.model = Some(ENDPOINT.into());
            draft.payload = "instances".into();
        },
        access: Access::Own(|server| {
            let access = server.make_sagemaker_endpoint();
            (signed(&access), access.secret_access_key)
        }),
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("v1"),
        // The name by which it is called; its variants are told by the management API, in a test below.
        metadata: Metadata::Told(|_| told(&["model tumours"])),
        metrics: None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_key_is_refused_by_the_server() {
    let server = RealServer::moto();
    let access = server.make_sagemaker_endpoint();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    let mut wanted = draft("SageMaker", server.url.as_str(), "sagemaker");
    wanted.model = Some(ENDPOINT.into());
    wanted.payload = "instances".into();
    wanted.auth = signed(&access);
    wanted.probe_rows = Some(ROWS.into());
    let mut tests = Vec::new();
    for value in ["a wrong secret access key", &access.secret_access_key] {
        api.secret_set(SecretSetRequest { name: SECRET.into(), value: value.into() }).await.unwrap();
        tests.push(api.connect_test(ConnectTestRequest { draft: wanted.clone() }).await.unwrap());
    }
    assert_eq!((tests[0].outcome.as_str(), tests[0].http_status), ("target_failed", Some(403)), "{:?}", tests[0]);
    assert!(!format!("{tests:?}").contains(&access.secret_access_key));
    assert_eq!(tests[1].outcome, "ok", "{:?}", tests[1]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_is_asked_what_it_says_of_the_endpoint() {
    let server = RealServer::moto();
    let access = server.make_sagemaker_endpoint();
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let mut wanted = draft("SageMaker", server.url.as_str(), "sagemaker");
    wanted.model = Some(ENDPOINT.into());
    wanted.payload = "instances".into();
    wanted.management_url = Some(server.url.to_string());
    wanted.auth = signed(&access);
    wanted.probe_rows = Some(ROWS.into());
    let set = |value: &str| api.secret_set(SecretSetRequest { name: SECRET.into(), value: value.into() });

    // A signature that the server does not accept.
    set("a wrong secret access key").await.unwrap();
    let id = add(&api, wanted).await;
    let refused = until("the wrong signature is refused", LATER, async || {
        api.endpoint(of(id)).await.unwrap().deployment.and_then(|deployment| deployment.problem)
    });
    let refused = refused.await;
    assert!(refused.contains("403") && refused.contains("SignatureDoesNotMatch"), "{refused}");

    // And one that it accepts: pausing and resuming asks anew, at once.
    set(&access.secret_access_key).await.unwrap();
    for paused in [true, false] {
        api.endpoint_pause(EndpointPauseRequest { id, paused }).await.unwrap();
    }
    let told = until("it is described", LATER, async || api.endpoint(of(id)).await.unwrap().deployment?.told).await;
    assert_eq!((told.state.as_str(), told.word.as_str()), ("serving", "InService"));
    assert_eq!(told.configuration.as_deref(), Some("tumours-config"));
    let shares: Vec<(String, f64)> =
        told.versions.iter().map(|version| (version.name.clone(), version.share.unwrap())).collect();
    assert_eq!(shares, access.variants, "the variants with their weights");
    assert_eq!(told.versions[0].model.as_deref(), Some("tumours-v1"));
    until_row(&api, id, "both variants are shown", |row| row.version.as_deref() == Some("v1 90 % · v2 10 %")).await;
    let ready = api.endpoint(of(id)).await.unwrap().facets.ready;
    assert_eq!((ready.state.as_str(), ready.detail.as_deref()), ("ok", Some("InService")));
    api.stop().await;
}
