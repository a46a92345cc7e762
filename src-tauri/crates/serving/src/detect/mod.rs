//! Which model server stands behind a bare URL.
//!
//! What it is: a handful of GETs sent at once, then (when a V2 server answered) its model list. What it hides: which
//! route of which server says what; that judgement is in `classify`. What must stay true: nothing is concluded from a
//! status of 200 alone; nothing that changes the server is sent; the number of requests is bounded.

mod classify;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Outcome, Protocol, UnknownReason};
use serde::{Deserialize, Serialize};
use url::Url;

use self::classify::{Findings, Reply, classify};
use crate::protocol::{below, read_repository_index};
use crate::transport::{ConnectionSlot, Exchange, ExchangeRequest, Limits, TlsProfile, Transport};
use crate::{Authorizer, ClientIdentity, Credential};

/// Models listed and asked for readiness at most.
const MAX_MODELS: usize = 32;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(4),
    first_byte: Duration::from_secs(6),
    total: Duration::from_secs(10),
    max_body: 2 * 1024 * 1024,
};

/// What stands behind a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The protocol to speak, if one is recognised.
    pub protocol: Option<Protocol>,
    /// `mlserver`, `triton`, `kserve`, `mlflow`, another name that the server gives itself, or `unknown`.
    pub server: Option<String>,
    /// The server's own version, never a model's.
    pub server_version: Option<String>,
    /// How sure this is, 0 to 1.
    pub confidence: f64,
    /// The base URL under which the protocol's routes were found.
    pub base_url: Url,
    /// The models that the server lists.
    pub models: Vec<DetectedModel>,
    /// The path of the prediction route below the base URL; `{model}` where a model must be chosen.
    pub predict: Option<String>,
    /// What was seen, in short sentences.
    pub evidence: Vec<String>,
    /// Whether the server asks for a credential, or for another one.
    pub needs_auth: bool,
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

/// Asks a URL what it is. The URL may be a server's base or any known route below it.
pub async fn detect(
    transport: &Arc<Transport>,
    url: &Url,
    credential: &Credential,
    tls: &Tls,
    identity: Option<&ClientIdentity>,
) -> Result<Detection, DetectFailure> {
    let misconfigured =
        |detail: String| DetectFailure { outcome: Outcome::Unknown(UnknownReason::Misconfigured), detail };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(misconfigured("the URL must begin with http:// or https:// and name a host".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(misconfigured("the URL must not contain a user or password; give the credential by name".into()));
    }
    let authorizer =
        Authorizer::new(transport, credential.clone(), tls).map_err(|error| misconfigured(error.to_string()))?;
    let prober = Prober { transport, authorizer: &authorizer, tls: transport.tls_profile(tls, identity.cloned()) };
    let (base, hinted_model) = base_of(url);
    let mut detection = prober
        .run(&base, hinted_model)
        .await
        .map_err(|failure| DetectFailure { detail: authorizer.redact_detail(&failure.detail), ..failure })?;
    for line in &mut detection.evidence {
        *line = authorizer.redact_detail(line);
    }
    Ok(detection)
}

/// The server's base URL behind a route that a person copied, and the model named in it.
fn base_of(url: &Url) -> (Url, Option<String>) {
    let mut base = url.clone();
    base.set_fragment(None);
    let segments: Vec<String> = url.path_segments().map(|parts| parts.map(str::to_owned).collect()).unwrap_or_default();
    let route = segments.iter().position(|segment| {
        matches!(segment.as_str(), "v2" | "invocations" | "ping" | "health" | "version" | "openapi.json" | "docs")
    });
    let Some(route) = route else { return (base, None) };
    let model = match segments.get(route..) {
        Some([v2, models, model, ..]) if v2 == "v2" && models == "models" && !model.is_empty() => {
            Some(percent_decoded(model))
        }
        _ => None,
    };
    base.set_path(&segments[..route].join("/"));
    base.set_query(None);
    (base, model)
}

fn percent_decoded(segment: &str) -> String {
    // A query pair is the one decoder that `url` offers; `+` must not become a blank on the way.
    let text = format!("x={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(|| segment.to_owned(), |(_, value)| value.into_owned())
}

struct Prober<'a> {
    transport: &'a Transport,
    authorizer: &'a Authorizer,
    tls: TlsProfile,
}

impl Prober<'_> {
    async fn run(&self, base: &Url, hinted_model: Option<String>) -> Result<Detection, DetectFailure> {
        let routes = classify::ROUTES;
        let exchanges = join_all(routes.iter().map(|route| {
            let segments: Vec<&str> = route.split('/').filter(|segment| !segment.is_empty()).collect();
            self.get(if segments.is_empty() { base.clone() } else { below(base, &segments) })
        }))
        .await;
        let answered = exchanges.iter().any(|exchange| exchange.status.is_some());
        if !answered {
            // Every route met the same obstacle; the first one tells it.
            let failure = exchanges.into_iter().find_map(|exchange| exchange.failure);
            let failure = failure.map_or_else(
                || (Outcome::Unknown(UnknownReason::Internal), "no route was asked".to_owned()),
                |failure| (failure.outcome, failure.detail),
            );
            return Err(DetectFailure { outcome: failure.0, detail: failure.1 });
        }
        let replies: Vec<Reply> =
            routes.iter().zip(&exchanges).map(|(route, exchange)| Reply::of(route, exchange)).collect();
        let findings = classify(&replies);
        let mut detection = Detection {
            protocol: findings.protocol,
            server: findings.server.clone(),
            server_version: findings.server_version.clone(),
            confidence: findings.confidence,
            base_url: base.clone(),
            models: Vec::new(),
            predict: findings.predict.clone(),
            evidence: findings.evidence.clone(),
            needs_auth: findings.needs_auth,
        };
        if findings.protocol == Some(Protocol::OpenInference) {
            self.list_models(base, hinted_model, &findings, &mut detection).await;
        }
        Ok(detection)
    }

    /// Models from the repository index, from `KServe`'s V1 list, or from the URL; each is asked whether it is ready,
    /// since an index may say READY for a version that failed to load.
    async fn list_models(
        &self,
        base: &Url,
        hinted_model: Option<String>,
        findings: &Findings,
        detection: &mut Detection,
    ) {
        let index = self.ask(&Method::POST, below(base, &["v2", "repository", "index"]), Some("{}")).await;
        match (index.status, read_repository_index(&index.body)) {
            (Some(200), Some(entries)) => {
                for entry in entries {
                    let known = detection.models.iter().position(|model| model.name == entry.name);
                    let model = match known {
                        Some(position) => &mut detection.models[position],
                        None if detection.models.len() < MAX_MODELS => {
                            detection.models.push(DetectedModel {
                                name: entry.name,
                                versions: Vec::new(),
                                ready: None,
                            });
                            let last = detection.models.len() - 1;
                            &mut detection.models[last]
                        }
                        None => continue,
                    };
                    let is_gone = entry.state.as_deref() == Some("UNAVAILABLE");
                    model.versions.extend(entry.version.filter(|version| !version.is_empty() && !is_gone));
                }
                detection.evidence.push(format!("the repository index lists {} models", detection.models.len()));
            }
            (Some(status @ (401 | 403)), _) => {
                detection.evidence.push(format!("the repository index is restricted ({status})"));
                detection.needs_auth |= status == 401;
            }
            _ => {}
        }
        for name in findings.listed_models.iter().cloned().chain(hinted_model) {
            let is_new = detection.models.iter().all(|model| model.name != name);
            if is_new && detection.models.len() < MAX_MODELS {
                detection.models.push(DetectedModel { name, versions: Vec::new(), ready: None });
            }
        }
        let ready = join_all(
            detection.models.iter().map(|model| self.get(below(base, &["v2", "models", &model.name, "ready"]))),
        )
        .await;
        for (model, exchange) in detection.models.iter_mut().zip(ready) {
            model.ready = match exchange.status {
                Some(200) => {
                    Some(!String::from_utf8_lossy(&exchange.body).replace(' ', "").contains("\"ready\":false"))
                }
                Some(400 | 404 | 503) => Some(false),
                _ => None,
            };
        }
        let chosen = detection.models.iter().find(|model| model.ready == Some(true)).or(detection.models.first());
        detection.predict = Some(match chosen {
            Some(model) => {
                let mut server = base.clone();
                server.set_path("");
                below(&server, &["v2", "models", &model.name, "infer"]).path().to_owned()
            }
            None => "/v2/models/{model}/infer".to_owned(),
        });
    }

    async fn get(&self, url: Url) -> Exchange {
        self.ask(&Method::GET, url, None).await
    }

    async fn ask(&self, method: &Method, url: Url, body: Option<&'static str>) -> Exchange {
        let body = body.map(|text| bytes::Bytes::from_static(text.as_bytes()));
        let request = ExchangeRequest {
            method,
            url: &url,
            body: body.as_ref(),
            headers: &[],
            credential: None,
            tls: &self.tls,
            fresh: true,
        };
        self.authorizer.exchange(self.transport, &mut ConnectionSlot::default(), request, &LIMITS).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_found_behind_any_route() {
        let check = |url: &str, base: &str, model: Option<&str>| {
            let (found, found_model) = base_of(&url.parse().unwrap());
            assert_eq!((found.as_str(), found_model.as_deref()), (base, model), "{url}");
        };
        check("http://h:1", "http://h:1/", None);
        check("http://h:1/a/b", "http://h:1/a/b", None);
        check("http://h:1/v2", "http://h:1/", None);
        check("http://h:1/a/v2/models/m/infer", "http://h:1/a", Some("m"));
        check("http://h:1/v2/models/a%20b+c/versions/2", "http://h:1/", Some("a b+c"));
        check("http://h:1/x/invocations?k=1#f", "http://h:1/x", None);
    }
}
