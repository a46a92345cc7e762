//! Raw samples: one row per probe, clustered by endpoint and time.
//!
//! What must stay true: nothing outside this file reads or writes the table `sample`, except retention, which removes
//! whole days; a probe is never lost to another one of the same millisecond; the rollups change in the same transaction.

use std::collections::HashMap;

use pilothouse_domain::{EndpointId, Outcome, Phases, Probe, TimestampMs, UnknownReason, VersionId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::text::TextCache;
use crate::{Beat, Store, StoreError, endpoints, generations, rollups};

/// The outcome is kind × 256 + reason ([`Outcome::codes`]), so that `ok`, like a 0 or 1 flag, takes no byte. What the
/// fleet screen reads comes first, since SQLite decodes a row only up to the last column asked for. No foreign key to the
/// endpoint: removing one would have to remove millions of rows in one transaction.
pub(crate) const V1: &str = "
CREATE TABLE sample (
    endpoint INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    total_us INTEGER,
    detail INTEGER,
    late_us INTEGER NOT NULL,
    http_status INTEGER,
    version INTEGER,
    dns_us INTEGER,
    connect_us INTEGER,
    tls_us INTEGER,
    send_us INTEGER,
    wait_us INTEGER,
    receive_us INTEGER,
    reused INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    PRIMARY KEY (endpoint, ts_ms)
) STRICT, WITHOUT ROWID;";

/// Time spent on opening a tunnel, for the few endpoints that are reached through one.
pub(crate) const V8: &str = "ALTER TABLE sample ADD COLUMN tunnel_us INTEGER;";

const COLUMNS: &str = "ts_ms, outcome, late_us, http_status, (SELECT value FROM text WHERE id = version), dns_us, \
                       connect_us, tls_us, send_us, wait_us, receive_us, total_us, reused, response_bytes, \
                       (SELECT value FROM text WHERE id = detail), tunnel_us";

/// The last millisecond of the year 9999. Later times are a broken clock, not a probe.
pub(crate) const LATEST_MS: i64 = 253_402_300_799_999;
/// Longest text of a detail, in characters.
const DETAIL_CHARACTERS: usize = 300;

impl Store {
    /// Hands every sample of the endpoint in `[from, to)` to `visit`, oldest first. All reading of raw samples goes
    /// through here; only committed probes are seen, so [`Store::flush`] first where the last second matters. What a
    /// generated answer measured is stored apart ([`Store::generation_history`]) and left out.
    pub fn read_samples(
        &self,
        endpoint: EndpointId,
        from: TimestampMs,
        to: TimestampMs,
        visit: &mut dyn FnMut(&Probe),
    ) -> Result<(), StoreError> {
        self.read("read the samples", |connection| read(connection, endpoint, from, to, visit))
    }
}

/// Refuses a probe that no file could hold.
pub(crate) fn check(probe: &Probe) -> Result<(), StoreError> {
    if (0..=LATEST_MS).contains(&probe.due.0) {
        return Ok(());
    }
    let problem =
        format!("its time {} ms lies outside the years 1970 to 9999; check this machine's clock", probe.due.0);
    Err(StoreError::Invalid { what: "probe", problem })
}

/// Stores the probes and adds them to the rollups. Those of endpoints that do not exist are dropped.
pub(crate) fn insert(connection: &Connection, probes: &[Probe], texts: &mut TextCache) -> Result<(), StoreError> {
    let mut exists: HashMap<i64, bool> = HashMap::new();
    let mut stored = Vec::with_capacity(probes.len());
    for probe in probes {
        let id = probe.endpoint.0;
        let known = match exists.get(&id) {
            Some(&known) => known,
            None => *exists.entry(id).or_insert(endpoints::exists(connection, id)?),
        };
        if known {
            stored.push((insert_one(connection, probe, texts)?, probe));
        } else {
            tracing::debug!(endpoint = id, "dropped a probe of an endpoint that was removed");
        }
    }
    rollups::add(connection, &stored)?;
    generations::insert(connection, &stored)
}

/// Stores one probe at the first free millisecond from its time on, and returns that time.
fn insert_one(connection: &Connection, probe: &Probe, texts: &mut TextCache) -> Result<TimestampMs, StoreError> {
    let (kind, reason) = probe.outcome.codes();
    let version = probe.version.as_ref().map(|v| texts.intern(connection, v.as_str(), probe.due.0)).transpose()?;
    let detail = match &probe.detail {
        Some(detail) => Some(texts.intern(connection, shorten(detail), probe.due.0)?),
        None => None,
    };
    let phases = &probe.phases;
    let mut statement = connection.prepare_cached(
        "INSERT INTO sample (endpoint, ts_ms, outcome, late_us, http_status, version, dns_us, connect_us, tls_us,
            send_us, wait_us, receive_us, total_us, reused, response_bytes, detail, tunnel_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) ON CONFLICT DO NOTHING",
    )?;
    let mut at = probe.due;
    loop {
        let inserted = statement.execute(rusqlite::params![
            probe.endpoint.0,
            at.0,
            i64::from(kind) * 256 + i64::from(reason),
            probe.late_us,
            probe.http_status,
            version,
            phases.dns,
            phases.connect,
            phases.tls,
            phases.send,
            phases.wait,
            phases.receive,
            probe.total_us,
            probe.reused,
            probe.response_bytes,
            detail,
            phases.tunnel,
        ])?;
        if inserted == 1 {
            return Ok(at);
        }
        at = at.plus_ms(1);
    }
}

fn shorten(detail: &str) -> &str {
    detail.char_indices().nth(DETAIL_CHARACTERS).map_or(detail, |(end, _)| &detail[..end])
}

/// See [`Store::read_samples`].
pub(crate) fn read(
    connection: &Connection,
    endpoint: EndpointId,
    from: TimestampMs,
    to: TimestampMs,
    visit: &mut dyn FnMut(&Probe),
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sample WHERE endpoint = ?1 AND ts_ms >= ?2 AND ts_ms < ?3 ORDER BY ts_ms"
    ))?;
    let mut rows = statement.query((endpoint.0, from.0, to.0))?;
    while let Some(row) = rows.next()? {
        visit(&decode(endpoint, row)?);
    }
    Ok(())
}

/// The last `n` samples of the endpoint as the fleet screen draws them, oldest first; only those after `seen`.
pub(crate) fn read_last(
    connection: &Connection,
    endpoint: EndpointId,
    seen: Option<TimestampMs>,
    n: u32,
) -> Result<Vec<Beat>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT ts_ms, outcome, total_us, detail FROM sample WHERE endpoint = ?1 AND ts_ms > ?3
         ORDER BY ts_ms DESC LIMIT ?2",
    )?;
    // Apart from the rows, because hardly any has one.
    let mut text = connection.prepare_cached("SELECT value FROM text WHERE id = ?1")?;
    let mut rows = statement.query((endpoint.0, n, seen.map_or(i64::MIN, |at| at.0)))?;
    let mut beats = Vec::new();
    while let Some(row) = rows.next()? {
        let at = TimestampMs(row.get(0)?);
        let total_us = row.get::<_, Option<i64>>(2)?.map(saturated);
        let detail = match row.get::<_, Option<i64>>(3)? {
            Some(id) => text.query_row([id], |row| row.get(0)).optional()?,
            None => None,
        };
        beats.push(Beat { at, outcome: outcome(endpoint, at, row.get(1)?), total_us, detail });
    }
    beats.reverse();
    Ok(beats)
}

fn decode(endpoint: EndpointId, row: &Row<'_>) -> Result<Probe, StoreError> {
    let count = |column: usize| -> Result<u32, rusqlite::Error> { Ok(saturated(row.get(column)?)) };
    let optional = |column: usize| -> Result<Option<u32>, rusqlite::Error> {
        Ok(row.get::<_, Option<i64>>(column)?.map(saturated))
    };
    let due = TimestampMs(row.get(0)?);
    Ok(Probe {
        endpoint,
        due,
        outcome: outcome(endpoint, due, row.get(1)?),
        late_us: count(2)?,
        http_status: optional(3)?.map(|status| u16::try_from(status).unwrap_or(u16::MAX)),
        version: row.get::<_, Option<String>>(4)?.map(VersionId),
        phases: Phases {
            dns: optional(5)?,
            connect: optional(6)?,
            tunnel: optional(15)?,
            tls: optional(7)?,
            send: optional(8)?,
            wait: optional(9)?,
            receive: optional(10)?,
        },
        total_us: optional(11)?,
        reused: row.get::<_, i64>(12)? != 0,
        response_bytes: count(13)?,
        detail: row.get(14)?,
        generation: None,
    })
}

/// A stored number as `u32`; what does not fit is damage, and the nearest end of the range.
pub(crate) fn saturated(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn outcome(endpoint: EndpointId, due: TimestampMs, stored: i64) -> Outcome {
    let codes = u8::try_from(stored / 256).ok().zip(u8::try_from(stored % 256).ok());
    codes.and_then(|(kind, reason)| Outcome::from_codes(kind, reason)).unwrap_or_else(|| {
        tracing::warn!(%endpoint, ts_ms = due.0, stored, "a stored outcome has no meaning; shown as unknown");
        Outcome::Unknown(UnknownReason::Internal)
    })
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::TargetFailure;

    use super::*;
    use crate::testing::{MONDAY, endpoint, probe, samples, store};

    #[test]
    fn every_field_of_a_probe_comes_back() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let full = Probe {
            phases: Phases {
                dns: Some(0),
                connect: Some(1),
                tunnel: Some(7),
                tls: Some(2),
                send: Some(3),
                wait: Some(4),
                receive: Some(u32::MAX),
            },
            late_us: u32::MAX,
            total_us: Some(u32::MAX),
            response_bytes: u32::MAX,
            http_status: Some(599),
            reused: false,
            ..probe(id, MONDAY, 1)
        };
        let failures = TargetFailure::ALL.iter().map(|&reason| Outcome::TargetFailed(reason));
        let unknown = UnknownReason::ALL.iter().map(|&reason| Outcome::Unknown(reason));
        let mut expected = vec![full];
        for (i, outcome) in failures.chain(unknown).enumerate() {
            let due = MONDAY.plus_ms(1_000 + i as i64);
            let detail = Some(format!("detail {}", i % 3));
            let bare = Probe { phases: Phases::default(), total_us: None, http_status: None, ..probe(id, due, 0) };
            expected.push(Probe { outcome, version: None, detail, ..bare });
        }
        for probe in &expected {
            store.append_probe(probe.clone()).unwrap();
        }
        store.flush().unwrap();
        assert_eq!(samples(&store, id), expected);
        let beats = store.recent(3).unwrap().remove(&id).unwrap();
        let last = &expected[expected.len() - 3..];
        assert!(beats.iter().zip(last).all(|(beat, probe)| beat.at == probe.due && beat.detail == probe.detail));
        assert_eq!(
            beats.iter().map(|b| b.outcome).collect::<Vec<_>>(),
            last.iter().map(|p| p.outcome).collect::<Vec<_>>()
        );
    }

    #[test]
    fn probes_of_the_same_millisecond_are_all_kept() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for total_us in [1, 2, 3] {
            store.append_probe(probe(id, MONDAY, total_us)).unwrap();
        }
        store.flush().unwrap();
        let kept: Vec<_> = samples(&store, id).iter().map(|p| (p.due.since(MONDAY), p.total_us)).collect();
        assert_eq!(kept, [(0, Some(1)), (1, Some(2)), (2, Some(3))]);
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.append_probe(Probe { detail: Some("é".repeat(400)), ..probe(id, MONDAY, 1) }).unwrap();
        store.flush().unwrap();
        assert_eq!(samples(&store, id)[0].detail, Some("é".repeat(300)));
    }

    #[test]
    fn a_time_out_of_range_is_refused() {
        let (_folder, store) = store();
        for due in [-1, LATEST_MS + 1, i64::MAX, i64::MIN] {
            let refused = store.append_probe(probe(EndpointId(1), TimestampMs(due), 1));
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_stored_outcome_without_meaning_reads_as_ours() {
        let at = TimestampMs(0);
        for stored in [-1, 256, 256 + 255, 3 * 256, 1 << 40, i64::MIN, i64::MAX] {
            assert_eq!(outcome(EndpointId(1), at, stored), Outcome::Unknown(UnknownReason::Internal), "{stored}");
        }
    }
}
