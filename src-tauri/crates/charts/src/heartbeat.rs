//! The last checks of an endpoint as a row of small bars, newest at the right.
//!
//! What must stay true: each state differs by shape as well as by colour. Good: a low round bar. Slow: a higher bar with a
//! pointed top. Failed: full height and broken like an exclamation mark. Unknown: a short dash on the base line.

use plotters::element::Polygon;

use crate::elements::fill;
use crate::error::ChartError;
use crate::frame::{Sheet, picture, point};
use crate::theme::with_alpha;
use crate::{Format, Size, Theme};

/// How many bars there is room for.
pub const MOST_BEATS: usize = 52;

/// What a heartbeat bar shows.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatChart {
    /// Checks by rising time; the last 52 are drawn.
    pub beats: Vec<Beat>,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// How it went.
    pub state: BeatState,
    /// How long it took, in microseconds; sets the height of a good or slow one.
    pub total_us: Option<f64>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BeatState {
    /// Answered rightly.
    Ok,
    /// Answered rightly, but slower than it should be.
    Slow,
    /// The endpoint failed.
    Failed,
    /// We cannot say.
    Unknown,
}

/// Draws the bars. Heights go with the logarithm of the latency between the fastest and the slowest check shown, so that one
/// outlier does not flatten the rest.
pub fn render(data: &HeartbeatChart, size: Size, theme: &Theme, format: Format) -> Result<Vec<u8>, ChartError> {
    picture(size, theme, format, |sheet| {
        let beats = &data.beats[data.beats.len().saturating_sub(MOST_BEATS)..];
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let slot = width / MOST_BEATS as f64;
        let bar = (slot * 0.75).max(1.0);
        let latency = |beat: &Beat| beat.total_us.filter(|us| us.is_finite() && *us > 0.0).map(f64::ln);
        let known =
            || beats.iter().filter(|beat| matches!(beat.state, BeatState::Ok | BeatState::Slow)).filter_map(latency);
        let fastest = known().fold(f64::INFINITY, f64::min);
        let slowest = known().fold(f64::NEG_INFINITY, f64::max);
        // A spread below a factor of two is noise and stays low.
        let spread = (slowest - fastest).max(std::f64::consts::LN_2);
        let start = MOST_BEATS - beats.len();
        for (index, beat) in beats.iter().enumerate() {
            let left = (start + index) as f64 * slot + (slot - bar) / 2.0;
            let place = Place { left, right: left + bar, height };
            let rise = latency(beat).map_or(0.3, |us| ((us - fastest) / spread).clamp(0.0, 1.0));
            draw_beat(sheet, place, beat.state, rise)?;
        }
        Ok(())
    })
}

#[derive(Clone, Copy)]
struct Place {
    left: f64,
    right: f64,
    height: f64,
}

fn draw_beat(sheet: &Sheet<'_>, place: Place, state: BeatState, rise: f64) -> Result<(), ChartError> {
    let Place { left, right, height } = place;
    let (palette, round) = (sheet.palette, ((right - left) / 3.0).min(1.5));
    let top_of = |share: f64| height * (1.0 - share);
    match state {
        BeatState::Ok => {
            let colour = with_alpha(palette.ok, 0.78);
            sheet.bar((left, top_of(0.38 + 0.3 * rise)), (right, height), round, colour)
        }
        BeatState::Slow => {
            let top = top_of(0.78 + 0.12 * rise);
            let shoulder = top + (right - left);
            let outline = [
                (left, height),
                (left, shoulder),
                (f64::midpoint(left, right), top),
                (right, shoulder),
                (right, height),
            ];
            sheet.draw(&Polygon::new(outline.map(point), fill(palette.warn)))
        }
        BeatState::Failed => {
            sheet.bar((left, 0.0), (right, height * 0.68), 0.0, palette.bad)?;
            sheet.bar((left, height * 0.8), (right, height), 0.0, palette.bad)
        }
        BeatState::Unknown => sheet.bar((left, height - 2.0), (right, height), 0.0, palette.unknown),
    }
}
