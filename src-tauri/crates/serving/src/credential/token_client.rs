//! Calls to token servers: over the transport's own client, with its roots, proxies and redirect rules.
//!
//! What must stay true: a failing token server is our failure and is named by its host alone; a call ends within its time
//! limit and its answer within its size limit.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Outcome, UnknownReason};
use url::Url;

use crate::text::server_message;
use crate::transport::{Failure, Transport};
use crate::{ControlCall, ControlClient};

/// Limit for one call, from connecting to the last byte.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// The largest answer that is read; tokens have a few kilobytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// A client for token servers.
pub(super) struct TokenClient {
    client: ControlClient,
}

/// No answer of a token server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.detail)]
pub(super) struct NoTokenAnswer(pub(super) Failure);

impl TokenClient {
    /// A private authority of the endpoint is trusted for its token server as well; its client certificate is not shown
    /// to another server.
    pub(super) fn new(transport: &Arc<Transport>, tls: &Tls) -> Self {
        let tls = Tls { ca_file: tls.ca_file.clone(), ..Tls::default() };
        Self { client: transport.control_client(&tls, None) }
    }

    /// Sends a request and reads its whole answer, of whatever status.
    pub(super) async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, NoTokenAnswer> {
        let host = host_of(&request.uri().to_string());
        let (head, body) = request.into_parts();
        let url: Url = head.uri.to_string().parse().map_err(|error| NoTokenAnswer(no_token(&host, &error)))?;
        let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let body = (!body.is_empty()).then(|| Bytes::from(body));
        let call = ControlCall {
            method: &head.method,
            url: &url,
            headers: &headers,
            body: body.as_ref(),
            credential: None,
            time_limit: TIME_LIMIT,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        let exchange = self.client.call(&call).await;
        let (Some(status), None) = (exchange.status, &exchange.failure) else {
            return Err(NoTokenAnswer(told(&host, exchange.failure)));
        };
        if (300..400).contains(&status) {
            return Err(NoTokenAnswer(no_token(&host, "it answered with a redirect, which is not followed")));
        }
        let mut answer = http::Response::builder().status(status);
        if let Some(kept) = answer.headers_mut() {
            *kept = exchange.headers;
        }
        answer.body(exchange.body.to_vec()).map_err(|error| NoTokenAnswer(no_token(&host, &error)))
    }
}

/// The `oauth2` crate makes its calls here.
impl<'c> oauth2::AsyncHttpClient<'c> for TokenClient {
    type Error = NoTokenAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, NoTokenAnswer>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// "No access token from HOST: WHY".
pub(super) fn no_token(host: &str, why: &(impl std::fmt::Display + ?Sized)) -> Failure {
    Failure::ours(UnknownReason::TokenUnavailable, format!("no access token from {host}: {why}"))
}

/// A token server's refusal in its own words, which name no secret of ours once redacted.
pub(super) fn refusal(status: http::StatusCode, body: &[u8]) -> String {
    match server_message(body) {
        Some(words) => format!("it answered {}: {words}", status.as_u16()),
        None => format!("it answered {}", status.as_u16()),
    }
}

/// Host and port; a path or query might hold what must not be shown.
pub(super) fn host_of(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "the token server".to_owned(),
        |url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}{port}", url.host_str().unwrap_or_default())
        },
    )
}

/// What failed on the way is told as that; all else is the token server's.
fn told(host: &str, failure: Option<Failure>) -> Failure {
    match failure {
        Some(Failure { outcome: Outcome::Unknown(reason), detail }) => {
            Failure::ours(reason, format!("no access token from {host}: {detail}"))
        }
        Some(failure) => no_token(host, &failure.detail),
        None => no_token(host, "no answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_host_alone() {
        let check = |url: &str, expect: &str| assert_eq!(host_of(url), expect);
        check("https://login.example/tenant/token?x=secret", "login.example");
        check("http://127.0.0.1:8080/token", "127.0.0.1:8080");
        check("::", "the token server");
    }
}
