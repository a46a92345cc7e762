//! Which version was live when, as we observed it. Registries move an alias and keep no history of it, so this is it.
//!
//! What must stay true: at most one stretch of an endpoint is open, and stretches of one endpoint do not overlap.

use std::collections::HashMap;

use pilothouse_domain::version::VersionSource;
use pilothouse_domain::{EndpointId, LiveVersion, TimestampMs, VersionId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{Store, StoreError, endpoints};

/// `source`: 0 the endpoint's answer, 1 the control plane, 2 the image's tag.
pub(crate) const V1: &str = "
CREATE TABLE live_version (
    id INTEGER PRIMARY KEY,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    version TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER,
    source INTEGER NOT NULL
) STRICT;
CREATE INDEX live_version_by_endpoint ON live_version (endpoint, since_ms);
CREATE UNIQUE INDEX live_version_open ON live_version (endpoint) WHERE until_ms IS NULL;";

const COLUMNS: &str = "endpoint, version, since_ms, until_ms, source";

/// Another version went live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionChange {
    /// The one before; `None` when this is the first one seen.
    pub from: Option<VersionId>,
    /// The one live now.
    pub to: VersionId,
}

impl Store {
    /// Says that `version` was seen live at `at`. When it is another one than before (or the first), closes the open
    /// stretch, opens a new one and returns the change. Cheap when nothing changed: then nothing is written. A time before
    /// the open stretch's own begin (a clock set back) counts as that begin.
    pub fn observe_version(
        &self,
        endpoint: EndpointId,
        version: &VersionId,
        at: TimestampMs,
        source: VersionSource,
    ) -> Result<Option<VersionChange>, StoreError> {
        let open = self.read("read the live version", |connection| open_stretch(connection, endpoint))?;
        if open.is_some_and(|(_, live, _)| live == version.0) {
            return Ok(None);
        }
        let to = version.clone();
        self.write("store the live version", move |connection| {
            // Again inside the transaction: somebody else may have seen it first.
            let open = open_stretch(connection, endpoint)?;
            let mut since_ms = at.0;
            let mut from = None;
            if let Some((id, live, live_since_ms)) = open {
                if live == to.0 {
                    return Ok(None);
                }
                since_ms = since_ms.max(live_since_ms);
                connection
                    .prepare_cached("UPDATE live_version SET until_ms = ?2 WHERE id = ?1")?
                    .execute((id, since_ms))?;
                from = Some(VersionId(live));
            } else if !endpoints::exists(connection, endpoint.0)? {
                return Err(StoreError::not_found("endpoint", &endpoint));
            }
            let source = source_code(source);
            connection
                .prepare_cached(
                    "INSERT INTO live_version (endpoint, version, since_ms, source) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((endpoint.0, &to.0, since_ms, source))?;
            Ok(Some(VersionChange { from, to }))
        })
    }

    /// Every stretch of the endpoint, newest first.
    pub fn live_versions(&self, endpoint: EndpointId) -> Result<Vec<LiveVersion>, StoreError> {
        self.read("read the live versions", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM live_version WHERE endpoint = ?1 ORDER BY since_ms DESC, id DESC"
            ))?;
            let stretches = statement.query_map([endpoint.0], decode)?;
            Ok(stretches.collect::<Result<_, _>>()?)
        })
    }

    /// The version that is live now, of every endpoint that has one.
    pub fn current_versions(&self) -> Result<HashMap<EndpointId, LiveVersion>, StoreError> {
        self.read("read the live versions", |connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM live_version WHERE until_ms IS NULL"))?;
            let stretches = statement.query_map([], decode)?;
            Ok(stretches.map(|live| live.map(|live| (live.endpoint, live))).collect::<Result<_, _>>()?)
        })
    }
}

/// Row number, version and begin of the open stretch.
fn open_stretch(connection: &Connection, endpoint: EndpointId) -> Result<Option<(i64, String, i64)>, StoreError> {
    let open = connection
        .prepare_cached("SELECT id, version, since_ms FROM live_version WHERE endpoint = ?1 AND until_ms IS NULL")?
        .query_row([endpoint.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(open)
}

fn decode(row: &Row<'_>) -> Result<LiveVersion, rusqlite::Error> {
    Ok(LiveVersion {
        endpoint: EndpointId(row.get(0)?),
        version: VersionId(row.get(1)?),
        since: TimestampMs(row.get(2)?),
        until: row.get::<_, Option<i64>>(3)?.map(TimestampMs),
        source: source_of(row.get(4)?),
    })
}

const fn source_code(source: VersionSource) -> i64 {
    match source {
        VersionSource::Endpoint => 0,
        VersionSource::ControlPlane => 1,
        VersionSource::Image => 2,
    }
}

const fn source_of(code: i64) -> VersionSource {
    match code {
        0 => VersionSource::Endpoint,
        2 => VersionSource::Image,
        _ => VersionSource::ControlPlane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    #[test]
    fn stretches_follow_the_observations() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        let observe = |version: &str, after_ms: i64| {
            store.observe_version(id, &version.into(), MONDAY.plus_ms(after_ms), VersionSource::Endpoint).unwrap()
        };
        assert_eq!(observe("6", 0), Some(VersionChange { from: None, to: "6".into() }));
        assert_eq!(observe("6", 10), None);
        assert_eq!(observe("7", 20), Some(VersionChange { from: Some("6".into()), to: "7".into() }));
        // A clock set back must not make a stretch end before it began.
        assert_eq!(observe("6", 5), Some(VersionChange { from: Some("7".into()), to: "6".into() }));
        let stretches: Vec<_> = store
            .live_versions(id)
            .unwrap()
            .into_iter()
            .map(|live| (live.version.0, live.since.since(MONDAY), live.until.map(|until| until.since(MONDAY))))
            .collect();
        let expected = [("6".to_owned(), 20, None), ("7".to_owned(), 20, Some(20)), ("6".to_owned(), 0, Some(20))];
        assert_eq!(stretches, expected);
        assert_eq!(store.current_versions().unwrap()[&id].version.0, "6");
        let nobody = store.observe_version(EndpointId(9), &"1".into(), MONDAY, VersionSource::ControlPlane);
        assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
    }
}
