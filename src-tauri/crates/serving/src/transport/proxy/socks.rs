//! A tunnel through a SOCKS 5 proxy (RFC 1928), with user and password (RFC 1929) where it asks for them.
//!
//! What it hides: tokio-socks. What must stay true: only what the proxy says of the server alone, that it refused the
//! connection, is the server's failure.

use std::net::SocketAddr;

use pilothouse_domain::{Phases, TargetFailure, UnknownReason};
use tokio::time::Instant;
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error, TargetAddr};
use url::{Host, Url};

use super::ProxyRoute;
use crate::transport::connection::authority;
use crate::transport::failure::Failure;
use crate::transport::resolve;
use crate::transport::tcp::micros;
use crate::transport::way::Stream;

/// Resolves the server's name for a proxy that wants an address.
pub(super) async fn resolve(url: &Url, deadline: Instant, phases: &mut Phases) -> Result<SocketAddr, Failure> {
    let port = url.port_or_known_default().unwrap_or(80);
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(SocketAddr::new(address.into(), port)),
        Some(Host::Ipv6(address)) => return Ok(SocketAddr::new(address.into(), port)),
        Some(Host::Domain(name)) => name,
        None => "",
    };
    let started = Instant::now();
    let found = resolve::addresses(name, port, deadline).await;
    phases.dns = Some(micros(started.elapsed()));
    let none = || Failure::target(TargetFailure::DnsFailed, format!("{} has no address", authority(url)));
    found?.first().copied().ok_or_else(none)
}

/// Asks a proxy that is already connected for the server of `url`, by its address where one is given.
pub(super) async fn open(
    stream: Box<dyn Stream>,
    url: &Url,
    address: Option<SocketAddr>,
    proxy: &ProxyRoute,
) -> Result<Box<dyn Stream>, Failure> {
    let port = url.port_or_known_default().unwrap_or(80);
    let target = match (address, url.host()) {
        (Some(address), _) => TargetAddr::Ip(address),
        (None, Some(Host::Ipv4(address))) => TargetAddr::Ip(SocketAddr::new(address.into(), port)),
        (None, Some(Host::Ipv6(address))) => TargetAddr::Ip(SocketAddr::new(address.into(), port)),
        (None, Some(Host::Domain(name))) => TargetAddr::Domain(name.to_owned().into(), port),
        (None, None) => return Err(Failure::target(TargetFailure::DnsFailed, "the address names no host")),
    };
    let opened = match &proxy.login {
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, target, user.as_str(), password.as_str()).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    match opened {
        Ok(stream) => Ok(Box::new(stream.into_inner())),
        Err(error) => Err(told(&error, &authority(url), proxy)),
    }
}

fn told(error: &Error, server: &str, proxy: &ProxyRoute) -> Failure {
    let place = proxy.place();
    let failed = |text: String| Failure::ours(UnknownReason::ProxyFailed, text);
    match error {
        Error::ConnectionRefused => Failure::target(
            TargetFailure::ConnectionRefused,
            format!("nothing listens on {server}, says the proxy {place}"),
        ),
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired if proxy.login.is_none() => {
            failed(format!("the proxy {place} asks for a user and password; set them in {}", proxy.login_is_set))
        }
        Error::PasswordAuthFailure(_) | Error::NoAcceptableAuthMethods | Error::InvalidAuthValues(_) => {
            failed(format!("the proxy {place} refuses the user and password; set them in {}", proxy.login_is_set))
        }
        Error::Io(error) => failed(format!("the proxy {place} ended the connection: {error}")),
        Error::InvalidResponseVersion => failed(format!("{place} does not answer as a SOCKS 5 proxy")),
        // The library's words name the reply (RFC 1928 §6) and no more.
        other => failed(format!("the proxy {place} refused to reach {server}: {other}")),
    }
}
