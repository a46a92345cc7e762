//! Whatever happens to a fleet: what the window puts together from changes is what a full answer says.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{
    Clock, EndpointId, Environment, Health, HealthState, Outcome, Phases, Probe, TargetFailure, TimestampMs,
};
use pilothouse_engine::Engine;
use pilothouse_secrets::Secrets;
use pilothouse_store::{OpenOptions, Store};
use pilothouse_testkit::{ManualClock, endpoint};
use proptest::prelude::*;

use crate::Api;
use crate::fleet_changes::KnownFleet;
use crate::types::{Fleet, FleetRequest};

fn api(store: &Store, database: &Path, clock: &Arc<ManualClock>) -> Api {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let known_fleet = Arc::new(tokio::sync::Mutex::new(KnownFleet::new(clock.now())));
    let engine = Engine::new(store.clone(), database, Secrets::memory(), clock).unwrap();
    Api { engine, demo: Arc::default(), database: database.to_owned(), logs: None, known_fleet }
}

fn probe(endpoint: EndpointId, due: TimestampMs, total_us: u32) -> Probe {
    let outcome =
        if total_us.is_multiple_of(7) { Outcome::TargetFailed(TargetFailure::ServerError) } else { Outcome::Ok };
    Probe {
        endpoint,
        due,
        late_us: 0,
        outcome,
        http_status: Some(200),
        version: None,
        phases: Phases::default(),
        total_us: Some(total_us),
        reused: true,
        response_bytes: 20,
        detail: None,
        generation: None,
    }
}

/// What the window does with an answer.
fn apply(held: &mut Fleet, newer: Fleet) {
    let order = newer.order.clone().or_else(|| held.order.take()).unwrap_or_default();
    let rows = |id: &i64| {
        let mut rows = newer.endpoints.iter().chain(&held.endpoints);
        rows.find(|row| row.id == *id).expect("an order of known rows").clone()
    };
    let endpoints = order.iter().map(rows).collect();
    *held = Fleet { endpoints, order: Some(order), ..newer };
}

/// One thing that happens, and to which endpoint.
fn happen(store: &Store, clock: &ManualClock, (what, which, number): (u8, usize, u32)) {
    let all = store.endpoints().unwrap();
    let Some(mut one) = (!all.is_empty()).then(|| all[which % all.len()].clone()) else {
        store.add_endpoint(&endpoint("first", &"http://127.0.0.1:1/".parse().unwrap())).unwrap();
        return;
    };
    match what % 9 {
        0 => {
            let name = format!("endpoint {number}");
            // A name that is taken already changes nothing.
            let _ = store.add_endpoint(&endpoint(&name, &"http://127.0.0.1:1/".parse().unwrap()));
        }
        1 => store.remove_endpoint(one.id).unwrap(),
        2 => {
            one.environment = Environment(["production", "staging"][which % 2].into());
            one.probe.degraded_above_ms = Some(number);
            store.update_endpoint(&one).map(drop).unwrap();
        }
        3 => store.pause_endpoint(one.id, !one.paused).unwrap(),
        4 => {
            let health = if number.is_multiple_of(2) { Health::Down } else { Health::Healthy };
            let state = HealthState { health, since: clock.now(), reason: format!("reason {}", number % 3) };
            store.set_health(one.id, &state).unwrap();
        }
        5 => {
            let version = format!("v{}", number % 3).as_str().into();
            store.observe_version(one.id, &version, clock.now(), VersionSource::Endpoint).map(drop).unwrap();
        }
        6 => clock.advance(Duration::from_millis(u64::from(number) * 10)),
        _ => {
            store.append_probe(probe(one.id, clock.now(), number)).unwrap();
            store.flush().unwrap();
        }
    }
    clock.advance(Duration::from_secs(1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Law: changes applied one after the other equal the full answer of a program that has just opened the file.
    #[test]
    fn changes_add_up_to_the_whole(steps in prop::collection::vec(any::<(u8, usize, u32)>(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("fleet.db");
            let store = Store::open(&database, &OpenOptions::default()).unwrap();
            let clock = Arc::new(ManualClock::new(TimestampMs(1_700_000_000_000)));
            let window = api(&store, &database, &clock);
            let mut held = window.fleet(FleetRequest::default()).await.unwrap();
            for step in steps {
                happen(&store, &clock, (step.0, step.1, step.2 % 10_000));
                let changes = window.fleet(FleetRequest { since: Some(held.revision) }).await.unwrap();
                apply(&mut held, changes);
                let whole = api(&store, &database, &clock).fleet(FleetRequest::default()).await.unwrap();
                assert_eq!((&held.endpoints, &held.order), (&whole.endpoints, &whole.order), "after {step:?}");
                assert_eq!(window.fleet(FleetRequest::default()).await.unwrap(), held);
            }
        });
    }
}

#[tokio::test]
async fn an_answer_holds_the_rows_that_changed_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("fleet.db");
    let store = Store::open(&database, &OpenOptions::default()).unwrap();
    let clock = Arc::new(ManualClock::new(TimestampMs(1_700_000_000_000)));
    let window = api(&store, &database, &clock);
    let url = "http://127.0.0.1:1/".parse().unwrap();
    let ids: Vec<EndpointId> =
        ["a", "b", "c"].iter().map(|name| store.add_endpoint(&endpoint(name, &url)).unwrap()).collect();
    let whole = window.fleet(FleetRequest { since: None }).await.unwrap();
    assert_eq!((whole.endpoints.len(), whole.order.as_ref().map(Vec::len)), (3, Some(3)));
    let ask = async |since: i64| {
        store.flush().unwrap();
        let fleet = window.fleet(FleetRequest { since: Some(since) }).await.unwrap();
        (fleet.revision, fleet.endpoints.iter().map(|row| EndpointId(row.id)).collect::<Vec<_>>(), fleet.order)
    };
    assert_eq!(ask(whole.revision).await, (whole.revision, vec![], None), "nothing happened");
    store.append_probe(probe(ids[1], clock.now(), 1_000)).unwrap();
    let (probed, rows, order) = ask(whole.revision).await;
    assert_eq!((rows, order), (vec![ids[1]], None));
    store.remove_endpoint(ids[0]).unwrap();
    let (_, rows, order) = ask(probed).await;
    assert_eq!((rows, order), (vec![], Some(vec![ids[1].0, ids[2].0])), "a removal sends no row again");
    // A window that missed an answer gets what it missed; one from another time gets everything.
    assert_eq!(ask(whole.revision).await.1, [ids[1]]);
    for foreign in [0, 1, -5, i64::MAX] {
        assert_eq!(ask(foreign).await.1.len(), 2, "{foreign}");
    }
}
