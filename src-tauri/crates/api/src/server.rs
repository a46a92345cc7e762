//! What an endpoint's server says of itself: the numbers beside its charts, and the verdict where time goes.

use pilothouse_domain::endpoint::plain_url;
use pilothouse_domain::{Endpoint, EndpointId, MetricsConfig, Panel, Quantity, Unit};
use pilothouse_engine::{EngineError, ServerLine, find_metrics};
use pilothouse_scrape::Tally;
use pilothouse_store::Summary;

use crate::auth::{auth, auth_draft};
use crate::connect::{parse_server_url, parse_url, tls};
use crate::network::network;
use crate::types::{
    LatencyComparison, LatencyVerdict, MetricsDraft, MetricsFindRequest, MetricsFindResult, MetricsTried, PanelDraft,
    PanelProblem, RangeRequest, ServerMetrics, ServerPart, ServerQuantity,
};
use crate::{Api, ApiError, Code, convert};

/// Buckets that the numbers beside the charts are made of.
const POINTS: u32 = 240;
/// Above this part of the whole, the server is where the time goes; below the rest of it, the way is.
const MOST: f64 = 0.6;

impl Api {
    /// What an endpoint's server says of itself over a range.
    pub async fn server_metrics(&self, request: RangeRequest) -> Result<ServerMetrics, ApiError> {
        let id = EndpointId(request.id);
        let endpoint = self.engine.endpoint(id).await?;
        let (from, to) = convert::range(request.from_ms, request.to_ms)?;
        let view = self.engine.server_view(&endpoint, (from, to), POINTS, None).await?;
        let summary = self.engine.with_store(move |store| store.summary(id, from, to)).await?;
        let now = self.engine.now();
        let look = view.look.unwrap_or_default();
        let interval_ms = match &endpoint.metrics {
            Some(MetricsConfig::Scrape { interval_ms, .. }) => {
                i64::from((*interval_ms).max(endpoint.probe.interval_ms))
            }
            _ => i64::MAX / 4,
        };
        let looked = (look.at.0 > 0).then_some(look.at);
        Ok(ServerMetrics {
            source: match &endpoint.metrics {
                None => "none",
                Some(MetricsConfig::Scrape { .. }) => "scrape",
                Some(MetricsConfig::Prometheus { .. }) => "prometheus",
            }
            .to_owned(),
            url: endpoint.metrics.as_ref().map(|metrics| metrics.url().to_string()),
            server: look.server,
            looked_ms: looked.map(|at| at.0),
            good_ms: look.last_good.map(|at| at.0),
            problem: look.problem,
            stale: look.last_good.is_some_and(|good| now.since(good) > interval_ms.saturating_mul(3)),
            latency: comparison(&endpoint, &summary, &view.lines),
            quantities: quantities(&view.lines),
            panel_problems: view.problems.into_iter().map(|(panel, problem)| PanelProblem { panel, problem }).collect(),
            now_ms: now.0,
        })
    }

    /// Looks for a server's page of metrics: a few GETs, nothing else.
    pub async fn metrics_find(&self, request: MetricsFindRequest) -> Result<MetricsFindResult, ApiError> {
        let url = parse_server_url("url", &request.url)?;
        let url = plain_url(&url).unwrap_or(url);
        let credential = self.engine.credential(&auth(request.auth)?).await?;
        let tls = tls(request.ca_file, request.client_certificate_file, request.client_key_secret)?;
        let identity = self.engine.identity(&tls).await?;
        let transport = self.engine.transport(&network(request.network)?).await?;
        let (server, model) = (request.server.as_deref(), request.model.as_deref());
        let found = find_metrics(&transport, &url, server, model, credential, &tls, identity).await;
        let found = found.map_err(EngineError::from)?;
        let mut quantities: Vec<String> =
            found.page.iter().flat_map(|page| &page.found).map(|found| found.quantity.title().to_owned()).collect();
        quantities.dedup();
        Ok(MetricsFindResult {
            url: found.page.as_ref().map(|page| page.url.to_string()),
            server: found.page.as_ref().and_then(|page| page.server).map(str::to_owned),
            send_credential: found.sent_credential,
            quantities,
            tried: found.tried.into_iter().map(|(url, why)| MetricsTried { url: url.to_string(), why }).collect(),
        })
    }
}

/// A unit's word at the border, where durations are microseconds, and what one of ours is in it.
pub(crate) fn border_unit(unit: Unit) -> (&'static str, f64) {
    match unit {
        Unit::Seconds => ("us", 1e6),
        Unit::Share => ("ratio", 1.0),
        Unit::PerSecond | Unit::Count | Unit::Bytes | Unit::Cores => (unit.as_str(), 1.0),
    }
}

/// Lines by the chart they belong to, each with the numbers beside it.
fn quantities(lines: &[ServerLine]) -> Vec<ServerQuantity> {
    let mut quantities: Vec<ServerQuantity> = Vec::new();
    let mut keys: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
    keys.dedup();
    for key in keys {
        let parts: Vec<&ServerLine> = lines.iter().filter(|line| line.key == key).collect();
        let Some(first) = parts.first() else { continue };
        if quantities.iter().any(|known| known.key == key) {
            continue;
        }
        let (unit, scale) = border_unit(first.unit);
        let scaled = |value: Option<f64>| value.map(|value| value * scale);
        // Rates of several reasons add up; of the others the first stands for all, being the whole where there is one.
        let adds_up = first.unit == Unit::PerSecond;
        let of_all = |value: &dyn Fn(&ServerLine) -> Option<f64>| {
            if adds_up { parts.iter().filter_map(|line| value(line)).reduce(|a, b| a + b) } else { value(first) }
        };
        let newest = parts.iter().filter_map(|line| line.points.last()).map(|(at, _)| *at).max();
        let latest = |line: &ServerLine| {
            line.points.last().filter(|(at, _)| Some(*at) == newest).and_then(|(_, tally)| shown(line, tally))
        };
        let mut sources: Vec<&str> = parts.iter().map(|line| line.source.as_str()).collect();
        sources.dedup();
        quantities.push(ServerQuantity {
            key: key.to_owned(),
            title: first.title.clone(),
            unit: unit.to_owned(),
            source: sources.join(", "),
            note: first.note.clone(),
            latest: scaled(of_all(&latest)),
            latest_ms: newest.map(|at| at.0),
            value: scaled(of_all(&|line| shown(line, &line.whole()))),
            parts: parts
                .iter()
                .filter(|line| !line.part.is_empty())
                .map(|line| ServerPart { name: line.part.clone(), value: scaled(shown(line, &line.whole())) })
                .collect(),
        });
    }
    quantities
}

/// The number that stands for a tally: the median where the server counts by size, else the mean.
fn shown(line: &ServerLine, tally: &Tally) -> Option<f64> {
    let median = tally.quantile(0.5).map(|estimate| estimate.value);
    if line.unit == Unit::Seconds { median.or(tally.value()) } else { tally.value() }
}

/// Whether the checks of an endpoint are predictions, as what servers time.
fn checks_predict(endpoint: &Endpoint) -> bool {
    let target = &endpoint.target;
    let can_predict = target.protocol.predicts_rows() && (!target.protocol.names_models() || target.model.is_some());
    target.probe_input.is_some() || target.prompts.is_some() || (endpoint.evaluation.is_some() && can_predict)
}

/// The server's latency beside that of the checks, where both are known.
fn comparison(endpoint: &Endpoint, checks: &Summary, lines: &[ServerLine]) -> Option<LatencyComparison> {
    let client_us = checks.p50_us?;
    let latency = |part: &str| {
        lines
            .iter()
            .find(|line| line.quantity == Some(Quantity::Latency) && line.part == part && !line.points.is_empty())
    };
    let (whole, is_median) = match (latency(""), latency("p50")) {
        (_, Some(median)) => (median.whole(), true),
        (Some(line), None) => (line.whole(), false),
        (None, None) => (lines.iter().find(|line| line.quantity == Some(Quantity::Latency))?.whole(), false),
    };
    let estimate = whole.quantile(0.5);
    let server_us = estimate.map(|estimate| estimate.value).or(whole.value())? * 1e6;
    let (low_us, high_us) = (estimate.map(|e| e.low * 1e6), estimate.and_then(|e| e.high).map(|high| high * 1e6));
    let statistic = if estimate.is_some() || is_median { "median" } else { "mean" };
    let (says, of, rest) = (milliseconds(server_us), milliseconds(client_us), client_us - server_us);
    let (verdict, text) = if !checks_predict(endpoint) {
        (
            LatencyVerdict::Unclear,
            format!(
                "The server says {says}; the checks ask for its health only, so their {of} are not those of a prediction."
            ),
        )
    } else if rest < 0.0 {
        (
            LatencyVerdict::Unclear,
            format!(
                "The server says {says} over all its requests, more than the {of} of the checks: its usual requests are heavier."
            ),
        )
    } else {
        let lie = format!("The server says {says} of {of}; {} lie between here and it.", milliseconds(rest));
        match server_us / client_us {
            share if share >= MOST => (LatencyVerdict::Server, lie),
            share if share <= 1.0 - MOST => (LatencyVerdict::Between, lie),
            _ => (LatencyVerdict::Both, lie),
        }
    };
    Some(LatencyComparison {
        client_us,
        checks: checks.n_ok,
        server_us,
        server_low_us: low_us,
        server_high_us: high_us,
        server_is: statistic.to_owned(),
        between_us: (verdict != LatencyVerdict::Unclear).then_some(rest),
        verdict,
        text,
    })
}

/// A duration for a sentence.
fn milliseconds(us: f64) -> String {
    let ms = us / 1_000.0;
    match ms {
        ms if ms >= 10_000.0 => format!("{:.0} s", ms / 1_000.0),
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Where metrics are read, from what a person wrote.
pub(crate) fn metrics(draft: MetricsDraft) -> Result<MetricsConfig, ApiError> {
    Ok(match draft {
        MetricsDraft::Scrape { url, interval_ms, send_credential } => {
            MetricsConfig::Scrape { url: parse_url("metrics.url", &url)?, interval_ms, send_credential }
        }
        MetricsDraft::Prometheus { url, auth: auth_, panels } => MetricsConfig::Prometheus {
            url: parse_url("metrics.url", &url)?,
            auth: auth(auth_)?,
            panels: panels.into_iter().map(panel).collect::<Result<_, _>>()?,
        },
    })
}

fn panel(draft: PanelDraft) -> Result<Panel, ApiError> {
    let unknown = |field: &str, word: &str, known: Vec<&str>| {
        ApiError::new(Code::InvalidInput, format!("metrics.panels.{field} `{word}` of `{}` is not known", draft.name))
            .hint(format!("use one of {}", known.join(", ")))
    };
    let units = [Unit::Seconds, Unit::PerSecond, Unit::Share, Unit::Bytes, Unit::Cores, Unit::Count];
    let unit = Unit::parse(&draft.unit)
        .ok_or_else(|| unknown("unit", &draft.unit, units.iter().map(|unit| unit.as_str()).collect()))?;
    let quantity = match draft.quantity.as_deref().filter(|word| !word.is_empty()) {
        None => None,
        Some(word) => Some(Quantity::parse(word).ok_or_else(|| {
            unknown("quantity", word, Quantity::ALL.iter().map(|quantity| quantity.as_str()).collect())
        })?),
    };
    Ok(Panel { name: draft.name.trim().to_owned(), query: draft.query, unit, quantity })
}

/// Where metrics are read, for a person to edit.
pub(crate) fn metrics_draft(config: &MetricsConfig) -> MetricsDraft {
    match config {
        MetricsConfig::Scrape { url, interval_ms, send_credential } => {
            MetricsDraft::Scrape { url: url.to_string(), interval_ms: *interval_ms, send_credential: *send_credential }
        }
        MetricsConfig::Prometheus { url, auth, panels } => MetricsDraft::Prometheus {
            url: url.to_string(),
            auth: auth_draft(auth),
            panels: panels
                .iter()
                .map(|panel| PanelDraft {
                    name: panel.name.clone(),
                    query: panel.query.clone(),
                    unit: panel.unit.as_str().to_owned(),
                    quantity: panel.quantity.map(|quantity| quantity.as_str().to_owned()),
                })
                .collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::TimestampMs;
    use pilothouse_scrape::Histogram;
    use pilothouse_testkit::{endpoint, number_table};

    use super::*;

    fn line(quantity: Quantity, part: &str, tally: Tally) -> ServerLine {
        ServerLine {
            key: quantity.as_str().to_owned(),
            title: quantity.title().to_owned(),
            quantity: Some(quantity),
            unit: quantity.unit(),
            part: part.to_owned(),
            source: "request_seconds".to_owned(),
            note: String::new(),
            points: vec![(TimestampMs(60_000), tally)],
        }
    }

    fn predicting() -> Endpoint {
        let mut endpoint = endpoint("wine", &"http://127.0.0.1:1/".parse().unwrap());
        endpoint.target.probe_input = Some(number_table(&["x"], &[&[1.0]]));
        endpoint
    }

    #[test]
    fn the_verdict_says_where_the_time_goes() {
        let check = |server_s: f64, client_us: f64, verdict, text: &str| {
            let checks = Summary { p50_us: Some(client_us), n_ok: 20, ..Summary::default() };
            let lines = [line(Quantity::Latency, "", Tally::new(server_s * 10.0, 10.0))];
            let found = comparison(&predicting(), &checks, &lines).unwrap();
            assert_eq!((found.verdict, found.text.as_str()), (verdict, text));
            assert_eq!(found.server_is, "mean");
        };
        check(
            0.012,
            48_000.0,
            LatencyVerdict::Between,
            "The server says 12 ms of 48 ms; 36 ms lie between here and it.",
        );
        check(
            0.040,
            48_000.0,
            LatencyVerdict::Server,
            "The server says 40 ms of 48 ms; 8.0 ms lie between here and it.",
        );
        check(0.024, 48_000.0, LatencyVerdict::Both, "The server says 24 ms of 48 ms; 24 ms lie between here and it.");
        check(
            2.5,
            48_000.0,
            LatencyVerdict::Unclear,
            "The server says 2.5 s over all its requests, more than the 48 ms of the checks: its usual requests are heavier.",
        );
        let mut health_only = predicting();
        health_only.target.probe_input = None;
        let checks = Summary { p50_us: Some(5_000.0), ..Summary::default() };
        let lines = [line(Quantity::Latency, "", Tally::new(1.0, 100.0))];
        let found = comparison(&health_only, &checks, &lines).unwrap();
        assert_eq!((found.verdict, found.between_us), (LatencyVerdict::Unclear, None));
        assert_eq!(
            comparison(&predicting(), &Summary::default(), &lines),
            None,
            "without checks there is no comparison"
        );
        assert_eq!(comparison(&predicting(), &checks, &[]), None);
    }

    #[test]
    fn a_histogram_is_compared_by_its_median_with_its_bounds() {
        let mut tally = Tally::new(1.0, 100.0);
        tally.histogram = Some(Histogram::new([(0.005, 0.0), (0.01, 100.0), (f64::INFINITY, 100.0)]));
        let checks = Summary { p50_us: Some(30_000.0), ..Summary::default() };
        let found = comparison(&predicting(), &checks, &[line(Quantity::Latency, "", tally)]).unwrap();
        assert_eq!(found.server_is, "median");
        assert_eq!((found.server_low_us, found.server_high_us), (Some(5_000.0), Some(10_000.0)));
        assert!((found.server_us - 7_500.0).abs() < 1.0);
    }

    #[test]
    fn errors_of_all_reasons_add_up() {
        let lines = [
            line(Quantity::Errors, "4xx", Tally::new(6.0, 60.0)),
            line(Quantity::Errors, "5xx", Tally::new(3.0, 60.0)),
            line(Quantity::Memory, "", Tally::new(2e9, 2.0)),
        ];
        let found = quantities(&lines);
        assert_eq!(
            found.iter().map(|q| (q.key.as_str(), q.unit.as_str())).collect::<Vec<_>>(),
            [("errors", "per_second"), ("memory", "bytes")]
        );
        assert!((found[0].value.unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(found[0].parts.len(), 2);
        assert_eq!(found[1].latest, Some(1e9));
    }

    #[test]
    fn panels_name_known_units_and_quantities() {
        let draft = |unit: &str, quantity: Option<&str>| PanelDraft {
            name: "p".into(),
            query: "up".into(),
            unit: unit.into(),
            quantity: quantity.map(str::to_owned),
        };
        assert!(panel(draft("seconds", Some("latency"))).is_ok());
        assert!(panel(draft("share", Some(""))).is_ok_and(|panel| panel.quantity.is_none()));
        assert!(panel(draft("minutes", None)).is_err_and(|error| error.message.contains("minutes")));
        assert!(panel(draft("count", Some("speed"))).is_err_and(|error| error.message.contains("speed")));
    }
}
