//! Loose objects: one zlib stream of `<kind> <length>\0` and the bytes, as in git.
//!
//! Format: runup-repository(5), LOOSE OBJECTS.

use std::io::{Read, Write};

use super::codec::DecodeError;
use crate::base::kind::Kind;
use crate::base::limits::FRAME_OBJECT_BYTES_MAX;

/// What a loose file holds: the whole bytes of an object, or its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// The kind of the object.
    pub kind: Kind,
    /// Whether `bytes` is the list of a long object rather than its own bytes.
    pub is_list: bool,
    /// What is stored.
    pub bytes: Vec<u8>,
}

const LIST_SUFFIX: &str = "-list";
const HEADER_BYTES_MAX: usize = 40;

/// Encodes a loose object. Level 0 to 9.
pub fn encode(kind: Kind, is_list: bool, bytes: &[u8], level: u32) -> Vec<u8> {
    let suffix = if is_list { LIST_SUFFIX } else { "" };
    let header = format!("{kind}{suffix} {}\0", bytes.len());
    let mut encoder =
        flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level.min(9)));
    let written = encoder.write_all(header.as_bytes()).and_then(|()| encoder.write_all(bytes));
    // Writing to a vector cannot fail; an encoder that did would be caught by the caller's check.
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Decodes a loose object.
///
/// # Errors
///
/// Not a zlib stream, a header that is not canonical, a length that is not that of the bytes or over
/// 64 MiB, or anything after the stream.
pub fn decode(stored: &[u8]) -> Result<Loose, DecodeError> {
    let fail = |what| DecodeError { what, offset: 0 };
    let mut decoder = flate2::bufread::ZlibDecoder::new(stored);
    let mut raw = Vec::new();
    let most = (FRAME_OBJECT_BYTES_MAX + HEADER_BYTES_MAX) as u64;
    let read = decoder.by_ref().take(most + 1).read_to_end(&mut raw);
    read.map_err(|_| fail("not a whole zlib stream"))?;
    if raw.len() as u64 > most {
        return Err(fail("loose object too long"));
    }
    if decoder.total_in() != stored.len() as u64 {
        return Err(fail("bytes after the zlib stream"));
    }
    let end = raw.iter().take(HEADER_BYTES_MAX).position(|byte| *byte == 0);
    let end = end.ok_or_else(|| fail("no header in loose object"))?;
    let bytes = raw.split_off(end + 1);
    let header = raw.get(..end).unwrap_or_default();
    let (kind, is_list) =
        decode_header(header, bytes.len()).ok_or_else(|| fail("bad header of loose object"))?;
    Ok(Loose { kind, is_list, bytes })
}

/// Decodes the header from the first bytes of a loose object: kind, whether it is a list, and the
/// length of what is stored, which only the rest of the bytes can prove.
///
/// # Errors
///
/// Not the front of a zlib stream with a header in canonical form.
pub fn decode_head(stored: &[u8]) -> Result<(Kind, bool, u64), DecodeError> {
    let fail = || DecodeError { what: "no header in loose object", offset: 0 };
    let mut decoder = flate2::bufread::ZlibDecoder::new(stored);
    let (mut head, mut length) = ([0; HEADER_BYTES_MAX], 0);
    // The stream may end in the middle; what came before that is of use.
    while let Some(Ok(count @ 1..)) = head.get_mut(length..).map(|rest| decoder.read(rest)) {
        length += count;
    }
    let head = head.get(..length).unwrap_or_default();
    let header = head.split(|byte| *byte == 0).next().filter(|header| header.len() < length);
    let (kind, is_list, digits) = header.and_then(decode_words).ok_or_else(fail)?;
    let length: u64 = digits.parse().map_err(|_| fail())?;
    let is_canonical = length.to_string() == digits && length <= FRAME_OBJECT_BYTES_MAX as u64;
    if is_canonical { Ok((kind, is_list, length)) } else { Err(fail()) }
}

fn decode_header(header: &[u8], length: usize) -> Option<(Kind, bool)> {
    let (kind, is_list, digits) = decode_words(header)?;
    (digits == length.to_string()).then_some((kind, is_list))
}

fn decode_words(header: &[u8]) -> Option<(Kind, bool, &str)> {
    let (word, digits) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let (word, is_list) = word.strip_suffix(LIST_SUFFIX).map_or((word, false), |w| (w, true));
    let kind: Kind = word.parse().ok()?;
    (!is_list || kind.may_be_list()).then_some((kind, is_list, digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn loose_objects_round_trip(bytes: Vec<u8>, is_list: bool, level in 0_u32..10) {
            let stored = encode(Kind::Tree, is_list, &bytes, level);
            let head = &stored[..stored.len().min(1024)];
            prop_assert_eq!(decode_head(head), Ok((Kind::Tree, is_list, bytes.len() as u64)));
            let loose = Loose { kind: Kind::Tree, is_list, bytes };
            prop_assert_eq!(decode(&stored), Ok(loose));
        }

        #[test]
        fn flipped_or_cut_loose_objects_are_refused(bytes: Vec<u8>, at: usize) {
            let stored = encode(Kind::Blob, false, &bytes, 6);
            prop_assert!(decode(&stored[..at % stored.len()]).is_err());
            let longer = [&stored[..], b"x"].concat();
            prop_assert!(decode(&longer).is_err());
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _decoded = decode(&bytes);
            let _head = decode_head(&bytes);
        }
    }

    #[test]
    fn any_zlib_tool_can_open_one() {
        let mut text = String::new();
        flate2::read::ZlibDecoder::new(&encode(Kind::Blob, false, b"hi\n", 6)[..])
            .read_to_string(&mut text)
            .expect("zlib");
        assert_eq!(text, "blob 3\0hi\n");
    }
}
