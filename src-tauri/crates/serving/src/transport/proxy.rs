//! Proxies: which one is used for which server, and the way through it.
//!
//! What it hides: the proxy variables of the environment and the system's own proxy settings (read by hyper-util's
//! matcher, by curl's rules, including `NO_PROXY`), the CONNECT handshake (RFC 9110 §9.3.6) and that of SOCKS 5 (RFC 1928,
//! RFC 1929). What must stay true: loopback is reached directly unless a proxy was named for this endpoint; a proxy's
//! credential never appears in a detail; a client certificate is not shown to a proxy.

mod http_tunnel;
mod rules;
mod socks;

use http::HeaderValue;
use pilothouse_domain::{Phases, UnknownReason};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

pub(crate) use self::rules::ProxyRules;
use super::Wire;
use super::connection::{authority, server_name};
use super::failure::{self, Failure};
use super::tcp::{self, micros};
use super::tls::TlsProfile;
use super::way::{ForwardingProxy, Reached, Stream};

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP, in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS 5.
    Socks5 {
        /// Whether names are resolved by the proxy (`socks5h`), and not here.
        resolves_names: bool,
    },
}

/// A proxy on the way.
pub(crate) struct ProxyRoute {
    kind: ProxyKind,
    host: String,
    port: u16,
    /// For HTTP.
    authorization: Option<HeaderValue>,
    /// For SOCKS.
    login: Option<(String, String)>,
    login_is_set: &'static str,
}

impl ProxyRoute {
    fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Goes through the proxy. What comes after TCP, up to a stream to the server, is in the phase `tunnel`.
pub(super) async fn reach(
    route: &ProxyRoute,
    url: &Url,
    tls: &TlsProfile,
    deadline: Instant,
    phases: &mut Phases,
) -> Result<Reached, Failure> {
    let place = route.place();
    let proxy_tls = match route.kind {
        ProxyKind::Https => Some(
            tls.config_without_identity()
                .await
                .map_err(|error| Failure { outcome: error.outcome(), detail: error.to_string() })?,
        ),
        ProxyKind::Http | ProxyKind::Socks5 { .. } => None,
    };
    // A name that this machine must resolve for the proxy is the server's; so is its failure.
    let resolved = match route.kind {
        ProxyKind::Socks5 { resolves_names: false } => Some(socks::resolve(url, deadline, phases).await?),
        _ => None,
    };
    let own_dns = phases.dns;
    let host = Host::parse(&place[..place.len() - route.port.to_string().len() - 1]).ok();
    let tcp = tcp::connect(host, route.port, &place, deadline, phases).await.map_err(Failure::of_proxy)?;
    phases.dns = phases.dns.map(|us| us.saturating_add(own_dns.unwrap_or(0)));

    let forwards = matches!(route.kind, ProxyKind::Http | ProxyKind::Https) && url.scheme() == "http";
    let started = Instant::now();
    let handshake = async {
        let mut stream: Box<dyn Stream> = match proxy_tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = server_name(route.host.as_str(), &place).map_err(Failure::of_proxy)?;
                let shaken = TlsConnector::from(config).connect(name, tcp).await;
                Box::new(shaken.map_err(|error| failure::of_tls(&error, &place, Wire::Http1).of_proxy())?)
            }
        };
        match route.kind {
            ProxyKind::Socks5 { .. } => stream = socks::open(stream, url, resolved, route).await?,
            ProxyKind::Http | ProxyKind::Https if forwards => {}
            ProxyKind::Http | ProxyKind::Https => http_tunnel::open(&mut stream, &authority(url), route).await?,
        }
        Ok::<_, Failure>(stream)
    };
    let opened = timeout_at(deadline, handshake).await;
    if !(forwards && route.kind == ProxyKind::Http) {
        phases.tunnel = Some(micros(started.elapsed()));
    }
    let stream = opened.map_err(|_| {
        let text = format!("the proxy {place} did not open a way to {} within the time limit", authority(url));
        Failure::ours(UnknownReason::ProxyFailed, text)
    })??;
    let forwarding_proxy = forwards
        .then(|| ForwardingProxy { authorization: route.authorization.clone(), login_is_set: route.login_is_set });
    Ok(Reached { stream, forwarding_proxy, session: None })
}
