//! The objects of delta frames, decoded one by one from their bases.
//!
//! Invariant: a base that is lost costs the objects that need it, not the others of their frame.

use super::frames::{Planned, Visitor};
use crate::base::hash::object_id;
use crate::format::compress::decompress_delta;
use crate::format::delta::{Base, Delta, decode_delta_frame};
use crate::format::pack::{FrameObject, FramePlace};
use crate::ops::with_causes;
use crate::store::{ObjectBytes, ReadError, Store, Stored};

/// Gives the bytes of a base; `None` where there is no repository to look in.
pub(in crate::ops) type Bases<'b> =
    dyn Fn(&Base) -> Result<Option<ObjectBytes>, ReadError> + Sync + 'b;

/// The bytes of a base, from wherever they can be had; `None` if it is nowhere.
pub(in crate::ops) fn base_from(
    store: &Store,
    base: &Base,
) -> Result<Option<ObjectBytes>, ReadError> {
    match store.load(&base.id, base.kind) {
        Ok(Stored::Whole(bytes)) => Ok(Some(bytes)),
        Ok(Stored::List(_)) | Err(ReadError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Decodes an object into `bytes`; whether its base is at hand, or why it cannot be decoded.
fn decode(delta: &Delta<'_>, bases: &Bases<'_>, bytes: &mut Vec<u8>) -> Result<bool, String> {
    let needs = |why: String| {
        format!("it needs {} {}, which cannot be read: {why}", delta.base.kind, delta.base.id)
    };
    let base = bases(&delta.base).map_err(|error| needs(with_causes(&error)))?;
    let Some(base) = base else { return Ok(false) };
    decompress_delta(&base, delta.stored, delta.length as usize, bytes)
        .map_err(|error| with_causes(&error))?;
    Ok(true)
}

/// Proves the objects of a delta frame of which these are the stored bytes; else why it is not the
/// frame that was planned.
pub(super) fn visit(
    frame: &Planned,
    stored: &[u8],
    bases: &Bases<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), String> {
    let deltas = decode_delta_frame(stored, frame.place.raw_length);
    let deltas = deltas.map_err(|error| with_causes(&error))?;
    let is_same = deltas.len() == frame.objects.len()
        && deltas.iter().zip(&frame.objects).all(|(delta, (offset, object))| {
            (delta.kind, delta.length) == (object.kind, object.length)
                && (delta.offset, false) == (*offset, object.is_list)
        })
        && deltas.iter().map(|delta| &delta.base).eq(&frame.bases);
    if frame.checksum.is_some() && !is_same {
        return Err("its table of objects is not that of the footer".to_owned());
    }
    let mut bytes = Vec::new();
    for (offset, object) in &frame.objects {
        let proved = match deltas.iter().find(|delta| delta.offset == *offset) {
            None => Err("beyond its frame".to_owned()),
            Some(delta) => match decode(delta, bases, &mut bytes) {
                Ok(true) if object_id(delta.kind, &bytes) != object.id => {
                    Err("its bytes are not those of its id".to_owned())
                }
                Ok(true) => Ok(bytes.len() as u64),
                Ok(false) => {
                    visitor.unproved();
                    Ok(u64::from(delta.length))
                }
                Err(reason) => Err(reason),
            },
        };
        visitor.object(&frame.place, object, proved);
    }
    Ok(())
}

/// Calls `each` with every object of a delta frame; else why one of them cannot be decoded.
pub(super) fn for_each(
    place: &FramePlace,
    stored: &[u8],
    bases: &Bases<'_>,
    each: &mut dyn FnMut(&Delta<'_>, &[u8]),
) -> Result<(), String> {
    let deltas = decode_delta_frame(stored, place.raw_length);
    let mut bytes = Vec::new();
    for delta in deltas.map_err(|error| with_causes(&error))? {
        if !decode(&delta, bases, &mut bytes)? {
            return Err(format!("it needs {} {}", delta.base.kind, delta.base.id));
        }
        each(&delta, &bytes);
    }
    Ok(())
}

/// What can be decoded of a delta frame.
#[derive(Debug, Default)]
pub(super) struct SoundPart {
    pub(super) objects: Vec<FrameObject>,
    /// The base of each, and the bytes that it takes in `deltas`.
    pub(super) parts: Vec<(Base, u32)>,
    pub(super) deltas: Vec<u8>,
    /// Why the first of the others cannot be decoded.
    pub(super) left_out: Option<String>,
}

/// Decodes every object of a delta frame that can be; else why there is none.
pub(super) fn sound_part(
    place: &FramePlace,
    stored: &[u8],
    bases: &Bases<'_>,
) -> Result<SoundPart, String> {
    let deltas = decode_delta_frame(stored, place.raw_length);
    let (mut part, mut bytes) = (SoundPart::default(), Vec::new());
    for delta in deltas.map_err(|error| with_causes(&error))? {
        let (kind, length) = (delta.kind, delta.length);
        let lost = match decode(&delta, bases, &mut bytes) {
            Ok(true) => {
                let id = object_id(kind, &bytes);
                part.objects.push(FrameObject { id, kind, is_list: false, length });
                part.parts.push((delta.base, delta.stored.len() as u32));
                part.deltas.extend_from_slice(delta.stored);
                continue;
            }
            Ok(false) => format!("an object needs {} {}", delta.base.kind, delta.base.id),
            Err(reason) => reason,
        };
        part.left_out.get_or_insert(lost);
    }
    match part.left_out {
        Some(reason) if part.objects.is_empty() => Err(reason),
        _ => Ok(part),
    }
}
