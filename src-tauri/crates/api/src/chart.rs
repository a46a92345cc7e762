//! Charts of the Endpoint screen: one query gives the picture and the points.

use jiff::tz::TimeZone;
use pilothouse_charts::accuracy::{AccuracyChart, AccuracyPoint};
use pilothouse_charts::availability::{AvailabilityBucket, AvailabilityChart};
use pilothouse_charts::latency::{LatencyChart, LatencyPoint};
use pilothouse_charts::rate::{RateChart, RatePoint};
use pilothouse_charts::series::SeriesChart;
use pilothouse_charts::{Mark, MarkKind, Size, TimeAxis, plot_area};
use pilothouse_domain::{EndpointId, Event, EventKind, Health, TimestampMs, Verdict, VersionId};
use pilothouse_store::{EventFilter, GenerationBucket, GenerationHistory, History, Quantiles, Store};

use crate::types::{Chart, ChartKind, ChartMark, ChartPoint, ChartRequest, ChartSeries, PlotArea};
use crate::{Api, ApiError, Code, convert, picture};

/// Events that may become marks in one chart.
const MARKS_MAX: u32 = 200;

impl Api {
    /// One chart with the points it was drawn from.
    pub async fn chart(&self, request: ChartRequest) -> Result<Chart, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let zone = TimeZone::get(&request.time_zone).map_err(|_| {
            ApiError::new(Code::InvalidInput, format!("`{}` is no time zone", request.time_zone))
                .hint("use an IANA name such as Europe/Zurich")
        })?;
        let time = TimeAxis { from, to, zone };
        let filter = EventFilter { endpoint: Some(id), from, to, limit: MARKS_MAX };
        let events = self.engine.with_store(move |store| store.events(&filter)).await?;
        let marks: Vec<Mark> = events.iter().rev().filter_map(mark).collect();
        let drawn = match request.kind {
            ChartKind::Latency => {
                let points = latency_points(to.since(from), endpoint.probe.interval_ms, request.width);
                let history = self.history(id, from, to, points).await?;
                latency(time, &history, marks)
            }
            ChartKind::Availability => {
                // A column needs a few pixels to be seen.
                let history = self.history(id, from, to, request.width / 4).await?;
                availability(time, &history, marks)
            }
            ChartKind::FirstToken | ChartKind::InterToken | ChartKind::TokensPerSecond => {
                let points = latency_points(to.since(from), endpoint.probe.interval_ms, request.width);
                let read = move |store: &Store| store.generation_history(id, from, to, points.max(1));
                let history = self.engine.with_store(read).await?;
                generation(request.kind, time, &history, marks)
            }
            ChartKind::Quality => {
                let evaluations = self.engine.with_store(move |store| store.evaluations(id, from, to)).await?;
                let step_ms = endpoint.evaluation.as_ref().map_or(60_000, |config| i64::from(config.interval_ms));
                quality(time, step_ms, &evaluations, marks)
            }
            ChartKind::ServerLatency => self.latency_beside(&endpoint, time, request.width, marks).await?,
            ChartKind::Server => {
                let key = request.quantity.as_deref().unwrap_or_default();
                self.server_chart(&endpoint, time, request.width, key, marks).await?
            }
        };
        let size = Size { width: request.width, height: request.height, scale: request.scale };
        let (theme, format) = (picture::theme(request.theme), request.format.into());
        let bytes = match &drawn.data {
            Data::Latency(data) => pilothouse_charts::latency::render(data, size, &theme, format),
            Data::Rate(data) => pilothouse_charts::rate::render(data, size, &theme, format),
            Data::Availability(data) => pilothouse_charts::availability::render(data, size, &theme, format),
            Data::Quality(data) => pilothouse_charts::accuracy::render(data, size, &theme, format),
            Data::Series(data) => pilothouse_charts::series::render(data, size, &theme, format),
        }
        .map_err(picture::failed)?;
        let image = picture::image(&bytes, request.format);
        let area = plot_area(size);
        let marks = match &drawn.data {
            Data::Latency(data) => &data.marks,
            Data::Rate(data) => &data.marks,
            Data::Availability(data) => &data.marks,
            Data::Quality(data) => &data.marks,
            Data::Series(data) => &data.marks,
        };
        Ok(Chart {
            image: image.image,
            media_type: image.media_type,
            plot: PlotArea { left: area.left, top: area.top, right: area.right, bottom: area.bottom },
            series: drawn.series,
            points: drawn.points,
            marks: marks.iter().map(chart_mark).collect(),
            step_ms: drawn.step_ms,
        })
    }

    async fn history(
        &self,
        id: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
        points: u32,
    ) -> Result<History, ApiError> {
        Ok(self.engine.with_store(move |store| store.history(id, from, to, points.max(1))).await?)
    }
}

/// Probes that a bucket of the latency chart should hold: of fewer, p50, p95 and p99 are the same probe.
const PROBES_PER_BUCKET: i64 = 8;
/// Buckets of the latency chart at the least, so that a short range still shows its course.
const LATENCY_POINTS_MIN: i64 = 40;

/// How many buckets a latency chart of this range and width (in pixels) has, at this probe interval.
pub(crate) fn latency_points(range_ms: i64, interval_ms: u32, width: u32) -> u32 {
    let full_buckets = range_ms / (i64::from(interval_ms.max(1)) * PROBES_PER_BUCKET);
    let most = i64::from(width.max(1));
    u32::try_from(full_buckets.clamp(LATENCY_POINTS_MIN.min(most), most)).unwrap_or(width)
}

/// What is drawn, by the kind of chart.
pub(crate) enum Data {
    Latency(LatencyChart),
    Rate(RateChart),
    Availability(AvailabilityChart),
    Quality(AccuracyChart),
    Series(SeriesChart),
}

/// A chart before it is drawn, with the points it is drawn from.
pub(crate) struct Drawn {
    pub(crate) data: Data,
    pub(crate) series: Vec<ChartSeries>,
    pub(crate) points: Vec<ChartPoint>,
    pub(crate) step_ms: i64,
}

fn series(names: &[&str], unit: &str) -> Vec<ChartSeries> {
    names.iter().map(|name| ChartSeries { name: (*name).to_owned(), unit: unit.to_owned() }).collect()
}

fn latency(time: TimeAxis, history: &History, marks: Vec<Mark>) -> Drawn {
    let points = history.buckets.iter().map(|bucket| ChartPoint {
        at_ms: bucket.at.0,
        values: vec![bucket.p50_us, bucket.p95_us, bucket.p99_us, bucket.max_us],
        n: bucket.n_ok,
        note: None,
    });
    let points = points.collect();
    let buckets = history.buckets.iter().map(|bucket| LatencyPoint {
        at: bucket.at,
        p50_us: bucket.p50_us,
        p95_us: bucket.p95_us,
        p99_us: bucket.p99_us,
    });
    let data = LatencyChart { time, step_ms: history.step_ms, buckets: buckets.collect(), marks };
    Drawn {
        data: Data::Latency(data),
        series: series(&["p50", "p95", "p99", "max"], "us"),
        points,
        step_ms: history.step_ms,
    }
}

/// What generated answers measured: times as latencies, tokens per second as a rate.
fn generation(kind: ChartKind, time: TimeAxis, history: &GenerationHistory, marks: Vec<Mark>) -> Drawn {
    let step_ms = history.step_ms;
    let of = |bucket: &GenerationBucket| match kind {
        ChartKind::FirstToken => bucket.summary.first_token_us,
        ChartKind::InterToken => bucket.summary.inter_token_us,
        _ => bucket.summary.tokens_per_second,
    };
    let is_rate = kind == ChartKind::TokensPerSecond;
    let points = history.buckets.iter().map(|bucket| {
        let Quantiles { p05, p50, p95, p99 } = of(bucket);
        let values = if is_rate { vec![p50, p05] } else { vec![p50, p95, p99] };
        ChartPoint { at_ms: bucket.at.0, values, n: bucket.summary.n, note: None }
    });
    let points = points.collect();
    if is_rate {
        let buckets = history.buckets.iter().map(|bucket| {
            let Quantiles { p05: slow, p50: median, .. } = of(bucket);
            RatePoint { at: bucket.at, median, slow }
        });
        let data = RateChart { time, step_ms, buckets: buckets.collect(), marks };
        return Drawn {
            data: Data::Rate(data),
            series: series(&["median", "slowest 5 %"], "per_second"),
            points,
            step_ms,
        };
    }
    let buckets = history.buckets.iter().map(|bucket| {
        let Quantiles { p50: p50_us, p95: p95_us, p99: p99_us, .. } = of(bucket);
        LatencyPoint { at: bucket.at, p50_us, p95_us, p99_us }
    });
    let data = LatencyChart { time, step_ms, buckets: buckets.collect(), marks };
    Drawn { data: Data::Latency(data), series: series(&["p50", "p95", "p99"], "us"), points, step_ms }
}

fn availability(time: TimeAxis, history: &History, marks: Vec<Mark>) -> Drawn {
    let buckets: Vec<AvailabilityBucket> = history
        .buckets
        .iter()
        .map(|bucket| AvailabilityBucket {
            at: bucket.at,
            ok: u64::from(bucket.n_ok),
            failed: u64::from(bucket.n_target_failed),
            unknown: u64::from(bucket.n_unknown),
        })
        .collect();
    let points = history.buckets.iter().zip(&buckets).map(|(bucket, share)| ChartPoint {
        at_ms: bucket.at.0,
        values: vec![share.share(), Some(f64::from(bucket.n_target_failed)), Some(f64::from(bucket.n_unknown))],
        n: bucket.n,
        note: None,
    });
    let points = points.collect();
    let mut columns = series(&["available"], "ratio");
    columns.extend(series(&["failed", "unknown"], ""));
    let data = AvailabilityChart { time, step_ms: history.step_ms, buckets, marks };
    Drawn { data: Data::Availability(data), series: columns, points, step_ms: history.step_ms }
}

fn quality(time: TimeAxis, step_ms: i64, evaluations: &[pilothouse_domain::Evaluation], marks: Vec<Mark>) -> Drawn {
    let mut points = Vec::with_capacity(evaluations.len());
    let mut drawn = Vec::with_capacity(evaluations.len());
    let mut name = "accuracy".to_owned();
    for evaluation in evaluations {
        let Some(main) = evaluation.main() else { continue };
        name.clone_from(&main.name);
        let version = evaluation.version.as_ref().map(VersionId::to_string);
        points.push(ChartPoint {
            at_ms: evaluation.at.0,
            values: vec![main.value, main.low, main.high],
            n: evaluation.n,
            note: version.clone(),
        });
        drawn.push(AccuracyPoint { at: evaluation.at, value: main.value, low: main.low, high: main.high, version });
    }
    let columns = series(&[&name, "low", "high"], "");
    Drawn {
        data: Data::Quality(AccuracyChart { time, step_ms, points: drawn, marks }),
        series: columns,
        points,
        step_ms: 0,
    }
}

/// Events that explain a line's turn: versions, rollbacks, outages.
fn mark(event: &Event) -> Option<Mark> {
    let (kind, label) = match &event.kind {
        EventKind::VersionChanged { from: Some(_), to } => (MarkKind::Version, format!("{to} live")),
        EventKind::RollbackFinished { to, verdict: Verdict::Verified, .. } => {
            (MarkKind::Rollback, format!("rollback to {to}"))
        }
        EventKind::HealthChanged { to: Health::Down, .. } => (MarkKind::Incident, "down".to_owned()),
        _ => return None,
    };
    Some(Mark { at: event.at, label, kind })
}

fn chart_mark(mark: &Mark) -> ChartMark {
    let kind = match mark.kind {
        MarkKind::Version => "version",
        MarkKind::Rollback => "rollback",
        MarkKind::Incident => "incident",
        MarkKind::Info => "info",
    };
    ChartMark { at_ms: mark.at.0, label: mark.label.clone(), kind: kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_several_probes_where_the_range_allows() {
        let check =
            |range_ms, interval_ms, width, expect| assert_eq!(latency_points(range_ms, interval_ms, width), expect);
        // A quarter of an hour at 2 s: 56 buckets of 16 s.
        check(900_000, 2_000, 676, 56);
        // An hour at 15 s would be 30 buckets; a month is one per pixel.
        check(3_600_000, 15_000, 676, 40);
        check(30 * 86_400_000, 15_000, 676, 676);
        check(900_000, 86_400_000, 20, 20);
    }
}
