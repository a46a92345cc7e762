//! `history`: an endpoint's health over time.

use clap::Args;
use pilothouse_domain::TimestampMs;
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, milliseconds};
use crate::session::{endpoint, with_api};
use crate::times;

/// `history`
#[derive(Debug, Args)]
pub(crate) struct HistoryOptions {
    /// The endpoint's name
    endpoint: String,
    /// Start, RFC 3339 or epoch milliseconds; without it a day before the end
    #[arg(long, value_name = "T", value_parser = times::parse)]
    from: Option<TimestampMs>,
    /// End; without it now
    #[arg(long, value_name = "T", value_parser = times::parse)]
    to: Option<TimestampMs>,
    /// About so many buckets at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    points: u32,
}

/// Reads and tells.
pub(crate) async fn run(options: &HistoryOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        let endpoint = endpoint(api, &options.endpoint).await?;
        let (from, to) = times::range(options.from, options.to, api.engine().now())?;
        let points = options.points;
        let history = api.engine().with_store(move |store| store.history(endpoint.id, from, to, points)).await?;
        let buckets = history.buckets.iter().map(|bucket| {
            json!({
                "ts_ms": bucket.at,
                "n": bucket.n,
                "n_ok": bucket.n_ok,
                "n_target_failed": bucket.n_target_failed,
                "n_unknown": bucket.n_unknown,
                "p50_us": bucket.p50_us,
                "p95_us": bucket.p95_us,
                "p99_us": bucket.p99_us,
                "max_us": bucket.max_us,
            })
        });
        let document = json!({ "step_ms": history.step_ms, "buckets": buckets.collect::<Vec<_>>() });
        output.answer(&document, || {
            let rows: Vec<Vec<String>> = history
                .buckets
                .iter()
                .map(|bucket| {
                    vec![
                        times::show(bucket.at),
                        bucket.n_ok.to_string(),
                        bucket.n_target_failed.to_string(),
                        bucket.n_unknown.to_string(),
                        milliseconds(bucket.p50_us),
                        milliseconds(bucket.p95_us),
                        milliseconds(bucket.p99_us),
                        milliseconds(bucket.max_us),
                    ]
                })
                .collect();
            columns(&["from", "ok", "failed", "unknown", "p50", "p95", "p99", "max"], &rows)
        });
        Ok(Answer::Good)
    })
    .await
}
