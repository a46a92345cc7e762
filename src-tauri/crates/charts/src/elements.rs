//! Plotters elements for what SVG can say and plotters' own elements cannot: dashes, round corners, text on a baseline.

use std::array;
use std::convert::Infallible;

use plotters::element::{Drawable, PointCollection};
use plotters::style::{Color, RGBAColor, ShapeStyle};
use plotters_backend::text_anchor::HPos;
use plotters_backend::{BackendCoord, DrawingErrorKind};

use crate::canvas::{Canvas, units};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A stroke of this colour and width in pixels.
pub(crate) fn stroke(colour: RGBAColor, width: f64) -> ShapeStyle {
    ShapeStyle { color: colour, filled: false, stroke_width: units(width).max(1) as u32 }
}

/// A fill of this colour.
pub(crate) fn fill(colour: RGBAColor) -> ShapeStyle {
    ShapeStyle { color: colour, filled: true, stroke_width: 0 }
}

/// A straight dashed line.
pub(crate) struct DashedLine<C> {
    pub(crate) ends: [C; 2],
    /// Length of a dash and of a gap, in pixels.
    pub(crate) dash: [f64; 2],
    pub(crate) style: ShapeStyle,
}

/// A filled bar with rounded corners.
pub(crate) struct Bar<C> {
    pub(crate) corners: [C; 2],
    /// Radius of the corners in pixels.
    pub(crate) radius: f64,
    pub(crate) colour: RGBAColor,
}

/// A line of text; its point lies on the baseline.
pub(crate) struct Label<'t, C> {
    pub(crate) at: [C; 1],
    pub(crate) text: &'t str,
    /// Font size in pixels.
    pub(crate) size: f64,
    pub(crate) anchor: HPos,
    pub(crate) colour: RGBAColor,
    /// Drawn behind the letters, so that lines do not cross them.
    pub(crate) halo: Option<RGBAColor>,
}

impl<'a, C: 'a> PointCollection<'a, C> for &'a DashedLine<C> {
    type Point = &'a C;
    type IntoIter = &'a [C; 2];

    fn point_iter(self) -> Self::IntoIter {
        &self.ends
    }
}

impl<'a, C: 'a> PointCollection<'a, C> for &'a Bar<C> {
    type Point = &'a C;
    type IntoIter = &'a [C; 2];

    fn point_iter(self) -> Self::IntoIter {
        &self.corners
    }
}

impl<'a, C: 'a> PointCollection<'a, C> for &'a Label<'_, C> {
    type Point = &'a C;
    type IntoIter = &'a [C; 1];

    fn point_iter(self) -> Self::IntoIter {
        &self.at
    }
}

impl<C> Drawable<Canvas<'_>> for DashedLine<C> {
    fn draw<I: Iterator<Item = BackendCoord>>(&self, points: I, canvas: &mut Canvas<'_>, _: (u32, u32)) -> Drawn {
        if let Some([from, to]) = take(points) {
            canvas.dashed_line(from, to, self.dash.map(units), &self.style);
        }
        Ok(())
    }
}

impl<C> Drawable<Canvas<'_>> for Bar<C> {
    fn draw<I: Iterator<Item = BackendCoord>>(&self, points: I, canvas: &mut Canvas<'_>, _: (u32, u32)) -> Drawn {
        if let Some([from, to]) = take(points) {
            canvas.rounded_rectangle(from, to, units(self.radius), self.colour.to_backend_color());
        }
        Ok(())
    }
}

impl<C> Drawable<Canvas<'_>> for Label<'_, C> {
    fn draw<I: Iterator<Item = BackendCoord>>(&self, points: I, canvas: &mut Canvas<'_>, _: (u32, u32)) -> Drawn {
        if let Some([at]) = take(points) {
            let halo = self.halo.map(|colour| colour.to_backend_color());
            canvas.text(self.text, at, self.size, self.anchor, self.colour.to_backend_color(), halo);
        }
        Ok(())
    }
}

/// The first `N` points, if there are so many.
fn take<const N: usize>(mut points: impl Iterator<Item = BackendCoord>) -> Option<[BackendCoord; N]> {
    let found = array::from_fn(|_| points.next());
    found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
}
