//! `probe`: a few timed requests to a URL, without a database.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pilothouse_api::{generation_result, outcome_reason, outcome_word, prediction_result};
use pilothouse_domain::{Cell, Clock, Generation, Outcome, ProbeConfig, TimestampMs, TokenCount};
use pilothouse_engine::SystemClock;
use pilothouse_serving::{ProbeReport, ShownPrediction};
use pilothouse_stats::quantile_of_sorted;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::failure::{Answer, Failure};
use crate::output::{Output, milliseconds, plain};
use crate::target::ModelOptions;
use crate::{table_file, target, times};

/// `probe`
#[derive(Debug, Args)]
pub(crate) struct ProbeOptions {
    /// The server's base URL
    url: String,
    #[command(flatten)]
    model: ModelOptions,
    /// Rows to predict with each probe; without it the health route is asked
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many probes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Milliseconds from the start of one probe to the start of the next
    #[arg(long, default_value_t = 1_000)]
    interval_ms: u64,
    /// Limit of one probe in milliseconds
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    timeout_ms: u32,
    /// Every k-th probe opens a new connection; 1: all
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    fresh_connection_every: u32,
}

/// Probes and tells each outcome. Bad news when one of them is not in order.
pub(crate) async fn run(options: &ProbeOptions, output: Output) -> Result<Answer, Failure> {
    let transport = target::transport(&options.model.access).await?;
    let input = options.input.as_deref().map(table_file::read).transpose()?;
    let config = ProbeConfig {
        total_timeout_ms: options.timeout_ms,
        first_byte_timeout_ms: options.timeout_ms.min(ProbeConfig::default().first_byte_timeout_ms),
        connect_timeout_ms: options.timeout_ms.min(ProbeConfig::default().connect_timeout_ms),
        ..ProbeConfig::default()
    };
    let target = options.model.target(&transport, &options.url, input).await?;
    let client = options.model.client(&transport, &target, &config).await?;
    let clock = SystemClock::default();
    let mut turns = interval_at(Instant::now(), Duration::from_millis(options.interval_ms.max(1)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut probes: Vec<(TimestampMs, ProbeReport)> = Vec::new();
    for number in 0..options.count {
        turns.tick().await;
        let at = clock.now();
        let report = client.probe(number % options.fresh_connection_every == 0).await;
        if options.count > 1 {
            output.note(&line(at, &report));
        }
        probes.push((at, report));
    }
    let summary = summary(&probes);
    let outcomes: Vec<Value> = probes.iter().map(|(at, report)| outcome(*at, report)).collect();
    let document = json!({ "outcomes": outcomes, "summary": summary });
    output.answer(&document, || {
        let mut lines: Vec<String> = if options.count == 1 || output.quiet {
            probes.iter().map(|(at, report)| line(*at, report)).collect()
        } else {
            Vec::new()
        };
        let quantile = |name: &str| milliseconds(summary[name].as_f64());
        lines.push(format!(
            "{} probes: {} ok, {} failed, {} unknown; p50 {}, p95 {}, p99 {}",
            summary["n"],
            summary["ok"],
            summary["target_failed"],
            summary["unknown"],
            quantile("p50_us"),
            quantile("p95_us"),
            quantile("p99_us")
        ));
        lines.join("\n")
    });
    Ok(Answer::good_if(probes.iter().all(|(_, report)| report.outcome == Outcome::Ok)))
}

fn outcome(at: TimestampMs, report: &ProbeReport) -> Value {
    json!({
        "ts_ms": at,
        "outcome": outcome_word(report.outcome),
        "reason": outcome_reason(report.outcome),
        "detail": report.detail,
        "http_status": report.http_status,
        "version": report.version,
        "phases_us": report.phases,
        "total_us": report.total_us,
        "reused": report.reused,
        "response_bytes": report.response_bytes,
        "generation": report.generation.as_deref().map(generation),
        "prediction": report.prediction.as_deref().map(|shown| prediction_result(shown, &[])),
    })
}

/// What a generated answer measured.
fn generation(generation: &Generation) -> Value {
    let result = generation_result(generation);
    json!({
        "ttft_us": result.first_token_us,
        "inter_token_us": result.inter_token_us,
        "inter_token_p95_us": result.inter_token_p95_us,
        "tokens_per_second": result.tokens_per_second,
        "token_count": result.token_count,
        "finish_reason": result.finish_reason,
        "usage": { "prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens },
        "server_us": {
            "load": result.server_load_us,
            "prompt": result.server_prompt_us,
            "generate": result.server_generate_us,
        },
        "prompt": result.prompt,
        "text": result.text,
        "text_cut": result.text_cut,
        "checks": result.checks,
    })
}

/// Counts, and exact quantiles of the durations of the probes in order.
fn summary(probes: &[(TimestampMs, ProbeReport)]) -> Value {
    let count = |wanted: &str| probes.iter().filter(|(_, report)| outcome_word(report.outcome) == wanted).count();
    let in_order = probes.iter().filter(|(_, report)| report.outcome == Outcome::Ok);
    let mut durations: Vec<f64> = in_order.filter_map(|(_, report)| report.total_us).map(f64::from).collect();
    durations.sort_unstable_by(f64::total_cmp);
    json!({
        "n": probes.len(),
        "ok": count("ok"),
        "target_failed": count("target_failed"),
        "unknown": count("unknown"),
        "p50_us": quantile_of_sorted(&durations, 0.5),
        "p95_us": quantile_of_sorted(&durations, 0.95),
        "p99_us": quantile_of_sorted(&durations, 0.99),
    })
}

fn line(at: TimestampMs, report: &ProbeReport) -> String {
    let detail = report.detail.as_deref().filter(|_| report.outcome != Outcome::Ok);
    let phases = report.phases;
    let named = [
        ("dns", phases.dns),
        ("connect", phases.connect),
        ("tunnel", phases.tunnel),
        ("tls", phases.tls),
        ("send", phases.send),
        ("wait", phases.wait),
        ("receive", phases.receive),
    ];
    let reached: Vec<String> =
        named.into_iter().filter_map(|(name, us)| Some(format!("{name} {:.1}", f64::from(us?) / 1_000.0))).collect();
    let parts = [
        Some(times::show(at)),
        Some(match detail {
            Some(detail) => format!("{}: {}", report.outcome.phrase(), plain(detail)),
            None => report.outcome.phrase().to_owned(),
        }),
        report.total_us.map(|total| milliseconds(Some(f64::from(total)))),
        (!reached.is_empty()).then(|| format!("({})", reached.join(", "))),
        report.reused.then(|| "reused connection".to_owned()),
        report.version.as_ref().map(|version| format!("version {}", plain(version.as_str()))),
        report.generation.as_deref().map(generation_line),
        report.prediction.as_deref().map(prediction_line),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// The beginning of the first row, and how much more there is.
fn prediction_line(shown: &ShownPrediction) -> String {
    let row = shown.rows.first().map_or(&[][..], Vec::as_slice);
    let value = |(index, cell): (usize, &Cell)| {
        let value = match cell {
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => format!("“{}”", plain(text)),
            Cell::Missing => "nothing".to_owned(),
        };
        match shown.names.get(index) {
            Some(name) => format!("{}={value}", plain(name)),
            None => value,
        }
    };
    let values: Vec<String> = row.iter().enumerate().map(value).collect();
    let more = [(shown.output_count.saturating_sub(row.len()), "values"), (shown.row_count.saturating_sub(1), "rows")];
    let more = more.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} more {what}"));
    let of = shown.output.as_deref().map(|output| format!(" {}", plain(output))).unwrap_or_default();
    [format!("predicted{of} [{}]", values.join(", "))].into_iter().chain(more).collect::<Vec<_>>().join(", ")
}

fn generation_line(generation: &Generation) -> String {
    let us = |us: u32| milliseconds(Some(f64::from(us)));
    let counted = match generation.token_count {
        TokenCount::Server => "",
        TokenCount::Pieces => " (pieces counted)",
    };
    let parts = [
        generation.first_token_us.map(|first| format!("first token {}", us(first))),
        generation.inter_token_us.map(|gap| format!("between tokens {}", us(gap))),
        generation.tokens_per_second.map(|rate| format!("{rate:.1} tokens/s{counted}")),
        generation.finish_reason.map(|reason| format!("ended by {}", reason.as_str())),
        Some(format!("said “{}”", plain(&generation.text))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_fits_on_its_line() {
        let check = |rows: &[&[Cell]], row_count, output_count, names: &[&str], expect: &str| {
            let shown = ShownPrediction {
                rows: rows.iter().map(|row| row.to_vec()).collect(),
                row_count,
                output_count,
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                output: None,
            };
            assert_eq!(prediction_line(&shown), expect);
        };
        let number = Cell::Number;
        check(&[&[number(0.25)]], 1, 1, &[], "predicted [0.25]");
        check(&[&[number(0.25), number(0.75)]], 3, 2, &["no", "yes"], "predicted [no=0.25, yes=0.75], 2 more rows");
        check(
            &[&[Cell::Text("a\u{1b}b".into()), Cell::Missing]],
            1,
            9,
            &[],
            "predicted [“a b”, nothing], 7 more values",
        );
    }
}
