//! The program's own settings, by key.

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;

use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

pub(crate) const V1: &str = "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

impl Store {
    /// The setting's value, if it was ever set.
    pub fn setting(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.read("read the setting", |connection| get(connection, key))
    }

    /// Sets the setting. Secrets belong into the keyring, never here.
    pub fn set_setting(&self, key: &str, value: &Value) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.clone());
        self.write("store the setting", move |connection| set(connection, &key, &value))
    }
}

pub(crate) fn get(connection: &Connection, key: &str) -> Result<Option<Value>, StoreError> {
    let text: Option<String> = connection
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    text.map(|text| from_json("setting", key, &text)).transpose()
}

pub(crate) fn set(connection: &Connection, key: &str, value: &Value) -> Result<(), StoreError> {
    let text = to_json("setting", value)?;
    connection.prepare_cached("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")?.execute((key, text))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::store;

    #[test]
    fn a_setting_is_what_was_set_last() {
        let (_folder, store) = store();
        assert_eq!(store.setting("theme").unwrap(), None);
        for value in [json!("dark"), json!({ "follow": "system" }), json!(null)] {
            store.set_setting("theme", &value).unwrap();
            assert_eq!(store.setting("theme").unwrap(), Some(value));
        }
    }
}
