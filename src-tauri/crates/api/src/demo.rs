//! The demo fleet: started with the first start, connected like any other endpoint.

use pilothouse_demo::{DemoEndpoint, DemoFleet, Fault};
use pilothouse_domain::{
    ControlPlaneConfig, Endpoint, EndpointId, EvaluationConfig, EventKind, ProbeConfig, Target, Task, TimestampMs,
    endpoint::ResponseChecks,
};
use pilothouse_engine::Topic;

use crate::types::{DemoInjectRequest, DemoModel, DemoState, Empty};
use crate::{Api, ApiError, Code};

/// The demo is watched more closely than a real fleet, so that a change is seen within seconds.
const PROBE_EVERY_MS: u32 = 2_000;
/// See [`PROBE_EVERY_MS`].
const EVALUATE_EVERY_MS: u32 = 10_000;

impl Api {
    /// Starts the demo fleet, or finds it running, and connects its endpoints. Endpoints of an earlier start keep their
    /// history and get the new addresses.
    pub async fn demo_start(&self, _: Empty) -> Result<DemoState, ApiError> {
        let mut demo = self.demo.lock().await;
        if demo.is_none() {
            let fleet = DemoFleet::start(None).await.map_err(failed)?;
            for member in fleet.endpoints() {
                Box::pin(self.connect_demo(member, fleet.control_url())).await?;
            }
            *demo = Some(fleet);
        }
        let state = demo.as_ref().map(state);
        drop(demo);
        self.engine.announce(Topic::Demo);
        self.engine.announce(Topic::Fleet);
        state.ok_or_else(|| ApiError::new(Code::Internal, "the demo fleet did not start"))
    }

    /// Starts the demo fleet again when its endpoints are in the database from an earlier start.
    pub async fn demo_resume(&self) -> Result<(), ApiError> {
        if !self.demo_endpoints().await?.is_empty() {
            Box::pin(self.demo_start(Empty {})).await?;
        }
        Ok(())
    }

    /// Injects or clears a fault.
    pub async fn demo_inject(&self, request: DemoInjectRequest) -> Result<DemoState, ApiError> {
        let fault: Fault = request.fault.parse().map_err(failed)?;
        let demo = self.demo.lock().await;
        let fleet = demo.as_ref().ok_or_else(|| {
            ApiError::new(Code::NotFound, "the demo fleet does not run").hint("start it on the Fleet screen")
        })?;
        fleet.inject(&request.model, fault).map_err(failed)?;
        let state = state(fleet);
        drop(demo);
        let id = self.engine.endpoint_by_name(&request.model).await.map(|endpoint| endpoint.id).ok();
        let kind = EventKind::FaultInjected { fault: fault.word().to_owned() };
        self.engine.record_event(id, self.engine.now(), kind).await?;
        self.engine.announce(Topic::Demo);
        Ok(state)
    }

    /// Stops the demo fleet and removes its endpoints with their history.
    pub async fn demo_remove(&self, _: Empty) -> Result<Empty, ApiError> {
        for endpoint in self.demo_endpoints().await? {
            self.engine.remove_endpoint(endpoint.id).await?;
        }
        if let Some(fleet) = self.demo.lock().await.take() {
            fleet.shutdown().await;
        }
        self.engine.announce(Topic::Demo);
        Ok(Empty {})
    }

    pub(crate) async fn demo_state(&self) -> Option<DemoState> {
        self.demo.lock().await.as_ref().map(state)
    }

    async fn demo_endpoints(&self) -> Result<Vec<Endpoint>, ApiError> {
        let endpoints = self.engine.with_store(pilothouse_store::Store::endpoints).await?;
        let is_demo = |endpoint: &Endpoint| matches!(endpoint.control_plane, Some(ControlPlaneConfig::Demo { .. }));
        Ok(endpoints.into_iter().filter(is_demo).collect())
    }

    async fn connect_demo(&self, member: DemoEndpoint, control_url: &url::Url) -> Result<(), ApiError> {
        let golden_set = member.golden_set.clone();
        let golden_set = self.engine.with_store(move |store| store.add_golden_set(&golden_set)).await?;
        let is_classifier = !matches!(member.task, Task::Regression);
        let endpoint = Endpoint {
            id: EndpointId(0),
            name: member.name.clone(),
            environment: member.environment,
            target: Target {
                model: member.model,
                checks: ResponseChecks { finite: true, probability_sum: is_classifier, outputs_per_row: None },
                probe_input: Some(member.probe_input),
                ..Target::new(member.url, member.protocol)
            },
            probe: ProbeConfig {
                interval_ms: PROBE_EVERY_MS,
                first_byte_timeout_ms: 2_000,
                total_timeout_ms: 3_000,
                degraded_above_ms: Some(250),
                ..ProbeConfig::default()
            },
            evaluation: Some(EvaluationConfig { golden_set, interval_ms: EVALUATE_EVERY_MS }),
            control_plane: Some(ControlPlaneConfig::Demo { url: control_url.clone(), model: member.registry_model }),
            metrics: None,
            paused: false,
            created: TimestampMs(0),
            revision: 0,
        };
        match self.engine.endpoint_by_name(&member.name).await {
            Ok(known) if matches!(known.control_plane, Some(ControlPlaneConfig::Demo { .. })) => {
                self.engine.update_endpoint(Endpoint { id: known.id, revision: known.revision, ..endpoint }).await?;
            }
            // A person's own endpoint of the same name stays untouched.
            Ok(_) => {}
            Err(_) => {
                self.engine.add_endpoint(endpoint).await?;
            }
        }
        Ok(())
    }
}

fn state(fleet: &DemoFleet) -> DemoState {
    let models = fleet.faults().into_iter().map(|(name, fault)| DemoModel {
        has_defect: fleet.has_defective_version(&name),
        fault: fault.word().to_owned(),
        name,
    });
    DemoState { control_url: fleet.control_url().to_string(), models: models.collect() }
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
fn failed(error: pilothouse_demo::DemoError) -> ApiError {
    ApiError::new(Code::InvalidInput, error.to_string())
}
