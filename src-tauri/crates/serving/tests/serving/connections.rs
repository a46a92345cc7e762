//! Keep-alive: reuse, fresh connections, and connections that the server closed meanwhile.

use std::time::Duration;

use pilothouse_domain::{Outcome, TargetFailure};
use pilothouse_testkit::{Behaviour, FakeServer, Reply};

use crate::support::{client_of, failed, reached, ready_target};

#[tokio::test]
async fn connections_are_kept_unless_a_fresh_one_is_asked_for() {
    let server = FakeServer::start(Behaviour::status(200, "")).await;
    let client = client_of(&ready_target(&server));
    let mut seen = Vec::new();
    for fresh in [false, false, true, false, false] {
        let report = client.probe(fresh).await;
        assert_eq!(report.outcome, Outcome::Ok);
        seen.push((report.reused, reached(&report.phases)));
    }
    let opened = (false, "dcswr".to_owned());
    let kept = (true, "swr".to_owned());
    assert_eq!(seen, [opened.clone(), kept.clone(), opened, kept.clone(), kept]);
    assert_eq!(server.connections(), 2);
    let connections: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1, 1]);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_no_failure() {
    // The server closes right after each answer without saying so: every reuse finds a dead connection.
    let server = FakeServer::start(Reply::json(200, "").then_close()).await;
    let client = client_of(&ready_target(&server));
    for _ in 0..20 {
        let report = client.probe(false).await;
        assert_eq!((report.outcome, report.reused), (Outcome::Ok, false), "{report:?}");
        assert_eq!(reached(&report.phases), "dcswr");
    }
    assert_eq!(server.connections(), 20);
    assert_eq!(server.requests().len(), 20, "no request was answered twice");
}

#[tokio::test]
async fn a_kept_connection_lost_before_the_answer_is_replaced_once() {
    let ok = || Behaviour::status(200, "");
    let server = FakeServer::start(Behaviour::Script(vec![ok(), Behaviour::Reset, ok()])).await;
    let client = client_of(&ready_target(&server));
    client.probe(false).await;
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.reused), (Outcome::Ok, false), "{report:?}");
    assert_eq!(server.connections(), 2);

    server.set(Behaviour::Script(vec![ok(), Behaviour::Close]));
    assert_eq!(client.probe(false).await.outcome, Outcome::Ok);
    let report = client.probe(false).await;
    assert_eq!(report.outcome, failed(TargetFailure::ConnectionReset), "the second loss is the server's");
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_falls_silent_is_not_retried() {
    let server = FakeServer::start(Behaviour::Script(vec![Behaviour::status(200, ""), Behaviour::Hang])).await;
    let client = client_of(&ready_target(&server));
    client.probe(false).await;
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.reused), (failed(TargetFailure::FirstByteTimeout), true));
    assert_eq!(reached(&report.phases), "sw");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn after_a_failed_answer_the_connection_is_not_used_again() {
    let slow = Behaviour::Trickle(Duration::from_millis(200), Reply::json(200, &"x".repeat(50)));
    let server = FakeServer::start(Behaviour::Script(vec![slow, Behaviour::status(200, "")])).await;
    let client = client_of(&ready_target(&server));
    assert_eq!(client.probe(false).await.outcome, failed(TargetFailure::TotalTimeout));
    let report = client.probe(false).await;
    assert_eq!((report.outcome, report.reused), (Outcome::Ok, false));
}

#[tokio::test]
async fn a_server_that_says_close_is_believed() {
    let server = FakeServer::start(Reply::json(200, "").with_header("connection", "close").then_close()).await;
    let client = client_of(&ready_target(&server));
    for _ in 0..3 {
        assert!(!client.probe(false).await.reused);
    }
    // An error status is a complete answer; its connection stays.
    server.set(Behaviour::status(500, ""));
    client.probe(false).await;
    assert!(client.probe(false).await.reused);
}
