//! The Endpoint screen: header, health, accuracy.

use std::collections::HashMap;

use pilothouse_domain::{EndpointId, GoldenSet, Outcome, Task};
use pilothouse_engine::QualityState;
use pilothouse_store::EventFilter;

use crate::types::{
    Empty, EndpointDetail, EndpointPauseRequest, EndpointRemoveRequest, EndpointRequest, EvaluationSummary, Flips,
    GoldenSetSummary, HealthSummary, MetricValue, PhaseMedian, ProbeResult, Quality, RangeRequest, ReasonCount,
    VersionQuality,
};
use crate::{Api, ApiError, Code, connect, convert, timeline, versions};

/// Events on the Endpoint screen.
const EVENTS: u32 = 30;

impl Api {
    /// One endpoint's header, settings and latest events.
    pub async fn endpoint(&self, request: EndpointRequest) -> Result<EndpointDetail, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let now = self.engine.now();
        let filter =
            EventFilter { endpoint: Some(id), from: endpoint.created.plus_ms(-1), to: now.plus_ms(1), limit: EVENTS };
        let events = self.engine.with_store(move |store| store.events(&filter)).await?;
        let golden_set = match &endpoint.evaluation {
            Some(config) => Some(self.engine.golden_set(config.golden_set).await?),
            None => None,
        };
        Ok(EndpointDetail {
            row: self.fleet_row(&endpoint).await?,
            draft: connect::draft(&endpoint, golden_set.as_deref()),
            revision: endpoint.revision,
            control_plane: endpoint.control_plane.as_ref().map(versions::control_plane_in_words),
            golden_set: golden_set.as_deref().map(golden_set_summary),
            facets: crate::health_facets(&self.engine.health_facets(&endpoint).await?),
            deployment: self.engine.deployment(&endpoint).await?.map(crate::deployment::deployment),
            notice: endpoint.target.protocol.notice().map(str::to_owned),
            events: events.iter().map(|event| timeline::event(event, Some(&endpoint.name))).collect(),
            now_ms: now.0,
        })
    }

    /// Counts, quantiles and phases of a range.
    pub async fn health_summary(&self, request: RangeRequest) -> Result<HealthSummary, ApiError> {
        let id = EndpointId(request.id);
        self.engine.endpoint(id).await?;
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let (summary, phases, reasons) = self
            .engine
            .with_store(move |store| {
                let mut reasons: HashMap<Outcome, u32> = HashMap::new();
                store.read_samples(id, from, to, &mut |probe| {
                    if probe.outcome != Outcome::Ok {
                        *reasons.entry(probe.outcome).or_default() += 1;
                    }
                })?;
                Ok((store.summary(id, from, to)?, store.phases(id, from, to)?, reasons))
            })
            .await?;
        let mut reasons: Vec<ReasonCount> = reasons
            .into_iter()
            .map(|(outcome, n)| ReasonCount {
                reason: outcome.phrase().to_owned(),
                ours: matches!(outcome, Outcome::Unknown(_)),
                n,
            })
            .collect();
        reasons.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.reason.cmp(&b.reason)));
        let median = |phase: &str, median_us| PhaseMedian { phase: phase.to_owned(), median_us };
        Ok(HealthSummary {
            n: summary.n,
            n_ok: summary.n_ok,
            n_target_failed: summary.n_target_failed,
            n_unknown: summary.n_unknown,
            p50_us: summary.p50_us,
            p95_us: summary.p95_us,
            p99_us: summary.p99_us,
            availability: availability(summary.n_ok, summary.n_target_failed),
            phases: [
                median("dns", phases.dns_us),
                median("connect", phases.connect_us),
                median("tunnel", phases.tunnel_us),
                median("tls", phases.tls_us),
                median("send", phases.send_us),
                median("wait", phases.wait_us),
                median("receive", phases.receive_us),
            ]
            .into_iter()
            // Most endpoints are reached through nobody.
            .filter(|phase| phase.phase != "tunnel" || phase.median_us.is_some())
            .collect(),
            reasons,
        })
    }

    /// Golden-set evaluations per version.
    pub async fn quality(&self, request: RangeRequest) -> Result<Quality, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let Some(config) = &endpoint.evaluation else {
            return Ok(Quality { golden_set: None, versions: Vec::new(), evaluations: Vec::new(), next_ms: None });
        };
        let golden_set = self.engine.golden_set(config.golden_set).await?;
        let evaluations = self.engine.with_store(move |store| store.evaluations(id, from, to)).await?;
        let states: Vec<QualityState> = self.engine.quality_by_version(&endpoint).await?;
        let versions = states
            .iter()
            .filter_map(|state| {
                Some(VersionQuality {
                    evaluation: convert::evaluation(state.latest.as_ref()?),
                    change: state.change.as_ref().map(convert::quality_change),
                    flips: state
                        .change
                        .as_ref()
                        .filter(|_| golden_set.task != Task::Regression)
                        .map(|change| Flips { worse: change.worse, better: change.better }),
                })
            })
            .collect();
        Ok(Quality {
            golden_set: Some(golden_set_summary(&golden_set)),
            versions,
            evaluations: evaluations.iter().map(convert::evaluation).collect(),
            next_ms: self.engine.next_evaluation(id).map(|at| at.0),
        })
    }

    /// Removes an endpoint with its history.
    pub async fn endpoint_remove(&self, request: EndpointRemoveRequest) -> Result<Empty, ApiError> {
        let endpoint = self.engine.endpoint(EndpointId(request.id)).await?;
        if request.confirm != endpoint.name {
            let message =
                format!("the typed name `{}` is not `{}`; nothing was removed", request.confirm, endpoint.name);
            return Err(ApiError::new(Code::InvalidInput, message).hint("type the endpoint's name exactly"));
        }
        self.engine.remove_endpoint(endpoint.id).await?;
        Ok(Empty {})
    }

    /// Pauses or resumes probing.
    pub async fn endpoint_pause(&self, request: EndpointPauseRequest) -> Result<Empty, ApiError> {
        self.engine.pause_endpoint(EndpointId(request.id), request.paused).await?;
        Ok(Empty {})
    }

    /// Probes an endpoint at once and records it.
    pub async fn probe_now(&self, request: EndpointRequest) -> Result<ProbeResult, ApiError> {
        Ok(convert::probe(&self.engine.probe_now(EndpointId(request.id)).await?))
    }

    /// Evaluates the golden set at once.
    pub async fn evaluate_now(&self, request: EndpointRequest) -> Result<EvaluationSummary, ApiError> {
        Ok(convert::evaluation(&self.engine.evaluate_now(EndpointId(request.id)).await?))
    }
}

/// Share in order of what is known, with its Wilson interval.
fn availability(n_ok: u32, n_failed: u32) -> MetricValue {
    let known = n_ok + n_failed;
    let interval = pilothouse_stats::wilson(u64::from(n_ok), u64::from(known));
    MetricValue {
        name: "availability".to_owned(),
        value: (known > 0).then(|| f64::from(n_ok) / f64::from(known)),
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        method: "wilson".to_owned(),
        why: (known == 0).then(|| "no probe of this range has a known outcome".to_owned()),
    }
}

pub(crate) fn golden_set_summary(golden_set: &GoldenSet) -> GoldenSetSummary {
    GoldenSetSummary {
        id: golden_set.id.0,
        name: golden_set.name.clone(),
        task: task_word(&golden_set.task).to_owned(),
        n: golden_set.labels.len() as u32,
    }
}

pub(crate) fn task_word(task: &Task) -> &'static str {
    match task {
        Task::Binary { .. } => "binary",
        Task::Multiclass { .. } => "multiclass",
        Task::Regression => "regression",
    }
}
