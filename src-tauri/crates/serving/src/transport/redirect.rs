//! Which redirects are followed.
//!
//! What must stay true: at most three hops; no credential reaches another origin (RFC 6454: scheme, host, port); never
//! from https to http.

use http::{HeaderValue, StatusCode};
use url::Url;

/// The most redirects followed in one exchange.
pub(crate) const MAX_REDIRECTS: u8 = 3;

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the answer.
    Answer,
    /// Ask there.
    Follow {
        /// Where.
        url: Url,
        /// Whether the method becomes GET and the body is dropped (RFC 9110 §15.4: 303, and by custom 301 and 302).
        as_get: bool,
    },
    /// Stop, for this reason.
    Refuse(String),
}

/// Decides after `hops` redirects have been followed.
pub(crate) fn next_step(
    status: StatusCode,
    location: Option<&HeaderValue>,
    current: &Url,
    hops: u8,
    must_stay: bool,
) -> Step {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Step::Answer;
    }
    let Some(next) = location.and_then(|value| value.to_str().ok()).and_then(|text| current.join(text).ok()) else {
        return Step::Refuse(format!("a redirect ({}) without a usable location", status.as_u16()));
    };
    let destination = place(&next);
    if hops >= MAX_REDIRECTS {
        return Step::Refuse(format!("more than {MAX_REDIRECTS} redirects; the last one leads to {destination}"));
    }
    if !matches!(next.scheme(), "http" | "https") || next.host_str().is_none() {
        return Step::Refuse(format!("a redirect to the scheme `{}`", next.scheme()));
    }
    if current.scheme() == "https" && next.scheme() == "http" {
        return Step::Refuse(format!("a redirect from https to unprotected {destination}"));
    }
    if must_stay && !same_origin(current, &next) {
        return Step::Refuse(format!(
            "a redirect to {destination} would have carried the credential to another origin; \
             if that is the right server, connect it by that address"
        ));
    }
    Step::Follow { url: next, as_get: matches!(status.as_u16(), 301..=303) }
}

/// Whether both have the same scheme, host and port.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Scheme, host and port only: a path or query might hold a token.
fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(status: u16, from: &str, location: &str, hops: u8, credential: bool) -> Step {
        let location = HeaderValue::from_str(location).unwrap();
        next_step(StatusCode::from_u16(status).unwrap(), Some(&location), &from.parse().unwrap(), hops, credential)
    }

    #[test]
    fn redirects_are_followed_within_the_rules() {
        let check = |status, from, location, hops, credential, expect: Option<(&str, bool)>| {
            let found = step(status, from, location, hops, credential);
            match expect {
                Some((url, as_get)) => assert_eq!(found, Step::Follow { url: url.parse().unwrap(), as_get }),
                None => assert!(matches!(found, Step::Refuse(_)), "{found:?}"),
            }
        };
        check(307, "http://a/x", "/y", 0, true, Some(("http://a/y", false)));
        check(302, "http://a/x", "http://a:80/y", 2, true, Some(("http://a/y", true)));
        check(301, "http://a/x", "http://b/y", 0, false, Some(("http://b/y", true)));
        check(307, "http://a/x", "/y", 3, false, None);
        check(307, "http://a/x", "http://b/", 0, true, None);
        check(307, "http://a/x", "https://a/", 0, true, None);
        check(307, "http://a/x", "http://a:81/", 0, true, None);
        check(308, "https://a/x", "http://a/", 0, false, None);
        check(302, "http://a/x", "file:///etc/passwd", 0, false, None);
        check(302, "http://a/x", "http://", 0, false, None);
    }

    #[test]
    fn other_answers_are_answers() {
        let url: Url = "http://a/".parse().unwrap();
        for status in [200, 304, 404, 500] {
            assert_eq!(next_step(StatusCode::from_u16(status).unwrap(), None, &url, 0, true), Step::Answer);
        }
        assert!(matches!(next_step(StatusCode::FOUND, None, &url, 0, false), Step::Refuse(_)));
    }

    #[test]
    fn a_refusal_does_not_repeat_the_query() {
        let Step::Refuse(text) = step(302, "https://a/", "https://b/?token=abc", 0, true) else { panic!() };
        assert!(!text.contains("abc"), "{text}");
    }
}
