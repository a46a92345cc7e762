//! What servers say of themselves: sums per minute and per hour (UTC) of each quantity, and how the last look went.
//!
//! What must stay true: minutes and hours change in the transaction that records the look; names of series are stored
//! once; a bucket is a ratio of two sums, so that any window's value is exact. Minutes are kept as long as raw samples,
//! hours as long as the hours of probes.

use std::collections::BTreeMap;

use pilothouse_domain::{EndpointId, Quantity, TimestampMs};
use pilothouse_scrape::{Reading, Tally};
use rusqlite::{Connection, OptionalExtension as _};

use crate::history::{clamp, round_up};
use crate::retention::floors;
use crate::rollups::Level;
use crate::{Store, StoreError, endpoints};

/// The endpoint stands first in the keys of the buckets, so that retention and charts read one stretch of them.
pub(crate) const V3: &str = "
CREATE TABLE server_series (
    id INTEGER PRIMARY KEY AUTOINCREMENT, quantity TEXT NOT NULL, part TEXT NOT NULL, source TEXT NOT NULL,
    note TEXT NOT NULL, last_used_ms INTEGER NOT NULL, UNIQUE (quantity, part, source, note)
) STRICT;
CREATE TABLE server_minute (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL, sum REAL NOT NULL, weight REAL NOT NULL,
    greatest REAL NOT NULL, histogram BLOB, PRIMARY KEY (endpoint, bucket, series)
) STRICT, WITHOUT ROWID;
CREATE TABLE server_hour (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL, sum REAL NOT NULL, weight REAL NOT NULL,
    greatest REAL NOT NULL, histogram BLOB, PRIMARY KEY (endpoint, bucket, series)
) STRICT, WITHOUT ROWID;
CREATE TABLE server_look (
    endpoint INTEGER PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE, at_ms INTEGER NOT NULL, server TEXT,
    problem TEXT, good_ms INTEGER
) STRICT;";

const DAY_MS: i64 = 86_400_000;
/// Steps of a chart, as for probes: whole minutes and hours.
const STEPS_MS: [i64; 12] = [
    60_000,
    2 * 60_000,
    5 * 60_000,
    10 * 60_000,
    15 * 60_000,
    30 * 60_000,
    3_600_000,
    2 * 3_600_000,
    3 * 3_600_000,
    6 * 3_600_000,
    12 * 3_600_000,
    DAY_MS,
];

/// How the last look at an endpoint's metrics went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerLook {
    /// When.
    pub at: TimestampMs,
    /// The server whose series were found.
    pub server: Option<String>,
    /// Why nothing could be read; `None`: it could.
    pub problem: Option<String>,
    /// When something was read last.
    pub last_good: Option<TimestampMs>,
}

/// What a server said over a range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerHistory {
    /// Milliseconds per bucket.
    pub step_ms: i64,
    /// One per quantity, part and name.
    pub series: Vec<ServerSeries>,
}

/// One quantity, or one part of it, over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSeries {
    /// What it is.
    pub quantity: Quantity,
    /// Which part; empty: all of it.
    pub part: String,
    /// The server's own name for it.
    pub source: String,
    /// What a reader should know; empty: nothing.
    pub note: String,
    /// Buckets by rising time, each from its time on; those in which nothing was read are left out.
    pub buckets: Vec<(TimestampMs, Tally)>,
}

impl Store {
    /// Records how a look went, with what it read. Nothing is recorded of an endpoint that was removed meanwhile.
    /// `last_good` is kept by the store: that of `look` does not matter.
    pub fn record_server_look(
        &self,
        endpoint: EndpointId,
        look: &ServerLook,
        readings: Vec<Reading>,
    ) -> Result<(), StoreError> {
        let look = look.clone();
        self.write("store what the server says", move |connection| {
            if !endpoints::exists(connection, endpoint.0)? {
                return Ok(());
            }
            let good_ms = look.problem.is_none().then_some(look.at.0);
            connection
                .prepare_cached(
                    "INSERT INTO server_look (endpoint, at_ms, server, problem, good_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, server = coalesce(excluded.server, server),
                         problem = excluded.problem, good_ms = coalesce(excluded.good_ms, good_ms)",
                )?
                .execute((endpoint.0, look.at.0, look.server, look.problem, good_ms))?;
            for reading in &readings {
                let series = series_id(connection, reading, look.at)?;
                for level in [Level::Minute, Level::Hour] {
                    let bucket = look.at.0.div_euclid(level.step_ms());
                    upsert(connection, level, (endpoint.0, bucket, series), &reading.tally)?;
                }
            }
            Ok(())
        })
    }

    /// How the last look at an endpoint's metrics went; `None` when none was made.
    pub fn server_look(&self, endpoint: EndpointId) -> Result<Option<ServerLook>, StoreError> {
        self.read("read how the server was looked at", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT at_ms, server, problem, good_ms FROM server_look WHERE endpoint = ?1")?;
            let look = statement.query_row([endpoint.0], |row| {
                Ok(ServerLook {
                    at: TimestampMs(row.get(0)?),
                    server: row.get(1)?,
                    problem: row.get(2)?,
                    last_good: row.get::<_, Option<i64>>(3)?.map(TimestampMs),
                })
            });
            Ok(look.optional()?)
        })
    }

    /// What the server said in `[from, to)`, in about `points` buckets at most. Both ends are moved outwards to whole
    /// buckets; where the minutes are gone, hours answer.
    pub fn server_history(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
        points: u32,
    ) -> Result<ServerHistory, StoreError> {
        self.read("read what the server said", |connection| {
            let (from, to) = clamp(from, to);
            let enough = |step: i64| step.saturating_mul(i64::from(points.max(1))) >= to - from;
            let longest = round_up((to - from).div_euclid(i64::from(points.max(1))) + 1, DAY_MS);
            let mut step_ms = STEPS_MS.into_iter().find(|&step| enough(step)).unwrap_or(longest);
            let level = if step_ms >= Level::Hour.step_ms() || from < floors(connection)?.raw {
                step_ms = step_ms.max(Level::Hour.step_ms());
                Level::Hour
            } else {
                Level::Minute
            };
            let (begin, end) = (from - from.rem_euclid(step_ms), round_up(to, step_ms));
            let mut sums: BTreeMap<i64, BTreeMap<i64, Tally>> = BTreeMap::new();
            let mut statement = connection.prepare_cached(&format!(
                "SELECT bucket, series, sum, weight, greatest, histogram FROM {} WHERE endpoint = ?1 AND bucket >= ?2 AND bucket < ?3",
                table(level)
            ))?;
            let unit = level.step_ms();
            let mut rows = statement.query((endpoint.0, begin.div_euclid(unit), round_up(end, unit).div_euclid(unit)))?;
            while let Some(row) = rows.next()? {
                let at = row.get::<_, i64>(0)?.saturating_mul(unit);
                let tally = tally(row)?;
                sums.entry(row.get(1)?).or_default().entry(at.div_euclid(step_ms)).or_default().merge(&tally);
            }
            let mut series = Vec::with_capacity(sums.len());
            for (id, buckets) in sums {
                // A quantity that an older build does not know is left out.
                let Some((quantity, part, source, note)) = name(connection, id)? else { continue };
                let buckets = buckets.into_iter().map(|(bucket, tally)| (TimestampMs(bucket * step_ms), tally)).collect();
                series.push(ServerSeries { quantity, part, source, note, buckets });
            }
            series.sort_by(|a, b| (a.quantity, &a.part, &a.source).cmp(&(b.quantity, &b.part, &b.source)));
            Ok(ServerHistory { step_ms, series })
        })
    }
}

fn table(level: Level) -> &'static str {
    match level {
        Level::Minute => "server_minute",
        Level::Hour | Level::Day => "server_hour",
    }
}

/// Removes up to `limit` names that no bucket since `floor_ms` refers to; returns how many.
pub(crate) fn remove_unused(connection: &Connection, floor_ms: i64, limit: usize) -> Result<usize, StoreError> {
    let floor_day_ms = floor_ms - floor_ms.rem_euclid(DAY_MS);
    Ok(connection
        .prepare_cached(
            "DELETE FROM server_series
             WHERE id IN (SELECT id FROM server_series WHERE last_used_ms < ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute((floor_day_ms, limit as i64))?)
}

fn series_id(connection: &Connection, reading: &Reading, at: TimestampMs) -> Result<i64, StoreError> {
    let day_ms = at.0 - at.0.rem_euclid(DAY_MS);
    let names = (reading.quantity.as_str(), &reading.part, reading.source, reading.note);
    let known = connection
        .prepare_cached(
            "SELECT id, last_used_ms FROM server_series WHERE quantity = ?1 AND part = ?2 AND source = ?3 AND note = ?4",
        )?
        .query_row(names, |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    if let Some((id, used_ms)) = known {
        if used_ms < day_ms {
            connection
                .prepare_cached("UPDATE server_series SET last_used_ms = ?2 WHERE id = ?1")?
                .execute([id, day_ms])?;
        }
        return Ok(id);
    }
    let (quantity, part, source, note) = names;
    connection
        .prepare_cached(
            "INSERT INTO server_series (quantity, part, source, note, last_used_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((quantity, part, source, note, day_ms))?;
    Ok(connection.last_insert_rowid())
}

type Names = (Quantity, String, String, String);

fn name(connection: &Connection, id: i64) -> Result<Option<Names>, StoreError> {
    let found = connection
        .prepare_cached("SELECT quantity, part, source, note FROM server_series WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    Ok(found.and_then(|(word, part, source, note)| Some((Quantity::parse(&word)?, part, source, note))))
}

fn upsert(connection: &Connection, level: Level, key: (i64, i64, i64), new: &Tally) -> Result<(), StoreError> {
    let table = table(level);
    let mut sum = connection
        .prepare_cached(&format!(
            "SELECT bucket, series, sum, weight, greatest, histogram FROM {table}
             WHERE endpoint = ?1 AND bucket = ?2 AND series = ?3"
        ))?
        .query_row(key, tally)
        .optional()?
        .unwrap_or_default();
    sum.merge(new);
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (endpoint, bucket, series, sum, weight, greatest, histogram)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        ))?
        .execute((key.0, key.1, key.2, finite(sum.sum), finite(sum.weight), finite(sum.max), sum.histogram_bytes()))?;
    Ok(())
}

/// SQLite holds no NaN; sums of finite readings overflow only when a server says absurd things.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn tally(row: &rusqlite::Row<'_>) -> Result<Tally, rusqlite::Error> {
    let mut tally = Tally { sum: row.get(2)?, weight: row.get(3)?, max: row.get(4)?, histogram: None };
    if let Some(bytes) = row.get_ref(5)?.as_blob_or_null()?
        && !tally.set_histogram_bytes(bytes)
    {
        tracing::warn!("a stored histogram cannot be read; its quantiles are left out");
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use pilothouse_scrape::Histogram;

    use super::*;
    use crate::Retention;
    use crate::testing::{DAY, HOUR, MINUTE, MONDAY, endpoint, store};

    fn reading(quantity: Quantity, part: &str, tally: Tally) -> Reading {
        Reading { quantity, part: part.to_owned(), source: "model_requests_total", note: "", tally }
    }

    fn look(at: TimestampMs) -> ServerLook {
        ServerLook { at, server: Some("MLServer".to_owned()), problem: None, last_good: None }
    }

    #[test]
    fn looks_add_up_to_minutes_and_hours() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for i in 0..240 {
            let mut latency = Tally::new(0.5, 10.0);
            latency.histogram = Some(Histogram::new([(0.1, 9.0), (f64::INFINITY, 10.0)]));
            let readings = vec![
                reading(Quantity::Throughput, "", Tally::new(10.0, 30.0)),
                reading(Quantity::Latency, "", latency),
                reading(Quantity::Errors, "500", Tally::new(f64::from(i == 7), 30.0)),
            ];
            store.record_server_look(id, &look(MONDAY.plus_ms(i64::from(i) * 30_000)), readings).unwrap();
        }
        let history = store.server_history(id, MONDAY, MONDAY.plus_ms(HOUR), 100).unwrap();
        assert_eq!(history.step_ms, MINUTE);
        let of = |quantity| history.series.iter().find(|series| series.quantity == quantity).unwrap();
        assert_eq!(of(Quantity::Throughput).buckets.len(), 60);
        let (at, tally) = &of(Quantity::Throughput).buckets[1];
        assert_eq!((*at, tally.value()), (MONDAY.plus_ms(MINUTE), Some(1.0 / 3.0)));
        assert_eq!(of(Quantity::Latency).buckets[0].1.histogram.as_ref().map(Histogram::count), Some(20.0));
        assert_eq!(of(Quantity::Errors).part, "500");
        let failing: Vec<i64> = of(Quantity::Errors)
            .buckets
            .iter()
            .filter(|(_, tally)| tally.sum > 0.0)
            .map(|(at, _)| at.since(MONDAY) / MINUTE)
            .collect();
        assert_eq!(failing, [3]);
        let coarse = store.server_history(id, MONDAY, MONDAY.plus_ms(2 * HOUR), 2).unwrap();
        assert_eq!(coarse.step_ms, HOUR);
        let latency = coarse.series.iter().find(|series| series.quantity == Quantity::Latency).unwrap();
        assert_eq!(latency.buckets.iter().map(|(_, tally)| tally.weight).collect::<Vec<_>>(), [1_200.0, 1_200.0]);
        assert_eq!(latency.buckets[0].1.value(), Some(0.05));
    }

    #[test]
    fn the_last_look_remembers_when_it_went_well() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        assert_eq!(store.server_look(id).unwrap(), None);
        store.record_server_look(id, &look(MONDAY), Vec::new()).unwrap();
        let bad = ServerLook { at: MONDAY.plus_ms(5), server: None, problem: Some("refused".into()), last_good: None };
        store.record_server_look(id, &bad, Vec::new()).unwrap();
        let expect = ServerLook { server: Some("MLServer".into()), last_good: Some(MONDAY), ..bad };
        assert_eq!(store.server_look(id).unwrap(), Some(expect));
        store.remove_endpoint(id).unwrap();
        store.record_server_look(id, &look(MONDAY), Vec::new()).unwrap();
        assert_eq!(store.server_look(id).unwrap(), None);
    }

    #[test]
    fn minutes_go_with_the_raw_samples_and_hours_later() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for day in 0..40 {
            let readings = vec![reading(Quantity::InFlight, "", Tally::new(3.0, 1.0))];
            store.record_server_look(id, &look(MONDAY.plus_ms(day * DAY)), readings).unwrap();
        }
        let retention = Retention { raw_days: 10, minute_days: 20, hour_days: 30 };
        let report = store.retain(&retention, MONDAY.plus_ms(40 * DAY)).unwrap();
        assert_eq!(report.server, 30 + 10);
        let all = store.server_history(id, MONDAY, MONDAY.plus_ms(40 * DAY), 1_000).unwrap();
        assert_eq!((all.step_ms, all.series[0].buckets.len()), (HOUR, 30));
        let fresh = store.server_history(id, MONDAY.plus_ms(39 * DAY), MONDAY.plus_ms(39 * DAY + HOUR), 100).unwrap();
        assert_eq!((fresh.step_ms, fresh.series[0].buckets.len()), (MINUTE, 1));
        store.remove_endpoint(id).unwrap();
        assert!(store.server_history(id, MONDAY, MONDAY.plus_ms(40 * DAY), 1_000).unwrap().series.is_empty());
    }

    #[test]
    fn a_damaged_histogram_costs_its_quantiles_only() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let mut tally = Tally::new(1.0, 2.0);
        tally.histogram = Some(Histogram::new([(1.0, 2.0)]));
        store.record_server_look(id, &look(MONDAY), vec![reading(Quantity::Latency, "", tally)]).unwrap();
        store.write("damage", |c| Ok(c.execute("UPDATE server_minute SET histogram = x'FF00'", [])?)).unwrap();
        let history = store.server_history(id, MONDAY, MONDAY.plus_ms(MINUTE), 10).unwrap();
        assert_eq!(history.series[0].buckets[0].1, Tally { histogram: None, ..Tally::new(1.0, 2.0) });
    }
}
