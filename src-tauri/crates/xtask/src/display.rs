//! A virtual X display (Xvfb) whose picture can be read without an X client.
//!
//! Xvfb keeps its frame buffer in a file in XWD format (`-fbdir`; the layout is X11's `XWDFile.h`, version 7), so a
//! screenshot is a read of that file. A cookie in a private folder keeps other users of the machine off the display.
//! The server is ended when this is dropped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, Background};

/// How long the X server may take to name its display.
const START: Duration = Duration::from_secs(30);

/// A running Xvfb.
pub(crate) struct Display {
    name: String,
    folder: PathBuf,
    _server: Background,
}

impl Display {
    /// Starts a server on a free display number with one screen of `width` × `height` pixels. Its files go to `folder`,
    /// which is made anew and private.
    pub(crate) fn start(folder: &Path, width: u32, height: u32) -> Result<Self> {
        if process::find_program("Xvfb").is_none() {
            bail!("`Xvfb` was not found on PATH; install it (Debian and Ubuntu: apt-get install xvfb)");
        }
        private_folder(folder)?;
        let authority = folder.join("authority");
        std::fs::write(&authority, authority_file(&cookie()?)).context("cannot write the display's authority file")?;
        let log = std::fs::File::create(folder.join("Xvfb.log")).context("cannot write the display's log")?;
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", &format!("{width}x{height}x24"), "-nolisten", "tcp", "-noreset"])
            .arg("-fbdir")
            .arg(folder)
            .arg("-auth")
            .arg(&authority)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut server = Background::start(&mut command)?;
        let stdout = server.take_stdout().context("Xvfb has no standard output")?;
        let (sender, number) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let number = number.recv_timeout(START).unwrap_or_default();
        let number: u32 = number.trim().parse().with_context(|| {
            let log = std::fs::read_to_string(folder.join("Xvfb.log")).unwrap_or_default();
            format!("Xvfb did not start: {}", log.trim())
        })?;
        Ok(Self { name: format!(":{number}"), folder: folder.to_path_buf(), _server: server })
    }

    /// Points `command` at this display.
    pub(crate) fn apply(&self, command: &mut Command) {
        command
            .env("DISPLAY", &self.name)
            .env("XAUTHORITY", self.folder.join("authority"))
            .env("GDK_BACKEND", "x11")
            .env_remove("WAYLAND_DISPLAY");
    }

    /// Its name, such as `:99`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the screen shows now.
    pub(crate) fn picture(&self) -> Result<Picture> {
        let file = self.folder.join("Xvfb_screen0");
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        Picture::from_xwd(&bytes)
    }

    /// How many pixels of the screen are clearly green now.
    pub(crate) fn green_pixels(&self) -> Result<usize> {
        Ok(self.picture()?.rgb.chunks_exact(3).filter(|pixel| is_green(pixel)).count())
    }
}

/// Green by far more than by red or blue.
fn is_green(pixel: &[u8]) -> bool {
    let [red, green, blue] = [0, 1, 2].map(|index| i16::from(pixel[index]));
    green - red > 60 && green - blue > 30
}

fn private_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .with_context(|| format!("cannot make `{}` private", folder.display()))?;
    Ok(())
}

fn cookie() -> Result<[u8; 16]> {
    use std::io::Read;
    let mut cookie = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut cookie)).context("no random bytes")?;
    Ok(cookie)
}

/// One entry of an X authority file (Xau's `AuReadEntry`): any address, any display, `MIT-MAGIC-COOKIE-1`.
fn authority_file(cookie: &[u8; 16]) -> Vec<u8> {
    const ANY_ADDRESS: [u8; 2] = [0xff, 0xff];
    let mut entry = ANY_ADDRESS.to_vec();
    for part in [&b""[..], b"", b"MIT-MAGIC-COOKIE-1", cookie] {
        entry.extend((part.len() as u16).to_be_bytes());
        entry.extend(part);
    }
    entry
}

/// A picture of the screen, 8 bits each of red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// Reads an XWD file of version 7 with 32 bits per pixel, as Xvfb writes it for a screen of depth 24.
    fn from_xwd(bytes: &[u8]) -> Result<Self> {
        let field = |index: usize| -> Result<usize> {
            let word = bytes.get(index * 4..index * 4 + 4).context("the frame buffer file ends in its header")?;
            Ok(u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize)
        };
        let (header_size, version) = (field(0)?, field(1)?);
        let (width, height, lsb_first) = (field(4)?, field(5)?, field(7)? == 0);
        let (bits_per_pixel, bytes_per_line, colours) = (field(11)?, field(12)?, field(19)?);
        let masks = [field(14)?, field(15)?, field(16)?];
        ensure!(version == 7, "frame buffer of version {version}, expected 7");
        ensure!(bits_per_pixel == 32, "frame buffer with {bits_per_pixel} bits per pixel, expected 32");
        ensure!(masks == [0xff_0000, 0xff00, 0xff], "frame buffer with unexpected colour masks {masks:x?}");
        let pixels = bytes.get(header_size + colours * 12..).context("the frame buffer file ends before its pixels")?;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            let line = pixels
                .get(y * bytes_per_line..y * bytes_per_line + width * 4)
                .context("the frame buffer file ends inside its pixels")?;
            for pixel in line.chunks_exact(4) {
                let [blue, green, red] =
                    if lsb_first { [pixel[0], pixel[1], pixel[2]] } else { [pixel[3], pixel[2], pixel[1]] };
                rgb.extend([red, green, blue]);
            }
        }
        Ok(Self { width: width as u32, height: height as u32, rgb })
    }

    /// Whether something was drawn: an unpainted window is one flat colour, a painted screen has text with many shades.
    pub(crate) fn is_painted(&self) -> bool {
        let mut colours = std::collections::BTreeSet::new();
        self.rgb.chunks_exact(3).any(|pixel| {
            colours.insert([pixel[0], pixel[1], pixel[2]]);
            colours.len() > 32
        })
    }

    /// Writes it as a PNG file; a reader never sees half of it.
    pub(crate) fn write_png(&self, file: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.rgb)?;
        let partial = file.with_extension("png.partial");
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        }
        std::fs::write(&partial, bytes).with_context(|| format!("cannot write `{}`", partial.display()))?;
        std::fs::rename(&partial, file).with_context(|| format!("cannot write `{}`", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xwd(width: u32, height: u32, byte_order: u32, pixels: &[u8]) -> Vec<u8> {
        let mut header = [0_u32; 25];
        header[0] = 100;
        header[1] = 7;
        header[4] = width;
        header[5] = height;
        header[7] = byte_order;
        header[11] = 32;
        header[12] = width * 4;
        header[14..17].copy_from_slice(&[0xff_0000, 0xff00, 0xff]);
        header[19] = 1;
        let mut file: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        file.extend([0; 12]);
        file.extend(pixels);
        file
    }

    #[test]
    fn reads_both_byte_orders() {
        let expected = Picture { width: 2, height: 1, rgb: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(Picture::from_xwd(&xwd(2, 1, 0, &[3, 2, 1, 0, 6, 5, 4, 0])).unwrap(), expected);
        assert_eq!(Picture::from_xwd(&xwd(2, 1, 1, &[0, 1, 2, 3, 0, 4, 5, 6])).unwrap(), expected);
    }

    #[test]
    fn a_cut_or_foreign_file_is_an_error() {
        let whole = xwd(2, 1, 0, &[0; 8]);
        for length in 0..whole.len() {
            assert!(Picture::from_xwd(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut foreign = whole;
        foreign[7] = 6;
        assert!(Picture::from_xwd(&foreign).is_err());
    }

    #[test]
    fn flat_is_not_painted() {
        let flat = Picture { width: 64, height: 1, rgb: vec![9; 192] };
        assert!(!flat.is_painted());
        let shades = Picture { width: 64, height: 1, rgb: (0..192).map(|value| value as u8).collect() };
        assert!(shades.is_painted());
    }

    #[test]
    fn heartbeats_are_green_and_text_is_not() {
        let check = |pixel: [u8; 3], expect: bool| assert_eq!(is_green(&pixel), expect, "{pixel:?}");
        check([0x1c, 0x8a, 0x55], true);
        check([0x3f, 0xbf, 0x7f], true);
        check([0x18, 0x20, 0x2b], false);
        check([0xff, 0xff, 0xff], false);
        check([0xc2, 0x7a, 0x00], false);
    }

    #[test]
    fn png_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep").join("picture.png");
        let picture = Picture { width: 2, height: 1, rgb: vec![1, 2, 3, 4, 5, 6] };
        picture.write_png(&file).unwrap();
        let mut reader =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!(bytes, picture.rgb);
    }

    #[test]
    fn authority_entry_has_every_length_before_its_part() {
        let file = authority_file(&[7; 16]);
        assert_eq!(file[..6], [0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(file[6..8], [0, 18]);
        assert_eq!(&file[8..26], b"MIT-MAGIC-COOKIE-1");
        assert_eq!(file[26..28], [0, 16]);
        assert_eq!(file.len(), 44);
    }
}
