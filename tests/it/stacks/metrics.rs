//! What a real server says of itself, asked through a real Prometheus. Pages that are read directly are a step of every
//! stack's own test.

use pilothouse_api::types::{AuthDraft, ChartKind, MetricsDraft, PanelDraft, RangeRequest};
use pilothouse_tests::RealServer;

use super::server_view::chart;
use crate::support::{LATER, add, draft, open, until};

/// A row of thirty features for MLServer's model.
fn thirty() -> String {
    let members: serde_json::Map<String, serde_json::Value> =
        (0..30).map(|feature| (format!("f{feature}"), 1.5.into())).collect();
    serde_json::Value::Array(vec![members.into()]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_scrapes_mlserver() {
    let server = tokio::task::spawn_blocking(RealServer::mlserver).await.unwrap();
    let metrics = server.metrics_url.clone().unwrap();
    let prometheus = tokio::task::spawn_blocking(move || RealServer::prometheus(&[metrics])).await.unwrap();
    let panel = |name: &str, query: &str, unit: &str, quantity: Option<&str>| PanelDraft {
        name: name.into(),
        query: query.into(),
        unit: unit.into(),
        quantity: quantity.map(str::to_owned),
    };
    let mut draft = draft("bc", server.url.as_str(), "v2");
    draft.model = Some("bc".into());
    draft.probe_rows = Some(thirty());
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
        let drawn = api.chart(chart(&api, id, ChartKind::Server, Some("panel:Memory"))).await.unwrap();
        (!drawn.series.is_empty()).then_some(drawn)
    });
    assert_eq!(drawn.await.series[0].unit, "bytes");
    assert!(api.chart(chart(&api, id, ChartKind::Server, Some("panel:Broken"))).await.is_err());
    api.stop().await;
}
