//! A PNG is the SVG, rasterised with the embedded font: one drawing, two formats.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::Size;
use crate::error::ChartError;

/// Inter Regular 3.19 (SIL Open Font License 1.1, see the licence beside it).
static INTER: &[u8] = include_bytes!("../../../../assets/fonts/Inter-Regular.otf");

/// The picture as PNG, `size.scale` device pixels per pixel.
pub(crate) fn png(svg: &str, size: Size) -> Result<Vec<u8>, ChartError> {
    let options = Options { fontdb: fonts(), font_family: "Inter".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| ChartError::Png(error.to_string()))?;
    let pixels = |length: u32| ((length as f32) * size.scale).round().max(1.0) as u32;
    let too_large = || ChartError::Size { width: size.width, height: size.height, scale: size.scale };
    let mut picture = Pixmap::new(pixels(size.width), pixels(size.height)).ok_or_else(too_large)?;
    resvg::render(&tree, Transform::from_scale(size.scale, size.scale), &mut picture.as_mut());
    encode(picture).map_err(|error| ChartError::Png(error.to_string()))
}

/// The picture's bytes. Compressed fast: a chart is mostly one colour, which also the fast way makes small, and the person
/// who saves it waits.
fn encode(picture: Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.take_demultiplied())?;
    writer.finish()?;
    Ok(bytes)
}

/// The one font; read once.
fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    Arc::clone(FONTS.get_or_init(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(INTER.to_vec());
        fonts.set_sans_serif_family("Inter");
        Arc::new(fonts)
    }))
}
