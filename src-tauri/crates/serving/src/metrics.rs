//! Fetching what a server says of itself: its page of metrics, or the answers of a Prometheus server.
//!
//! What it hides: requests, headers, the JSON of Prometheus' HTTP API, where servers put their page by default. What must
//! stay true: only GETs are sent; a failure here says something about the metrics and nothing about the model; limits hold
//! whatever comes back; no bytes panic.

mod candidates;
mod prometheus;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Method};
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Outcome, TimestampMs};
use url::Url;

pub use candidates::candidates;
pub use prometheus::{PrometheusSeries, step_s};

use crate::text::{DETAIL_LIMIT, one_line, server_message};
use crate::transport::{ConnectionSlot, Exchange, ExchangeRequest, Limits, Redirects, TlsProfile, Transport, Wire};
use crate::{Authorizer, ClientIdentity, Credential, ServingError};

/// Largest page or answer that is read, decoded.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(10),
    total: Duration::from_secs(20),
    max_body: PAGE_BYTES_MAX,
    redirects: Redirects::Follow,
};

/// Text first: every server has it, and `OpenMetrics` adds nothing that is read here.
const PAGES: HeaderValue =
    HeaderValue::from_static("text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1");

/// Why there are no metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct MetricsFailure {
    /// Whether the other side was reached and refused or answered something else; otherwise nothing is known of it.
    pub answered: bool,
    /// What happened, to what; at most 300 characters, never with a secret.
    pub detail: String,
}

impl MetricsFailure {
    fn answer(detail: impl AsRef<str>) -> Self {
        Self { answered: true, detail: one_line(detail.as_ref(), DETAIL_LIMIT) }
    }
}

/// Asks one place for metrics, over one kept connection.
pub struct MetricsClient {
    transport: Arc<Transport>,
    authorizer: Authorizer,
    tls: TlsProfile,
    connection: tokio::sync::Mutex<ConnectionSlot>,
}

impl MetricsClient {
    /// A client. `credential` goes to whatever URL is asked.
    pub fn new(
        transport: Arc<Transport>,
        credential: Credential,
        tls: &Tls,
        identity: Option<ClientIdentity>,
    ) -> Result<Self, ServingError> {
        let authorizer = Authorizer::new(&transport, credential, tls)?;
        let tls = transport.tls_profile(tls, identity);
        Ok(Self { transport, authorizer, tls, connection: tokio::sync::Mutex::default() })
    }

    /// Fetches a page of metrics as it is.
    pub async fn page(&self, url: &Url) -> Result<Bytes, MetricsFailure> {
        let exchange = self.get(url, &[(ACCEPT, PAGES)]).await;
        self.accept(exchange).map_err(|failure| self.redacted(failure))
    }

    /// Asks a Prometheus server for a range of one query, in steps of `step_s` seconds (see [`step_s()`]).
    pub async fn query_range(
        &self,
        base: &Url,
        query: &str,
        (from, to): (TimestampMs, TimestampMs),
        step_s: u64,
    ) -> Result<Vec<PrometheusSeries>, MetricsFailure> {
        let url = prometheus::range_url(base, query, (from, to), step_s);
        let exchange = self.get(&url, &[]).await;
        let answer = match &exchange {
            Exchange { failure: None, status: Some(_), body, .. } => prometheus::read(body),
            _ => None,
        };
        match answer {
            Some(answer) => answer,
            None => self.accept(exchange).and_then(|_| {
                Err(MetricsFailure::answer("the answer is not that of a Prometheus server; check the base URL"))
            }),
        }
        .map_err(|failure| self.redacted(failure))
    }

    async fn get(&self, url: &Url, headers: &[(HeaderName, HeaderValue)]) -> Exchange {
        let request = ExchangeRequest {
            method: &Method::GET,
            url,
            body: None,
            headers,
            credential: None,
            tls: &self.tls,
            fresh: false,
            wire: Wire::Http1,
        };
        let mut connection = self.connection.lock().await;
        self.authorizer.exchange(&self.transport, &mut connection, request, &LIMITS).await
    }

    /// The body of a complete answer of success.
    fn accept(&self, exchange: Exchange) -> Result<Bytes, MetricsFailure> {
        if let Some(failure) = exchange.failure {
            let answered = exchange.status.is_some() && matches!(failure.outcome, Outcome::TargetFailed(_));
            let detail = one_line(&format!("{}: {}", failure.outcome.phrase(), failure.detail), DETAIL_LIMIT);
            return Err(MetricsFailure { answered, detail });
        }
        let Some(status) = exchange.status else {
            return Err(MetricsFailure { answered: false, detail: "no answer came".to_owned() });
        };
        if (200..300).contains(&status) {
            return Ok(exchange.body);
        }
        let why = match status {
            401 | 403 if self.authorizer.is_none() => "it asks for a credential",
            401 | 403 => "it does not accept the credential",
            404 => "there is nothing at this address",
            _ => "",
        };
        let message = server_message(&exchange.body).filter(|_| why.is_empty());
        let because = message.as_deref().unwrap_or(why);
        let colon = if because.is_empty() { "" } else { ": " };
        Err(MetricsFailure::answer(format!("the server answered {status}{colon}{because}")))
    }

    fn redacted(&self, mut failure: MetricsFailure) -> MetricsFailure {
        failure.detail = self.authorizer.redact_detail(&failure.detail);
        failure
    }
}
