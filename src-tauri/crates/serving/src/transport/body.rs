//! A response body, decoded and counted while it streams in.
//!
//! What must stay true: memory never holds more than the limit, however well a body was compressed.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Why a body cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyProblem {
    /// Larger than the limit, in bytes.
    TooLarge(usize),
    /// The compressed data are damaged or cut off.
    Damaged,
    /// An encoding that was not asked for.
    Encoding(String),
}

/// Collects a body.
pub(crate) struct BodyCollector {
    decoder: Decoder,
    limit: usize,
    received: bool,
}

enum Decoder {
    Identity(CappedBuffer),
    Gzip(MultiGzDecoder<CappedBuffer>),
    /// `deflate` means zlib (RFC 9110 §8.4.1.2), but some servers send the bare stream: the first bytes tell.
    DeflateUndecided(CappedBuffer),
    Zlib(ZlibDecoder<CappedBuffer>),
    RawDeflate(DeflateDecoder<CappedBuffer>),
}

impl BodyCollector {
    /// For a body of this `Content-Encoding` and at most `limit` decoded bytes.
    pub(crate) fn new(content_encoding: Option<&str>, limit: usize) -> Result<Self, BodyProblem> {
        let buffer = CappedBuffer { bytes: Vec::new(), limit, exceeded: false };
        let encoding = content_encoding.unwrap_or_default().trim().to_ascii_lowercase();
        let decoder = match encoding.as_str() {
            "" | "identity" => Decoder::Identity(buffer),
            "gzip" | "x-gzip" => Decoder::Gzip(MultiGzDecoder::new(buffer)),
            "deflate" => Decoder::DeflateUndecided(buffer),
            _ => return Err(BodyProblem::Encoding(encoding)),
        };
        Ok(Self { decoder, limit, received: false })
    }

    /// Takes the next bytes from the wire.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), BodyProblem> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.received = true;
        if let Decoder::DeflateUndecided(buffer) = &mut self.decoder {
            let buffer = std::mem::take(buffer);
            // RFC 1950: the low four bits of the first byte are 8 (deflate).
            self.decoder = if chunk[0] & 0x0f == 8 {
                Decoder::Zlib(ZlibDecoder::new(buffer))
            } else {
                Decoder::RawDeflate(DeflateDecoder::new(buffer))
            };
        }
        let (result, exceeded) = match &mut self.decoder {
            Decoder::Identity(buffer) => (buffer.write_all(chunk), buffer.exceeded),
            Decoder::Gzip(decoder) => (decoder.write_all(chunk), decoder.get_ref().exceeded),
            Decoder::Zlib(decoder) => (decoder.write_all(chunk), decoder.get_ref().exceeded),
            Decoder::RawDeflate(decoder) => (decoder.write_all(chunk), decoder.get_ref().exceeded),
            Decoder::DeflateUndecided(_) => return Err(BodyProblem::Damaged),
        };
        match result {
            _ if exceeded => Err(BodyProblem::TooLarge(self.limit)),
            Ok(()) => Ok(()),
            Err(_) => Err(BodyProblem::Damaged),
        }
    }

    /// What has come so far, decoded.
    pub(crate) fn decoded(&mut self) -> &[u8] {
        // A decoder holds the last bytes back until it is flushed; damage shows again at the next push or at the end.
        let buffer = match &mut self.decoder {
            Decoder::Identity(buffer) | Decoder::DeflateUndecided(buffer) => buffer,
            Decoder::Gzip(decoder) => {
                let _ = decoder.flush();
                decoder.get_ref()
            }
            Decoder::Zlib(decoder) => {
                let _ = decoder.flush();
                decoder.get_ref()
            }
            Decoder::RawDeflate(decoder) => {
                let _ = decoder.flush();
                decoder.get_ref()
            }
        };
        &buffer.bytes
    }

    /// The whole body, decoded.
    pub(crate) fn finish(self) -> Result<Bytes, BodyProblem> {
        let limit = self.limit;
        if !self.received {
            // A 204 or an empty 200 may still name an encoding.
            return Ok(Bytes::new());
        }
        let finished = match self.decoder {
            Decoder::Identity(buffer) | Decoder::DeflateUndecided(buffer) => Ok(buffer),
            Decoder::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                if decoder.get_ref().exceeded {
                    return Err(BodyProblem::TooLarge(limit));
                }
                finished.and_then(|()| decoder.finish())
            }
            Decoder::Zlib(decoder) => decoder.finish(),
            Decoder::RawDeflate(decoder) => decoder.finish(),
        };
        match finished {
            Ok(buffer) if buffer.exceeded => Err(BodyProblem::TooLarge(limit)),
            Ok(buffer) => Ok(Bytes::from(buffer.bytes)),
            Err(_) => Err(BodyProblem::Damaged),
        }
    }
}

#[derive(Default)]
struct CappedBuffer {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for CappedBuffer {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + chunk.len() > self.limit {
            self.exceeded = true;
            return Err(io::Error::other("body larger than the limit"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn collect(encoding: Option<&str>, wire: &[u8], piece: usize, limit: usize) -> Result<Bytes, BodyProblem> {
        let mut collector = BodyCollector::new(encoding, limit)?;
        for chunk in wire.chunks(piece.max(1)) {
            collector.push(chunk)?;
        }
        collector.finish()
    }

    proptest! {
        /// Decoding what was encoded gives the same bytes, however the wire cut them, exactly up to the limit.
        #[test]
        fn every_encoding_survives(data in proptest::collection::vec(any::<u8>(), 1..4000), piece in 1_usize..700) {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(&data).unwrap();
            let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
            raw.write_all(&data).unwrap();
            let limit = data.len();
            prop_assert_eq!(collect(None, &data, piece, limit).unwrap(), data.clone());
            prop_assert_eq!(collect(Some("gzip"), &gzip(&data), piece, limit).unwrap(), data.clone());
            prop_assert_eq!(collect(Some("Deflate"), &zlib.finish().unwrap(), piece, limit).unwrap(), data.clone());
            let wire = gzip(&data);
            let mut collector = BodyCollector::new(Some("gzip"), limit).unwrap();
            let mut shown = 0;
            for chunk in wire.chunks(piece) {
                collector.push(chunk).unwrap();
                let decoded = collector.decoded();
                prop_assert_eq!(decoded, &data[..decoded.len()]);
                prop_assert!(decoded.len() >= shown, "what was shown is not taken back");
                shown = decoded.len();
            }
            prop_assert_eq!(shown, data.len(), "nothing is held back");
            let raw = raw.finish().unwrap();
            if raw[0] & 0x0f != 8 {
                prop_assert_eq!(collect(Some("deflate"), &raw, piece, limit).unwrap(), data.clone());
            }
            prop_assert_eq!(collect(Some("gzip"), &gzip(&data), piece, limit - 1), Err(BodyProblem::TooLarge(limit - 1)));
            prop_assert_eq!(collect(None, &data, piece, limit - 1), Err(BodyProblem::TooLarge(limit - 1)));
        }

        #[test]
        fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..500), piece in 1_usize..50) {
            for encoding in ["gzip", "deflate", "identity", "br"] {
                let _ = collect(Some(encoding), &data, piece, 1000);
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![0; 20_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(collect(Some("gzip"), &bomb, 4096, 1_000_000), Err(BodyProblem::TooLarge(1_000_000)));
    }

    #[test]
    fn a_cut_off_body_is_damaged() {
        let wire = gzip(b"the whole answer of the model");
        assert_eq!(collect(Some("gzip"), &wire[..wire.len() - 9], 7, 1000), Err(BodyProblem::Damaged));
        assert_eq!(BodyCollector::new(Some("br"), 10).err(), Some(BodyProblem::Encoding("br".into())));
    }
}
