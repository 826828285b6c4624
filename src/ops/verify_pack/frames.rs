//! Reading the frames of a pack as they were planned, and proving what is in them.
//!
//! Invariant: a pack is read from front to back, once, and hashed on the way; one frame is held.

use super::deltas::{self, Bases};
use super::stream::Stream;
use crate::backend::{BackendError, RandomRead};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::format::compress::{Codec, Decompressor};
use crate::format::delta::Base;
use crate::format::list::List;
use crate::format::pack::{
    FRAME_HEADER_BYTES, FrameObject, FramePlace, FrameRecord, decode_frame, decode_frame_header,
    frame_checksum,
};
use crate::ops::with_causes;

/// A frame as a footer, or else an index, tells it.
#[derive(Debug)]
pub(in crate::ops) struct Planned {
    pub(in crate::ops) place: FramePlace,
    /// What a footer says; an index has no checksums.
    pub(in crate::ops) checksum: Option<[u8; 16]>,
    /// Where each object begins in the raw frame, and what it is.
    pub(in crate::ops) objects: Vec<(u32, FrameObject)>,
    /// The base of each object of a delta frame.
    pub(in crate::ops) bases: Vec<Base>,
}

impl From<&FrameRecord> for Planned {
    fn from(record: &FrameRecord) -> Self {
        let objects = record.object_offsets().map(|(offset, object)| (offset, *object)).collect();
        let bases = record.bases.clone();
        Self { place: record.place, checksum: Some(record.checksum), objects, bases }
    }
}

/// Learns what became of each frame and object.
pub(in crate::ops) trait Visitor {
    /// Bytes were read.
    fn bytes(&mut self, _count: u64) {}

    /// An object was found to be the one its id names, with the length of the object itself; or why
    /// it is not. A list is proved as far as its own bytes go.
    fn object(&mut self, frame: &FramePlace, object: &FrameObject, proved: Result<u64, String>);

    /// The object that comes next could not be proved, as its base is not at hand.
    fn unproved(&mut self) {}

    /// Nothing of a frame can be used, because of what stands at this byte of the pack.
    fn lost(&mut self, frame: &Planned, at: u64, reason: String);
}

/// Reads planned frames and all that is between and after them; the hash of the pack.
///
/// # Errors
///
/// Some of it could not be read; the frames that could be were visited.
pub(in crate::ops) fn read_planned(
    pack: &dyn RandomRead,
    plan: &[Planned],
    decompressor: &mut Decompressor,
    bases: &Bases<'_>,
    visitor: &mut dyn Visitor,
) -> Result<Id, BackendError> {
    let mut reader = FrameReader {
        pack_bytes: pack.length_bytes(),
        stream: Stream::new(pack),
        decompressor,
        stored: Vec::new(),
        raw: Vec::new(),
    };
    for frame in plan {
        // Where a frame cannot be read the rest may still be; that is found out one by one.
        let mut read = reader.read(frame);
        visitor.bytes(frame.place.total_length());
        let is_delta = frame.place.codec == Codec::Delta;
        if is_delta && read.is_ok() {
            let at = frame.place.offset + FRAME_HEADER_BYTES as u64;
            read = deltas::visit(frame, reader.body(), bases, visitor).map_err(|why| (at, why));
        }
        match read {
            Err((at, reason)) => visitor.lost(frame, at, reason),
            Ok(()) if is_delta => {}
            Ok(()) => {
                for (offset, object) in &frame.objects {
                    visitor.object(&frame.place, object, prove_in(&reader.raw, *offset, object));
                }
            }
        }
    }
    let rest = reader.stream.skip_to(pack.length_bytes());
    match (rest, reader.stream.finish()) {
        (Ok(()), Some(hash)) => Ok(Id::from_bytes(hash)),
        (Err(error), _) => Err(error),
        (Ok(()), None) => {
            Err(BackendError::Damaged { name: "a part of it".into(), what: "cannot be read" })
        }
    }
}

struct FrameReader<'r> {
    pack_bytes: u64,
    stream: Stream<'r>,
    decompressor: &'r mut Decompressor,
    stored: Vec<u8>,
    raw: Vec<u8>,
}

impl FrameReader<'_> {
    /// The stored bytes of the frame that was read last.
    fn body(&self) -> &[u8] {
        self.stored.get(FRAME_HEADER_BYTES..).unwrap_or_default()
    }

    /// Reads one frame into `raw`, or as it is stored if it is a delta frame; else where in the pack it is wrong, and why.
    fn read(&mut self, frame: &Planned) -> Result<(), (u64, String)> {
        let place = &frame.place;
        let at_header = |reason: String| (place.offset, reason);
        let end = place.offset.checked_add(place.total_length());
        if place.offset < self.stream.position() || end.is_none_or(|end| end > self.pack_bytes) {
            return Err(at_header("it reaches beyond its place".to_owned()));
        }
        // A gap that cannot be read fails the hash of the pack; it is no matter of this frame.
        let _gap = self.stream.skip_to(place.offset);
        let length = usize::try_from(place.total_length());
        let length = length.map_err(|_| at_header("too long".to_owned()))?;
        let taken = self.stream.take(length, &mut self.stored);
        taken.map_err(|error| at_header(with_causes(&error)))?;
        let (header, body) = self.stored.split_at_checked(FRAME_HEADER_BYTES).unwrap_or_default();
        let decoded = decode_frame_header(header, place.offset);
        let (found, checksum) = decoded.map_err(|error| at_header(with_causes(&error)))?;
        if found != *place || frame.checksum.is_some_and(|expected| expected != checksum) {
            return Err(at_header("it is not the one described".to_owned()));
        }
        let at_body = |reason: String| (place.offset + FRAME_HEADER_BYTES as u64, reason);
        if frame_checksum(body) != checksum {
            return Err(at_body("its checksum does not match".to_owned()));
        }
        if place.codec == Codec::Delta {
            return Ok(());
        }
        self.decompressor
            .decompress(place.codec, body, place.raw_length as usize, &mut self.raw)
            .map_err(|error| at_body(with_causes(&error)))?;
        let table = decode_frame(&self.raw).map_err(|error| at_body(with_causes(&error)))?;
        let is_same = table.len() == frame.objects.len()
            && table.iter().zip(&frame.objects).all(|((kind, list_id, bytes), (_, object))| {
                *kind == object.kind
                    && *list_id == object.is_list.then_some(object.id)
                    && bytes.len() == object.length as usize
            });
        if frame.checksum.is_some() && !is_same {
            return Err(at_body("its table of objects is not that of the footer".to_owned()));
        }
        Ok(())
    }
}

fn prove_in(raw: &[u8], offset: u32, object: &FrameObject) -> Result<u64, String> {
    let start = offset as usize;
    let bytes = raw.get(start..start.saturating_add(object.length as usize));
    prove(object, bytes.ok_or("beyond its frame")?)
}

/// Whether the bytes are those of a whole object, or a list, which can be proved only with its
/// pages; the bytes of the object itself.
fn prove(object: &FrameObject, bytes: &[u8]) -> Result<u64, String> {
    if object.is_list {
        let list = List::decode(bytes);
        return list.map(|list| list.length_bytes).map_err(|error| with_causes(&error));
    }
    if object_id(object.kind, bytes) != object.id {
        return Err("its bytes are not those of its id".to_owned());
    }
    Ok(bytes.len() as u64)
}
