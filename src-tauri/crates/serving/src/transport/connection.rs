//! One TCP connection to one origin, with the time of each step that opened it.
//!
//! What it hides: name resolution, trying one address after the other, the proxy's tunnel, TLS, hyper's handshake. What
//! must stay true: the task that drives a connection ends with its slot; a phase is recorded only if it was reached, and
//! the phase in which opening failed holds the time until the failure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pilothouse_domain::{Phases, TargetFailure};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::failure::{self, Failure, network_is_up};
use super::proxy::{ProxyRoute, ProxyRules, open_tunnel};
use super::redirect::same_origin;
use super::resolve;
use super::timed_io::{IoMarks, TimedIo};
use super::tls::TlsProfile;

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
    /// A proxy that forwards whole requests: they carry the absolute URL and the proxy's own credential.
    pub(super) forwarding_proxy: Option<ProxyRoute>,
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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a connection towards `url` before `deadline`.
pub(super) async fn open(
    url: &Url,
    proxies: &ProxyRules,
    tls: &TlsProfile,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<Connection, Failure> {
    let place = authority(url);
    let proxy = proxies.route(url)?;
    let is_https = url.scheme() == "https";
    // Made before the clock of the first phase starts: it may read files.
    let tls_config = if is_https {
        Some(tls.config().await.map_err(|error| Failure { outcome: error.outcome(), detail: error.to_string() })?)
    } else {
        None
    };

    let mut tcp = match &proxy {
        None => {
            let host = url.host().map(|host| host.to_owned());
            let port = url.port_or_known_default().unwrap_or(80);
            connect(host, port, &place, deadline, phases).await?
        }
        Some(proxy) => {
            let host = Host::parse(&proxy.host).ok();
            let proxy_place = format!("{}:{}", proxy.host, proxy.port);
            connect(host, proxy.port, &proxy_place, deadline, phases).await.map_err(Failure::of_proxy)?
        }
    };
    // Small requests must leave at once; waiting for more (Nagle) would be measured as the server's time.
    tcp.set_nodelay(true).map_err(|error| failure::of_connect(&error, &place, true))?;

    let mut forwarding_proxy = None;
    if let Some(proxy) = proxy {
        if is_https {
            let started = Instant::now();
            let tunnel = timeout_at(deadline, open_tunnel(&mut tcp, &place, &proxy)).await;
            // Until the tunnel stands there is no connection to the server: its time belongs to `connect`.
            phases.connect = phases.connect.map(|us| us.saturating_add(micros(started.elapsed())));
            tunnel.map_err(|_| timed_out("the proxy did not open a tunnel", &place).of_proxy())??;
        } else {
            forwarding_proxy = Some(proxy);
        }
    }

    let stream: Box<dyn Stream> = match tls_config {
        None => Box::new(tcp),
        Some(config) => {
            let started = Instant::now();
            let name = server_name(url)?;
            let shaken = timeout_at(deadline, TlsConnector::from(config).connect(name, tcp)).await;
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

/// Resolves and connects, one address after the other.
async fn connect(
    host: Option<Host<String>>,
    port: u16,
    place: &str,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<TcpStream, Failure> {
    let started = Instant::now();
    let resolved = match host {
        Some(Host::Ipv4(address)) => Ok(vec![SocketAddr::new(IpAddr::V4(address), port)]),
        Some(Host::Ipv6(address)) => Ok(vec![SocketAddr::new(IpAddr::V6(address), port)]),
        Some(Host::Domain(name)) => resolve::addresses(&name, port, deadline).await,
        None => Err(Failure::target(TargetFailure::DnsFailed, format!("{place} names no host"))),
    };
    phases.dns = Some(micros(started.elapsed()));
    let addresses = resolved?;

    let started = Instant::now();
    let mut told = None;
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows packets must not use up the time of the next one (as in Go's net.Dialer).
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                phases.connect = Some(micros(started.elapsed()));
                return Ok(stream);
            }
            Ok(Err(error)) => {
                let failure = failure::of_connect(&error, &address.to_string(), network_is_up());
                // That one address family has no route says less than what another address answered.
                if told.is_none() || failure.is_answer() {
                    told = Some(failure);
                }
            }
            Err(_) => told = Some(timed_out("no connection", place)),
        }
    }
    phases.connect = Some(micros(started.elapsed()));
    Err(told.unwrap_or_else(|| Failure::target(TargetFailure::DnsFailed, format!("{place} has no address"))))
}

fn timed_out(what: &str, place: &str) -> Failure {
    Failure::target(TargetFailure::ConnectTimeout, format!("{place}: {what} within the time limit"))
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Failure> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => Some(ServerName::from(IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => Some(ServerName::from(IpAddr::V6(address))),
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        None => None,
    };
    name.ok_or_else(|| {
        Failure::target(
            TargetFailure::TlsFailed,
            format!("{} is no name that a certificate can be for", authority(url)),
        )
    })
}

/// `host:port`, with the port always present and IPv6 in brackets.
pub(super) fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80))
}

/// Microseconds, at most `u32::MAX` (71 minutes).
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
