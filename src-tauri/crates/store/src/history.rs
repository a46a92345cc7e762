//! What the charts and the fleet screen ask: buckets, percentiles, the last beats.
//!
//! What it hides: which of raw samples, minutes, hours and days answers a question. What must stay true: the answer is
//! the same whichever source gives it (percentiles within the sketch's 1 %); the cost depends on the number of points
//! asked for, not on the age of the file.

use std::collections::{BTreeMap, HashMap};

use pilothouse_domain::{EndpointId, Outcome, Probe, TimestampMs};
use pilothouse_stats::QuantileSketch;
use rusqlite::Connection;

use crate::probes::LATEST_MS;
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
    /// Opening a tunnel through a proxy or a jump host, in microseconds.
    pub tunnel_us: Option<f64>,
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
        let mut sketches: [QuantileSketch; 7] = Default::default();
        self.read_samples(endpoint, from, to, &mut |probe| {
            if probe.outcome != Outcome::Ok {
                return;
            }
            n += 1;
            let p = &probe.phases;
            let times = [p.dns, p.connect, p.tunnel, p.tls, p.send, p.wait, p.receive];
            for (sketch, us) in sketches.iter_mut().zip(times) {
                if let Some(us) = us {
                    sketch.insert(f64::from(us));
                }
            }
        })?;
        let [dns_us, connect_us, tunnel_us, tls_us, send_us, wait_us, receive_us] =
            sketches.map(|sketch| sketch.quantile(0.5));
        Ok(PhaseSummary { n, dns_us, connect_us, tunnel_us, tls_us, send_us, wait_us, receive_us })
    }

    /// The last `n` probes of every endpoint, oldest first.
    pub fn recent(&self, n: u32) -> Result<HashMap<EndpointId, Vec<Beat>>, StoreError> {
        self.read("read the last probes", |connection| {
            let mut recent = HashMap::new();
            for endpoint in endpoints::ids(connection)? {
                recent.insert(endpoint, probes::read_last(connection, endpoint, None, n)?);
            }
            Ok(recent)
        })
    }
}

/// Where numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
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
            Self::Raw => floors.raw,
            Self::Rollup(Level::Minute) => floors.minute,
            Self::Rollup(Level::Hour) => floors.hour,
            Self::Rollup(Level::Day) => i64::MIN,
        }
    }
}

/// One row of a source.
enum Part<'a> {
    Sample(&'a Probe),
    Bucket(&'a rollups::StoredTally<'a>),
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
pub(crate) fn choose(from: i64, to: i64, points: u32, floors: &Floors) -> (i64, Source) {
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
pub(crate) fn cover(source: Source, from: i64, to: i64, floors: &Floors, segments: &mut Vec<(Source, i64, i64)>) {
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

pub(crate) fn clamp(from: TimestampMs, to: TimestampMs) -> (i64, i64) {
    let from = from.0.clamp(0, LATEST_MS);
    (from, to.0.clamp(from, LATEST_MS))
}

pub(crate) fn round_up(at: i64, step_ms: i64) -> i64 {
    at + (step_ms - at.rem_euclid(step_ms)) % step_ms
}

pub(crate) fn count(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Bucket {
    fn new(at_ms: i64, tally: &Tally) -> Self {
        let Summary { n, n_ok, n_target_failed, n_unknown, p50_us, p95_us, p99_us } = Summary::new(tally);
        let (at, max_us) = (TimestampMs(at_ms), tally.latency().max());
        Self { at, n, n_ok, n_target_failed, n_unknown, p50_us, p95_us, p99_us, max_us }
    }
}

impl Summary {
    pub(crate) fn new(tally: &Tally) -> Self {
        let [n_ok, n_target_failed, n_unknown] = tally.counts;
        Self {
            n: count(tally.counts.into_iter().fold(0, u64::saturating_add)),
            n_ok: count(n_ok),
            n_target_failed: count(n_target_failed),
            n_unknown: count(n_unknown),
            p50_us: tally.latency().quantile(0.5),
            p95_us: tally.latency().quantile(0.95),
            p99_us: tally.latency().quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{TargetFailure, UnknownReason};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{DAY, HOUR, MINUTE, MONDAY, endpoint, probe, samples, store};

    const NO_FLOORS: Floors = Floors { raw: i64::MIN, minute: i64::MIN, hour: i64::MIN };

    #[test]
    fn the_step_gives_about_the_points_asked_for() {
        let check = |span: i64, points: u32, expect: (i64, Source)| {
            assert_eq!(choose(MONDAY.0, MONDAY.0 + span, points, &NO_FLOORS), expect, "{span} ms, {points} points");
        };
        check(HOUR, 1_000, (5_000, Source::Raw));
        check(HOUR, 60, (MINUTE, Source::Rollup(Level::Minute)));
        check(DAY, 1_000, (2 * MINUTE, Source::Rollup(Level::Minute)));
        check(30 * DAY, 1_000, (HOUR, Source::Rollup(Level::Hour)));
        check(365 * DAY, 1_000, (12 * HOUR, Source::Rollup(Level::Hour)));
        check(365 * DAY, 200, (2 * DAY, Source::Rollup(Level::Day)));
        check(0, 0, (1_000, Source::Raw));
        let (step_ms, source) = choose(0, LATEST_MS, 1, &NO_FLOORS);
        assert!(step_ms >= LATEST_MS && step_ms % DAY == 0 && source == Source::Rollup(Level::Day));
    }

    #[test]
    fn what_retention_removed_is_read_from_what_is_left() {
        let at = |days: i64| MONDAY.0 + days * DAY;
        let floors = Floors { raw: at(30), minute: at(20), hour: at(10) };
        let check = |from: i64, expect: (i64, Source)| {
            assert_eq!(choose(from, from + HOUR, 1_000, &floors), expect);
        };
        check(at(30), (5_000, Source::Raw));
        check(at(30) - 1, (MINUTE, Source::Rollup(Level::Minute)));
        check(at(15), (HOUR, Source::Rollup(Level::Hour)));
        check(at(5), (DAY, Source::Rollup(Level::Day)));
    }

    #[test]
    fn gaps_have_no_bucket_and_ends_are_whole_buckets() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for (minute, outcome) in [
            (0, Outcome::Ok),
            (1, Outcome::TargetFailed(TargetFailure::ServerError)),
            (5, Outcome::Unknown(UnknownReason::NoNetwork)),
        ] {
            let due = MONDAY.plus_ms(minute * MINUTE + 59_999);
            store.append_probe(Probe { outcome, ..probe(id, due, 1_000) }).unwrap();
        }
        store.flush().unwrap();
        let history = store.history(id, MONDAY.plus_ms(1), MONDAY.plus_ms(5 * MINUTE + 1), 6).unwrap();
        assert_eq!(history.step_ms, MINUTE);
        let seen: Vec<_> = history
            .buckets
            .iter()
            .map(|b| (b.at.since(MONDAY) / MINUTE, [b.n, b.n_ok, b.n_target_failed, b.n_unknown], b.max_us))
            .collect();
        let expected = [(0, [1, 1, 0, 0], Some(1_000.0)), (1, [1, 0, 1, 0], None), (5, [1, 0, 0, 1], None)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn phases_are_medians_of_those_present() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for (i, wait) in [100, 200, 300].into_iter().enumerate() {
            let mut probe = probe(id, MONDAY.plus_ms(i as i64), 1_000);
            probe.phases.wait = Some(wait);
            probe.phases.connect = (i == 1).then_some(50);
            store.append_probe(probe).unwrap();
        }
        store.flush().unwrap();
        let phases = store.phases(id, MONDAY, MONDAY.plus_ms(10)).unwrap();
        let near = |found: Option<f64>, expect: f64| found.is_some_and(|us| (us / expect - 1.0).abs() <= 0.01);
        assert!(near(phases.wait_us, 200.0) && near(phases.connect_us, 50.0), "{phases:?}");
        assert_eq!((phases.n, phases.tls_us), (3, None));
    }

    fn any_probe() -> impl Strategy<Value = (i64, u32, u8)> {
        // Clustered around the borders of buckets, where a wrong rounding shows.
        let at = (0..3 * DAY / HOUR, 0..60_i64, prop::sample::select(vec![0, 1, 999, 30_000, 59_999]))
            .prop_map(|(hour, minute, ms)| hour * HOUR + minute * MINUTE + ms);
        (at, 1..5_000_000_u32, 0..10_u8)
    }

    fn tally<'a>(probes: impl IntoIterator<Item = &'a Probe>) -> Tally {
        let mut tally = Tally::default();
        probes.into_iter().for_each(|probe| tally.add(probe));
        tally
    }

    proptest! {
        // Every try opens a file, so a failing one is not made smaller for minutes.
        #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

        /// Rollup of rollups = rollup of raw: history and summaries from any mixture of minutes, hours and days equal
        /// those of the raw samples, with the same sketch, however the samples were cut into batches.
        #[test]
        fn rollups_say_what_the_samples_say(
            probes in prop::collection::vec(any_probe(), 1..120),
            flush_at in 0..120_usize,
            window in (-HOUR..3 * DAY, 0..3 * DAY),
        ) {
            let (_folder, store) = store();
            let id = store.add_endpoint(&endpoint("wine")).unwrap();
            for (i, &(at, total_us, kind)) in probes.iter().enumerate() {
                let outcome = match kind {
                    0 => Outcome::TargetFailed(TargetFailure::NotReady),
                    1 => Outcome::Unknown(UnknownReason::Asleep),
                    _ => Outcome::Ok,
                };
                store.append_probe(Probe { outcome, ..probe(id, MONDAY.plus_ms(at), total_us) }).unwrap();
                if i == flush_at {
                    store.flush().unwrap();
                }
            }
            store.flush().unwrap();
            let raw = samples(&store, id);
            prop_assert_eq!(raw.len(), probes.len());

            for points in [10_000, 500, 40, 3] {
                let history = store.history(id, MONDAY, MONDAY.plus_ms(3 * DAY), points).unwrap();
                let mut expected: BTreeMap<i64, Vec<&Probe>> = BTreeMap::new();
                for probe in &raw {
                    expected.entry(probe.due.0.div_euclid(history.step_ms)).or_default().push(probe);
                }
                let expected: Vec<_> =
                    expected.into_iter().map(|(b, part)| Bucket::new(b * history.step_ms, &tally(part))).collect();
                prop_assert_eq!(history.buckets, expected);
            }

            let (from, to) = (MONDAY.plus_ms(window.0), MONDAY.plus_ms(window.0 + window.1));
            let inside = tally(raw.iter().filter(|p| p.due >= from && p.due < to));
            prop_assert_eq!(store.summary(id, from, to).unwrap(), Summary::new(&inside));

            let grain = if window.1 >= HOURS_ENOUGH_MS { HOUR } else if window.1 >= MINUTES_ENOUGH_MS { MINUTE } else { 1 };
            let (from, to) = (from.0 - from.0.rem_euclid(grain), round_up(to.0, grain));
            let inside = tally(raw.iter().filter(|p| p.due.0 >= from && p.due.0 < to));
            let fleet = store.fleet_summaries(MONDAY.plus_ms(window.0), MONDAY.plus_ms(window.0 + window.1)).unwrap();
            prop_assert_eq!(&fleet[&id], &Summary::new(&inside));
        }

        /// The segments of a window touch, do not overlap, and lie on the borders of their buckets.
        #[test]
        fn a_window_is_covered_once(from in 0..5 * DAY, length in 0..5 * DAY, raw in 0..6_i64, more in (0..6_i64, 0..6_i64)) {
            let floors = Floors { raw: raw * DAY, minute: (raw - more.0) * DAY, hour: (raw - more.0 - more.1) * DAY };
            let mut segments = Vec::new();
            cover(Source::Rollup(Level::Day), from, from + length, &floors, &mut segments);
            prop_assert_eq!(segments.is_empty(), length == 0);
            for (source, begin, end) in &segments {
                prop_assert!(begin < end && begin % source.step_ms() == 0 && end % source.step_ms() == 0);
                prop_assert!(*begin >= source.floor_ms(&floors));
            }
            prop_assert!(segments.windows(2).all(|pair| pair[0].2 == pair[1].1), "{:?}", segments);
            if let (Some(first), Some(last)) = (segments.first(), segments.last()) {
                prop_assert!(first.1 <= from && last.2 >= from + length);
                prop_assert!(from < floors.raw || (first.1 == from && last.2 == from + length));
            }
        }
    }
}
