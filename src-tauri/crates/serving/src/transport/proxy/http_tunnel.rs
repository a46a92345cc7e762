//! A tunnel through an HTTP proxy: CONNECT (RFC 9110 §9.3.6).

use pilothouse_domain::UnknownReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ProxyRoute;
use crate::transport::failure::Failure;

/// Opens a tunnel to `authority` (host and port, IPv6 in brackets) through a proxy that is already connected.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    authority: &str,
    proxy: &ProxyRoute,
) -> Result<(), Failure> {
    let failed = |text: String| Failure::ours(UnknownReason::ProxyFailed, text);
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    request.extend_from_slice(format!("User-Agent: {}\r\n", crate::USER_AGENT).as_bytes());
    if let Some(authorization) = &proxy.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let place = proxy.place();
    let lost = |error: std::io::Error| failed(format!("the proxy {place} ended the connection: {error}"));
    stream.write_all(&request).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;

    // Byte by byte, since what follows the head belongs to the tunnel; a head has a few hundred bytes.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= 16 * 1024 {
            return Err(failed(format!("the answer of the proxy {place} is too long")));
        }
        head.push(stream.read_u8().await.map_err(lost)?);
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=299) => Ok(()),
        Some(407) => {
            let problem = if proxy.authorization.is_some() { "refuses the" } else { "asks for a" };
            let text = format!("the proxy {place} {problem} user and password; set them in {}", proxy.login_is_set);
            Err(failed(text))
        }
        Some(status) => Err(failed(format!("the proxy {place} refused to reach {authority} ({status})"))),
        None => Err(failed(format!("{place} does not answer as an HTTP proxy"))),
    }
}
