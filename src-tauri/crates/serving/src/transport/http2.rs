//! One exchange over HTTP/2 (RFC 9113), as gRPC needs it: with trailers, and without any older version to fall back to.
//!
//! What it hides: h2's handshake, streams and flow control. What must stay true: the limits and the phases are those of an
//! exchange over HTTP/1.1, except that the answer begins with its head and not with the first byte that is read, since a
//! connection speaks for itself too (settings, window updates, pings); one task drives a connection and ends with it.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Request, Response, Version};
use pilothouse_domain::{Phases, UnknownReason};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use url::Position;

use super::body::{BodyCollector, BodyProblem};
use super::connection::{Connection, Sender, authority};
use super::exchange::{AGENT, Answer, Hop, HopFailure, body_failure, first_byte_timeout, total_timeout};
use super::failure::{self, Failure};
use super::tcp::{micros, timed_out};
use super::timed_io::{IoMarks, TimedIo};
use super::way::Stream;
use crate::credential::Authorization;

/// What gRPC says of every request: its body is one message, and trailers are understood ("gRPC over HTTP2", Requests).
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
/// Messages come as they are: no compression is offered.
const ACCEPTED_MESSAGES: (HeaderName, HeaderValue) =
    (HeaderName::from_static("grpc-accept-encoding"), HeaderValue::from_static("identity"));
/// How much of an answer may be under way; more than the usual answer, so that it comes without waiting for us.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// As for HTTP/1.1.
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Greets the server over an open stream, and gives the connection a task of its own.
pub(super) async fn greet(
    stream: TimedIo<Box<dyn Stream>>,
    marks: &IoMarks,
    place: &str,
    deadline: Instant,
) -> Result<(SendRequest<Bytes>, JoinHandle<()>), Failure> {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES);
    let shaken = timeout_at(deadline, builder.handshake::<_, Bytes>(stream)).await;
    let (sender, connection) = shaken
        .map_err(|_| timed_out("the HTTP/2 preface could not be sent", place))?
        .map_err(|error| failure::of_http2(&error, place, begin(marks)))?;
    let driver = tokio::spawn(async move {
        // The error reaches whoever waits for the answer; here it only ends the task.
        let _ = connection.await;
    });
    Ok((sender, driver))
}

fn begin(marks: &IoMarks) -> failure::Begin {
    marks.first_read().map(|_| marks.first_bytes())
}

impl Hop<'_> {
    /// One request and its answer. The trailers stand behind the headers of the answer.
    pub(super) async fn send_http2(
        &self,
        sender: SendRequest<Bytes>,
        marks: &Arc<IoMarks>,
        phases: &mut Phases,
    ) -> Result<Answer, HopFailure> {
        let place = authority(self.url);
        let broken =
            |error: &h2::Error| HopFailure::unanswered(failure::of_http2(error, &place, begin(marks)), is_lost(error));
        let request = self.build_http2().map_err(|failure| HopFailure::unanswered(failure, false))?;
        let mut sender = match timeout_at(self.deadline, sender.ready()).await {
            Ok(ready) => ready.map_err(|error| broken(&error))?,
            Err(_) => return Err(HopFailure::unanswered(total_timeout(&place), false)),
        };

        let body = self.body.cloned().unwrap_or_default();
        marks.expect(body.len());
        let started = Instant::now();
        let sent = || marks.sent().map(Instant::from_std);
        let (answer, mut outgoing) = sender.send_request(request, false).map_err(|error| broken(&error))?;
        outgoing.send_data(body, true).map_err(|error| broken(&error))?;
        let head = self.head_http2(answer, marks).await;
        let answered = Instant::now();
        phases.send = Some(micros(sent().unwrap_or(answered).min(answered).saturating_duration_since(started)));
        if let Some(sent) = sent() {
            phases.wait = Some(micros(answered.saturating_duration_since(sent)));
        }
        let (head, incoming) = match head {
            Ok(response) => response.into_parts(),
            Err(HeadFailure::Limit(failure)) => return Err(HopFailure::unanswered(failure, false)),
            Err(HeadFailure::Http(error)) => return Err(broken(&error)),
        };
        let mut headers = head.headers;
        let body = self.read_http2(incoming, &mut headers, &place, marks).await;
        phases.receive = Some(micros(answered.elapsed()));
        match body {
            Ok(body) => Ok(Answer { status: head.status, headers, body }),
            Err(failure) => Err(HopFailure { failure, status: Some(head.status), headers, lost_unanswered: false }),
        }
    }

    fn build_http2(&self) -> Result<Request<()>, Failure> {
        let path = &self.url[Position::BeforePath..Position::AfterQuery];
        let target = format!("{}://{}{path}", self.url.scheme(), authority(self.url));
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| {
            Failure::ours(UnknownReason::Misconfigured, format!("the path of {} cannot be sent", authority(self.url)))
        })?;
        let headers = request.headers_mut();
        headers.insert(TE, TRAILERS);
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPTED_MESSAGES.0, ACCEPTED_MESSAGES.1);
        let credential = self.request.credential.map(Authorization::headers).unwrap_or_default();
        for (name, value) in self.request.headers.iter().chain(credential) {
            headers.insert(name.clone(), value.clone());
        }
        Ok(request)
    }

    /// Waits for the answer's head under the first-byte and total limits.
    async fn head_http2(
        &self,
        answer: client::ResponseFuture,
        marks: &IoMarks,
    ) -> Result<Response<h2::RecvStream>, HeadFailure> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let sent = marks.sent().map(Instant::from_std);
            // Still sending, as far as is known: look again.
            let wake = sent.unwrap_or_else(Instant::now) + self.limits.first_byte;
            if let Ok(result) = timeout_at(wake.min(self.deadline), &mut answer).await {
                return result.map_err(HeadFailure::Http);
            }
            let (now, place) = (Instant::now(), authority(self.url));
            if now >= self.deadline {
                return Err(HeadFailure::Limit(total_timeout(&place)));
            }
            if sent.is_some_and(|sent| now >= sent + self.limits.first_byte) {
                return Err(HeadFailure::Limit(first_byte_timeout(&place, self.limits)));
            }
        }
    }

    async fn read_http2(
        &self,
        mut incoming: h2::RecvStream,
        headers: &mut HeaderMap,
        place: &str,
        marks: &IoMarks,
    ) -> Result<Bytes, Failure> {
        let problem = |problem: BodyProblem| body_failure(&problem, place);
        let broken = |error: h2::Error| failure::of_http2(&error, place, begin(marks));
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let mut collector = BodyCollector::new(encoding, self.limits.max_body).map_err(problem)?;
        let whole = async {
            while let Some(data) = incoming.data().await {
                let data = data.map_err(broken)?;
                collector.push(&data).map_err(problem)?;
                incoming.flow_control().release_capacity(data.len()).map_err(broken)?;
            }
            incoming.trailers().await.map_err(broken)
        };
        let trailers = timeout_at(self.deadline, whole).await.map_err(|_| total_timeout(place))??;
        headers.extend(trailers.unwrap_or_default());
        collector.finish().map_err(problem)
    }
}

enum HeadFailure {
    Limit(Failure),
    Http(h2::Error),
}

/// Whether the request was not taken up: the connection is gone or going, or the server says so (RFC 9113 §8.7).
fn is_lost(error: &h2::Error) -> bool {
    let is_clean = error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_io()
        || error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && is_clean)
}

impl Connection {
    /// What h2 speaks through, if that is spoken here.
    pub(super) fn http2(&self) -> Option<SendRequest<Bytes>> {
        match &self.sender {
            Sender::Http2(sender) => Some(sender.clone()),
            Sender::Http1(_) => None,
        }
    }
}
