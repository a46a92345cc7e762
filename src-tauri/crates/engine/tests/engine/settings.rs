//! Changing settings while they are used, from several sides at once.

use pilothouse_domain::{Endpoint, Environment};
use pilothouse_engine::EngineError;
use pilothouse_store::StoreError;
use pilothouse_testkit::FakeServer;

use crate::support::{Place, answer, events, json_endpoint};

#[tokio::test]
async fn changes_at_once_do_not_undo_each_other() {
    let place = Place::new();
    let engine = place.engine();
    let server = FakeServer::start(answer()).await;
    let id = engine.add_endpoint(json_endpoint("wine", &server)).await.unwrap();
    for round in 0..20 {
        let paused = round % 2 == 0;
        let mut changed = engine.endpoint(id).await.unwrap();
        changed.environment = Environment(format!("round-{round}"));
        // Either may come first; what was read before must not undo what the other wrote.
        let (updated, pause) = if round % 4 < 2 {
            tokio::join!(engine.update_endpoint(changed), engine.pause_endpoint(id, paused))
        } else {
            let (pause, updated) = tokio::join!(engine.pause_endpoint(id, paused), engine.update_endpoint(changed));
            (updated, pause)
        };
        updated.unwrap();
        pause.unwrap();
        let now = engine.endpoint(id).await.unwrap();
        assert_eq!((now.environment.0.as_str(), now.paused), (&*format!("round-{round}"), paused));
    }
    // A change of settings that are not those of now is refused, unless it would change nothing.
    let now = engine.endpoint(id).await.unwrap();
    let old = Endpoint { revision: now.revision - 1, environment: Environment("old".into()), ..now.clone() };
    let refused = engine.update_endpoint(old).await.unwrap_err();
    assert!(matches!(refused, EngineError::Store(StoreError::Stale { .. })), "{refused}");
    let same = Endpoint { revision: 1, ..now.clone() };
    assert_eq!(engine.update_endpoint(same).await.unwrap(), now.revision);
    engine.stop().await;
    let audit = engine.store().audit_entries(100, None).unwrap();
    assert_eq!(audit.iter().filter(|entry| entry.action == "endpoint.update").count(), 20);
    assert_eq!(events(&engine).len(), 1 + 20 + 20);
}
