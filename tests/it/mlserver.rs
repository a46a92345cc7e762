//! The real MLServer answers as the connectors expect: the highest version by default, another one by its number.

use pilothouse_tests::RealServer;
use serde_json::{Value, json};

#[tokio::test]
async fn the_highest_version_is_the_default() {
    let server = RealServer::mlserver();
    let body = json!({"inputs": [{"name": "predict", "shape": [1, 30], "datatype": "FP64", "data": vec![0.0; 30]}]});
    let client = crate::support::http();
    let ask = async |path: &str| -> Value {
        let url = server.url.join(path).unwrap();
        client.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(ask("v2/models/bc/infer").await["model_version"], "2");
    let first = ask("v2/models/bc/versions/1/infer").await;
    assert_eq!(first["model_version"], "1", "{first}");
    assert!(server.model_repository().join("bc/2/model-settings.json").exists());
}
