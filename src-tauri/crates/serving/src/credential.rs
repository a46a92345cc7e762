//! Credentials with their values, as the engine resolved them from the keyring.
//!
//! What it hides: how a credential becomes a header. What must stay true: a value is never in `Debug`, in an error or
//! in a detail; a server that echoes it is redacted.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use pilothouse_domain::Auth;
use secrecy::{ExposeSecret, SecretString};

use crate::ServingError;

/// A credential with its value.
#[derive(Clone, Default)]
pub enum Credential {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretString),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A header of its own, such as `x-api-key`.
    Header {
        /// The header.
        name: HeaderName,
        /// Its value.
        value: SecretString,
    },
}

impl Credential {
    /// The credential that `auth` describes, with the secret that the keyring holds under [`Auth::secret`].
    pub fn resolve(auth: &Auth, secret: Option<SecretString>) -> Result<Self, ServingError> {
        let missing = || ServingError::Credential("its secret is not in the keyring; store it first".into());
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Bearer { .. } => Self::Bearer(secret.ok_or_else(missing)?),
            Auth::Basic { username, .. } => {
                Self::Basic { username: username.clone(), password: secret.ok_or_else(missing)? }
            }
            Auth::Header { name, .. } => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| ServingError::Credential(format!("`{name}` is no name of a header")))?;
                Self::Header { name, value: secret.ok_or_else(missing)? }
            }
        })
    }

    /// Whether nothing is sent.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The header to send: its name and its value, marked sensitive so that no `Debug` shows it.
    pub fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, ServingError> {
        let (name, text) = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
            Self::Basic { username, password } => {
                if username.contains(':') {
                    return Err(ServingError::Credential("a user name must not contain a colon".into()));
                }
                let pair = format!("{username}:{}", password.expose_secret());
                (AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
            }
            Self::Header { name, value } => {
                if RESERVED_HEADERS.contains(&name.as_str()) {
                    return Err(ServingError::Credential(format!(
                        "the header `{name}` belongs to HTTP itself; choose another header"
                    )));
                }
                (name.clone(), value.expose_secret().to_owned())
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            ServingError::Credential(
                "the stored secret holds characters that no header can carry (a line break at its end, perhaps); \
                 store it again"
                    .into(),
            )
        })?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    /// `text` with every occurrence of the secret replaced, since servers echo what they refuse.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        let secrets = match self {
            Self::None => return redacted,
            Self::Bearer(secret) | Self::Header { value: secret, .. } => vec![secret.expose_secret().to_owned()],
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                vec![STANDARD.encode(pair), password.expose_secret().to_owned()]
            }
        };
        // A server may echo a part of the token only; what is long enough to identify it is hidden as well.
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            redacted = redacted.replace(secret.as_str(), "••••");
            let characters: Vec<char> = secret.chars().collect();
            if characters.len() >= 16 {
                let head: String = characters[..8].iter().collect();
                let tail: String = characters[characters.len() - 8..].iter().collect();
                redacted = redacted.replace(&head, "••••").replace(&tail, "••••");
            }
        }
        crate::text::one_line(&redacted, crate::text::DETAIL_LIMIT)
    }
}

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

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(••••)"),
            Self::Basic { username, .. } => write!(f, "Basic {{ username: {username:?}, password: •••• }}"),
            Self::Header { name, .. } => write!(f, "Header {{ name: {name:?}, value: •••• }}"),
        }
    }
}

/// A client certificate with its key (mutual TLS).
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate chain, PEM.
    pub certificate_pem: Vec<u8>,
    /// The private key, PEM.
    pub key_pem: SecretString,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIdentity {{ certificate_pem: {} bytes, key_pem: •••• }}", self.certificate_pem.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "marker-7f3a9c-very-secret";

    fn credentials() -> Vec<Credential> {
        vec![
            Credential::Bearer(SECRET.into()),
            Credential::Basic { username: "ann".into(), password: SECRET.into() },
            Credential::Header { name: HeaderName::from_static("x-api-key"), value: SECRET.into() },
        ]
    }

    #[test]
    fn debug_never_shows_the_value() {
        for credential in credentials() {
            assert!(!format!("{credential:?}").contains(SECRET));
            assert!(!format!("{:?}", credential.header()).contains(SECRET));
        }
        let identity = ClientIdentity { certificate_pem: vec![], key_pem: SECRET.into() };
        assert!(!format!("{identity:?}").contains(SECRET));
    }

    #[test]
    fn an_echoed_value_is_redacted() {
        for credential in credentials() {
            let (_, value) = credential.header().unwrap().unwrap();
            let echo = format!("no such key {SECRET} ({})", value.to_str().unwrap());
            let redacted = credential.redact(&echo);
            assert!(!redacted.contains(SECRET) && redacted.contains("no such key"), "{redacted}");
            let encoded = value.to_str().unwrap().rsplit(' ').next().unwrap().to_owned();
            assert!(!redacted.contains(&encoded), "{redacted}");
        }
    }

    #[test]
    fn references_are_resolved() {
        let header = |name: &str| Auth::Header { name: name.into(), secret: "k".into() };
        assert!(Credential::resolve(&Auth::None, None).unwrap().is_none());
        let found = Credential::resolve(&header("X-Api-Key"), Some(SECRET.into())).unwrap();
        assert_eq!(found.header().unwrap().unwrap().0.as_str(), "x-api-key");
        assert!(Credential::resolve(&header("bad name"), Some(SECRET.into())).is_err());
        let bearer = Auth::Bearer { secret: "k".into() };
        assert!(Credential::resolve(&bearer, None).unwrap_err().to_string().contains("not in the keyring"));
    }

    #[test]
    fn headers_are_spelled_as_the_rfcs_say() {
        let basic = Credential::Basic { username: "Aladdin".into(), password: "open sesame".into() };
        let (name, value) = basic.header().unwrap().unwrap();
        assert_eq!((name, value.to_str().unwrap()), (AUTHORIZATION, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(Credential::None.header().unwrap().is_none());
    }

    #[test]
    fn values_that_no_header_carries_are_refused_without_being_shown() {
        let error = Credential::Bearer("line\nbreak".into()).header().unwrap_err().to_string();
        assert!(!error.contains("break") || error.contains("line break at its end"), "{error}");
        let host = Credential::Header { name: http::header::HOST, value: "elsewhere".into() };
        assert!(host.header().unwrap_err().to_string().contains("`host`"));
    }
}
