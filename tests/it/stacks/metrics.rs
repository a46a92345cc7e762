//! What real servers say of themselves, read from their own pages and through a real Prometheus.

use pilothouse_api::Api;
use pilothouse_api::types::{
    AuthDraft, ChartKind, ChartRequest, ChartTheme, EndpointDraft, ImageFormat, MetricsDraft, MetricsFindRequest,
    PanelDraft, RangeRequest, ServerMetrics,
};
use pilothouse_tests::RealServer;
use url::Url;

use super::apps::instances;
use crate::support::{LATER, add, always, draft, open, until};

/// Two numbers per row, as the models of `tumours.py` take them.
const TWO_NUMBERS: &str = r#"[{"mean radius": 20.5, "mean texture": 21.0}]"#;

fn page(url: &Url) -> MetricsDraft {
    MetricsDraft::Scrape { url: url.to_string(), interval_ms: 1_000, send_credential: false }
}

/// Watches an endpoint until its server has told all of `quantities`, and gives what it told.
async fn told(name: &str, draft: EndpointDraft, quantities: &[&str]) -> ServerMetrics {
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let id = add(&api, draft).await;
    let what = format!("{name} has told everything");
    let found = until(&what, LATER, async || {
        let told = api.server_metrics(always(id)).await.unwrap();
        let tells = |key: &&str| told.quantities.iter().any(|q| q.key == **key && q.value.is_some());
        (quantities.iter().all(tells) && (told.latency.is_some() || !quantities.contains(&"latency"))).then_some(told)
    });
    let found = found.await;
    assert_eq!(found.problem, None, "{name}");
    for (kind, quantity) in [(ChartKind::ServerLatency, None), (ChartKind::Server, Some("throughput".to_owned()))] {
        let chart = api.chart(chart(&api, id, kind, quantity)).await.unwrap();
        assert!(chart.points.iter().any(|point| point.values.iter().any(Option::is_some)), "{name} {kind:?}");
    }
    api.stop().await;
    found
}

fn chart(api: &Api, id: i64, kind: ChartKind, quantity: Option<String>) -> ChartRequest {
    let now = api.engine().now().0;
    let colour = || "#336699".to_owned();
    ChartRequest {
        id,
        kind,
        quantity,
        from_ms: now - 600_000,
        to_ms: now,
        width: 600,
        height: 200,
        scale: 1.0,
        theme: ChartTheme {
            ink: colour(),
            muted: colour(),
            grid: colour(),
            accent: colour(),
            ok: colour(),
            warn: colour(),
            bad: colour(),
            unknown: colour(),
            band: colour(),
            background: None,
        },
        format: ImageFormat::Svg,
        time_zone: "UTC".into(),
    }
}

fn v2(name: &str, server: &RealServer, model: &str, rows: &str) -> EndpointDraft {
    let mut draft = draft(name, server.url.as_str(), "v2");
    draft.model = Some(model.into());
    draft.probe_rows = Some(rows.into());
    draft.metrics = Some(page(server.metrics_url.as_ref().unwrap()));
    draft
}

/// A row of thirty features for MLServer's model.
fn thirty() -> String {
    let members: serde_json::Map<String, serde_json::Value> =
        (0..30).map(|feature| (format!("f{feature}"), 1.5.into())).collect();
    serde_json::Value::Array(vec![members.into()]).to_string()
}

async fn start(server: fn() -> RealServer) -> RealServer {
    tokio::task::spawn_blocking(server).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn mlserver_and_a_prometheus_that_scrapes_it() {
    let server = start(RealServer::mlserver).await;
    let quantities = ["latency", "throughput", "compute_time", "in_flight", "cpu", "memory"];
    let found = told("MLServer", v2("bc", &server, "bc", &thirty()), &quantities).await;
    assert_eq!(found.server.as_deref(), Some("MLServer"));
    let latency = found.latency.unwrap();
    assert_eq!(latency.server_is, "median");
    assert!(latency.server_us > 0.0 && latency.server_low_us < Some(latency.server_us), "{latency:?}");
    let compute = found.quantities.iter().find(|q| q.key == "compute_time").unwrap();
    assert_eq!(compute.source, "model_infer_request_duration");

    let metrics = server.metrics_url.clone().unwrap();
    let prometheus = tokio::task::spawn_blocking(move || RealServer::prometheus(&[metrics])).await.unwrap();
    let panel = |name: &str, query: &str, unit: &str, quantity: Option<&str>| PanelDraft {
        name: name.into(),
        query: query.into(),
        unit: unit.into(),
        quantity: quantity.map(str::to_owned),
    };
    let mut draft = v2("bc", &server, "bc", &thirty());
    draft.metrics = Some(MetricsDraft::Prometheus {
        url: prometheus.url.to_string(),
        auth: AuthDraft::None,
        panels: vec![
            panel(
                "Mean",
                "sum(rate(model_infer_request_duration_sum[20s])) / sum(rate(model_infer_request_duration_count[20s]))",
                "seconds",
                Some("latency"),
            ),
            panel("Memory", "process_resident_memory_bytes", "bytes", None),
            panel("Nothing", "no_such_series", "count", None),
            panel("Broken", "sum((", "count", None),
        ],
    });
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let id = add(&api, draft).await;
    let recent = || {
        let now = api.engine().now().0;
        RangeRequest { id, from_ms: now - 300_000, to_ms: now }
    };
    let found = until("Prometheus has a rate", LATER, async || {
        let told = api.server_metrics(recent()).await.unwrap();
        told.latency.is_some().then_some(told)
    });
    let found = found.await;
    let keys: Vec<&str> = found.quantities.iter().map(|quantity| quantity.key.as_str()).collect();
    assert_eq!(keys, ["panel:Mean", "panel:Memory"], "what has no data has no chart");
    assert_eq!(found.panel_problems.len(), 1);
    assert!(found.panel_problems[0].problem.contains("unclosed left parenthesis"), "{:?}", found.panel_problems);
    let drawn = until("the memory is drawn", LATER, async || {
        let drawn = api.chart(chart(&api, id, ChartKind::Server, Some("panel:Memory".into()))).await.unwrap();
        (!drawn.series.is_empty()).then_some(drawn)
    });
    assert_eq!(drawn.await.series[0].unit, "bytes");
    assert!(api.chart(chart(&api, id, ChartKind::Server, Some("panel:Broken".into()))).await.is_err());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triton() {
    let server = start(RealServer::triton).await;
    let quantities = ["latency", "throughput", "queue_time", "compute_time", "errors", "machine_cpu"];
    let found = told("Triton", v2("tumours", &server, "tumours", TWO_NUMBERS), &quantities).await;
    assert_eq!(found.server.as_deref(), Some("Triton"));
    assert_eq!(found.latency.unwrap().server_is, "mean");
}

#[tokio::test(flavor = "multi_thread")]
async fn kserve_and_its_page_beside_the_api() {
    let server = start(RealServer::kserve).await;
    let found =
        told("KServe", v2("tumours", &server, "tumours", TWO_NUMBERS), &["latency", "throughput", "cpu", "memory"])
            .await;
    assert_eq!(found.server.as_deref(), Some("KServe"));
    finds(&server, "KServe", "kserve", Some("tumours")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bentoml_and_its_page_beside_the_api() {
    let server = start(RealServer::bentoml).await;
    let mut wanted = draft("tumours", server.url.as_str(), "json");
    instances(&mut wanted, "", None);
    wanted.probe_rows = Some(TWO_NUMBERS.into());
    wanted.metrics = Some(page(server.metrics_url.as_ref().unwrap()));
    let found = told("BentoML", wanted, &["latency", "throughput", "in_flight"]).await;
    assert_eq!(found.server.as_deref(), Some("BentoML"));
    finds(&server, "BentoML", "unknown", None).await;
}

/// Looking for the page finds it where the server has it.
async fn finds(server: &RealServer, name: &str, detected: &str, model: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    let request = MetricsFindRequest {
        url: server.url.to_string(),
        server: Some(detected.into()),
        model: model.map(str::to_owned),
        auth: AuthDraft::None,
        ca_file: None,
        client_certificate_file: None,
        client_key_secret: None,
    };
    let found = api.metrics_find(request).await.unwrap();
    assert_eq!(found.server.as_deref(), Some(name), "{found:?}");
    assert_eq!(found.url.as_deref(), server.metrics_url.as_ref().map(Url::as_str));
    api.stop().await;
}
