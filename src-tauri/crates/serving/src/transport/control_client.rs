//! HTTP clients for control planes and registries: reqwest under the same roots, proxies, redirect and size rules as
//! probes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pilothouse_domain::endpoint::Tls;
use reqwest::redirect::{Attempt, Policy};

use super::Transport;
use super::redirect::{MAX_REDIRECTS, same_origin};
use crate::{ClientIdentity, ServingError};

/// Limit for name resolution, TCP and TLS of a call to a control plane.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for a whole call; loading a model may take long.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(2);

impl Transport {
    /// A client for control planes. Redirects are followed within one origin only, so that no credential of whatever
    /// header leaves it. Reads certificate files.
    #[expect(clippy::needless_pass_by_value, reason = "the caller's copy of the key ends with this call")]
    pub fn http_client(&self, tls: &Tls, identity: Option<ClientIdentity>) -> Result<reqwest::Client, ServingError> {
        let config = self.trust.client_config(tls.ca_file.as_deref(), identity.as_ref())?;
        let way = Arc::clone(&self.way);
        reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .user_agent(crate::USER_AGENT)
            .referer(false)
            .redirect(Policy::custom(within_origin))
            .proxy(reqwest::Proxy::custom(move |url| way.proxy_url(url)))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .build()
            .map_err(|error| ServingError::HttpClient(error.to_string()))
    }
}

fn within_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let hops = attempt.previous().len();
    if hops > usize::from(MAX_REDIRECTS) {
        return attempt.error("more than 3 redirects");
    }
    let stays = attempt.previous().last().is_some_and(|from| same_origin(from, attempt.url()));
    if stays { attempt.follow() } else { attempt.error("a redirect to another origin was refused") }
}

/// The body of an answer, read while it streams in; more than `max_bytes` is an error.
pub async fn read_capped(mut response: reqwest::Response, max_bytes: usize) -> Result<Bytes, ServingError> {
    let too_large = ServingError::AnswerTooLarge { limit_bytes: max_bytes };
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large);
    }
    let mut body = BytesMut::new();
    loop {
        // The URL of the error is left out: its query may hold a token.
        match response.chunk().await.map_err(|error| ServingError::Answer(error.without_url().to_string()))? {
            None => return Ok(body.freeze()),
            Some(chunk) if body.len() + chunk.len() > max_bytes => return Err(too_large),
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}
