//! What the fleet screen asks of every endpoint, several times a second while it is open.
//!
//! What it hides: that hardly anything of it changed since the last time. What must stay true: an answer with a
//! [`FleetCache`] equals one without, except that a probe which was stored more than a minute after it was due, or before
//! one already seen (a clock set back), may be missing until the next minute begins; what did not change is the very
//! allocation of the answer before, so that the caller sees it by comparing pointers.

use std::collections::HashMap;
use std::sync::Arc;

use pilothouse_domain::{Endpoint, EndpointId, TimestampMs};
use rusqlite::{Connection, Row};

use crate::history::{Beat, Summary};
use crate::probes::{self, LATEST_MS};
use crate::rollups::{self, Level, Tally};
use crate::{Store, StoreError, endpoints};

const MINUTE_MS: i64 = Level::Minute.step_ms();
/// The window of the numbers, in minutes.
const WINDOW_MINUTES: i64 = 60;
/// The last minutes of the window, which may still change: probes are stored when they are answered.
const OPEN_MINUTES: i64 = 2;

/// One endpoint on the fleet screen.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetEntry {
    /// Its settings.
    pub endpoint: Arc<Endpoint>,
    /// What was measured of it lately.
    pub facts: Arc<FleetFacts>,
}

/// What was measured of one endpoint lately.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetFacts {
    /// Its last probes, oldest first.
    pub beats: Vec<Beat>,
    /// The last 60 minutes and the one that runs.
    pub hour: Summary,
    /// The 60 minutes and the one before.
    pub hour_before: Summary,
}

/// What [`Store::fleet`] keeps between two calls. It holds about 4 KB per endpoint.
#[derive(Debug, Default)]
pub struct FleetCache {
    view: View,
    endpoints: HashMap<EndpointId, Kept>,
}

/// What is looked at: facts of another view are read anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    /// The minute that runs, since 1970.
    minute: i64,
    n_beats: u32,
}

impl View {
    fn new(now: TimestampMs, n_beats: u32) -> Self {
        Self { minute: now.0.clamp(0, LATEST_MS).div_euclid(MINUTE_MS), n_beats }
    }
}

#[derive(Debug)]
struct Kept {
    entry: FleetEntry,
    /// The time of its last probe.
    last_ms: Option<i64>,
    /// The window without its open minutes.
    closed: Tally,
}

impl Store {
    /// Every endpoint with its last `n_beats` probes and its last two hours at `now`, by number.
    pub fn fleet(&self, cache: &mut FleetCache, now: TimestampMs, n_beats: u32) -> Result<Vec<FleetEntry>, StoreError> {
        let view = View::new(now, n_beats);
        self.read("read the fleet", |connection| {
            let same_view = cache.view == view;
            // One step down the index for each endpoint tells whether it was probed since.
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {}, (SELECT ts_ms FROM sample WHERE endpoint = e.id ORDER BY ts_ms DESC LIMIT 1)
                 FROM endpoint e ORDER BY id",
                endpoints::COLUMNS
            ))?;
            let mut rows = statement.query([])?;
            let mut kept = HashMap::with_capacity(cache.endpoints.len());
            let mut entries = Vec::with_capacity(cache.endpoints.len());
            while let Some(row) = rows.next()? {
                let id = EndpointId(row.get(0)?);
                let seen = look(connection, row, cache.endpoints.remove(&id), view, same_view)?;
                entries.push(seen.entry.clone());
                kept.insert(id, seen);
            }
            *cache = FleetCache { view, endpoints: kept };
            Ok(entries)
        })
    }

    /// [`Store::fleet`] of one endpoint, without its settings.
    pub fn fleet_facts(&self, id: EndpointId, now: TimestampMs, n_beats: u32) -> Result<FleetFacts, StoreError> {
        self.read("read the endpoint's facts", |connection| Ok(whole(connection, id, View::new(now, n_beats))?.0))
    }
}

/// One endpoint now: what was kept of it where that still holds.
fn look(
    connection: &Connection,
    row: &Row<'_>,
    before: Option<Kept>,
    view: View,
    same_view: bool,
) -> Result<Kept, StoreError> {
    let endpoint = match &before {
        Some(kept) if endpoints::is_as_stored(&kept.entry.endpoint, row)? => Arc::clone(&kept.entry.endpoint),
        _ => Arc::new(endpoints::decode(row)?),
    };
    let last_ms: Option<i64> = row.get(endpoints::N_COLUMNS)?;
    let (facts, closed) = match before {
        Some(kept) if same_view && kept.last_ms == last_ms => (kept.entry.facts, kept.closed),
        Some(kept) if same_view && kept.last_ms < last_ms => {
            (Arc::new(newer(connection, endpoint.id, &kept, view)?), kept.closed)
        }
        before => {
            let (facts, closed) = whole(connection, endpoint.id, view)?;
            match before {
                Some(kept) if *kept.entry.facts == facts => (kept.entry.facts, closed),
                _ => (Arc::new(facts), closed),
            }
        }
    };
    Ok(Kept { entry: FleetEntry { endpoint, facts }, last_ms, closed })
}

/// The facts read from nothing, and the tally of the window's closed minutes.
fn whole(connection: &Connection, id: EndpointId, view: View) -> Result<(FleetFacts, Tally), StoreError> {
    let begin = view.minute - WINDOW_MINUTES;
    let (mut closed, mut open, mut before) = (Tally::default(), Tally::default(), Tally::default());
    minutes(connection, id, begin - WINDOW_MINUTES, view, |minute, stored| {
        // The first minute of the window is also the one that ran an hour ago.
        if minute <= begin {
            stored.add_to(&mut before);
        }
        if minute > view.minute - OPEN_MINUTES {
            stored.add_to(&mut open);
        } else if minute >= begin {
            stored.add_to(&mut closed);
        }
    })?;
    open.merge(&closed);
    let beats = probes::read_last(connection, id, None, view.n_beats)?;
    Ok((FleetFacts { beats, hour: Summary::new(&open), hour_before: Summary::new(&before) }, closed))
}

/// The facts after some more probes.
fn newer(connection: &Connection, id: EndpointId, kept: &Kept, view: View) -> Result<FleetFacts, StoreError> {
    let old = &kept.entry.facts;
    let new = probes::read_last(connection, id, old.beats.last().map(|beat| beat.at), view.n_beats)?;
    let outdated = (old.beats.len() + new.len()).saturating_sub(view.n_beats as usize).min(old.beats.len());
    let beats = old.beats[outdated..].iter().cloned().chain(new).collect();
    let mut hour = kept.closed.clone();
    minutes(connection, id, view.minute - OPEN_MINUTES + 1, view, |_, stored| stored.add_to(&mut hour))?;
    Ok(FleetFacts { beats, hour: Summary::new(&hour), hour_before: old.hour_before.clone() })
}

/// Hands each minute (since 1970) from `from` to the one that runs to `visit`.
fn minutes(
    connection: &Connection,
    id: EndpointId,
    from: i64,
    view: View,
    mut visit: impl FnMut(i64, &rollups::StoredTally<'_>),
) -> Result<(), StoreError> {
    let window = (TimestampMs(from * MINUTE_MS), TimestampMs((view.minute + 1) * MINUTE_MS));
    rollups::read(connection, Level::Minute, id, window, &mut |at, stored| {
        visit(at.0.div_euclid(MINUTE_MS), stored);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{HOUR, MINUTE, MONDAY, endpoint, probe, store};

    /// What a look at everything gives.
    fn anew(store: &Store, now: TimestampMs) -> Vec<FleetEntry> {
        store.fleet(&mut FleetCache::default(), now, 5).unwrap()
    }

    fn facts_of(entries: &[FleetEntry], id: EndpointId) -> &FleetFacts {
        &entries.iter().find(|entry| entry.endpoint.id == id).unwrap().facts
    }

    #[test]
    fn a_cache_changes_no_answer() {
        let (_folder, store) = store();
        let mut ids = vec![store.add_endpoint(&endpoint("wine")).unwrap()];
        let mut cache = FleetCache::default();
        for step in 0..300_i64 {
            // Slowly at last, so that several answers fall into each minute.
            let now = MONDAY.plus_ms(if step < 100 { step * 40_000 } else { HOUR + 10 * MINUTE + step * 3_000 });
            if step == 150 {
                ids.push(store.add_endpoint(&endpoint("credit-risk")).unwrap());
            }
            if step == 200 {
                store.remove_endpoint(ids.remove(0)).unwrap();
            }
            match step % 20 {
                7 => store.pause_endpoint(ids[0], step % 40 == 7).unwrap(),
                13 => {
                    let mut changed = store.endpoint(ids[0]).unwrap().unwrap();
                    changed.probe.interval_ms += 1;
                    store.update_endpoint(&changed).map(drop).unwrap();
                }
                _ => {}
            }
            // The first one is probed at every step, the others at every third.
            for &id in ids.iter().take(if step % 3 == 0 { ids.len() } else { 1 }) {
                // A probe is stored once it has its answer, here long after it was due.
                store.append_probe(probe(id, now.plus_ms(-45_000), 1_000 + step as u32)).unwrap();
            }
            store.flush().unwrap();
            assert_eq!(store.fleet(&mut cache, now, 5).unwrap(), anew(&store, now), "step {step}");
        }
    }

    #[test]
    fn what_did_not_change_is_the_same_allocation() {
        let (_folder, store) = store();
        let ids = [store.add_endpoint(&endpoint("wine")).unwrap(), store.add_endpoint(&endpoint("churn")).unwrap()];
        let mut cache = FleetCache::default();
        let now = MONDAY.plus_ms(HOUR);
        let mut look = |now| {
            store.flush().unwrap();
            let entries = store.fleet(&mut cache, now, 5).unwrap();
            entries.iter().map(|entry| (Arc::as_ptr(&entry.endpoint), Arc::as_ptr(&entry.facts))).collect::<Vec<_>>()
        };
        store.append_probe(probe(ids[0], now, 1_000)).unwrap();
        let first = look(now);
        assert_eq!(look(now), first);
        // A minute without news is no news.
        assert_eq!(look(now.plus_ms(MINUTE)), first);
        store.append_probe(probe(ids[1], now.plus_ms(MINUTE), 1_000)).unwrap();
        store.pause_endpoint(ids[0], true).unwrap();
        let second = look(now.plus_ms(MINUTE));
        assert_eq!((second[0].1, second[1].0), (first[0].1, first[1].0));
        assert!(second[0].0 != first[0].0 && second[1].1 != first[1].1);
    }

    #[test]
    fn a_probe_that_came_late_is_seen_in_the_next_minute() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let mut cache = FleetCache::default();
        let now = MONDAY.plus_ms(HOUR);
        store.append_probe(probe(id, now, 1_000)).unwrap();
        store.flush().unwrap();
        assert_eq!(facts_of(&store.fleet(&mut cache, now, 5).unwrap(), id).hour.n, 1);
        store.append_probe(probe(id, now.plus_ms(-5 * MINUTE), 1_000)).unwrap();
        store.flush().unwrap();
        let entries = store.fleet(&mut cache, now.plus_ms(MINUTE), 5).unwrap();
        let facts = facts_of(&entries, id);
        assert_eq!((facts.hour.n, facts.beats.len()), (2, 2));
    }

    #[test]
    fn the_windows_are_those_of_the_fleet_summaries() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for i in 0..300 {
            store.append_probe(probe(id, MONDAY.plus_ms(i * 30_000), 1_000 + i as u32)).unwrap();
        }
        store.flush().unwrap();
        for after in [2 * HOUR, 2 * HOUR + 1, 2 * HOUR + 12_345, 3 * HOUR, 30 * MINUTE] {
            let now = MONDAY.plus_ms(after);
            let facts = store.fleet_facts(id, now, 52).unwrap();
            let hour = store.fleet_summaries(now.plus_ms(-HOUR), now.plus_ms(1)).unwrap();
            // One millisecond more, so that the running minute of the hour before counts as it does in the first window.
            let before = store.fleet_summaries(now.plus_ms(-2 * HOUR), now.plus_ms(1 - HOUR)).unwrap();
            assert_eq!((&facts.hour, &facts.hour_before), (&hour[&id], &before[&id]), "{after} ms");
            assert_eq!(facts.beats, store.recent(52).unwrap()[&id]);
            assert_eq!(&facts, facts_of(&store.fleet(&mut FleetCache::default(), now, 52).unwrap(), id));
        }
        assert_eq!(store.fleet_facts(EndpointId(9), MONDAY, 52).unwrap(), FleetFacts::default());
    }
}
