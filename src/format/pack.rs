//! Packs: a header, solid frames of objects, a footer that says where each is, a trailer.
//!
//! Invariant: offsets follow from lengths; no fact stands in a pack twice, but that each frame can
//! be read without the footer. Format: runup-repository(5), PACKS.

use super::codec::{DecodeError, Reader, put_length, put_varint};
use super::compress::Codec;
use super::delta::{BASE_BYTES, Base};
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{FRAME_BYTES_MAX, FRAME_OBJECT_BYTES_MAX, FRAME_OBJECTS_MAX};

/// Bytes of the header that this version writes.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the header of a frame that this version writes.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 64;
/// Most bytes of a footer.
pub const FOOTER_BYTES_MAX: u64 = 1 << 30;

const HEADER_MAGIC: &[u8; 8] = b"RunUpPck";
/// What the header of a frame begins with.
pub const FRAME_MAGIC: &[u8; 4] = b"RUfr";
const TRAILER_MAGIC: &[u8; 8] = b"RunUpEnd";
const VERSION: u16 = 1;
const LIST_BIT: u8 = 0x80;

/// What a pack is for: trees and lists are kept apart from file data, so browsing touches little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum PackClass {
    /// Blobs.
    Content = 0,
    /// Everything else, and the lists of blobs.
    Metadata = 1,
}

impl PackClass {
    /// The word for it, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Metadata => "metadata",
        }
    }
}

/// What stands at the front of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the pack is for.
    pub class: PackClass,
    /// Random bytes, so that no pack name ever recurs.
    pub salt: [u8; 16],
}

/// Why a pack, index or frame cannot be read by this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are not what the format says.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes are of a later version, or need a feature that this version lacks.
    #[error("needs a newer runup: {0}")]
    Unsupported(&'static str),
}

impl Header {
    /// Encodes the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.class as u16).to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.salt);
        out.resize(HEADER_BYTES, 0);
        out.try_into().unwrap_or([0; HEADER_BYTES])
    }

    /// Decodes the header from the front of a pack.
    ///
    /// # Errors
    ///
    /// Not a pack, or one of a version or with flags that are not known here.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<8>()? != HEADER_MAGIC {
            return Err(DecodeError { what: "not a pack", offset: 0 }.into());
        }
        if reader.u16()? != VERSION {
            return Err(FormatError::Unsupported("unknown version of pack"));
        }
        let class = match reader.u16()? {
            0 => PackClass::Content,
            1 => PackClass::Metadata,
            _ => return Err(FormatError::Unsupported("unknown class of pack")),
        };
        let length = reader.u32()?;
        if reader.u32()? != 0 || length as usize != HEADER_BYTES {
            return Err(FormatError::Unsupported("unknown required flag of pack"));
        }
        let _optional_flags = reader.u32()?;
        Ok(Self { class, salt: reader.array()? })
    }
}

/// One object of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameObject {
    /// The id of the object.
    pub id: Id,
    /// Its kind.
    pub kind: Kind,
    /// Whether its list is stored here rather than its bytes.
    pub is_list: bool,
    /// Stored bytes, uncompressed.
    pub length: u32,
}

impl FrameObject {
    /// Kind and form in one byte.
    pub const fn tag(&self) -> u8 {
        self.kind as u8 | if self.is_list { LIST_BIT } else { 0 }
    }
}

/// Kind and form from one byte.
///
/// Chunks and pages are never lists themselves.
pub fn decode_tag(tag: u8) -> Option<(Kind, bool)> {
    let is_list = tag & LIST_BIT != 0;
    let kind = Kind::from_number(tag & !LIST_BIT)?;
    (!is_list || kind.may_be_list()).then_some((kind, is_list))
}

/// Where a frame is and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    /// Where its header begins, in bytes from the front of the pack.
    pub offset: u64,
    /// Bytes after its header.
    pub stored_length: u32,
    /// Bytes when decompressed.
    pub raw_length: u32,
    /// How it is compressed.
    pub codec: Codec,
}

impl FramePlace {
    /// Header and stored bytes together.
    pub const fn total_length(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + self.stored_length as u64
    }
}

/// A frame as the footer tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRecord {
    /// Where it is.
    pub place: FramePlace,
    /// First 16 bytes of the BLAKE3 hash of its stored bytes.
    pub checksum: [u8; 16],
    /// Its objects, in order.
    pub objects: Vec<FrameObject>,
    /// The base of each object of a delta frame, in order; none in any other frame.
    pub bases: Vec<Base>,
}

impl FrameRecord {
    /// Where the objects begin in the decompressed frame, in order.
    pub fn object_offsets(&self) -> impl Iterator<Item = (u32, &FrameObject)> {
        let table = encode_table(&self.objects).len() as u32;
        self.objects.iter().scan(table, |offset, object| {
            let start = *offset;
            *offset = offset.saturating_add(object.length);
            Some((start, object))
        })
    }

    /// The base of the object with this number in the frame; `None` if it needs none.
    pub fn base(&self, number: usize) -> Option<Base> {
        self.bases.get(number).copied()
    }
}

/// The checksum of the stored bytes of a frame.
pub fn frame_checksum(stored: &[u8]) -> [u8; 16] {
    let [left, _right] = *plain(stored).as_chunks::<16>().0 else { return [0; 16] };
    left
}

/// Encodes the header of a frame.
pub fn encode_frame_header(codec: Codec, stored: &[u8], raw_length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER_BYTES);
    out.extend_from_slice(FRAME_MAGIC);
    out.push(codec as u8);
    out.push(0);
    out.extend_from_slice(&(FRAME_HEADER_BYTES as u16).to_le_bytes());
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    out.extend_from_slice(&(raw_length as u32).to_le_bytes());
    out.extend_from_slice(&frame_checksum(stored));
    out
}

/// Decodes the header of a frame that stands at `offset`: its place and checksum.
///
/// # Errors
///
/// Not a frame, lengths over the limits, or a codec or flag that is not known here.
pub fn decode_frame_header(
    bytes: &[u8],
    offset: u64,
) -> Result<(FramePlace, [u8; 16]), FormatError> {
    let mut reader = Reader::new(bytes);
    if &reader.array::<4>()? != FRAME_MAGIC {
        return Err(DecodeError { what: "not a frame", offset: 0 }.into());
    }
    let codec = Codec::from_number(reader.u8()?);
    let codec = codec.ok_or(FormatError::Unsupported("unknown codec of frame"))?;
    let (flags, header_length) = (reader.u8()?, reader.u16()?);
    if flags != 0 || usize::from(header_length) != FRAME_HEADER_BYTES {
        return Err(FormatError::Unsupported("unknown flag of frame"));
    }
    let place =
        FramePlace { offset, stored_length: reader.u32()?, raw_length: reader.u32()?, codec };
    check_lengths(&place).map_err(|what| reader.error(what))?;
    Ok((place, reader.array()?))
}

pub(super) fn check_lengths(place: &FramePlace) -> Result<(), &'static str> {
    let (stored, raw) = (place.stored_length as usize, place.raw_length as usize);
    if raw > FRAME_BYTES_MAX || stored > raw || (place.codec == Codec::None && stored != raw) {
        return Err("frame length over the limit, or none that its codec can have");
    }
    Ok(())
}

/// Bytes of the table of a frame of so many whole objects, which have these lengths.
pub(super) fn table_length(count: usize, lengths: impl Iterator<Item = u32>) -> usize {
    let varint_bytes = |value: u64| (value | 1).ilog2() as usize / 7 + 1;
    let each = lengths.map(|length| 1 + varint_bytes(u64::from(length)));
    each.fold(varint_bytes(count as u64), usize::saturating_add)
}

/// Encodes the table that a raw frame begins with; the bytes of its objects follow it.
pub fn encode_table(objects: &[FrameObject]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + objects.len() * 4);
    put_length(&mut out, objects.len());
    for object in objects {
        out.push(object.tag());
        put_varint(&mut out, u64::from(object.length));
        if object.is_list {
            out.extend_from_slice(object.id.as_bytes());
        }
    }
    out
}

/// Encodes the raw bytes of a frame: the table of its objects, then `bodies`, all their bytes.
pub fn encode_frame(objects: &[FrameObject], bodies: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&encode_table(objects));
    out.extend_from_slice(bodies);
    out
}

/// An object found in a raw frame: kind, whether it is a list (then with its id), and its bytes.
pub type FrameBody<'a> = (Kind, Option<Id>, &'a [u8]);

/// Decodes a raw frame. Used where the footer is lost or doubted.
///
/// # Errors
///
/// The table does not describe exactly the bytes that follow it.
pub fn decode_frame(raw: &[u8]) -> Result<Vec<FrameBody<'_>>, DecodeError> {
    let mut reader = Reader::new(raw);
    let at = reader.error("no objects, or too many, in a frame");
    let count = reader.count(2)?;
    if !(1..=FRAME_OBJECTS_MAX).contains(&count) {
        return Err(at);
    }
    let mut table = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.error("unknown kind of object");
        let (kind, is_list) = decode_tag(reader.u8()?).ok_or(at)?;
        let length = reader.varint_to(FRAME_OBJECT_BYTES_MAX as u64, "object too long")? as usize;
        let id = if is_list { Some(reader.id()?) } else { None };
        table.push((kind, id, length));
    }
    let bodies = table
        .into_iter()
        .map(|(kind, id, length)| reader.take(length).map(|bytes| (kind, id, bytes)))
        .collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(bodies)
}

/// Encodes the footer and the trailer of a pack whose frames end at `offset`.
pub fn encode_footer(frames: &[FrameRecord], offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_length(&mut out, frames.len());
    for frame in frames {
        put_varint(&mut out, u64::from(frame.place.stored_length));
        put_varint(&mut out, u64::from(frame.place.raw_length));
        out.push(frame.place.codec as u8);
        out.push(0);
        out.extend_from_slice(&frame.checksum);
        put_length(&mut out, frame.objects.len());
        for object in &frame.objects {
            out.extend_from_slice(object.id.as_bytes());
            out.push(object.tag());
            put_varint(&mut out, u64::from(object.length));
        }
        frame.bases.iter().for_each(|base| base.put(&mut out));
    }
    let checksum = plain(&out);
    let length = out.len() as u64;
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(TRAILER_MAGIC);
    out
}

/// Where the footer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where the footer begins, in bytes from the front of the pack.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    checksum: [u8; 32],
}

impl Trailer {
    /// Decodes the last [`TRAILER_BYTES`] of a pack of `pack_bytes` bytes.
    ///
    /// # Errors
    ///
    /// Not a trailer, or one that does not fit the pack.
    pub fn decode(bytes: &[u8], pack_bytes: u64) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (offset, length) = (reader.u64()?, reader.u64()?);
        let checksum = reader.array()?;
        let reserved = reader.u64()?;
        if &reader.array::<8>()? != TRAILER_MAGIC || reserved != 0 {
            return Err(reader.error("no trailer at the end of the pack"));
        }
        let end = offset.checked_add(length).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if end != Some(pack_bytes) || offset < HEADER_BYTES as u64 || length > FOOTER_BYTES_MAX {
            return Err(reader.error("footer does not fit the pack"));
        }
        Ok(Self { offset, length, checksum })
    }

    /// Decodes the footer that this trailer points to.
    ///
    /// # Errors
    ///
    /// Damaged bytes, or frames that do not fill the pack up to the footer.
    pub fn decode_footer(&self, bytes: &[u8]) -> Result<Vec<FrameRecord>, DecodeError> {
        let mut reader = Reader::new(bytes);
        if plain(bytes) != self.checksum {
            return Err(reader.error("footer is damaged"));
        }
        let mut offset = HEADER_BYTES as u64;
        let count = reader.count(21)?;
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            let frame = decode_frame_record(&mut reader, offset)?;
            offset = offset.saturating_add(frame.place.total_length());
            frames.push(frame);
        }
        if offset != self.offset {
            return Err(reader.error("frames do not end where the footer begins"));
        }
        reader.finish()?;
        Ok(frames)
    }
}

fn decode_frame_record(reader: &mut Reader<'_>, offset: u64) -> Result<FrameRecord, DecodeError> {
    let most = FRAME_BYTES_MAX as u64;
    let stored_length = reader.varint_to(most, "frame too long")? as u32;
    let raw_length = reader.varint_to(most, "frame too long")? as u32;
    let at = reader.error("unknown codec or flag of frame");
    let codec = Codec::from_number(reader.u8()?).ok_or_else(|| at.clone())?;
    if reader.u8()? != 0 {
        return Err(at);
    }
    let place = FramePlace { offset, stored_length, raw_length, codec };
    check_lengths(&place).map_err(|what| reader.error(what))?;
    let checksum = reader.array()?;
    let at = reader.error("no objects, or too many, in a frame");
    let count = reader.count(34)?;
    if !(1..=FRAME_OBJECTS_MAX).contains(&count) {
        return Err(at);
    }
    let mut objects = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.id()?;
        let at = reader.error("unknown kind of object");
        let (kind, is_list) = decode_tag(reader.u8()?).ok_or(at)?;
        let length = reader.varint_to(FRAME_OBJECT_BYTES_MAX as u64, "object too long")? as u32;
        objects.push(FrameObject { id, kind, is_list, length });
    }
    let mut bases = Vec::new();
    if codec == Codec::Delta {
        let at = reader.error("bases of objects are cut short");
        if reader.remaining() / BASE_BYTES < count {
            return Err(at);
        }
        for object in &objects {
            let at = reader.error("an object that can have no base");
            let base = Base::decode(reader)?;
            if object.is_list || object.length == 0 || base.id == object.id {
                return Err(at);
            }
            bases.push(base);
        }
    }
    let frame = FrameRecord { place, checksum, objects, bases };
    let raw = encode_table(&frame.objects).len() as u64
        + frame.objects.iter().map(|object| u64::from(object.length)).sum::<u64>();
    if raw != u64::from(raw_length) {
        return Err(reader.error("objects do not fill their frame"));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(seed: u8, is_list: bool, length: u32) -> FrameObject {
        FrameObject { id: Id::from_bytes([seed; 32]), kind: Kind::Blob, is_list, length }
    }

    fn pack() -> (Vec<FrameRecord>, Vec<u8>) {
        let mut offset = HEADER_BYTES as u64;
        let frames = (1..4_u8)
            .map(|n| {
                let objects = vec![object(n, false, 10), object(n + 10, n == 2, 300)];
                let raw = encode_frame(&objects, &[n; 310]);
                let place = FramePlace {
                    offset,
                    stored_length: raw.len() as u32,
                    raw_length: raw.len() as u32,
                    codec: Codec::None,
                };
                offset += place.total_length();
                FrameRecord { place, checksum: frame_checksum(&raw), objects, bases: Vec::new() }
            })
            .collect::<Vec<_>>();
        let footer = encode_footer(&frames, offset);
        (frames, footer)
    }

    #[test]
    fn footers_round_trip_and_any_flip_is_seen() {
        let (frames, tail) = pack();
        let offset = frames.last().map_or(0, |f| f.place.offset + f.place.total_length());
        let whole = offset + tail.len() as u64;
        let (footer, trailer) = tail.split_at(tail.len() - TRAILER_BYTES);
        let decoded = Trailer::decode(trailer, whole).expect("trailer");
        assert_eq!(decoded.decode_footer(footer), Ok(frames));
        for at in 0..tail.len() {
            let mut bad = tail.clone();
            bad[at] ^= 1;
            let (footer, trailer) = bad.split_at(bad.len() - TRAILER_BYTES);
            let read = Trailer::decode(trailer, whole).and_then(|t| t.decode_footer(footer));
            assert!(read.is_err(), "flip at {at}");
        }
    }

    #[test]
    fn frames_round_trip_and_say_where_objects_begin() {
        let objects = vec![object(1, false, 3), object(2, true, 2)];
        let raw = encode_frame(&objects, b"abcde");
        let bodies = decode_frame(&raw).expect("frame");
        assert_eq!(bodies[0], (Kind::Blob, None, &b"abc"[..]));
        assert_eq!(bodies[1], (Kind::Blob, Some(objects[1].id), &b"de"[..]));
        let (frames, _) = pack();
        let offsets: Vec<u32> = frames[0].object_offsets().map(|(offset, _)| offset).collect();
        assert_eq!(offsets[1] - offsets[0], 10);
    }

    #[test]
    fn headers_round_trip_and_later_versions_are_refused() {
        let header = Header { class: PackClass::Metadata, salt: [3; 16] };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for (at, wanted) in [(8, true), (10, true), (12, true), (16, true), (0, false), (20, false)]
        {
            let mut other = bytes;
            other[at] ^= 0x40;
            let unsupported = matches!(Header::decode(&other), Err(FormatError::Unsupported(_)));
            assert_eq!(unsupported, wanted, "byte {at}");
        }
        let frame = encode_frame_header(Codec::Zstd, b"xyz", 100);
        assert!(decode_frame_header(&frame, 64).is_ok());
        let huge = encode_frame_header(Codec::Zstd, b"xyz", FRAME_BYTES_MAX + 1);
        assert!(decode_frame_header(&huge, 64).is_err());
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _header = Header::decode(&bytes);
            let _frame = decode_frame(&bytes);
            let _frame_header = decode_frame_header(&bytes, 0);
            let _trailer = Trailer::decode(&bytes, bytes.len() as u64);
        }
    }
}
