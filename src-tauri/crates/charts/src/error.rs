//! What can go wrong when a chart is drawn. None of it depends on what an endpoint said.

/// A chart that cannot be drawn as asked.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// A theme colour is not `#rrggbb`.
    #[error("the theme colour `{name}` is not of the form #rrggbb; correct the theme")]
    Colour {
        /// The colour's name in the theme.
        name: &'static str,
    },
    /// The picture is too small or too large.
    #[error("a picture of {width}×{height} at scale {scale} cannot be drawn; use 16 to 8192 by 8 to 8192 at 0.5 to 4")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// Scale asked for.
        scale: f32,
    },
    /// The time axis ends before it begins.
    #[error("the time range is empty; choose an end after the beginning")]
    EmptyRange,
    /// plotters refused to draw.
    #[error("the chart could not be drawn: {0}")]
    Draw(String),
    /// The drawing could not be turned into a PNG.
    #[error("the chart could not be written as PNG ({0}); save it as SVG instead")]
    Png(String),
}
