//! Charts as pictures: latency, rate, availability, accuracy, any series, heartbeat, Shapley waterfall, as SVG and as PNG.
//!
//! What it is: pure functions from data, size and theme to bytes, drawn with plotters. What it hides: layout, ticks, and
//! the one place that writes markup (`canvas`). What must stay true: no I/O and no clock; the same input gives the same
//! bytes; text from endpoints is untrusted and never becomes an element or an attribute; a gap in the data is a gap in
//! the line, since nothing is known there.

pub mod accuracy;
pub mod availability;
pub mod heartbeat;
pub mod latency;
pub mod rate;
pub mod series;
pub mod waterfall;

mod axis;
mod canvas;
mod elements;
mod error;
mod frame;
mod marks;
mod raster;
mod text;
mod theme;
mod time_ticks;

#[cfg(test)]
mod tests;

pub use axis::ValueAxis;
pub use error::ChartError;
pub use frame::{PlotArea, plot_area};
pub use marks::{Mark, MarkKind};
pub use theme::Theme;
pub use time_ticks::TimeAxis;

/// The size of a picture.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
pub struct Size {
    /// Width in CSS pixels, 16 to 8192.
    pub width: u32,
    /// Height in CSS pixels, 8 to 8192.
    pub height: u32,
    /// Device pixels per CSS pixel, 0.5 to 4; only a PNG differs by it.
    pub scale: f32,
}

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// SVG 1.1, self-contained.
    Svg,
    /// PNG, the same drawing rasterised with an embedded font.
    Png,
}
