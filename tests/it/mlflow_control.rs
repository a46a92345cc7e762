//! The MLflow control plane against a real tracking server, and the scoring server that follows only after a restart.

use std::sync::Arc;

use pilothouse_control::{Authorizer, ControlPlane, Credential, Planned, Refusal, connect};
use pilothouse_domain::endpoint::{Reload, Tls};
use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{
    Auth, Check, CheckStatus, ControlPlaneConfig, EndpointId, PlanId, RollbackPlan, TimestampMs, VersionId,
};
use pilothouse_serving::{ControlClient, Transport, TransportConfig};
use pilothouse_tests::{RealServer, Registered};
use serde_json::{Value, json};

/// The client that the app itself uses for control planes.
fn client() -> ControlClient {
    Transport::new(TransportConfig::default()).control_client(&Tls::default(), None)
}

/// Sends nothing along.
fn no_credential() -> Authorizer {
    let transport = Transport::new(TransportConfig::default());
    Authorizer::new(&transport, Credential::None, &Tls::default()).unwrap()
}

fn control(tracking: &RealServer, model: &str, reload: Option<Reload>) -> Arc<dyn ControlPlane> {
    let config = ControlPlaneConfig::Mlflow {
        url: tracking.url.clone(),
        model: model.into(),
        alias: "champion".into(),
        auth: Auth::None,
        reload,
    };
    connect(&config, client(), no_credential(), no_credential()).unwrap()
}

fn plan(control: &dyn ControlPlane, from: Option<&str>, to: &str) -> RollbackPlan {
    let (from, to) = (from.map(VersionId::from), VersionId::from(to));
    let Planned { calls, follows } = control.plan(from.as_ref(), &to);
    RollbackPlan {
        id: PlanId::from("plan"),
        endpoint: EndpointId(1),
        created: TimestampMs(0),
        from,
        to,
        calls,
        follows,
    }
}

fn status_of(checks: &[Check], name: &str) -> CheckStatus {
    checks.iter().find(|check| check.check == name).unwrap().status
}

#[tokio::test]
async fn the_registry_is_read_planned_checked_and_moved() {
    let tracking = RealServer::mlflow_tracking();
    let registered = tracking.register("bc", &["good", "bad"]);
    let control = control(&tracking, "bc", None);

    let state = control.state().await.unwrap();
    assert_eq!(state.current, Some("2".into()));
    assert_eq!(state.versions.iter().map(|version| version.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    assert!(state.versions.iter().all(|version| version.ready && version.created.is_some()));
    for (found, made) in state.versions.iter().rev().zip(&registered.versions) {
        assert!((found.metrics["accuracy"] - made.accuracy).abs() < 1e-12, "{found:?} {made:?}");
    }

    // A version that does not exist: the check blocks, and MLflow itself refuses.
    let missing = plan(&*control, Some("2"), "99");
    assert_eq!(status_of(&control.preflight(&missing).await, "target_exists"), CheckStatus::Block);
    let error = control.send(&missing, 0).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NotFound));
    assert!(error.to_string().contains("Model Version (name=bc, version=99) not found"), "{error}");
    assert_eq!(control.state().await.unwrap(), state);

    // Back to the good one.
    let back = plan(&*control, Some("2"), "1");
    assert!(matches!(back.follows, Follows::No(_)));
    let checks = control.preflight(&back).await;
    assert!(checks.iter().all(|check| check.status != CheckStatus::Block), "{checks:?}");
    assert_eq!(status_of(&checks, "target_metrics"), CheckStatus::Pass);
    assert_eq!(status_of(&checks, "reload"), CheckStatus::Warn);
    let reply = control.send(&back, 0).await.unwrap();
    assert_eq!(reply.detail, "accepted; read back: alias `champion` points at version 1");
    let after = control.state().await.unwrap();
    assert_eq!(after.current, Some("1".into()));
    assert_ne!(after.fingerprint, state.fingerprint);

    // The same plan a second time finds another state than it was made from.
    assert_eq!(status_of(&control.preflight(&back).await, "current_unchanged"), CheckStatus::Block);
    assert_eq!(control.send(&back, 0).await.unwrap_err().refusal(), Some(Refusal::Changed));
    assert_eq!(control.state().await.unwrap(), after);

    // No such model, and no such alias.
    let error = self::control(&tracking, "nope", None).state().await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NotFound), "{error}");
    let config = ControlPlaneConfig::Mlflow {
        url: tracking.url.clone(),
        model: "bc".into(),
        alias: "fresh".into(),
        auth: Auth::None,
        reload: None,
    };
    let fresh = connect(&config, client(), no_credential(), no_credential()).unwrap();
    assert_eq!(fresh.state().await.unwrap().current, None);
    fresh.send(&plan(&*fresh, None, "1"), 0).await.unwrap();
    assert_eq!(fresh.state().await.unwrap().current, Some("1".into()));

    // MLflow's filter language has quotes without an escape, and a query has signs of its own.
    let name = "ada's model & co";
    tracking.register(name, &["good"]);
    let state = self::control(&tracking, name, None).state().await.unwrap();
    assert_eq!((state.current, state.versions.len()), (Some("1".into()), 1));
}

#[tokio::test]
async fn the_scoring_server_follows_only_after_the_reload_command() {
    let tracking = RealServer::mlflow_tracking();
    let registered = tracking.register("bc", &["good", "bad"]);
    let scoring = RealServer::mlflow_scoring(&tracking, "models:/bc@champion");
    assert_eq!(predictions(&scoring, &registered).await, registered.versions[1].predictions);

    let (program, args) = scoring.restart_command().split_first().unwrap();
    let reload = Reload::Command { program: program.into(), args: args.to_vec(), timeout_ms: 240_000 };
    let control = control(&tracking, "bc", Some(reload));
    let back = plan(&*control, Some("2"), "1");
    assert_eq!((back.calls.len(), &back.follows), (2, &Follows::Yes));
    assert_eq!(back.calls[1].method, "RUN");
    assert_eq!(status_of(&control.preflight(&back).await, "reload"), CheckStatus::Pass);

    // The reload alone is refused: the alias does not point at what was confirmed.
    assert_eq!(control.send(&back, 1).await.unwrap_err().refusal(), Some(Refusal::Changed));

    control.send(&back, 0).await.unwrap();
    assert_eq!(
        predictions(&scoring, &registered).await,
        registered.versions[1].predictions,
        "a moved alias alone changes nothing that is served"
    );
    let reply = control.send(&back, 1).await.unwrap();
    assert!(reply.detail.contains("serving models:/bc@champion"), "{}", reply.detail);
    assert_eq!(predictions(&scoring, &registered).await, registered.versions[0].predictions);
}

pub(crate) async fn predictions(scoring: &RealServer, registered: &Registered) -> Vec<i64> {
    let body = json!({"dataframe_split": {"columns": registered.columns, "data": registered.rows}});
    let response =
        crate::support::http().post(scoring.url.join("invocations").unwrap()).json(&body).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    serde_json::from_value(answer["predictions"].clone()).unwrap_or_else(|_| panic!("{answer}"))
}
