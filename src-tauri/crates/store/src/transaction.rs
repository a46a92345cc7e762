//! Several changes of the set-up as one: all of them, or none.

use pilothouse_domain::{AuditEntry, Endpoint, EndpointId, Event, GoldenSet, GoldenSetId};
use rusqlite::Connection;
use serde_json::Value;

use crate::golden_sets::GoldenSetSummary;
use crate::{Store, StoreError, audit, endpoints, events, golden_sets, rollbacks, settings};

/// What can be read and changed within one transaction. What is read here is what the changes are made to: nobody writes in
/// between.
pub struct Transaction<'a> {
    connection: &'a Connection,
}

impl Store {
    /// Runs `change` in one transaction on the writer's thread. When it fails, nothing of it remains. `operation` says in
    /// errors what was tried.
    pub fn transaction<T: Send + 'static>(
        &self,
        operation: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(operation, move |connection| change(&Transaction { connection }))
    }
}

impl Transaction<'_> {
    /// All endpoints, by name.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        endpoints::all(self.connection)
    }

    /// Stores a new endpoint (its `id` is ignored) and returns its number.
    pub fn add_endpoint(&self, endpoint: &Endpoint) -> Result<EndpointId, StoreError> {
        endpoints::insert(self.connection, endpoint)
    }

    /// Replaces the settings of an endpoint as [`Store::update_endpoint`] does, and returns their new revision.
    pub fn update_endpoint(&self, endpoint: &Endpoint) -> Result<i64, StoreError> {
        endpoints::update(self.connection, endpoint)
    }

    /// Pauses or resumes an endpoint.
    pub fn pause_endpoint(&self, id: EndpointId, paused: bool) -> Result<(), StoreError> {
        endpoints::pause(self.connection, id, paused)
    }

    /// Removes an endpoint; refused while a rollback run of it is not finished. Its samples stay until
    /// [`Store::remove_history`] or retention removes them.
    pub fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError> {
        match rollbacks::unfinished_run(self.connection, id)? {
            Some(run) => Err(StoreError::RunInProgress { run }),
            None => endpoints::delete(self.connection, id),
        }
    }

    /// All golden sets without their rows, by name.
    pub fn golden_sets(&self) -> Result<Vec<GoldenSetSummary>, StoreError> {
        golden_sets::all(self.connection)
    }

    /// The golden set with this number, with its rows.
    pub fn golden_set(&self, id: GoldenSetId) -> Result<Option<GoldenSet>, StoreError> {
        golden_sets::find(self.connection, "id = ?1", id.0)
    }

    /// Stores a golden set as [`Store::add_golden_set`] does.
    pub fn add_golden_set(&self, set: &GoldenSet) -> Result<GoldenSetId, StoreError> {
        golden_sets::insert(self.connection, set)
    }

    /// Says anew where the rows of a golden set come from; the rows themselves never change.
    pub fn set_golden_set_source(&self, name: &str, source: &str) -> Result<(), StoreError> {
        golden_sets::set_source(self.connection, name, source)
    }

    /// The setting's value, if it was ever set.
    pub fn setting(&self, key: &str) -> Result<Option<Value>, StoreError> {
        settings::get(self.connection, key)
    }

    /// Sets the setting.
    pub fn set_setting(&self, key: &str, value: &Value) -> Result<(), StoreError> {
        settings::set(self.connection, key, value)
    }

    /// Stores an event.
    pub fn append_event(&self, event: &Event) -> Result<i64, StoreError> {
        events::insert(self.connection, event)
    }

    /// Stores an audit entry.
    pub fn append_audit(&self, entry: &AuditEntry) -> Result<i64, StoreError> {
        audit::insert(self.connection, entry)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{endpoint, plan, run, store};

    #[test]
    fn all_of_it_or_nothing() {
        let (_folder, store) = store();
        let kept = store.add_endpoint(&endpoint("kept")).unwrap();
        let failed = store.transaction("test", move |transaction| {
            transaction.add_endpoint(&endpoint("new"))?;
            transaction.set_setting("theme", &json!("dark"))?;
            transaction.remove_endpoint(kept)?;
            transaction.add_endpoint(&endpoint("new"))
        });
        assert!(matches!(failed, Err(StoreError::NameTaken { .. })), "{failed:?}");
        assert_eq!(store.endpoints().unwrap().len(), 1);
        assert_eq!(store.setting("theme").unwrap(), None);

        let names = store.transaction("test", move |transaction| {
            transaction.add_endpoint(&endpoint("new"))?;
            transaction.pause_endpoint(kept, true)?;
            let changed = Endpoint { id: kept, revision: 1, ..endpoint("kept") };
            assert_eq!(transaction.update_endpoint(&changed)?, 2);
            transaction.endpoints()
        });
        assert_eq!(names.unwrap(), store.endpoints().unwrap());
        assert_eq!(store.endpoint(kept).unwrap().map(|endpoint| endpoint.paused), Some(true));
    }

    #[test]
    fn an_endpoint_that_is_rolled_back_is_not_removed() {
        let (_folder, store) = store();
        let id = store.add_endpoint(&endpoint("wine")).unwrap();
        store.add_plan(&plan("p", id)).unwrap();
        store.begin_run(&run("r", plan("p", id))).unwrap();
        let refused = store.transaction("test", move |transaction| transaction.remove_endpoint(id));
        assert!(matches!(refused, Err(StoreError::RunInProgress { .. })), "{refused:?}");
        assert!(store.endpoint(id).unwrap().is_some());
    }
}
