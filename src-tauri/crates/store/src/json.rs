//! Records that are stored as one JSON column: nobody searches inside them, and they grow fields over the years.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// `value` as JSON text.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid { what, problem: error.to_string() })
}

/// The value of JSON text read from the record `id`.
pub(crate) fn from_json<T: DeserializeOwned>(
    what: &'static str,
    id: &(impl ToString + ?Sized),
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::unreadable(what, id, &error))
}
