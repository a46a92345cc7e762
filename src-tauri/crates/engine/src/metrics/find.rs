//! Looking for a server's page of metrics, and telling what would be read from one.

use std::sync::Arc;

use pilothouse_domain::endpoint::Tls;
use pilothouse_scrape::{Found, Snapshot};
use pilothouse_serving::metrics::candidates;
use pilothouse_serving::{ClientIdentity, Credential, MetricsClient, MetricsFailure, ServingError, Transport};
use url::Url;

use super::{no_credential, read_bytes};

/// A page of metrics, as it was understood.
#[derive(Debug, Clone)]
pub struct MetricsPage {
    /// Where it is.
    pub url: Url,
    /// The server whose series were found.
    pub server: Option<&'static str>,
    /// What would be read.
    pub found: Vec<Found>,
    /// Values on the page.
    pub samples: usize,
    /// Lines that could not be read.
    pub skipped: usize,
    /// Whether the page was longer than what is read.
    pub truncated: bool,
}

/// What looking for a page came to.
#[derive(Debug, Clone)]
pub struct MetricsFound {
    /// The best page, if there is one.
    pub page: Option<MetricsPage>,
    /// Whether the endpoint's credential was sent to it.
    pub sent_credential: bool,
    /// The other addresses, each with why it is not that.
    pub tried: Vec<(Url, String)>,
}

/// Looks for the page of the server at `base`, at most four GETs. The credential goes only to the base's own origin.
pub async fn find_metrics(
    transport: &Arc<Transport>,
    base: &Url,
    server: Option<&str>,
    model: Option<&str>,
    credential: Credential,
    tls: &Tls,
    identity: Option<ClientIdentity>,
) -> Result<MetricsFound, ServingError> {
    let own = MetricsClient::new(Arc::clone(transport), credential, tls, identity.clone())?;
    let other = MetricsClient::new(Arc::clone(transport), no_credential(), tls, identity)?;
    let mut found = MetricsFound { page: None, sent_credential: false, tried: Vec::new() };
    for url in candidates(base, server) {
        let same_origin = url.origin() == base.origin();
        match read_metrics_page(if same_origin { &own } else { &other }, &url, model).await {
            // What any process says of itself is taken only when nothing better is found.
            Ok(page) if page.server.is_some() => {
                found.page = Some(page);
                found.sent_credential = same_origin;
                return Ok(found);
            }
            Ok(page) if page.found.is_empty() => {
                found.tried.push((url, "its values are none that are known".to_owned()));
            }
            Ok(page) if found.page.is_none() => {
                found.page = Some(page);
                found.sent_credential = same_origin;
            }
            Ok(_) => {}
            Err(failure) => found.tried.push((url, failure.detail)),
        }
    }
    Ok(found)
}

/// Reads one page and tells what would be read from it. Without series of `model` those of all models are told.
pub async fn read_metrics_page(
    client: &MetricsClient,
    url: &Url,
    model: Option<&str>,
) -> Result<MetricsPage, MetricsFailure> {
    let page = client.page(url).await?;
    let mut snapshot = read_bytes(page.clone(), model.map(str::to_owned), None).await?;
    // A server that has not answered a request yet names no model.
    if model.is_some() && snapshot.server().is_none() {
        snapshot = read_bytes(page, None, None).await?;
    }
    Ok(told(url, &snapshot))
}

fn told(url: &Url, snapshot: &Snapshot) -> MetricsPage {
    MetricsPage {
        url: url.clone(),
        server: snapshot.server(),
        found: snapshot.found(),
        samples: snapshot.report.samples,
        skipped: snapshot.report.skipped,
        truncated: snapshot.report.truncated,
    }
}
