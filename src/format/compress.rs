//! The compressors of frames: zstd, deflate, none. The only file that names them.
//!
//! Invariant: what [`Compressor::compress`] returns has been decoded and compared with its input.

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer};

use super::codec::DecodeError;

/// How new frames are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// Deflate in a zlib stream, level 1 to 9.
    Deflate(u32),
    /// Zstandard, level 1 to 19.
    Zstd(i32),
}

/// How one stored frame is compressed. Its number is what the frame header stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// A zlib stream.
    Deflate = 1,
    /// One zstd frame.
    Zstd = 2,
    /// A zstd frame for each object, each with the bytes of another object as its prefix.
    Delta = 3,
}

impl Codec {
    /// The codec with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::None, Self::Deflate, Self::Zstd, Self::Delta];
        all.into_iter().find(|codec| *codec as u8 == number)
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(3)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Deflate(level) => write!(f, "deflate:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// A word that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a compression: {0:?} (zstd, zstd:1 to zstd:19, deflate, deflate:1 to deflate:9, none)"
)]
pub struct CompressionError(String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let refused = || CompressionError(text.chars().take(80).collect());
        let (name, level) = text.split_once(':').map_or((text, None), |(n, l)| (n, Some(l)));
        let level_within = |most: u32, default: u32| match level {
            None => Ok(default),
            Some(digits) => match digits.parse::<u32>() {
                Ok(level) if (1..=most).contains(&level) && level.to_string() == digits => {
                    Ok(level)
                }
                _ => Err(refused()),
            },
        };
        match name {
            "none" if level.is_none() => Ok(Self::None),
            "deflate" => level_within(9, 6).map(Self::Deflate),
            "zstd" => level_within(19, 3).map(|level| Self::Zstd(level.cast_signed())),
            _ => Err(refused()),
        }
    }
}

/// The whole of a frame is in reach from its end: 8 MiB.
const WINDOW_LOG: u32 = 23;
/// At level 3, the table of long matches has twice as many places as zstd gives it, which is tuned for
/// shorter input: 1.6 % less is stored of source-like files.
const LEVEL_3_HASH_LOG: u32 = 18;

/// Compresses frames, with state kept from one to the next.
pub struct Compressor {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    check: Decompressor,
    checked: Vec<u8>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// The compressor failed, or produced what does not decode to its input.
#[derive(Debug, thiserror::Error)]
#[error("the compressor's output does not decode to its input (bad memory?)")]
pub struct CompressError;

impl Compressor {
    /// Prepares a compressor.
    ///
    /// # Errors
    ///
    /// The library refuses the level.
    pub fn new(compression: Compression) -> Result<Self, CompressError> {
        let zstd = match compression {
            Compression::Zstd(level) => {
                let mut zstd = zstd::bulk::Compressor::new(level).map_err(|_| CompressError)?;
                let hash_log = (level == 3).then_some(CParameter::HashLog(LEVEL_3_HASH_LOG));
                for parameter in hash_log.into_iter().chain([CParameter::WindowLog(WINDOW_LOG)]) {
                    zstd.set_parameter(parameter).map_err(|_| CompressError)?;
                }
                Some(zstd)
            }
            _ => None,
        };
        Ok(Self { compression, zstd, check: Decompressor::default(), checked: Vec::new() })
    }

    /// Compresses `raw` into `stored`, or copies it where that saves less than a 32nd.
    ///
    /// The result has been decoded again and equals `raw`.
    ///
    /// # Errors
    ///
    /// It did not; nothing of it may be stored.
    pub fn compress(&mut self, raw: &[u8], stored: &mut Vec<u8>) -> Result<Codec, CompressError> {
        stored.clear();
        let codec = match self.compression {
            Compression::None => Codec::None,
            Compression::Deflate(level) => {
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::write::ZlibEncoder::new(std::mem::take(stored), level);
                encoder.write_all(raw).map_err(|_| CompressError)?;
                *stored = encoder.finish().map_err(|_| CompressError)?;
                Codec::Deflate
            }
            Compression::Zstd(_) => {
                stored.reserve(zstd::zstd_safe::compress_bound(raw.len()));
                let encoder = self.zstd.as_mut().ok_or(CompressError)?;
                encoder.compress_to_buffer(raw, stored).map_err(|_| CompressError)?;
                Codec::Zstd
            }
        };
        if codec == Codec::None || stored.len() >= raw.len() - raw.len() / 32 {
            stored.clear();
            stored.extend_from_slice(raw);
            return Ok(Codec::None);
        }
        self.check
            .decompress(codec, stored, raw.len(), &mut self.checked)
            .map_err(|_| CompressError)?;
        if self.checked == raw { Ok(codec) } else { Err(CompressError) }
    }

    /// Compresses `object` into `stored` as what differs from `base`; whether it did, which only
    /// zstd can.
    ///
    /// The result has been decoded again and equals `object`.
    ///
    /// # Errors
    ///
    /// It did not; nothing of it may be stored.
    pub fn compress_delta(
        &mut self,
        base: &[u8],
        object: &[u8],
        stored: &mut Vec<u8>,
    ) -> Result<bool, CompressError> {
        let Compression::Zstd(level) = self.compression else { return Ok(false) };
        stored.clear();
        stored.reserve(zstd::zstd_safe::compress_bound(object.len()));
        // The context borrows the base, so it lives no longer.
        let mut encoder = CCtx::try_create().ok_or(CompressError)?;
        let hash_log = hash_log(level, base).map(CParameter::HashLog);
        let parameters =
            [CParameter::CompressionLevel(level), CParameter::WindowLog(window_log(base, object))];
        for parameter in parameters.into_iter().chain(hash_log) {
            encoder.set_parameter(parameter).map_err(|_| CompressError)?;
        }
        encoder.ref_prefix(base).map_err(|_| CompressError)?;
        encoder.compress2(stored, object).map_err(|_| CompressError)?;
        decompress_delta(base, stored, object.len(), &mut self.checked)
            .map_err(|_| CompressError)?;
        if self.checked == object { Ok(true) } else { Err(CompressError) }
    }
}

/// The window that reaches from the end of the object to the beginning of the base.
fn window_log(base: &[u8], object: &[u8]) -> u32 {
    let bytes = base.len().saturating_add(object.len()).max(1 << 10);
    bytes.next_power_of_two().ilog2().min(27)
}

/// The hash table that has room for all of the base: zstd enters only the last `8 << hash_log` bytes
/// of a prefix, 1 MiB of it at level 3 and 128 KiB at level 1. `None` where its own table will do.
fn hash_log(level: i32, base: &[u8]) -> Option<u32> {
    let needed = base.len().next_power_of_two().ilog2().saturating_sub(3);
    (level < 5 && needed > 14).then_some(needed.clamp(18, 23))
}

/// Decompresses the `length` bytes of an object from what differs from its base.
///
/// Allocates `length` bytes, which the caller has checked against its limit, and no more.
///
/// # Errors
///
/// Not exactly one zstd frame of this length.
pub fn decompress_delta(
    base: &[u8],
    stored: &[u8],
    length: usize,
    object: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let fail = |what| DecodeError { what, offset: 0 };
    object.clear();
    if zstd::zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(fail("not exactly one zstd frame"));
    }
    object.reserve_exact(length);
    let mut decoder = DCtx::try_create().ok_or_else(|| fail("no zstd decoder"))?;
    decoder.ref_prefix(base).map_err(|_| fail("no zstd decoder"))?;
    decoder.decompress(object, stored).map_err(|_| fail("not a zstd frame of this length"))?;
    if object.len() == length { Ok(()) } else { Err(fail("another length than stated")) }
}

/// Decompresses frames, with state kept from one to the next.
#[derive(Default)]
pub struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// Decompresses `stored` into `raw`, which must come out at exactly `length` bytes.
    ///
    /// Allocates `length` bytes, which the caller has checked against its limit, and no more.
    ///
    /// # Errors
    ///
    /// Not of this codec, another length, or bytes after its end.
    pub fn decompress(
        &mut self,
        codec: Codec,
        stored: &[u8],
        length: usize,
        raw: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let fail = |what| DecodeError { what, offset: 0 };
        raw.clear();
        match codec {
            Codec::None => raw.extend_from_slice(stored),
            Codec::Deflate => {
                let mut decoder = flate2::bufread::ZlibDecoder::new(stored);
                let read = decoder.by_ref().take(length as u64 + 1).read_to_end(raw);
                read.map_err(|_| fail("not a zlib stream"))?;
                if decoder.total_in() != stored.len() as u64 {
                    return Err(fail("bytes after the zlib stream"));
                }
            }
            Codec::Zstd => {
                let whole = zstd::zstd_safe::find_frame_compressed_size(stored);
                if whole != Ok(stored.len()) {
                    return Err(fail("not exactly one zstd frame"));
                }
                raw.reserve(length);
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Decompressor::new().ok();
                }
                let decoder = self.zstd.as_mut().ok_or_else(|| fail("no zstd decoder"))?;
                let decoded = decoder.decompress_to_buffer(stored, raw);
                decoded.map_err(|_| fail("not a zstd frame of this length"))?;
            }
            Codec::Delta => return Err(fail("a delta frame, which is decoded object by object")),
        }
        if raw.len() == length { Ok(()) } else { Err(fail("another length than stated")) }
    }

    /// As [`Self::decompress`], but of the `length` bytes that `stored` holds, those behind the first
    /// `wanted` may be missing, and are not looked at then.
    ///
    /// # Errors
    ///
    /// As [`Self::decompress`], as far as that is seen.
    pub fn decompress_front(
        &mut self,
        codec: Codec,
        stored: &[u8],
        (length, wanted): (usize, usize),
        raw: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        if codec != Codec::Zstd || wanted >= length {
            return self.decompress(codec, stored, length, raw);
        }
        let fail = |what| DecodeError { what, offset: 0 };
        raw.clear();
        raw.reserve_exact(wanted);
        let mut decoder = DCtx::try_create().ok_or_else(|| fail("no zstd decoder"))?;
        let (mut input, mut output) = (InBuffer::around(stored), OutBuffer::around(raw));
        loop {
            let before = (input.pos, output.pos());
            let decoded = decoder.decompress_stream(&mut output, &mut input);
            decoded.map_err(|_| fail("not a zstd frame"))?;
            if output.pos() >= wanted || (input.pos, output.pos()) == before {
                break;
            }
        }
        if raw.len() >= wanted { Ok(()) } else { Err(fail("another length than stated")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_round_trips_and_refuses_other_lengths() {
        let raw = b"fragmented ".repeat(1000);
        for compression in [Compression::None, Compression::Deflate(6), Compression::Zstd(3)] {
            let (mut stored, mut back) = (Vec::new(), Vec::new());
            let codec = Compressor::new(compression)
                .and_then(|mut compressor| compressor.compress(&raw, &mut stored))
                .expect("compresses");
            let mut decompressor = Decompressor::default();
            decompressor.decompress(codec, &stored, raw.len(), &mut back).expect("decodes");
            assert_eq!(back, raw);
            for wrong in [0, raw.len() - 1, raw.len() + 1] {
                assert!(decompressor.decompress(codec, &stored, wrong, &mut back).is_err());
            }
            for wanted in [1, 5000, raw.len() - 1, raw.len()] {
                let lengths = (raw.len(), wanted);
                decompressor.decompress_front(codec, &stored, lengths, &mut back).expect("decodes");
                assert!(back.len() >= wanted && raw.starts_with(&back));
            }
            let half = &stored[..stored.len() / 2];
            let cut =
                decompressor.decompress_front(codec, half, (raw.len(), raw.len() - 1), &mut back);
            assert!(cut.is_err());
            stored.push(0);
            assert!(decompressor.decompress(codec, &stored, raw.len(), &mut back).is_err());
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
    }

    fn noise(length: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn a_delta_holds_little_but_what_differs_wherever_that_is() {
        for level in [1, 3, 9] {
            let mut compressor = Compressor::new(Compression::Zstd(level)).expect("level");
            for length in [5_000, 300_000, 2 << 20] {
                let base = noise(length, 1);
                let (mut delta, mut back) = (Vec::new(), Vec::new());
                for at in [0, length / 2, length - 1000] {
                    let mut object = base.clone();
                    object.splice(at..at + 100, noise(150, 2));
                    assert!(
                        compressor.compress_delta(&base, &object, &mut delta).expect("encodes")
                    );
                    // In long ones the first match takes some bytes to be found.
                    assert!(delta.len() < 4096, "{level} {length} {at}: {}", delta.len());
                    decompress_delta(&base, &delta, object.len(), &mut back).expect("decodes");
                    assert!(back == object);
                }
            }
        }
    }

    #[test]
    fn a_delta_decodes_with_its_own_base_and_length_only() {
        let (base, object) = (noise(5000, 1), [&noise(5000, 1)[..], b"more"].concat());
        let (mut delta, mut back) = (Vec::new(), Vec::new());
        let mut compressor = Compressor::new(Compression::default()).expect("level");
        assert!(compressor.compress_delta(&base, &object, &mut delta).expect("encodes"));
        for wrong in [0, object.len() - 1, object.len() + 1] {
            assert!(decompress_delta(&base, &delta, wrong, &mut back).is_err());
        }
        let other = decompress_delta(&noise(5000, 3), &delta, object.len(), &mut back);
        assert!(other.is_err() || back != object);
        assert!(decompress_delta(b"", &delta, object.len(), &mut back).is_err());
        delta.push(0);
        assert!(decompress_delta(&base, &delta, object.len(), &mut back).is_err());
        let mut deflate = Compressor::new(Compression::Deflate(6)).expect("level");
        assert!(!deflate.compress_delta(&base, &object, &mut delta).expect("says no"));
    }

    /// A base may be what zstd takes for a dictionary; here it is bytes like any other.
    #[test]
    fn a_base_that_begins_as_a_dictionary_does_is_a_prefix_all_the_same() {
        let base = [&[0x37, 0xa4, 0x30, 0xec], &noise(5000, 1)[..]].concat();
        let object = [&base[..], b"more"].concat();
        let (mut delta, mut back) = (Vec::new(), Vec::new());
        let mut compressor = Compressor::new(Compression::default()).expect("level");
        assert!(compressor.compress_delta(&base, &object, &mut delta).expect("encodes"));
        assert!(delta.len() < 100);
        decompress_delta(&base, &delta, object.len(), &mut back).expect("decodes");
        assert_eq!(back, object);
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let noise: Vec<u8> = crate::base::hash::plain(b"seed").to_vec();
        let mut stored = Vec::new();
        let mut compressor = Compressor::new(Compression::default()).expect("level");
        assert_eq!(compressor.compress(&noise, &mut stored).expect("stores"), Codec::None);
        assert_eq!(stored, noise);
    }

    #[test]
    fn words_that_name_no_compression_are_refused() {
        for bad in ["", "zstd:0", "zstd:20", "zstd:03", "deflate:10", "none:1", "lz4", "zstd:"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
    }
}
