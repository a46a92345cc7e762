//! The server's own view: counters that grow, restart and vanish, pages that are none, and a Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pilothouse_domain::{Endpoint, Health, MetricsConfig, Panel, Quantity, TimestampMs, Unit};
use pilothouse_engine::{Engine, ServerView};
use pilothouse_testkit::{Behaviour, FakeServer, Reply};

use crate::support::{Place, answer, eventually, json_endpoint, until_health};

/// A page whose counter is `n`, of which each request took 20 ms.
fn page(n: u64) -> Behaviour {
    let text = format!(
        "# TYPE ts_inference_requests_total counter\nts_inference_requests_total{{model_name=\"m\",}} {n}\n\
         ts_inference_latency_microseconds{{model_name=\"m\",}} {}\nRequests5XX{{Level=\"Host\",}} 3\n",
        n * 20_000
    );
    Behaviour::Reply(Reply::bytes(200, text.into_bytes()))
}

fn scraped(server: &FakeServer, metrics: &FakeServer) -> Endpoint {
    let mut endpoint = json_endpoint("wine", server);
    endpoint.metrics =
        Some(MetricsConfig::Scrape { url: metrics.at("metrics"), interval_ms: 1_000, send_credential: false });
    endpoint
}

async fn view(engine: &Engine, endpoint: &Endpoint) -> ServerView {
    let range = (TimestampMs(0), engine.now().plus_ms(60_000));
    engine.server_view(endpoint, range, 100_000, None).await.unwrap()
}

#[tokio::test]
async fn growing_counters_become_rates_and_a_restart_is_no_peak() {
    let server = FakeServer::start(answer()).await;
    let count = Arc::new(AtomicU64::new(1_000_000));
    let shared = Arc::clone(&count);
    let metrics = FakeServer::start(Behaviour::answer(move |_| page(shared.fetch_add(10, Ordering::SeqCst)))).await;
    let place = Place::new();
    let engine = place.engine();
    assert!(engine.watch().await.unwrap());
    let mut endpoint = scraped(&server, &metrics);
    endpoint.id = engine.add_endpoint(endpoint.clone()).await.unwrap();
    let throughput = async || {
        let view = view(&engine, &endpoint).await;
        let line = view.lines.into_iter().find(|line| line.quantity == Some(Quantity::Throughput))?;
        Some(line.whole())
    };
    let before = eventually("a rate", async || throughput().await.filter(|tally| tally.sum >= 20.0)).await;
    // The server begins anew: its counter falls by a million and goes on.
    count.store(0, Ordering::SeqCst);
    let after = eventually("a rate after it", async || throughput().await.filter(|t| t.sum > before.sum + 25.0)).await;
    assert!(after.sum < 100_000.0, "a restart is no peak: {after:?}");
    let told = view(&engine, &endpoint).await;
    assert_eq!(told.look.as_ref().unwrap().server.as_deref(), Some("TorchServe"));
    let latency = told.lines.iter().find(|line| line.quantity == Some(Quantity::Latency)).unwrap().whole();
    assert!((latency.value().unwrap() - 0.02).abs() < 1e-9, "{latency:?}");
    engine.stop().await;
}

#[tokio::test]
async fn metrics_that_cannot_be_had_say_why_and_nothing_of_the_model() {
    let server = FakeServer::start(answer()).await;
    let metrics = FakeServer::start(page(1)).await;
    let place = Place::new();
    let engine = place.engine();
    assert!(engine.watch().await.unwrap());
    let mut endpoint = scraped(&server, &metrics);
    endpoint.id = engine.add_endpoint(endpoint.clone()).await.unwrap();
    until_health(&engine, endpoint.id, Health::Healthy).await;
    let long = vec![b'x'; 9 * 1024 * 1024];
    let faults: [(&str, Behaviour); 5] = [
        ("there is nothing at this address", Behaviour::status(404, "")),
        ("asks for a credential", Behaviour::status(401, "")),
        ("no Prometheus or OpenMetrics", Behaviour::Reply(Reply::bytes(200, b"<html>\n<body>".to_vec()))),
        ("none that is known", Behaviour::Reply(Reply::bytes(200, b"my_own_metric 5\n".to_vec()))),
        ("bytes", Behaviour::Reply(Reply::bytes(200, long))),
    ];
    for (part, fault) in faults {
        metrics.set(fault);
        eventually(part, async || {
            let look = view(&engine, &endpoint).await.look?;
            look.problem.filter(|problem| problem.contains(part)).map(|_| assert!(look.last_good <= Some(look.at)))
        })
        .await;
    }
    assert_eq!(engine.health_of(&endpoint).await.unwrap().health, Health::Healthy);
    metrics.set(page(9));
    eventually("it is read again", async || view(&engine, &endpoint).await.look.filter(|look| look.problem.is_none()))
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn a_credential_goes_to_the_page_only_when_told() {
    let server = FakeServer::start(answer()).await;
    let metrics = FakeServer::start(page(1)).await;
    let place = Place::new();
    let engine = place.engine();
    engine.secrets().set("k", "s3cret".to_owned().into()).await.unwrap();
    assert!(engine.watch().await.unwrap());
    let mut endpoint = scraped(&server, &metrics);
    endpoint.target.auth = pilothouse_domain::Auth::Bearer { secret: "k".into() };
    endpoint.id = engine.add_endpoint(endpoint.clone()).await.unwrap();
    eventually("a look", async || (!metrics.requests().is_empty()).then_some(())).await;
    assert!(metrics.requests().iter().all(|request| !request.mentions("s3cret")));
    let mut changed = engine.endpoint(endpoint.id).await.unwrap();
    let Some(MetricsConfig::Scrape { send_credential, .. }) = &mut changed.metrics else { unreachable!() };
    *send_credential = true;
    engine.update_endpoint(changed).await.unwrap();
    let sends = async || metrics.requests().iter().any(|request| request.mentions("Bearer s3cret")).then_some(());
    eventually("a look with it", sends).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_prometheus_is_asked_when_somebody_looks() {
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[100,"0.5"],[160,"NaN"],[220,"1.5"]]}]}}"#;
    let refusal = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let prometheus = FakeServer::start(Behaviour::answer(move |request| {
        if request.mentions("broken") { Behaviour::status(400, refusal) } else { Behaviour::json(matrix) }
    }))
    .await;
    let panel = |name: &str, quantity| Panel { name: name.into(), query: name.into(), unit: Unit::Seconds, quantity };
    let server = FakeServer::start(answer()).await;
    let mut endpoint = json_endpoint("wine", &server);
    endpoint.metrics = Some(MetricsConfig::Prometheus {
        url: prometheus.url().clone(),
        auth: pilothouse_domain::Auth::None,
        panels: vec![panel("good", Some(Quantity::Latency)), panel("broken", None)],
    });
    let place = Place::new();
    let engine = place.engine();
    endpoint.id = engine.add_endpoint(endpoint.clone()).await.unwrap();
    assert!(prometheus.requests().is_empty(), "nothing is asked before somebody looks");
    let range = (TimestampMs(0), TimestampMs(600_000));
    let view = engine.server_view(&endpoint, range, 10, None).await.unwrap();
    assert_eq!(view.lines.len(), 1);
    assert_eq!((view.lines[0].quantity, view.lines[0].whole().value()), (Some(Quantity::Latency), Some(1.0)));
    assert_eq!(view.lines[0].points.len(), 2, "what is not a number is no point");
    assert!(view.problems[0].1.contains("parse error"), "{:?}", view.problems);
    prometheus.set(Behaviour::json(matrix));
    let only = engine.server_view(&endpoint, range, 10, Some("panel:good")).await.unwrap();
    assert_eq!((only.lines.len(), prometheus.requests().len()), (1, 3));
    engine.stop().await;
}
