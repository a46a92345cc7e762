//! Questions and answers: what was asked of a server and what it said.

use http::{HeaderMap, Method};
use serde_json::Value;
use url::{Position, Url};

use super::address::Hints;
use crate::bounded_json;
use crate::text::{one_line, server_message};
use crate::transport::{Exchange, Failure};

/// One harmless question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Another port of the same host. It is asked without the credential, which was given for another origin.
    pub(super) port: Option<u16>,
    /// Whether the path is below the origin and not below the base.
    pub(super) at_origin: bool,
    pub(super) segments: Vec<String>,
    pub(super) body: Option<&'static str>,
}

impl Ask {
    /// GET of a path below the base.
    pub(super) fn get(path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        Self { method: Method::GET, port: None, at_origin: false, segments, body: None }
    }

    /// GET of segments, each of which may hold any character.
    pub(super) fn get_segments(segments: &[&str]) -> Self {
        let segments = segments.iter().map(|segment| (*segment).to_owned()).collect();
        Self { method: Method::GET, port: None, at_origin: false, segments, body: None }
    }

    /// The same, below the origin.
    pub(super) fn at_origin(mut self) -> Self {
        self.at_origin = true;
        self
    }

    /// The same, on another port.
    pub(super) fn on_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self.at_origin = true;
        self
    }

    /// OPTIONS of the base: how `TorchServe` describes itself.
    pub(super) fn options() -> Self {
        Self { method: Method::OPTIONS, ..Self::get("/") }
    }

    /// The repository index of the V2 protocol, which is a POST that only lists.
    pub(super) fn repository_index() -> Self {
        Self { method: Method::POST, body: Some("{}"), ..Self::get("/v2/repository/index") }
    }

    /// The path for people.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) ask: Ask,
    pub(super) status: Option<u16>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The body as JSON, whatever the status.
    json: Option<Value>,
    pub(super) failure: Option<Failure>,
}

impl Reply {
    pub(super) fn new(ask: Ask, status: Option<u16>, headers: HeaderMap, body: Vec<u8>) -> Self {
        let json = bounded_json::from_slice(&body).ok();
        Self { ask, status, headers, body, json, failure: None }
    }

    pub(super) fn of(ask: Ask, exchange: Exchange) -> Self {
        let mut reply = Self::new(ask, exchange.status, exchange.headers, exchange.body.to_vec());
        reply.failure = exchange.failure;
        reply
    }

    /// The body of a success as JSON.
    pub(super) fn json(&self) -> Option<&Value> {
        (self.status == Some(200)).then_some(self.json.as_ref()).flatten()
    }

    /// The body as JSON, whatever the status.
    pub(super) const fn any_json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    /// The body of a success as text.
    pub(super) fn text(&self) -> Option<String> {
        (self.status == Some(200)).then(|| self.any_text())
    }

    /// The beginning of the body as text, whatever the status.
    pub(super) fn any_text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(64 * 1024)]).into_owned()
    }

    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it is a page.
    pub(super) fn is_page(&self) -> bool {
        let head = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).trim_start().to_ascii_lowercase();
        let is_html = self.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        head.starts_with("<!doctype html") || head.starts_with("<html") || (is_html && head.contains("<html"))
    }

    /// The title of a page.
    pub(super) fn page_title(&self) -> Option<String> {
        let text = self.any_text();
        // Lower-casing ASCII keeps every byte's place.
        let lower = text.to_ascii_lowercase();
        let from = lower.find("<title")?;
        let from = from + lower[from..].find('>')? + 1;
        let to = from + lower[from..].find("</title")?;
        Some(one_line(text.get(from..to)?, 80)).filter(|title| !title.is_empty())
    }

    /// The status and the server's message, for people.
    pub(super) fn words(&self) -> String {
        let status = self.status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
        match server_message(&self.body) {
            Some(message) => format!("{status}: {}", one_line(&message, 120)),
            None => status,
        }
    }
}

/// Every answer so far.
#[derive(Debug, Default)]
pub(super) struct Replies(pub(super) Vec<Reply>);

impl Replies {
    /// The answer to GET of a path.
    pub(super) fn get(&self, path: &str) -> Option<&Reply> {
        self.to(&Ask::get(path)).or_else(|| self.to(&Ask::get(path).at_origin()))
    }

    /// The answer to a question.
    pub(super) fn to(&self, ask: &Ask) -> Option<&Reply> {
        self.0.iter().find(|reply| reply.ask == *ask)
    }

    /// The JSON of a success of GET of a path.
    pub(super) fn json(&self, path: &str) -> Option<&Value> {
        self.get(path).and_then(Reply::json)
    }

    /// The text of a success of GET of a path.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.get(path).and_then(Reply::text)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Reply> {
        self.0.iter()
    }

    /// The first answer with one of these statuses.
    pub(super) fn with_status(&self, statuses: &[u16]) -> Option<&Reply> {
        self.iter().find(|reply| reply.status.is_some_and(|status| statuses.contains(&status)))
    }
}

/// Everything a rule may look at.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) replies: &'a Replies,
    /// What the pasted URL said beside its base.
    pub(super) hints: &'a Hints,
    /// The base that was asked.
    pub(super) base: &'a Url,
}

impl Seen<'_> {
    /// The port that was asked.
    pub(super) fn port(self) -> u16 {
        self.base.port_or_known_default().unwrap_or_default()
    }

    /// The same address under another scheme.
    pub(super) fn with_scheme(self, scheme: &str) -> String {
        format!("{scheme}://{}", &self.base[Position::BeforeHost..])
    }
}
