//! An endpoint that could be watched, before a person agrees.

use std::path::PathBuf;

use pilothouse_domain::Auth;
use pilothouse_domain::endpoint::JsonTemplate;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

/// An endpoint that a text describes.
#[derive(Debug)]
pub struct Proposal {
    /// A name: the tool's own, or one made from the address.
    pub name: String,
    /// Where it runs, if the text says so.
    pub environment: Option<String>,
    /// The base URL, without user, password, or a secret in its query.
    pub url: Url,
    /// The protocol's word, where the route says it; `None`: the server has to be asked.
    pub protocol: Option<&'static str>,
    /// The model named in the route.
    pub model: Option<String>,
    /// The version named in the route.
    pub model_version: Option<String>,
    /// For plain JSON: request and answer.
    pub json: Option<JsonTemplate>,
    /// Rows that the text sent, as JSON, fit for the template.
    pub rows: Option<Value>,
    /// Milliseconds between checks.
    pub interval_ms: Option<u32>,
    /// Limit of one check in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Slower than this is degraded, in milliseconds.
    pub degraded_above_ms: Option<u32>,
    /// Failures in a row before it is down.
    pub confirm_after: Option<u32>,
    /// Whether the tool had it switched off.
    pub paused: bool,
    /// The credential, by reference.
    pub auth: Auth,
    /// The secret that the text held.
    pub secret: Option<FoundSecret>,
    /// PEM file with further certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// What was understood beyond the fields above, in words.
    pub understood: Vec<String>,
    /// What was left out, and why.
    pub ignored: Vec<String>,
}

/// A secret found in a text. It is stored only when a person agrees.
#[derive(Debug)]
pub struct FoundSecret {
    /// The name proposed for it in the keyring.
    pub name: String,
    /// Where it stood, in words.
    pub place: String,
    /// The value; `Debug` does not show it.
    pub value: SecretString,
}

impl Proposal {
    /// A proposal for an address, with nothing else known.
    pub(crate) fn at(url: Url) -> Self {
        Self {
            name: name_of(&url),
            environment: None,
            url,
            protocol: None,
            model: None,
            model_version: None,
            json: None,
            rows: None,
            interval_ms: None,
            timeout_ms: None,
            degraded_above_ms: None,
            confirm_after: None,
            paused: false,
            auth: Auth::None,
            secret: None,
            ca_file: None,
            understood: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Points the credential at another name in the keyring, and the found secret with it.
    pub fn rename_secret(&mut self, name: &str) {
        match &mut self.auth {
            Auth::Bearer { secret }
            | Auth::Basic { secret, .. }
            | Auth::Header { secret, .. }
            | Auth::Query { secret, .. } => name.clone_into(secret),
            // A text gives none of the others.
            _ => {}
        }
        if let Some(found) = &mut self.secret {
            name.clone_into(&mut found.name);
        }
    }

    /// The name for a secret of this endpoint in the keyring: letters, digits and dashes.
    pub(crate) fn secret_name(&self, what: &str) -> String {
        let host = self.url.host_str().unwrap_or("endpoint");
        let port = self.url.port().map(|port| format!("-{port}")).unwrap_or_default();
        slug(&format!("{host}{port}-{what}"))
    }
}

/// A name from an address: its host without the usual prefixes, and its last plain part of the path.
fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("endpoint").trim_start_matches("www.");
    let last = url.path_segments().and_then(|parts| parts.rev().find(|part| !part.is_empty()));
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match last {
        Some(last) => short(&format!("{host}{port}/{last}")),
        None => short(&format!("{host}{port}")),
    }
}

/// A text fit for a name: on one line, at most 80 characters.
pub(crate) fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect::<String>().trim().to_owned()
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.to_ascii_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.chars().take(64).collect::<String>().trim_end_matches('-').to_owned()
}
