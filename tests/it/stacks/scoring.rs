//! MLflow's scoring server.

use pilothouse_tests::RealServer;

use super::conformance::{Access, Asked, Detected, Stack, TWO_TUMOURS, Version, conforms};

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
        metrics: None,
    })
    .await;
}
