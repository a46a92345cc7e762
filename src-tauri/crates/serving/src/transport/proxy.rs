//! The way to a server: straight, or through a proxy.
//!
//! What it hides: the proxy variables of the environment and the system's own proxy settings (read by hyper-util's
//! matcher, by curl's rules, including `NO_PROXY`), and the CONNECT handshake (RFC 9110 §9.3.6). What must stay true:
//! loopback is reached directly unless a proxy was named explicitly; a proxy's credential never appears in a detail.

use http::HeaderValue;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use pilothouse_domain::UnknownReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::{Host, Url};

use super::failure::Failure;

/// Which proxy is used for which server.
pub(crate) struct ProxyRules {
    matcher: Option<Matcher>,
    explicit: bool,
}

/// A proxy on the way.
pub(crate) struct ProxyRoute {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) authorization: Option<HeaderValue>,
}

impl ProxyRules {
    /// The system's rules, an explicit proxy for everything, or none.
    pub(crate) fn new(system_proxy: bool, explicit: Option<&Url>) -> Self {
        match explicit {
            Some(url) => Self { matcher: Some(Matcher::builder().all(url.as_str()).build()), explicit: true },
            None => Self { matcher: system_proxy.then(Matcher::from_system), explicit: false },
        }
    }

    /// The proxy for `url`, if any.
    pub(crate) fn route(&self, url: &Url) -> Result<Option<ProxyRoute>, Failure> {
        let Some(proxy) = self.intercept(url) else { return Ok(None) };
        let uri = proxy.uri();
        let place = uri.host().unwrap_or_default();
        if uri.scheme_str() != Some("http") || place.is_empty() {
            return Err(Failure::ours(
                UnknownReason::ProxyFailed,
                format!(
                    "the proxy `{}://{place}` is of a kind that is not spoken here; set an http:// proxy or add the \
                     server to NO_PROXY",
                    uri.scheme_str().unwrap_or_default()
                ),
            ));
        }
        let host = place.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authorization = proxy.basic_auth().cloned().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Some(ProxyRoute { host, port: uri.port_u16().unwrap_or(80), authorization }))
    }

    /// The same decision as a URL, for clients that speak to the proxy themselves.
    pub(crate) fn proxy_url(&self, url: &Url) -> Option<Url> {
        let proxy = self.intercept(url)?;
        let mut address: Url = proxy.uri().to_string().parse().ok()?;
        if let Some((user, password)) = proxy.basic_auth().and_then(decode_basic) {
            address.set_username(&user).ok()?;
            address.set_password(Some(&password)).ok()?;
        }
        Some(address)
    }

    fn intercept(&self, url: &Url) -> Option<Intercept> {
        let matcher = self.matcher.as_ref()?;
        if !self.explicit && is_loopback(url) {
            return None;
        }
        matcher.intercept(&url[..url::Position::BeforePath].parse().ok()?)
    }
}

fn decode_basic(value: &HeaderValue) -> Option<(String, String)> {
    use base64::Engine as _;
    let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        None => false,
    }
}

/// Opens a tunnel to `host:port` (IPv6 in brackets) through a proxy that is already connected.
pub(crate) async fn open_tunnel<S: AsyncRead + AsyncWrite + Unpin>(
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
    let place = format!("{}:{}", proxy.host, proxy.port);
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
        Some(407) => Err(failed(format!("the proxy {place} asks for a user and password; set them in HTTPS_PROXY"))),
        Some(status) => Err(failed(format!("the proxy {place} refused to reach {authority} ({status})"))),
        None => Err(failed(format!("{place} does not answer as an HTTP proxy"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(rules: &ProxyRules, url: &str) -> Option<(String, u16)> {
        rules.route(&url.parse().unwrap()).unwrap().map(|proxy| (proxy.host, proxy.port))
    }

    #[test]
    fn loopback_is_direct_unless_a_proxy_is_named() {
        let proxy: Url = "http://ann:pw@proxy.test:3128".parse().unwrap();
        let named = ProxyRules::new(true, Some(&proxy));
        assert_eq!(route(&named, "http://127.0.0.1:1/"), Some(("proxy.test".into(), 3128)));
        let by_system = ProxyRules {
            matcher: Some(Matcher::builder().all(proxy.as_str()).no("10.0.0.0/8").build()),
            explicit: false,
        };
        for direct in
            ["http://127.0.0.1:1/", "https://[::1]/", "http://localhost/", "http://a.localhost/", "http://10.1.2.3/"]
        {
            assert_eq!(route(&by_system, direct), None, "{direct}");
        }
        assert_eq!(route(&by_system, "https://model.test/"), Some(("proxy.test".into(), 3128)));
        assert_eq!(route(&ProxyRules::new(false, None), "http://model.test/"), None);
        let url = by_system.proxy_url(&"https://model.test/".parse().unwrap()).unwrap();
        assert_eq!(url.as_str(), "http://ann:pw@proxy.test:3128/");
    }

    #[test]
    fn other_kinds_of_proxy_are_named_in_the_error() {
        let proxy: Url = "socks5://ann:hunter2@proxy.test:1080".parse().unwrap();
        let failure = ProxyRules::new(true, Some(&proxy)).route(&"http://m.test/".parse().unwrap()).err().unwrap();
        assert!(failure.detail.contains("socks5") && !failure.detail.contains("hunter2"), "{failure:?}");
    }
}
