//! One exchange: request out, answer in, phases measured, limits held.
//!
//! What must stay true: a kept connection that turns out closed before any byte of the answer is replaced once by a
//! fresh one, since the server may close an idle connection at any time and that is no failure; nothing else is retried.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use pilothouse_domain::{Phases, TargetFailure, UnknownReason};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::body::{BodyCollector, BodyProblem};
use super::connection::{self, Connection, ConnectionSlot, Sender, authority};
use super::failure::{self, Failure};
use super::redirect::{Step, next_step};
use super::tcp::micros;
use super::timed_io::IoMarks;
use super::{BodyObserver, Exchange, ExchangeRequest, Limits, Redirects, Transport, Unobserved, Wire};
use crate::credential::Authorization;
use crate::grpc;

pub(super) const AGENT: HeaderValue = HeaderValue::from_static(crate::USER_AGENT);
/// The content type of every body that names no other.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, */*;q=0.1");
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// A complete answer of one hop.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why a hop gave no answer.
pub(super) struct HopFailure {
    pub(super) failure: Failure,
    pub(super) status: Option<StatusCode>,
    pub(super) headers: HeaderMap,
    /// The connection was lost before any byte of the answer.
    pub(super) lost_unanswered: bool,
}

impl HopFailure {
    /// One before the answer's head.
    pub(super) fn unanswered(failure: Failure, lost_unanswered: bool) -> Self {
        Self { failure, status: None, headers: HeaderMap::new(), lost_unanswered }
    }
}

impl HopFailure {
    async fn blamed(self, connection: &Connection) -> Self {
        Self { failure: connection.blamed(self.failure).await, ..self }
    }
}

impl Transport {
    /// Makes one request over the slot's connection, or over a new one that then stays in the slot.
    pub async fn exchange(&self, slot: &mut ConnectionSlot, request: ExchangeRequest<'_>, limits: &Limits) -> Exchange {
        self.exchange_observed(slot, request, limits, &mut Unobserved).await
    }

    /// [`Transport::exchange`], with somebody who sees the answer's body while it comes.
    pub(crate) async fn exchange_observed(
        &self,
        slot: &mut ConnectionSlot,
        request: ExchangeRequest<'_>,
        limits: &Limits,
        observer: &mut dyn BodyObserver,
    ) -> Exchange {
        let mut exchange = Exchange::begun();
        if request.url.scheme() == "https"
            && let Err(error) = request.tls.config().await
        {
            exchange.failure = Some(Failure { outcome: error.outcome(), detail: error.to_string() });
            return exchange;
        }

        let started = Instant::now();
        let deadline = started + limits.total;
        let outcome = self.follow(slot, request, limits, deadline, &mut exchange, observer).await;
        exchange.total_us = Some(micros(started.elapsed()));
        match outcome {
            Ok(answer) => {
                exchange.status = Some(answer.status.as_u16());
                exchange.headers = answer.headers;
                exchange.body = answer.body;
            }
            Err(hop) => {
                exchange.status = hop.status.map(|status| status.as_u16());
                exchange.headers = hop.headers;
                exchange.failure = Some(hop.failure);
            }
        }
        match request.wire {
            Wire::Http1 => exchange,
            Wire::Grpc => grpc::settled(exchange, &authority(request.url)),
        }
    }

    /// Follows redirects to the final answer.
    async fn follow(
        &self,
        slot: &mut ConnectionSlot,
        request: ExchangeRequest<'_>,
        limits: &Limits,
        deadline: Instant,
        exchange: &mut Exchange,
        observer: &mut dyn BodyObserver,
    ) -> Result<Answer, HopFailure> {
        let must_stay = request.credential.is_some_and(|credential| !credential.is_empty())
            || request.tls.has_identity()
            || limits.redirects == Redirects::WithinOrigin;
        let mut url = request.credential.map_or_else(|| request.url.clone(), |credential| credential.url(request.url));
        let mut method = request.method.clone();
        let mut body = match request.wire {
            Wire::Http1 => request.body.cloned(),
            Wire::Grpc => Some(grpc::framed(request.body)),
        };
        let mut elsewhere = ConnectionSlot::default();
        let mut hops = 0;
        loop {
            // The slot keeps the connection of the first origin; a redirect to another one uses its own.
            let away = !super::redirect::same_origin(&url, request.url);
            let slot = if away { &mut elsewhere } else { &mut *slot };
            let hop = Hop { url: &url, method: &method, body: body.as_ref(), request, limits, deadline };
            let mut phases = Phases::default();
            let (answer, reused) = self.hop(slot, &hop, &mut phases, observer).await;
            add_phases(&mut exchange.phases, &phases);
            exchange.reused = reused && (hops == 0 || exchange.reused);
            let answer = answer?;
            // gRPC knows no redirects; what an answer of 302 means is told with the others.
            if request.wire == Wire::Grpc || limits.redirects == Redirects::Never {
                return Ok(answer);
            }
            match next_step(answer.status, answer.headers.get(LOCATION), &url, hops, must_stay) {
                Step::Answer => return Ok(answer),
                Step::Follow { url: next, as_get } => {
                    if as_get && method != Method::HEAD {
                        method = Method::GET;
                        body = None;
                    }
                    url = next;
                    hops += 1;
                }
                Step::Refuse(detail) => {
                    return Err(HopFailure {
                        failure: Failure::target(
                            TargetFailure::RedirectRefused,
                            format!("{} answered with {detail}", authority(&url)),
                        ),
                        status: Some(answer.status),
                        headers: answer.headers,
                        lost_unanswered: false,
                    });
                }
            }
        }
    }

    /// One request and its answer; the flag says whether a kept connection served it.
    async fn hop(
        &self,
        slot: &mut ConnectionSlot,
        hop: &Hop<'_>,
        phases: &mut Phases,
        observer: &mut dyn BodyObserver,
    ) -> (Result<Answer, HopFailure>, bool) {
        let kept = slot
            .connection
            .take()
            .filter(|kept| !hop.request.fresh && kept.is_open() && kept.leads_to(hop.url, hop.request.wire));
        if let Some(mut connection) = kept {
            match hop.send(&mut connection, phases, observer).await {
                Ok(answer) => {
                    slot.connection = Some(connection).filter(Connection::is_free);
                    return (Ok(answer), true);
                }
                Err(lost) if lost.lost_unanswered => *phases = Phases::default(),
                Err(hop_failure) => return (Err(hop_failure.blamed(&connection).await), true),
            }
        }

        let connect_deadline = (Instant::now() + hop.limits.connect).min(hop.deadline);
        let opened =
            connection::open(hop.url, hop.request.wire, &self.way, hop.request.tls, connect_deadline, phases).await;
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(failure) => {
                let hop_failure =
                    HopFailure { failure, status: None, headers: HeaderMap::new(), lost_unanswered: false };
                return (Err(hop_failure), false);
            }
        };
        match hop.send(&mut connection, phases, observer).await {
            Ok(answer) => {
                slot.connection = Some(connection).filter(Connection::is_free);
                (Ok(answer), false)
            }
            Err(hop_failure) => (Err(hop_failure.blamed(&connection).await), false),
        }
    }
}

/// One hop's request and limits.
pub(super) struct Hop<'a> {
    pub(super) url: &'a Url,
    pub(super) method: &'a Method,
    pub(super) body: Option<&'a Bytes>,
    pub(super) request: ExchangeRequest<'a>,
    pub(super) limits: &'a Limits,
    pub(super) deadline: Instant,
}

impl Hop<'_> {
    async fn send(
        &self,
        connection: &mut Connection,
        phases: &mut Phases,
        observer: &mut dyn BodyObserver,
    ) -> Result<Answer, HopFailure> {
        if let Some(sender) = connection.http2() {
            return self.send_http2(sender, &connection.marks, phases).await;
        }
        self.send_http1(connection, phases, observer).await
    }

    async fn send_http1(
        &self,
        connection: &mut Connection,
        phases: &mut Phases,
        observer: &mut dyn BodyObserver,
    ) -> Result<Answer, HopFailure> {
        let place = authority(self.url);
        let request = self.build(connection).map_err(|failure| HopFailure::unanswered(failure, false))?;
        let Sender::Http1(sender) = &mut connection.sender else {
            return Err(HopFailure::unanswered(
                Failure::ours(UnknownReason::Internal, "a connection changed what it speaks"),
                false,
            ));
        };
        match timeout_at(self.deadline, sender.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(HopFailure::unanswered(failure::of_exchange(&error, &place, None), true)),
            Err(_) => return Err(HopFailure::unanswered(total_timeout(&place), false)),
        }

        connection.marks.reset();
        let started = Instant::now();
        observer.request_starts(started);
        let head = self.head(sender, &connection.marks, request).await;
        let sent = connection.marks.sent().map(Instant::from_std);
        let first = connection.marks.first_read().map(Instant::from_std);
        phases.send = Some(micros(sent.unwrap_or_else(Instant::now).min(first.unwrap_or_else(Instant::now)) - started));
        if let Some(sent) = sent {
            // An answer may begin before the request has ended (a refusal of a large body): then nothing was waited.
            phases.wait = Some(micros(first.unwrap_or_else(Instant::now).saturating_duration_since(sent)));
        }
        if let Some(first) = first {
            phases.receive = Some(micros(first.elapsed()));
        }
        let response = match head {
            Ok(response) => response,
            Err(HeadFailure::Limit(failure)) => return Err(HopFailure::unanswered(failure, false)),
            Err(HeadFailure::Http(error)) => {
                let begin = first.map(|_| connection.marks.first_bytes());
                let failure = failure::of_exchange(&error, &place, begin);
                let lost = failure.outcome == pilothouse_domain::Outcome::TargetFailed(TargetFailure::ConnectionReset)
                    && begin.is_none();
                return Err(HopFailure::unanswered(failure, lost));
            }
        };

        let (head, incoming) = response.into_parts();
        let body = if head.status.is_success() && observer.watches() {
            observer.answer_starts(&head.headers);
            self.read_body(&head.headers, incoming, &place, observer).await
        } else {
            self.read_body(&head.headers, incoming, &place, &mut Unobserved).await
        };
        phases.receive = Some(micros(first.unwrap_or(started).elapsed()));
        if head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            && let Some(proxy) = &connection.forwarding_proxy
        {
            let problem = if proxy.authorization.is_some() { "refuses the" } else { "asks for a" };
            let text = format!("the proxy {problem} user and password; set them in {}", proxy.login_is_set);
            return Err(HopFailure::unanswered(Failure::ours(UnknownReason::ProxyFailed, text), false));
        }
        match body {
            Ok(body) => Ok(Answer { status: head.status, headers: head.headers, body }),
            Err(failure) => {
                Err(HopFailure { failure, status: Some(head.status), headers: head.headers, lost_unanswered: false })
            }
        }
    }

    fn build(&self, connection: &Connection) -> Result<Request<Full<Bytes>>, Failure> {
        let target = if connection.forwarding_proxy.is_some() {
            // RFC 9112 §3.2.2: a forwarding proxy is given the absolute form.
            format!(
                "{}://{}{}",
                self.url.scheme(),
                host(self.url),
                &self.url[Position::BeforePath..Position::AfterQuery]
            )
        } else {
            self.url[Position::BeforePath..Position::AfterQuery].to_owned()
        };
        let unusable = |what: &str| {
            Failure::ours(UnknownReason::Misconfigured, format!("the {what} of {} cannot be sent", authority(self.url)))
        };
        let mut request = Request::new(Full::new(self.body.cloned().unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| unusable("path"))?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&host(self.url)).map_err(|_| unusable("host"))?);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, ACCEPTED);
        headers.insert(ACCEPT_ENCODING, ENCODINGS);
        if self.body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        for (name, value) in self.request.headers {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in self.request.credential.map(Authorization::headers).unwrap_or_default() {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(authorization) = connection.proxy_authorization() {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    /// Waits for the answer's head under the first-byte and total limits.
    async fn head(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        marks: &IoMarks,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HeadFailure> {
        let mut answer = std::pin::pin!(sender.send_request(request));
        loop {
            let wake = self.next_limit(marks);
            if let Ok(result) = timeout_at(wake, &mut answer).await {
                return result.map_err(HeadFailure::Http);
            }
            let now = Instant::now();
            let place = authority(self.url);
            if now >= self.deadline {
                return Err(HeadFailure::Limit(total_timeout(&place)));
            }
            let waited_since = marks.sent().map(Instant::from_std).filter(|_| marks.first_read().is_none());
            if waited_since.is_some_and(|sent| now >= sent + self.limits.first_byte) {
                return Err(HeadFailure::Limit(first_byte_timeout(&place, self.limits)));
            }
        }
    }

    /// The next instant at which a limit may have been passed.
    fn next_limit(&self, marks: &IoMarks) -> Instant {
        match (marks.first_read(), marks.sent()) {
            (Some(_), _) => self.deadline,
            (None, Some(sent)) => self.deadline.min(Instant::from_std(sent) + self.limits.first_byte),
            // Still sending, as far as is known: look again.
            (None, None) => self.deadline.min(Instant::now() + self.limits.first_byte),
        }
    }

    async fn read_body(
        &self,
        headers: &HeaderMap,
        mut incoming: Incoming,
        place: &str,
        observer: &mut dyn BodyObserver,
    ) -> Result<Bytes, Failure> {
        let limit = self.limits.max_body;
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let problem = |problem: BodyProblem| body_failure(&problem, place);
        if encoding.is_none() && incoming.size_hint().lower() > limit as u64 {
            return Err(problem(BodyProblem::TooLarge(limit)));
        }
        let mut collector = BodyCollector::new(encoding, limit).map_err(problem)?;
        let mut shown = 0;
        loop {
            match timeout_at(self.deadline, incoming.frame()).await {
                Err(_) => return Err(total_timeout(place)),
                Ok(None) => {
                    let body = collector.finish().map_err(problem)?;
                    if observer.watches() && shown < body.len() {
                        observer.piece(&body[shown..], Instant::now());
                    }
                    return Ok(body);
                }
                // Its head was HTTP, so that the first bytes tell nothing more.
                Ok(Some(Err(error))) => return Err(failure::of_exchange(&error, place, Some(*b"HTTP/1.1"))),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        let at = Instant::now();
                        collector.push(data).map_err(problem)?;
                        if observer.watches() {
                            let decoded = collector.decoded();
                            observer.piece(&decoded[shown..], at);
                            shown = decoded.len();
                        }
                    }
                }
            }
        }
    }
}

enum HeadFailure {
    Limit(Failure),
    Http(hyper::Error),
}

pub(super) fn first_byte_timeout(place: &str, limits: &Limits) -> Failure {
    let waited = limits.first_byte.as_millis();
    Failure::target(TargetFailure::FirstByteTimeout, format!("{place} sent no byte within {waited} ms"))
}

pub(super) fn total_timeout(place: &str) -> Failure {
    Failure::target(
        TargetFailure::TotalTimeout,
        format!("the answer of {place} did not end within the total time limit"),
    )
}

pub(super) fn body_failure(problem: &BodyProblem, place: &str) -> Failure {
    match problem {
        BodyProblem::TooLarge(limit) => Failure::target(
            TargetFailure::ResponseTooLarge,
            format!("the answer of {place} has more than {limit} bytes and was not read further"),
        ),
        BodyProblem::Damaged => Failure::target(
            TargetFailure::BodyMalformed,
            format!("the compressed answer of {place} is damaged or cut off"),
        ),
        BodyProblem::Encoding(name) => Failure::target(
            TargetFailure::BodyMalformed,
            format!("{place} answered in the encoding `{name}`, which was not asked for"),
        ),
    }
}

/// The `Host` header: the port only where it is not the scheme's own.
fn host(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

fn add_phases(sum: &mut Phases, hop: &Phases) {
    let add = |sum: &mut Option<u32>, hop: Option<u32>| {
        if let Some(hop) = hop {
            *sum = Some(sum.unwrap_or(0).saturating_add(hop));
        }
    };
    add(&mut sum.dns, hop.dns);
    add(&mut sum.connect, hop.connect);
    add(&mut sum.tunnel, hop.tunnel);
    add(&mut sum.tls, hop.tls);
    add(&mut sum.send, hop.send);
    add(&mut sum.wait, hop.wait);
    add(&mut sum.receive, hop.receive);
}
