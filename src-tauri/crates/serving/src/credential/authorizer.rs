//! Putting a credential into one request, and asking again when a token is no longer accepted.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use pilothouse_domain::endpoint::Tls;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::aws::AwsIdentity;
use super::client_credentials::ClientCredentials;
use super::concealed::Concealed;
use super::google::ServiceAccount;
use super::token::{Issued, Proof, TokenSlot};
use super::token_client::TokenClient;
use super::{Credential, MASK, fixed};
use crate::ServingError;
use crate::text::{DETAIL_LIMIT, one_line};
use crate::transport::{
    BodyObserver, ConnectionSlot, Exchange, ExchangeRequest, Failure, JSON, Limits, Transport, Unobserved,
};

/// What a request is given so that it is accepted.
#[derive(Debug, Clone, Default)]
pub struct Authorization {
    headers: Vec<(HeaderName, HeaderValue)>,
    query: Option<(String, SecretString)>,
    /// The token's number, where one was obtained.
    generation: Option<u64>,
}

impl Authorization {
    pub(super) const fn of_headers(headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { headers, query: None, generation: None }
    }

    /// Headers, marked sensitive, in the place of others of the same name.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The address to call, with the credential's parameter where it has one. Not to be shown to anybody.
    pub fn url(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Some((name, value)) = &self.query {
            url.query_pairs_mut().append_pair(name, value.expose_secret());
        }
        url
    }

    /// Whether there is anything that must not reach another origin.
    pub const fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_none()
    }
}

/// A request that is to be authorised, as it will be sent.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URL.
    pub url: &'a Url,
    /// Its own headers.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// Its content type, if it has a body.
    pub content_type: Option<&'a HeaderValue>,
    /// The body; empty without one.
    pub body: &'a [u8],
}

/// A credential in use: fetches and keeps tokens, signs, and keeps its secrets out of texts.
pub struct Authorizer {
    way: Way,
    concealed: Concealed,
}

enum Way {
    /// The same for every request.
    Fixed(Arc<Authorization>),
    /// A token or key must be obtained.
    Obtained { issuer: Issuer, slot: Arc<TokenSlot>, calls: Arc<TokenClient> },
}

enum Issuer {
    ClientCredentials(Box<ClientCredentials>),
    ServiceAccount(Box<ServiceAccount>),
    Aws(Box<AwsIdentity>),
}

impl Authorizer {
    /// Fails when the secret cannot stand in a request (a line break in a header, say). `tls` is the endpoint's: its
    /// private authority is trusted for a token server as well.
    pub fn new(transport: &Arc<Transport>, credential: Credential, tls: &Tls) -> Result<Self, ServingError> {
        let fixed = |authorization: Authorization, secrets: Vec<SecretString>| Self {
            way: Way::Fixed(Arc::new(authorization)),
            concealed: Concealed::new(secrets),
        };
        let obtained = |issuer: Issuer, secrets: Vec<SecretString>| {
            let slot = transport.tokens().slot(&issuer.parts());
            let calls = Arc::new(TokenClient::new(transport, tls));
            Self { way: Way::Obtained { issuer, slot, calls }, concealed: Concealed::new(secrets) }
        };
        Ok(match credential {
            Credential::None => fixed(Authorization::default(), Vec::new()),
            Credential::Bearer(token) => fixed(fixed::bearer(&token)?, vec![token]),
            Credential::Basic { username, password } => {
                let pair = SecretString::from(fixed::encoded_pair(&username, &password));
                fixed(fixed::basic(&username, &password)?, vec![pair, password])
            }
            Credential::Header { name, value } => fixed(fixed::own_header(&name, &value)?, vec![value]),
            Credential::Query { name, value } => {
                let query = Some((name, value.clone()));
                fixed(Authorization { query, ..Authorization::default() }, vec![value])
            }
            Credential::ClientCredentials(client) => {
                let pair = fixed::encoded_pair(&client.client_id, &client.client_secret);
                let secrets = vec![SecretString::from(pair), client.client_secret.clone()];
                obtained(Issuer::ClientCredentials(client), secrets)
            }
            Credential::ServiceAccount(account) => obtained(Issuer::ServiceAccount(account), Vec::new()),
            Credential::Aws(identity) => {
                let secrets = identity.secrets();
                obtained(Issuer::Aws(identity), secrets)
            }
        })
    }

    /// What this request is given. Obtaining a token may take a while, and may fail: that failure is ours.
    pub async fn authorize(&self, request: &RequestParts<'_>) -> Result<Arc<Authorization>, Failure> {
        let (issuer, slot, calls) = match &self.way {
            Way::Fixed(authorization) => return Ok(Arc::clone(authorization)),
            Way::Obtained { issuer, slot, calls } => (issuer, slot, calls),
        };
        let found = slot.current(|| issuer.issue(calls, &self.concealed)).await;
        let (proof, generation) = found.map_err(|failure| self.redacted(failure))?;
        let mut authorization = match (&proof, issuer) {
            (Proof::Bearer(token), _) => {
                self.concealed.remember(token.expose_secret());
                // A token server may send anything; what fits no header is its fault, and so not the endpoint's.
                fixed::bearer(token).map_err(|_| {
                    Failure::ours(
                        pilothouse_domain::UnknownReason::TokenUnavailable,
                        "the access token holds characters that no header can carry",
                    )
                })?
            }
            (Proof::Aws(keys), Issuer::Aws(identity)) => {
                identity.sign(keys, request, SystemTime::now(), &self.concealed)?
            }
            (Proof::Aws(_), _) => {
                return Err(Failure::ours(pilothouse_domain::UnknownReason::Internal, "a key was issued for a token"));
            }
        };
        authorization.generation = Some(generation);
        Ok(Arc::new(authorization))
    }

    /// Judges an answer: whether the token is no longer accepted and the request is worth repeating with a new one.
    ///
    /// AWS says 403 with `ExpiredToken` or `ExpiredTokenException` where others say 401.
    pub async fn wants_repeat(&self, authorization: &Authorization, status: u16, body: &[u8]) -> bool {
        let (Way::Obtained { issuer, slot, .. }, Some(generation)) = (&self.way, authorization.generation) else {
            return false;
        };
        let is_refused = match (issuer, status) {
            (Issuer::Aws(identity), 401) => identity.is_renewable(),
            (Issuer::Aws(identity), 400 | 403) => {
                identity.is_renewable() && String::from_utf8_lossy(body).contains("ExpiredToken")
            }
            (_, status) => status == 401,
        };
        is_refused && slot.refused(generation).await
    }

    /// Makes one exchange with this credential. When a token is refused the exchange is made once more with a new one,
    /// and only the second one is reported; no part of obtaining a token is in its times.
    pub async fn exchange(
        &self,
        transport: &Transport,
        slot: &mut ConnectionSlot,
        request: ExchangeRequest<'_>,
        limits: &Limits,
    ) -> Exchange {
        self.exchange_observed(transport, slot, request, limits, &mut Unobserved).await
    }

    /// The same, with every piece of the answers' bodies shown to an observer as it comes.
    pub(crate) async fn exchange_observed(
        &self,
        transport: &Transport,
        slot: &mut ConnectionSlot,
        request: ExchangeRequest<'_>,
        limits: &Limits,
        observer: &mut dyn BodyObserver,
    ) -> Exchange {
        let json = JSON;
        let own_content_type = request.headers.iter().find(|(name, _)| *name == CONTENT_TYPE).map(|(_, value)| value);
        let parts = RequestParts {
            method: request.method,
            url: request.url,
            headers: request.headers,
            content_type: own_content_type.or(request.body.is_some().then_some(&json)),
            body: request.body.map(AsRef::as_ref).unwrap_or_default(),
        };
        let mut is_repeated = false;
        loop {
            let authorization = match self.authorize(&parts).await {
                Ok(authorization) => authorization,
                Err(failure) => return not_made(failure),
            };
            let with = ExchangeRequest { credential: Some(&authorization), ..request };
            let exchange = transport.exchange_observed(slot, with, limits, observer).await;
            let Some(status) = exchange.status else { return exchange };
            if is_repeated || !self.wants_repeat(&authorization, status, &exchange.body).await {
                return exchange;
            }
            is_repeated = true;
        }
    }

    /// Whether nothing is sent.
    pub fn is_none(&self) -> bool {
        matches!(&self.way, Way::Fixed(authorization) if authorization.is_empty())
    }

    /// The headers that it puts into a request, as a plan shows them.
    pub fn masked_headers(&self) -> Vec<(String, String)> {
        let names = match &self.way {
            Way::Fixed(authorization) => authorization.headers.iter().map(|(name, _)| name.clone()).collect(),
            Way::Obtained { issuer: Issuer::Aws(identity), .. } => identity.header_names(),
            Way::Obtained { .. } => vec![AUTHORIZATION],
        };
        names.into_iter().map(|name| (name.as_str().to_owned(), MASK.to_owned())).collect()
    }

    /// The parameter that it puts into the query, by name.
    pub fn query_name(&self) -> Option<&str> {
        match &self.way {
            Way::Fixed(authorization) => authorization.query.as_ref().map(|(name, _)| name.as_str()),
            Way::Obtained { .. } => None,
        }
    }

    /// `text` without its secrets and without the tokens and signatures lately used.
    pub fn redact(&self, text: &str) -> String {
        self.concealed.redact(text)
    }

    /// A detail without secrets, on one line and not too long.
    pub(crate) fn redact_detail(&self, text: &str) -> String {
        one_line(&self.redact(text), DETAIL_LIMIT)
    }

    fn redacted(&self, mut failure: Failure) -> Failure {
        failure.detail = self.redact_detail(&failure.detail);
        failure
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("headers", &self.masked_headers())
            .field("query", &self.query_name())
            .finish_non_exhaustive()
    }
}

impl Issuer {
    fn parts(&self) -> Vec<&str> {
        match self {
            Self::ClientCredentials(client) => client.parts(),
            Self::ServiceAccount(account) => account.parts(),
            Self::Aws(identity) => identity.parts(),
        }
    }

    /// Boxed, since it is large and seldom runs.
    fn issue<'a>(
        &'a self,
        calls: &'a Arc<TokenClient>,
        concealed: &'a Concealed,
    ) -> Pin<Box<dyn Future<Output = Result<Issued, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::ClientCredentials(client) => client.issue(calls).await,
                Self::ServiceAccount(account) => account.issue(calls, concealed).await,
                Self::Aws(identity) => identity.issue(calls).await,
            }
        })
    }
}

/// An exchange for which nothing was sent.
fn not_made(failure: Failure) -> Exchange {
    Exchange { failure: Some(failure), ..Exchange::begun() }
}
