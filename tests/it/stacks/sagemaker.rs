//! Amazon `SageMaker`'s runtime, emulated: the model is a fixed answer, signatures and policies are really checked.

use pilothouse_api::types::{AuthDraft, AwsSourceDraft, ConnectTestRequest, SecretSetRequest};
use pilothouse_tests::{AwsAccess, RealServer};

use super::conformance::{Access, Asked, SECRET, Stack, TWO_TUMOURS, Version, conforms};
use crate::support::{draft, open};

const ENDPOINT: &str = "tumours";

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
    wanted.probe_rows =
        Some(r#"[{"mean radius": 20.5, "mean texture": 21}, {"mean radius": 11, "mean texture": 14}]"#.into());
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
