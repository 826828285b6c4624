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
