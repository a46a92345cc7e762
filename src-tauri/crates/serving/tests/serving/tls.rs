//! TLS: verification, a private authority, client certificates.

use pilothouse_domain::{Outcome, Protocol, Target, TargetFailure, UnknownReason};
use pilothouse_serving::{ClientIdentity, Credential, ModelClient};
use pilothouse_testkit::{Authority, Behaviour, FakeServer, ServerCertificate, Validity, quick_probe_config, target};

use crate::support::{client_of, failed, ours, reached, transport};

fn ok() -> Behaviour {
    Behaviour::status(200, "")
}

/// An endpoint at `https://127.0.0.1`, trusting `authority` through a file in `folder`.
fn trusting(server: &FakeServer, authority: Option<&Authority>, folder: &tempfile::TempDir) -> Target {
    let mut target = Target { model: Some("m".into()), ..target(server.url(), Protocol::OpenInference) };
    if let Some(authority) = authority {
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, authority.pem()).expect("the folder is writable");
        target.tls.ca_file = Some(file);
    }
    target
}

async fn check(certificate: &ServerCertificate, trusted: Option<&Authority>, outcome: Outcome, phases: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server = FakeServer::start_tls(ok(), certificate).await;
    let report = client_of(&trusting(&server, trusted, &folder)).probe(false).await;
    assert_eq!(report.outcome, outcome, "{report:?}");
    assert_eq!(reached(&report.phases), phases, "{report:?}");
}

#[tokio::test]
async fn certificates_are_verified() {
    let authority = Authority::new();
    let invalid = failed(TargetFailure::CertificateInvalid);
    let good = authority.server(&["127.0.0.1"], Validity::Valid);
    check(&good, Some(&authority), Outcome::Ok, "dctswr").await;
    check(&good, None, invalid, "dct").await;
    check(&good, Some(&Authority::new()), invalid, "dct").await;
    check(&authority.server(&["127.0.0.1"], Validity::Expired), Some(&authority), invalid, "dct").await;
    check(&authority.server(&["model.test"], Validity::Valid), Some(&authority), invalid, "dct").await;
}

#[tokio::test]
async fn a_kept_tls_connection_has_no_handshake() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start_tls(ok(), &authority.server(&["127.0.0.1"], Validity::Valid)).await;
    let client = client_of(&trusting(&server, Some(&authority), &folder));
    client.probe(false).await;
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.reused, reached(&report.phases).as_str()), (Outcome::Ok, true, "swr"));
    let report = client.probe(true).await;
    assert_eq!(reached(&report.phases), "dctswr");
}

#[tokio::test]
async fn plain_http_behind_https_is_a_failed_handshake() {
    let (server, folder) = (FakeServer::start(Behaviour::not_http()).await, tempfile::tempdir().unwrap());
    let mut target = trusting(&server, Some(&Authority::new()), &folder);
    target.url.set_scheme("https").unwrap();
    let report = client_of(&target).probe(false).await;
    // The fake waits for a request's end, which a TLS greeting never has.
    assert!(
        [failed(TargetFailure::TlsFailed), failed(TargetFailure::ConnectTimeout)].contains(&report.outcome),
        "{report:?}"
    );
    assert_eq!(reached(&report.phases), "dct");
}

#[tokio::test]
async fn client_certificates_are_presented() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let certificate = authority.server(&["127.0.0.1"], Validity::Valid).requiring_clients_of(&authority);
    let server = FakeServer::start_tls(ok(), &certificate).await;
    let target = trusting(&server, Some(&authority), &folder);
    let report = client_of(&target).probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::TlsFailed), "{report:?}");

    let client = authority.client("pilothouse");
    let identity = |key: &str| ClientIdentity {
        certificate_pem: client.certificate_pem.clone().into_bytes(),
        key_pem: key.into(),
    };
    let with = |identity| {
        ModelClient::new(transport(), &target, &quick_probe_config(), Credential::None, Some(identity)).unwrap()
    };
    let report = with(identity(&client.key_pem)).probe(false).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");

    let report = with(identity("marker-secret, no key")).probe(false).await;
    assert_eq!(report.outcome, ours(UnknownReason::Misconfigured));
    assert!(!report.detail.unwrap().contains("marker-secret"));
}

#[tokio::test]
async fn a_client_certificate_is_not_shown_to_another_origin() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let elsewhere = FakeServer::start(ok()).await;
    let certificate = authority.server(&["127.0.0.1"], Validity::Valid);
    let other_tls = FakeServer::start_tls(ok(), &certificate).await;
    let client = authority.client("pilothouse");
    let identity =
        ClientIdentity { certificate_pem: client.certificate_pem.into_bytes(), key_pem: client.key_pem.into() };
    for location in [elsewhere.url(), other_tls.url()] {
        let server = FakeServer::start_tls(Behaviour::redirect(307, location.as_str()), &certificate).await;
        let target = trusting(&server, Some(&authority), &folder);
        let client =
            ModelClient::new(transport(), &target, &quick_probe_config(), Credential::None, Some(identity.clone()));
        let report = client.unwrap().probe(false).await;
        assert_eq!(report.outcome, failed(TargetFailure::RedirectRefused), "{report:?}");
    }
    assert_eq!((elsewhere.connections(), other_tls.connections()), (0, 0));
}
