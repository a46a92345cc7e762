//! Calls to token servers: over the transport's own client, with its roots, proxies and redirect rules.
//!
//! What must stay true: a failing token server is our failure and is named by its host alone; a call ends within its time
//! limit and its answer within its size limit.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::UnknownReason;
use pilothouse_domain::endpoint::Tls;
use tokio::sync::OnceCell;
use url::Url;

use crate::text::server_message;
use crate::transport::{Failure, Transport};
use crate::{ServingError, network_is_up, read_capped};

/// Limit for one call, from connecting to the last byte.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// The largest answer that is read; tokens have a few kilobytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// A client for token servers, made at its first use.
pub(super) struct TokenClient {
    transport: Arc<Transport>,
    ca_file: Option<PathBuf>,
    client: OnceCell<reqwest::Client>,
}

/// No answer of a token server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.detail)]
pub(super) struct NoTokenAnswer(pub(super) Failure);

impl TokenClient {
    /// A private authority of the endpoint is trusted for its token server as well; its client certificate is not shown
    /// to another server.
    pub(super) fn new(transport: &Arc<Transport>, tls: &Tls) -> Self {
        Self { transport: Arc::clone(transport), ca_file: tls.ca_file.clone(), client: OnceCell::new() }
    }

    /// Sends a request and reads its whole answer, of whatever status.
    pub(super) async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, NoTokenAnswer> {
        let host = host_of(&request.uri().to_string());
        let client = self.client().await.map_err(NoTokenAnswer)?;
        let call = async {
            let request = reqwest::Request::try_from(request).map_err(|error| told(&host, &error))?;
            let response = client.execute(request).await.map_err(|error| told(&host, &error))?;
            let mut answer = http::Response::builder().status(response.status());
            if let Some(kept) = answer.headers_mut() {
                kept.clone_from(response.headers());
            }
            let body = read_capped(response, MAX_ANSWER_BYTES).await.map_err(|error| no_token(&host, &error))?;
            answer.body(body.to_vec()).map_err(|error| no_token(&host, &error))
        };
        match tokio::time::timeout(TIME_LIMIT, call).await {
            Ok(answer) => answer.map_err(NoTokenAnswer),
            Err(_) => Err(NoTokenAnswer(no_token(&host, &format!("no answer within {} s", TIME_LIMIT.as_secs())))),
        }
    }

    async fn client(&self) -> Result<reqwest::Client, Failure> {
        let make = || async {
            let transport = Arc::clone(&self.transport);
            let tls = Tls { ca_file: self.ca_file.clone(), ..Tls::default() };
            // Certificate files are read.
            tokio::task::spawn_blocking(move || transport.http_client(&tls, None))
                .await
                .map_err(|error| ServingError::HttpClient(error.to_string()))?
        };
        let client = self.client.get_or_try_init(make).await;
        client.cloned().map_err(|error| Failure { outcome: error.outcome(), detail: error.to_string() })
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

fn told(host: &str, error: &reqwest::Error) -> Failure {
    if error.is_connect() && !network_is_up() {
        return Failure::ours(UnknownReason::NoNetwork, format!("this machine has no network to reach {host}"));
    }
    if error.is_timeout() {
        return no_token(host, &"no answer in time");
    }
    // The innermost cause names the socket's or TLS's own reason; the outer texts would name the URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    no_token(host, cause)
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
