//! One TCP connection to one origin, with the time of each step that opened it.
//!
//! What it hides: the way there, TLS, hyper's handshake. What must stay true: the task that drives a connection ends with
//! its slot; a phase is recorded only if it was reached, and the phase in which opening failed holds the time until the
//! failure.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pilothouse_domain::{Phases, TargetFailure};
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Url;

use super::failure::{self, Failure};
use super::redirect::same_origin;
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
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) marks: Arc<IoMarks>,
    pub(super) forwarding_proxy: Option<ForwardingProxy>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether the last request has left entirely. A server may answer before it has read all of it; then the rest
    /// stands in the way of the next one.
    pub(super) fn is_free(&self) -> bool {
        self.marks.sent().is_some()
    }

    pub(super) fn leads_to(&self, url: &Url) -> bool {
        same_origin(&self.origin, url)
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

/// Opens a connection towards `url` before `deadline`.
pub(super) async fn open(
    url: &Url,
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
    let Reached { stream, forwarding_proxy } = way.reach(url, tls, deadline, phases).await?;
    let stream: Box<dyn Stream> = match tls_config {
        None => stream,
        Some(config) => {
            let started = Instant::now();
            let name = server_name(url.host_str().unwrap_or_default(), &place)?;
            let shaken = timeout_at(deadline, TlsConnector::from(config).connect(name, stream)).await;
            phases.tls = Some(micros(started.elapsed()));
            let stream = shaken
                .map_err(|_| timed_out("the TLS handshake did not finish", &place))?
                .map_err(|error| failure::of_tls(&error, &place))?;
            Box::new(stream)
        }
    };

    let marks = Arc::new(IoMarks::new());
    let timed = TimedIo::new(stream, Arc::clone(&marks));
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
    Ok(Connection { origin: url.clone(), sender, marks, forwarding_proxy, driver })
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
