//! Where AWS access keys come from: given ones, the shared files, the environment, and roles taken on with them.
//!
//! What it hides: AWS's own providers (`aws-config`), which know the shared files with all their references (source
//! profiles, credential processes, web identities); their calls go over the transport like every other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use pilothouse_domain::UnknownReason;
use pilothouse_domain::auth::AssumeRole;
use secrecy::{ExposeSecret as _, SecretString};

use super::token_client::{NoTokenAnswer, TokenClient};
use crate::transport::Failure;

/// Limit for obtaining keys, whatever chain of profiles and roles they come from.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The provider's name that AWS's types want.
const GIVEN: &str = "pilothouse";

/// Where an access key comes from, with its values.
#[derive(Clone)]
pub(super) enum AwsKeys {
    Given { access_key_id: String, secret: SecretString, session_token: Option<SecretString> },
    Profile(String),
    Environment,
}

impl AwsKeys {
    /// The keys, or those of the role that is taken on with them.
    pub(super) async fn obtain(
        &self,
        region: &str,
        role: Option<&AssumeRole>,
        calls: &Arc<TokenClient>,
    ) -> Result<Credentials, Failure> {
        let obtain = async {
            let keys = self.provide(region, calls).await.map_err(|error| self.failed(&error))?;
            match role {
                None => Ok(keys),
                Some(role) => assume(role, keys, region, calls).await,
            }
        };
        tokio::time::timeout(TIME_LIMIT, obtain).await.unwrap_or_else(|_| {
            Err(Failure::ours(
                UnknownReason::TokenUnavailable,
                format!("no AWS credentials from {}: no answer within {} s", self.place(), TIME_LIMIT.as_secs()),
            ))
        })
    }

    async fn provide(&self, region: &str, calls: &Arc<TokenClient>) -> Result<Credentials, CredentialsError> {
        match self {
            Self::Given { access_key_id, secret, session_token } => {
                let session_token = session_token.as_ref().map(|token| token.expose_secret().to_owned());
                Ok(Credentials::new(access_key_id, secret.expose_secret(), session_token, None, GIVEN))
            }
            Self::Environment => EnvironmentVariableCredentialsProvider::new().provide_credentials().await,
            Self::Profile(name) => {
                let config = ProviderConfig::without_region()
                    .with_region(Some(Region::new(region.to_owned())))
                    .with_http_client(over_transport(calls));
                let profile = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build();
                profile.provide_credentials().await
            }
        }
    }

    /// The source, for people.
    fn place(&self) -> String {
        match self {
            Self::Given { .. } => "the access key".into(),
            Self::Environment => "the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`)".into(),
            Self::Profile(name) => format!("the profile `{name}`"),
        }
    }

    fn failed(&self, error: &CredentialsError) -> Failure {
        let reason = match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                UnknownReason::Misconfigured
            }
            _ => UnknownReason::TokenUnavailable,
        };
        told(reason, &self.place(), error)
    }

    /// What tells one source from another.
    pub(super) fn parts(&self) -> Vec<&str> {
        match self {
            Self::Given { access_key_id, secret, session_token } => {
                let session_token = session_token.as_ref().map_or("", |token| token.expose_secret());
                vec!["given", access_key_id, secret.expose_secret(), session_token]
            }
            Self::Profile(name) => vec!["profile", name],
            Self::Environment => vec!["environment"],
        }
    }
}

/// Takes on a role (STS `AssumeRole`, version 2011-06-15).
async fn assume(
    role: &AssumeRole,
    keys: Credentials,
    region: &str,
    calls: &Arc<TokenClient>,
) -> Result<Credentials, Failure> {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(over_transport(calls))
        .time_source(SharedTimeSource::default())
        // The next probe asks again.
        .retry_config(RetryConfig::disabled());
    if let Some(url) = &role.sts_url {
        config = config.endpoint_url(url.as_str().trim_end_matches('/'));
    }
    let mut provider =
        AssumeRoleProvider::builder(&role.role_arn).session_name(&role.session_name).configure(&config.build());
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = provider.build_from_provider(SharedCredentialsProvider::new(keys)).await;
    let place = format!("the role `{}`", role.role_arn);
    provider.provide_credentials().await.map_err(|error| told(UnknownReason::TokenUnavailable, &place, &error))
}

/// The words of an error and of its causes. AWS's outermost texts say little; its debug text would show the exchange.
fn told(reason: UnknownReason, place: &str, error: &CredentialsError) -> Failure {
    let mut words: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        if let Some(NoTokenAnswer(failure)) = cause.downcast_ref() {
            return failure.clone();
        }
        let text = cause.to_string();
        if words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = cause.source();
    }
    // The first text only says that there was an error.
    let words = if words.len() > 1 { &words[1..] } else { &words[..] };
    Failure::ours(reason, format!("no AWS credentials from {place}: {}", words.join(": ")))
}

/// AWS's providers make their calls here.
fn over_transport(calls: &Arc<TokenClient>) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(OverTransport(Arc::clone(calls)));
    http_client_fn(move |_, _| connector.clone())
}

struct OverTransport(Arc<TokenClient>);

impl fmt::Debug for OverTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverTransport")
    }
}

impl HttpConnector for OverTransport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let calls = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let (parts, body) =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?.into_parts();
            // Requests for keys are short and stand in memory.
            let body = body.bytes().unwrap_or_default().to_vec();
            let answer = calls
                .send(http::Request::from_parts(parts, body))
                .await
                .map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}
