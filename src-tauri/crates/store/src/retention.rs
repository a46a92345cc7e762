//! Removing what is older than a person wants to keep, and telling how much there is.
//!
//! What must stay true: it goes in bounded slices, one short transaction each, so that probes are stored in between; what
//! is gone is written down before it is removed, so that a chart turns to the coarser rollups and never shows a hole;
//! days are kept for ever.

use pilothouse_domain::{EndpointId, TimestampMs};
use rusqlite::{Connection, OptionalExtension as _};

use crate::rollups::{GENERATION, HEALTH, Level};
use crate::{Store, StoreError, endpoints, evaluations, server_metrics, text};

/// Since when each source is complete; no row: since ever.
pub(crate) const V1: &str = "
CREATE TABLE complete_since (source TEXT PRIMARY KEY, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/// Rows removed in one transaction.
const SLICE_ROWS: usize = 5_000;
/// Pages given back to the file system in one transaction.
const SLICE_PAGES: u32 = 1_000;

/// For how many days what is kept. Days in the sense of UTC; rollups per day are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Raw samples, what servers said of themselves by the minute, and the predictions of evaluations other than the newest
    /// of each version.
    pub raw_days: u32,
    /// Rollups per minute.
    pub minute_days: u32,
    /// Rollups per hour.
    pub hour_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { raw_days: 14, minute_days: 90, hour_days: 730 }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Raw samples.
    pub samples: u64,
    /// Rollups per minute.
    pub minutes: u64,
    /// Rollups per hour.
    pub hours: u64,
    /// Rollups per day of endpoints that were removed.
    pub days: u64,
    /// Measurements of generated answers, and their rollups.
    pub generations: u64,
    /// Minutes and hours of what servers said of themselves.
    pub server: u64,
    /// Texts that no sample refers to any more, and names of series without buckets.
    pub texts: u64,
    /// Evaluations whose predictions were forgotten.
    pub predictions: u64,
}

/// How many bytes what takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageSize {
    /// Raw samples and their texts.
    pub samples: u64,
    /// Rollups per minute.
    pub minutes: u64,
    /// Rollups per hour.
    pub hours: u64,
    /// Rollups per day.
    pub days: u64,
    /// Golden sets and evaluations.
    pub evaluations: u64,
    /// Everything else: endpoints, events, versions, rollbacks, audit entries, settings.
    pub other: u64,
    /// Room in the file for future rows.
    pub free: u64,
    /// The write-ahead log.
    pub log: u64,
}

impl StorageSize {
    /// All of it.
    pub fn total(&self) -> u64 {
        let Self { samples, minutes, hours, days, evaluations, other, free, log } = self;
        samples + minutes + hours + days + evaluations + other + free + log
    }
}

/// Since when each source is complete, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floors {
    pub(crate) raw: i64,
    pub(crate) minute: i64,
    pub(crate) hour: i64,
}

/// A table that grows with time, and how its second key column counts it.
#[derive(Clone, Copy)]
struct Bulk {
    table: &'static str,
    key: &'static str,
    step_ms: i64,
}

const SAMPLES: Bulk = Bulk { table: "sample", key: "ts_ms", step_ms: 1 };
const MINUTES: Bulk = Bulk::rollup(Level::Minute);
const HOURS: Bulk = Bulk::rollup(Level::Hour);
const DAYS: Bulk = Bulk::rollup(Level::Day);
const GENERATIONS: Bulk = Bulk { table: "generation", key: "ts_ms", step_ms: 1 };
const GENERATION_MINUTES: Bulk = Bulk::generation(Level::Minute);
const GENERATION_HOURS: Bulk = Bulk::generation(Level::Hour);
const GENERATION_DAYS: Bulk = Bulk::generation(Level::Day);
const SERVER_MINUTES: Bulk = Bulk { table: "server_minute", key: "bucket", step_ms: Level::Minute.step_ms() };
const SERVER_HOURS: Bulk = Bulk { table: "server_hour", key: "bucket", step_ms: Level::Hour.step_ms() };

impl Bulk {
    const fn rollup(level: Level) -> Self {
        Self { table: HEALTH.table(level), key: "bucket", step_ms: level.step_ms() }
    }

    const fn generation(level: Level) -> Self {
        Self { table: GENERATION.table(level), key: "bucket", step_ms: level.step_ms() }
    }
}

impl Store {
    /// Removes what is older than `retention` allows at `now`, and what removed endpoints left behind. Each kind must be
    /// kept for at least a day and at least as long as the finer ones.
    pub fn retain(&self, retention: &Retention, now: TimestampMs) -> Result<RetentionReport, StoreError> {
        let Retention { raw_days, minute_days, hour_days } = *retention;
        if raw_days == 0 || minute_days < raw_days || hour_days < minute_days {
            let problem = format!(
                "raw samples, minutes and hours must be kept for at least 1 day and each at least as long as the one \
                 before; got {raw_days}, {minute_days} and {hour_days} days"
            );
            return Err(StoreError::Invalid { what: "retention", problem });
        }
        let floor = |days: u32| {
            let at = now.plus_ms(-i64::from(days) * Level::Day.step_ms()).0;
            at.saturating_sub(at.rem_euclid(Level::Day.step_ms()))
        };
        let [raw_ms, minute_ms, hour_ms] = [raw_days, minute_days, hour_days].map(floor);
        self.write("write down what is removed", move |connection| {
            for (source, since_ms) in [("raw", raw_ms), ("minute", minute_ms), ("hour", hour_ms)] {
                connection
                    .prepare_cached(
                        "INSERT INTO complete_since (source, since_ms) VALUES (?1, ?2)
                         ON CONFLICT DO UPDATE SET since_ms = excluded.since_ms WHERE excluded.since_ms > since_ms",
                    )?
                    .execute((source, since_ms))?;
            }
            Ok(())
        })?;
        let report = RetentionReport {
            samples: self.remove_before(SAMPLES, raw_ms)?,
            minutes: self.remove_before(MINUTES, minute_ms)?,
            hours: self.remove_before(HOURS, hour_ms)?,
            days: self.remove_before(DAYS, i64::MIN)?,
            generations: self.remove_before(GENERATIONS, raw_ms)?
                + self.remove_before(GENERATION_MINUTES, minute_ms)?
                + self.remove_before(GENERATION_HOURS, hour_ms)?
                + self.remove_before(GENERATION_DAYS, i64::MIN)?,
            // A dozen series an endpoint: their minutes are kept as long as the raw samples.
            server: self.remove_before(SERVER_MINUTES, raw_ms)? + self.remove_before(SERVER_HOURS, hour_ms)?,
            texts: self.in_slices(SLICE_ROWS, move |connection| text::remove_unused(connection, raw_ms, SLICE_ROWS))?
                + self.in_slices(SLICE_ROWS, move |connection| {
                    server_metrics::remove_unused(connection, hour_ms, SLICE_ROWS)
                })?,
            // Predictions are some kilobytes a row.
            predictions: self.in_slices(SLICE_ROWS / 50, move |connection| {
                evaluations::remove_old_predictions(connection, raw_ms, SLICE_ROWS / 50)
            })?,
        };
        self.shrink()?;
        Ok(report)
    }

    /// How many bytes what takes. Reads every page of the file once.
    pub fn storage_size(&self) -> Result<StorageSize, StoreError> {
        let mut size = self.read("measure the database", |connection| {
            let mut size = StorageSize::default();
            let mut statement = connection.prepare_cached(
                "SELECT coalesce(m.tbl_name, s.name), sum(s.pgsize) FROM dbstat s LEFT JOIN sqlite_schema m USING (name)
                 WHERE s.aggregate = TRUE GROUP BY 1",
            )?;
            let mut rows = statement.query([])?;
            let mut used = 0;
            while let Some(row) = rows.next()? {
                let bytes = row.get::<_, i64>(1)?.unsigned_abs();
                used += bytes;
                *match row.get_ref(0)?.as_str().unwrap_or_default() {
                    "sample" | "text" | "generation" => &mut size.samples,
                    "rollup_minute" | "server_minute" | "generation_minute" => &mut size.minutes,
                    "rollup_hour" | "server_hour" | "generation_hour" => &mut size.hours,
                    "rollup_day" | "generation_day" => &mut size.days,
                    "golden_set" | "evaluation" | "latest_evaluation" => &mut size.evaluations,
                    _ => &mut size.other,
                } += bytes;
            }
            let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let total = pragma("page_count")?.saturating_mul(pragma("page_size")?);
            size.free = total.unsigned_abs().saturating_sub(used);
            Ok(size)
        })?;
        size.log = std::fs::metadata(crate::open::log_path(self.path())).map_or(0, |log| log.len());
        Ok(size)
    }

    fn remove_before(&self, bulk: Bulk, floor_ms: i64) -> Result<u64, StoreError> {
        self.in_slices(SLICE_ROWS, move |connection| remove_slice(connection, bulk, floor_ms, SLICE_ROWS))
    }

    /// Repeats `slice` in transactions of their own until it does less than a whole one; returns the sum.
    fn in_slices<F>(&self, whole: usize, slice: F) -> Result<u64, StoreError>
    where
        F: Fn(&Connection) -> Result<usize, StoreError> + Clone + Send + 'static,
    {
        let mut sum = 0;
        loop {
            let done = self.write("remove old rows", slice.clone())?;
            sum += done as u64;
            if done < whole {
                return Ok(sum);
            }
        }
    }

    /// Gives pages back to the file system while more than a tenth of the file is free.
    fn shrink(&self) -> Result<(), StoreError> {
        while self.write("give room back", |connection| {
            let pages = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let free = pages("freelist_count")?;
            if free <= pages("page_count")? / 10 {
                return Ok(false);
            }
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({SLICE_PAGES})"))?;
            Ok(pages("freelist_count")? < free)
        })? {}
        Ok(())
    }
}

/// Removes the history of an endpoint that was removed.
pub(crate) fn remove_history(store: &Store, endpoint: EndpointId) -> Result<(), StoreError> {
    let generations = [GENERATIONS, GENERATION_MINUTES, GENERATION_HOURS, GENERATION_DAYS];
    for bulk in [SAMPLES, MINUTES, HOURS, DAYS, SERVER_MINUTES, SERVER_HOURS].into_iter().chain(generations) {
        store
            .in_slices(SLICE_ROWS, move |connection| remove_rows(connection, bulk, endpoint.0, i64::MAX, SLICE_ROWS))?;
    }
    Ok(())
}

/// Since when each source is complete.
pub(crate) fn floors(connection: &Connection) -> Result<Floors, StoreError> {
    let mut floors = Floors { raw: i64::MIN, minute: i64::MIN, hour: i64::MIN };
    let mut statement = connection.prepare_cached("SELECT source, since_ms FROM complete_since")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str().unwrap_or_default() {
            "raw" => floors.raw = row.get(1)?,
            "minute" => floors.minute = row.get(1)?,
            "hour" => floors.hour = row.get(1)?,
            _ => {}
        }
    }
    Ok(floors)
}

/// Removes up to `limit` rows of any endpoint before `floor_ms`, and any row of endpoints that no longer exist.
fn remove_slice(connection: &Connection, bulk: Bulk, floor_ms: i64, limit: usize) -> Result<usize, StoreError> {
    let mut removed = 0;
    let mut last = i64::MIN;
    // One seek per endpoint, instead of a look at every row.
    let sql = format!("SELECT endpoint FROM {} WHERE endpoint > ?1 ORDER BY endpoint LIMIT 1", bulk.table);
    while removed < limit
        && let Some(endpoint) =
            connection.prepare_cached(&sql)?.query_row([last], |row| row.get::<_, i64>(0)).optional()?
    {
        let floor =
            if endpoints::exists(connection, endpoint)? { floor_ms.max(0).div_euclid(bulk.step_ms) } else { i64::MAX };
        removed += remove_rows(connection, bulk, endpoint, floor, limit - removed)?;
        last = endpoint;
    }
    Ok(removed)
}

/// Removes the endpoint's oldest rows whose key lies below `floor`, at most `limit`.
fn remove_rows(
    connection: &Connection,
    Bulk { table, key, .. }: Bulk,
    endpoint: i64,
    floor: i64,
    limit: usize,
) -> Result<usize, StoreError> {
    // The bundled SQLite knows no DELETE … LIMIT: find the first row that stays.
    let first_kept: Option<i64> = connection
        .prepare_cached(&format!(
            "SELECT {key} FROM {table} WHERE endpoint = ?1 AND {key} < ?2 ORDER BY {key} LIMIT 1 OFFSET ?3"
        ))?
        .query_row((endpoint, floor, limit as i64), |row| row.get(0))
        .optional()?;
    let removed = connection
        .prepare_cached(&format!("DELETE FROM {table} WHERE endpoint = ?1 AND {key} < ?2"))?
        .execute((endpoint, first_kept.unwrap_or(floor)))?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Probe;

    use super::*;
    use crate::testing::{DAY, HOUR, MINUTE, MONDAY, endpoint, probe, samples, store};

    #[test]
    fn each_kind_is_kept_for_its_days_and_charts_show_no_hole() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let at = |day: i64| MONDAY.plus_ms(day * DAY + 12 * HOUR);
        for day in 0..100 {
            let detail = Some(format!("day {day}"));
            store.append_probe(Probe { detail, ..probe(id, at(day), 1_000) }).unwrap();
        }
        store.flush().unwrap();
        let retention = Retention { raw_days: 10, minute_days: 20, hour_days: 30 };
        let now = MONDAY.plus_ms(99 * DAY + 13 * HOUR);
        let report = store.retain(&retention, now).unwrap();
        let expected = RetentionReport {
            samples: 89,
            minutes: 79,
            hours: 69,
            days: 0,
            generations: 0,
            server: 0,
            texts: 89,
            predictions: 0,
        };
        assert_eq!(report, expected);
        assert_eq!(store.retain(&retention, now).unwrap(), RetentionReport::default(), "a second time removes nothing");
        let kept = samples(&store, id);
        assert_eq!(
            kept.iter().map(|p| p.detail.clone().unwrap()).collect::<Vec<_>>(),
            (89..100).map(|d| format!("day {d}")).collect::<Vec<_>>()
        );

        // Twelve o'clock of any day, whatever is left of it, and asked for in whatever detail.
        for day in 0..100 {
            let (from, to) = (at(day).plus_ms(-MINUTE), at(day).plus_ms(MINUTE));
            let history = store.history(id, from, to, 1_000).unwrap();
            let step = [(89, 1_000), (79, MINUTE), (69, HOUR), (0, DAY)].into_iter().find(|s| day >= s.0).unwrap().1;
            assert_eq!((history.step_ms, history.buckets.len()), (step, 1), "day {day}");
            assert_eq!(store.summary(id, from, to).unwrap().n, 1, "day {day}");
        }
        assert_eq!(store.summary(id, MONDAY, MONDAY.plus_ms(100 * DAY)).unwrap().n, 100);
    }

    #[test]
    fn more_than_one_slice_goes_and_the_room_is_given_back() {
        let (_folder, store) = store();
        let ids = ["a", "b"].map(|name| store.add_endpoint(&endpoint(name)).unwrap());
        for i in 0..7_000 {
            for id in ids {
                store.append_probe(probe(id, MONDAY.plus_ms(i * 10_000), 1_000 + i as u32)).unwrap();
            }
        }
        store.flush().unwrap();
        let before = store.storage_size().unwrap();
        assert!(before.samples > 0 && before.minutes > 0 && before.hours > 0 && before.days > 0 && before.other > 0);
        let report = store.retain(&Retention::default(), MONDAY.plus_ms(20 * DAY)).unwrap();
        assert_eq!((report.samples, report.minutes, report.texts), (14_000, 0, 1));
        let after = store.storage_size().unwrap();
        assert!(after.samples < before.samples / 10, "{after:?}");
        assert!(after.free < (after.total() - after.log) / 5, "{after:?}");
        assert_eq!(after.minutes, before.minutes);
    }

    #[test]
    fn what_a_crash_left_of_a_removed_endpoint_goes() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(probe(id, MONDAY, 1_000)).unwrap();
        store.write("crash", |c| Ok(c.execute("DELETE FROM endpoint", [])?)).unwrap();
        let report = store.retain(&Retention::default(), MONDAY).unwrap();
        assert_eq!((report.samples, report.minutes, report.hours, report.days), (1, 1, 1, 1));
    }

    #[test]
    fn old_predictions_are_forgotten_except_the_newest_of_each_version() {
        let (_folder, store) = store();
        let endpoint = store.add_endpoint(&endpoint("wine")).unwrap();
        let golden_set = store
            .add_golden_set(&pilothouse_domain::GoldenSet {
                id: pilothouse_domain::GoldenSetId(0),
                name: "held out".to_owned(),
                task: pilothouse_domain::Task::Regression,
                table: pilothouse_domain::Table::default(),
                labels: Vec::new(),
                created: MONDAY,
                source: String::new(),
            })
            .unwrap();
        let ids: Vec<_> = (0..450)
            .map(|i| pilothouse_domain::Evaluation {
                id: pilothouse_domain::EvaluationId(0),
                endpoint,
                golden_set,
                version: Some(if i < 200 { "6" } else { "7" }.into()),
                at: MONDAY.plus_ms(i * MINUTE),
                n: 1,
                metrics: Vec::new(),
                predictions: vec![vec![1.0]],
                elapsed_ms: 1,
            })
            .map(|evaluation| store.add_evaluation(&evaluation).unwrap())
            .collect();
        let report = store.retain(&Retention::default(), MONDAY.plus_ms(30 * DAY)).unwrap();
        assert_eq!(report.predictions, 448);
        let kept: Vec<_> = ids
            .iter()
            .enumerate()
            .filter(|(_, id)| !store.evaluation(**id).unwrap().unwrap().predictions.is_empty())
            .map(|(i, _)| i)
            .collect();
        assert_eq!(kept, [199, 449]);
    }

    #[test]
    fn a_retention_that_would_leave_a_hole_is_refused() {
        let (_folder, store) = store();
        for (raw_days, minute_days, hour_days) in [(0, 1, 1), (2, 1, 3), (1, 3, 2)] {
            let refused = store.retain(&Retention { raw_days, minute_days, hour_days }, MONDAY);
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        }
    }
}
