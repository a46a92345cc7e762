//! `timeline` and `audit`: what happened, and who changed what.

use clap::{Args, Subcommand};
use pilothouse_api::types::TimelineRequest;
use pilothouse_domain::{AuditEntry, EndpointId, TimestampMs};
use serde_json::json;
use std::collections::HashMap;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, plain};
use crate::session::{endpoint, with_api};
use crate::times;

/// `timeline`
#[derive(Debug, Args)]
pub(crate) struct TimelineOptions {
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Start, RFC 3339 or epoch milliseconds; without it a day before the end
    #[arg(long, value_name = "T", value_parser = times::parse)]
    from: Option<TimestampMs>,
    /// End; without it now
    #[arg(long, value_name = "T", value_parser = times::parse)]
    to: Option<TimestampMs>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List the entries, newest first
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Only entries older than this id
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
    },
}

/// Tells the events, newest first.
pub(crate) async fn timeline(options: &TimelineOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        let id = match &options.endpoint {
            Some(name) => Some(endpoint(api, name).await?.id.0),
            None => None,
        };
        let (from, to) = times::range(options.from, options.to, api.engine().now())?;
        let request = TimelineRequest { id, from_ms: from.0, to_ms: to.0, limit: options.limit };
        let events = api.timeline(request).await?.events;
        let listed = events.iter().map(|event| {
            json!({
                "id": event.id,
                "ts_ms": event.at_ms,
                "endpoint": event.endpoint,
                "kind": event.kind,
                "tone": event.tone,
                "text": event.text,
                "run_id": event.run_id,
            })
        });
        output.answer(&json!({ "events": listed.collect::<Vec<_>>() }), || {
            let rows: Vec<Vec<String>> = events
                .iter()
                .map(|event| {
                    let endpoint = event.endpoint.as_deref().unwrap_or("-");
                    vec![times::show(TimestampMs(event.at_ms)), plain(endpoint), plain(&event.text)]
                })
                .collect();
            columns(&["when", "endpoint", "what"], &rows)
        });
        Ok(Answer::Good)
    })
    .await
}

/// Tells the audit entries, newest first.
pub(crate) async fn run(command: AuditCommand, common: &Common, output: Output) -> Result<Answer, Failure> {
    let AuditCommand::List { limit, before } = command;
    with_api(common, async |api| {
        let (entries, endpoints) =
            api.engine().with_store(move |store| Ok((store.audit_entries(limit, before)?, store.endpoints()?))).await?;
        let names: HashMap<EndpointId, String> =
            endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint.name)).collect();
        let name = |entry: &AuditEntry| entry.endpoint.and_then(|id| names.get(&id)).cloned();
        let listed = entries.iter().map(|entry| {
            json!({
                "id": entry.id,
                "ts_ms": entry.at,
                "who": entry.who,
                "action": entry.action,
                "endpoint": name(entry),
                "reason": entry.reason,
                "before": entry.before,
                "after": entry.after,
                "evidence": entry.evidence,
            })
        });
        output.answer(&json!({ "entries": listed.collect::<Vec<_>>() }), || {
            let row = |entry: &AuditEntry| {
                let endpoint = name(entry).unwrap_or_else(|| "-".to_owned());
                vec![
                    times::show(entry.at),
                    plain(&entry.who),
                    entry.action.clone(),
                    plain(&endpoint),
                    plain(&entry.reason),
                ]
            };
            columns(&["when", "who", "what", "endpoint", "why"], &entries.iter().map(row).collect::<Vec<_>>())
        });
        Ok(Answer::Good)
    })
    .await
}
