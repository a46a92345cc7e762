//! From an error of a lower layer to an outcome: whose failure it is, and which.
//!
//! What must stay true: what this machine lacks (network, file descriptors, ports) is `Unknown`; only what the other
//! side did is `TargetFailed`.

use std::error::Error;
use std::io;
use std::net::UdpSocket;

use pilothouse_domain::{Outcome, TargetFailure, UnknownReason};

use super::Wire;
use crate::text::{DETAIL_LIMIT, one_line};

/// The server would have answered over HTTP/2.
const HTTP2_ALONE: &str = "speaks HTTP/2 alone on this port, as gRPC does; give the address of its REST port";
/// The same over TLS.
const HTTP2_OVER_TLS: &str = "does not speak HTTP/1.1 over TLS; give the address of its REST port";

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose failure it is, and which.
    pub outcome: Outcome,
    /// What happened, to what; at most 300 characters.
    pub detail: String,
}

impl Failure {
    pub(crate) fn target(reason: TargetFailure, detail: impl AsRef<str>) -> Self {
        Self { outcome: Outcome::TargetFailed(reason), detail: one_line(detail.as_ref(), DETAIL_LIMIT) }
    }

    pub(crate) fn ours(reason: UnknownReason, detail: impl AsRef<str>) -> Self {
        Self { outcome: Outcome::Unknown(reason), detail: one_line(detail.as_ref(), DETAIL_LIMIT) }
    }

    /// Whether the other side had a part in it, as opposed to the way there.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(
            self.outcome,
            Outcome::TargetFailed(TargetFailure::Unreachable) | Outcome::Unknown(UnknownReason::NoNetwork)
        )
    }

    /// Whether the server speaks HTTP/2 where HTTP/1.1 was tried.
    pub(crate) fn wants_http2(&self) -> bool {
        self.detail.ends_with(HTTP2_ALONE) || self.detail.ends_with(HTTP2_OVER_TLS)
    }

    /// A failure on the way to a jump host is not the target's.
    pub(crate) fn of_jump_host(self) -> Self {
        match self.outcome {
            Outcome::TargetFailed(_) => {
                Self::ours(UnknownReason::TunnelFailed, format!("the jump host cannot be reached: {}", self.detail))
            }
            _ => self,
        }
    }

    /// A failure on the way to a proxy is neither the target's nor (as far as we can say) the network's.
    pub(crate) fn of_proxy(self) -> Self {
        match self.outcome {
            Outcome::TargetFailed(_) => {
                Self::ours(UnknownReason::ProxyFailed, format!("proxy: {}; check the proxy settings", self.detail))
            }
            _ => self,
        }
    }
}

/// Whether this machine has a route to the outside, asked without sending a packet: connecting a datagram socket only
/// looks up a route. The addresses are reserved for documentation (RFC 5737, RFC 3849).
pub fn network_is_up() -> bool {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .iter()
        .any(|(local, remote)| UdpSocket::bind(local).and_then(|socket| socket.connect(remote)).is_ok())
}

/// Name resolution failed.
pub(crate) fn of_dns(error: &io::Error, host: &str, network_is_up: bool) -> Failure {
    if let Some(failure) = of_own_resources(error) {
        return failure;
    }
    if network_is_up {
        Failure::target(TargetFailure::DnsFailed, format!("the name `{host}` does not resolve: {error}"))
    } else {
        Failure::ours(UnknownReason::NoNetwork, format!("the name `{host}` cannot be resolved without a network"))
    }
}

/// TCP connect failed; `place` is an address or `host:port`.
pub(crate) fn of_connect(error: &io::Error, place: &str, network_is_up: bool) -> Failure {
    use io::ErrorKind;
    if let Some(failure) = of_own_resources(error) {
        return failure;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            Failure::target(TargetFailure::ConnectionRefused, format!("nothing listens on {place}"))
        }
        ErrorKind::TimedOut => {
            Failure::target(TargetFailure::ConnectTimeout, format!("connecting to {place}: {error}"))
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Failure::target(TargetFailure::ConnectionReset, format!("connecting to {place}: {error}"))
        }
        // macOS says "host unreachable" when it has no network; elsewhere that is about the host.
        ErrorKind::HostUnreachable if cfg!(target_os = "macos") && !network_is_up => {
            Failure::ours(UnknownReason::NoNetwork, format!("this machine has no network to reach {place}"))
        }
        ErrorKind::NetworkUnreachable if !network_is_up => {
            Failure::ours(UnknownReason::NoNetwork, format!("this machine has no network to reach {place}"))
        }
        ErrorKind::NetworkDown => Failure::ours(UnknownReason::NoNetwork, format!("connecting to {place}: {error}")),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            Failure::target(TargetFailure::Unreachable, format!("connecting to {place}: {error}"))
        }
        // A local firewall or sandbox refuses with EACCES or EPERM.
        ErrorKind::PermissionDenied => Failure::ours(
            UnknownReason::Internal,
            format!("this machine does not allow connecting to {place}; check its firewall"),
        ),
        _ => Failure::target(TargetFailure::Unreachable, format!("connecting to {place}: {error}")),
    }
}

/// The TLS handshake failed.
pub(crate) fn of_tls(error: &io::Error, place: &str, wire: Wire) -> Failure {
    if let Some(failure) = of_own_resources(error) {
        return failure;
    }
    match rustls_error(error) {
        // RFC 7301 §3.2: none of the protocols that we offered; we offer a single one.
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            let other = match wire {
                Wire::Http1 => HTTP2_OVER_TLS,
                Wire::Grpc => "does not speak HTTP/2 over TLS; give the address of its gRPC port",
            };
            Failure::target(TargetFailure::TlsFailed, format!("{place} {other}"))
        }
        Some(tls) => of_rustls(tls, place),
        None if is_lost(error.kind()) => Failure::target(
            TargetFailure::TlsFailed,
            format!("{place} closed the connection during the TLS handshake; does it speak https?"),
        ),
        None => Failure::target(TargetFailure::TlsFailed, format!("TLS with {place}: {error}")),
    }
}

fn of_rustls(error: &rustls::Error, place: &str) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(problem) => Failure::target(
            TargetFailure::CertificateInvalid,
            format!("the certificate of {place} is not valid: {}", certificate_problem(problem)),
        ),
        rustls::Error::InvalidMessage(_) => {
            Failure::target(TargetFailure::TlsFailed, format!("{place} does not speak TLS; is it a http:// address?"))
        }
        rustls::Error::AlertReceived(alert) => {
            Failure::target(TargetFailure::TlsFailed, format!("{place} refused the TLS connection: {alert:?}"))
        }
        other => Failure::target(TargetFailure::TlsFailed, format!("TLS with {place}: {other}")),
    }
}

fn certificate_problem(problem: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match problem {
        E::Expired | E::ExpiredContext { .. } => "it has expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet; check this machine's clock".into(),
        E::UnknownIssuer => "its issuer is unknown; add a private authority's PEM file to the endpoint".into(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another name".into(),
        E::Revoked => "it was revoked".into(),
        other => format!("{other}"),
    }
}

/// How an answer began, where its first byte has come: its first eight bytes, with zeros after its end.
pub(crate) type Begin = Option<[u8; 8]>;

/// An exchange on an open connection failed; `begin` is what had come of the answer.
pub(crate) fn of_exchange(error: &hyper::Error, place: &str, begin: Begin) -> Failure {
    let io = source_of::<io::Error>(error);
    if let Some(io) = io {
        if let Some(failure) = of_own_resources(io) {
            return failure;
        }
        if let Some(tls) = rustls_error(io) {
            return of_rustls(tls, place);
        }
    }
    // hyper tells "head too large" apart by a method for servers only; its text is the one sign a client gets.
    if error.is_parse() && error.to_string().contains("too large") {
        return Failure::target(TargetFailure::ResponseTooLarge, format!("the headers of {place} are too large"));
    }
    let other = begin.and_then(other_protocol);
    match (begin, other) {
        (_, Some(other)) => Failure::target(TargetFailure::BodyMalformed, format!("{place} {other}")),
        _ if error.is_parse() => {
            Failure::target(TargetFailure::BodyMalformed, format!("{place} does not answer in HTTP/1.1: {error}"))
        }
        // What hyper's decoder of chunks calls a broken one; a connection's own errors have other kinds.
        _ if io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) => {
            let problem = io.map(ToString::to_string).unwrap_or_default();
            Failure::target(TargetFailure::BodyMalformed, format!("{place} sent a broken chunk: {problem}"))
        }
        (Some(_), _) => {
            Failure::target(TargetFailure::ConnectionReset, format!("{place} closed the connection within its answer"))
        }
        (None, _) => {
            Failure::target(TargetFailure::ConnectionReset, format!("{place} closed the connection without an answer"))
        }
    }
}

/// An exchange over HTTP/2 failed; `begin` is what the other side said first on the connection.
pub(crate) fn of_http2(error: &h2::Error, place: &str, begin: Begin) -> Failure {
    if let Some(io) = error.get_io() {
        if let Some(failure) = of_own_resources(io) {
            return failure;
        }
        if let Some(tls) = rustls_error(io) {
            return of_rustls(tls, place);
        }
    }
    if let Some(other) = begin.and_then(not_http2) {
        return Failure::target(TargetFailure::BodyMalformed, format!("{place} {other}"));
    }
    match error.reason() {
        // "gRPC over HTTP2", Errors: what a server that is asked too much says.
        Some(h2::Reason::ENHANCE_YOUR_CALM) if error.is_remote() => {
            Failure::target(TargetFailure::RateLimited, format!("{place} says it is asked too much: {error}"))
        }
        Some(_) if error.is_library() => {
            Failure::target(TargetFailure::BodyMalformed, format!("{place} does not answer in HTTP/2: {error}"))
        }
        Some(_) => Failure::target(TargetFailure::ConnectionReset, format!("{place} gave up the call: {error}")),
        None if error.is_io() => {
            Failure::target(TargetFailure::ConnectionReset, format!("{place} closed the connection without an answer"))
        }
        None => Failure::ours(UnknownReason::Internal, format!("the call to {place} could not be made: {error}")),
    }
}

/// What is spoken instead of HTTP/2, where the first bytes tell.
fn not_http2(begin: [u8; 8]) -> Option<&'static str> {
    match begin {
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => {
            Some("speaks HTTP/1.1 on this port and not gRPC; give the address of its gRPC port")
        }
        [b'S', b'S', b'H', b'-', ..] => Some("speaks SSH and not gRPC; is it the right port?"),
        [0x15 | 0x16, 0x03, ..] => Some("speaks TLS on this port; begin the address with grpcs://"),
        _ => None,
    }
}

/// What is spoken instead of HTTP/1.1, where the first bytes of an answer tell.
fn other_protocol(begin: [u8; 8]) -> Option<&'static str> {
    match begin {
        [b'S', b'S', b'H', b'-', ..] => Some("speaks SSH and not HTTP; is it the right port?"),
        // RFC 8446 §5.1: an alert, or a handshake, of any version of TLS.
        [0x15 | 0x16, 0x03, ..] => Some("speaks TLS on this port; begin the address with https://"),
        // RFC 9113 §4.1: a frame of SETTINGS or GOAWAY on stream 0, not longer than the smallest limit of frames. A gRPC
        // server says that first.
        [0, _, _, 0x04 | 0x07, _, 0, 0, 0] => Some(HTTP2_ALONE),
        _ => None,
    }
}

/// What this machine ran out of, if that is what the error says.
pub(super) fn of_own_resources(error: &io::Error) -> Option<Failure> {
    // EMFILE, ENFILE (24, 23 on every Unix); WSAEMFILE (10024), WSAENOBUFS (10055) on Windows.
    let out_of_files = if cfg!(windows) {
        matches!(error.raw_os_error(), Some(10_024 | 10_055))
    } else {
        matches!(error.raw_os_error(), Some(23 | 24))
    };
    if out_of_files {
        return Some(Failure::ours(
            UnknownReason::Internal,
            "this program has no file descriptors left; raise the limit (`ulimit -n`) or watch fewer endpoints",
        ));
    }
    match error.kind() {
        io::ErrorKind::OutOfMemory => Some(Failure::ours(UnknownReason::Internal, "this machine has no memory left")),
        io::ErrorKind::AddrNotAvailable => {
            Some(Failure::ours(UnknownReason::Internal, "this machine has no local address or port left to call from"))
        }
        _ => None,
    }
}

const fn is_lost(kind: io::ErrorKind) -> bool {
    use io::ErrorKind;
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn source_of<T: Error + 'static>(error: &dyn Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_errors_name_whose_failure_it_is() {
        use TargetFailure::{ConnectTimeout, ConnectionRefused, Unreachable};
        let check = |kind: io::ErrorKind, network_is_up: bool, expect: Outcome| {
            assert_eq!(of_connect(&kind.into(), "192.0.2.1:80", network_is_up).outcome, expect, "{kind:?}");
        };
        check(io::ErrorKind::ConnectionRefused, false, Outcome::TargetFailed(ConnectionRefused));
        check(io::ErrorKind::TimedOut, true, Outcome::TargetFailed(ConnectTimeout));
        check(io::ErrorKind::HostUnreachable, true, Outcome::TargetFailed(Unreachable));
        #[cfg(target_os = "linux")]
        check(io::ErrorKind::HostUnreachable, false, Outcome::TargetFailed(Unreachable));
        check(io::ErrorKind::NetworkUnreachable, true, Outcome::TargetFailed(Unreachable));
        check(io::ErrorKind::NetworkUnreachable, false, Outcome::Unknown(UnknownReason::NoNetwork));
        check(io::ErrorKind::NetworkDown, true, Outcome::Unknown(UnknownReason::NoNetwork));
        check(io::ErrorKind::PermissionDenied, true, Outcome::Unknown(UnknownReason::Internal));
        check(io::ErrorKind::AddrNotAvailable, true, Outcome::Unknown(UnknownReason::Internal));
    }

    #[test]
    fn a_name_that_does_not_resolve_offline_is_our_failure() {
        let error = io::Error::other("failed to lookup address information");
        let check = |up, expect| assert_eq!(of_dns(&error, "model.invalid", up).outcome, expect);
        check(true, Outcome::TargetFailed(TargetFailure::DnsFailed));
        check(false, Outcome::Unknown(UnknownReason::NoNetwork));
    }

    #[cfg(unix)]
    #[test]
    fn running_out_of_file_descriptors_is_our_failure() {
        let error = io::Error::from_raw_os_error(24);
        let expect = Outcome::Unknown(UnknownReason::Internal);
        assert_eq!(of_dns(&error, "h", true).outcome, expect);
        assert_eq!(of_connect(&error, "h:1", true).outcome, expect);
        assert_eq!(of_tls(&error, "h:1", Wire::Http1).outcome, expect);
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        let check = |begin: &[u8; 8], expect: Option<&str>| {
            let found = other_protocol(*begin);
            assert_eq!(found.is_some(), expect.is_some(), "{begin:?}");
            assert!(found.unwrap_or_default().contains(expect.unwrap_or_default()));
        };
        check(b"SSH-2.0-", Some("SSH"));
        check(b"\x15\x03\x01\0\x02\x02\x28\0", Some("TLS"));
        check(b"\0\0\x12\x04\0\0\0\0", Some("HTTP/2"));
        check(b"\0\0\x08\x07\0\0\0\0", Some("HTTP/2"));
        check(b"HTTP/1.1", None);
        check(b"\0\0\0\0\0\0\0\0", None);
    }

    #[test]
    fn a_proxys_failure_is_not_the_targets() {
        let refused = of_connect(&io::ErrorKind::ConnectionRefused.into(), "127.0.0.1:3128", true);
        assert_eq!(refused.of_proxy().outcome, Outcome::Unknown(UnknownReason::ProxyFailed));
        let offline = of_connect(&io::ErrorKind::NetworkUnreachable.into(), "192.0.2.1:3128", false);
        assert_eq!(offline.of_proxy().outcome, Outcome::Unknown(UnknownReason::NoNetwork));
    }
}
