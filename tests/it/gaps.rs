//! What is ours is never held against an endpoint: sleep is a gap, a missing secret is unknown.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_api::types::{AuthDraft, HealthWord};
use pilothouse_domain::{Event, EventKind, TimestampMs, UnknownReason};
use pilothouse_engine::Engine;
use pilothouse_secrets::Secrets;
use pilothouse_store::{EventFilter, OpenOptions, Store};
use pilothouse_testkit::{Behaviour, FakeServer, ManualClock, endpoint, quick_probe_config};

use crate::support::{LATER, add, always, draft, open, until, until_row};

const START: TimestampMs = TimestampMs(1_790_000_000_000);
const SLEEP_MS: i64 = 3_600_000;

#[tokio::test]
async fn an_hour_asleep_is_a_gap_and_no_outage() {
    let server = FakeServer::start(Behaviour::json("{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("pilothouse.db");
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::open(&database, &OpenOptions::default()).unwrap();
    let engine = Engine::new(store, &database, Secrets::memory(), clock.clone()).unwrap();
    let mut watched = endpoint("bc", server.url());
    watched.probe = quick_probe_config();
    let id = engine.add_endpoint(watched.clone()).await.unwrap();
    watched.id = id;
    assert!(engine.watch().await.unwrap());
    until("it was checked", LATER, async || (engine.report().ok >= 1).then_some(())).await;

    // The lid closes for an hour: the wall clock goes on, the monotonic one does not. The network needs a moment to come
    // back, and what was asked in it hears nothing.
    clock.jump_wall_ms(SLEEP_MS);
    let gap = until("the gap is noticed", LATER, async || {
        all_events(&engine).await.into_iter().find(|event| matches!(event.kind, EventKind::Gap { .. }))
    });
    let gap = gap.await;
    assert_eq!(gap.kind, EventKind::Gap { reason: UnknownReason::Asleep, from: START });
    assert_eq!(gap.at, START.plus_ms(SLEEP_MS));
    server.set(Behaviour::Reset);
    until("a check was excused", LATER, async || (engine.report().unknown >= 1).then_some(())).await;
    assert_eq!(engine.report().target_failed, 0);

    // A quarter of a minute later a failure is the endpoint's own again. Time passes in steps: a jump would be a gap.
    until("a check failed", LATER, async || {
        clock.advance(Duration::from_millis(200));
        (engine.report().target_failed >= 1).then_some(())
    })
    .await;
    let more = all_events(&engine).await.into_iter().filter(|event| matches!(event.kind, EventKind::Gap { .. }));
    assert_eq!(more.count(), 1, "one sleep is one gap");
    engine.stop().await;
}

async fn all_events(engine: &Engine) -> Vec<Event> {
    let all = EventFilter { endpoint: None, from: START, to: TimestampMs(i64::MAX), limit: 100 };
    engine.with_store(move |store| store.events(&all)).await.unwrap()
}

#[tokio::test]
async fn a_missing_secret_is_unknown_and_never_down() {
    let server = FakeServer::start(Behaviour::json("{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let api = open(&folder.path().join("pilothouse.db"));
    assert!(api.watch().await.unwrap());
    let mut wanted = draft("bc", server.url().as_str(), "v2");
    wanted.auth = AuthDraft::Bearer { secret: "nowhere".into() };
    let id = add(&api, wanted).await;
    let row = until_row(&api, id, "it was looked at twice", |row| row.beats.len() >= 2).await;
    assert_eq!(row.health, HealthWord::Unknown, "{}", row.reason);
    let summary = api.health_summary(always(id)).await.unwrap();
    assert_eq!((summary.n_ok, summary.n_target_failed), (0, 0));
    assert!(summary.reasons.iter().all(|reason| reason.ours), "{:?}", summary.reasons);
    assert!(server.requests().is_empty(), "nothing is sent without the credential it needs");
    api.stop().await;
}
