//! What is said of an endpoint, and what of ourselves.

use std::sync::Arc;

use pilothouse_domain::{Auth, EventKind, Health, Outcome, TargetFailure, TimestampMs, UnknownReason};
use pilothouse_engine::SystemClock;
use pilothouse_secrets::Secrets;
use pilothouse_testkit::{BearerGate, Behaviour, FakeServer, ManualClock, Reply};

use crate::support::{Place, answer, events, eventually, json_endpoint, position, until_health};

#[tokio::test]
async fn down_is_confirmed_and_recovery_too() {
    let place = Place::new();
    let engine = place.engine();
    let server = FakeServer::start(answer()).await;
    let endpoint = json_endpoint("wine", &server);
    let port = server.url().port().unwrap();
    drop(server);
    let id = engine.add_endpoint(endpoint).await.unwrap();
    // Nothing listens: the port was free a moment ago.
    let refused = engine.probe_now(id).await.unwrap();
    assert_eq!(refused.outcome, Outcome::TargetFailed(TargetFailure::ConnectionRefused), "port {port}");
    engine.watch().await.unwrap();
    until_health(&engine, id, Health::Down).await;
    let back = FakeServer::start(answer()).await;
    let mut moved = json_endpoint("wine", &back);
    (moved.id, moved.revision) = (id, 1);
    engine.update_endpoint(moved).await.unwrap();
    until_health(&engine, id, Health::Healthy).await;
    engine.stop().await;
    let events = events(&engine);
    let down = position(
        &events,
        "down",
        |kind| matches!(kind, EventKind::HealthChanged { to: Health::Down, reason, .. } if reason == "connection refused"),
    );
    let up = position(&events, "healthy", |kind| {
        matches!(kind, EventKind::HealthChanged { from: Health::Down, to: Health::Healthy, .. })
    });
    assert!(down < up);
    let failed = engine.store().summary(id, TimestampMs(0), TimestampMs(i64::MAX)).unwrap();
    assert!(failed.n_target_failed >= 2 && failed.n_ok >= 2);
}

#[tokio::test]
async fn a_missing_secret_is_our_failure_and_heals_once_it_is_set() {
    let place = Place::new();
    let secrets = Secrets::memory();
    let engine = place.engine_with(secrets.clone(), Arc::new(SystemClock::default()));
    // The gate carries one request per connection.
    let reply = Reply::json(200, r#"{"predictions": [0.5], "version": "v1"}"#).with_header("connection", "close");
    let server = FakeServer::start(Behaviour::Reply(reply.then_close())).await;
    let gate = BearerGate::start(server.url(), "marker-5e77ed").await;
    let mut endpoint = json_endpoint("guarded", &server);
    endpoint.target.url = gate.url().clone();
    endpoint.target.auth = Auth::Bearer { secret: "guarded-token".into() };
    let id = engine.add_endpoint(endpoint).await.unwrap();
    engine.watch().await.unwrap();
    let reason = eventually("the missing secret is told", || async {
        let state = engine.health_of(&engine.endpoint(id).await.unwrap()).await.unwrap();
        (state.health == Health::Unknown && state.reason != "not checked yet").then_some(state.reason)
    })
    .await;
    assert_eq!(reason, UnknownReason::SecretMissing.phrase());
    assert!(gate.requests().is_empty(), "nothing is sent without the credential");

    // A wrong one is the endpoint's answer, and not forgotten when the right one comes.
    secrets.set("guarded-token", "wrong".to_owned().into()).await.unwrap();
    engine.secret_changed("guarded-token").await;
    until_health(&engine, id, Health::Down).await;
    secrets.set("guarded-token", "marker-5e77ed".to_owned().into()).await.unwrap();
    engine.secret_changed("guarded-token").await;
    until_health(&engine, id, Health::Healthy).await;
    let names = engine.secret_names().await.unwrap();
    assert_eq!(names.get("guarded-token").map(Vec::as_slice), Some(&["guarded".to_owned()][..]));
    engine.stop().await;
    assert!(!place.mentions("marker-5e77ed"), "the secret's value is in no file");
    assert!(place.mentions("guarded-token"), "its name is");
    // While it was missing the endpoint was never called down.
    let all = events(&engine);
    let healthy =
        position(&all, "healthy", |kind| matches!(kind, EventKind::HealthChanged { to: Health::Healthy, .. }));
    let downs = all[..healthy].iter().filter(|event| {
        matches!(&event.kind, EventKind::HealthChanged { to: Health::Down, reason, .. } if !reason.contains("401"))
    });
    assert_eq!(downs.count(), 0);
}

#[tokio::test]
async fn of_two_processes_one_watches_and_the_other_reads() {
    let place = Place::new();
    let (watching, reading) = (place.engine(), place.engine());
    let server = FakeServer::start(answer()).await;
    let id = watching.add_endpoint(json_endpoint("wine", &server)).await.unwrap();
    assert!(watching.watch().await.unwrap());
    assert!(watching.watch().await.unwrap(), "asking twice changes nothing");
    assert!(!reading.watch().await.unwrap());
    assert!(watching.is_watching() && !reading.is_watching());
    until_health(&watching, id, Health::Healthy).await;
    until_health(&reading, id, Health::Healthy).await;
    assert_eq!(reading.report().probes, 0);
    // What the reading process adds is watched by the other one, a few seconds later.
    let added = reading.add_endpoint(json_endpoint("added", &server)).await.unwrap();
    until_health(&watching, added, Health::Healthy).await;
    // When the one ends, the other can take over.
    watching.stop().await;
    assert!(reading.watch().await.unwrap());
    reading.stop().await;
}

#[tokio::test]
async fn a_sleep_is_a_gap() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(1_000_000)));
    let engine = place.engine_with(Secrets::memory(), Arc::clone(&clock) as _);
    engine.watch().await.unwrap();
    // The wall clock goes on for an hour while the monotonic one stands still. The engine's first look may come after the
    // jump, so jump until it was seen.
    let gap = eventually("the gap is written down", || async {
        clock.jump_wall_ms(3_600_000);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        events(&engine).into_iter().find(|event| matches!(event.kind, EventKind::Gap { .. }))
    })
    .await;
    engine.stop().await;
    let EventKind::Gap { reason, from } = gap.kind else { unreachable!() };
    assert_eq!((reason, gap.endpoint), (UnknownReason::Asleep, None));
    assert!(gap.at.since(from) >= 3_600_000);
}
