//! What all charts over time share: the plot's place, grid, labels of both axes, and lines that stop at gaps.

use pilothouse_domain::TimestampMs;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Drawable, PathElement, PointCollection};
use plotters::style::RGBAColor;
use plotters_backend::text_anchor::HPos;

use crate::axis::{self, Unit};
use crate::canvas::{Canvas, UNITS, units};
use crate::elements::{Bar, Label, fill, stroke};
use crate::error::ChartError;
use crate::theme::Palette;
use crate::{Format, Size, Theme, TimeAxis, ValueAxis, raster, text};

/// Font size of axis labels, in pixels.
pub(crate) const SMALL: f64 = 10.5;
/// Room that one time label takes, in pixels.
const TIME_LABEL_ROOM: f64 = 96.0;
/// A hole longer than this many steps is a gap; less is jitter.
const GAP_STEPS: f64 = 1.5;

/// Where the plot of a chart over time lies, in pixels. With the axes this tells where each value is drawn, so that a
/// crosshair can be laid over the picture: `x = left + (at − from) / (to − from) · (right − left)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlotArea {
    /// The left edge.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// The right edge.
    pub right: f64,
    /// The lower edge.
    pub bottom: f64,
}

/// Where the plot of a chart over time of this size lies.
pub fn plot_area(size: Size) -> PlotArea {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    // Tiny pictures keep at least half of their width and height for the plot.
    PlotArea {
        left: 56f64.min(width * 0.3),
        top: 10f64.min(height * 0.1),
        right: width - 14f64.min(width * 0.05),
        bottom: height - 26f64.min(height * 0.3),
    }
}

type Pixels<'a> = DrawingArea<Canvas<'a>, Shift>;
type Plot<'a> = DrawingArea<Canvas<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A picture being drawn, in pixels.
pub(crate) struct Sheet<'a> {
    area: Pixels<'a>,
    pub(crate) palette: Palette,
}

impl<'a> Sheet<'a> {
    /// Draws an element whose points are pixels.
    pub(crate) fn draw<'e, E>(&self, element: &'e E) -> Result<(), ChartError>
    where
        &'e E: PointCollection<'e, (i32, i32)>,
        E: Drawable<Canvas<'a>>,
    {
        self.area.draw(element).map_err(|error| ChartError::Draw(error.to_string()))
    }

    /// A straight line between two points in pixels.
    pub(crate) fn line(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        colour: RGBAColor,
        width: f64,
    ) -> Result<(), ChartError> {
        self.draw(&PathElement::new([point(from), point(to)], stroke(colour, width)))
    }

    /// A bar with round corners between two points in pixels.
    pub(crate) fn bar(&self, a: (f64, f64), b: (f64, f64), radius: f64, colour: RGBAColor) -> Result<(), ChartError> {
        self.draw(&Bar { corners: [point(a), point(b)], radius, colour })
    }

    /// A line of text on a baseline, in pixels.
    pub(crate) fn text(
        &self,
        text: &str,
        at: (f64, f64),
        size: f64,
        anchor: HPos,
        colour: RGBAColor,
    ) -> Result<(), ChartError> {
        self.draw(&Label { at: [point(at)], text, size, anchor, colour, halo: None })
    }

    /// The width in pixels.
    pub(crate) fn width(&self) -> f64 {
        f64::from(self.area.dim_in_pixel().0) / UNITS
    }

    /// The same area with values for coordinates.
    pub(crate) fn plot(&self, x: (f64, f64), y: (f64, f64), area: PlotArea) -> Plot<'a> {
        let actual = (units(area.left)..units(area.right), units(area.bottom)..units(area.top));
        self.area.apply_coord_spec(Cartesian2d::<RangedCoordf64, RangedCoordf64>::new(x.0..x.1, y.0..y.1, actual))
    }
}

/// A point in pixels as plotters takes it.
pub(crate) fn point(at: (f64, f64)) -> (i32, i32) {
    (units(at.0), units(at.1))
}

/// Checks size and theme, lets `draw` draw, and writes the result in the format asked for.
pub(crate) fn picture(
    size: Size,
    theme: &Theme,
    format: Format,
    draw: impl FnOnce(&Sheet<'_>) -> Result<(), ChartError>,
) -> Result<Vec<u8>, ChartError> {
    let Size { width, height, scale } = size;
    if !(16..=8192).contains(&width) || !(8..=8192).contains(&height) || !(0.5..=4.0).contains(&scale) {
        return Err(ChartError::Size { width, height, scale });
    }
    let palette = Palette::of(theme)?;
    let mut svg = String::with_capacity(16 * 1024);
    {
        let sheet = Sheet { area: Canvas::new(&mut svg, size).into_drawing_area(), palette };
        if let Some(background) = palette.background {
            sheet.bar((0.0, 0.0), (f64::from(width), f64::from(height)), 0.0, background)?;
        }
        draw(&sheet)?;
    }
    match format {
        Format::Svg => Ok(svg.into_bytes()),
        Format::Png => raster::png(&svg, size),
    }
}

/// A chart over time whose grid and labels are drawn.
pub(crate) struct Frame<'s, 'a> {
    pub(crate) sheet: &'s Sheet<'a>,
    pub(crate) time: &'s TimeAxis,
    pub(crate) area: PlotArea,
    values: ValueAxis,
    plot: Plot<'a>,
}

impl<'s, 'a> Frame<'s, 'a> {
    /// Draws the quiet parts: horizontal grid lines, their labels, and the labels of time.
    pub(crate) fn new(
        sheet: &'s Sheet<'a>,
        size: Size,
        time: &'s TimeAxis,
        values: &ValueAxis,
        unit: Unit,
    ) -> Result<Self, ChartError> {
        time.check()?;
        let area = plot_area(size);
        let plot = sheet.plot((0.0, time.to.since(time.from) as f64), (values.low, values.high), area);
        let frame = Self { sheet, time, area, values: *values, plot };
        let palette = sheet.palette;
        for tick in values.ticks() {
            // Half a pixel in, so that a one-pixel line covers one row of pixels and stays crisp.
            let y = (frame.y(tick) - 0.5).round() + 0.5;
            sheet.line((area.left, y), (area.right, y), palette.grid, 1.0)?;
            sheet.text(&values.label(tick, unit), (area.left - 8.0, y + 3.5), SMALL, HPos::Right, palette.muted)?;
        }
        let most = ((area.right - area.left) / TIME_LABEL_ROOM).floor().max(2.0) as usize;
        for tick in time.ticks(most) {
            let half = text::width(&tick.label, SMALL) / 2.0;
            let x = frame.x(tick.at).max(area.left + half - 6.0).min(area.right - half + 6.0);
            sheet.text(&tick.label, (x, area.bottom + 17.0), SMALL, HPos::Center, palette.muted)?;
        }
        Ok(frame)
    }

    /// Where a time is drawn, in pixels.
    pub(crate) fn x(&self, at: TimestampMs) -> f64 {
        f64::from(self.plot.map_coordinate(&(at.since(self.time.from) as f64, 0.0)).0) / UNITS
    }

    /// Where a value is drawn, in pixels.
    pub(crate) fn y(&self, value: f64) -> f64 {
        f64::from(self.plot.map_coordinate(&(0.0, self.values.clamp(value))).1) / UNITS
    }

    /// Draws a line through each run; a run of one point becomes a dot.
    pub(crate) fn runs(&self, runs: &[Vec<(f64, f64)>], colour: RGBAColor, width: f64) -> Result<(), ChartError> {
        for run in runs {
            match run[..] {
                [] => {}
                [only] => self.dot(only, width.max(1.5), colour)?,
                _ => self.draw(&PathElement::new(run.as_slice(), stroke(colour, width)))?,
            }
        }
        Ok(())
    }

    /// A dot of this radius in pixels at a time (in ms after the beginning) and value.
    pub(crate) fn dot(&self, at: (f64, f64), radius: f64, colour: RGBAColor) -> Result<(), ChartError> {
        self.draw(&Circle::new(at, units(radius), fill(colour)))
    }

    /// Draws an element whose points are times (in ms after the beginning) and values.
    pub(crate) fn draw<'e, E>(&self, element: &'e E) -> Result<(), ChartError>
    where
        &'e E: PointCollection<'e, (f64, f64)>,
        E: Drawable<Canvas<'a>>,
    {
        self.plot.draw(element).map_err(|error| ChartError::Draw(error.to_string()))
    }

    /// Splits a series into runs without a gap: a missing value ends a run, and so does a hole longer than the step.
    pub(crate) fn split(
        &self,
        points: impl Iterator<Item = (TimestampMs, Option<f64>)>,
        step_ms: i64,
    ) -> Vec<Vec<(f64, f64)>> {
        let longest = step_ms.max(1) as f64 * GAP_STEPS;
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut open = false;
        for (at, value) in points.filter(|(at, _)| self.time.holds(*at)) {
            let Some(value) = value.and_then(axis::drawable) else {
                open = false;
                continue;
            };
            let x = at.since(self.time.from) as f64;
            match runs.last_mut() {
                Some(run) if open && run.last().is_some_and(|last| (0.0..=longest).contains(&(x - last.0))) => {
                    run.push((x, self.values.clamp(value)));
                }
                _ => runs.push(vec![(x, self.values.clamp(value))]),
            }
            open = true;
        }
        runs
    }
}
