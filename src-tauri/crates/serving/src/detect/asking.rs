//! The questions of a detection, in order, within its limits.
//!
//! What must stay true: at most [`MAX_REQUESTS`] requests; the credential goes to the origin it was given for and to no
//! other port or host; the whole takes at most ten seconds.

use std::time::Duration;

use futures_util::future::join_all;
use pilothouse_domain::{Outcome, TargetFailure, UnknownReason};
use tokio::time::Instant;
use url::Url;

use super::address::{Hints, base_of};
use super::finding::{Finding, Need, Role};
use super::reply::{Ask, Replies, Reply, Seen};
use super::{DetectFailure, Detection, detection, rules};
use crate::Authorizer;
use crate::protocol::{Call, below};
use crate::transport::{
    ConnectionSlot, Exchange, ExchangeRequest, Failure, Limits, Redirects, TlsProfile, Transport, Wire,
};

/// The most requests that one detection sends.
pub const MAX_REQUESTS: usize = 12;
/// Rounds of further questions after the common routes.
const ROUNDS: usize = 2;
const TOTAL: Duration = Duration::from_secs(10);

/// The routes that many servers have; each answers differently on each.
pub(super) const COMMON: [&str; 7] = ["/v2", "/v1/models", "/version", "/ping", "/openapi.json", "/health", "/"];
/// The routes asked at the origin when nothing is known below the pasted path.
const AT_ORIGIN: [&str; 5] = ["/v2", "/v1/models", "/openapi.json", "/-/routes", "/"];
/// The routes asked when the common ones explain nothing.
pub(super) const FURTHER: [&str; 3] = ["/-/routes", "/docs.json", "/metrics"];

/// Below this, a reading explains nothing.
const EXPLAINED: f64 = 0.35;
/// Readings this close to the best one are shown beside it.
const TIE: f64 = 0.1;

pub(super) struct Prober<'a> {
    transport: &'a Transport,
    authorizer: &'a Authorizer,
    tls: TlsProfile,
    deadline: Instant,
}

impl<'a> Prober<'a> {
    pub(super) fn new(transport: &'a Transport, authorizer: &'a Authorizer, tls: TlsProfile) -> Self {
        Self { transport, authorizer, tls, deadline: Instant::now() + TOTAL }
    }

    pub(super) async fn run(&self, url: &Url) -> Result<Detection, DetectFailure> {
        let (base, hints) = base_of(url);
        let mut replies = Replies::default();
        self.ask_all(&base, COMMON.iter().map(|path| Ask::get(path)).collect(), &mut replies).await;
        if replies.iter().all(|reply| reply.status.is_none()) {
            let mut failures = replies.iter().filter_map(|reply| reply.failure.clone());
            let wants_http2 = failures.clone().any(|failure| failure.wants_http2());
            // A server of gRPC may hang up before anything that it said was read.
            let hung_up = Outcome::TargetFailed(TargetFailure::ConnectionReset);
            if wants_http2 || failures.clone().any(|failure| failure.outcome == hung_up) {
                let found = Box::pin(super::grpc::recognise(self, &base, replies.0.len())).await;
                if wants_http2 || found.is_ok() {
                    return found;
                }
            }
            return obstacle(&base, failures.next(), replies.0.len(), "http");
        }
        let mut judged = judge(&base, &hints, &replies);
        for _ in 0..ROUNDS {
            let asks = Self::further(&judged, &replies, &base);
            if asks.is_empty() {
                break;
            }
            self.ask_all(&base, asks, &mut replies).await;
            judged = judge(&base, &hints, &replies);
        }
        let requests = replies.0.len();
        let at_origin = judged.last_found_at_origin;
        let Judged { best, others, .. } = judged;
        let base = if at_origin { origin(&base) } else { base };
        Ok(detection(&base, best, others, requests))
    }

    /// What to ask next, never more than the limit leaves.
    fn further(judged: &Judged, replies: &Replies, base: &Url) -> Vec<Ask> {
        let mut asks: Vec<Ask> = judged.best.asks.clone();
        asks.extend(judged.others.iter().flat_map(|other| other.asks.clone()));
        if judged.best.confidence < EXPLAINED {
            let is_below_a_path = !matches!(base.path(), "" | "/");
            if is_below_a_path {
                asks.extend(AT_ORIGIN.iter().map(|path| Ask::get(path).at_origin()));
            } else {
                asks.extend(FURTHER.iter().map(|path| Ask::get(path)));
            }
        }
        let mut chosen: Vec<Ask> = Vec::new();
        for ask in asks {
            if replies.to(&ask).is_none() && !chosen.contains(&ask) {
                chosen.push(ask);
            }
        }
        chosen.truncate(MAX_REQUESTS.saturating_sub(replies.0.len()));
        chosen
    }

    async fn ask_all(&self, base: &Url, asks: Vec<Ask>, replies: &mut Replies) {
        let answers = join_all(asks.into_iter().map(|ask| self.ask(base, ask))).await;
        replies.0.extend(answers);
    }

    async fn ask(&self, base: &Url, ask: Ask) -> Reply {
        let mut from = if ask.at_origin { origin(base) } else { base.clone() };
        if let Some(port) = ask.port
            && from.set_port(Some(port)).is_err()
        {
            return Reply::new(ask, None, http::HeaderMap::new(), Vec::new());
        }
        let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
        let url = if segments.is_empty() { from } else { below(&from, &segments) };
        let body = ask.body.map(|text| bytes::Bytes::from_static(text.as_bytes()));
        let limits = self.limits();
        let request = ExchangeRequest {
            method: &ask.method,
            url: &url,
            body: body.as_ref(),
            headers: &[],
            credential: None,
            tls: &self.tls,
            fresh: true,
            wire: Wire::Http1,
        };
        let slot = &mut ConnectionSlot::default();
        let exchange = match ask.port {
            Some(_) => self.transport.exchange(slot, request, &limits).await,
            None => self.authorizer.exchange(self.transport, slot, request, &limits).await,
        };
        Reply::of(ask, exchange)
    }
}

impl Prober<'_> {
    /// One call of gRPC.
    pub(super) async fn call(&self, call: &Call) -> Exchange {
        let (mut connection, request) = (ConnectionSlot::default(), call.request(&self.tls, true));
        self.authorizer.exchange(self.transport, &mut connection, request, &self.limits()).await
    }

    fn limits(&self) -> Limits {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Limits {
            connect: Duration::from_secs(4).min(left),
            first_byte: Duration::from_secs(5).min(left),
            total: Duration::from_secs(6).min(left),
            max_body: 2 * 1024 * 1024,
            redirects: Redirects::WithinOrigin,
        }
    }
}

/// The reading of all answers so far.
struct Judged {
    best: Finding,
    others: Vec<Finding>,
    /// The best reading rests on answers at the origin and not below the pasted path.
    last_found_at_origin: bool,
}

fn judge(base: &Url, hints: &Hints, replies: &Replies) -> Judged {
    let (own, origin_only): (Vec<Reply>, Vec<Reply>) =
        replies.iter().cloned().partition(|reply| !reply.ask.at_origin || reply.ask.port.is_some());
    let read = |replies: Vec<Reply>| {
        let replies = Replies(replies);
        rules::judge(Seen { replies: &replies, hints, base }, TIE)
    };
    let (best, others) = read(own);
    if best.confidence < EXPLAINED && !origin_only.is_empty() {
        let (at_origin, others_there) = read(origin_only);
        if at_origin.confidence > best.confidence {
            return Judged { best: at_origin, others: others_there, last_found_at_origin: true };
        }
    }
    Judged { best, others, last_found_at_origin: false }
}

fn origin(base: &Url) -> Url {
    let mut origin = base.clone();
    origin.set_path("");
    origin.set_query(None);
    origin
}

/// Every route met the same obstacle; the first one tells it. What a person can mend by another setting is a finding with
/// a need; everything else is a failure. `plain` is the scheme without TLS.
pub(super) fn obstacle(
    base: &Url,
    failure: Option<Failure>,
    requests: usize,
    plain: &str,
) -> Result<Detection, DetectFailure> {
    let failure = failure.unwrap_or_else(|| Failure::ours(UnknownReason::Internal, "no route was asked"));
    let need = match failure.outcome {
        Outcome::TargetFailed(TargetFailure::CertificateInvalid) => Need::CaFile { why: failure.detail.clone() },
        Outcome::TargetFailed(TargetFailure::TlsFailed) if wants_client_certificate(&failure.detail) => {
            Need::ClientCertificate { why: failure.detail.clone() }
        }
        Outcome::TargetFailed(TargetFailure::TlsFailed) => {
            Need::Address { url: with_scheme(base, plain), why: failure.detail.clone() }
        }
        outcome => return Err(DetectFailure { outcome, detail: failure.detail }),
    };
    let title = match &need {
        Need::CaFile { .. } => "A server whose certificate is not trusted",
        Need::ClientCertificate { .. } => "A server that asks for a client certificate",
        _ => "A server that does not speak https",
    };
    let finding = Finding { server: "unknown".into(), title: title.into(), role: Role::Other, ..Finding::default() }
        .saw(failure.detail)
        .needing(need);
    Ok(detection(base, finding, Vec::new(), requests))
}

fn wants_client_certificate(detail: &str) -> bool {
    // The names of rustls' alerts, as `failure::of_rustls` words them.
    ["CertificateRequired", "HandshakeFailure", "BadCertificate"].iter().any(|alert| detail.contains(alert))
}

/// The same address under another scheme, for a person to confirm.
pub(super) fn with_scheme(base: &Url, scheme: &str) -> String {
    let rest = &base[url::Position::BeforeHost..];
    format!("{scheme}://{rest}")
}
