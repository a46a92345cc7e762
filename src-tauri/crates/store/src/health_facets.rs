//! The latest facets of each endpoint's health, so that another process and the next start know them.

use pilothouse_domain::{EndpointId, FacetState, HealthFacet, HealthFacets, TimestampMs};

use crate::error::is_foreign_key_violation;
use crate::{Store, StoreError};

pub(crate) const V6: &str = "
CREATE TABLE health_facet (
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE, facet TEXT NOT NULL, state TEXT NOT NULL,
    since_ms INTEGER, detail TEXT, PRIMARY KEY (endpoint, facet)
) STRICT, WITHOUT ROWID;";

const LIVE: &str = "live";
const READY: &str = "ready";
const PREDICTS: &str = "predicts";

impl Store {
    /// Remembers the facets of an endpoint's health.
    pub fn set_health_facets(&self, endpoint: EndpointId, facets: &HealthFacets) -> Result<(), StoreError> {
        let facets = facets.clone();
        self.write("store the facets of the health", move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT OR REPLACE INTO health_facet (endpoint, facet, state, since_ms, detail) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (name, facet) in [(LIVE, facets.live), (READY, facets.ready), (PREDICTS, facets.predicts)] {
                let since = facet.since.map(|since| since.0);
                statement.execute((endpoint.0, name, facet.state.as_str(), since, facet.detail)).map_err(|error| {
                    if is_foreign_key_violation(&error) {
                        StoreError::not_found("endpoint", &endpoint)
                    } else {
                        error.into()
                    }
                })?;
            }
            Ok(())
        })
    }

    /// The facets of an endpoint's health; nothing asked where nothing was stored.
    pub fn health_facets(&self, endpoint: EndpointId) -> Result<HealthFacets, StoreError> {
        self.read("read the facets of the endpoint's health", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT facet, state, since_ms, detail FROM health_facet WHERE endpoint = ?1")?;
            let mut rows = statement.query([endpoint.0])?;
            let mut facets = HealthFacets::default();
            while let Some(row) = rows.next()? {
                let (name, word): (String, String) = (row.get(0)?, row.get(1)?);
                let state = FacetState::parse(&word).ok_or_else(|| {
                    StoreError::unreadable("health facet", &endpoint, &format!("`{word}` is no state"))
                })?;
                let since = row.get::<_, Option<i64>>(2)?.map(TimestampMs);
                let facet = HealthFacet { state, since, detail: row.get(3)? };
                match name.as_str() {
                    LIVE => facets.live = facet,
                    READY => facets.ready = facet,
                    PREDICTS => facets.predicts = facet,
                    // A later version may know more facets.
                    _ => {}
                }
            }
            Ok(facets)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    #[test]
    fn the_latest_facets_are_kept_and_go_with_their_endpoint() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        assert_eq!(store.health_facets(id).unwrap(), HealthFacets::default());
        for state in FacetState::ALL {
            let facet = HealthFacet { state, since: Some(MONDAY), detail: Some(format!("{state:?}")) };
            let facets = HealthFacets { ready: facet.clone(), predicts: facet, ..HealthFacets::default() };
            store.set_health_facets(id, &facets).unwrap();
            assert_eq!(store.health_facets(id).unwrap(), facets);
        }
        store.remove_endpoint(id).unwrap();
        assert_eq!(store.health_facets(id).unwrap(), HealthFacets::default());
        assert!(store.set_health_facets(id, &HealthFacets::default()).is_err());
    }
}
