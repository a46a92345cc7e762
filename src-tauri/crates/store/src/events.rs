//! The timeline: what happened, to which endpoint, when.

use pilothouse_domain::{EndpointId, Event, TimestampMs};

use rusqlite::Connection;

use crate::error::is_foreign_key_violation;
use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

pub(crate) const V1: &str = "
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    endpoint INTEGER REFERENCES endpoint (id) ON DELETE CASCADE,
    kind TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_endpoint ON event (endpoint, at_ms);";

/// The timeline of the whole fleet is asked for as often as that of one endpoint.
pub(crate) const V2: &str = "CREATE INDEX event_by_time ON event (at_ms);";

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those of this endpoint; `None`: all, also those of this machine.
    pub endpoint: Option<EndpointId>,
    /// Not before this.
    pub from: TimestampMs,
    /// Before this.
    pub to: TimestampMs,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Stores an event (its `id` is ignored) and returns its number.
    pub fn append_event(&self, event: &Event) -> Result<i64, StoreError> {
        let event = event.clone();
        self.write("store the event", move |connection| insert(connection, &event))
    }

    /// The events that the filter lets through, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        self.read("read the events", |connection| {
            let condition = if filter.endpoint.is_some() { "endpoint = ?4" } else { "?4 IS NULL" };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT id, at_ms, endpoint, kind FROM event WHERE at_ms >= ?1 AND at_ms < ?2 AND {condition}
                 ORDER BY at_ms DESC, id DESC LIMIT ?3"
            ))?;
            let mut rows =
                statement.query((filter.from.0, filter.to.0, filter.limit, filter.endpoint.map(|id| id.0)))?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                events.push(Event {
                    id,
                    at: TimestampMs(row.get(1)?),
                    endpoint: row.get::<_, Option<i64>>(2)?.map(EndpointId),
                    kind: from_json("event", &id, &row.get::<_, String>(3)?)?,
                });
            }
            Ok(events)
        })
    }
}

pub(crate) fn insert(connection: &Connection, event: &Event) -> Result<i64, StoreError> {
    let kind = to_json("event", &event.kind)?;
    connection
        .prepare_cached("INSERT INTO event (at_ms, endpoint, kind) VALUES (?1, ?2, ?3)")?
        .execute((event.at.0, event.endpoint.map(|id| id.0), kind))
        .map_err(|error| match event.endpoint {
            Some(id) if is_foreign_key_violation(&error) => StoreError::not_found("endpoint", &id),
            _ => error.into(),
        })?;
    Ok(connection.last_insert_rowid())
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::EventKind;

    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    #[test]
    fn the_filter_chooses_by_endpoint_and_time() {
        let (_folder, store) = store();
        let [a, b] = ["a", "b"].map(|name| store.add_endpoint(&endpoint(name)).unwrap());
        for (at, endpoint) in [(0, Some(a)), (10, Some(b)), (20, None), (30, Some(a)), (30, Some(b))] {
            let kind = EventKind::FaultInjected { fault: "latency".to_owned() };
            store.append_event(&Event { id: 0, at: MONDAY.plus_ms(at), endpoint, kind }).unwrap();
        }
        let check = |endpoint, from, to, limit, expect: &[i64]| {
            let filter = EventFilter { endpoint, from: MONDAY.plus_ms(from), to: MONDAY.plus_ms(to), limit };
            let ids: Vec<_> = store.events(&filter).unwrap().iter().map(|event| event.id).collect();
            assert_eq!(ids, expect, "{filter:?}");
        };
        check(None, 0, 31, 10, &[5, 4, 3, 2, 1]);
        check(None, 0, 30, 10, &[3, 2, 1]);
        check(None, 10, 31, 2, &[5, 4]);
        check(Some(a), 0, 31, 10, &[4, 1]);
        check(Some(b), 10, 11, 10, &[2]);
        let orphan = Event { id: 0, at: MONDAY, endpoint: Some(EndpointId(77)), kind: EventKind::Paused };
        assert!(matches!(store.append_event(&orphan), Err(StoreError::NotFound { .. })));
    }
}
