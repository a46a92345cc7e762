//! Sums per minute, hour and day (UTC): counts, and a mergeable sketch of each of a set of named quantities.
//!
//! What it is: [`Family`], a set of numbers with its three tables; probes are one, generated answers another.
//! What must stay true: a rollup equals what its raw samples give, whichever way it was merged; it changes in the
//! transaction that stores its samples. Buckets are numbered from 1970 (`ts_ms / step`), which is shorter than a time.

use std::collections::BTreeMap;

use pilothouse_domain::{EndpointId, Outcome, Probe, TimestampMs};
use pilothouse_stats::QuantileSketch;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::StoreError;
use crate::probes::saturated;

pub(crate) const V1: &str = "
CREATE TABLE rollup_minute (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n_ok INTEGER NOT NULL, n_target_failed INTEGER NOT NULL,
    n_unknown INTEGER NOT NULL, latency BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_hour (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n_ok INTEGER NOT NULL, n_target_failed INTEGER NOT NULL,
    n_unknown INTEGER NOT NULL, latency BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_day (
    endpoint INTEGER NOT NULL, bucket INTEGER NOT NULL, n_ok INTEGER NOT NULL, n_target_failed INTEGER NOT NULL,
    n_unknown INTEGER NOT NULL, latency BLOB, PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;";

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Level {
    Minute,
    Hour,
    Day,
}

impl Level {
    pub(crate) const fn step_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

/// Which numbers a stretch of time is summed up in: `C` counts, and sketches of `Q` named quantities.
pub(crate) struct Family<const C: usize, const Q: usize> {
    /// The tables per minute, per hour and per day.
    tables: [&'static str; 3],
    counts: [&'static str; C],
    quantities: [&'static str; Q],
}

/// Probes: how many of each kind, and how long the `ok` ones took.
pub(crate) const HEALTH: Family<3, 1> = Family {
    tables: ["rollup_minute", "rollup_hour", "rollup_day"],
    counts: ["n_ok", "n_target_failed", "n_unknown"],
    quantities: ["latency"],
};

/// Generated answers: how many, how soon they began, how fast they went on.
pub(crate) const GENERATION: Family<1, 3> = Family {
    tables: ["generation_minute", "generation_hour", "generation_day"],
    counts: ["n"],
    quantities: ["first_token", "inter_token", "tokens_per_second"],
};

/// What a stretch of time adds up to, in the order of its [`Family`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sums<const C: usize, const Q: usize> {
    pub(crate) counts: [u64; C],
    pub(crate) quantities: [QuantileSketch; Q],
}

/// One stored bucket, not yet decoded.
pub(crate) struct Stored<'a, const C: usize, const Q: usize> {
    counts: [u32; C],
    quantities: [Option<&'a [u8]>; Q],
}

/// What a stretch of time of probes adds up to.
pub(crate) type Tally = Sums<3, 1>;
/// One stored bucket of probes.
pub(crate) type StoredTally<'a> = Stored<'a, 3, 1>;

impl<const C: usize, const Q: usize> Default for Sums<C, Q> {
    fn default() -> Self {
        Self { counts: [0; C], quantities: std::array::from_fn(|_| QuantileSketch::default()) }
    }
}

impl<const C: usize, const Q: usize> Sums<C, Q> {
    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        for (sketch, more) in self.quantities.iter_mut().zip(&other.quantities) {
            sketch.merge(more);
        }
    }
}

impl<const C: usize, const Q: usize> Stored<'_, C, Q> {
    /// Adds this bucket to `sums`.
    pub(crate) fn add_to(&self, sums: &mut Sums<C, Q>) {
        for (count, more) in sums.counts.iter_mut().zip(self.counts) {
            *count = count.saturating_add(more.into());
        }
        for (sketch, bytes) in sums.quantities.iter_mut().zip(self.quantities) {
            if let Some(bytes) = bytes
                && let Err(error) = sketch.merge_bytes(bytes)
            {
                // The counts are still right, and one damaged bucket must not stop every later probe from being stored.
                tracing::warn!(%error, "a stored sketch cannot be read; its values are left out");
            }
        }
    }
}

impl Tally {
    /// Counts one probe.
    pub(crate) fn add(&mut self, probe: &Probe) {
        let [n_ok, n_target_failed, n_unknown] = &mut self.counts;
        match probe.outcome {
            Outcome::Ok => {
                *n_ok += 1;
                if let Some(total_us) = probe.total_us {
                    self.quantities[0].insert(f64::from(total_us));
                }
            }
            Outcome::TargetFailed(_) => *n_target_failed += 1,
            Outcome::Unknown(_) => *n_unknown += 1,
        }
    }

    /// `total_us` of the `ok` probes.
    pub(crate) const fn latency(&self) -> &QuantileSketch {
        &self.quantities[0]
    }
}

/// Adds stored probes, each with the time it was stored at, to the buckets of every level.
pub(crate) fn add(connection: &Connection, probes: &[(TimestampMs, &Probe)]) -> Result<(), StoreError> {
    let mut minutes: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
    for (at, probe) in probes {
        minutes.entry((probe.endpoint.0, minute_of(*at))).or_default().add(probe);
    }
    HEALTH.add(connection, minutes)
}

/// The minute (since 1970) of a time: the second key of what [`Family::add`] takes.
pub(crate) const fn minute_of(at: TimestampMs) -> i64 {
    at.0.div_euclid(Level::Minute.step_ms())
}

/// Hands the buckets of probes of the level that begin in `[from, to)` to `visit`; see [`Family::read`].
pub(crate) fn read(
    connection: &Connection,
    level: Level,
    endpoint: EndpointId,
    range: (TimestampMs, TimestampMs),
    visit: &mut dyn FnMut(TimestampMs, &StoredTally<'_>),
) -> Result<(), StoreError> {
    HEALTH.read(connection, level, endpoint, range, visit)
}

impl<const C: usize, const Q: usize> Family<C, Q> {
    pub(crate) const fn table(&self, level: Level) -> &'static str {
        self.tables[level as usize]
    }

    /// The columns after the key.
    fn columns(&self) -> String {
        let names: Vec<&str> = self.counts.into_iter().chain(self.quantities).collect();
        names.join(", ")
    }

    /// Adds sums per endpoint and minute to the buckets of every level.
    pub(crate) fn add(
        &self,
        connection: &Connection,
        minutes: BTreeMap<(i64, i64), Sums<C, Q>>,
    ) -> Result<(), StoreError> {
        let mut sums = minutes;
        let mut level = Level::Minute;
        loop {
            for ((endpoint, bucket), new) in &sums {
                self.upsert(connection, level, (*endpoint, *bucket), new)?;
            }
            let coarser = match level {
                Level::Minute => Level::Hour,
                Level::Hour => Level::Day,
                Level::Day => return Ok(()),
            };
            let ratio = coarser.step_ms() / level.step_ms();
            let mut merged: BTreeMap<(i64, i64), Sums<C, Q>> = BTreeMap::new();
            for ((endpoint, bucket), part) in sums {
                merged.entry((endpoint, bucket.div_euclid(ratio))).or_default().merge(&part);
            }
            sums = merged;
            level = coarser;
        }
    }

    fn upsert(
        &self,
        connection: &Connection,
        level: Level,
        (endpoint, bucket): (i64, i64),
        new: &Sums<C, Q>,
    ) -> Result<(), StoreError> {
        let (table, columns) = (self.table(level), self.columns());
        let mut select = connection
            .prepare_cached(&format!("SELECT bucket, {columns} FROM {table} WHERE endpoint = ?1 AND bucket = ?2"))?;
        let mut sums = new.clone();
        select
            .query_row((endpoint, bucket), |row| Self::stored(row).map(|(_, old)| old.add_to(&mut sums)))
            .optional()?;
        let mut values = vec![Value::Integer(endpoint), Value::Integer(bucket)];
        values.extend(sums.counts.map(|count| Value::Integer(count as i64)));
        values.extend(sums.quantities.iter().map(|sketch| match sketch.count() {
            0 => Value::Null,
            _ => Value::Blob(sketch.to_bytes()),
        }));
        let marks = vec!["?"; values.len()].join(", ");
        connection
            .prepare_cached(&format!("INSERT OR REPLACE INTO {table} (endpoint, bucket, {columns}) VALUES ({marks})"))?
            .execute(rusqlite::params_from_iter(values))?;
        Ok(())
    }

    /// Hands the buckets of the level that begin in `[from, to)` to `visit` with the time each begins, oldest first.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        level: Level,
        endpoint: EndpointId,
        (from, to): (TimestampMs, TimestampMs),
        visit: &mut dyn FnMut(TimestampMs, &Stored<'_, C, Q>),
    ) -> Result<(), StoreError> {
        let step = level.step_ms();
        let bucket_from = |at: i64| at.div_euclid(step) + i64::from(at.rem_euclid(step) != 0);
        let mut statement = connection.prepare_cached(&format!(
            "SELECT bucket, {} FROM {} WHERE endpoint = ?1 AND bucket >= ?2 AND bucket < ?3 ORDER BY bucket",
            self.columns(),
            self.table(level)
        ))?;
        let mut rows = statement.query((endpoint.0, bucket_from(from.0), bucket_from(to.0)))?;
        while let Some(row) = rows.next()? {
            let (bucket, stored) = Self::stored(row)?;
            visit(TimestampMs(bucket.saturating_mul(step)), &stored);
        }
        Ok(())
    }

    fn stored<'a>(row: &'a Row<'_>) -> Result<(i64, Stored<'a, C, Q>), rusqlite::Error> {
        let mut stored = Stored { counts: [0; C], quantities: [None; Q] };
        for (index, count) in stored.counts.iter_mut().enumerate() {
            *count = saturated(row.get(1 + index)?);
        }
        for (index, bytes) in stored.quantities.iter_mut().enumerate() {
            *bytes = row.get_ref(1 + C + index)?.as_blob_or_null()?;
        }
        Ok((row.get(0)?, stored))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{DAY, MONDAY, endpoint, probe, store};

    #[test]
    fn a_damaged_sketch_costs_its_own_latencies_only() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(probe(id, MONDAY, 1_000)).unwrap();
        store.write("damage", |c| Ok(c.execute("UPDATE rollup_day SET latency = x'FFFF00'", [])?)).unwrap();
        store.append_probe(probe(id, MONDAY.plus_ms(1), 2_000)).unwrap();
        store.flush().unwrap();
        let day = &store.history(id, MONDAY, MONDAY.plus_ms(DAY), 1).unwrap().buckets[0];
        assert_eq!((day.n, day.n_ok, day.max_us), (2, 2, Some(2_000.0)));
    }
}
