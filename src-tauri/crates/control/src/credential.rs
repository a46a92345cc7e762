//! How a credential is put into a request, shown as a mask, and kept out of every text.

use base64::Engine as _;
use http::{HeaderName, HeaderValue};
use pilothouse_serving::Credential;
use secrecy::{ExposeSecret as _, SecretString};

use crate::ControlError;

/// What stands in a plan in place of a secret.
pub(crate) const MASK: &str = "••••";

/// The header that carries a credential, made once.
#[derive(Debug, Clone)]
pub(crate) struct CredentialHeader {
    /// Name and value; the value is marked sensitive, so that no debug print shows it.
    header: Option<(HeaderName, HeaderValue)>,
    /// What must never stand in a text: the secret as given and as sent.
    secrets: Vec<SecretString>,
}

impl CredentialHeader {
    /// Fails when the secret cannot stand in a header (a line break, say).
    pub(crate) fn new(credential: &Credential) -> Result<Self, ControlError> {
        let header = credential.header().map_err(|error| ControlError::Misconfigured {
            setting: "auth",
            problem: format!("cannot be used: {error}"),
        })?;
        let mut secrets = match credential {
            Credential::None => Vec::new(),
            Credential::Bearer(secret) | Credential::Header { value: secret, .. } => vec![secret.clone()],
            Credential::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose_secret());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                vec![password.clone(), SecretString::from(encoded)]
            }
        };
        // Very short values would blank out harmless text everywhere, and protect nothing.
        secrets.retain(|secret| secret.expose_secret().len() >= 4);
        Ok(Self { header, secrets })
    }

    /// Adds the header to a request.
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.header {
            Some((name, value)) => request.header(name.clone(), value.clone()),
            None => request,
        }
    }

    /// The header as a plan shows it.
    pub(crate) fn masked(&self) -> Option<(String, String)> {
        self.header.as_ref().map(|(name, _)| (name.as_str().to_owned(), MASK.to_owned()))
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.header.is_some()
    }

    /// `text` without the secret: some servers echo a request in their error bodies.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_mask_nor_debug_nor_echo_shows_a_secret() {
        let secret = "s3cr3t-value";
        for credential in [
            Credential::Bearer(secret.into()),
            Credential::Basic { username: "ada".into(), password: secret.into() },
            Credential::Header { name: HeaderName::from_static("x-api-key"), value: secret.into() },
        ] {
            let header = CredentialHeader::new(&credential).unwrap();
            assert_eq!(header.masked().unwrap().1, MASK);
            let debugged = format!("{credential:?} {header:?}");
            assert!(!debugged.contains(secret) && !debugged.contains("YWRhOnMz"), "{debugged}");
            let sent = header.header.as_ref().unwrap().1.to_str().unwrap();
            let echo = header.redact(&format!("you sent {sent} ({secret})"));
            assert!(!echo.contains(secret) && !echo.contains("YWRhOnMz"), "{echo}");
        }
    }

    #[test]
    fn a_secret_with_a_line_break_is_named_not_sent() {
        let error = CredentialHeader::new(&Credential::Bearer("two\nlines".into())).unwrap_err();
        assert!(error.to_string().contains("line break") && !error.to_string().contains("two"), "{error}");
    }
}
