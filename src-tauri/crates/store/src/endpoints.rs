//! The endpoints a person connected. What is searched for stands in columns; the rest of the settings in one JSON column.

use pilothouse_domain::endpoint::{ControlPlaneConfig, EvaluationConfig, ProbeConfig, Target};
use pilothouse_domain::{Endpoint, EndpointId, Environment, MetricsConfig, TimestampMs};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use crate::error::is_unique_violation;
use crate::json::{from_json, to_json};
use crate::{Store, StoreError, retention};

/// `AUTOINCREMENT`: the number of a removed endpoint is never given to another one, because audit entries keep it.
pub(crate) const V1: &str = "
CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    environment TEXT NOT NULL,
    paused INTEGER NOT NULL CHECK (paused IN (0, 1)),
    created_ms INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT;";

/// Counts the changes of a row, pausing apart: two programs that read the same settings cannot both write them back.
pub(crate) const V4: &str = "ALTER TABLE endpoint ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;";

/// What [`decode`] and [`is_as_stored`] read, in this order.
pub(crate) const COLUMNS: &str = "id, name, environment, paused, created_ms, settings, revision";
/// The number of [`COLUMNS`].
pub(crate) const N_COLUMNS: usize = 7;
const WHAT: &str = "endpoint";

#[derive(Serialize, Deserialize)]
struct Settings<'a> {
    target: std::borrow::Cow<'a, Target>,
    probe: std::borrow::Cow<'a, ProbeConfig>,
    evaluation: std::borrow::Cow<'a, Option<EvaluationConfig>>,
    control_plane: std::borrow::Cow<'a, Option<ControlPlaneConfig>>,
    #[serde(default)]
    metrics: std::borrow::Cow<'a, Option<MetricsConfig>>,
}

impl Store {
    /// Stores a new endpoint (its `id` and `revision` are ignored) and returns its number. [`StoreError::NameTaken`] when another
    /// endpoint has the name.
    pub fn add_endpoint(&self, endpoint: &Endpoint) -> Result<EndpointId, StoreError> {
        let endpoint = endpoint.clone();
        self.write("add the endpoint", move |connection| insert(connection, &endpoint))
    }

    /// Replaces the settings of the endpoint `endpoint.id` and returns their new revision. [`StoreError::Stale`] when they
    /// were changed since `endpoint.revision` was read. Whether it is paused stays, see [`Store::pause_endpoint`].
    pub fn update_endpoint(&self, endpoint: &Endpoint) -> Result<i64, StoreError> {
        let endpoint = endpoint.clone();
        self.write("change the endpoint", move |connection| update(connection, &endpoint))
    }

    /// Pauses or resumes an endpoint. No change of its settings: those read before can still be written back.
    pub fn pause_endpoint(&self, id: EndpointId, paused: bool) -> Result<(), StoreError> {
        self.write("pause the endpoint", move |connection| pause(connection, id, paused))
    }

    /// Removes an endpoint with its history, events, evaluations and versions. Its rollback plans, runs and audit entries
    /// stay. Refused with [`StoreError::RunInProgress`] while a rollback run of it is not finished. The endpoint is gone
    /// at once; its samples follow in slices, and retention removes what a crash left of them.
    pub fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        self.transaction("remove the endpoint", move |transaction| transaction.remove_endpoint(id))?;
        retention::remove_history(self, id)
    }

    /// Removes what is left of an endpoint that was removed in a transaction.
    pub fn remove_history(&self, id: EndpointId) -> Result<(), StoreError> {
        retention::remove_history(self, id)
    }

    /// The endpoint with this number.
    pub fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.read("read the endpoint", |connection| find(connection, "id = ?1", id.0))
    }

    /// The endpoint with exactly this name.
    pub fn endpoint_by_name(&self, name: &str) -> Result<Option<Endpoint>, StoreError> {
        self.read("read the endpoint", |connection| find(connection, "name = ?1", name))
    }

    /// All endpoints, by name.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.read("list the endpoints", all)
    }
}

pub(crate) fn all(connection: &Connection) -> Result<Vec<Endpoint>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM endpoint ORDER BY name COLLATE NOCASE, id"))?;
    let mut rows = statement.query([])?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next()? {
        endpoints.push(decode(row)?);
    }
    Ok(endpoints)
}

pub(crate) fn insert(connection: &Connection, endpoint: &Endpoint) -> Result<EndpointId, StoreError> {
    let settings = settings_json(endpoint)?;
    connection
        .prepare_cached(
            "INSERT INTO endpoint (name, environment, paused, created_ms, settings) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((&endpoint.name, &endpoint.environment.0, endpoint.paused, endpoint.created.0, settings))
        .map_err(|error| name_taken(error, &endpoint.name))?;
    Ok(EndpointId(connection.last_insert_rowid()))
}

pub(crate) fn update(connection: &Connection, endpoint: &Endpoint) -> Result<i64, StoreError> {
    let settings = settings_json(endpoint)?;
    let changed = connection
        .prepare_cached(
            "UPDATE endpoint SET name = ?3, environment = ?4, settings = ?5, revision = revision + 1
             WHERE id = ?1 AND revision = ?2",
        )?
        .execute((endpoint.id.0, endpoint.revision, &endpoint.name, &endpoint.environment.0, settings))
        .map_err(|error| name_taken(error, &endpoint.name))?;
    if changed == 1 {
        return Ok(endpoint.revision + 1);
    }
    // The name it has now, by which a person finds it.
    let found = find(connection, "id = ?1", endpoint.id.0)?;
    let found = found.ok_or_else(|| StoreError::not_found(WHAT, &endpoint.id))?;
    Err(StoreError::Stale { what: WHAT, name: found.name })
}

pub(crate) fn pause(connection: &Connection, id: EndpointId, paused: bool) -> Result<(), StoreError> {
    let changed =
        connection.prepare_cached("UPDATE endpoint SET paused = ?2 WHERE id = ?1")?.execute((id.0, paused))?;
    if changed == 0 { Err(StoreError::not_found(WHAT, &id)) } else { Ok(()) }
}

pub(crate) fn delete(connection: &Connection, id: EndpointId) -> Result<(), StoreError> {
    match connection.prepare_cached("DELETE FROM endpoint WHERE id = ?1")?.execute([id.0])? {
        0 => Err(StoreError::not_found(WHAT, &id)),
        _ => Ok(()),
    }
}

/// Whether the endpoint exists.
pub(crate) fn exists(connection: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM endpoint WHERE id = ?1")?.exists([id])?)
}

/// The numbers of all endpoints, ascending.
pub(crate) fn ids(connection: &Connection) -> Result<Vec<EndpointId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM endpoint ORDER BY id")?;
    let ids = statement.query_map([], |row| row.get(0).map(EndpointId))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn find(connection: &Connection, condition: &str, key: impl rusqlite::ToSql) -> Result<Option<Endpoint>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM endpoint WHERE {condition}"))?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(decode).transpose()
}

/// Whether a row still says what was read from it before, told without reading its settings.
pub(crate) fn is_as_stored(endpoint: &Endpoint, row: &Row<'_>) -> Result<bool, StoreError> {
    Ok(endpoint.revision == row.get::<_, i64>(6)? && endpoint.paused == row.get::<_, bool>(3)?)
}

/// The endpoint in a row of [`COLUMNS`].
pub(crate) fn decode(row: &Row<'_>) -> Result<Endpoint, StoreError> {
    let id = EndpointId(row.get(0)?);
    let settings: Settings<'_> = from_json(WHAT, &id, row.get_ref(5)?.as_str().unwrap_or_default())?;
    Ok(Endpoint {
        id,
        name: row.get(1)?,
        environment: Environment(row.get(2)?),
        target: settings.target.into_owned(),
        probe: settings.probe.into_owned(),
        evaluation: settings.evaluation.into_owned(),
        control_plane: settings.control_plane.into_owned(),
        metrics: settings.metrics.into_owned(),
        paused: row.get(3)?,
        created: TimestampMs(row.get(4)?),
        revision: row.get(6)?,
    })
}

fn settings_json(endpoint: &Endpoint) -> Result<String, StoreError> {
    use std::borrow::Cow::Borrowed;
    let Endpoint { target, probe, evaluation, control_plane, metrics, .. } = endpoint;
    to_json(
        WHAT,
        &Settings {
            target: Borrowed(target),
            probe: Borrowed(probe),
            evaluation: Borrowed(evaluation),
            control_plane: Borrowed(control_plane),
            metrics: Borrowed(metrics),
        },
    )
}

fn name_taken(error: rusqlite::Error, name: &str) -> StoreError {
    if is_unique_violation(&error) { StoreError::NameTaken { what: WHAT, name: name.to_owned() } } else { error.into() }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Event, EventKind, HealthState};

    use super::*;
    use crate::EventFilter;
    use crate::testing::{MONDAY, endpoint, plan, probe, run, samples, store};

    #[test]
    fn an_endpoint_comes_back_as_it_was_stored() {
        let (_folder, store) = store();
        let mut stored = endpoint("credit-risk");
        stored.evaluation =
            Some(EvaluationConfig { golden_set: pilothouse_domain::GoldenSetId(3), interval_ms: 5_000 });
        stored.id = store.add_endpoint(&stored).unwrap();
        stored.revision = 1;
        assert_eq!(store.endpoint(stored.id).unwrap().as_ref(), Some(&stored));
        stored.name = "credit risk".to_owned();
        stored.revision = store.update_endpoint(&stored).unwrap();
        store.pause_endpoint(stored.id, true).unwrap();
        stored.paused = true;
        assert_eq!(store.endpoint_by_name("credit risk").unwrap().as_ref(), Some(&stored));
        assert_eq!(store.endpoint_by_name("credit-risk").unwrap(), None);
        store.add_endpoint(&endpoint("Adult")).unwrap();
        let names: Vec<_> = store.endpoints().unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["Adult", "credit risk"]);
    }

    #[test]
    fn a_name_is_given_once() {
        let (_folder, store) = store();
        store.add_endpoint(&endpoint("wine")).unwrap();
        let mut other = endpoint("diabetes");
        other.id = store.add_endpoint(&other).unwrap();
        other.revision = 1;
        other.name = "wine".to_owned();
        for refused in [store.add_endpoint(&endpoint("wine")).map(drop), store.update_endpoint(&other).map(drop)] {
            assert!(matches!(refused, Err(StoreError::NameTaken { ref name, .. }) if name == "wine"), "{refused:?}");
        }
        other.id = EndpointId(99);
        other.name = "other".to_owned();
        assert!(matches!(store.update_endpoint(&other), Err(StoreError::NotFound { .. })));
        assert!(matches!(store.pause_endpoint(other.id, true), Err(StoreError::NotFound { .. })));
    }

    #[test]
    fn of_two_changes_of_the_same_settings_the_second_is_refused() {
        let (folder, store) = store();
        let other = Store::open(&folder.path().join("pilothouse.db"), &crate::OpenOptions::default()).unwrap();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let (mut mine, mut theirs) = (store.endpoint(id).unwrap().unwrap(), other.endpoint(id).unwrap().unwrap());
        mine.environment = Environment("mine".to_owned());
        theirs.probe.interval_ms = 7_000;
        assert_eq!(store.update_endpoint(&mine).unwrap(), 2);
        let refused = other.update_endpoint(&theirs);
        assert!(matches!(refused, Err(StoreError::Stale { ref name, .. }) if name == "wine"), "{refused:?}");
        assert_eq!(other.endpoint(id).unwrap().unwrap(), Endpoint { revision: 2, ..mine });
        // Read again, it goes through; a pause in between is no change of the settings.
        let again = other.endpoint(id).unwrap().unwrap();
        store.pause_endpoint(id, true).unwrap();
        other.update_endpoint(&Endpoint { probe: theirs.probe, ..again }).unwrap();
        let both = store.endpoint(id).unwrap().unwrap();
        assert_eq!((&*both.environment.0, both.probe.interval_ms, both.paused), ("mine", 7_000, true));
    }

    #[test]
    fn a_removed_endpoint_leaves_only_its_rollback_records() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let kept = store.add_endpoint(&endpoint("diabetes")).unwrap();
        for i in 0..6_000 {
            store.append_probe(probe(id, MONDAY.plus_ms(i * 1_000), 900)).unwrap();
        }
        store.append_probe(probe(kept, MONDAY, 900)).unwrap();
        store.append_event(&Event { id: 0, at: MONDAY, endpoint: Some(id), kind: EventKind::EndpointAdded }).unwrap();
        let state =
            HealthState { health: pilothouse_domain::Health::Down, since: MONDAY, reason: "refused".to_owned() };
        store.set_health(id, &state).unwrap();
        store.add_plan(&plan("p", id)).unwrap();
        let mut run = run("r", plan("p", id));
        store.begin_run(&run).unwrap();
        assert!(matches!(store.remove_endpoint(id), Err(StoreError::RunInProgress { .. })));
        run.state = pilothouse_domain::RunState::Finished;
        store.update_run(&run).unwrap();

        store.remove_endpoint(id).unwrap();
        assert!(matches!(store.remove_endpoint(id), Err(StoreError::NotFound { .. })));
        assert_eq!(store.endpoint(id).unwrap(), None);
        assert!(samples(&store, id).is_empty());
        assert_eq!(samples(&store, kept).len(), 1);
        assert!(store.history(id, MONDAY, MONDAY.plus_ms(86_400_000), 10).unwrap().buckets.is_empty());
        let all = EventFilter { endpoint: None, from: TimestampMs(0), to: TimestampMs(i64::MAX), limit: 10 };
        assert!(store.events(&all).unwrap().is_empty());
        assert!(store.health().unwrap().is_empty());
        assert_eq!(store.runs(Some(id)).unwrap(), [run]);
        assert!(store.add_endpoint(&endpoint("wine")).unwrap() > kept, "a number is never given again");
        store.append_probe(probe(id, MONDAY, 900)).unwrap();
        store.flush().unwrap();
        assert!(samples(&store, id).is_empty(), "a probe of a removed endpoint is dropped");
    }
}
