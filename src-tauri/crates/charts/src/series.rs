//! Any quantities over time: lines on one axis that starts at 0, some with the band in which the value surely lies.

use pilothouse_domain::TimestampMs;
use plotters::element::Polygon;

use crate::axis::{self, Unit};
use crate::error::ChartError;
use crate::frame::{Frame, picture};
use crate::marks::{self, Mark};
use crate::theme::{Palette, with_alpha};
use crate::{Format, Size, Theme, TimeAxis, ValueAxis};
use plotters::style::RGBAColor;

use crate::elements::fill;

/// What a chart of series shows.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesChart {
    /// The range.
    pub time: TimeAxis,
    /// Width of a bucket in milliseconds. A hole longer than one and a half of it is drawn as a gap.
    pub step_ms: i64,
    /// What the values are measured in.
    pub unit: SeriesUnit,
    /// The lines; the first one is drawn on top.
    pub lines: Vec<SeriesLine>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// What the values of a chart are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesUnit {
    /// Durations in microseconds.
    Microseconds,
    /// Shares of 1.
    Share,
    /// Bytes.
    Bytes,
    /// Events per second.
    PerSecond,
    /// Plain numbers.
    Number,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesLine {
    /// Its colour.
    pub tone: Tone,
    /// Whether it is a companion of another line of its colour: thinner and paler.
    pub quiet: bool,
    /// Points by rising time.
    pub points: Vec<SeriesPoint>,
}

/// Colours of lines, by their place in the theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The main colour.
    Accent,
    /// The colour of text.
    Ink,
    /// Bad.
    Bad,
    /// Warning.
    Warn,
    /// Good.
    Ok,
    /// Neither.
    Muted,
}

impl Tone {
    /// Colours for lines without a meaning of their own, in the order in which they are given out.
    pub const SEQUENCE: [Self; 6] = [Self::Accent, Self::Ok, Self::Warn, Self::Bad, Self::Ink, Self::Muted];

    fn colour(self, palette: &Palette) -> RGBAColor {
        match self {
            Self::Accent => palette.accent,
            Self::Ink => palette.ink,
            Self::Bad => palette.bad,
            Self::Warn => palette.warn,
            Self::Ok => palette.ok,
            Self::Muted => palette.muted,
        }
    }
}

/// One point; `None` where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesPoint {
    /// The bucket's time.
    pub at: TimestampMs,
    /// The value.
    pub value: Option<f64>,
    /// The bounds between which it surely lies, where they are known.
    pub bounds: Option<(f64, f64)>,
}

impl SeriesUnit {
    const fn axis(self) -> Unit {
        match self {
            Self::Microseconds => Unit::Microseconds,
            Self::Share => Unit::Percent,
            Self::Bytes => Unit::Bytes,
            Self::PerSecond => Unit::PerSecond,
            Self::Number => Unit::Number,
        }
    }

    /// The axis of a chart without data.
    const fn usual(self) -> f64 {
        match self {
            Self::Microseconds => 100_000.0,
            Self::Bytes => 1e9,
            Self::Share | Self::PerSecond | Self::Number => 1.0,
        }
    }
}

/// Draws the chart.
pub fn render(data: &SeriesChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let frame = Frame::new(sheet, size, &data.time, &value_axis(data, size), data.unit.axis())?;
        marks::draw_lines(&frame, &data.marks)?;
        for line in data.lines.iter().rev() {
            let colour = line.tone.colour(&sheet.palette);
            let bounds = |pick: fn((f64, f64)) -> f64| {
                frame.split(line.points.iter().map(|point| (point.at, point.bounds.map(pick))), data.step_ms)
            };
            for (lower, upper) in bounds(|(low, _)| low).into_iter().zip(bounds(|(_, high)| high)) {
                let outline: Vec<(f64, f64)> = upper.into_iter().chain(lower.into_iter().rev()).collect();
                frame.draw(&Polygon::new(outline, fill(with_alpha(colour, 0.10))))?;
            }
            let points = line.points.iter().map(|point| (point.at, point.value));
            let (alpha, width) = if line.quiet { (0.6, 1.1) } else { (1.0, 1.7) };
            frame.runs(&frame.split(points, data.step_ms), with_alpha(colour, alpha), width)?;
        }
        marks::draw_labels(&frame, &data.marks)
    })
}

/// The axis of values that [`render`] uses at this size.
pub fn value_axis(data: &SeriesChart, size: Size) -> ValueAxis {
    let shown = data.lines.iter().flat_map(|line| &line.points).filter(|point| data.time.holds(point.at));
    let greatest = shown.filter_map(|point| axis::drawable(point.value?)).fold(0.0, f64::max);
    let lines = if size.height < 150 { 2.0 } else { 4.0 };
    let mut axis = ValueAxis::from_zero(if greatest > 0.0 { greatest } else { data.unit.usual() }, lines);
    // A part of a whole has a top of its own, as soon as it is near.
    if data.unit == SeriesUnit::Share && greatest > 0.5 && greatest <= 1.0 {
        axis = ValueAxis { low: 0.0, high: 1.0, step: if lines > 2.0 { 0.25 } else { 0.5 } };
    }
    axis
}
