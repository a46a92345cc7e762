//! The checks before a rollback that every control plane shares.
//!
//! What must stay true: the same six checks always come, in the same order, so that a screen and a record stay
//! comparable; what could not be read blocks.

use std::fmt::Write as _;

use pilothouse_domain::rollback::Follows;
use pilothouse_domain::{Check, CheckStatus, ModelVersion, RollbackPlan, VersionId};

use crate::{ControlError, ControlState, Refusal};

/// The most metrics that a check names.
const SHOWN_METRICS: usize = 5;

/// The six checks. `permission` is what is known about writing once reading worked; `reload` is the reloader's check.
pub(crate) fn checks(
    plan: &RollbackPlan,
    state: &Result<ControlState, ControlError>,
    outdated: Option<&ControlError>,
    permission: &str,
    reload: Option<Check>,
) -> Vec<Check> {
    let reload = reload.unwrap_or_else(|| follows(&plan.follows));
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            let permission = match error.refusal() {
                Some(Refusal::Unauthenticated | Refusal::Forbidden) => error.to_string(),
                _ => "could not be checked, since the control plane could not be read".into(),
            };
            return vec![
                check("target_exists", CheckStatus::Block, error.to_string()),
                check("target_ready", CheckStatus::Block, UNREAD.into()),
                check("target_metrics", CheckStatus::Warn, UNREAD.into()),
                check("current_unchanged", CheckStatus::Block, UNREAD.into()),
                check("permission", CheckStatus::Block, permission),
                reload,
            ];
        }
    };
    let target = state.versions.iter().find(|version| version.id == plan.to);
    vec![
        target_exists(plan, target, state.versions.len()),
        target_ready(plan, target),
        target_metrics(plan, target, state),
        current_unchanged(plan, state.current.as_ref(), outdated),
        check("permission", CheckStatus::Pass, permission.into()),
        reload,
    ]
}

const UNREAD: &str = "not known: the control plane could not be read";

/// One check.
pub(crate) fn check(name: &str, status: CheckStatus, detail: String) -> Check {
    Check { check: name.into(), status, detail }
}

fn target_exists(plan: &RollbackPlan, target: Option<&ModelVersion>, versions: usize) -> Check {
    match target {
        Some(_) => check("target_exists", CheckStatus::Pass, format!("version {} is registered", plan.to)),
        None => check(
            "target_exists",
            CheckStatus::Block,
            format!("version {} is not among the {versions} registered versions; pick another", plan.to),
        ),
    }
}

fn target_ready(plan: &RollbackPlan, target: Option<&ModelVersion>) -> Check {
    match target {
        Some(target) if target.ready => {
            check("target_ready", CheckStatus::Pass, format!("version {} can be served", plan.to))
        }
        Some(target) => {
            let status = target.labels.get("status").map_or(String::new(), |status| format!(" (status `{status}`)"));
            let detail = format!("version {} cannot be served{status}; pick another", plan.to);
            check("target_ready", CheckStatus::Block, detail)
        }
        None => check("target_ready", CheckStatus::Block, format!("version {} does not exist", plan.to)),
    }
}

fn target_metrics(plan: &RollbackPlan, target: Option<&ModelVersion>, state: &ControlState) -> Check {
    let Some(metrics) = target.map(|target| &target.metrics).filter(|metrics| !metrics.is_empty()) else {
        let detail = format!("the control plane holds no metrics of version {}; rely on the golden set", plan.to);
        return check("target_metrics", CheckStatus::Warn, detail);
    };
    let live = state
        .current
        .as_ref()
        .filter(|current| **current != plan.to)
        .and_then(|current| state.versions.iter().find(|version| version.id == *current));
    let mut detail = format!("version {}:", plan.to);
    for (number, (name, value)) in metrics.iter().take(SHOWN_METRICS).enumerate() {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        write!(detail, "{comma} {} {value:.4}", crate::text::shorten(name)).ok();
        if let Some(live) = live
            && let Some(now) = live.metrics.get(name)
        {
            write!(detail, " (live version {}: {now:.4})", live.id).ok();
        }
    }
    if metrics.len() > SHOWN_METRICS {
        write!(detail, " and {} more", metrics.len() - SHOWN_METRICS).ok();
    }
    check("target_metrics", CheckStatus::Pass, detail)
}

fn current_unchanged(plan: &RollbackPlan, current: Option<&VersionId>, outdated: Option<&ControlError>) -> Check {
    let name = "current_unchanged";
    if current != plan.from.as_ref() {
        let (now, then) = (named(current), named(plan.from.as_ref()));
        return check(
            name,
            CheckStatus::Block,
            format!("{now} is live now, but {then} was when the plan was made; plan again"),
        );
    }
    if let Some(outdated) = outdated {
        return check(name, CheckStatus::Block, outdated.to_string());
    }
    if current == Some(&plan.to) {
        let detail = format!("the control plane points at version {} already; the plan only repeats it", plan.to);
        return check(name, CheckStatus::Warn, detail);
    }
    check(name, CheckStatus::Pass, format!("{} is live, as when the plan was made", named(current)))
}

fn follows(follows: &Follows) -> Check {
    match follows {
        Follows::Yes => check("reload", CheckStatus::Pass, "serving follows the control plane by itself".into()),
        Follows::No(why) => check("reload", CheckStatus::Warn, why.clone()),
    }
}

/// A version, or that there is none, for a sentence.
pub(crate) fn named(version: Option<&VersionId>) -> String {
    version.map_or_else(|| "no version".into(), |version| format!("version {version}"))
}

/// Refuses when something else is live than the plan expects.
pub(crate) fn unchanged(
    by: &str,
    current: Option<&VersionId>,
    expected: Option<&VersionId>,
) -> Result<(), ControlError> {
    if current == expected {
        return Ok(());
    }
    Err(ControlError::Refused {
        by: by.to_owned(),
        reason: Refusal::Changed,
        status: None,
        why: format!("{} is live, where the plan expects {}", named(current), named(expected)),
    })
}
