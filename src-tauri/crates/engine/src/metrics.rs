//! The server's own view of itself: scraped on a schedule of its own and kept, or asked of a Prometheus when somebody looks.
//!
//! A Prometheus is asked at the time of looking and not copied: it keeps its history itself, also of the time before the
//! endpoint was connected, and a second copy would only disagree with it.
//!
//! What must stay true: metrics that cannot be had say nothing about the model, and never change its health; a counter is
//! compared only with a look that the clocks agree about, so that a machine that slept does not turn hours into a peak.

mod find;
mod view;

use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::{Auth, Endpoint, MetricsConfig, TimestampMs};
use pilothouse_scrape::catalogue::Wanted;
use pilothouse_scrape::exposition::Limits;
use pilothouse_scrape::{Reading, Snapshot};
use pilothouse_serving::{Credential, MetricsClient, MetricsFailure};
use pilothouse_store::ServerLook;
use tokio::time::Instant;
use url::Url;

pub use find::{MetricsFound, MetricsPage, find_metrics, read_metrics_page};
pub use view::{ServerLine, ServerView};

use crate::scheduler::{next_turn, phase};
use crate::watch::Watched;
use crate::{Engine, EngineError, Topic};

/// The first look comes within this time, after the first probe.
const FIRST_LOOK_WITHIN: Duration = Duration::from_secs(4);
/// Clocks that differ by more than this between two looks disagree.
const CLOCKS_AGREE_WITHIN: Duration = Duration::from_secs(2);

/// A look that later ones are compared with.
struct Earlier {
    snapshot: Snapshot,
    at: TimestampMs,
    monotonic: Duration,
}

impl Engine {
    /// A client for an endpoint's metrics, with the credential that its settings name.
    pub(crate) async fn metrics_client(&self, endpoint: &Endpoint) -> Result<MetricsClient, EngineError> {
        let none = Auth::None;
        let auth = match &endpoint.metrics {
            Some(MetricsConfig::Scrape { send_credential: true, .. }) => &endpoint.target.auth,
            Some(MetricsConfig::Prometheus { auth, .. }) => auth,
            Some(MetricsConfig::Scrape { .. }) | None => &none,
        };
        let credential = self.credential(auth).await?;
        let identity = self.identity(&endpoint.target.tls).await?;
        let transport = self.transport(&endpoint.target.network).await?;
        Ok(MetricsClient::new(transport, credential, &endpoint.target.tls, identity)?)
    }

    /// The watched endpoint's client for metrics, kept until its settings or secrets change.
    pub(crate) async fn metrics_client_of(&self, watched: &Watched) -> Result<Arc<MetricsClient>, EngineError> {
        let mut client = watched.metrics_client.lock().await;
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(self.metrics_client(&watched.endpoint).await?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Looks at an endpoint's page of metrics again and again.
    pub(crate) async fn metrics_loop(&self, watched: &Watched) {
        let Some(MetricsConfig::Scrape { url, interval_ms, .. }) = &watched.endpoint.metrics else { return };
        let interval_ms = (*interval_ms).max(watched.endpoint.probe.interval_ms);
        let interval = Duration::from_millis(u64::from(interval_ms));
        let mut due = Instant::now() + FIRST_LOOK_WITHIN.min(interval).mul_f64(phase(watched.endpoint.id));
        let mut earlier = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = watched.cancel.cancelled() => return,
            }
            let Ok(_slot) = self.inner.metrics_slots.acquire().await else { return };
            let look = tokio::select! {
                look = self.look_at_metrics(watched, url, interval, &mut earlier) => look,
                () = watched.cancel.cancelled() => return,
            };
            if let Err(error) = look {
                tracing::error!(endpoint = %watched.endpoint.name, %error, "the server's metrics could not be recorded");
            }
            due = next_turn(due, interval, Instant::now());
        }
    }

    async fn look_at_metrics(
        &self,
        watched: &Watched,
        url: &Url,
        interval: Duration,
        earlier: &mut Option<Earlier>,
    ) -> Result<(), EngineError> {
        let endpoint = &watched.endpoint;
        let page = match self.metrics_client_of(watched).await {
            Ok(client) => read_page(&client, url, endpoint).await,
            // Our own keyring or settings: said in the place of the metrics, and tried again.
            Err(error) => Err(MetricsFailure { answered: false, detail: error.to_string() }),
        };
        let (at, monotonic) = (self.now(), self.inner.clock.monotonic());
        let (look, readings) = match page {
            Ok(snapshot) => {
                let before = earlier.take();
                let since = before
                    .as_ref()
                    .and_then(|before| Some((&before.snapshot, elapsed(before, at, monotonic, interval)?)));
                let readings = snapshot.since(since);
                let server = snapshot.server().map(str::to_owned);
                *earlier = Some(Earlier { snapshot, at, monotonic });
                (ServerLook { at, server, problem: None, last_good: None }, readings)
            }
            Err(failure) => {
                tracing::debug!(endpoint = %endpoint.name, %failure, "no metrics");
                (ServerLook { at, server: None, problem: Some(failure.detail), last_good: None }, Vec::new())
            }
        };
        self.record_look(endpoint, look, readings).await
    }

    async fn record_look(
        &self,
        endpoint: &Endpoint,
        look: ServerLook,
        readings: Vec<Reading>,
    ) -> Result<(), EngineError> {
        let id = endpoint.id;
        self.with_store(move |store| store.record_server_look(id, &look, readings)).await?;
        self.publish(Topic::Server(id));
        Ok(())
    }
}

/// The time between two looks; `None` when the clocks disagree (asleep, set) or when too much was missed between them.
fn elapsed(before: &Earlier, at: TimestampMs, monotonic: Duration, interval: Duration) -> Option<Duration> {
    let wall = Duration::from_millis(u64::try_from(at.since(before.at)).ok()?);
    let steady = monotonic.checked_sub(before.monotonic)?;
    let agree = wall.abs_diff(steady) <= CLOCKS_AGREE_WITHIN;
    (agree && steady > Duration::ZERO && steady <= interval * 4).then_some(steady)
}

/// Fetches and reads a page for an endpoint's model. A page of which nothing is understood is a failure that says so.
async fn read_page(client: &MetricsClient, url: &Url, endpoint: &Endpoint) -> Result<Snapshot, MetricsFailure> {
    let target = &endpoint.target;
    let page = client.page(url).await?;
    let (model, version) = (target.model.clone(), target.model_version.clone());
    let snapshot = read_bytes(page, model, version).await?;
    if snapshot.is_empty() {
        let of_model = target.model.as_deref().map(|model| format!(" for the model `{model}`")).unwrap_or_default();
        let detail = format!("the page holds {} values and none that is known{of_model}", snapshot.report.samples);
        return Err(MetricsFailure { answered: true, detail });
    }
    Ok(snapshot)
}

/// Reads a page on a blocking thread, since it may be megabytes long.
async fn read_bytes(
    page: impl AsRef<[u8]> + Send + 'static,
    model: Option<String>,
    version: Option<String>,
) -> Result<Snapshot, MetricsFailure> {
    let read = tokio::task::spawn_blocking(move || {
        let wanted = Wanted { model: model.as_deref(), version: version.as_deref() };
        Snapshot::read(page.as_ref(), &Limits::default(), wanted)
    });
    let snapshot = read.await.map_err(|error| MetricsFailure { answered: false, detail: error.to_string() })?;
    match snapshot.report.refusal() {
        Some(detail) => Err(MetricsFailure { answered: true, detail }),
        None => Ok(snapshot),
    }
}

/// No credential at all.
fn no_credential() -> Credential {
    Credential::None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_that_the_clocks_agree_about_are_compared() {
        let interval = Duration::from_secs(30);
        let before = Earlier {
            snapshot: Snapshot::default(),
            at: TimestampMs(1_000_000),
            monotonic: Duration::from_secs(1_000),
        };
        let check = |wall_ms: i64, steady_ms: u64, expect: Option<u64>| {
            let monotonic = Duration::from_millis(1_000_000 + steady_ms);
            let found = elapsed(&before, TimestampMs(1_000_000 + wall_ms), monotonic, interval);
            assert_eq!(found, expect.map(Duration::from_millis), "{wall_ms} {steady_ms}");
        };
        check(30_100, 30_000, Some(30_000));
        // Eight hours asleep: the steady clock stood still.
        check(8 * 3_600_000, 30_000, None);
        // The clock was set back.
        check(-5_000, 30_000, None);
        // Missed looks are bridged for a while.
        check(90_000, 90_000, Some(90_000));
        check(150_000, 150_000, None);
        check(0, 0, None);
    }
}
