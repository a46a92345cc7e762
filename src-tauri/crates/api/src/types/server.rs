//! What an endpoint's server says of itself.

use super::{AuthDraft, border};

border! {
    /// What an endpoint's server says of itself over a range.
    pub struct ServerMetrics {
        /// `none`, `scrape` or `prometheus`.
        pub source: String,
        /// Where it is read.
        pub url: Option<String>,
        /// The server whose series were found.
        pub server: Option<String>,
        /// When it was looked at last.
        pub looked_ms: Option<i64>,
        /// When something was read last.
        pub good_ms: Option<i64>,
        /// Why the last look gave nothing; says nothing of the model.
        pub problem: Option<String>,
        /// Whether what is shown is older than three looks.
        pub stale: bool,
        /// The server's latency beside that of the checks.
        pub latency: Option<LatencyComparison>,
        /// What is known, in the order in which it is shown.
        pub quantities: Vec<ServerQuantity>,
        /// Panels that could not be asked.
        pub panel_problems: Vec<PanelProblem>,
        /// The engine's clock.
        pub now_ms: i64,
    }

    /// One chart's worth of a server's numbers.
    pub struct ServerQuantity {
        /// Names the chart: a quantity's word, or `panel:NAME`.
        pub key: String,
        /// Title.
        pub title: String,
        /// `us`, `per_second`, `ratio`, `bytes`, `cores` or `count`.
        pub unit: String,
        /// The server's own name for it, or the query.
        pub source: String,
        /// What a reader should know; empty: nothing.
        pub note: String,
        /// The latest value, over all parts.
        pub latest: Option<f64>,
        /// When the latest value was read.
        pub latest_ms: Option<i64>,
        /// The value of the whole range, over all parts.
        pub value: Option<f64>,
        /// Its parts, where it has any.
        pub parts: Vec<ServerPart>,
    }

    /// A part of a quantity: an error's reason, a line of a panel.
    pub struct ServerPart {
        /// Name.
        pub name: String,
        /// The value of the whole range.
        pub value: Option<f64>,
    }

    /// A panel that could not be asked.
    #[derive(Eq)]
    pub struct PanelProblem {
        /// The panel.
        pub panel: String,
        /// Why.
        pub problem: String,
    }

    /// Where the time of a request goes: in the server, or between here and it.
    pub struct LatencyComparison {
        /// Median of the checks in microseconds.
        pub client_us: f64,
        /// Checks behind it.
        pub checks: u32,
        /// What the server says, in microseconds.
        pub server_us: f64,
        /// The bounds between which it surely lies, where the server counts by size.
        pub server_low_us: Option<f64>,
        /// The upper bound; `null`: unknown.
        pub server_high_us: Option<f64>,
        /// `median` or `mean`.
        pub server_is: String,
        /// What lies between here and the server; `null` when the two cannot be compared.
        pub between_us: Option<f64>,
        /// `server`, `between`, `both` or `unclear`.
        pub verdict: LatencyVerdict,
        /// The verdict in one sentence.
        pub text: String,
    }

    /// Where most of the time goes.
    #[derive(Copy, Eq)]
    pub enum LatencyVerdict {
        /// In the server.
        Server,
        /// On the way.
        Between,
        /// In neither alone.
        Both,
        /// It cannot be told.
        Unclear,
    }

    /// Where metrics are read, as a person edits it.
    #[serde(tag = "kind")]
    #[derive(Eq)]
    #[expect(clippy::large_enum_variant, reason = "one per draft; a box would only complicate matching")]
    pub enum MetricsDraft {
        /// The server's page.
        Scrape {
            /// The page.
            url: String,
            /// Milliseconds between two looks; never more often than the endpoint is probed.
            interval_ms: u32,
            /// Whether the endpoint's credential is sent along.
            send_credential: bool,
        },
        /// A Prometheus server.
        Prometheus {
            /// Its base URL.
            url: String,
            /// Its credential.
            auth: AuthDraft,
            /// What is asked.
            panels: Vec<PanelDraft>,
        },
    }

    /// One query as a person edits it.
    #[derive(Eq)]
    pub struct PanelDraft {
        /// Unique name.
        pub name: String,
        /// The `PromQL` query.
        pub query: String,
        /// `seconds`, `per_second`, `share`, `bytes`, `cores` or `count`.
        pub unit: String,
        /// The quantity of ours that it is, such as `latency`; `null`: another one.
        pub quantity: Option<String>,
    }

    /// Looks for a server's page of metrics.
    pub struct MetricsFindRequest {
        /// The endpoint's base URL.
        pub url: String,
        /// What detection called the server.
        pub server: Option<String>,
        /// The model.
        pub model: Option<String>,
        /// The endpoint's credential.
        pub auth: AuthDraft,
        /// PEM file with further authorities.
        pub ca_file: Option<String>,
        /// PEM file with the client certificate chain.
        pub client_certificate_file: Option<String>,
        /// The keyring's name of the client certificate's private key.
        pub client_key_secret: Option<String>,
        /// The way to it.
        pub network: super::NetworkDraft,
    }

    /// What looking for a page came to.
    #[derive(Eq)]
    pub struct MetricsFindResult {
        /// The page; `null`: none was found.
        pub url: Option<String>,
        /// The server whose series it holds.
        pub server: Option<String>,
        /// Whether the credential was sent to it.
        pub send_credential: bool,
        /// Titles of what would be shown.
        pub quantities: Vec<String>,
        /// Addresses that are not it, each with why.
        pub tried: Vec<MetricsTried>,
    }

    /// An address that is no page of metrics.
    #[derive(Eq)]
    pub struct MetricsTried {
        /// The address.
        pub url: String,
        /// Why.
        pub why: String,
    }
}
