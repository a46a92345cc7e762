//! Events and audit entries in words.

use std::collections::HashMap;

use pilothouse_domain::{EndpointId, Event, EventKind, Health, TimestampMs, Verdict, VersionId};
use pilothouse_store::EventFilter;

use crate::types::{Audit, AuditEntry, AuditRequest, Timeline, TimelineEvent, TimelineRequest, Tone};
use crate::{Api, ApiError, convert};

impl Api {
    /// Events, newest first.
    pub async fn timeline(&self, request: TimelineRequest) -> Result<Timeline, ApiError> {
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let filter =
            EventFilter { endpoint: request.id.map(EndpointId), from, to, limit: request.limit.clamp(1, 1_000) };
        let (events, names) = self.engine.with_store(move |store| Ok((store.events(&filter)?, names(store)?))).await?;
        let name = |event: &Event| event.endpoint.and_then(|id| names.get(&id)).map(String::as_str);
        Ok(Timeline { events: events.iter().map(|event| self::event(event, name(event))).collect() })
    }

    /// Audit entries, newest first.
    pub async fn audit(&self, request: AuditRequest) -> Result<Audit, ApiError> {
        let limit = request.limit.clamp(1, 1_000);
        let (entries, names) = self
            .engine
            .with_store(move |store| Ok((store.audit_entries(limit, request.before)?, names(store)?)))
            .await?;
        let entries = entries.into_iter().map(|entry| AuditEntry {
            id: entry.id,
            at_ms: entry.at.0,
            who: entry.who,
            action: entry.action,
            endpoint: entry.endpoint.and_then(|id| names.get(&id).cloned()),
            reason: entry.reason,
            before: entry.before.to_string(),
            after: entry.after.to_string(),
            evidence: entry.evidence.to_string(),
        });
        Ok(Audit { entries: entries.collect() })
    }
}

fn names(store: &pilothouse_store::Store) -> Result<HashMap<EndpointId, String>, pilothouse_store::StoreError> {
    Ok(store.endpoints()?.into_iter().map(|endpoint| (endpoint.id, endpoint.name)).collect())
}

/// An event in words.
pub(crate) fn event(event: &Event, endpoint: Option<&str>) -> TimelineEvent {
    let (kind, tone, text) = in_words(&event.kind, event.at);
    let run_id = match &event.kind {
        EventKind::RollbackStarted { run, .. } | EventKind::RollbackFinished { run, .. } => Some(run.to_string()),
        _ => None,
    };
    TimelineEvent {
        id: event.id,
        at_ms: event.at.0,
        endpoint_id: event.endpoint.map(|id| id.0),
        endpoint: endpoint.map(str::to_owned),
        kind: kind.to_owned(),
        tone,
        text,
        run_id,
    }
}

fn in_words(kind: &EventKind, at: TimestampMs) -> (&'static str, Tone, String) {
    match kind {
        EventKind::EndpointAdded => ("endpoint_added", Tone::Info, "Connected".into()),
        EventKind::EndpointChanged => ("endpoint_changed", Tone::Info, "Settings changed".into()),
        EventKind::Paused => ("paused", Tone::Info, "Paused".into()),
        EventKind::Resumed => ("resumed", Tone::Info, "Resumed".into()),
        EventKind::HealthChanged { to, reason, .. } => {
            let (tone, word) = match to {
                Health::Healthy => (Tone::Ok, "Healthy"),
                Health::Degraded => (Tone::Warn, "Degraded"),
                Health::Down => (Tone::Bad, "Down"),
                Health::Unknown => (Tone::Unknown, "Unknown"),
                Health::Paused => (Tone::Info, "Paused"),
            };
            ("health_changed", tone, with_reason(word, reason))
        }
        EventKind::VersionChanged { from, to } => {
            let before = from.as_ref().map(|from| format!(", before it {from}")).unwrap_or_default();
            ("version_changed", Tone::Warn, format!("{to} went live{before}"))
        }
        EventKind::DeploymentChanged { state, word, problem } => {
            let tone = match state.as_str() {
                "serving" => Tone::Ok,
                "failed" => Tone::Bad,
                "change_failed" | "not_serving" => Tone::Warn,
                "unrecognised" => Tone::Unknown,
                _ => Tone::Info,
            };
            let word = if word.is_empty() { state.replace('_', " ") } else { word.clone() };
            let text = with_reason(&format!("The cloud says {word}"), problem.as_deref().unwrap_or_default());
            ("deployment_changed", tone, text)
        }
        EventKind::Evaluated { version, metric, value, .. } => {
            let version = version.as_ref().map(|version| format!("{version} evaluated: ")).unwrap_or_default();
            let value = value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"));
            ("evaluated", Tone::Info, format!("{version}{metric} {value}"))
        }
        EventKind::EvaluationFailed { reason } => {
            ("evaluation_failed", Tone::Warn, with_reason("Evaluation failed", reason))
        }
        EventKind::Gap { reason, from } => {
            let seconds = at.since(*from) / 1_000;
            let text = format!("Not watched for {}: {}", duration(seconds), reason.phrase());
            ("gap", Tone::Unknown, text)
        }
        EventKind::RollbackStarted { from, to, .. } => {
            let from = from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            ("rollback_started", Tone::Info, format!("Rollback{from} to {to} started"))
        }
        EventKind::RollbackFinished { to, verdict, .. } => {
            let (tone, text) = verdict_in_words(*verdict, to);
            ("rollback_finished", tone, text)
        }
        EventKind::FaultInjected { fault } if fault == "none" => {
            ("fault_injected", Tone::Info, "Demo fault cleared".into())
        }
        EventKind::FaultInjected { fault } => {
            ("fault_injected", Tone::Info, format!("Demo fault injected: {}", fault.replace('_', " ")))
        }
    }
}

fn verdict_in_words(verdict: Verdict, to: &VersionId) -> (Tone, String) {
    match verdict {
        Verdict::Verified => (Tone::Ok, format!("Rollback to {to} VERIFIED")),
        Verdict::NotVerified => (Tone::Warn, format!("Rollback to {to} NOT VERIFIED")),
        Verdict::Reverted => (Tone::Warn, format!("Rollback to {to} REVERTED")),
        Verdict::Failed => (Tone::Bad, format!("Rollback to {to} FAILED, nothing changed")),
        Verdict::OutcomeUnknown => (Tone::Unknown, format!("Rollback to {to}: OUTCOME UNKNOWN")),
    }
}

fn with_reason(word: &str, reason: &str) -> String {
    if reason.is_empty() { word.to_owned() } else { format!("{word}: {reason}") }
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::UnknownReason;

    use super::*;

    #[test]
    fn events_read_like_sentences() {
        let check = |kind: EventKind, expect: &str| {
            let (_, _, text) = in_words(&kind, TimestampMs(600_000));
            assert_eq!(text, expect);
        };
        check(
            EventKind::HealthChanged { from: Health::Healthy, to: Health::Down, reason: "connection refused".into() },
            "Down: connection refused",
        );
        check(EventKind::VersionChanged { from: Some("v6".into()), to: "v7".into() }, "v7 went live, before it v6");
        check(
            EventKind::DeploymentChanged {
                state: "failed".into(),
                word: "Failed".into(),
                problem: Some("no capacity".into()),
            },
            "The cloud says Failed: no capacity",
        );
        check(
            EventKind::Gap { reason: UnknownReason::Asleep, from: TimestampMs(120_000) },
            "Not watched for 8 min: this machine was asleep",
        );
        check(
            EventKind::RollbackFinished { run: "r".into(), to: "v6".into(), verdict: Verdict::Verified },
            "Rollback to v6 VERIFIED",
        );
    }
}
