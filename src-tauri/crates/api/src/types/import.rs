//! Importing endpoints from what other tools wrote down.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{AuthDraft, border};

/// Reads a text of another tool; nothing is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export_to = "types.ts")]
pub struct ImportReadRequest {
    /// The text. It may hold secrets.
    pub text: String,
    /// The format's word; `null`: it is recognised.
    pub kind: Option<String>,
}

impl fmt::Debug for ImportReadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportReadRequest").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Connects what was chosen of a text that was read before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export_to = "types.ts")]
pub struct ImportApplyRequest {
    /// The same text.
    pub text: String,
    /// The same format.
    pub kind: Option<String>,
    /// The environment of those whose text names none.
    pub environment: String,
    /// What was chosen.
    pub items: Vec<ImportChoice>,
}

impl fmt::Debug for ImportApplyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportApplyRequest")
            .field("kind", &self.kind)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

border! {
    /// One endpoint chosen of an import.
    #[derive(Eq)]
    pub struct ImportChoice {
        /// Its place in [`ImportView::items`].
        pub index: usize,
        /// The name to give it.
        pub name: String,
        /// Whether the secret that the text holds goes into the keyring.
        pub store_secret: bool,
    }

    /// What a text holds.
    #[derive(Eq)]
    pub struct ImportView {
        /// The format's word.
        pub kind: String,
        /// The format's name.
        pub title: String,
        /// The endpoints that could be watched.
        pub items: Vec<ImportItem>,
        /// The clusters of a kubeconfig.
        pub contexts: Vec<super::ClusterContext>,
        /// What was left out as a whole, and why.
        pub ignored: Vec<String>,
    }

    /// An endpoint that could be watched.
    #[derive(Eq)]
    pub struct ImportItem {
        /// The name proposed.
        pub name: String,
        /// The environment, if the text names one.
        pub environment: Option<String>,
        /// The base URL.
        pub url: String,
        /// The protocol's word; `null`: the server is asked when it is connected.
        pub protocol: Option<String>,
        /// The model's name on the server.
        pub model: Option<String>,
        /// Milliseconds between checks, if the text says.
        pub interval_ms: Option<u32>,
        /// The credential, by reference.
        pub auth: AuthDraft,
        /// The secret found in the text, without its value.
        pub secret: Option<ImportSecret>,
        /// Whether the other tool had it switched off.
        pub paused: bool,
        /// What was understood, in words.
        pub understood: Vec<String>,
        /// What was left out, and why.
        pub ignored: Vec<String>,
    }

    /// A secret found in a text.
    #[derive(Eq)]
    pub struct ImportSecret {
        /// The name proposed for it in the keyring.
        pub name: String,
        /// Where it stood.
        pub place: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_not_shown() {
        let read = ImportReadRequest { text: "marker-value".into(), kind: None };
        let apply = ImportApplyRequest {
            text: "marker-value".into(),
            kind: Some("curl".into()),
            environment: "production".into(),
            items: Vec::new(),
        };
        assert!(!format!("{read:?}{apply:?}").contains("marker-value"));
    }
}
