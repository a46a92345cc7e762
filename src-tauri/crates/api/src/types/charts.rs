//! Charts: an image, and the very points it was drawn from.

use super::border;

border! {
    /// Asks for one chart.
    pub struct ChartRequest {
        /// Endpoint.
        pub id: i64,
        /// Which chart.
        pub kind: ChartKind,
        /// For `server`: which quantity or panel, by its key.
        pub quantity: Option<String>,
        /// Start of the range.
        pub from_ms: i64,
        /// End of the range.
        pub to_ms: i64,
        /// Width in CSS pixels.
        pub width: u32,
        /// Height in CSS pixels.
        pub height: u32,
        /// Device pixels per CSS pixel (PNG only).
        pub scale: f32,
        /// Colours.
        pub theme: ChartTheme,
        /// `svg` or `png`.
        pub format: ImageFormat,
        /// IANA name of the user's time zone, such as `Europe/Zurich`.
        pub time_zone: String,
    }

    /// Which chart.
    #[derive(Copy, Eq)]
    pub enum ChartKind {
        /// p50, p95, p99 over time.
        Latency,
        /// Share of known probes that were in order.
        Availability,
        /// Main metric of each evaluation, per version.
        Quality,
        /// Generated text: p50, p95, p99 of the time to the first token.
        FirstToken,
        /// Generated text: p50, p95, p99 of the gap between tokens.
        InterToken,
        /// Generated text: median and slow end of the tokens per second.
        TokensPerSecond,
        /// Latency of the checks and of the server, on one axis of time.
        ServerLatency,
        /// One quantity or panel of the server.
        Server,
    }

    /// Image format.
    #[derive(Copy, Eq)]
    pub enum ImageFormat {
        /// Scalable Vector Graphics.
        Svg,
        /// Portable Network Graphics.
        Png,
    }

    /// Colours as `#rrggbb`.
    #[derive(Eq)]
    pub struct ChartTheme {
        /// Main text.
        pub ink: String,
        /// Labels.
        pub muted: String,
        /// Grid lines.
        pub grid: String,
        /// The main line.
        pub accent: String,
        /// Good.
        pub ok: String,
        /// Warning, and p99.
        pub warn: String,
        /// Bad.
        pub bad: String,
        /// Unknown, and p50.
        pub unknown: String,
        /// Interval bands.
        pub band: String,
        /// Background of exported pictures; `null`: transparent.
        pub background: Option<String>,
    }

    /// One chart.
    pub struct Chart {
        /// SVG text, or base64 of the PNG.
        pub image: String,
        /// `image/svg+xml` or `image/png`.
        pub media_type: String,
        /// Where the data lie within the image, in CSS pixels: maps a pointer to a time.
        pub plot: PlotArea,
        /// Names and units of the values of each point.
        pub series: Vec<ChartSeries>,
        /// The points drawn, in order of time.
        pub points: Vec<ChartPoint>,
        /// Marks drawn.
        pub marks: Vec<ChartMark>,
        /// Milliseconds per bucket; 0 where points are single observations.
        pub step_ms: i64,
    }

    /// Plot area in CSS pixels.
    pub struct PlotArea {
        /// Left edge.
        pub left: f64,
        /// Top edge.
        pub top: f64,
        /// Right edge.
        pub right: f64,
        /// Bottom edge.
        pub bottom: f64,
    }

    /// One line of a chart.
    pub struct ChartSeries {
        /// Name.
        pub name: String,
        /// Unit: `us`, `ratio`, `per_second`, `bytes`, `cores`, `count` or empty.
        pub unit: String,
    }

    /// One point in time.
    pub struct ChartPoint {
        /// When (start of the bucket).
        pub at_ms: i64,
        /// One value per series; `null` where there is none.
        pub values: Vec<Option<f64>>,
        /// Observations behind it.
        pub n: u32,
        /// What else belongs to it (version, method).
        pub note: Option<String>,
    }

    /// One vertical mark.
    pub struct ChartMark {
        /// When.
        pub at_ms: i64,
        /// Short label.
        pub label: String,
        /// `version`, `rollback`, `incident` or `info`.
        pub kind: String,
    }
}
