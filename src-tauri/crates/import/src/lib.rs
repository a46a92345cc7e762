//! Endpoints from what other tools wrote down.
//!
//! What it is: one pure function, [`read`], from a text to proposals, with what was understood and what was left out. What
//! it hides: each tool's format, one file each. What must stay true: a secret found in a text is in
//! [`FoundSecret::value`] and nowhere else, not in a name, a note, an address or `Debug`; any text gives an answer; nothing
//! is read from disk or asked of a network.

mod curl;
mod durations;
mod gatus;
mod kuma;
mod openapi;
mod prometheus;
mod proposal;
mod request;

use std::collections::HashMap;

use serde_json::Value;

pub use self::proposal::{FoundSecret, Proposal};

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 8 * 1024 * 1024;
/// The most proposals taken from one text.
pub const MAX_PROPOSALS: usize = 5_000;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One or more curl commands.
    Curl,
    /// An `OpenAPI` document, JSON or YAML.
    OpenApi,
    /// A Prometheus configuration, or a target list of `file_sd_configs`.
    Prometheus,
    /// A Gatus configuration.
    Gatus,
    /// A backup of Uptime Kuma 1.
    UptimeKuma,
    /// A kubeconfig: recognised here, and read by who knows clusters.
    Kubeconfig,
}

impl Kind {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::Curl, Self::OpenApi, Self::Prometheus, Self::Gatus, Self::UptimeKuma, Self::Kubeconfig];

    /// The word used on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::OpenApi => "openapi",
            Self::Prometheus => "prometheus",
            Self::Gatus => "gatus",
            Self::UptimeKuma => "uptime-kuma",
            Self::Kubeconfig => "kubeconfig",
        }
    }

    /// The format with this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Curl => "curl command",
            Self::OpenApi => "OpenAPI document",
            Self::Prometheus => "Prometheus targets",
            Self::Gatus => "Gatus configuration",
            Self::UptimeKuma => "Uptime Kuma backup",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

/// What a text holds.
#[derive(Debug)]
pub struct Import {
    /// Its format.
    pub kind: Kind,
    /// The endpoints that could be watched, in the text's order.
    pub proposals: Vec<Proposal>,
    /// What was left out as a whole, and why.
    pub ignored: Vec<String>,
}

/// Why a text gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is empty.
    #[error("there is nothing to import: the text is empty")]
    Empty,
    /// It is too long.
    #[error("the text has {0} bytes, more than the {max} that are read at once", max = MAX_TEXT)]
    TooLong(usize),
    /// It is a database file.
    #[error(
        "this is a SQLite file: Uptime Kuma 2 keeps its monitors in one and has no backup as text. \
         Export them to JSON with its API, or import the backup of version 1"
    )]
    Sqlite,
    /// Its format was not recognised.
    #[error(
        "the format was not recognised: give a curl command, an OpenAPI document, Prometheus targets, a Gatus \
         configuration, an Uptime Kuma backup or a kubeconfig, or name the format"
    )]
    Unknown,
    /// It is not of the format that was named.
    #[error("this is no {}: {problem}", .kind.title())]
    Malformed {
        /// The format.
        kind: Kind,
        /// What is wrong.
        problem: String,
    },
}

/// Shortest secret, in bytes, that is looked for in the address of its endpoint.
const SHORTEST_EXPOSED: usize = 12;

/// Reads a text. Without a format, it is recognised by its members.
pub fn read(text: &str, kind: Option<Kind>) -> Result<Import, ImportError> {
    if text.len() > MAX_TEXT {
        return Err(ImportError::TooLong(text.len()));
    }
    if text.starts_with("SQLite format 3") {
        return Err(ImportError::Sqlite);
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(ImportError::Empty);
    }
    if kind == Some(Kind::Curl) || (kind.is_none() && curl::looks_like(text)) {
        return curl::read(text).map(|mut import| {
            leave_out_exposed(&mut import);
            separate_secrets(&mut import.proposals);
            import
        });
    }
    let document = match parse(text) {
        Ok(document) => document,
        Err(problem) => {
            return Err(match kind {
                Some(kind) => ImportError::Malformed { kind, problem },
                None => ImportError::Unknown,
            });
        }
    };
    let kind = kind.or_else(|| recognise(&document)).ok_or(ImportError::Unknown)?;
    let mut import = match kind {
        Kind::Curl => return curl::read(text),
        Kind::OpenApi => openapi::read(&document),
        Kind::Prometheus => prometheus::read(&document),
        Kind::Gatus => gatus::read(&document),
        Kind::UptimeKuma => kuma::read(&document),
        Kind::Kubeconfig => Ok(Import { kind, proposals: Vec::new(), ignored: Vec::new() }),
    }?;
    if import.proposals.len() > MAX_PROPOSALS {
        import
            .ignored
            .push(format!("only the first {MAX_PROPOSALS} of {} endpoints are shown", import.proposals.len()));
        import.proposals.truncate(MAX_PROPOSALS);
    }
    leave_out_exposed(&mut import);
    separate_secrets(&mut import.proposals);
    Ok(import)
}

/// Leaves out endpoints whose address or name repeats their secret: the settings would hold it beside the keyring. A short
/// one may be any word of an address.
fn leave_out_exposed(import: &mut Import) {
    use secrecy::ExposeSecret as _;
    let mut number = 0_usize;
    let ignored = &mut import.ignored;
    import.proposals.retain(|proposal| {
        number += 1;
        let secret = proposal.secret.as_ref().map(|found| found.value.expose_secret());
        let is_exposed = secret.is_some_and(|secret| {
            secret.len() >= SHORTEST_EXPOSED && [proposal.url.as_str(), &proposal.name].iter().any(|text| text.contains(secret))
        });
        if is_exposed {
            ignored.push(format!(
                "endpoint {number} was left out: its address or its name repeats its secret, which would be kept outside of \
                 the keyring; take it out there and import again"
            ));
        }
        !is_exposed
    });
}

/// Gives secrets of the same name and another value names of their own: endpoints of one host may have one each.
fn separate_secrets(proposals: &mut [Proposal]) {
    use secrecy::ExposeSecret as _;
    let mut values: HashMap<String, String> = HashMap::new();
    for proposal in proposals {
        let Some(found) = &proposal.secret else { continue };
        let (name, value) = (found.name.clone(), found.value.expose_secret().to_owned());
        let candidates = (1_u32..).map(|number| if number == 1 { name.clone() } else { format!("{name}-{number}") });
        let free = candidates.into_iter().find(|name| values.get(name).is_none_or(|known| *known == value));
        if let Some(free) = free {
            proposal.rename_secret(&free);
            values.insert(free, value);
        }
    }
}

/// JSON or YAML; the error names the line, never the text, which may hold secrets.
fn parse(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    // Go's YAML, which Gatus, Prometheus and Kubernetes read with, takes a bare `off` or `no` as text.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| match error.location() {
        Some(place) => format!("it is neither JSON nor YAML (line {}, column {})", place.line(), place.column()),
        None => "it is neither JSON nor YAML".to_owned(),
    })
}

fn recognise(document: &Value) -> Option<Kind> {
    let has = |member: &str| document.get(member).is_some();
    let lists = |member: &str, inside: &str| {
        let list = document.get(member).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|entry| entry.get(inside).is_some()))
    };
    if has("openapi") || has("swagger") {
        return Some(Kind::OpenApi);
    }
    if has("monitorList") {
        return Some(Kind::UptimeKuma);
    }
    if has("contexts") && has("clusters") {
        return Some(Kind::Kubeconfig);
    }
    let has_targets = document.as_array().is_some_and(|list| list.iter().any(|entry| entry.get("targets").is_some()));
    if has("scrape_configs") || has_targets {
        return Some(Kind::Prometheus);
    }
    (lists("endpoints", "url") || lists("services", "url")).then_some(Kind::Gatus)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats_are_recognised() {
        let check = |text: &str, expect: Result<Kind, ImportError>| {
            assert_eq!(read(text, None).map(|import| import.kind), expect, "{text}");
        };
        check("curl http://h/v2/models/m/infer -d '{}'", Ok(Kind::Curl));
        check("$ curl http://h/", Ok(Kind::Curl));
        check(r#"{"openapi":"3.1.0","paths":{}}"#, Ok(Kind::OpenApi));
        check("- targets: ['h:1']\n", Ok(Kind::Prometheus));
        check("scrape_configs:\n- job_name: x\n", Ok(Kind::Prometheus));
        check("endpoints:\n- url: http://h\n", Ok(Kind::Gatus));
        check(r#"{"version":"1.23.13","monitorList":[]}"#, Ok(Kind::UptimeKuma));
        check("clusters: []\ncontexts: []\nkind: Config\n", Ok(Kind::Kubeconfig));
        check("", Err(ImportError::Empty));
        check("hello", Err(ImportError::Unknown));
        check("SQLite format 3\u{0}", Err(ImportError::Sqlite));
        check("a: [", Err(ImportError::Unknown));
        let named = read("a: [", Some(Kind::Gatus)).unwrap_err();
        assert!(named.to_string().starts_with("this is no Gatus configuration"), "{named}");
    }

    /// A value of every form that a secret takes in these formats.
    const MARKER: &str = "marker-7f3a-never-shown";

    #[test]
    fn a_secret_is_in_its_place_and_nowhere_else() {
        let texts = [
            format!("curl -H 'Authorization: Bearer {MARKER}' https://h/v2/models/m/infer"),
            format!("curl -u ann:{MARKER} https://h/"),
            format!("curl -H 'X-Api-Key: {MARKER}' -H 'X-Other: {MARKER}' -b 'session={MARKER}' https://h/"),
            format!("curl 'https://ann:{MARKER}@h/predict?token={MARKER}&a=1'"),
            format!("curl --oauth2-bearer {MARKER} https://h/"),
            format!("endpoints:\n- url: https://h/\n  headers:\n    Authorization: Bearer {MARKER}\n"),
            format!("endpoints:\n- url: https://ann:{MARKER}@h/\n"),
            format!(
                "scrape_configs:\n- job_name: j\n  authorization:\n    credentials: {MARKER}\n  static_configs:\n  - targets: ['h:1']\n"
            ),
            format!(
                "scrape_configs:\n- job_name: j\n  basic_auth: {{username: a, password: {MARKER}}}\n  static_configs:\n  - targets: ['h:1']\n"
            ),
            format!(
                r#"{{"monitorList":[{{"name":"a","type":"http","url":"https://h/","basic_auth_user":"a","basic_auth_pass":"{MARKER}","authMethod":"basic"}}]}}"#
            ),
            format!(
                r#"{{"monitorList":[{{"name":"a","type":"http","url":"https://h/?key={MARKER}","headers":"{{\"Authorization\":\"Bearer {MARKER}\"}}"}}]}}"#
            ),
        ];
        for text in texts {
            let import = read(&text, None).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(import.proposals.len() == 1, "{text}");
            assert!(!format!("{import:?}").contains(MARKER), "{import:#?}");
        }
    }

    #[test]
    fn an_address_that_repeats_its_secret_is_left_out() {
        for text in [
            format!("curl -u ann:{MARKER} https://models.example.com/{MARKER}/predict"),
            format!("endpoints:\n- name: {MARKER}\n  url: https://h/\n  headers: {{Authorization: Bearer {MARKER}}}\n"),
        ] {
            let import = read(&text, None).unwrap();
            assert!(import.proposals.is_empty(), "{import:?}");
            assert!(import.ignored[0].contains("endpoint 1 was left out") && !import.ignored[0].contains(MARKER));
        }
        let short = read("curl -u ann:predict https://models.example.com/predict", None).unwrap();
        assert_eq!(short.proposals.len(), 1, "a word that stands in any address");
    }

    #[test]
    fn a_secret_that_was_found_can_be_stored() {
        use secrecy::ExposeSecret as _;
        let import =
            read(&format!("curl -H 'Authorization: Bearer {MARKER}' https://models.example.com/"), None).unwrap();
        let found = import.proposals[0].secret.as_ref().unwrap();
        assert_eq!((found.name.as_str(), found.value.expose_secret()), ("models-example-com-token", MARKER));
        assert_eq!(import.proposals[0].auth.secrets(), ["models-example-com-token"]);
    }

    #[test]
    fn two_secrets_of_one_host_have_two_names() {
        let text = "curl -H 'Authorization: Bearer one' http://h/a\ncurl -H 'Authorization: Bearer two' http://h/b\n\
                    curl -H 'Authorization: Bearer one' http://h/c";
        let import = read(text, None).unwrap();
        let names: Vec<&str> = import.proposals.iter().flat_map(|found| found.auth.secrets()).collect();
        assert_eq!(names, ["h-token", "h-token-2", "h-token"]);
    }

    proptest! {
        /// Any text gives an answer, whatever format is named for it.
        #[test]
        fn any_text_never_panics(text in ".{0,200}", kind in proptest::sample::select(Kind::ALL.to_vec())) {
            let _ = read(&text, None);
            let _ = read(&text, Some(kind));
        }

        /// So does a text put together from pieces of real ones.
        #[test]
        fn nearly_right_texts_never_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "curl ", "-X POST ", "-H ", "'Authorization: Bearer x' ", "-d '{\"a\":[[1]]}' ", "-u a:b ", "http://h/v2/models/m ",
                    "\\\n", "'", "\"", "endpoints:\n", "- url: http://h\n", "  interval: 30s\n", "  headers:\n", "scrape_configs:\n",
                    "- targets: [a]\n", "  static_configs:\n", "monitorList: ", "[{", "}]", "type: http, ", "url: 3, ", "contexts:\n",
                    "clusters:\n", "users:\n", "- name: x\n", "  context: {cluster: c}\n", "openapi: 3.1.0\n", "paths:\n", "  /predict:\n",
                    "    post: {}\n", "&a ", "*a ", "!!binary ", "<<: ", "? ", "| ", "\u{0}", "é",
                ]),
                0..25,
            ),
        ) {
            let text = pieces.concat();
            let _ = read(&text, None);
            for kind in Kind::ALL {
                let _ = read(&text, Some(kind));
            }
        }
    }
}
