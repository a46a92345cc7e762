//! Accuracy over time: one point per evaluation with its interval, one line per stretch of one version.
//!
//! What must stay true: a line never joins two versions, since nothing was measured between them, and never bridges a time
//! in which nobody evaluated.

use pilothouse_domain::TimestampMs;
use plotters::element::Polygon;
use plotters_backend::text_anchor::HPos;

use crate::axis::{self, Unit};
use crate::elements::{Label, fill};
use crate::error::ChartError;
use crate::frame::{Frame, SMALL, picture, point};
use crate::marks::{self, Mark};
use crate::theme::with_alpha;
use crate::{Format, Size, Theme, TimeAxis, ValueAxis, text};

/// Up to this many evaluations, each has its dot.
const MOST_DOTS: usize = 60;
/// The widest version label in pixels.
const MAX_LABEL: f64 = 90.0;

/// What an accuracy chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct AccuracyChart {
    /// The range.
    pub time: TimeAxis,
    /// The usual distance of evaluations in milliseconds. A hole longer than one and a half of it is drawn as a gap.
    pub step_ms: i64,
    /// Evaluations by rising time.
    pub points: Vec<AccuracyPoint>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// The main metric of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct AccuracyPoint {
    /// When it was made.
    pub at: TimestampMs,
    /// The value; `None` when undefined.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// The version that answered, if known. Untrusted.
    pub version: Option<String>,
}

/// Draws the chart: the last version in `accent`, earlier ones in `muted`, each stretch with its version's name below.
pub fn render(data: &AccuracyChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let frame = Frame::new(sheet, size, &data.time, &value_axis(data), Unit::Number)?;
        let palette = sheet.palette;
        marks::draw_lines(&frame, &data.marks)?;
        let last_version = data.points.last().map(|point| &point.version);
        let mut label_end = f64::NEG_INFINITY;
        for stretch in data.points.chunk_by(|a, b| a.version == b.version) {
            let current = last_version == Some(&stretch[0].version);
            let colour = if current { palette.accent } else { palette.muted };
            let of = |value: fn(&AccuracyPoint) -> Option<f64>| {
                let points = stretch.iter().map(|point| (point.at, point.value.and(value(point))));
                frame.split(points, data.step_ms)
            };
            for (low, high) in of(low).iter().zip(&of(high)) {
                draw_band(&frame, low, high, if current { palette.band } else { with_alpha(palette.muted, 0.12) })?;
            }
            let runs = of(|point| point.value);
            frame.runs(&runs, colour, 1.6)?;
            if data.points.len() <= MOST_DOTS {
                for &at in runs.iter().flatten() {
                    frame.dot(at, 1.9, colour)?;
                }
            }
            if let Some(version) = &stretch[0].version {
                let name = text::fit(version, SMALL, MAX_LABEL);
                label_end = draw_version(&frame, &name, &of(low), label_end, colour)?;
            }
        }
        marks::draw_labels(&frame, &data.marks)
    })
}

/// The axis of values that [`render`] uses.
pub fn value_axis(data: &AccuracyChart) -> ValueAxis {
    let shown = data.points.iter().filter(|point| data.time.holds(point.at));
    let values = shown.flat_map(|point| [point.value, point.low, point.high]).flatten().filter_map(axis::drawable);
    let (least, greatest) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), v| (least.min(v), greatest.max(v)));
    // Shares and R² do not exceed 1; R² has no lower limit.
    let limits = (if least >= 0.0 { 0.0 } else { f64::MIN }, if greatest <= 1.0 { 1.0 } else { f64::MAX });
    ValueAxis::around(least, greatest, limits, 4.0)
}

/// The interval's lower end, or the value where there is no interval.
fn low(point: &AccuracyPoint) -> Option<f64> {
    point.low.and_then(axis::drawable).or(point.value)
}

/// The interval's upper end, or the value where there is no interval.
fn high(point: &AccuracyPoint) -> Option<f64> {
    point.high.and_then(axis::drawable).or(point.value)
}

fn draw_band(
    frame: &Frame<'_, '_>,
    low: &[(f64, f64)],
    high: &[(f64, f64)],
    colour: plotters::style::RGBAColor,
) -> Result<(), ChartError> {
    if let ([low], [high]) = (low, high) {
        // One evaluation alone: its interval as an upright bar.
        let x = frame.x(frame.time.from.plus_ms(low.0 as i64));
        return frame.sheet.bar((x - 3.0, frame.y(high.1)), (x + 3.0, frame.y(low.1)), 1.0, colour);
    }
    let outline: Vec<(f64, f64)> = low.iter().chain(high.iter().rev()).copied().collect();
    frame.draw(&Polygon::new(outline, fill(colour)))
}

/// Writes the version's name below the start of its stretch, if the last name leaves room; returns where names end.
fn draw_version(
    frame: &Frame<'_, '_>,
    name: &str,
    low: &[Vec<(f64, f64)>],
    taken_to: f64,
    colour: plotters::style::RGBAColor,
) -> Result<f64, ChartError> {
    let Some(start) = low.first().and_then(|run| run.first()) else { return Ok(taken_to) };
    let width = text::width(name, SMALL);
    let x = frame.x(frame.time.from.plus_ms(start.0 as i64)).max(frame.area.left + 2.0) + 3.0;
    let lowest = low.iter().flatten().filter(|at| at.0 <= start.0 + width).fold(start.1, |least, at| least.min(at.1));
    let y = (frame.y(lowest) + 14.0).min(frame.area.bottom - 4.0);
    if name.is_empty() || x < taken_to + 6.0 || x + width > frame.area.right {
        return Ok(taken_to);
    }
    let halo = frame.sheet.palette.background;
    frame.sheet.draw(&Label { at: [point((x, y))], text: name, size: SMALL, anchor: HPos::Left, colour, halo })?;
    Ok(x + width)
}
