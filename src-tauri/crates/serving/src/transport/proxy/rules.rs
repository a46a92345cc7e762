//! Which proxy is used for which server.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use pilothouse_domain::UnknownReason;
use pilothouse_domain::network::Proxy;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::{ProxyKind, ProxyRoute};
use crate::ServingError;
use crate::transport::failure::Failure;

/// Which proxy is used for which server.
pub(crate) struct ProxyRules {
    matcher: Option<Matcher>,
    /// Named for one endpoint, and not found in the system.
    explicit: bool,
}

impl ProxyRules {
    /// No proxy at all.
    pub(crate) const fn none() -> Self {
        Self { matcher: None, explicit: false }
    }

    /// Those of the environment and of the system, read now.
    pub(crate) fn of_system() -> Self {
        Self { matcher: Some(Matcher::from_system()), explicit: false }
    }

    /// A proxy for everything but what it leaves out.
    pub(crate) fn named(proxy: &Proxy, password: Option<&SecretString>) -> Result<Self, ServingError> {
        let mut url = proxy.url.clone();
        if let (Some(username), Some(password)) = (&proxy.username, password) {
            let unusable = || ServingError::Target("the proxy's address takes no user".into());
            url.set_username(username).map_err(|()| unusable())?;
            url.set_password(Some(password.expose_secret())).map_err(|()| unusable())?;
        }
        let matcher = Matcher::builder().all(url.as_str()).no(proxy.bypass.join(",")).build();
        Ok(Self { matcher: Some(matcher), explicit: true })
    }

    /// The proxy for `url`, if any.
    pub(crate) fn route(&self, url: &Url) -> Result<Option<ProxyRoute>, Failure> {
        let Some(proxy) = self.intercept(url) else { return Ok(None) };
        let uri = proxy.uri();
        let place = uri.host().unwrap_or_default();
        let kind = match uri.scheme_str() {
            Some("http") => Some((ProxyKind::Http, 80)),
            Some("https") => Some((ProxyKind::Https, 443)),
            Some("socks5") => Some((ProxyKind::Socks5 { resolves_names: false }, 1080)),
            Some("socks5h") => Some((ProxyKind::Socks5 { resolves_names: true }, 1080)),
            _ => None,
        };
        let Some((kind, usual_port)) = kind.filter(|_| !place.is_empty()) else {
            return Err(Failure::ours(
                UnknownReason::ProxyFailed,
                format!(
                    "the proxy `{}://{place}` is of a kind that is not spoken here; set an http, https or socks5 proxy \
                     or add the server to NO_PROXY",
                    uri.scheme_str().unwrap_or_default()
                ),
            ));
        };
        let host = place.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authorization = proxy.basic_auth().cloned().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let login = proxy.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
        let port = uri.port_u16().unwrap_or(usual_port);
        let login_is_set = if self.explicit { "the endpoint's network settings" } else { "HTTP_PROXY or HTTPS_PROXY" };
        Ok(Some(ProxyRoute { kind, host, port, authorization, login, login_is_set }))
    }

    fn intercept(&self, url: &Url) -> Option<Intercept> {
        let matcher = self.matcher.as_ref()?;
        if !self.explicit && is_loopback(url) {
            return None;
        }
        matcher.intercept(&url[..url::Position::BeforePath].parse().ok()?)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, bypass: &[&str]) -> Proxy {
        let bypass = bypass.iter().map(|&entry| entry.to_owned()).collect();
        Proxy { url: url.parse().unwrap(), username: None, secret: None, bypass }
    }

    fn route(rules: &ProxyRules, url: &str) -> Option<(ProxyKind, String, u16)> {
        rules.route(&url.parse().unwrap()).unwrap().map(|proxy| (proxy.kind, proxy.host, proxy.port))
    }

    #[test]
    fn loopback_is_direct_unless_a_proxy_is_named() {
        let named = ProxyRules::named(&proxy("http://proxy.test:3128", &[]), None).unwrap();
        assert_eq!(route(&named, "http://127.0.0.1:1/"), Some((ProxyKind::Http, "proxy.test".into(), 3128)));
        let by_system = ProxyRules {
            matcher: Some(Matcher::builder().all("http://ann:pw@proxy.test:3128").no("10.0.0.0/8").build()),
            explicit: false,
        };
        for direct in
            ["http://127.0.0.1:1/", "https://[::1]/", "http://localhost/", "http://a.localhost/", "http://10.1.2.3/"]
        {
            assert_eq!(route(&by_system, direct), None, "{direct}");
        }
        assert_eq!(route(&by_system, "https://model.test/"), Some((ProxyKind::Http, "proxy.test".into(), 3128)));
        assert_eq!(route(&ProxyRules::none(), "http://model.test/"), None);
    }

    #[test]
    fn every_kind_has_its_usual_port() {
        let check = |url: &str, kind, port| {
            let rules = ProxyRules::named(&proxy(url, &[]), None).unwrap();
            assert_eq!(route(&rules, "https://model.test/"), Some((kind, "p.test".into(), port)), "{url}");
        };
        check("http://p.test", ProxyKind::Http, 80);
        check("https://p.test", ProxyKind::Https, 443);
        check("socks5://p.test", ProxyKind::Socks5 { resolves_names: false }, 1080);
        check("socks5h://p.test:9050", ProxyKind::Socks5 { resolves_names: true }, 9050);
    }

    #[test]
    fn what_is_bypassed_goes_straight() {
        let check = |bypass: &[&str], url: &str, direct: bool| {
            let rules = ProxyRules::named(&proxy("http://proxy.test:3128", bypass), None).unwrap();
            assert_eq!(route(&rules, url).is_none(), direct, "{bypass:?} {url}");
        };
        check(&["model.test"], "https://model.test:8443/v2", true);
        check(&["model.test"], "https://MODEL.test/", true);
        check(&["model.test"], "http://a.model.test/", true);
        check(&[".model.test"], "http://a.model.test/", true);
        check(&["model.test"], "http://notmodel.test/", false);
        check(&["model.test"], "http://model.test.example/", false);
        check(&["10.0.0.0/8", "fd00::/8"], "http://10.200.1.2:80/", true);
        check(&["10.0.0.0/8", "fd00::/8"], "http://[fd12::1]:80/", true);
        check(&["10.0.0.0/8"], "http://11.0.0.1/", false);
        check(&["192.0.2.7"], "http://192.0.2.7/", true);
        check(&["192.0.2.7"], "http://192.0.2.8/", false);
        check(&["127.0.0.0/8"], "http://127.0.0.1:9/", true);
        check(&["*"], "http://anything.test/", true);
        check(&[], "http://anything.test/", false);
    }

    #[test]
    fn a_password_of_any_characters_arrives_as_it_is() {
        let named = Proxy { username: Some("ann@corp".into()), ..proxy("socks5://p.test", &[]) };
        let rules = ProxyRules::named(&named, Some(&SecretString::from("p:@/ %é"))).unwrap();
        let route = rules.route(&"http://m.test/".parse().unwrap()).unwrap().unwrap();
        assert_eq!(route.login, Some(("ann@corp".into(), "p:@/ %é".into())));
    }

    #[test]
    fn other_kinds_of_proxy_are_named_in_the_error() {
        let by_system = ProxyRules {
            matcher: Some(Matcher::builder().all("socks4://ann:hunter2@proxy.test:1080").build()),
            explicit: false,
        };
        let failure = by_system.route(&"http://m.test/".parse().unwrap()).err().unwrap();
        assert!(failure.detail.contains("socks4") && !failure.detail.contains("hunter2"), "{failure:?}");
    }
}
