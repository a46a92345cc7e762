//! Charts of what a server says: its latency beside that of the checks, and each quantity by itself.

use pilothouse_charts::series::{SeriesChart, SeriesLine, SeriesPoint, SeriesUnit, Tone};
use pilothouse_charts::{Mark, TimeAxis};
use pilothouse_domain::{Endpoint, Quantity, Unit};
use pilothouse_engine::ServerLine;
use pilothouse_scrape::Tally;
use pilothouse_store::History;

use crate::chart::{Data, Drawn, latency_points};
use crate::server::border_unit;
use crate::types::{ChartPoint, ChartSeries};
use crate::{Api, ApiError};

/// Lines of one chart; of more, nobody can tell the colours apart.
const LINES_MAX: usize = 6;

/// One line with its name and unit.
struct Named {
    name: String,
    line: SeriesLine,
}

impl Api {
    /// The checks' median and p95 with the server's on one axis of time.
    pub(crate) async fn latency_beside(
        &self,
        endpoint: &Endpoint,
        time: TimeAxis,
        width: u32,
        marks: Vec<Mark>,
    ) -> Result<Drawn, ApiError> {
        let id = endpoint.id;
        let (from, to) = (time.from, time.to);
        let points = latency_points(to.since(from), endpoint.probe.interval_ms, width);
        let checks = self.engine.with_store(move |store| store.history(id, from, to, points)).await?;
        let view = self.engine.server_view(endpoint, (from, to), points, None).await?;
        let lines: Vec<&ServerLine> =
            view.lines.iter().filter(|line| line.quantity == Some(Quantity::Latency)).collect();
        let mut named = of_checks(&checks);
        named.extend(of_server(&lines));
        Ok(drawn(time, view.step_ms.max(checks.step_ms), SeriesUnit::Microseconds, "us", named, marks))
    }

    /// One quantity or panel, with a line for each of its parts.
    pub(crate) async fn server_chart(
        &self,
        endpoint: &Endpoint,
        time: TimeAxis,
        width: u32,
        key: &str,
        marks: Vec<Mark>,
    ) -> Result<Drawn, ApiError> {
        let view = self.engine.server_view(endpoint, (time.from, time.to), (width / 3).max(1), Some(key)).await?;
        if let Some((panel, problem)) = view.problems.first() {
            return Err(ApiError::new(crate::Code::ControlPlaneFailed, format!("no metrics for `{panel}`: {problem}"))
                .hint("the query and the address stand in the endpoint's settings"));
        }
        let unit = view.lines.first().map_or(Unit::Count, |line| line.unit);
        let (word, scale) = border_unit(unit);
        let mut named: Vec<Named> = Vec::new();
        if unit == Unit::Seconds
            && view.lines.iter().any(|line| line.quantity.is_some() && !line.key.starts_with("panel:"))
        {
            let lines: Vec<&ServerLine> = view.lines.iter().collect();
            named = of_server(&lines);
            for (named, tone) in named.iter_mut().zip([Tone::Accent, Tone::Accent]) {
                named.line.tone = tone;
            }
        } else {
            for (line, tone) in view.lines.iter().take(LINES_MAX).zip(Tone::SEQUENCE) {
                let name = if line.part.is_empty() { line.title.clone() } else { line.part.clone() };
                let tone =
                    if line.quantity == Some(Quantity::Errors) && view.lines.len() == 1 { Tone::Bad } else { tone };
                named.push(Named { name, line: SeriesLine { tone, quiet: false, points: values(line, scale) } });
            }
        }
        let unit = match unit {
            Unit::Seconds => SeriesUnit::Microseconds,
            Unit::Share => SeriesUnit::Share,
            Unit::Bytes => SeriesUnit::Bytes,
            Unit::PerSecond => SeriesUnit::PerSecond,
            Unit::Count | Unit::Cores => SeriesUnit::Number,
        };
        Ok(drawn(time, view.step_ms, unit, word, named, marks))
    }
}

fn values(line: &ServerLine, scale: f64) -> Vec<SeriesPoint> {
    let point = |(at, tally): &(_, Tally)| SeriesPoint {
        at: *at,
        value: tally.value().map(|value| value * scale),
        bounds: None,
    };
    line.points.iter().map(point).collect()
}

fn of_checks(checks: &History) -> Vec<Named> {
    let line = |quiet, value: fn(&pilothouse_store::Bucket) -> Option<f64>| SeriesLine {
        tone: Tone::Accent,
        quiet,
        points: checks
            .buckets
            .iter()
            .map(|bucket| SeriesPoint { at: bucket.at, value: value(bucket), bounds: None })
            .collect(),
    };
    vec![
        Named { name: "checks p95".to_owned(), line: line(false, |bucket| bucket.p95_us) },
        Named { name: "checks p50".to_owned(), line: line(true, |bucket| bucket.p50_us) },
    ]
}

/// The server's p95 and median where it counts by size or tells quantiles itself, else its mean.
fn of_server(lines: &[&ServerLine]) -> Vec<Named> {
    const US: f64 = 1e6;
    let mut named = Vec::new();
    let tone = Tone::Ink;
    for (part, quiet) in [("p95", false), ("p50", true)] {
        if let Some(line) = lines.iter().find(|line| line.part == part) {
            let points = values(line, US);
            named.push(Named { name: format!("server {part}"), line: SeriesLine { tone, quiet, points } });
        }
    }
    if !named.is_empty() {
        return named;
    }
    let Some(line) = lines.first() else { return named };
    if line.points.iter().any(|(_, tally)| tally.histogram.is_some()) {
        for (name, q, quiet) in [("server p95", 0.95, false), ("server p50", 0.5, true)] {
            let point = |(at, tally): &(_, Tally)| {
                let estimate = tally.quantile(q);
                SeriesPoint {
                    at: *at,
                    value: estimate.map(|e| e.value * US),
                    bounds: estimate.filter(|_| !quiet).and_then(|e| Some((e.low.max(0.0) * US, e.high? * US))),
                }
            };
            let points = line.points.iter().map(point).collect();
            named.push(Named { name: name.to_owned(), line: SeriesLine { tone, quiet, points } });
        }
    } else {
        named.push(Named {
            name: "server mean".to_owned(),
            line: SeriesLine { tone, quiet: false, points: values(line, US) },
        });
    }
    named
}

/// Puts lines of different times into one table of points.
fn drawn(time: TimeAxis, step_ms: i64, unit: SeriesUnit, word: &str, named: Vec<Named>, marks: Vec<Mark>) -> Drawn {
    let mut times: Vec<_> = named.iter().flat_map(|named| &named.line.points).map(|point| point.at).collect();
    times.sort_unstable();
    times.dedup();
    let at = |line: &SeriesLine, time| {
        let found = line.points.binary_search_by_key(&time, |point| point.at).ok()?;
        line.points[found].value
    };
    let points = times.into_iter().filter(|at| time.holds(*at)).map(|when| ChartPoint {
        at_ms: when.0,
        values: named.iter().map(|named| at(&named.line, when)).collect(),
        n: 0,
        note: None,
    });
    let points = points.collect();
    let series = named.iter().map(|named| ChartSeries { name: named.name.clone(), unit: word.to_owned() }).collect();
    let lines = named.into_iter().map(|named| named.line).collect();
    Drawn { data: Data::Series(SeriesChart { time, step_ms, unit, lines, marks }), series, points, step_ms }
}
