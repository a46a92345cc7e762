//! MLServer, Triton and KServe, over the Open Inference Protocol V2.

use std::sync::Arc;

use pilothouse_api::types::AuthDraft;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Outcome, ProbeConfig, Protocol, Target, TargetFailure};
use pilothouse_serving::{Credential, ModelClient, Transport, TransportConfig, detect};
use pilothouse_testkit::{Authority, Validity, number_table};
use pilothouse_tests::{RealServer, TRITON_KEY, pinned};

use super::conformance::{Access, Asked, Detected, Examples, SECRET, Stack, TWO_TUMOURS, Version, conforms};
use super::metadata::{Metadata, told};
use super::server_view::{Page, ServerView};

/// What MLServer says of `bc`, over either wire.
fn tumours_of_mlserver(_server: &RealServer) -> Vec<String> {
    let server = format!("server mlserver {}", pinned("mlserver", "mlserver"));
    let [input, output] = ["in predict FP64 [-1, 30]", "out predict INT64 [-1]"];
    told(&["model bc", &server, "platform sklearn", "version 1 READY", "version 2 READY", input, output])
}

/// What Triton says of `tumours`, over either wire; the server's version is that in the wheel of `PyTriton`.
fn tumours_of_triton(_server: &RealServer) -> Vec<String> {
    let [input, output] = ["in rows FP64 [-1, 2]", "out predict INT64 [-1]"];
    told(&["model tumours", "server triton 2.51.0", "platform python", "version 1 READY", input, output])
}

#[tokio::test(flavor = "multi_thread")]
async fn mlserver() {
    conforms(&Stack {
        name: "MLServer",
        start: RealServer::mlserver,
        detected: Some(Detected {
            protocol: Some("v2"),
            server: "mlserver",
            version: Some(("mlserver", "mlserver")),
            model: Some(("bc", &["1", "2"])),
            predict: Some("/v2/models/bc/infer"),
        }),
        settings: |_, draft| {
            draft.model = Some("bc".into());
            draft.model_version = Some("1".into());
        },
        access: Access::Gate,
        asked: Asked::Rows(THIRTY_FEATURES),
        version: Version::Is("1"),
        metadata: Metadata::Told(tumours_of_mlserver),
        metrics: Some(ServerView {
            server: "MLServer",
            page: Page::TwoPortsAbove,
            latency: Some("median"),
            told: &["throughput", "compute_time", "in_flight", "cpu", "memory"],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triton() {
    conforms(&Stack {
        name: "Triton",
        start: RealServer::triton,
        detected: Some(Detected {
            protocol: Some("v2"),
            server: "triton",
            // The wheel's version is that of PyTriton, not of the server in it.
            version: None,
            model: Some(("tumours", &["1"])),
            predict: Some("/v2/models/tumours/infer"),
        }),
        settings: |_, draft| draft.model = Some("tumours".into()),
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("1"),
        metadata: Metadata::Told(tumours_of_triton),
        metrics: Some(ServerView {
            server: "Triton",
            page: Page::TwoPortsAbove,
            latency: Some("mean"),
            told: &["throughput", "queue_time", "compute_time", "errors", "machine_cpu"],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kserve_v2() {
    conforms(&Stack {
        name: "KServe SDK",
        start: RealServer::kserve,
        detected: Some(Detected {
            protocol: Some("v2"),
            server: "kserve",
            version: Some(("apps", "kserve")),
            model: Some(("tumours", &[])),
            predict: Some("/v2/models/tumours/infer"),
        }),
        settings: |_, draft| draft.model = Some("tumours".into()),
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Untold,
        metadata: Metadata::Told(|_| told(&["model tumours", &format!("server kserve {}", pinned("apps", "kserve"))])),
        metrics: Some(ServerView {
            server: "KServe",
            page: Page::BesideApi,
            latency: Some("median"),
            told: &["throughput", "cpu", "memory"],
        }),
    })
    .await;
}

/// The same server over the older protocol, which it speaks as well.
#[tokio::test(flavor = "multi_thread")]
async fn kserve_v1() {
    conforms(&Stack {
        name: "KServe V1",
        start: RealServer::kserve,
        detected: None,
        settings: |_, draft| {
            draft.protocol = "v1".into();
            draft.model = Some("tumours".into());
        },
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Untold,
        metadata: Metadata::Told(|_| told(&["model tumours", "server KServe V1", "ready true"])),
        metrics: Some(ServerView {
            server: "KServe",
            page: Page::BesideApi,
            latency: Some("median"),
            told: &["throughput", "cpu", "memory"],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlserver_over_grpc() {
    conforms(&Stack {
        name: "MLServer over gRPC",
        start: || RealServer::mlserver().over_grpc(),
        detected: Some(Detected {
            protocol: Some("v2_grpc"),
            server: "mlserver",
            version: Some(("mlserver", "mlserver")),
            model: Some(("bc", &["1", "2"])),
            predict: Some("/inference.GRPCInferenceService/ModelInfer"),
        }),
        settings: |_, draft| {
            draft.protocol = "v2_grpc".into();
            draft.model = Some("bc".into());
            draft.model_version = Some("1".into());
        },
        access: Access::Open,
        asked: Asked::Rows(THIRTY_FEATURES),
        version: Version::Is("1"),
        metadata: Metadata::Told(tumours_of_mlserver),
        metrics: Some(ServerView {
            server: "MLServer",
            page: Page::Given,
            latency: None,
            told: &["throughput", "compute_time", "cpu", "memory"],
        }),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triton_over_grpc() {
    conforms(&Stack {
        name: "Triton over gRPC",
        start: || RealServer::triton_guarded().over_grpc(),
        detected: Some(Detected {
            protocol: Some("v2_grpc"),
            server: "triton",
            version: None,
            model: Some(("tumours", &["1"])),
            predict: Some("/inference.GRPCInferenceService/ModelInfer"),
        }),
        settings: |_, draft| {
            draft.protocol = "v2_grpc".into();
            draft.model = Some("tumours".into());
        },
        access: Access::Own(|_| {
            let header = AuthDraft::Header { name: "triton-grpc-protocol-key".into(), secret: SECRET.into() };
            (header, TRITON_KEY.to_owned())
        }),
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Is("1"),
        metadata: Metadata::Told(tumours_of_triton),
        metrics: Some(ServerView {
            server: "Triton",
            page: Page::Given,
            latency: Some("mean"),
            told: &["throughput", "queue_time", "compute_time", "errors", "machine_cpu"],
        }),
    })
    .await;
}

/// The same rows over both wires: the numbers are the same, one by one, and so are version and metadata.
#[tokio::test(flavor = "multi_thread")]
async fn both_wires_give_the_same_numbers() {
    let same = async |start: fn() -> RealServer, model: &str, examples: &Examples| {
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        let table = number_table(examples.columns, examples.rows);
        let grpc_url = server.grpc_url.clone().unwrap();
        let mut told = Vec::new();
        for (url, protocol) in [(&server.url, Protocol::OpenInference), (&grpc_url, Protocol::OpenInferenceGrpc)] {
            let target = Target { model: Some(model.into()), ..Target::new(url.clone(), protocol) };
            let transport = Transport::new(TransportConfig { system_proxy: false });
            let client = ModelClient::new(transport, &target, &ProbeConfig::default(), Credential::None, None).unwrap();
            let metadata = client.metadata().await.unwrap();
            let facets = client.facets().await;
            let states = (facets.live.state, facets.ready.state);
            let versions = (metadata.server, metadata.versions, metadata.states);
            told.push((client.predict(&table).await.unwrap(), metadata.inputs, metadata.outputs, versions, states));
        }
        assert_eq!(told[0].0.rows.len(), examples.rows.len());
        assert_eq!(told[0], told[1]);
    };
    same(RealServer::mlserver, "bc", &THIRTY_FEATURES).await;
    same(RealServer::triton, "tumours", &TWO_TUMOURS).await;
}

/// Triton's own TLS on its port of gRPC, under a private authority.
#[tokio::test(flavor = "multi_thread")]
async fn triton_over_grpc_with_tls() {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"], Validity::Valid);
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let start = move || RealServer::triton_over_tls(certificate.chain(), certificate.key());
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let port = server.grpc_url.as_ref().unwrap().port().unwrap();
    let tls = Tls { ca_file: Some(ca_file), ..Tls::default() };
    let transport = Transport::new(TransportConfig { system_proxy: false });
    for scheme in ["grpcs", "https"] {
        let url = format!("{scheme}://127.0.0.1:{port}/").parse().unwrap();
        let found = detect(&transport, &url, &Credential::None, &tls, None).await.unwrap();
        assert_eq!(found.protocol, Some(Protocol::OpenInferenceGrpc), "{found:?}");
        assert_eq!((found.base_url.scheme(), found.server.as_deref()), ("https", Some("triton")));
    }
    let url = format!("https://127.0.0.1:{port}/").parse().unwrap();
    let rows = number_table(TWO_TUMOURS.columns, TWO_TUMOURS.rows);
    let target = Target { model: Some("tumours".into()), ..Target::new(url, Protocol::OpenInferenceGrpc) };
    let mut target = Target { tls, probe_input: Some(rows), ..target };
    let probe = async |target: &Target| {
        let transport = Arc::clone(&transport);
        let client = ModelClient::new(transport, target, &ProbeConfig::default(), Credential::None, None).unwrap();
        client.probe(true).await
    };
    let report = probe(&target).await;
    assert_eq!((report.outcome, report.phases.tls.is_some()), (Outcome::Ok, true), "{report:?}");
    target.tls = Tls::default();
    let report = probe(&target).await;
    assert_eq!(report.outcome, Outcome::TargetFailed(TargetFailure::CertificateInvalid), "{report:?}");
    // Triton has the standard health service; so it can be watched by that alone.
    target.tls.ca_file = Some(folder.path().join("ca.pem"));
    (target.protocol, target.model, target.probe_input) = (Protocol::GrpcHealth, None, None);
    assert_eq!(probe(&target).await.outcome, Outcome::Ok);
}

/// The first malignant and the first benign row of the breast cancer data set.
const THIRTY_FEATURES: Examples = Examples {
    columns: &[
        "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15", "f16",
        "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29",
    ],
    rows: &[
        &[
            17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871, 1.095, 0.9053, 8.589, 153.4,
            0.006_399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006_193, 25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656,
            0.7119, 0.2654, 0.4601, 0.1189,
        ],
        &[
            13.54, 14.36, 87.46, 566.3, 0.09779, 0.08129, 0.06664, 0.04781, 0.1885, 0.05766, 0.2699, 0.7886, 2.058,
            23.56, 0.008_462, 0.0146, 0.02387, 0.01315, 0.0198, 0.0023, 15.11, 19.26, 99.7, 711.2, 0.144, 0.1773,
            0.239, 0.1288, 0.2977, 0.07259,
        ],
    ],
    answers: &[0.0, 1.0],
};
