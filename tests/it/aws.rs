//! What a real moto server, which checks signatures, keys and policies, says against a signed request. That it accepts the
//! right ones is shown in `stacks::sagemaker`.

use std::collections::BTreeMap;

use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{Auth, Outcome, ProbeConfig, Protocol, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{Credential, ModelClient, ProbeReport, Transport, TransportConfig};
use pilothouse_testkit::number_table;
use pilothouse_tests::{AwsAccess, RealServer};
use serde_json::{Value, json};

/// One probe of the emulated endpoint's invocation route.
async fn probe(moto: &RealServer, access: &AwsAccess, auth: Value, secret: &str) -> ProbeReport {
    let auth: Auth = serde_json::from_value(auth).unwrap();
    let secrets = BTreeMap::from([("aws".to_owned(), secret.into())]);
    let credential = Credential::resolve(&auth, &secrets).unwrap();
    let target = Target {
        json: Some(JsonTemplate {
            path: format!("endpoints/{}/invocations", access.endpoint),
            body: json!({"instances": "{{rows}}"}),
            prediction: "/predictions".into(),
            ..JsonTemplate::default()
        }),
        auth,
        probe_input: Some(number_table(&["radius"], &[&[17.5]])),
        ..Target::new(moto.url.clone(), Protocol::Json)
    };
    let transport = Transport::new(TransportConfig::default());
    ModelClient::new(transport, &target, &ProbeConfig::default(), credential, None).unwrap().probe(true).await
}

fn keys(access: &AwsAccess, id: &str) -> Value {
    json!({
        "kind": "aws_sigv4", "region": access.region,
        "source": {"from": "static", "access_key_id": id, "secret": "aws"},
    })
}

#[tokio::test]
async fn each_refusal_is_told_by_its_name() {
    let moto = RealServer::moto();
    let access = moto.make_sagemaker_endpoint();
    let (id, secret) = (access.access_key_id.as_str(), access.secret_access_key.as_str());

    let wrong = "marker/K7MDENG+bPxRfiCYEXAMPLEKEY0000000";
    let report = probe(&moto, &access, keys(&access, id), wrong).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::Forbidden), "{report:?}");
    let detail = report.detail.unwrap();
    assert!(detail.contains("SignatureDoesNotMatch") && !detail.contains("marker"), "{detail}");

    let report = probe(&moto, &access, keys(&access, "AKIAUNKNOWN000000000"), secret).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::Forbidden), "{report:?}");
    assert!(report.detail.unwrap().contains("InvalidClientTokenId"));

    // A role that nobody made: STS says so, and the endpoint is not blamed.
    let mut role = keys(&access, id);
    role["assume_role"] = json!({"role_arn": "arn:aws:iam::123456789012:role/watch", "sts_url": moto.url});
    let report = probe(&moto, &access, role, wrong).await;
    assert_eq!(report.outcome, Outcome::Unknown(UnknownReason::TokenUnavailable), "{report:?}");
    let detail = report.detail.unwrap();
    assert!(detail.contains("role/watch") && !detail.contains("marker"), "{detail}");
}
