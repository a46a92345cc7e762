//! One TCP connection to one origin, with the time of each step that opened it.
//!
//! What it hides: the way there, TLS, the handshakes of hyper and h2. What must stay true: the task that drives a connection ends with
//! its slot; a phase is recorded only if it was reached, and the phase in which opening failed holds the time until the
//! failure.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pilothouse_domain::{Phases, TargetFailure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Url;

use super::Wire;
use super::failure::{self, Failure};
use super::http2;
use super::redirect::same_origin;
use super::ssh::Session;
use super::tcp::{micros, timed_out};
use super::timed_io::{IoMarks, TimedIo};
use super::tls::TlsProfile;
use super::way::{ForwardingProxy, Reached, Stream, Way};

/// Keeps one connection between exchanges.
#[derive(Default)]
pub struct ConnectionSlot {
    pub(super) connection: Option<Connection>,
}

impl ConnectionSlot {
    /// Whether a connection is kept and was not seen closing.
    pub fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_open)
    }
}

/// An open connection.
pub(super) struct Connection {
    origin: Url,
    pub(super) sender: Sender,
    pub(super) marks: Arc<IoMarks>,
    pub(super) forwarding_proxy: Option<ForwardingProxy>,
    /// The session that carries it, where one does.
    session: Option<Arc<Session>>,
    driver: JoinHandle<()>,
}

/// What requests are handed to.
pub(super) enum Sender {
    Http1(SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(_) => !self.driver.is_finished(),
        }
    }

    /// Whether the last request has left entirely. A server may answer before it has read all of it; then the rest
    /// stands in the way of the next one.
    pub(super) fn is_free(&self) -> bool {
        self.marks.sent().is_some()
    }

    pub(super) fn leads_to(&self, url: &Url, wire: Wire) -> bool {
        same_origin(&self.origin, url) && matches!(self.sender, Sender::Http2(_)) == (wire == Wire::Grpc)
    }

    /// Whose failure it is, when an exchange over this connection failed.
    pub(super) async fn blamed(&self, failure: Failure) -> Failure {
        blamed(self.session.as_deref(), failure).await
    }

    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        self.forwarding_proxy.as_ref().and_then(|proxy| proxy.authorization.as_ref())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Opens a connection towards `url` before `deadline`, over which `wire` is spoken.
pub(super) async fn open(
    url: &Url,
    wire: Wire,
    way: &Way,
    tls: &TlsProfile,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<Connection, Failure> {
    let place = authority(url);
    // Made before the clock of the first phase starts: it may read files.
    let tls_config = if url.scheme() == "https" {
        Some(tls.config().await.map_err(|error| Failure { outcome: error.outcome(), detail: error.to_string() })?)
    } else {
        None
    };
    let Reached { stream, forwarding_proxy, session } = match wire {
        Wire::Http1 => way.reach(url, tls, deadline, phases).await?,
        // No proxy forwards single requests of HTTP/2: it opens a tunnel, as for https.
        Wire::Grpc => way.reach(&as_https(url), tls, deadline, phases).await?,
    };
    let tls_config = tls_config.map(|config| wire.offered(config));
    let stream = match shake_hands(stream, tls_config, url, wire, deadline, phases).await {
        Ok(stream) => stream,
        Err(failure) => return Err(blamed(session.as_deref(), failure).await),
    };

    let marks = Arc::new(IoMarks::new());
    let timed = TimedIo::new(stream, Arc::clone(&marks));
    if wire == Wire::Grpc {
        let (sender, driver) = match http2::greet(timed, &marks, &place, deadline).await {
            Ok(greeted) => greeted,
            Err(failure) => return Err(blamed(session.as_deref(), failure).await),
        };
        let sender = Sender::Http2(sender);
        return Ok(Connection { origin: url.clone(), sender, marks, forwarding_proxy, session, driver });
    }
    // A head of more than 64 KiB is refused; hyper's own default would be 400 KiB.
    let (sender, connection) = http1::Builder::new()
        .max_header_size(64 * 1024)
        .handshake(TokioIo::new(timed))
        .await
        .map_err(|error| failure::of_exchange(&error, &place, None))?;
    let driver = tokio::spawn(async move {
        // The error reaches whoever waits for the answer; here it only ends the task.
        let _ = connection.await;
    });
    Ok(Connection { origin: url.clone(), sender: Sender::Http1(sender), marks, forwarding_proxy, session, driver })
}

/// The same place under the scheme for which every way is a tunnel.
fn as_https(url: &Url) -> Url {
    let (mut tunnelled, port) = (url.clone(), url.port_or_known_default());
    // Neither can fail: both schemes are special, and the URL names a host.
    let _ = tunnelled.set_scheme("https");
    let _ = tunnelled.set_port(port);
    tunnelled
}

async fn blamed(session: Option<&Session>, failure: Failure) -> Failure {
    match session {
        Some(session) => session.blamed(failure).await,
        None => failure,
    }
}

async fn shake_hands(
    stream: Box<dyn Stream>,
    config: Option<Arc<ClientConfig>>,
    url: &Url,
    wire: Wire,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<Box<dyn Stream>, Failure> {
    let Some(config) = config else { return Ok(stream) };
    let place = authority(url);
    let started = Instant::now();
    let name = server_name(url.host_str().unwrap_or_default(), &place)?;
    let shaken = timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await;
    phases.tls = Some(micros(started.elapsed()));
    let stream = shaken
        .map_err(|_| timed_out("the TLS handshake did not finish", &place))?
        .map_err(|error| failure::of_tls(&error, &place, wire))?;
    Ok(Box::new(stream))
}

/// The name that a certificate must be for; an IPv6 address may stand in brackets.
pub(super) fn server_name(host: &str, place: &str) -> Result<ServerName<'static>, Failure> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).map_err(|_| {
        Failure::target(TargetFailure::TlsFailed, format!("{place} is no name that a certificate can be for"))
    })
}

/// `host:port`, with the port always present and IPv6 in brackets.
pub(super) fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80))
}
