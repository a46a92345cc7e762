//! What the fleet screen asks of every endpoint, several times a second while it is open.
//!
//! What it hides: that hardly anything of it changed since the last time. What must stay true: an answer with a
//! [`FleetCache`] equals one without, except that a probe which was stored more than a minute after it was due, or before
//! one already seen (a clock set back), may be missing until the next minute begins.

use std::collections::{HashMap, VecDeque};

use pilothouse_domain::{EndpointId, TimestampMs};
use rusqlite::Connection;

use crate::history::{Beat, Summary};
use crate::probes::{self, LATEST_MS};
use crate::rollups::{self, Level, Tally};
use crate::{Store, StoreError, endpoints};

const MINUTE_MS: i64 = Level::Minute.step_ms();
/// The window of the numbers, in minutes.
const WINDOW_MINUTES: i64 = 60;

/// One endpoint on the fleet screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetFacts {
    /// Its last probes, oldest first.
    pub beats: Vec<Beat>,
    /// The last 60 minutes and the one that runs.
    pub hour: Summary,
    /// The 60 minutes and the one before.
    pub hour_before: Summary,
}

/// What [`Store::fleet`] keeps between two calls. It holds about 3 KB per endpoint.
#[derive(Debug, Default)]
pub struct FleetCache {
    /// The minute (since 1970) in which it was filled; another minute fills it anew.
    minute: i64,
    n_beats: u32,
    endpoints: HashMap<EndpointId, Kept>,
}

#[derive(Debug)]
struct Kept {
    beats: VecDeque<Beat>,
    /// The window without its last two minutes, which may still change.
    hour: Tally,
    hour_before: Summary,
}

impl Store {
    /// The last `n_beats` probes and the last two hours of every endpoint at `now`.
    pub fn fleet(
        &self,
        cache: &mut FleetCache,
        now: TimestampMs,
        n_beats: u32,
    ) -> Result<HashMap<EndpointId, FleetFacts>, StoreError> {
        let minute = now.0.clamp(0, LATEST_MS).div_euclid(MINUTE_MS);
        if (cache.minute, cache.n_beats) != (minute, n_beats) {
            *cache = FleetCache { minute, n_beats, endpoints: HashMap::new() };
        }
        self.read("read the fleet", |connection| {
            let ids = endpoints::ids(connection)?;
            cache.endpoints.retain(|id, _| ids.binary_search(id).is_ok());
            ids.into_iter().map(|id| Ok((id, facts(connection, cache, id)?))).collect()
        })
    }

    /// [`Store::fleet`] of one endpoint.
    pub fn fleet_facts(&self, id: EndpointId, now: TimestampMs, n_beats: u32) -> Result<FleetFacts, StoreError> {
        let minute = now.0.clamp(0, LATEST_MS).div_euclid(MINUTE_MS);
        let mut cache = FleetCache { minute, n_beats, endpoints: HashMap::new() };
        self.read("read the endpoint's facts", |connection| facts(connection, &mut cache, id))
    }
}

fn facts(connection: &Connection, cache: &mut FleetCache, id: EndpointId) -> Result<FleetFacts, StoreError> {
    let (minute, n_beats) = (cache.minute, cache.n_beats);
    let kept = match cache.endpoints.entry(id) {
        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::hash_map::Entry::Vacant(entry) => {
            let begin = minute - WINDOW_MINUTES;
            let hour = minutes(connection, id, begin, minute - 1, Tally::default())?;
            let before = minutes(connection, id, begin - WINDOW_MINUTES, begin + 1, Tally::default())?;
            entry.insert(Kept { beats: VecDeque::new(), hour, hour_before: Summary::new(&before) })
        }
    };
    let seen = kept.beats.back().map(|beat| beat.at);
    for beat in probes::read_last(connection, id, seen, n_beats)? {
        if kept.beats.len() == n_beats as usize {
            kept.beats.pop_front();
        }
        kept.beats.push_back(beat);
    }
    let hour = minutes(connection, id, minute - 1, minute + 1, kept.hour.clone())?;
    Ok(FleetFacts {
        beats: kept.beats.iter().cloned().collect(),
        hour: Summary::new(&hour),
        hour_before: kept.hour_before.clone(),
    })
}

/// Adds the minutes from `from` to before `to` (since 1970) to `tally`.
fn minutes(connection: &Connection, id: EndpointId, from: i64, to: i64, mut tally: Tally) -> Result<Tally, StoreError> {
    let window = (TimestampMs(from * MINUTE_MS), TimestampMs(to * MINUTE_MS));
    rollups::read(connection, Level::Minute, id, window, &mut |_, stored| stored.add_to(&mut tally))?;
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{HOUR, MINUTE, MONDAY, endpoint, probe, store};

    /// What a look at everything gives.
    fn whole(store: &Store, now: TimestampMs) -> HashMap<EndpointId, FleetFacts> {
        store.fleet(&mut FleetCache::default(), now, 5).unwrap()
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
            for &id in &ids {
                // A probe is stored once it has its answer, here long after it was due.
                store.append_probe(probe(id, now.plus_ms(-45_000), 1_000 + step as u32)).unwrap();
            }
            store.flush().unwrap();
            assert_eq!(store.fleet(&mut cache, now, 5).unwrap(), whole(&store, now), "step {step}");
        }
    }

    #[test]
    fn a_probe_that_came_late_is_seen_in_the_next_minute() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let mut cache = FleetCache::default();
        let now = MONDAY.plus_ms(HOUR);
        store.append_probe(probe(id, now, 1_000)).unwrap();
        store.flush().unwrap();
        assert_eq!(store.fleet(&mut cache, now, 5).unwrap()[&id].hour.n, 1);
        store.append_probe(probe(id, now.plus_ms(-5 * MINUTE), 1_000)).unwrap();
        store.flush().unwrap();
        let facts = &store.fleet(&mut cache, now.plus_ms(MINUTE), 5).unwrap()[&id];
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
            assert_eq!(facts, store.fleet(&mut FleetCache::default(), now, 52).unwrap()[&id]);
        }
        assert_eq!(store.fleet_facts(EndpointId(9), MONDAY, 52).unwrap(), FleetFacts::default());
    }
}
