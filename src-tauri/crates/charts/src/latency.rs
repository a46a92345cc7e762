//! Latency over time: p50, p95 and p99 as three lines on one axis that starts at 0.

use pilothouse_domain::TimestampMs;

use crate::axis::{self, Unit};
use crate::error::ChartError;
use crate::frame::{Frame, picture};
use crate::marks::{self, Mark};
use crate::theme::with_alpha;
use crate::{Format, Size, Theme, TimeAxis, ValueAxis};

/// What a latency chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyChart {
    /// The range.
    pub time: TimeAxis,
    /// Width of a bucket in milliseconds. A hole longer than one and a half of it is drawn as a gap.
    pub step_ms: i64,
    /// Buckets by rising time. Empty ones may be left out.
    pub buckets: Vec<LatencyPoint>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// Quantiles of one bucket in microseconds; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyPoint {
    /// The bucket's time.
    pub at: TimestampMs,
    /// Median.
    pub p50_us: Option<f64>,
    /// 95th percentile.
    pub p95_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
}

/// Draws the chart: p50 in `muted`, p95 in `accent`, p99 in `warn`.
pub fn render(data: &LatencyChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let frame = Frame::new(sheet, size, &data.time, &value_axis(data), Unit::Microseconds)?;
        let palette = sheet.palette;
        marks::draw_lines(&frame, &data.marks)?;
        // Where points stand closer than pixels, thick lines would run into one blot.
        let shown = data.buckets.iter().filter(|bucket| data.time.holds(bucket.at)).count() as f64;
        let crowded = (2.0 * shown / (frame.area.right - frame.area.left) - 1.0).clamp(0.0, 1.0);
        let line = |value: fn(&LatencyPoint) -> Option<f64>, colour, width| {
            let points = data.buckets.iter().map(|bucket| (bucket.at, value(bucket)));
            frame.runs(&frame.split(points, data.step_ms), colour, width)
        };
        line(|bucket| bucket.p99_us, with_alpha(palette.warn, 0.75), 1.1 - 0.3 * crowded)?;
        line(|bucket| bucket.p50_us, palette.muted, 1.2 - 0.3 * crowded)?;
        line(|bucket| bucket.p95_us, palette.accent, 1.8 - 0.7 * crowded)?;
        marks::draw_labels(&frame, &data.marks)
    })
}

/// The axis of values that [`render`] uses, in microseconds.
pub fn value_axis(data: &LatencyChart) -> ValueAxis {
    let shown = data.buckets.iter().filter(|bucket| data.time.holds(bucket.at));
    let values = shown.flat_map(|bucket| [bucket.p50_us, bucket.p95_us, bucket.p99_us]).flatten();
    let greatest = values.filter_map(axis::drawable).fold(0.0, f64::max);
    // Without data the axis is that of a usual endpoint, so that the first check does not move everything.
    ValueAxis::from_zero(if greatest > 0.0 { greatest } else { 100_000.0 }, 4.0)
}
