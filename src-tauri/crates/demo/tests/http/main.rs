//! The demo fleet over real HTTP on loopback, each test with a fleet of its own on free ports.

#![expect(clippy::unwrap_used, reason = "the whole binary is tests; a failed step is a failed test")]

mod any_input;
mod control;
mod faults;
mod mlflow;
mod open_inference;

use std::path::Path;
use std::sync::Once;

use pilothouse_demo::{DemoEndpoint, DemoFleet};
use pilothouse_domain::{Cell, ColumnKind, Label, Table};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// A running fleet and a client.
struct Demo {
    fleet: DemoFleet,
    client: Client,
}

impl Demo {
    async fn start() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another test library may have installed one already; any will do.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let fleet = DemoFleet::start(Some(0)).await.unwrap();
        Self { fleet, client: Client::builder().no_proxy().build().unwrap() }
    }

    fn endpoint(&self, name: &str) -> DemoEndpoint {
        self.fleet.endpoints().into_iter().find(|e| e.name == name).unwrap()
    }

    /// The answer to a request to a model's server: status, content type, body.
    async fn send(&self, method: Method, name: &str, path: &str, body: Option<String>) -> (StatusCode, String, String) {
        let url = self.endpoint(name).url.join(path).unwrap();
        self.send_to(method, url, "application/json", body).await
    }

    async fn send_to(
        &self,
        method: Method,
        url: url::Url,
        content_type: &str,
        body: Option<String>,
    ) -> (StatusCode, String, String) {
        let mut request = self.client.request(method, url).header("content-type", content_type);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.unwrap();
        let content_type = answer.headers().get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
        (answer.status(), content_type, answer.text().await.unwrap())
    }

    async fn get(&self, name: &str, path: &str) -> (StatusCode, String, String) {
        self.send(Method::GET, name, path, None).await
    }

    async fn post(&self, name: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, _, text) = self.send(Method::POST, name, path, Some(body.to_string())).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A call of the control plane.
    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = self.fleet.control_url().join(path).unwrap();
        let (status, _, text) = self.send_to(method, url, "application/json", body.map(|b| b.to_string())).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// The answer of the live version to rows of a V2 model.
    async fn infer(&self, name: &str, table: &Table) -> (StatusCode, Value) {
        self.post(name, &format!("/v2/models/{name}/infer"), &v2_request(table)).await
    }

    /// The share of golden rows whose most probable class is the right one, and the version that answered.
    async fn golden_accuracy(&self, name: &str) -> (f64, String) {
        let golden = self.endpoint(name).golden_set;
        let (status, answer) = self.infer(name, &golden.table).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let classes = golden.task.classes();
        let labels = answer["outputs"][1]["data"].as_array().unwrap();
        let right = |(said, label): &(&Value, &Label)| match label {
            Label::Class(class) => said.as_str() == Some(classes[*class as usize].as_str()),
            Label::Value(_) => false,
        };
        let hits = labels.iter().zip(&golden.labels).filter(right).count();
        (hits as f64 / golden.labels.len() as f64, answer["model_version"].as_str().unwrap().to_owned())
    }
}

/// A V2 request: one matrix when all columns are numbers, else one tensor per column.
fn v2_request(table: &Table) -> Value {
    let n = table.rows.len();
    if table.columns.iter().all(|c| c.kind == ColumnKind::Numeric) {
        let data: Vec<&Cell> = table.rows.iter().flatten().collect();
        let input = json!({"name": "input", "shape": [n, table.columns.len()], "datatype": "FP64", "data": data});
        return json!({ "inputs": [input] });
    }
    let tensor = |(at, column): (usize, &pilothouse_domain::Column)| {
        let datatype = if column.kind == ColumnKind::Numeric { "FP64" } else { "BYTES" };
        let data: Vec<&Cell> = table.rows.iter().map(|row| &row[at]).collect();
        json!({"name": column.name, "shape": [n, 1], "datatype": datatype, "data": data})
    };
    json!({ "inputs": table.columns.iter().enumerate().map(tensor).collect::<Vec<_>>() })
}

/// scikit-learn's predictions of the golden rows.
fn expected(name: &str, version: &str) -> Vec<Vec<f64>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../assets/demo/expected");
    serde_json::from_str(&std::fs::read_to_string(folder.join(format!("{name}-{version}.json"))).unwrap()).unwrap()
}

/// Compares two lists of numbers to 1e-9.
fn assert_close<'a>(ours: &Value, theirs: impl IntoIterator<Item = &'a f64>) {
    let ours: Vec<f64> = ours.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let theirs: Vec<f64> = theirs.into_iter().copied().collect();
    assert_eq!(ours.len(), theirs.len());
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() <= 1e-9, "element {at}: {a} != {b}");
    }
}
