//! The last known health of each endpoint, so that a restart goes on where it stopped.

use std::collections::HashMap;

use pilothouse_domain::{EndpointId, Health, HealthState, TimestampMs};
use rusqlite::Row;

use crate::error::is_foreign_key_violation;
use crate::{Store, StoreError};

pub(crate) const V1: &str = "
CREATE TABLE health (
    endpoint INTEGER PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE,
    health TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;";

impl Store {
    /// Remembers the endpoint's health.
    pub fn set_health(&self, endpoint: EndpointId, state: &HealthState) -> Result<(), StoreError> {
        let state = state.clone();
        self.write("store the health", move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO health (endpoint, health, since_ms, reason) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((endpoint.0, state.health.as_str(), state.since.0, state.reason))
                .map_err(|error| {
                    if is_foreign_key_violation(&error) {
                        StoreError::not_found("endpoint", &endpoint)
                    } else {
                        error.into()
                    }
                })?;
            Ok(())
        })
    }

    /// The health of every endpoint that has one.
    pub fn health(&self) -> Result<HashMap<EndpointId, HealthState>, StoreError> {
        self.read("read the health", |connection| {
            let mut statement = connection.prepare_cached("SELECT endpoint, health, since_ms, reason FROM health")?;
            let mut rows = statement.query([])?;
            let mut states = HashMap::new();
            while let Some(row) = rows.next()? {
                states.insert(EndpointId(row.get(0)?), decode(row)?);
            }
            Ok(states)
        })
    }

    /// The health of one endpoint, if it has one.
    pub fn health_of(&self, endpoint: EndpointId) -> Result<Option<HealthState>, StoreError> {
        self.read("read the endpoint's health", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT endpoint, health, since_ms, reason FROM health WHERE endpoint = ?1")?;
            let mut rows = statement.query([endpoint.0])?;
            rows.next()?.map(decode).transpose()
        })
    }
}

fn decode(row: &Row<'_>) -> Result<HealthState, StoreError> {
    let word: String = row.get(1)?;
    let unreadable = || {
        StoreError::unreadable("health", &EndpointId(row.get(0).unwrap_or_default()), &format!("`{word}` is no health"))
    };
    let health = parse(&word).ok_or_else(unreadable)?;
    Ok(HealthState { health, since: TimestampMs(row.get(2)?), reason: row.get(3)? })
}

fn parse(word: &str) -> Option<Health> {
    [Health::Healthy, Health::Degraded, Health::Down, Health::Unknown, Health::Paused]
        .into_iter()
        .find(|health| health.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    #[test]
    fn the_last_state_is_kept() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        for health in [Health::Healthy, Health::Degraded, Health::Down, Health::Unknown, Health::Paused] {
            let state = HealthState { health, since: MONDAY, reason: format!("{health:?}") };
            store.set_health(id, &state).unwrap();
            assert_eq!(store.health_of(id).unwrap().as_ref(), Some(&state));
            assert_eq!(store.health().unwrap(), HashMap::from([(id, state)]));
        }
        assert_eq!(store.health_of(EndpointId(9)).unwrap(), None);
    }
}
