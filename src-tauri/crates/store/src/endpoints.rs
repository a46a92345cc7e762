//! The endpoints a person connected. What is searched for stands in columns; the rest of the settings in one JSON column.

use pilothouse_domain::endpoint::{ControlPlaneConfig, EvaluationConfig, ProbeConfig, Target};
use pilothouse_domain::{Endpoint, EndpointId, Environment, TimestampMs};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use crate::error::is_unique_violation;
use crate::json::{from_json, to_json};
use crate::{Store, StoreError, retention, rollbacks};

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

const COLUMNS: &str = "id, name, environment, paused, created_ms, settings";
const WHAT: &str = "endpoint";

#[derive(Serialize, Deserialize)]
struct Settings<'a> {
    target: std::borrow::Cow<'a, Target>,
    probe: std::borrow::Cow<'a, ProbeConfig>,
    evaluation: std::borrow::Cow<'a, Option<EvaluationConfig>>,
    control_plane: std::borrow::Cow<'a, Option<ControlPlaneConfig>>,
}

impl Store {
    /// Stores a new endpoint (its `id` is ignored) and returns its number. [`StoreError::NameTaken`] when another
    /// endpoint has the name.
    pub fn add_endpoint(&self, endpoint: &Endpoint) -> Result<EndpointId, StoreError> {
        let settings = settings_json(endpoint)?;
        let endpoint = endpoint.clone();
        self.write("add the endpoint", move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO endpoint (name, environment, paused, created_ms, settings) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((&endpoint.name, &endpoint.environment.0, endpoint.paused, endpoint.created.0, settings))
                .map_err(|error| name_taken(error, &endpoint.name))?;
            Ok(EndpointId(connection.last_insert_rowid()))
        })
    }

    /// Replaces everything about the endpoint `endpoint.id`.
    pub fn update_endpoint(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let settings = settings_json(endpoint)?;
        let endpoint = endpoint.clone();
        self.write("change the endpoint", move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE endpoint SET name = ?2, environment = ?3, paused = ?4, created_ms = ?5, settings = ?6
                     WHERE id = ?1",
                )?
                .execute((
                    endpoint.id.0,
                    &endpoint.name,
                    &endpoint.environment.0,
                    endpoint.paused,
                    endpoint.created.0,
                    settings,
                ))
                .map_err(|error| name_taken(error, &endpoint.name))?;
            if changed == 0 { Err(StoreError::not_found(WHAT, endpoint.id)) } else { Ok(()) }
        })
    }

    /// Removes an endpoint with its history, events, evaluations and versions. Its rollback plans, runs and audit entries
    /// stay. Refused with [`StoreError::RunInProgress`] while a rollback run of it is not finished. The endpoint is gone
    /// at once; its samples follow in slices, and retention removes what a crash left of them.
    pub fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        self.write("remove the endpoint", move |connection| {
            if let Some(run) = rollbacks::unfinished_run(connection, id)? {
                return Err(StoreError::RunInProgress { run });
            }
            match connection.prepare_cached("DELETE FROM endpoint WHERE id = ?1")?.execute([id.0])? {
                0 => Err(StoreError::not_found(WHAT, id)),
                _ => Ok(()),
            }
        })?;
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
        self.read("list the endpoints", |connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM endpoint ORDER BY name COLLATE NOCASE, id"))?;
            let mut rows = statement.query([])?;
            let mut endpoints = Vec::new();
            while let Some(row) = rows.next()? {
                endpoints.push(decode(row)?);
            }
            Ok(endpoints)
        })
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

fn decode(row: &Row<'_>) -> Result<Endpoint, StoreError> {
    let id = EndpointId(row.get(0)?);
    let settings: Settings<'_> = from_json(WHAT, id, row.get_ref(5)?.as_str().unwrap_or_default())?;
    Ok(Endpoint {
        id,
        name: row.get(1)?,
        environment: Environment(row.get(2)?),
        target: settings.target.into_owned(),
        probe: settings.probe.into_owned(),
        evaluation: settings.evaluation.into_owned(),
        control_plane: settings.control_plane.into_owned(),
        paused: row.get(3)?,
        created: TimestampMs(row.get(4)?),
    })
}

fn settings_json(endpoint: &Endpoint) -> Result<String, StoreError> {
    use std::borrow::Cow::Borrowed;
    let Endpoint { target, probe, evaluation, control_plane, .. } = endpoint;
    to_json(
        WHAT,
        &Settings {
            target: Borrowed(target),
            probe: Borrowed(probe),
            evaluation: Borrowed(evaluation),
            control_plane: Borrowed(control_plane),
        },
    )
}

fn name_taken(error: rusqlite::Error, name: &str) -> StoreError {
    if is_unique_violation(&error) { StoreError::NameTaken { what: WHAT, name: name.to_owned() } } else { error.into() }
}
