//! One look at a page, and what two looks say about the time between them.
//!
//! What must stay true: each series is compared with itself, so that a restart of one of several workers is seen; a
//! counter that fell began again at zero; a rate is never negative; what was not counted has no reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::catalogue::{self, Entry, Form, Part, Place, Role, SERVERS, Wanted};
use crate::exposition::{self, Limits, Report, Sample};
use crate::{Histogram, Quantity, Tally};

/// Series followed on one page at most. The catalogue follows a dozen or two names; this many series of them come only
/// from a page whose labels have no bound.
const SERIES_MAX: usize = 4_096;
/// Parts of one quantity that are told apart.
const PARTS_MAX: usize = 16;
/// Characters of a part's name that are kept.
const PART_MAX: usize = 60;

/// What one page said of what we follow.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    series: BTreeMap<(Place, String), Raw>,
    /// How the page was read.
    pub report: Report,
}

/// The numbers of one series, as they stand on the page.
#[derive(Debug, Clone, Default, PartialEq)]
struct Raw {
    part: String,
    value: Option<f64>,
    count: Option<f64>,
    buckets: Vec<(f64, f64)>,
    /// `(quantile, value)` of a summary.
    quantiles: Vec<(f64, f64)>,
}

/// What the time between two looks was like, for one part of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub quantity: Quantity,
    /// Which part of it (an error's reason, `p50` and `p95` of a summary); empty: all of it.
    pub part: String,
    /// The server's own name for it.
    pub source: &'static str,
    /// What a reader should know; empty: nothing.
    pub note: &'static str,
    /// The measurement.
    pub tally: Tally,
}

/// Something on a page that is understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is to us.
    pub quantity: Quantity,
    /// The server's own name for it.
    pub source: &'static str,
    /// What a reader should know; empty: nothing.
    pub note: &'static str,
    /// How many series of that name count.
    pub series: usize,
    /// Events since the server began to count, for what is counted; the value, for what is not.
    pub total: f64,
}

impl Snapshot {
    /// Reads a page for one model.
    pub fn read(page: &[u8], limits: &Limits, wanted: Wanted<'_>) -> Self {
        let mut snapshot = Self::default();
        let report = exposition::read(page, limits, &mut |sample| snapshot.take(sample, wanted));
        let too_many = snapshot.report.truncated;
        snapshot.report = Report { truncated: report.truncated || too_many, ..report };
        snapshot
    }

    /// The server whose series were found; `None` when only those of any process were, or none at all.
    pub fn server(&self) -> Option<&'static str> {
        let ((first, _), _) = self.chosen().next()?;
        let server = SERVERS[usize::from(first.0)];
        (server.name != SERVERS[SERVERS.len() - 1].name).then_some(server.name)
    }

    /// Whether nothing on the page is understood.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn take(&mut self, sample: &Sample<'_>, wanted: Wanted<'_>) {
        for &(place, role) in catalogue::meanings(&sample.name) {
            let entry = catalogue::entry(place);
            if !entry.admits(&sample.labels, wanted) {
                continue;
            }
            let key = (place, series_key(sample, role));
            if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
                self.report.truncated = true;
                continue;
            }
            let raw = self.series.entry(key).or_default();
            raw.part = part_of(entry, sample);
            let value = sample.value * entry.scale;
            match role {
                Role::Value => raw.value = Some(value),
                Role::Count => raw.count = Some(sample.value),
                Role::Bucket => {
                    if let Ok(bound) = sample.labels.get("le").parse::<f64>() {
                        raw.buckets.push((bound * entry.scale, sample.value));
                    }
                }
                Role::Quantile => {
                    if let Ok(quantile) = sample.labels.get("quantile").parse::<f64>() {
                        raw.quantiles.push((quantile, value));
                    }
                }
            }
        }
    }

    /// What is understood on this page, in the order in which it is shown.
    pub fn found(&self) -> Vec<Found> {
        let mut found: BTreeMap<(Quantity, Place), Found> = BTreeMap::new();
        for ((place, _), raw) in self.chosen() {
            let entry = catalogue::entry(*place);
            let total = match entry.form {
                Form::Counter | Form::Gauge => raw.value,
                Form::Histogram | Form::Summary | Form::Total { .. } => raw.count,
            };
            let one = found.entry((entry.quantity, *place)).or_insert(Found {
                quantity: entry.quantity,
                source: entry.series,
                note: entry.note,
                series: 0,
                total: 0.0,
            });
            one.series += 1;
            one.total += total.filter(|total| total.is_finite()).unwrap_or(0.0);
        }
        found.into_values().collect()
    }

    /// What the time since an earlier look was like. Without one, or when too long a time lies between them, only values
    /// of this moment are told.
    pub fn since(&self, before: Option<(&Self, Duration)>) -> Vec<Reading> {
        let mut sums: BTreeMap<(Quantity, String, Place), Sum> = BTreeMap::new();
        for (key @ (place, _), raw) in self.chosen() {
            let entry = catalogue::entry(*place);
            let earlier = before.map(|(snapshot, elapsed)| (snapshot.earlier(key), elapsed));
            for (part, tally) in measure(entry, raw, earlier) {
                let sum = sums.entry((entry.quantity, part, *place)).or_default();
                sum.add(entry, tally);
            }
        }
        bound_parts(&mut sums);
        sums.into_iter()
            .map(|((quantity, part, place), sum)| {
                let entry = catalogue::entry(place);
                Reading { quantity, part, source: entry.series, note: entry.note, tally: sum.tally }
            })
            .collect()
    }

    /// The series of the entries that count. Two that share a counter of requests are there only where their own number is;
    /// an alternative counts only where nothing before it in its table was found,
    /// and what any process says only where the server says nothing of it.
    fn chosen(&self) -> impl Iterator<Item = (&(Place, String), &Raw)> {
        let told = |((_, _), raw): &(&(Place, String), &Raw)| raw.value.is_some() || !raw.quantiles.is_empty();
        let present: BTreeSet<Place> = self.series.iter().filter(told).map(|((place, _), _)| *place).collect();
        self.series.iter().filter(told).filter(move |((place, _), _)| {
            let entry = catalogue::entry(*place);
            !entry.otherwise
                || present.iter().all(|other| {
                    other.0 != place.0 || other.1 >= place.1 || catalogue::entry(*other).quantity != entry.quantity
                })
        })
    }

    /// A series as it stood on this page. One that is absent from a page read to its end did not exist yet, so that all it
    /// counts now is new.
    fn earlier(&self, key: &(Place, String)) -> Option<Raw> {
        let known = self.series.get(key).cloned();
        known.or_else(|| (!self.report.truncated && self.report.skipped == 0).then(Raw::default))
    }
}

/// Puts together what comes after the first parts of a quantity, so that a label without bound makes no line without bound.
fn bound_parts(sums: &mut BTreeMap<(Quantity, String, Place), Sum>) {
    let mut parts: BTreeMap<(Quantity, Place), usize> = BTreeMap::new();
    let mut late = Vec::new();
    for key @ (quantity, _, place) in sums.keys() {
        let seen = parts.entry((*quantity, *place)).or_default();
        *seen += 1;
        if *seen > PARTS_MAX {
            late.push(key.clone());
        }
    }
    for key in late {
        if let Some(sum) = sums.remove(&key) {
            let (quantity, _, place) = key;
            sums.entry((quantity, "other".to_owned(), place)).or_default().add(catalogue::entry(place), sum.tally);
        }
    }
}

/// Several series of one entry, put together.
#[derive(Default)]
struct Sum {
    tally: Tally,
    parts: u32,
}

impl Sum {
    fn add(&mut self, entry: &Entry, tally: Tally) {
        self.parts += 1;
        if self.parts == 1 {
            self.tally = tally;
            return;
        }
        match entry.form {
            // All were watched for the same time: what they count adds up, the time does not.
            Form::Counter => self.tally = Tally::new(self.tally.sum + tally.sum, self.tally.weight),
            Form::Gauge if entry.quantity.unit().adds_up() => {
                self.tally = Tally::new(self.tally.sum + tally.sum, self.tally.weight);
            }
            Form::Gauge => {
                let parts = f64::from(self.parts);
                self.tally = Tally::new((self.tally.sum * (parts - 1.0) + tally.sum) / parts, self.tally.weight);
            }
            Form::Histogram | Form::Summary | Form::Total { .. } => self.tally.merge(&tally),
        }
    }
}

/// What one series says about the time since `earlier`, by part.
fn measure(entry: &Entry, now: &Raw, earlier: Option<(Option<Raw>, Duration)>) -> Vec<(String, Tally)> {
    let one = |tally| vec![(now.part.clone(), tally)];
    let moment = |value: f64| value.is_finite().then(|| Tally::new(value, 1.0));
    if entry.form == Form::Gauge {
        return now.value.and_then(moment).map(one).unwrap_or_default();
    }
    let mut readings: Vec<(String, Tally)> = now
        .quantiles
        .iter()
        .filter_map(|(quantile, value)| Some((quantile_part(*quantile)?, moment(*value)?)))
        .collect();
    let Some((Some(before), elapsed)) = earlier else { return readings };
    let rise = |now: Option<f64>, before: Option<f64>| now.and_then(|now| increase(before.unwrap_or(0.0), now));
    if entry.form == Form::Counter {
        let seconds = elapsed.as_secs_f64();
        let counted = rise(now.value, before.value).filter(|_| seconds > 0.0);
        return counted.map(|events| one(Tally::new(events, seconds))).unwrap_or_default();
    }
    // One of the two that fell tells of a restart for both.
    let restarted = fell(before.count, now.count) || fell(before.value, now.value);
    let before = if restarted { Raw::default() } else { before };
    if let (Some(requests), Some(seconds)) = (rise(now.count, before.count), rise(now.value, before.value))
        && requests > 0.0
    {
        let mut tally = Tally::new(seconds, requests);
        if !now.buckets.is_empty() {
            let (now, before) = (Histogram::new(now.buckets.iter().copied()), Histogram::new(before.buckets));
            tally.histogram = Some(now.since(&before));
        }
        readings.push((now.part.clone(), tally));
    }
    readings
}

/// How much a counter rose. One that fell began again at zero, so that all it counts is new.
fn increase(before: f64, now: f64) -> Option<f64> {
    let is_count = |value: f64| value.is_finite() && value >= 0.0;
    (is_count(before) && is_count(now)).then_some(if now >= before { now - before } else { now })
}

fn fell(before: Option<f64>, now: Option<f64>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if now < before)
}

/// A summary's median and 95th percentile; others are not asked for.
fn quantile_part(quantile: f64) -> Option<String> {
    let is = |wanted: f64| (quantile - wanted).abs() < 1e-9;
    if is(0.5) {
        Some("p50".to_owned())
    } else if is(0.95) {
        Some("p95".to_owned())
    } else {
        None
    }
}

/// What tells a series from others of the same entry: its labels without those that tell its own numbers apart.
fn series_key(sample: &Sample<'_>, role: Role) -> String {
    let mut labels: Vec<(&str, &str)> = sample
        .labels
        .iter()
        .filter(|(name, _)| !matches!((role, *name), (Role::Bucket, "le") | (Role::Quantile, "quantile")))
        .collect();
    labels.sort_unstable();
    let mut key = String::new();
    for (name, value) in labels {
        // A separator that no label name holds.
        key.extend([name, "\u{1}", value, "\u{1}"]);
    }
    key
}

fn part_of(entry: &Entry, sample: &Sample<'_>) -> String {
    match entry.part {
        Part::Whole => String::new(),
        Part::Named(name) => name.to_owned(),
        Part::Label(label) => sample.labels.get(label).chars().filter(|c| !c.is_control()).take(PART_MAX).collect(),
    }
}

#[cfg(test)]
mod tests;
