//! OAuth 2.0 client credentials (RFC 6749 §4.4), through the `oauth2` crate. Microsoft Entra ID is the same with a known
//! token URL and scope (Microsoft identity platform, "client credentials flow", v2.0 endpoint).

use std::fmt;

use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{AuthType, ClientId, ClientSecret, RequestTokenError, Scope, TokenResponse as _, TokenUrl};
use pilothouse_domain::auth::{ClientAuth, Entra, OAuth2};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::token::{Issued, Proof};
use super::token_client::{NoTokenAnswer, TokenClient, host_of, no_token};
use crate::ServingError;
use crate::transport::Failure;

/// A client of an OAuth 2.0 token server, with its secret.
#[derive(Clone)]
pub struct ClientCredentials {
    /// Where tokens are issued.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// The audience asked for.
    pub audience: Option<String>,
    /// Where name and secret are put.
    pub client_auth: ClientAuth,
}

impl ClientCredentials {
    pub(super) fn of_oauth2(oauth2: &OAuth2, client_secret: SecretString) -> Self {
        Self {
            token_url: oauth2.token_url.clone(),
            client_id: oauth2.client_id.clone(),
            client_secret,
            scopes: oauth2.scopes.clone(),
            audience: oauth2.audience.clone(),
            client_auth: oauth2.client_auth,
        }
    }

    pub(super) fn of_entra(entra: &Entra, client_secret: SecretString) -> Result<Self, ServingError> {
        let token_url = entra.token_url().map_err(|error| {
            ServingError::Credential(format!("the tenant `{}` is not usable: {error}", entra.tenant))
        })?;
        Ok(Self {
            token_url,
            client_id: entra.client_id.clone(),
            client_secret,
            scopes: vec![entra.scope.clone()],
            audience: None,
            client_auth: ClientAuth::Body,
        })
    }

    /// What tells one credential from another.
    pub(super) fn parts(&self) -> Vec<&str> {
        let mut parts =
            vec!["client_credentials", self.token_url.as_str(), &self.client_id, self.client_secret.expose_secret()];
        parts.push(match self.client_auth {
            ClientAuth::Basic => "basic",
            ClientAuth::Body => "body",
        });
        parts.extend(self.audience.as_deref().map_or(["no audience", ""], |audience| ["audience", audience]));
        parts.extend(self.scopes.iter().map(String::as_str));
        parts
    }

    /// Asks the token server.
    pub(super) async fn issue(&self, calls: &TokenClient) -> Result<Issued, Failure> {
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.client_secret.expose_secret().to_owned()))
            .set_auth_type(match self.client_auth {
                ClientAuth::Basic => AuthType::BasicAuth,
                ClientAuth::Body => AuthType::RequestBody,
            })
            .set_token_uri(TokenUrl::from_url(self.token_url.clone()));
        let mut request = client.exchange_client_credentials();
        for scope in &self.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if let Some(audience) = &self.audience {
            request = request.add_extra_param("audience", audience);
        }
        let answer = request.request_async(calls).await.map_err(|error| self.failed(error))?;
        Ok(Issued {
            proof: Proof::Bearer(SecretString::from(answer.access_token().secret().as_str())),
            valid_for: answer.expires_in(),
        })
    }

    fn failed(&self, error: RequestTokenError<NoTokenAnswer, BasicErrorResponse>) -> Failure {
        let host = host_of(self.token_url.as_str());
        match error {
            RequestTokenError::Request(NoTokenAnswer(failure)) => failure,
            RequestTokenError::ServerResponse(answer) => {
                let words = answer.error_description().map(|words| format!(": {words}")).unwrap_or_default();
                no_token(&host, &format!("it refused ({}){words}", answer.error().as_ref()))
            }
            // The body is not shown: it may be a token in a form that is not understood.
            RequestTokenError::Parse(error, _) => {
                let what = if error.inner().is_data() { "lacks or misspells" } else { "is not JSON, at" };
                no_token(&host, &format!("its answer {what} `{}`", error.path()))
            }
            RequestTokenError::Other(why) => no_token(&host, &why),
        }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token_url, client_id, client_secret: _, scopes, audience, client_auth } = self;
        f.debug_struct("ClientCredentials")
            .field("token_url", &token_url.as_str())
            .field("client_id", client_id)
            .field("client_secret", &super::MASK)
            .field("scopes", scopes)
            .field("audience", audience)
            .field("client_auth", client_auth)
            .finish()
    }
}
