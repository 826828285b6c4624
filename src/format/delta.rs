//! Delta frames: objects stored as what differs from another object, each from a base of its own.
//!
//! Invariant: each object is decoded by itself, from its base alone: to read one of many in a frame
//! costs one more object, not all of their bases. Format: runup-repository(5), PACKS.

use super::codec::{DecodeError, Reader, put_length, put_varint};
use super::pack::{FrameObject, table_length};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{FRAME_OBJECT_BYTES_MAX, FRAME_OBJECTS_MAX};

/// The object that another one is stored as a difference from. It is stored whole itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    /// Its id.
    pub id: Id,
    /// Its kind.
    pub kind: Kind,
}

/// Bytes of a base as footers and delta frames name it.
pub(super) const BASE_BYTES: usize = 1 + Id::BYTES;

impl Base {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(self.id.as_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.error("unknown kind of base");
        let kind = Kind::from_number(reader.u8()?).ok_or(at)?;
        Ok(Self { id: reader.id()?, kind })
    }
}

/// One object of a delta frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta<'a> {
    /// Its kind. Its id follows from its bytes.
    pub kind: Kind,
    /// Its bytes, once they are decoded.
    pub length: u32,
    /// Where they begin in the raw frame.
    pub offset: u32,
    /// What it is decoded from.
    pub base: Base,
    /// One zstd frame, with the bytes of the base as its prefix.
    pub stored: &'a [u8],
}

/// Encodes the stored bytes of a delta frame: a table, then `deltas`, the zstd frames of its
/// objects, joined. `parts` has the base of each object and the bytes of its zstd frame.
pub fn encode_delta_frame(
    objects: &[FrameObject],
    parts: &[(Base, u32)],
    deltas: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(deltas.len() + 8 + objects.len() * (BASE_BYTES + 8));
    put_length(&mut out, objects.len());
    for (object, (base, stored)) in objects.iter().zip(parts) {
        out.push(object.kind as u8);
        put_varint(&mut out, u64::from(object.length));
        base.put(&mut out);
        put_varint(&mut out, u64::from(*stored));
    }
    out.extend_from_slice(deltas);
    out
}

/// Decodes the stored bytes of a delta frame, as far as no base is needed.
///
/// # Errors
///
/// The table does not describe exactly the bytes that follow it, or a frame of `raw_length` bytes.
pub fn decode_delta_frame(stored: &[u8], raw_length: u32) -> Result<Vec<Delta<'_>>, DecodeError> {
    let mut reader = Reader::new(stored);
    let at = reader.error("no objects, or too many, in a frame");
    let count = reader.count(3 + BASE_BYTES)?;
    if !(1..=FRAME_OBJECTS_MAX).contains(&count) {
        return Err(at);
    }
    let mut table = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.error("unknown kind of object, or one without bytes");
        let kind = Kind::from_number(reader.u8()?);
        let length = reader.varint_to(FRAME_OBJECT_BYTES_MAX as u64, "object too long")? as u32;
        let kind = kind.filter(|_| length > 0).ok_or(at)?;
        let base = Base::decode(&mut reader)?;
        let stored = reader.varint_to(FRAME_OBJECT_BYTES_MAX as u64, "delta too long")? as usize;
        table.push((kind, length, base, stored));
    }
    let lengths = table.iter().map(|(_, length, ..)| *length);
    let mut offset = table_length(count, lengths) as u32;
    let mut deltas = Vec::with_capacity(count);
    for (kind, length, base, stored) in table {
        deltas.push(Delta { kind, length, offset, base, stored: reader.take(stored)? });
        offset = offset.checked_add(length).ok_or_else(|| reader.error("length overflow"))?;
    }
    if offset != raw_length {
        return Err(reader.error("objects do not fill their frame"));
    }
    reader.finish()?;
    Ok(deltas)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::hash::object_id;
    use crate::format::pack::encode_frame;

    /// Objects with these lengths, their bases, and bytes that stand for their deltas.
    fn frame(lengths: &[(u16, u8)]) -> (Vec<FrameObject>, Vec<(Base, u32)>, Vec<u8>) {
        let id = |number: usize| object_id(Kind::Blob, &number.to_le_bytes());
        let object = |(number, (length, _)): (usize, &(u16, u8))| FrameObject {
            id: id(number),
            kind: if number % 2 == 0 { Kind::Blob } else { Kind::Tree },
            is_list: false,
            length: u32::from(*length) + 1,
        };
        let part = |(number, (_, delta)): (usize, &(u16, u8))| {
            (Base { id: id(number + 1000), kind: Kind::Part }, u32::from(*delta))
        };
        let deltas = lengths.iter().map(|(_, delta)| usize::from(*delta)).sum();
        (
            lengths.iter().enumerate().map(object).collect(),
            lengths.iter().enumerate().map(part).collect(),
            vec![7; deltas],
        )
    }

    proptest! {
        #[test]
        fn frames_round_trip_and_place_objects_as_any_frame_does(
            lengths in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..40),
            cut: usize,
        ) {
            let (objects, parts, deltas) = frame(&lengths);
            let stored = encode_delta_frame(&objects, &parts, &deltas);
            let table = encode_frame(&objects, &[]).len() as u32;
            let raw_length = table + objects.iter().map(|object| object.length).sum::<u32>();
            let decoded = decode_delta_frame(&stored, raw_length).expect("a frame");
            let mut offset = table;
            for ((delta, object), (base, length)) in decoded.iter().zip(&objects).zip(&parts) {
                prop_assert_eq!((delta.kind, delta.length), (object.kind, object.length));
                prop_assert_eq!((delta.offset, delta.base), (offset, *base));
                prop_assert_eq!(delta.stored.len(), *length as usize);
                offset += object.length;
            }
            prop_assert_eq!(decoded.len(), objects.len());
            prop_assert!(decode_delta_frame(&stored, raw_length + 1).is_err());
            prop_assert!(decode_delta_frame(&stored[..cut % stored.len()], raw_length).is_err());
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>, raw_length: u32) {
            let _frame = decode_delta_frame(&bytes, raw_length);
        }

        #[test]
        fn a_flipped_byte_never_panics(at: usize, byte: u8) {
            let (objects, parts, deltas) = frame(&[(3, 4), (500, 6)]);
            let mut stored = encode_delta_frame(&objects, &parts, &deltas);
            let at = at % stored.len();
            stored[at] = byte;
            let _frame = decode_delta_frame(&stored, 600);
        }
    }

    #[test]
    fn an_object_without_bytes_has_no_delta() {
        let (mut objects, parts, deltas) = frame(&[(3, 4)]);
        objects[0].length = 0;
        let stored = encode_delta_frame(&objects, &parts, &deltas);
        assert!(decode_delta_frame(&stored, 3).is_err());
    }
}
