//! Credentials that are the same for every request: bearer, basic, a header of its own, a parameter of the query.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::authorizer::Authorization;
use crate::ServingError;

/// Headers that carry the message's own framing or route and must not be set by a credential.
const RESERVED_HEADERS: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// `Authorization: Bearer …` (RFC 6750).
pub(super) fn bearer(token: &SecretString) -> Result<Authorization, ServingError> {
    header(AUTHORIZATION, &format!("Bearer {}", token.expose_secret()))
}

/// `Authorization: Basic …` (RFC 7617).
pub(super) fn basic(username: &str, password: &SecretString) -> Result<Authorization, ServingError> {
    if username.contains(':') {
        return Err(ServingError::Credential("a user name must not contain a colon".into()));
    }
    header(AUTHORIZATION, &format!("Basic {}", encoded_pair(username, password)))
}

/// What stands behind `Basic`, which must be kept out of texts as the password itself.
pub(super) fn encoded_pair(username: &str, password: &SecretString) -> String {
    STANDARD.encode(format!("{username}:{}", password.expose_secret()))
}

/// A header of its own.
pub(super) fn own_header(name: &HeaderName, value: &SecretString) -> Result<Authorization, ServingError> {
    if RESERVED_HEADERS.contains(&name.as_str()) {
        return Err(ServingError::Credential(format!(
            "the header `{name}` belongs to HTTP itself; choose another header"
        )));
    }
    header(name.clone(), value.expose_secret())
}

/// A header's value, marked sensitive so that no `Debug` shows it.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, ServingError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ServingError::Credential(
            "the stored secret holds characters that no header can carry (a line break at its end, perhaps); store it \
             again"
                .into(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn header(name: HeaderName, text: &str) -> Result<Authorization, ServingError> {
    Ok(Authorization::of_headers(vec![(name, sensitive(text)?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_spelled_as_the_rfcs_say() {
        let check = |found: Result<Authorization, ServingError>, name: &str, value: &str| {
            let found = found.unwrap();
            let [(found_name, found_value)] = found.headers() else { panic!("{found:?}") };
            assert_eq!((found_name.as_str(), found_value.to_str().unwrap()), (name, value));
            assert!(!format!("{found:?}").contains(value), "{found:?}");
        };
        check(basic("Aladdin", &"open sesame".into()), "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        check(bearer(&"t0k".into()), "authorization", "Bearer t0k");
        check(own_header(&HeaderName::from_static("x-api-key"), &"k3y".into()), "x-api-key", "k3y");
    }

    #[test]
    fn values_that_no_header_carries_are_refused_without_being_shown() {
        let error = bearer(&"line\nbreak".into()).unwrap_err().to_string();
        assert!(!error.contains("break") || error.contains("line break at its end"), "{error}");
        let error = own_header(&http::header::HOST, &"elsewhere".into()).unwrap_err().to_string();
        assert!(error.contains("`host`"), "{error}");
        assert!(basic("a:b", &"p".into()).is_err());
    }
}
