//! `rollback`: plan, apply and watch a rollback.

use std::time::Duration;

use clap::Subcommand;
use pilothouse_api::Api;
use pilothouse_domain::rollback::{Follows, StepState};
use pilothouse_domain::{CheckStatus, PlanId, RollbackRun, RunId, RunState, Verdict, VersionId};
use pilothouse_engine::PreparedRollback;
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, plain};
use crate::session::{endpoint, interrupted, with_api};

/// Between two looks at a run under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `rollback …`
#[derive(Debug, Subcommand)]
pub(crate) enum RollbackCommand {
    /// Prepare a rollback and check it; nothing is changed
    Plan {
        /// The endpoint's name
        endpoint: String,
        /// Version to bring back; without it the last good one before the live one
        #[arg(long, value_name = "ID")]
        to: Option<String>,
    },
    /// Carry out a plan, and wait for the verdict
    Apply {
        /// The plan's id
        plan_id: String,
        /// The endpoint's name, to confirm
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// Why, for the audit list
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Tell where a run stands
    Status {
        /// The run's id
        run_id: String,
    },
}

/// Carries it out.
pub(crate) async fn run(command: RollbackCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| match command {
        RollbackCommand::Plan { endpoint, to } => plan(api, &endpoint, to, output).await,
        RollbackCommand::Apply { plan_id, confirm, reason } => {
            apply(api, &PlanId(plan_id), &confirm, &reason, output).await
        }
        RollbackCommand::Status { run_id } => {
            let run = api.engine().run(&RunId(run_id)).await?;
            output.answer(&run_document(&run), || run_text(&run));
            // A run under way is no bad news yet.
            Ok(Answer::good_if(run.state != RunState::Finished || run.verdict == Some(Verdict::Verified)))
        }
    })
    .await
}

async fn plan(api: &Api, name: &str, to: Option<String>, output: Output) -> Result<Answer, Failure> {
    let endpoint = endpoint(api, name).await?;
    let prepared = api.engine().prepare_rollback(endpoint.id, to.map(VersionId)).await?;
    let blocked = prepared.blocked().is_some();
    let plan = &prepared.plan;
    let calls = plan.calls.iter().map(|call| {
        json!({
            "purpose": call.purpose,
            "method": call.method,
            "url": call.url,
            "headers": call.headers,
            "body": call.body,
        })
    });
    let document = json!({
        "plan_id": plan.id,
        "endpoint": name,
        "from": plan.from,
        "to": plan.to,
        "calls": calls.collect::<Vec<_>>(),
        "will_not_follow": match &plan.follows {
            Follows::Yes => None,
            Follows::No(why) => Some(why),
        },
        "preflight": prepared.preflight,
        "blocked": blocked,
    });
    output.answer(&document, || plan_text(&prepared, name));
    Ok(Answer::good_if(!blocked))
}

async fn apply(api: &Api, plan: &PlanId, confirm: &str, reason: &str, output: Output) -> Result<Answer, Failure> {
    let engine = api.engine();
    let id = engine.apply_rollback(plan, confirm, reason).await?.id;
    output.note(&format!("Run {id} is written down and under way."));
    let mut told = Vec::new();
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        // Asked before the run is read: a run that ends in between is then read as finished.
        let carried_out = engine.is_carried_out(&id)?;
        let run = engine.run(&id).await?;
        tell_steps(&run, &mut told, output);
        if run.state == RunState::Finished {
            output.answer(&run_document(&run), || run_text(&run));
            return Ok(Answer::good_if(run.verdict == Some(Verdict::Verified)));
        }
        if !carried_out {
            return Err(Failure::internal(format!("run {id} could not be carried on; its state is kept")).hint(
                "the next `pilothousectl collect`, or the app, takes it up; the reason stands in the log above",
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut stop => {
                engine.stop().await;
                let run = engine.run(&id).await?;
                output.answer(&run_document(&run), || run_text(&run));
                if run.state == RunState::Finished {
                    return Ok(Answer::good_if(run.verdict == Some(Verdict::Verified)));
                }
                output.note(&format!(
                    "Interrupted. Run {id} is kept; the next `pilothousectl collect`, or the app, takes it up."
                ));
                return Ok(Answer::BadNews);
            }
        }
    }
}

/// Notes every step that changed since the last look.
fn tell_steps(run: &RollbackRun, told: &mut Vec<(StepState, String)>, output: Output) {
    for (index, step) in run.steps.iter().enumerate() {
        let now = (step.state, step.detail.clone());
        if step.state != StepState::Waiting && told.get(index) != Some(&now) {
            output.note(&format!("{} {}: {}", step_word(step.state), plain(&step.purpose), plain(&step.detail)));
        }
    }
    *told = run.steps.iter().map(|step| (step.state, step.detail.clone())).collect();
}

const fn step_word(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::Sent => "…   ",
        StepState::Done => "done",
        StepState::Failed => "FAIL",
    }
}

fn run_document(run: &RollbackRun) -> Value {
    let steps = run
        .steps
        .iter()
        .map(|step| json!({ "purpose": step.purpose, "state": step.state, "at_ms": step.at, "detail": step.detail }));
    json!({
        "run_id": run.id,
        "plan_id": run.plan.id,
        "state": run.state,
        "verdict": run.verdict,
        "evidence": run.evidence,
        "from": run.plan.from,
        "to": run.plan.to,
        "steps": steps.collect::<Vec<_>>(),
        "who": run.who,
        "reason": run.reason,
        "started_ms": run.started,
        "finished_ms": run.finished,
    })
}

fn run_text(run: &RollbackRun) -> String {
    let verdict = match run.verdict {
        None => "not finished".to_owned(),
        Some(verdict) => verdict.as_str().to_uppercase().replace('_', " "),
    };
    let from = run.plan.from.as_ref().map_or("an unknown version", VersionId::as_str);
    let mut lines =
        vec![format!("{verdict}: rollback from {} to {} (run {})", plain(from), plain(run.plan.to.as_str()), run.id)];
    lines.extend(run.evidence["summary"].as_str().map(plain));
    for step in &run.steps {
        lines.push(format!("  {} {}: {}", step_word(step.state), plain(&step.purpose), plain(&step.detail)));
    }
    lines.join("\n")
}

fn plan_text(prepared: &PreparedRollback, name: &str) -> String {
    let plan = &prepared.plan;
    let from = plan.from.as_ref().map_or("an unknown version", VersionId::as_str);
    let mut lines = vec![format!("{name}: {} → {}", plain(from), plain(plan.to.as_str()))];
    for call in &plan.calls {
        lines.push(format!("  {}", plain(&call.purpose)));
        let body = call.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
        lines.push(format!("    {} {}{}", call.method, plain(&call.url), plain(&body)));
    }
    for check in &prepared.preflight {
        let status = match check.status {
            CheckStatus::Pass => "pass ",
            CheckStatus::Warn => "warn ",
            CheckStatus::Block => "BLOCK",
        };
        lines.push(format!("  {status} {}: {}", check.check, plain(&check.detail)));
    }
    if let Follows::No(why) = &plan.follows {
        lines.push(format!("  note  serving will not follow by itself: {}", plain(why)));
    }
    lines.push(match prepared.blocked() {
        Some(_) => "Blocked: this plan can not be applied as things stand.".to_owned(),
        None => format!("Apply it with: pilothousectl rollback apply {} --confirm '{name}'", plan.id),
    });
    lines.join("\n")
}
