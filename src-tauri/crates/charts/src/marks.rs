//! Vertical marks for what happened: a version went live, a rollback, an incident.
//!
//! What must stay true: every mark in the range has its line; labels never overlap, and one that finds no room is left
//! out, since its line can still be hovered.

use pilothouse_domain::TimestampMs;
use plotters::style::RGBAColor;
use plotters_backend::text_anchor::HPos;

use crate::elements::{DashedLine, Label, stroke};
use crate::error::ChartError;
use crate::frame::{Frame, SMALL, point};
use crate::text;
use crate::theme::Palette;

/// Rows of labels below the upper edge.
const ROWS: usize = 3;
const ROW_HEIGHT: f64 = 13.0;
/// The widest label in pixels.
const MAX_LABEL: f64 = 130.0;
/// Distance of a label from its line and from the next label.
const SPACE: f64 = 5.0;

/// Something that happened at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When.
    pub at: TimestampMs,
    /// A few words (`v7 live`). Untrusted.
    pub label: String,
    /// What it was.
    pub kind: MarkKind,
}

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkKind {
    /// Another version went live.
    Version,
    /// A rollback.
    Rollback,
    /// An incident began.
    Incident,
    /// Anything else.
    Info,
}

impl MarkKind {
    fn colour(self, palette: &Palette) -> RGBAColor {
        match self {
            Self::Version => palette.warn,
            Self::Rollback => palette.accent,
            Self::Incident => palette.bad,
            Self::Info => palette.muted,
        }
    }
}

/// The lines; drawn before the data.
pub(crate) fn draw_lines(frame: &Frame<'_, '_>, marks: &[Mark]) -> Result<(), ChartError> {
    for mark in marks.iter().filter(|mark| frame.time.holds(mark.at)) {
        let x = frame.x(mark.at);
        let style = stroke(mark.kind.colour(&frame.sheet.palette), 1.0);
        let ends = [point((x, frame.area.top)), point((x, frame.area.bottom))];
        frame.sheet.draw(&DashedLine { ends, dash: [3.0, 3.0], style })?;
    }
    Ok(())
}

/// The labels; drawn after the data, on a halo of the background.
pub(crate) fn draw_labels(frame: &Frame<'_, '_>, marks: &[Mark]) -> Result<(), ChartError> {
    let mut taken: [Vec<(f64, f64)>; ROWS] = Default::default();
    let mut shown: Vec<&Mark> = marks.iter().filter(|mark| frame.time.holds(mark.at)).collect();
    shown.sort_by_key(|mark| mark.at);
    for mark in shown {
        let text = text::fit(mark.label.trim(), SMALL, MAX_LABEL);
        if text.is_empty() {
            continue;
        }
        let (x, width) = (frame.x(mark.at), text::width(&text, SMALL));
        let right = (x + SPACE, x + SPACE + width);
        let left = (x - SPACE - width, x - SPACE);
        // To the left of its line a label may cross an earlier line, so every row is tried on the right first.
        let mut places = [right, left].into_iter().flat_map(|span| (0..ROWS).map(move |row| (row, span)));
        let place = places.find(|&(row, (from, to))| {
            let inside = from >= frame.area.left && to <= frame.area.right;
            inside && taken[row].iter().all(|&(start, end)| to + SPACE < start || end + SPACE < from)
        });
        let Some((row, span)) = place else { continue };
        taken[row].push(span);
        let at = [point((span.0, frame.area.top + 9.0 + row as f64 * ROW_HEIGHT))];
        let palette = &frame.sheet.palette;
        let colour = mark.kind.colour(palette);
        frame.sheet.draw(&Label {
            at,
            text: &text,
            size: SMALL,
            anchor: HPos::Left,
            colour,
            halo: palette.background,
        })?;
    }
    Ok(())
}
