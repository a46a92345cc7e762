//! What changed of the fleet since the window asked last, so that an answer carries the rows that are new and not all.
//!
//! What it hides: the counting. What must stay true: the answers since each revision, applied one after the other, equal
//! one full answer; a row is sent again only when something that it is made from changed.

use std::collections::HashMap;
use std::sync::Arc;

use pilothouse_domain::{Endpoint, EndpointId, HealthState, LiveVersion, RunId, TimestampMs};
use pilothouse_engine::QualityState;
use pilothouse_store::{FleetCache, FleetFacts};

/// All that a row is made from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) facts: Arc<FleetFacts>,
    pub(crate) live: Option<LiveVersion>,
    pub(crate) run: Option<RunId>,
    pub(crate) health: HealthState,
    pub(crate) quality: Arc<QualityState>,
}

impl Sources {
    /// Whether they make the same row, without looking into what is shared with the look before.
    fn same(&self, other: &Self) -> bool {
        let Self { endpoint, facts, live, run, health, quality } = self;
        Arc::ptr_eq(endpoint, &other.endpoint)
            && Arc::ptr_eq(facts, &other.facts)
            && Arc::ptr_eq(quality, &other.quality)
            && (live, run, health) == (&other.live, &other.run, &other.health)
    }
}

/// The fleet as it was seen last.
#[derive(Debug)]
pub(crate) struct KnownFleet {
    /// What the store keeps from one look to the next.
    pub(crate) cache: FleetCache,
    /// Grows with each look that brings news.
    revision: i64,
    rows: HashMap<EndpointId, Known>,
    order: Vec<EndpointId>,
    /// The revision at which something was added, removed or moved last.
    order_revision: i64,
}

#[derive(Debug)]
struct Known {
    sources: Sources,
    /// The revision at which it changed last.
    revision: i64,
}

impl KnownFleet {
    /// Nothing seen yet. Revisions begin at the present time in milliseconds, so that one of an earlier process, which a
    /// window might still hold, counts as old.
    pub(crate) fn new(now: TimestampMs) -> Self {
        let revision = now.0.max(1);
        let (rows, order) = (HashMap::new(), Vec::new());
        Self { cache: FleetCache::default(), revision, rows, order, order_revision: revision }
    }

    /// Takes in what every endpoint's row is made from now, in the order of the rows.
    pub(crate) fn take_in(&mut self, all: Vec<Sources>) {
        let next = self.revision + 1;
        let order: Vec<EndpointId> = all.iter().map(|sources| sources.endpoint.id).collect();
        if order != self.order {
            (self.order, self.order_revision, self.revision) = (order, next, next);
        }
        let mut rows = HashMap::with_capacity(all.len());
        for sources in all {
            let id = sources.endpoint.id;
            let known = match self.rows.remove(&id) {
                Some(known) if known.sources.same(&sources) => known,
                _ => {
                    self.revision = next;
                    Known { sources, revision: next }
                }
            };
            rows.insert(id, known);
        }
        self.rows = rows;
    }

    /// The revision of what was taken in last.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// What the rows are made from that changed since a revision given out before, in their order.
    pub(crate) fn rows_since(&self, revision: Option<i64>) -> impl Iterator<Item = &Sources> {
        let since = self.ours(revision);
        let rows = self.order.iter().filter_map(|id| self.rows.get(id));
        rows.filter(move |known| known.revision > since).map(|known| &known.sources)
    }

    /// The order of all rows, if it changed since a revision given out before.
    pub(crate) fn order_since(&self, revision: Option<i64>) -> Option<Vec<i64>> {
        (self.order_revision > self.ours(revision)).then(|| self.order.iter().map(|id| id.0).collect())
    }

    /// A revision of ours; without one, or with one that was never given out, everything is new.
    fn ours(&self, revision: Option<i64>) -> i64 {
        revision.filter(|&revision| revision <= self.revision).unwrap_or(0)
    }
}
