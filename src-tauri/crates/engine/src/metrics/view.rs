//! What a server said of itself over a range, whichever way it was had.

use std::sync::Arc;

use pilothouse_domain::{Endpoint, MetricsConfig, Panel, Quantity, TimestampMs, Unit};
use pilothouse_scrape::Tally;
use pilothouse_serving::MetricsClient;
use pilothouse_serving::metrics::step_s;
use pilothouse_store::ServerLook;
use url::Url;

use crate::{Engine, EngineError};

/// What a server said of itself over a range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerView {
    /// How the last look went; `None` before the first one, and where a Prometheus is asked.
    pub look: Option<ServerLook>,
    /// Milliseconds per bucket.
    pub step_ms: i64,
    /// One per quantity (or panel) and part, in the order in which they are shown.
    pub lines: Vec<ServerLine>,
    /// Panels that could not be asked, each with why.
    pub problems: Vec<(String, String)>,
}

/// One line of one chart.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerLine {
    /// What names the chart it belongs to: a quantity's word, or `panel:NAME`.
    pub key: String,
    /// The chart's title.
    pub title: String,
    /// Which quantity of ours it is, where it is one.
    pub quantity: Option<Quantity>,
    /// What its values are measured in.
    pub unit: Unit,
    /// Which part of the quantity; empty: all of it.
    pub part: String,
    /// The server's own name for it, or the query.
    pub source: String,
    /// What a reader should know; empty: nothing.
    pub note: String,
    /// Buckets by rising time; those in which nothing was read are left out.
    pub points: Vec<(TimestampMs, Tally)>,
}

impl ServerLine {
    /// The whole range as one.
    pub fn whole(&self) -> Tally {
        let mut whole = Tally::default();
        for (_, tally) in &self.points {
            whole.merge(tally);
        }
        whole
    }
}

impl Engine {
    /// What an endpoint's server said of itself in `[from, to)`, in about `points` buckets. `only` names one chart by its
    /// key: of a Prometheus only that panel is asked then.
    pub async fn server_view(
        &self,
        endpoint: &Endpoint,
        (from, to): (TimestampMs, TimestampMs),
        points: u32,
        only: Option<&str>,
    ) -> Result<ServerView, EngineError> {
        match &endpoint.metrics {
            None => Ok(ServerView::default()),
            Some(MetricsConfig::Scrape { .. }) => {
                let id = endpoint.id;
                let (look, history) = self
                    .with_store(move |store| Ok((store.server_look(id)?, store.server_history(id, from, to, points)?)))
                    .await?;
                let lines = history.series.into_iter().map(|series| ServerLine {
                    key: series.quantity.as_str().to_owned(),
                    title: series.quantity.title().to_owned(),
                    quantity: Some(series.quantity),
                    unit: series.quantity.unit(),
                    part: series.part,
                    source: series.source,
                    note: series.note,
                    points: series.buckets,
                });
                let lines = lines.filter(|line| only.is_none_or(|only| line.key == only)).collect();
                Ok(ServerView { look, step_ms: history.step_ms, lines, problems: Vec::new() })
            }
            Some(MetricsConfig::Prometheus { url, panels, .. }) => {
                let wanted = panels.iter().filter(|panel| only.is_none_or(|only| panel_key(panel) == only));
                self.ask_prometheus(endpoint, url, wanted, (from, to), points).await
            }
        }
    }

    async fn ask_prometheus(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        panels: impl Iterator<Item = &Panel>,
        range: (TimestampMs, TimestampMs),
        points: u32,
    ) -> Result<ServerView, EngineError> {
        let client: Arc<MetricsClient> = match self.watched(endpoint.id) {
            Some(watched) => self.metrics_client_of(&watched).await?,
            None => Arc::new(self.metrics_client(endpoint).await?),
        };
        let step = step_s(range.0, range.1, points);
        let mut view =
            ServerView { step_ms: i64::try_from(step).unwrap_or(i64::MAX / 1_000) * 1_000, ..ServerView::default() };
        // One after the other over one connection: a Prometheus that is slow is not made slower.
        for panel in panels {
            match client.query_range(url, &panel.query, range, step).await {
                Ok(series) => view.lines.extend(series.into_iter().map(|series| ServerLine {
                    key: panel_key(panel),
                    title: panel.name.clone(),
                    quantity: panel.quantity,
                    unit: panel.unit,
                    part: series.labels,
                    source: panel.query.clone(),
                    note: String::new(),
                    points: series.points.into_iter().map(|(at, value)| (at, Tally::new(value, 1.0))).collect(),
                })),
                Err(failure) => {
                    let answered = failure.answered;
                    view.problems.push((panel.name.clone(), failure.detail));
                    if !answered {
                        // The others would wait for the same silence.
                        break;
                    }
                }
            }
        }
        Ok(view)
    }
}

/// What names a panel's chart.
fn panel_key(panel: &Panel) -> String {
    format!("panel:{}", panel.name)
}
