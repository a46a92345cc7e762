//! Explanations of a live model as jobs.

use std::time::Duration;

use pilothouse_demo::{DemoFleet, Fault};
use pilothouse_domain::{Cell, EndpointId};
use pilothouse_engine::{Engine, EngineError, ExplainRow, ExplainTask, Explained, JobState};

use crate::support::{Place, connect_demo, eventually, member};

fn task(endpoint: EndpointId) -> ExplainTask {
    ExplainTask { endpoint, row: ExplainRow::Golden(3), output: None, budget: None, seed: 7 }
}

async fn ended(engine: &Engine, job: &str) -> JobState {
    eventually("the explanation ends", || async {
        Some(engine.explain_job(job).unwrap()).filter(|state| !matches!(state, JobState::Running { .. }))
    })
    .await
}

async fn done(engine: &Engine, task: ExplainTask) -> std::sync::Arc<Explained> {
    let job = engine.explain_start(task).await.unwrap();
    match ended(engine, &job).await {
        JobState::Done(explained) => explained,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_explanation_adds_up_and_costs_no_more_than_was_said() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "credit-risk"), fleet.control_url()).await;
    let (cost, background, varying) = engine.explain_cost(&task(id)).await.unwrap();
    let explained = done(&engine, task(id)).await;
    let explanation = &explained.explanation;
    for (output, attributions) in explanation.attributions.iter().enumerate() {
        let sum: f64 = attributions.iter().map(|attribution| attribution.value).sum();
        let gap = explanation.prediction[output] - explanation.base_value[output];
        assert!((sum - gap).abs() <= 1e-9, "{sum} is not {gap}");
    }
    assert!(explanation.model_rows <= cost.model_rows, "{} > {}", explanation.model_rows, cost.model_rows);
    assert_eq!(explanation.varying.iter().filter(|varies| **varies).count(), varying as usize);
    assert!(background > 1);
    assert_eq!((explained.version.clone(), explained.outputs.len()), (Some("v6".into()), 2));
    assert_eq!(explained.features.len(), explained.row.len());
    // The same seed gives the same figures.
    let again = done(&engine, task(id)).await;
    assert_eq!(again.explanation.attributions, explanation.attributions);
    // A row of one's own, typed in.
    let own = ExplainTask { row: ExplainRow::Cells(explained.row.clone()), ..task(id) };
    assert_eq!(done(&engine, own).await.explanation.prediction, explanation.prediction);
    engine.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn cancelling_is_prompt_even_when_the_server_hangs() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "credit-risk"), fleet.control_url()).await;
    let mut endpoint = engine.endpoint(id).await.unwrap();
    endpoint.probe.first_byte_timeout_ms = 600_000;
    endpoint.probe.total_timeout_ms = 600_000;
    engine.update_endpoint(endpoint).await.unwrap();
    fleet.inject("credit-risk", Fault::Hang).unwrap();
    let jobs = [engine.explain_start(task(id)).await.unwrap(), engine.explain_start(task(id)).await.unwrap()];
    engine.explain_cancel(&jobs[0]).unwrap();
    assert!(matches!(ended(&engine, &jobs[0]).await, JobState::Cancelled));
    assert!(matches!(engine.explain_job(&jobs[1]).unwrap(), JobState::Running { .. }));
    let stopped = tokio::time::timeout(Duration::from_secs(10), engine.stop()).await;
    assert!(stopped.is_ok());
    assert!(matches!(ended(&engine, &jobs[1]).await, JobState::Cancelled));
}

#[tokio::test]
async fn one_version_answers_a_whole_explanation() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "credit-risk"), fleet.control_url()).await;
    // Slow enough for the switch to come in between.
    fleet.inject("credit-risk", Fault::Latency { ms: 300 }).unwrap();
    let job = engine.explain_start(task(id)).await.unwrap();
    eventually("the first answers", || async {
        matches!(engine.explain_job(&job).unwrap(), JobState::Running { done_rows: 1.., .. }).then_some(())
    })
    .await;
    crate::support::switch(fleet.control_url(), "credit-risk", "v5").await;
    match ended(&engine, &job).await {
        JobState::Failed(error) => assert!(error.to_string().contains("another version went live"), "{error}"),
        other => panic!("{other:?}"),
    }
    engine.stop().await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_at_once() {
    let place = Place::new();
    let fleet = DemoFleet::start(Some(0)).await.unwrap();
    let engine = place.engine();
    let id = connect_demo(&engine, &member(&fleet, "wine"), fleet.control_url()).await;
    let check = async |task: ExplainTask, expect: &str| {
        for error in
            [engine.explain_start(task.clone()).await.unwrap_err(), engine.explain_cost(&task).await.unwrap_err()]
        {
            assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
            assert!(error.to_string().contains(expect), "{error}");
        }
    };
    check(ExplainTask { row: ExplainRow::Golden(1_000_000), ..task(id) }, "golden row").await;
    check(ExplainTask { row: ExplainRow::Cells(vec![Cell::Number(1.0)]), ..task(id) }, "1 cells").await;
    check(ExplainTask { output: Some(3), ..task(id) }, "there are 3").await;
    assert!(matches!(engine.explain_job("none"), Err(EngineError::NotFound { .. })));
    assert!(matches!(engine.explain_cancel("none"), Err(EngineError::NotFound { .. })));
    // A server that fails is named with its own failure.
    fleet.inject("wine", Fault::Errors { rate: 1.0 }).unwrap();
    let job = engine.explain_start(task(id)).await.unwrap();
    match ended(&engine, &job).await {
        JobState::Failed(error) => assert!(matches!(&*error, EngineError::Target { .. }), "{error}"),
        other => panic!("{other:?}"),
    }
    engine.stop().await;
    fleet.shutdown().await;
}
