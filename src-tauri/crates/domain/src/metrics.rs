//! Where a server's own view of itself is read: its page of metrics, or a Prometheus that scrapes it already.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::endpoint::InvalidSetting;
use crate::{Auth, Quantity, Unit};

/// Panels of one endpoint at most: each is a query whenever the endpoint is looked at.
const PANELS_MAX: usize = 16;
/// Characters of a query at most.
const QUERY_MAX: usize = 4_096;

/// Where the server's own view of itself is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MetricsConfig {
    /// The server's page, in Prometheus text or `OpenMetrics`.
    Scrape {
        /// The page.
        url: Url,
        /// Milliseconds between two looks, 1,000 to 86,400,000. Never more often than the endpoint is probed.
        #[serde(default = "default_interval_ms")]
        interval_ms: u32,
        /// Whether the endpoint's own credential is sent along.
        #[serde(default)]
        send_credential: bool,
    },
    /// A Prometheus server. It keeps its history itself, and is asked when somebody looks.
    Prometheus {
        /// Its base URL.
        url: Url,
        /// Its credential.
        #[serde(default)]
        auth: Auth,
        /// What is asked.
        panels: Vec<Panel>,
    },
}

/// One query with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panel {
    /// A unique name of 1 to 60 characters.
    pub name: String,
    /// The `PromQL` query, sent as it is.
    pub query: String,
    /// What its values are measured in.
    pub unit: Unit,
    /// Which quantity of ours it is, where it is one: a panel of the latency is compared with the checks.
    #[serde(default)]
    pub quantity: Option<Quantity>,
}

/// Half a minute: two looks in each minute that is kept.
fn default_interval_ms() -> u32 {
    MetricsConfig::DEFAULT_INTERVAL_MS
}

impl MetricsConfig {
    /// Milliseconds between two looks, unless told otherwise.
    pub const DEFAULT_INTERVAL_MS: u32 = 30_000;

    /// The credential it refers to besides the endpoint's own.
    pub fn auth(&self) -> Option<&Auth> {
        match self {
            Self::Scrape { .. } => None,
            Self::Prometheus { auth, .. } => Some(auth),
        }
    }

    /// Where it is read.
    pub fn url(&self) -> &Url {
        match self {
            Self::Scrape { url, .. } | Self::Prometheus { url, .. } => url,
        }
    }

    /// Checks every setting's range. The first problem found is returned.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, problem: String| Err(InvalidSetting { field, problem });
        let url = self.url();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return invalid("metrics.url", "must begin with http:// or https:// and name a host".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return invalid(
                "metrics.url",
                "must not contain a user or password; store the secret in the keyring instead".into(),
            );
        }
        match self {
            Self::Scrape { interval_ms, .. } => {
                if !(1_000..=86_400_000).contains(interval_ms) {
                    return invalid(
                        "metrics.interval_ms",
                        format!("must lie between 1000 (1 s) and 86400000 (1 day); got {interval_ms}"),
                    );
                }
            }
            Self::Prometheus { panels, .. } => {
                if panels.is_empty() || panels.len() > PANELS_MAX {
                    return invalid(
                        "metrics.panels",
                        format!("must hold 1 to {PANELS_MAX} queries; got {}", panels.len()),
                    );
                }
                let mut names = BTreeSet::new();
                for Panel { name, query, .. } in panels {
                    let length = name.chars().count();
                    if name.trim() != name || !(1..=60).contains(&length) || name.chars().any(char::is_control) {
                        return invalid("metrics.panels.name", "must have 1 to 60 characters".into());
                    }
                    if !names.insert(name) {
                        return invalid("metrics.panels.name", format!("must be unique; `{name}` comes twice"));
                    }
                    if query.trim().is_empty() || query.len() > QUERY_MAX {
                        return invalid(
                            "metrics.panels.query",
                            format!("of `{name}` must hold a PromQL query of at most {QUERY_MAX} bytes"),
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let check = |json: serde_json::Value, field: Option<&str>| {
            let config: MetricsConfig = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(config.validate().err().map(|error| error.field), field, "{json}");
        };
        let scrape = |url: &str, interval_ms: u32| serde_json::json!({ "kind": "scrape", "url": url, "interval_ms": interval_ms });
        check(serde_json::json!({ "kind": "scrape", "url": "http://h:8002/metrics" }), None);
        check(scrape("http://h:8002/metrics", 999), Some("metrics.interval_ms"));
        check(scrape("ftp://h/metrics", 30_000), Some("metrics.url"));
        check(scrape("http://u:p@h/metrics", 30_000), Some("metrics.url"));
        let panel = |name: &str, query: &str| serde_json::json!({ "name": name, "query": query, "unit": "seconds" });
        let prometheus = |panels: Vec<serde_json::Value>| serde_json::json!({ "kind": "prometheus", "url": "http://p:9090", "panels": panels });
        check(prometheus(vec![panel("Latency", "up")]), None);
        check(prometheus(vec![]), Some("metrics.panels"));
        check(prometheus(vec![panel("a", "up"), panel("a", "up")]), Some("metrics.panels.name"));
        check(prometheus(vec![panel(" a", "up")]), Some("metrics.panels.name"));
        check(prometheus(vec![panel("a", " ")]), Some("metrics.panels.query"));
    }
}
