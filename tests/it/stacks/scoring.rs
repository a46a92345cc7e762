//! MLflow's scoring server.

use pilothouse_tests::{RealServer, pinned};

use super::conformance::{Access, Asked, Detected, Stack, TWO_TUMOURS, Version, conforms};
use super::metadata::Metadata;

#[tokio::test(flavor = "multi_thread")]
async fn mlflow() {
    conforms(&Stack {
        name: "MLflow",
        start: RealServer::mlflow_model,
        detected: Some(Detected {
            protocol: Some("mlflow"),
            server: "mlflow",
            version: Some(("mlflow", "mlflow")),
            model: None,
            predict: Some("/invocations"),
        }),
        settings: |_, draft| draft.protocol = "mlflow".into(),
        access: Access::Gate,
        asked: Asked::Rows(TWO_TUMOURS),
        version: Version::Untold,
        // The signature stands in the registry: see `engine_mlflow`, where one is connected.
        metadata: Metadata::Told(|_| {
            let version = pinned("mlflow", "mlflow");
            vec![format!("server mlflow {version}"), format!("platform mlflow {version}")]
        }),
        metrics: None,
    })
    .await;
}
