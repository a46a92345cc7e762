//! The colours of a chart. They are handed in, so that a picture matches the window it is shown in.

use plotters::style::RGBAColor;
use serde::Deserialize;

use crate::error::ChartError;

/// Colours as `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Theme {
    /// Strong text and error bars.
    pub ink: String,
    /// Small labels and the quiet series.
    pub muted: String,
    /// Grid lines.
    pub grid: String,
    /// The main series.
    pub accent: String,
    /// Good.
    pub ok: String,
    /// Slow, changed.
    pub warn: String,
    /// Failed.
    pub bad: String,
    /// Not known.
    pub unknown: String,
    /// Interval bands; drawn at 12 %.
    pub band: String,
    /// Behind everything; `None` leaves it transparent.
    #[serde(default)]
    pub background: Option<String>,
}

/// A theme whose colours were read.
#[derive(Clone, Copy)]
pub(crate) struct Palette {
    pub(crate) ink: RGBAColor,
    pub(crate) muted: RGBAColor,
    pub(crate) grid: RGBAColor,
    pub(crate) accent: RGBAColor,
    pub(crate) ok: RGBAColor,
    pub(crate) warn: RGBAColor,
    pub(crate) bad: RGBAColor,
    pub(crate) unknown: RGBAColor,
    pub(crate) band: RGBAColor,
    pub(crate) background: Option<RGBAColor>,
}

impl Palette {
    pub(crate) fn of(theme: &Theme) -> Result<Self, ChartError> {
        Ok(Self {
            ink: colour("ink", &theme.ink)?,
            muted: colour("muted", &theme.muted)?,
            grid: colour("grid", &theme.grid)?,
            accent: colour("accent", &theme.accent)?,
            ok: colour("ok", &theme.ok)?,
            warn: colour("warn", &theme.warn)?,
            bad: colour("bad", &theme.bad)?,
            unknown: colour("unknown", &theme.unknown)?,
            band: with_alpha(colour("band", &theme.band)?, 0.12),
            background: theme.background.as_deref().map(|text| colour("background", text)).transpose()?,
        })
    }
}

/// The same colour, this opaque (0 to 1).
pub(crate) fn with_alpha(colour: RGBAColor, alpha: f64) -> RGBAColor {
    RGBAColor(colour.0, colour.1, colour.2, alpha)
}

fn colour(name: &'static str, text: &str) -> Result<RGBAColor, ChartError> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    let value = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or(ChartError::Colour { name })?;
    let [_, red, green, blue] = value.to_be_bytes();
    Ok(RGBAColor(red, green, blue, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_six_hex_digits() {
        assert_eq!(colour("ink", "#1f6fD1").unwrap(), RGBAColor(0x1f, 0x6f, 0xd1, 1.0));
        for text in ["", "#", "#fff", "1f6fd1", "#1f6fd1cc", "#gggggg", "#+12345", "red\"/><script>"] {
            assert!(matches!(colour("ink", text), Err(ChartError::Colour { name: "ink" })), "{text}");
        }
    }
}
