//! `metrics`: what an endpoint's server says of itself over time, beside what the checks measure.

use clap::Args;
use pilothouse_api::types::RangeRequest;
use pilothouse_domain::{TimestampMs, Unit};
use pilothouse_engine::ServerLine;
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::failure::{Answer, Failure};
use crate::output::{Output, columns, plain};
use crate::session::{endpoint, with_api};
use crate::times;

/// `metrics`
#[derive(Debug, Args)]
pub(crate) struct MetricsOptions {
    /// The endpoint's name
    endpoint: String,
    /// Start, RFC 3339 or epoch milliseconds; without it a day before the end
    #[arg(long, value_name = "T", value_parser = times::parse)]
    from: Option<TimestampMs>,
    /// End; without it now
    #[arg(long, value_name = "T", value_parser = times::parse)]
    to: Option<TimestampMs>,
    /// About so many buckets at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    points: u32,
}

/// Reads and tells. Bad news when the server's metrics could not be had.
pub(crate) async fn run(options: &MetricsOptions, common: &Common, output: Output) -> Result<Answer, Failure> {
    with_api(common, async |api| {
        let endpoint = endpoint(api, &options.endpoint).await?;
        if endpoint.metrics.is_none() {
            return Err(Failure::usage(format!("`{}` has no metrics", endpoint.name))
                .hint("find the server's page with `pilothousectl scrape URL` and name it with --metrics-url"));
        }
        let (from, to) = times::range(options.from, options.to, api.engine().now())?;
        let view = api.engine().server_view(&endpoint, (from, to), options.points, None).await?;
        let range = RangeRequest { id: endpoint.id.0, from_ms: from.0, to_ms: to.0 };
        let told = api.server_metrics(range).await?;
        let document = json!({
            "source": told.source,
            "url": told.url,
            "server": told.server,
            "looked_ms": told.looked_ms,
            "good_ms": told.good_ms,
            "problem": told.problem,
            "stale": told.stale,
            "latency": told.latency,
            "step_ms": view.step_ms,
            "series": view.lines.iter().map(series).collect::<Vec<_>>(),
            "panel_problems": told.panel_problems,
        });
        output.answer(&document, || {
            let mut lines: Vec<String> = Vec::new();
            if let Some(problem) = &told.problem {
                lines.push(format!("metrics not available: {}", plain(problem)));
            }
            for failed in &told.panel_problems {
                lines.push(format!("panel {} not available: {}", plain(&failed.panel), plain(&failed.problem)));
            }
            lines.extend(told.latency.as_ref().map(|latency| latency.text.clone()));
            let rows: Vec<Vec<String>> = view.lines.iter().map(row).collect();
            lines.push(if rows.is_empty() {
                "nothing was read in this range".to_owned()
            } else {
                columns(&["quantity", "part", "value", "greatest", "what the server calls it"], &rows)
            });
            lines.join("\n")
        });
        Ok(Answer::good_if(told.problem.is_none() && told.panel_problems.is_empty()))
    })
    .await
}

fn series(line: &ServerLine) -> Value {
    let points = line.points.iter().map(|(at, tally)| {
        let quantile = |q| tally.quantile(q).map(|e| json!({ "value": e.value, "low": e.low, "high": e.high }));
        json!({
            "ts_ms": at,
            "value": tally.value(),
            "greatest": tally.max,
            "p50": quantile(0.5),
            "p95": quantile(0.95),
        })
    });
    json!({
        "key": line.key,
        "quantity": line.quantity,
        "part": line.part,
        "unit": line.unit,
        "source": line.source,
        "note": line.note,
        "value": line.whole().value(),
        "points": points.collect::<Vec<_>>(),
    })
}

fn row(line: &ServerLine) -> Vec<String> {
    let whole = line.whole();
    vec![
        plain(&line.title),
        plain(&line.part),
        value(whole.value(), line.unit),
        value((whole.weight > 0.0).then_some(whole.max), line.unit),
        plain(&line.source),
    ]
}

/// A number with its unit, or `-`.
pub(crate) fn value(value: Option<f64>, unit: Unit) -> String {
    let Some(value) = value else { return "-".to_owned() };
    match unit {
        Unit::Seconds => format!("{:.2} ms", value * 1_000.0),
        Unit::PerSecond => format!("{value:.3}/s"),
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Bytes => format!("{:.1} MB", value / 1e6),
        Unit::Cores => format!("{value:.3} cores"),
        Unit::Count => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_their_unit() {
        let check = |number: f64, unit, expect: &str| assert_eq!(value(Some(number), unit), expect);
        check(0.012, Unit::Seconds, "12.00 ms");
        check(0.5, Unit::Share, "50.0 %");
        check(230e6, Unit::Bytes, "230.0 MB");
        check(1.0 / 3.0, Unit::PerSecond, "0.333/s");
        assert_eq!(value(None, Unit::Count), "-");
    }
}
