//! Rollback runs: the only way anything is written to a control plane.
//!
//! Plan, preflight, confirm, apply, verify. What must stay true: each call is written down as sent before it leaves; one
//! run of an endpoint at a time, over all processes; a run that was cut off is taken up again or reported as
//! `outcome_unknown` with what was really found, never guessed.

use std::time::Duration;

use pilothouse_control::{ControlPlane, ControlState};
use pilothouse_domain::rollback::{Follows, RunStep, StepState};
use pilothouse_domain::{
    Check, CheckStatus, Endpoint, EndpointId, EventKind, PlanId, RollbackPlan, RollbackRun, RunId, RunState, Verdict,
    VersionId,
};
use pilothouse_store::StoreError;
use serde_json::{Value, json};

use crate::engine::os_user;
use crate::lock_file::{self, LockFile};
use crate::run_end::{cut_short, may_pass, plain, refused};
use crate::{Engine, EngineError, Topic};

/// How often runs that nobody carries out are looked for.
const RESUME_EVERY: Duration = Duration::from_secs(10);

/// A plan with what was found while checking it.
#[derive(Debug, Clone)]
pub struct PreparedRollback {
    /// The plan, stored.
    pub plan: RollbackPlan,
    /// Its preflight.
    pub preflight: Vec<Check>,
    /// The control plane's state that it was made from.
    pub state: ControlState,
}

impl PreparedRollback {
    /// The first check that blocks.
    pub fn blocked(&self) -> Option<&Check> {
        self.preflight.iter().find(|check| check.status == CheckStatus::Block)
    }
}

/// How the sending of a plan's calls ended.
enum Sending {
    /// All were acknowledged.
    Acknowledged,
    /// Over, with this verdict and what it rests on.
    Ended(Verdict, Value),
}

impl Engine {
    /// Prepares a rollback of an endpoint to `to`, or to the last good version before the live one. Only reads.
    pub async fn prepare_rollback(
        &self,
        id: EndpointId,
        to: Option<VersionId>,
    ) -> Result<PreparedRollback, EngineError> {
        let watched = self.watched_or_ad_hoc(id).await?;
        let endpoint = &watched.endpoint;
        let state = self.refresh_control_state(&watched).await?;
        let to = match to {
            Some(version) => version,
            None => self.last_good_version(endpoint, &state).await?,
        };
        let plane = self.control_plane(endpoint).await?;
        let planned = plane.plan(state.current.as_ref(), &to);
        let plan = RollbackPlan {
            id: PlanId(uuid::Uuid::new_v4().to_string()),
            endpoint: id,
            created: self.now(),
            from: state.current.clone(),
            to,
            calls: planned.calls,
            follows: planned.follows,
        };
        let stored = plan.clone();
        self.with_store(move |store| store.add_plan(&stored)).await?;
        let preflight = self.preflight(endpoint, plane.as_ref(), &plan).await?;
        Ok(PreparedRollback { plan, preflight, state })
    }

    async fn last_good_version(&self, endpoint: &Endpoint, state: &ControlState) -> Result<VersionId, EngineError> {
        let listed = |version: &VersionId| state.versions.iter().any(|known| &known.id == version);
        if let Some(good) = self.quality_of(endpoint).await?.previous_good.clone().filter(|version| listed(version)) {
            return Ok(good);
        }
        let id = endpoint.id;
        let live = self.with_store(move |store| store.live_versions(id)).await?;
        let earlier = live.into_iter().map(|stretch| stretch.version);
        let mut candidates = earlier.filter(|version| Some(version) != state.current.as_ref() && listed(version));
        candidates.next().ok_or_else(|| EngineError::NoTarget(endpoint.name.clone()))
    }

    /// The control plane's checks, and ours.
    async fn preflight(
        &self,
        endpoint: &Endpoint,
        plane: &dyn ControlPlane,
        plan: &RollbackPlan,
    ) -> Result<Vec<Check>, EngineError> {
        let mut checks = plane.preflight(plan).await;
        if plan.from.as_ref() == Some(&plan.to) {
            let detail = format!("{} is live already; there is nothing to roll back", plan.to);
            checks.push(Check { check: "differs".into(), status: CheckStatus::Block, detail });
        }
        let id = endpoint.id;
        let unfinished = self.with_store(pilothouse_store::Store::unfinished_runs).await?;
        checks.push(match unfinished.iter().find(|run| run.plan.endpoint == id) {
            Some(run) => Check {
                check: "no_run_in_progress".into(),
                status: CheckStatus::Block,
                detail: format!("a rollback to {} begun by {} is in progress", run.plan.to, run.who),
            },
            None => Check {
                check: "no_run_in_progress".into(),
                status: CheckStatus::Pass,
                detail: "no other rollback of this endpoint is in progress".into(),
            },
        });
        checks.push(self.golden_check(endpoint, &plan.to).await?);
        Ok(checks)
    }

    /// Whether the result can be proved: a golden set, and what the target scored on it when it was live.
    async fn golden_check(&self, endpoint: &Endpoint, to: &VersionId) -> Result<Check, EngineError> {
        let check = |status, detail: String| Check { check: "golden_set".into(), status, detail };
        let Some(config) = &endpoint.evaluation else {
            let detail =
                "no golden set is configured, so the result can not be VERIFIED; import one on the Accuracy tab";
            return Ok(check(CheckStatus::Warn, detail.into()));
        };
        let (id, to) = (endpoint.id, to.clone());
        let golden_set = config.golden_set;
        let measured = self.with_store(move |store| store.latest_evaluation(id, Some(&to))).await?;
        Ok(match measured.filter(|evaluation| evaluation.golden_set == golden_set) {
            Some(evaluation) => {
                let main = evaluation.main();
                let (name, value) = main.map_or(("quality", None), |metric| (metric.name.as_str(), metric.value));
                let value = value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"));
                check(
                    CheckStatus::Pass,
                    format!("when it was live the target had {name} {value} on {} golden rows", evaluation.n),
                )
            }
            None => check(
                CheckStatus::Warn,
                "the target was never evaluated here; it is compared with the live version instead".into(),
            ),
        })
    }

    /// Confirms a plan: checks it once more, writes the run down and begins to carry it out. Gives the run back at once;
    /// its progress is read with [`Engine::run`].
    pub async fn apply_rollback(
        &self,
        plan_id: &PlanId,
        typed_name: &str,
        reason: &str,
    ) -> Result<RollbackRun, EngineError> {
        let wanted = plan_id.clone();
        let plan = self
            .with_store(move |store| store.plan(&wanted))
            .await?
            .ok_or_else(|| EngineError::NotFound { what: "rollback plan", name: plan_id.to_string() })?;
        let endpoint = self.endpoint(plan.endpoint).await?;
        if typed_name != endpoint.name {
            return Err(EngineError::NotConfirmed { typed: typed_name.to_owned(), name: endpoint.name });
        }
        // A used plan is refused as such, before a preflight that its own run has changed.
        let id = endpoint.id;
        let runs = self.with_store(move |store| store.runs(Some(id))).await?;
        if let Some(used) = runs.into_iter().find(|run| run.plan.id == plan.id) {
            return Err(StoreError::PlanUsed { plan: plan.id, run: used.id }.into());
        }
        let plane = self.control_plane(&endpoint).await?;
        let preflight = self.preflight(&endpoint, plane.as_ref(), &plan).await?;
        let run = RollbackRun {
            id: RunId(uuid::Uuid::new_v4().to_string()),
            who: os_user(),
            reason: reason.trim().to_owned(),
            started: self.now(),
            finished: None,
            state: RunState::Pending,
            steps: plan.calls.iter().map(|call| self.step(&call.purpose)).collect(),
            preflight,
            verdict: None,
            evidence: json!({}),
            plan,
        };
        if let Some(block) = run.preflight.iter().find(|check| check.status == CheckStatus::Block) {
            return Err(EngineError::Blocked(format!("{}: {}", block.check, block.detail)));
        }
        let lock = LockFile::take(&self.inner.database, &lock_file::of_run(&run.id))?
            .ok_or_else(|| EngineError::RunElsewhere(run.id.clone()))?;
        // The store lets exactly one unfinished run of an endpoint in, and each plan once: so neither a double click nor a
        // second process can send it twice.
        let stored = run.clone();
        if let Err(refused) = self.with_store(move |store| store.begin_run(&stored)).await {
            lock.remove();
            return Err(refused);
        }
        let after = json!({ "version": run.plan.to, "calls": run.plan.calls });
        let evidence = json!({ "run": run.id, "preflight": run.preflight });
        let before = json!({ "version": run.plan.from });
        self.record_audit("rollback.apply", Some(endpoint.id), &run.reason, before, after, evidence).await?;
        let kind =
            EventKind::RollbackStarted { run: run.id.clone(), from: run.plan.from.clone(), to: run.plan.to.clone() };
        self.record_event(Some(endpoint.id), run.started, kind).await?;
        self.publish(Topic::Rollbacks(endpoint.id));
        self.publish(Topic::Fleet);
        self.spawn_run(endpoint, run.clone(), lock);
        Ok(run)
    }

    /// One run.
    pub async fn run(&self, id: &RunId) -> Result<RollbackRun, EngineError> {
        let wanted = id.clone();
        self.with_store(move |store| store.run(&wanted))
            .await?
            .ok_or_else(|| EngineError::NotFound { what: "rollback run", name: id.to_string() })
    }

    /// Whether some process carries out this run at the moment. A run that is neither finished nor carried out waits for
    /// a process that watches.
    pub fn is_carried_out(&self, id: &RunId) -> Result<bool, EngineError> {
        LockFile::is_held(&self.inner.database, &lock_file::of_run(id))
    }

    /// Takes up runs that were left unfinished, now and every few seconds: another process may end in the middle of one,
    /// and what hinders one now (a locked keyring) may not hinder it later.
    pub(crate) async fn resume_regularly(&self) {
        loop {
            if let Err(error) = self.resume_runs().await {
                tracing::error!(%error, "unfinished rollbacks could not be looked for");
            }
            tokio::select! {
                () = tokio::time::sleep(RESUME_EVERY) => {}
                () = self.inner.stop.cancelled() => return,
            }
        }
    }

    /// Takes up the runs that nobody carries out any more.
    async fn resume_runs(&self) -> Result<(), EngineError> {
        for run in self.with_store(pilothouse_store::Store::unfinished_runs).await? {
            let Some(lock) = LockFile::take(&self.inner.database, &lock_file::of_run(&run.id))? else { continue };
            // Whoever held the lock until now may have gone on with the run since it was read.
            let run = self.run(&run.id).await?;
            if run.state == RunState::Finished {
                lock.remove();
                continue;
            }
            let endpoint = match self.endpoint(run.plan.endpoint).await {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    tracing::error!(run = %run.id, %error, "a rollback that was cut off cannot be taken up");
                    continue;
                }
            };
            tracing::warn!(run = %run.id, endpoint = %endpoint.name, "taking up a rollback that was cut off");
            self.spawn_run(endpoint, run, lock);
        }
        Ok(())
    }

    fn spawn_run(&self, endpoint: Endpoint, mut run: RollbackRun, lock: LockFile) {
        let engine = self.clone();
        self.inner.tasks.spawn(async move {
            if let Err(error) = engine.carry_out(&endpoint, &mut run).await {
                // The run stays unfinished in the store and is taken up again.
                tracing::error!(run = %run.id, %error, "a rollback could not be carried on");
            }
            if run.state == RunState::Finished {
                lock.remove();
            }
        });
    }

    async fn carry_out(&self, endpoint: &Endpoint, run: &mut RollbackRun) -> Result<(), EngineError> {
        // Every step is written down before it is taken, so it can be cut off anywhere and taken up at the next start.
        let ended = tokio::select! {
            ended = self.send_and_verify(endpoint, run) => ended,
            () = self.inner.stop.cancelled() => return Ok(()),
        };
        let (verdict, evidence) = match ended {
            Ok(ended) => ended,
            Err(error) if may_pass(&error) => {
                let waiting = format!("waiting, and tried again every few seconds: {error}");
                if let Some(step) = run.steps.iter_mut().find(|step| step.state != StepState::Done) {
                    step.detail = waiting;
                    self.save(run).await?;
                }
                return Err(error);
            }
            Err(error) => cut_short(run, &error),
        };
        self.finish(endpoint, run, verdict, evidence).await
    }

    async fn send_and_verify(
        &self,
        endpoint: &Endpoint,
        run: &mut RollbackRun,
    ) -> Result<(Verdict, Value), EngineError> {
        let plane = self.control_plane(endpoint).await?;
        if run.state != RunState::Verifying {
            if let Sending::Ended(verdict, evidence) = self.send_calls(plane.as_ref(), run).await? {
                return Ok((verdict, evidence));
            }
            run.state = RunState::Verifying;
            self.save(run).await?;
        }
        self.verify(endpoint.id, plane.as_ref(), run).await
    }

    async fn send_calls(&self, plane: &dyn ControlPlane, run: &mut RollbackRun) -> Result<Sending, EngineError> {
        if run.steps.len() < run.plan.calls.len() {
            return Err(EngineError::Internal(format!("run {} has fewer steps than its plan has calls", run.id)));
        }
        run.state = RunState::Applying;
        for index in 0..run.plan.calls.len() {
            match run.steps[index].state {
                StepState::Done => continue,
                StepState::Waiting => {}
                StepState::Sent | StepState::Failed => {
                    // An earlier process wrote this call down, and was cut off before it knew the answer.
                    let detail = "this program was cut off after the call was written down".to_owned();
                    let Some(ended) = self.look_after_loss(plane, run, index, detail).await? else { continue };
                    return Ok(ended);
                }
            }
            self.mark(run, index, StepState::Sent, "being sent".to_owned()).await?;
            match plane.send(&run.plan, index).await {
                Ok(reply) => {
                    let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
                    self.mark(run, index, StepState::Done, format!("{status}{}", reply.detail)).await?;
                }
                Err(error) if error.may_have_changed() => {
                    let Some(ended) = self.look_after_loss(plane, run, index, error.to_string()).await? else {
                        continue;
                    };
                    return Ok(ended);
                }
                Err(error) => {
                    self.mark(run, index, StepState::Failed, error.to_string()).await?;
                    let (verdict, evidence) = refused(run, index, &error);
                    return Ok(Sending::Ended(verdict, evidence));
                }
            }
        }
        Ok(Sending::Acknowledged)
    }

    /// A call was sent and its answer lost: what stands now decides. `None`: the control plane shows the target, go on.
    async fn look_after_loss(
        &self,
        plane: &dyn ControlPlane,
        run: &mut RollbackRun,
        index: usize,
        why: String,
    ) -> Result<Option<Sending>, EngineError> {
        let found = plane.state().await;
        if index == 0
            && let Ok(state) = &found
            && state.current.as_ref() == Some(&run.plan.to)
        {
            let detail = format!("{why}; the control plane shows {} all the same", run.plan.to);
            self.mark(run, index, StepState::Done, detail).await?;
            return Ok(None);
        }
        let found = match found {
            Ok(state) => json!(state.current),
            Err(error) => json!(format!("not readable: {error}")),
        };
        self.mark(run, index, StepState::Failed, why.clone()).await?;
        let evidence = json!({
            "summary": format!("The answer to “{}” was lost; the control plane now shows {}", run.plan.calls[index].purpose, plain(&found)),
            "lost_call": run.plan.calls[index].purpose,
            "why": why,
            "control_plane_shows": found,
        });
        Ok(Some(Sending::Ended(Verdict::OutcomeUnknown, evidence)))
    }

    async fn finish(
        &self,
        endpoint: &Endpoint,
        run: &mut RollbackRun,
        verdict: Verdict,
        evidence: Value,
    ) -> Result<(), EngineError> {
        let mut ended = run.clone();
        ended.state = RunState::Finished;
        ended.verdict = Some(verdict);
        ended.finished = Some(self.now());
        ended.evidence = evidence;
        // The audit entry comes first: a finished run without one must not exist.
        let after = json!({ "version": run.plan.to, "verdict": verdict });
        let before = json!({ "version": run.plan.from });
        self.record_audit("rollback.verdict", Some(endpoint.id), &run.reason, before, after, ended.evidence.clone())
            .await?;
        self.save(&ended).await?;
        *run = ended;
        let kind = EventKind::RollbackFinished { run: run.id.clone(), to: run.plan.to.clone(), verdict };
        self.record_event(Some(endpoint.id), self.now(), kind).await?;
        self.publish(Topic::Rollbacks(endpoint.id));
        self.publish(Topic::Versions(endpoint.id));
        self.publish(Topic::Fleet);
        Ok(())
    }

    pub(crate) async fn mark(
        &self,
        run: &mut RollbackRun,
        step: usize,
        state: StepState,
        detail: String,
    ) -> Result<(), EngineError> {
        let at = self.now();
        let step = run
            .steps
            .get_mut(step)
            .ok_or_else(|| EngineError::Internal(format!("run {} has no step {step}", run.id)))?;
        (step.state, step.at, step.detail) = (state, at, detail);
        self.save(run).await
    }

    pub(crate) fn step(&self, purpose: &str) -> RunStep {
        RunStep { purpose: purpose.to_owned(), state: StepState::Waiting, at: self.now(), detail: String::new() }
    }

    pub(crate) async fn save(&self, run: &RollbackRun) -> Result<(), EngineError> {
        let stored = run.clone();
        self.with_store(move |store| store.update_run(&stored)).await?;
        self.publish(Topic::Run(run.id.clone()));
        Ok(())
    }
}

/// Why serving will not follow, if it will not.
pub(crate) fn will_not_follow(plan: &RollbackPlan) -> Option<&str> {
    match &plan.follows {
        Follows::Yes => None,
        Follows::No(why) => Some(why),
    }
}
