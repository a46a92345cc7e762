//! Finding secrets that stand in a configuration as they are. Nothing here repeats a value.

use serde_json::Value;
use url::Url;

use crate::document::{Document, Path};
use crate::error::Problem;

/// What stands before the name of a secret in the keyring.
pub(crate) const REFERENCE: &str = "keyring:";

/// Keys that people write a secret to.
const SECRET_KEYS: [&str; 18] = [
    "access_token",
    "api_key",
    "api_token",
    "apikey",
    "auth_token",
    "authorization",
    "bearer",
    "bearer_token",
    "client_key",
    "credential",
    "credentials",
    "id_token",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "refresh_token",
    "token",
];

/// Keys whose text is data or prose.
const DATA_KEYS: [&str; 7] = ["body", "content", "pattern", "query", "rows", "source", "text"];

/// Whether a key of the domain holds the name of a secret.
pub(crate) fn is_reference_key(key: &str) -> bool {
    key == "secret" || key.ends_with("_secret") || key.starts_with("secret_")
}

/// The name of the secret that a text refers to, where that is a name that the keyring takes: 1 to 100 of
/// `A-Z a-z 0-9 . _ -`.
pub(crate) fn referred(text: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix(REFERENCE).filter(|name| !name.is_empty() && name.len() <= 100 && name.bytes().all(allowed))
}

/// Reports every secret below `path` that stands there as it is.
pub(crate) fn find(document: &Document<'_>, value: &Value, path: &mut Path, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                path.push(key.clone());
                find(document, value, path, problems);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push(index.to_string());
                find(document, value, path, problems);
                path.pop();
            }
        }
        Value::String(text) => {
            let key = path.last().map_or("", String::as_str);
            if let Some((message, hint)) = refused(key, text) {
                problems.push(document.problem(path, message, Some(hint)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn refused(key: &str, text: &str) -> Option<(&'static str, String)> {
    let store = "store the value with `pilothousectl secret set NAME`";
    if is_reference_key(key) {
        let problem = "takes the name of a secret in the keyring, never the secret itself";
        return referred(text).is_none().then(|| (problem, format!("{store} and write `{key} = \"keyring:NAME\"`")));
    }
    // Rows, bodies, prompts and queries are data: a column may well be called `token`, and a prompt may say anything.
    if DATA_KEYS.contains(&key) {
        return None;
    }
    let normal = key.to_ascii_lowercase().replace('-', "_");
    if SECRET_KEYS.contains(&normal.as_str()) {
        let hint = format!("{store} and write `auth = {{ kind = \"bearer\", secret = \"keyring:NAME\" }}`");
        return Some(("looks like a secret, and secrets do not stand in a configuration", hint));
    }
    if is_authorization(text) || text.contains("PRIVATE KEY-----") {
        let hint = format!("{store} and refer to it as `keyring:NAME` in `auth`");
        return Some(("holds a credential as it is", hint));
    }
    has_user(text).then(|| {
        let hint = format!("leave them out of the address, {store} and refer to it in `auth`");
        ("contains a user or password", hint)
    })
}

/// The value of an `Authorization` header: a scheme and one token.
fn is_authorization(text: &str) -> bool {
    let Some((scheme, token)) = text.split_once(' ') else { return false };
    matches!(scheme.to_ascii_lowercase().as_str(), "bearer" | "basic")
        && token.len() >= 8
        && !token.contains(char::is_whitespace)
}

fn has_user(text: &str) -> bool {
    text.contains("://") && Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}
