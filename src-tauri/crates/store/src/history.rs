//! What the charts and the fleet screen ask: buckets, percentiles, the last beats.
//!
//! What it hides: which of raw samples, minutes, hours and days answers a question. What must stay true: the answer is
//! the same whichever source gives it (percentiles within the sketch's 1 %); the cost depends on the number of points
//! asked for, not on the age of the file.

use std::collections::{BTreeMap, HashMap};

use pilothouse_domain::{EndpointId, Outcome, Probe, TimestampMs};
use pilothouse_stats::QuantileSketch;
use rusqlite::Connection;

use crate::retention::{Floors, floors};
use crate::rollups::{Level, Tally};
use crate::{Store, StoreError, endpoints, probes, rollups};

/// Health over time. Empty stretches have no bucket, so that a chart draws them as gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Length of a bucket in milliseconds.
    pub step_ms: i64,
    /// The buckets that hold something, oldest first.
    pub buckets: Vec<Bucket>,
}

/// What happened in `[at, at + step)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When it begins: a multiple of the step since 1970.
    pub at: TimestampMs,
    /// Probes.
    pub n: u32,
    /// Of these, answered correctly.
    pub n_ok: u32,
    /// Of these, failed by the endpoint.
    pub n_target_failed: u32,
    /// Of these, failed by us.
    pub n_unknown: u32,
    /// Median latency of the correct ones in microseconds, within 1 %.
    pub p50_us: Option<f64>,
    /// 95th percentile.
    pub p95_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// Greatest.
    pub max_us: Option<f64>,
}

/// A stretch of time in one line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Probes.
    pub n: u32,
    /// Of these, answered correctly.
    pub n_ok: u32,
    /// Of these, failed by the endpoint.
    pub n_target_failed: u32,
    /// Of these, failed by us.
    pub n_unknown: u32,
    /// Median latency of the correct ones in microseconds, within 1 %.
    pub p50_us: Option<f64>,
    /// 95th percentile.
    pub p95_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
}

/// Where the time of the correct probes went: the median of each phase over those that reached it, within 1 %.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseSummary {
    /// Correct probes.
    pub n: u32,
    /// Name resolution, in microseconds.
    pub dns_us: Option<f64>,
    /// TCP connect, in microseconds.
    pub connect_us: Option<f64>,
    /// TLS handshake, in microseconds.
    pub tls_us: Option<f64>,
    /// Writing the request, in microseconds.
    pub send_us: Option<f64>,
    /// Waiting for the first byte, in microseconds.
    pub wait_us: Option<f64>,
    /// Receiving, in microseconds.
    pub receive_us: Option<f64>,
}

/// One probe, as the fleet screen draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// When it was due.
    pub at: TimestampMs,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub total_us: Option<u32>,
    /// What happened, for people. Untrusted text.
    pub detail: Option<String>,
}

/// The steps a chart may have: each is a multiple of the rollup that serves it. There is none between 15 minutes and an
/// hour, because half an hour would cost 30 rollups a point.
const STEPS_MS: [i64; 22] = {
    const S: i64 = 1_000;
    const M: i64 = 60 * S;
    const H: i64 = 60 * M;
    const D: i64 = 24 * H;
    [
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        M,
        2 * M,
        5 * M,
        10 * M,
        15 * M,
        H,
        2 * H,
        3 * H,
        6 * H,
        12 * H,
        D,
        2 * D,
        7 * D,
        14 * D,
        30 * D,
        90 * D,
    ]
};
/// The last millisecond of the year 9999; times beyond it are not stored.
const LAST_MS: i64 = 253_402_300_799_999;
/// A fleet summary of at least this length looks at whole hours.
const HOURS_ENOUGH_MS: i64 = 6 * 3_600_000;
/// A fleet summary of at least this length looks at whole minutes.
const MINUTES_ENOUGH_MS: i64 = 10 * 60_000;

impl Store {
    /// Health in `[from, to)` in at most about `points` buckets. Both ends are moved outwards to whole buckets.
    pub fn history(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
        points: u32,
    ) -> Result<History, StoreError> {
        self.read("read the history", |connection| {
            let (from, to) = clamp(from, to);
            let (step_ms, source) = choose(from, to, points, &floors(connection)?);
            let begin = from - from.rem_euclid(step_ms);
            let end = round_up(to, step_ms);
            let mut tallies: BTreeMap<i64, Tally> = BTreeMap::new();
            visit(connection, source, endpoint, (begin, end), &mut |at, part| {
                part.add_to(tallies.entry(at.div_euclid(step_ms)).or_default());
            })?;
            let buckets = tallies.into_iter().map(|(bucket, tally)| Bucket::new(bucket * step_ms, &tally)).collect();
            Ok(History { step_ms, buckets })
        })
    }

    /// Counts and percentiles of exactly `[from, to)`, put together from days, hours, minutes and, at its ends, raw
    /// samples. Where retention has removed the finer ones, the ends are moved outwards to what is left.
    pub fn summary(&self, endpoint: EndpointId, from: TimestampMs, to: TimestampMs) -> Result<Summary, StoreError> {
        self.read("read the summary", |connection| {
            let (from, to) = clamp(from, to);
            let mut segments = Vec::new();
            cover(Source::Rollup(Level::Day), from, to, &floors(connection)?, &mut segments);
            let mut tally = Tally::default();
            for (source, from, to) in segments {
                visit(connection, source, endpoint, (from, to), &mut |_, part| part.add_to(&mut tally))?;
            }
            Ok(Summary::new(&tally))
        })
    }

    /// [`Store::summary`] of every endpoint. The window is moved outwards to whole hours when it is 6 hours or longer, to
    /// whole minutes when it is 10 minutes or longer.
    pub fn fleet_summaries(
        &self,
        from: TimestampMs,
        to: TimestampMs,
    ) -> Result<HashMap<EndpointId, Summary>, StoreError> {
        self.read("read the fleet's summary", |connection| {
            let (mut from, mut to) = clamp(from, to);
            let grain_ms = match to - from {
                HOURS_ENOUGH_MS.. => Level::Hour.step_ms(),
                MINUTES_ENOUGH_MS.. => Level::Minute.step_ms(),
                _ => 1,
            };
            from -= from.rem_euclid(grain_ms);
            to = round_up(to, grain_ms);
            let mut segments = Vec::new();
            cover(Source::Rollup(Level::Day), from, to, &floors(connection)?, &mut segments);
            let mut summaries = HashMap::new();
            for endpoint in endpoints::ids(connection)? {
                let mut tally = Tally::default();
                for &(source, from, to) in &segments {
                    visit(connection, source, endpoint, (from, to), &mut |_, part| part.add_to(&mut tally))?;
                }
                summaries.insert(endpoint, Summary::new(&tally));
            }
            Ok(summaries)
        })
    }

    /// Where the time went in `[from, to)`, from the raw samples that are left of it.
    pub fn phases(&self, endpoint: EndpointId, from: TimestampMs, to: TimestampMs) -> Result<PhaseSummary, StoreError> {
        let mut n = 0;
        let mut sketches: [QuantileSketch; 6] = Default::default();
        self.read_samples(endpoint, from, to, &mut |probe| {
            if probe.outcome != Outcome::Ok {
                return;
            }
            n += 1;
            let p = &probe.phases;
            for (sketch, us) in sketches.iter_mut().zip([p.dns, p.connect, p.tls, p.send, p.wait, p.receive]) {
                if let Some(us) = us {
                    sketch.insert(f64::from(us));
                }
            }
        })?;
        let [dns_us, connect_us, tls_us, send_us, wait_us, receive_us] = sketches.map(|sketch| sketch.quantile(0.5));
        Ok(PhaseSummary { n, dns_us, connect_us, tls_us, send_us, wait_us, receive_us })
    }

    /// The last `n` probes of every endpoint, oldest first.
    pub fn recent(&self, n: u32) -> Result<HashMap<EndpointId, Vec<Beat>>, StoreError> {
        self.read("read the last probes", |connection| {
            let mut recent = HashMap::new();
            for endpoint in endpoints::ids(connection)? {
                recent.insert(endpoint, probes::read_last(connection, endpoint, n)?);
            }
            Ok(recent)
        })
    }
}

/// Where numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Raw,
    Rollup(Level),
}

impl Source {
    /// The next coarser source, if there is one.
    fn coarser(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::Rollup(Level::Minute)),
            Self::Rollup(Level::Minute) => Some(Self::Rollup(Level::Hour)),
            Self::Rollup(Level::Hour) => Some(Self::Rollup(Level::Day)),
            Self::Rollup(Level::Day) => None,
        }
    }

    fn finer(self) -> Self {
        match self {
            Self::Rollup(Level::Day) => Self::Rollup(Level::Hour),
            Self::Rollup(Level::Hour) => Self::Rollup(Level::Minute),
            Self::Rollup(Level::Minute) | Self::Raw => Self::Raw,
        }
    }

    fn step_ms(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::Rollup(level) => level.step_ms(),
        }
    }

    /// Since when it is complete.
    fn floor_ms(self, floors: &Floors) -> i64 {
        match self {
            Self::Raw => floors.raw_ms,
            Self::Rollup(Level::Minute) => floors.minute_ms,
            Self::Rollup(Level::Hour) => floors.hour_ms,
            Self::Rollup(Level::Day) => i64::MIN,
        }
    }
}

/// One row of a source.
enum Part<'a> {
    Sample(&'a Probe),
    Bucket(&'a rollups::Stored<'a>),
}

impl Part<'_> {
    fn add_to(&self, tally: &mut Tally) {
        match self {
            Self::Sample(probe) => tally.add(probe),
            Self::Bucket(stored) => stored.add_to(tally),
        }
    }
}

fn visit(
    connection: &Connection,
    source: Source,
    endpoint: EndpointId,
    (from, to): (i64, i64),
    visit: &mut dyn FnMut(i64, &Part<'_>),
) -> Result<(), StoreError> {
    let (from, to) = (TimestampMs(from), TimestampMs(to));
    match source {
        Source::Raw => {
            probes::read(connection, endpoint, from, to, &mut |probe| visit(probe.due.0, &Part::Sample(probe)))
        }
        Source::Rollup(level) => {
            rollups::read(connection, level, endpoint, (from, to), &mut |at, stored| visit(at.0, &Part::Bucket(stored)))
        }
    }
}

/// The finest step that gives at most `points` buckets, and the coarsest source that serves it and still reaches back
/// to `from`.
fn choose(from: i64, to: i64, points: u32, floors: &Floors) -> (i64, Source) {
    let per_point_ms = (to - from).div_euclid(i64::from(points.max(1))).max(1);
    let enough = |step: i64| step.saturating_mul(i64::from(points.max(1))) >= to - from;
    let day_ms = Level::Day.step_ms();
    let mut step_ms = STEPS_MS.into_iter().find(|&step| enough(step)).unwrap_or(round_up(per_point_ms + 1, day_ms));
    let mut source = [Level::Day, Level::Hour, Level::Minute]
        .into_iter()
        .find(|level| step_ms >= level.step_ms())
        .map_or(Source::Raw, Source::Rollup);
    while from - from.rem_euclid(step_ms) < source.floor_ms(floors)
        && let Some(coarser) = source.coarser()
    {
        source = coarser;
        step_ms = step_ms.max(source.step_ms());
    }
    (step_ms, source)
}

/// Cuts `[from, to)` into whole buckets of the coarsest sources and, at its ends, of the finer ones that are left.
fn cover(source: Source, from: i64, to: i64, floors: &Floors, segments: &mut Vec<(Source, i64, i64)>) {
    if from >= to {
        return;
    }
    let finer = source.finer();
    if source == Source::Raw {
        segments.push((source, from, to));
        return;
    }
    let step_ms = source.step_ms();
    let mut begin = round_up(from, step_ms);
    let mut end = to - to.rem_euclid(step_ms);
    if begin > end {
        // Both ends lie in one bucket.
        if from < finer.floor_ms(floors) {
            segments.push((source, end, begin));
        } else {
            cover(finer, from, to, floors, segments);
        }
        return;
    }
    if from < begin && from < finer.floor_ms(floors) {
        begin -= step_ms;
    } else {
        cover(finer, from, begin, floors, segments);
    }
    let widen_end = end < to && end < finer.floor_ms(floors);
    let tail = end;
    if widen_end {
        end += step_ms;
    }
    if begin < end {
        segments.push((source, begin, end));
    }
    if !widen_end {
        cover(finer, tail, to, floors, segments);
    }
}

fn clamp(from: TimestampMs, to: TimestampMs) -> (i64, i64) {
    let from = from.0.clamp(0, LAST_MS);
    (from, to.0.clamp(from, LAST_MS))
}

fn round_up(at: i64, step_ms: i64) -> i64 {
    at + (step_ms - at.rem_euclid(step_ms)) % step_ms
}

fn count(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Bucket {
    fn new(at_ms: i64, tally: &Tally) -> Self {
        let Summary { n, n_ok, n_target_failed, n_unknown, p50_us, p95_us, p99_us } = Summary::new(tally);
        let (at, max_us) = (TimestampMs(at_ms), tally.latency.max());
        Self { at, n, n_ok, n_target_failed, n_unknown, p50_us, p95_us, p99_us, max_us }
    }
}

impl Summary {
    fn new(tally: &Tally) -> Self {
        Self {
            n: count(tally.n_ok.saturating_add(tally.n_target_failed).saturating_add(tally.n_unknown)),
            n_ok: count(tally.n_ok),
            n_target_failed: count(tally.n_target_failed),
            n_unknown: count(tally.n_unknown),
            p50_us: tally.latency.quantile(0.5),
            p95_us: tally.latency.quantile(0.95),
            p99_us: tally.latency.quantile(0.99),
        }
    }
}
