//! A TCP connection to a name or an address, with the time of each step.
//!
//! What it hides: trying one address after the other. What must stay true: a phase is recorded only if
//! it was reached, and the phase in which opening failed holds the time until the failure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pilothouse_domain::{Phases, TargetFailure};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Host;

use super::failure::{self, Failure, network_is_up};
use super::resolve;

/// Resolves and connects, one address after the other.
pub(super) async fn connect(
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
                // Small requests must leave at once; waiting for more (Nagle) would be measured as the server's time.
                stream.set_nodelay(true).map_err(|error| failure::of_connect(&error, place, true))?;
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

pub(super) fn timed_out(what: &str, place: &str) -> Failure {
    Failure::target(TargetFailure::ConnectTimeout, format!("{place}: {what} within the time limit"))
}

/// Microseconds, at most `u32::MAX` (71 minutes).
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
