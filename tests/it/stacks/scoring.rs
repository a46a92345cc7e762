//! MLflow's scoring server.

use pilothouse_tests::RealServer;

use super::conformance::{Access, Detected, Stack, TWO_TUMOURS, conforms};

#[tokio::test(flavor = "multi_thread")]
async fn mlflow() {
    conforms(&Stack {
        name: "MLflow",
        start: RealServer::mlflow_model,
        detected: Detected {
            protocol: Some("mlflow"),
            server: "mlflow",
            version: Some(("mlflow", "mlflow")),
            model: None,
            predict: Some("/invocations"),
        },
        settings: |draft| draft.protocol = "mlflow".into(),
        access: Access::Gate,
        examples: TWO_TUMOURS,
        version: None,
    })
    .await;
}
