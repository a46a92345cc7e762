//! A rate over time, such as tokens per second: its median and its slow end as two lines on one axis that starts at 0.

use pilothouse_domain::TimestampMs;

use crate::axis::{self, Unit};
use crate::error::ChartError;
use crate::frame::{Frame, picture};
use crate::marks::{self, Mark};
use crate::{Format, Size, Theme, TimeAxis, ValueAxis};

/// What a rate chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct RateChart {
    /// The range.
    pub time: TimeAxis,
    /// Width of a bucket in milliseconds. A hole longer than one and a half of it is drawn as a gap.
    pub step_ms: i64,
    /// Buckets by rising time. Empty ones may be left out.
    pub buckets: Vec<RatePoint>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// One bucket, per second; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePoint {
    /// The bucket's time.
    pub at: TimestampMs,
    /// Median.
    pub median: Option<f64>,
    /// 5th percentile: more is better, so that this is the slow end.
    pub slow: Option<f64>,
}

/// Draws the chart: the median in `accent`, the slow end in `warn`.
pub fn render(data: &RateChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let frame = Frame::new(sheet, size, &data.time, &value_axis(data), Unit::Number)?;
        let palette = sheet.palette;
        marks::draw_lines(&frame, &data.marks)?;
        let line = |value: fn(&RatePoint) -> Option<f64>, colour, width| {
            let points = data.buckets.iter().map(|bucket| (bucket.at, value(bucket)));
            frame.runs(&frame.split(points, data.step_ms), colour, width)
        };
        line(|bucket| bucket.slow, palette.warn, 1.1)?;
        line(|bucket| bucket.median, palette.accent, 1.8)?;
        marks::draw_labels(&frame, &data.marks)
    })
}

/// The axis of values that [`render`] uses, per second.
pub fn value_axis(data: &RateChart) -> ValueAxis {
    let shown = data.buckets.iter().filter(|bucket| data.time.holds(bucket.at));
    let values = shown.flat_map(|bucket| [bucket.median, bucket.slow]).flatten();
    let greatest = values.filter_map(axis::drawable).fold(0.0, f64::max);
    // Without data the axis is that of a small model on one processor.
    ValueAxis::from_zero(if greatest > 0.0 { greatest } else { 100.0 }, 4.0)
}
