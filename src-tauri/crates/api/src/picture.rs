//! Pictures on their way to the window: themes, formats, bytes as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pilothouse_charts::{ChartError, Format, Theme};

use crate::types::{ChartTheme, Image, ImageFormat};
use crate::{ApiError, Code};

pub(crate) fn image(bytes: &[u8], format: ImageFormat) -> Image {
    match format {
        ImageFormat::Svg => {
            Image { image: String::from_utf8_lossy(bytes).into_owned(), media_type: "image/svg+xml".to_owned() }
        }
        ImageFormat::Png => Image { image: STANDARD.encode(bytes), media_type: "image/png".to_owned() },
    }
}

impl From<ImageFormat> for Format {
    fn from(format: ImageFormat) -> Self {
        match format {
            ImageFormat::Svg => Self::Svg,
            ImageFormat::Png => Self::Png,
        }
    }
}

pub(crate) fn theme(theme: ChartTheme) -> Theme {
    Theme {
        ink: theme.ink,
        muted: theme.muted,
        grid: theme.grid,
        accent: theme.accent,
        ok: theme.ok,
        warn: theme.warn,
        bad: theme.bad,
        unknown: theme.unknown,
        band: theme.band,
        background: theme.background,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(crate) fn failed(error: ChartError) -> ApiError {
    ApiError::new(Code::InvalidInput, format!("the chart cannot be drawn: {error}"))
}
