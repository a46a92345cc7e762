//! Credentials: how a request proves who sends it.
//!
//! What it is: [`Credential`], the values that the engine read from the keyring, and [`Authorizer`], which puts one into
//! each request; one file per way in. What it hides: token servers, their caches and clocks, signatures. What must stay
//! true: a value is never in `Debug`, in an error or in a detail, and neither is a token obtained with it; a server that
//! echoes one is redacted; time spent on a token is not part of a request's measured time; a token server that fails is
//! our failure, never the endpoint's.

mod authorizer;
mod aws;
mod aws_keys;
mod client_credentials;
mod concealed;
mod fixed;
mod google;
mod jwt;
mod token;
mod token_client;

use std::collections::BTreeMap;
use std::fmt;

use http::header::HeaderName;
use pilothouse_domain::Auth;
use secrecy::SecretString;

pub use self::authorizer::{Authorization, Authorizer, RequestParts};
pub use self::aws::AwsIdentity;
pub use self::client_credentials::ClientCredentials;
pub use self::google::ServiceAccount;
pub(crate) use self::token::TokenCache;
use crate::ServingError;

/// What stands in a shown request in place of a secret.
pub const MASK: &str = "••••";

/// A credential with its values.
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
    /// A parameter of the query, such as `?api_key=…`.
    Query {
        /// The parameter.
        name: String,
        /// Its value.
        value: SecretString,
    },
    /// A bearer token by OAuth 2.0 client credentials; Microsoft Entra ID is one of these.
    ClientCredentials(Box<ClientCredentials>),
    /// A bearer token for a Google service account.
    ServiceAccount(Box<ServiceAccount>),
    /// AWS Signature Version 4.
    Aws(Box<AwsIdentity>),
}

impl Credential {
    /// The credential that `auth` describes, with the secrets that the keyring holds under [`Auth::secrets`].
    pub fn resolve(auth: &Auth, secrets: &BTreeMap<String, SecretString>) -> Result<Self, ServingError> {
        let value = |name: &str| {
            secrets.get(name).cloned().ok_or_else(|| {
                ServingError::Credential(format!("its secret `{name}` is not in the keyring; store it first"))
            })
        };
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Bearer { secret } => Self::Bearer(value(secret)?),
            Auth::Basic { username, secret } => Self::Basic { username: username.clone(), password: value(secret)? },
            Auth::Header { name, secret } => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| ServingError::Credential(format!("`{name}` is no name of a header")))?;
                Self::Header { name, value: value(secret)? }
            }
            Auth::Query { name, secret } => Self::Query { name: name.clone(), value: value(secret)? },
            Auth::OAuth2(oauth2) => {
                Self::ClientCredentials(Box::new(ClientCredentials::of_oauth2(oauth2, value(&oauth2.secret)?)))
            }
            Auth::Entra(entra) => {
                Self::ClientCredentials(Box::new(ClientCredentials::of_entra(entra, value(&entra.secret)?)?))
            }
            Auth::GoogleServiceAccount(google) => {
                Self::ServiceAccount(Box::new(ServiceAccount::new(google, &value(&google.secret)?)?))
            }
            Auth::AwsSigV4(aws) => Self::Aws(Box::new(AwsIdentity::new(aws, value)?)),
        })
    }

    /// Whether nothing is sent.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(••••)"),
            Self::Basic { username, .. } => write!(f, "Basic {{ username: {username:?}, password: •••• }}"),
            Self::Header { name, .. } => write!(f, "Header {{ name: {name:?}, value: •••• }}"),
            Self::Query { name, .. } => write!(f, "Query {{ name: {name:?}, value: •••• }}"),
            Self::ClientCredentials(client) => client.fmt(f),
            Self::ServiceAccount(account) => account.fmt(f),
            Self::Aws(identity) => identity.fmt(f),
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

    fn resolved(auth: &Auth) -> Result<Credential, ServingError> {
        Credential::resolve(auth, &BTreeMap::from([("k".to_owned(), SecretString::from(SECRET))]))
    }

    fn read(json: &str) -> Auth {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn debug_never_shows_the_value() {
        for auth in [
            r#"{"kind":"bearer","secret":"k"}"#,
            r#"{"kind":"basic","username":"ann","secret":"k"}"#,
            r#"{"kind":"header","name":"x-api-key","secret":"k"}"#,
            r#"{"kind":"query","name":"api_key","secret":"k"}"#,
            r#"{"kind":"oauth2","token_url":"https://sso/t","client_id":"c","secret":"k"}"#,
            r#"{"kind":"entra","tenant":"t","client_id":"c","secret":"k","scope":"x"}"#,
            r#"{"kind":"aws_sigv4","region":"r","source":{"from":"static","access_key_id":"A","secret":"k",
                "session_token_secret":"k"}}"#,
        ] {
            let credential = resolved(&read(auth)).unwrap();
            assert!(!credential.is_none());
            assert!(!format!("{credential:?}").contains("marker"), "{auth}");
        }
        let identity = ClientIdentity { certificate_pem: vec![], key_pem: SECRET.into() };
        assert!(!format!("{identity:?}").contains(SECRET));
    }

    #[test]
    fn what_cannot_be_resolved_is_named_without_a_value() {
        let check = |auth: &str, expect: &str| {
            let error = resolved(&read(auth)).unwrap_err().to_string();
            assert!(error.contains(expect) && !error.contains("marker"), "{error}");
        };
        check(r#"{"kind":"bearer","secret":"other"}"#, "`other` is not in the keyring");
        check(r#"{"kind":"header","name":"bad name","secret":"k"}"#, "`bad name`");
        check(r#"{"kind":"google_service_account","secret":"k","scope":"x"}"#, "JSON key");
        assert!(resolved(&Auth::None).unwrap().is_none());
    }
}
