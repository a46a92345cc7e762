//! When probes happen, and when they stop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pilothouse_domain::{Health, Outcome, TimestampMs};
use pilothouse_testkit::{Behaviour, FakeServer, Reply};

use crate::support::{Place, answer, eventually, json_endpoint, until_health};

/// Notes when each request begins and answers after `delay`.
fn slow(starts: &Arc<Mutex<Vec<Instant>>>, delay: Duration) -> Behaviour {
    let starts = Arc::clone(starts);
    Behaviour::answer(move |_| {
        starts.lock().unwrap().push(Instant::now());
        Behaviour::DelayFirstByte(delay, Box::new(answer()))
    })
}

async fn until_asked(server: &FakeServer, times: usize) {
    eventually(&format!("{times} requests"), || async { (server.requests().len() >= times).then_some(()) }).await;
}

#[tokio::test]
async fn each_endpoint_is_probed_at_its_interval_and_apart_from_the_others() {
    let place = Place::new();
    let engine = place.engine();
    let servers = [FakeServer::start(answer()).await, FakeServer::start(answer()).await];
    let mut ids = Vec::new();
    for (name, server) in ["one", "two"].iter().zip(&servers) {
        ids.push(engine.add_endpoint(json_endpoint(name, server)).await.unwrap());
    }
    assert!(engine.watch().await.unwrap());
    for server in &servers {
        until_asked(server, 4).await;
    }
    engine.stop().await;
    let mut first = Vec::new();
    for id in &ids {
        let mut due = Vec::new();
        engine
            .store()
            .read_samples(*id, TimestampMs(0), TimestampMs(i64::MAX), &mut |probe| due.push(probe.due.0))
            .unwrap();
        assert!(due.len() >= 3, "{due:?}");
        for pair in due.windows(2) {
            // The grid is exact; only the reading of two clocks lies between. A missed turn is left out, not moved.
            let off_grid = (pair[1] - pair[0] + 500).rem_euclid(1_000) - 500;
            assert!(off_grid.abs() <= 100, "{due:?}");
        }
        first.push(due[0]);
    }
    let apart = (first[0] - first[1]).rem_euclid(1_000);
    assert!((150..=850).contains(&apart), "the golden ratio sets neighbours 382 ms apart, not {apart}");
    let report = engine.report();
    assert_eq!((report.target_failed, report.unknown), (0, 0));
    assert!(report.ok >= 6);
}

#[tokio::test]
async fn a_slow_endpoint_is_never_asked_twice_at_once_and_lateness_is_told() {
    let place = Place::new();
    let engine = place.engine();
    let starts = Arc::default();
    let delay = Duration::from_millis(1_300);
    let server = FakeServer::start(slow(&starts, delay)).await;
    let mut endpoint = json_endpoint("slow", &server);
    endpoint.probe.first_byte_timeout_ms = 5_000;
    endpoint.probe.total_timeout_ms = 6_000;
    let id = engine.add_endpoint(endpoint).await.unwrap();
    engine.watch().await.unwrap();
    until_asked(&server, 2).await;
    // By hand, while one is under way: it waits for its turn.
    let (one, two) = tokio::join!(engine.probe_now(id), engine.probe_now(id));
    let latest = one.unwrap().late_us.max(two.unwrap().late_us);
    assert!(latest >= 1_000_000, "the second of two waited {latest} µs");
    engine.stop().await;
    let starts: Vec<Instant> = starts.lock().unwrap().clone();
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] >= delay, "two probes at once: {starts:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_left_alone_until_then() {
    let place = Place::new();
    let engine = place.engine();
    let limited = |wait: &str| Reply::json(429, r#"{"error":"slow down"}"#).with_header("retry-after", wait).into();
    let patient = FakeServer::start(Behaviour::Script(vec![limited("3600"), answer()])).await;
    let brief = FakeServer::start(Behaviour::Script(vec![limited("1"), answer()])).await;
    let other = FakeServer::start(answer()).await;
    let mut ids = Vec::new();
    for (name, server) in [("patient", &patient), ("brief", &brief), ("other", &other)] {
        ids.push(engine.add_endpoint(json_endpoint(name, server)).await.unwrap());
    }
    engine.watch().await.unwrap();
    until_asked(&other, 5).await;
    until_asked(&brief, 3).await;
    assert_eq!(patient.requests().len(), 1, "an hour has not passed");
    let mut said = Vec::new();
    let mut each = |probe: &pilothouse_domain::Probe| said.extend(probe.detail.clone());
    engine.store().read_samples(ids[0], TimestampMs(0), TimestampMs(i64::MAX), &mut |probe| each(probe)).unwrap();
    assert_eq!(said, ["asked to wait 3600 s: the server answered 429: slow down"]);
    // By hand it can be asked at once, and its answer ends the wait.
    assert_eq!(engine.probe_now(ids[0]).await.unwrap().outcome, Outcome::Ok);
    engine.stop().await;
}

#[tokio::test]
async fn a_hanging_endpoint_does_not_hold_up_stopping() {
    let place = Place::new();
    let engine = place.engine();
    let server = FakeServer::start(Behaviour::Hang).await;
    let mut endpoint = json_endpoint("hanging", &server);
    endpoint.probe.first_byte_timeout_ms = 60_000;
    endpoint.probe.total_timeout_ms = 60_000;
    let id = engine.add_endpoint(endpoint).await.unwrap();
    engine.watch().await.unwrap();
    until_asked(&server, 1).await;
    let stopped = tokio::time::timeout(Duration::from_secs(10), engine.stop()).await;
    assert!(stopped.is_ok(), "stopping waits for the endpoint's time limit");
    // What was cut off is no outcome of the endpoint.
    let summary = engine.store().summary(id, TimestampMs(0), TimestampMs(i64::MAX)).unwrap();
    assert_eq!((summary.n_ok, summary.n_target_failed), (0, 0));
}

#[tokio::test]
async fn pausing_changing_and_removing_take_effect() {
    let place = Place::new();
    let engine = place.engine();
    let (old, new) = (FakeServer::start(answer()).await, FakeServer::start(answer()).await);
    engine.watch().await.unwrap();
    let id = engine.add_endpoint(json_endpoint("wine", &old)).await.unwrap();
    until_health(&engine, id, Health::Healthy).await;

    engine.pause_endpoint(id, true).await.unwrap();
    until_health(&engine, id, Health::Paused).await;
    let asked = old.requests().len();
    // Another endpoint's probes tell that time passes.
    let clock = FakeServer::start(answer()).await;
    let other = engine.add_endpoint(json_endpoint("clock", &clock)).await.unwrap();
    until_asked(&clock, 3).await;
    assert_eq!(old.requests().len(), asked, "a paused endpoint rests");

    engine.pause_endpoint(id, false).await.unwrap();
    until_asked(&old, asked + 1).await;

    // Settings changed meanwhile keep the pause, and the new address is used at once.
    let mut moved = json_endpoint("wine", &new);
    (moved.id, moved.revision) = (id, 1);
    engine.update_endpoint(moved).await.unwrap();
    until_asked(&new, 2).await;
    let asked = old.requests().len();
    until_asked(&new, 4).await;
    assert_eq!(old.requests().len(), asked, "the old address is left alone");

    engine.remove_endpoint(id).await.unwrap();
    let asked = (new.requests().len(), clock.requests().len());
    until_asked(&clock, asked.1 + 3).await;
    // One that was on its way when it was removed may still have come in.
    assert!(new.requests().len() <= asked.0 + 1, "a removed endpoint is left alone");
    assert!(engine.endpoint(id).await.is_err());
    assert_eq!(engine.probe_now(other).await.unwrap().outcome, Outcome::Ok);
    engine.stop().await;
}
