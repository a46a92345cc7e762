//! Which model server stands behind a URL, which models it holds, and what it needs before it can be watched.
//!
//! What it is: the common routes asked at once, then at most a few that the first answers call for. What it hides: which
//! route of which server says what (one file per family in `rules`), and the addresses of clouds (`cloud`). What must stay
//! true: nothing is concluded from a status of 200 alone; no inference and nothing that changes the server is sent; at most
//! [`MAX_REQUESTS`] requests within ten seconds; no redirect to another origin is followed.

mod address;
mod asking;
mod cloud;
mod finding;
mod grpc;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod replay;
mod reply;
mod rules;

use std::sync::Arc;

use pilothouse_domain::endpoint::{JsonTemplate, Tls, plain_url, shown_url};
use pilothouse_domain::{Outcome, Protocol, UnknownReason};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::asking::MAX_REQUESTS;
use self::asking::Prober;
use self::finding::Finding;
pub use self::finding::{CredentialHint, Need, Role};
use crate::transport::Transport;
use crate::{Authorizer, ClientIdentity, Credential};

/// Models kept from a list at most.
pub(crate) const MAX_MODELS: usize = 5_000;

/// What stands behind a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The protocol to speak, if one is recognised and can be spoken.
    pub protocol: Option<Protocol>,
    /// `mlserver`, `triton`, `vllm`, another known word, the name that the server gives itself, or `unknown`.
    pub server: Option<String>,
    /// What it is, for people: `Seldon MLServer`.
    pub title: String,
    /// Whether a model answers here, or something that belongs elsewhere.
    pub role: Role,
    /// The server's own version, never a model's.
    pub server_version: Option<String>,
    /// How sure this is, 0 to 1.
    pub confidence: f64,
    /// The base URL under which the protocol's routes were found.
    pub base_url: Url,
    /// The base URL of the server's management API, where it has one of its own.
    pub management_url: Option<Url>,
    /// The models that the server lists.
    pub models: Vec<DetectedModel>,
    /// The path of the prediction route below the base URL; `{model}` where a model must be chosen.
    pub predict: Option<String>,
    /// For plain JSON: the request and where the prediction stands, as far as the server describes it.
    pub template: Option<JsonTemplate>,
    /// Rows from the server's own example, as JSON, that fit the template.
    pub example_rows: Option<serde_json::Value>,
    /// What was seen, in short sentences.
    pub evidence: Vec<String>,
    /// What to do with it, when it is not simply connected.
    pub advice: Option<String>,
    /// What is needed before it can be watched.
    pub needs: Vec<Need>,
    /// What else it could be, nearly as likely.
    pub alternatives: Vec<Alternative>,
    /// Whether the server asks for a credential, or for another one.
    pub needs_auth: bool,
    /// How many requests were sent.
    pub requests: usize,
}

/// A model that a server lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectedModel {
    /// Its name.
    pub name: String,
    /// The versions listed.
    pub versions: Vec<String>,
    /// Whether it says that it is ready; `None` when it was not asked or did not say.
    pub ready: Option<bool>,
    /// The path of its own prediction route, where each model has another one that the protocol does not build.
    pub predict: Option<String>,
}

impl Detection {
    /// The base URL as people write it: with the words of gRPC where that is spoken.
    pub fn shown_url(&self) -> Url {
        self.protocol.map_or_else(|| self.base_url.clone(), |protocol| shown_url(&self.base_url, protocol))
    }
}

impl DetectedModel {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), versions: Vec::new(), ready: None, predict: None }
    }
}

/// Another reading of the same answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The server's word.
    pub server: String,
    /// What it is, for people.
    pub title: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// How sure, 0 to 1.
    pub confidence: f64,
}

/// Why nothing could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", outcome.phrase())]
pub struct DetectFailure {
    /// Whose failure it is, and which.
    pub outcome: Outcome,
    /// What happened, to what.
    pub detail: String,
}

/// Asks a URL what it is. The URL may be a server's base or any known route below it. One that begins with `grpc://` or
/// `grpcs://` is asked over gRPC alone; any other is asked so where nothing answers over HTTP/1.1 and the server may speak
/// HTTP/2. An address of a known cloud is told without a request.
pub async fn detect(
    transport: &Arc<Transport>,
    url: &Url,
    credential: &Credential,
    tls: &Tls,
    identity: Option<&ClientIdentity>,
) -> Result<Detection, DetectFailure> {
    let misconfigured =
        |detail: String| DetectFailure { outcome: Outcome::Unknown(UnknownReason::Misconfigured), detail };
    let as_http = plain_url(url);
    let (url, is_grpc) = as_http.as_ref().map_or((url, false), |plain| (plain, true));
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(misconfigured(
            "the URL must begin with http://, https://, grpc:// or grpcs:// and name a host".into(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(misconfigured("the URL must not contain a user or password; give the credential by name".into()));
    }
    if let Some((base, finding)) = cloud::recognise(url).filter(|_| !is_grpc) {
        return Ok(detection(&base, finding, Vec::new(), 0));
    }
    let authorizer =
        Authorizer::new(transport, credential.clone(), tls).map_err(|error| misconfigured(error.to_string()))?;
    let prober = Prober::new(transport, &authorizer, transport.tls_profile(tls, identity.cloned()));
    let found =
        if is_grpc { Box::pin(grpc::recognise(&prober, url, 0)).await } else { Box::pin(prober.run(url)).await };
    let mut found =
        found.map_err(|failure| DetectFailure { detail: authorizer.redact_detail(&failure.detail), ..failure })?;
    for line in &mut found.evidence {
        *line = authorizer.redact_detail(line);
    }
    Ok(found)
}

/// A finding as it is handed out, with the readings that are nearly as likely.
fn detection(base: &Url, best: Finding, others: Vec<Finding>, requests: usize) -> Detection {
    let port = |port: u16| {
        let mut url = base.clone();
        url.set_path("");
        url.set_query(None);
        url.set_port(Some(port)).ok().map(|()| url)
    };
    let base_url = best.serving_port.and_then(port).unwrap_or_else(|| base.clone());
    let needs_auth = best.needs.iter().any(|need| matches!(need, Need::Credential { .. }));
    Detection {
        protocol: best.protocol(),
        server: Some(best.server),
        title: best.title,
        role: best.role,
        server_version: best.version,
        confidence: best.confidence,
        base_url,
        management_url: best.management_port.and_then(port),
        models: best.models,
        predict: best.predict,
        template: best.template,
        example_rows: best.example_rows,
        evidence: best.evidence,
        advice: best.advice,
        needs: best.needs,
        alternatives: others
            .into_iter()
            .map(|other| Alternative {
                protocol: other.protocol(),
                server: other.server,
                title: other.title,
                confidence: other.confidence,
            })
            .collect(),
        needs_auth,
        requests,
    }
}
