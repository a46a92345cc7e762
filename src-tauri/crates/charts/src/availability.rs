//! Availability over time: of the checks whose outcome is known, how many were answered rightly.
//!
//! What must stay true: checks of unknown outcome count neither for nor against the endpoint; one failure among thousands
//! is still seen.

use pilothouse_domain::TimestampMs;

use crate::axis::Unit;
use crate::error::ChartError;
use crate::frame::{Frame, picture};
use crate::marks::{self, Mark};
use crate::theme::with_alpha;
use crate::{Format, Size, Theme, TimeAxis, ValueAxis};

/// The top of the axis: above the columns there is room for the labels of marks.
const HEADROOM: f64 = 1.12;
/// The least height of a red part in pixels.
const LEAST_RED: f64 = 3.0;
/// Bars narrower than this touch each other.
const GAP_FROM_WIDTH: f64 = 4.0;

/// What an availability chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct AvailabilityChart {
    /// The range.
    pub time: TimeAxis,
    /// Width of a bucket in milliseconds.
    pub step_ms: i64,
    /// Buckets by rising time, each from `at` on. Empty ones may be left out.
    pub buckets: Vec<AvailabilityBucket>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// Outcomes in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvailabilityBucket {
    /// The bucket's beginning.
    pub at: TimestampMs,
    /// Checks that were answered rightly.
    pub ok: u64,
    /// Checks that the endpoint failed.
    pub failed: u64,
    /// Checks whose outcome is not known.
    pub unknown: u64,
}

impl AvailabilityBucket {
    /// The share of known outcomes that were good; `None` when none is known.
    pub fn share(&self) -> Option<f64> {
        let known = self.ok.saturating_add(self.failed);
        (known > 0).then(|| self.ok as f64 / known as f64)
    }
}

/// Draws the chart: a column per bucket, `ok` from below, failures in `bad` from above; where nothing is known a short dash
/// on the base line, and where nothing was checked nothing.
pub fn render(data: &AvailabilityChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let axis = ValueAxis { low: 0.0, high: HEADROOM, step: 0.5 };
        let frame = Frame::new(sheet, size, &data.time, &axis, Unit::Percent)?;
        let palette = sheet.palette;
        marks::draw_lines(&frame, &data.marks)?;
        let (good, top, bottom) = (with_alpha(palette.ok, 0.32), frame.y(1.0), frame.y(0.0));
        // Whole columns side by side are drawn as one, which keeps long ranges small.
        let mut whole: Option<(f64, f64)> = None;
        for bucket in data.buckets.iter().filter(|bucket| data.time.holds(bucket.at)) {
            let end = bucket.at.plus_ms(data.step_ms.max(1)).min(data.time.to);
            let (left, right) = (frame.x(bucket.at), frame.x(end));
            let right = if right - left >= GAP_FROM_WIDTH { right - 1.0 } else { right.max(left + 0.5) };
            let Some(share) = bucket.share() else {
                if bucket.unknown > 0 {
                    sheet.bar((left, bottom - 2.5), (right, bottom - 0.5), 0.0, palette.unknown)?;
                }
                continue;
            };
            if bucket.failed == 0 {
                whole = match whole {
                    Some((from, to)) if left - to < 0.15 => Some((from, right)),
                    open => {
                        if let Some((from, to)) = open {
                            sheet.bar((from, top), (to, bottom), 0.0, good)?;
                        }
                        Some((left, right))
                    }
                };
                continue;
            }
            let middle = (top + (1.0 - share) * (bottom - top)).max(top + LEAST_RED).min(bottom);
            sheet.bar((left, top), (right, middle), 0.0, palette.bad)?;
            if middle < bottom {
                sheet.bar((left, middle), (right, bottom), 0.0, good)?;
            }
        }
        if let Some((from, to)) = whole {
            sheet.bar((from, top), (to, bottom), 0.0, good)?;
        }
        marks::draw_labels(&frame, &data.marks)
    })
}
