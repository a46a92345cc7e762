//! What was found in a place, before a person agrees.

use pilothouse_cluster::ServicePort;
use pilothouse_domain::Protocol;
use url::Url;

/// What a place holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// The place in words: `context prod (https://10.0.0.1:6443/)`, `Docker Engine 27.5.1`.
    pub place: String,
    /// The context of the kubeconfig that was used.
    pub context: Option<String>,
    /// The candidates, by name.
    pub candidates: Vec<Candidate>,
    /// What could not be seen, and why; what was left out.
    pub notes: Vec<String>,
}

/// What a candidate is in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateKind {
    /// A KServe `InferenceService`.
    InferenceService,
    /// A Kubernetes `Service`.
    Service,
    /// A container.
    Container,
}

impl CandidateKind {
    /// The word used on the command line and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InferenceService => "inference_service",
            Self::Service => "service",
            Self::Container => "container",
        }
    }
}

/// A revision of a model and its share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its name.
    pub name: String,
    /// Percent of the traffic.
    pub percent: u8,
    /// The word under which it is also reached: `prev`, `latest`.
    pub tag: Option<String>,
}

/// A model endpoint that could be watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// A name for the endpoint: the place's own name of it.
    pub name: String,
    /// What it is.
    pub kind: CandidateKind,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The URL under which this machine may reach it as it is.
    pub url: Option<Url>,
    /// The URL that it has inside of its cluster, for a forwarded port: the server sees this name.
    pub inside_url: Option<Url>,
    /// The port that can be forwarded to it.
    pub forward: Option<ServicePort>,
    /// The serving stack by its title, where an image or a label names one.
    pub stack: Option<&'static str>,
    /// The protocol, where the place says it; else the server is asked when it is connected.
    pub protocol: Option<Protocol>,
    /// The model's name on the server, where the place says it.
    pub model: Option<String>,
    /// The version: the image's tag, or the revision that is live.
    pub version: Option<String>,
    /// The image with its tag.
    pub image: Option<String>,
    /// The image's content by its digest.
    pub digest: Option<String>,
    /// Shares of the traffic, where several revisions have one.
    pub traffic: Vec<Revision>,
    /// Whether the place says that it is ready.
    pub ready: Option<bool>,
    /// What was seen, in words.
    pub evidence: Vec<String>,
    /// What keeps it from being reached or from working, in words.
    pub problems: Vec<String>,
}

impl Candidate {
    /// A candidate of which only its name is known.
    pub(crate) fn new(kind: CandidateKind, name: &str) -> Self {
        Self {
            name: name_of(name),
            kind,
            namespace: None,
            url: None,
            inside_url: None,
            forward: None,
            stack: None,
            protocol: None,
            model: None,
            version: None,
            image: None,
            digest: None,
            traffic: Vec::new(),
            ready: None,
            evidence: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Whether there is a way to it.
    pub const fn is_reachable(&self) -> bool {
        self.url.is_some() || self.forward.is_some()
    }
}

/// One line of at most 200 characters without control characters: texts of a place are not ours.
pub(crate) fn plain(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2_000).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// A text fit for an endpoint's name.
fn name_of(text: &str) -> String {
    let name: String = plain(text).chars().take(80).collect();
    if name.is_empty() { "model".into() } else { name }
}
