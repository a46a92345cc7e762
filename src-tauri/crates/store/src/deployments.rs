//! What the cloud that runs an endpoint said of it last, so that another process and the next start know it.

use pilothouse_domain::{DeploymentLook, EndpointId};
use rusqlite::OptionalExtension as _;

use crate::error::is_foreign_key_violation;
use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

pub(crate) const V7: &str = "
CREATE TABLE deployment (
    endpoint INTEGER PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE, look TEXT NOT NULL
) STRICT;";

impl Store {
    /// Remembers the latest look at an endpoint's deployment.
    pub fn set_deployment(&self, endpoint: EndpointId, look: &DeploymentLook) -> Result<(), StoreError> {
        let look = to_json("deployment", look)?;
        self.write("store what the cloud says", move |connection| {
            let mut statement =
                connection.prepare_cached("INSERT OR REPLACE INTO deployment (endpoint, look) VALUES (?1, ?2)")?;
            match statement.execute((endpoint.0, look)) {
                Ok(_) => Ok(()),
                Err(error) if is_foreign_key_violation(&error) => Err(StoreError::not_found("endpoint", &endpoint)),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// The latest look at an endpoint's deployment.
    pub fn deployment(&self, endpoint: EndpointId) -> Result<Option<DeploymentLook>, StoreError> {
        self.read("read what the cloud says", |connection| {
            let mut statement = connection.prepare_cached("SELECT look FROM deployment WHERE endpoint = ?1")?;
            let look: Option<String> = statement.query_row([endpoint.0], |row| row.get(0)).optional()?;
            look.map(|look| from_json("deployment", &endpoint, &look)).transpose()
        })
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{DeployedVersion, Deployment, DeploymentState};

    use super::*;
    use crate::testing::{MONDAY, endpoint, store};

    #[test]
    fn the_latest_look_is_kept_and_goes_with_its_endpoint() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        assert_eq!(store.deployment(id).unwrap(), None);
        let version = DeployedVersion { name: "v1".into(), share: Some(0.1), ..DeployedVersion::default() };
        let deployment = Deployment {
            state: DeploymentState::Changing,
            word: "Updating".into(),
            versions: vec![version],
            configuration: Some("cfg".into()),
            pending: None,
            changed: Some(MONDAY),
            problem: None,
        };
        for problem in [None, Some("refused".to_owned())] {
            let look = DeploymentLook { asked: MONDAY, told: Some((MONDAY, deployment.clone())), problem };
            store.set_deployment(id, &look).unwrap();
            assert_eq!(store.deployment(id).unwrap(), Some(look));
        }
        store.remove_endpoint(id).unwrap();
        assert_eq!(store.deployment(id).unwrap(), None);
        let look = DeploymentLook { asked: MONDAY, told: None, problem: None };
        assert!(store.set_deployment(id, &look).is_err());
    }
}
