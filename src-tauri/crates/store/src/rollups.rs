//! Sums per minute, hour and day (UTC): counts per outcome, and a sketch of the latency of the `ok` probes.
//!
//! What must stay true: a rollup equals what its raw samples give, whichever way it was merged; it changes in the
//! transaction that stores its samples. Buckets are numbered from 1970 (`ts_ms / step`), which is shorter than a time.

use std::collections::BTreeMap;

use pilothouse_domain::{EndpointId, Outcome, Probe, TimestampMs};
use pilothouse_stats::QuantileSketch;
use rusqlite::{Connection, OptionalExtension as _};

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

    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Minute => "rollup_minute",
            Self::Hour => "rollup_hour",
            Self::Day => "rollup_day",
        }
    }
}

/// What a stretch of time adds up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) n_ok: u64,
    pub(crate) n_target_failed: u64,
    pub(crate) n_unknown: u64,
    /// `total_us` of the `ok` probes.
    pub(crate) latency: QuantileSketch,
}

impl Tally {
    /// Counts one probe.
    pub(crate) fn add(&mut self, probe: &Probe) {
        match probe.outcome {
            Outcome::Ok => {
                self.n_ok += 1;
                if let Some(total_us) = probe.total_us {
                    self.latency.insert(f64::from(total_us));
                }
            }
            Outcome::TargetFailed(_) => self.n_target_failed += 1,
            Outcome::Unknown(_) => self.n_unknown += 1,
        }
    }

    /// Adds what `other` counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.add_counts(other.n_ok, other.n_target_failed, other.n_unknown);
        self.latency.merge(&other.latency);
    }

    fn merge_stored(&mut self, stored: &Stored<'_>) {
        self.add_counts(stored.n_ok.into(), stored.n_target_failed.into(), stored.n_unknown.into());
        if let Some(bytes) = stored.latency
            && let Err(error) = self.latency.merge_bytes(bytes)
        {
            // The counts are still right, and one damaged bucket must not stop every later probe from being stored.
            tracing::warn!(%error, "a stored latency sketch cannot be read; its latencies are left out");
        }
    }

    fn add_counts(&mut self, n_ok: u64, n_target_failed: u64, n_unknown: u64) {
        self.n_ok = self.n_ok.saturating_add(n_ok);
        self.n_target_failed = self.n_target_failed.saturating_add(n_target_failed);
        self.n_unknown = self.n_unknown.saturating_add(n_unknown);
    }
}

/// One stored bucket, not yet decoded.
pub(crate) struct Stored<'a> {
    n_ok: u32,
    n_target_failed: u32,
    n_unknown: u32,
    latency: Option<&'a [u8]>,
}

impl Stored<'_> {
    /// Adds this bucket to `tally`.
    pub(crate) fn add_to(&self, tally: &mut Tally) {
        tally.merge_stored(self);
    }
}

/// Adds stored probes, each with the time it was stored at, to the buckets of every level.
pub(crate) fn add(connection: &Connection, probes: &[(TimestampMs, &Probe)]) -> Result<(), StoreError> {
    let mut tallies: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
    for (at, probe) in probes {
        let minute = at.0.div_euclid(Level::Minute.step_ms());
        tallies.entry((probe.endpoint.0, minute)).or_default().add(probe);
    }
    let mut level = Level::Minute;
    loop {
        for ((endpoint, bucket), tally) in &tallies {
            upsert(connection, level, *endpoint, *bucket, tally)?;
        }
        let coarser = match level {
            Level::Minute => Level::Hour,
            Level::Hour => Level::Day,
            Level::Day => return Ok(()),
        };
        let ratio = coarser.step_ms() / level.step_ms();
        let mut merged: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
        for ((endpoint, bucket), tally) in tallies {
            merged.entry((endpoint, bucket.div_euclid(ratio))).or_default().merge(&tally);
        }
        tallies = merged;
        level = coarser;
    }
}

fn upsert(connection: &Connection, level: Level, endpoint: i64, bucket: i64, new: &Tally) -> Result<(), StoreError> {
    let table = level.table();
    let mut select = connection.prepare_cached(&format!(
        "SELECT bucket, n_ok, n_target_failed, n_unknown, latency FROM {table} WHERE endpoint = ?1 AND bucket = ?2"
    ))?;
    let mut tally = new.clone();
    select.query_row((endpoint, bucket), |row| stored(row).map(|(_, old)| tally.merge_stored(&old))).optional()?;
    let latency = (tally.latency.count() > 0).then(|| tally.latency.to_bytes());
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (endpoint, bucket, n_ok, n_target_failed, n_unknown, latency)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute((
            endpoint,
            bucket,
            tally.n_ok as i64,
            tally.n_target_failed as i64,
            tally.n_unknown as i64,
            latency,
        ))?;
    Ok(())
}

/// Hands the buckets of the level that begin in `[from, to)` to `visit` with the time each begins, oldest first.
pub(crate) fn read(
    connection: &Connection,
    level: Level,
    endpoint: EndpointId,
    (from, to): (TimestampMs, TimestampMs),
    visit: &mut dyn FnMut(TimestampMs, &Stored<'_>),
) -> Result<(), StoreError> {
    let step = level.step_ms();
    let bucket_from = |at: i64| at.div_euclid(step) + i64::from(at.rem_euclid(step) != 0);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT bucket, n_ok, n_target_failed, n_unknown, latency FROM {}
         WHERE endpoint = ?1 AND bucket >= ?2 AND bucket < ?3 ORDER BY bucket",
        level.table()
    ))?;
    let mut rows = statement.query((endpoint.0, bucket_from(from.0), bucket_from(to.0)))?;
    while let Some(row) = rows.next()? {
        let (bucket, stored) = stored(row)?;
        visit(TimestampMs(bucket.saturating_mul(step)), &stored);
    }
    Ok(())
}

fn stored<'a>(row: &'a rusqlite::Row<'_>) -> Result<(i64, Stored<'a>), rusqlite::Error> {
    Ok((
        row.get(0)?,
        Stored {
            n_ok: saturated(row.get(1)?),
            n_target_failed: saturated(row.get(2)?),
            n_unknown: saturated(row.get(3)?),
            latency: row.get_ref(4)?.as_blob_or_null()?,
        },
    ))
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
