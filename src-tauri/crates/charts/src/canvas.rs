//! A plotters backend that writes SVG, and the only place in the program that writes markup.
//!
//! plotters places everything on whole units. Here one unit is a tenth of a pixel, so that lines are smooth and bars sit
//! where their values are. What must stay true: every attribute is a number, a colour made from numbers, or a constant;
//! the only foreign thing is text content, and it passes through `text::escape`.

use std::convert::Infallible;
use std::fmt::Write;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, rasterizer,
};

use crate::Size;
use crate::text;

/// Units per pixel.
pub(crate) const UNITS: f64 = 10.0;
/// Where text is drawn with, first one found. The names hold no quotes, so they can stand in an attribute.
const FONT_FAMILY: &str = "Inter, system-ui, sans-serif";

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A number of pixels in units.
pub(crate) fn units(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

/// Writes SVG into a string. The document is closed when the canvas is dropped.
pub(crate) struct Canvas<'a> {
    out: &'a mut String,
    size: Size,
}

impl<'a> Canvas<'a> {
    /// Begins a document of this size.
    pub(crate) fn new(out: &'a mut String, size: Size) -> Self {
        let Size { width, height, .. } = size;
        let mut canvas = Self { out, size };
        canvas.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FONT_FAMILY}\" stroke-linejoin=\"round\">"
        ));
        canvas
    }

    /// A straight dashed line.
    pub(crate) fn dashed_line(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        dash: [i32; 2],
        style: &impl BackendStyle,
    ) {
        self.line_start(from, to, style);
        self.put(format_args!(" stroke-dasharray=\"{} {}\"/>", Pixels(dash[0]), Pixels(dash[1])));
    }

    /// A filled rectangle with rounded corners.
    pub(crate) fn rounded_rectangle(&mut self, a: BackendCoord, b: BackendCoord, radius: i32, colour: BackendColor) {
        self.rectangle_start(a, b);
        if radius > 0 {
            self.put(format_args!(" rx=\"{}\"", Pixels(radius)));
        }
        self.paint("fill", colour);
        self.out.push_str("/>");
    }

    /// A line of text whose baseline lies at `y`. `halo` is a colour put behind the letters.
    pub(crate) fn text(
        &mut self,
        text: &str,
        at: BackendCoord,
        size: f64,
        anchor: HPos,
        colour: BackendColor,
        halo: Option<BackendColor>,
    ) {
        self.put(format_args!("<text x=\"{}\" y=\"{}\" font-size=\"{size}\"", Pixels(at.0), Pixels(at.1)));
        match anchor {
            HPos::Left => {}
            HPos::Center => self.out.push_str(" text-anchor=\"middle\""),
            HPos::Right => self.out.push_str(" text-anchor=\"end\""),
        }
        self.paint("fill", colour);
        if let Some(halo) = halo {
            self.paint("stroke", halo);
            self.out.push_str(" stroke-width=\"3\" paint-order=\"stroke\"");
        }
        self.out.push('>');
        text::escape(&text::clean(text), self.out);
        self.out.push_str("</text>");
    }

    fn line_start(&mut self, from: BackendCoord, to: BackendCoord, style: &impl BackendStyle) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(Pixels);
        self.put(format_args!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\""));
        self.stroke(style);
    }

    fn rectangle_start(&mut self, a: BackendCoord, b: BackendCoord) {
        let (left, top) = (a.0.min(b.0), a.1.min(b.1));
        let [x, y, width, height] = [left, top, a.0.max(b.0) - left, a.1.max(b.1) - top].map(Pixels);
        self.put(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""));
    }

    fn points(&mut self, element: &str, points: impl IntoIterator<Item = BackendCoord>) {
        self.put(format_args!("<{element} points=\""));
        let mut previous = None;
        for point in points {
            // A step below a tenth of a pixel shows nothing.
            if previous == Some(point) {
                continue;
            }
            if previous.is_some() {
                self.out.push(' ');
            }
            self.pixels(point.0);
            self.out.push(',');
            self.pixels(point.1);
            previous = Some(point);
        }
        self.out.push('"');
    }

    fn shape(&mut self, style: &impl BackendStyle, fill: bool) {
        if fill {
            self.paint("fill", style.color());
        } else {
            self.out.push_str(" fill=\"none\"");
            self.stroke(style);
        }
        self.out.push_str("/>");
    }

    fn stroke(&mut self, style: &impl BackendStyle) {
        self.paint("stroke", style.color());
        self.put(format_args!(" stroke-width=\"{}\"", Pixels(style.stroke_width() as i32)));
    }

    fn paint(&mut self, attribute: &str, colour: BackendColor) {
        let (red, green, blue) = colour.rgb;
        self.put(format_args!(" {attribute}=\"#{red:02x}{green:02x}{blue:02x}\""));
        if colour.alpha < 1.0 {
            self.put(format_args!(" {attribute}-opacity=\"{:.2}\"", colour.alpha.max(0.0)));
        }
    }

    fn pixels(&mut self, units: i32) {
        self.put(format_args!("{}", Pixels(units)));
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(arguments);
    }
}

impl Drop for Canvas<'_> {
    fn drop(&mut self) {
        self.out.push_str("</svg>\n");
    }
}

/// Units written as pixels with at most one decimal.
struct Pixels(i32);

impl std::fmt::Display for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, tenth) = (self.0 / 10, (self.0 % 10).abs());
        if tenth == 0 {
            return write!(f, "{whole}");
        }
        let sign = if self.0 < 0 && whole == 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{tenth}")
    }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.size.width * UNITS as u32, self.size.height * UNITS as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, colour: BackendColor) -> Drawn {
        self.rounded_rectangle(point, (point.0 + 1, point.1 + 1), 0, colour);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.line_start(from, to, style);
        self.out.push_str("/>");
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        self.rectangle_start(a, b);
        self.shape(style, fill);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.points("polyline", path);
        self.shape(style, false);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, centre: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let [x, y, radius] = [centre.0, centre.1, radius as i32].map(Pixels);
        self.put(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\""));
        self.shape(style, fill);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, points: I, style: &S) -> Drawn {
        self.points("polygon", points);
        self.shape(style, true);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let anchor = style.anchor();
        // Inter's capitals are 0.73 em high.
        let below_top = match anchor.v_pos {
            VPos::Top => 0.73,
            VPos::Center => 0.365,
            VPos::Bottom => 0.0,
        };
        let baseline = at.1 + units(below_top * style.size());
        self.text(text, (at.0, baseline), style.size(), anchor.h_pos, style.color(), None);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((units(text::width(text, style.size())) as u32, units(style.size()) as u32))
    }

    fn blit_bitmap(&mut self, at: BackendCoord, (width, height): (u32, u32), _: &[u8]) -> Drawn {
        // No chart holds a bitmap; its frame is drawn so that one would not vanish unseen.
        rasterizer::draw_rect(
            self,
            at,
            (at.0 + width as i32, at.1 + height as i32),
            &BackendColor { alpha: 1.0, rgb: (128, 128, 128) },
            false,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_tenths_of_pixels() {
        for (units, text) in [(0, "0"), (10, "1"), (15, "1.5"), (-5, "-0.5"), (-15, "-1.5"), (1234, "123.4")] {
            assert_eq!(Pixels(units).to_string(), text);
        }
    }
}
