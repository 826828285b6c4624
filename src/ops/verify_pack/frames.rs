//! Reading the frames of a pack as they were planned, and proving what is in them.
//!
//! Invariant: a pack is read in stretches, each from front to back, and every byte is hashed once on
//! the way; one frame is held. Stretches need not come in order, so several threads can share a pack.

use std::ops::Range;

use blake3::hazmat::ChainingValue;

use super::deltas::{self, Bases};
use super::window::{FileHash, Window, piece_count, piece_range};
use crate::backend::{BackendError, RandomRead};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::limits::PIECE_BYTES;
use crate::format::compress::{Codec, Decompressor};
use crate::format::delta::Base;
use crate::format::list::List;
use crate::format::pack::{
    FRAME_HEADER_BYTES, FrameObject, FramePlace, FrameRecord, decode_frame, decode_frame_header,
    frame_checksum,
};
use crate::ops::with_causes;

/// Pieces of 1 MiB in a stretch: few enough that threads end together, and many beside the frame that
/// reaches into the next stretch.
const STRETCH_PIECES: u64 = 8;

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

impl Planned {
    fn end(&self) -> u64 {
        self.place.offset.saturating_add(self.place.total_length())
    }
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

    /// The object that comes next was not proved, because its base is not at hand.
    fn unproved(&mut self) {}

    /// Nothing of a frame can be used, because of what stands at this byte of the pack.
    fn lost(&mut self, frame: &Planned, at: u64, reason: String);
}

/// Consecutive pieces of a pack, and the planned frames that begin in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Stretch {
    pub(in crate::ops) pieces: Range<u64>,
    frames: Range<usize>,
}

/// Divides a pack into stretches. Each piece and each frame is in one of them.
pub(in crate::ops) fn stretches(pack_bytes: u64, plan: &[Planned]) -> Vec<Stretch> {
    let count = piece_count(pack_bytes);
    let mut stretches = Vec::new();
    let (mut piece, mut frame) = (0, 0);
    while piece < count {
        let next = piece.saturating_add(STRETCH_PIECES).min(count);
        let end = next.saturating_mul(PIECE_BYTES as u64);
        let frames_end = match next == count {
            true => plan.len(),
            false => plan.partition_point(|planned| planned.place.offset < end).max(frame),
        };
        stretches.push(Stretch { pieces: piece..next, frames: frame..frames_end });
        (piece, frame) = (next, frames_end);
    }
    stretches
}

/// Reads planned frames and all that is between and after them; the hash of the pack.
///
/// # Errors
///
/// Some of it could not be read; the frames that could be were visited.
pub(in crate::ops) fn read_planned(
    pack: &dyn RandomRead,
    plan: &[Planned],
    reader: &mut FrameReader,
    bases: &Bases<'_>,
    visitor: &mut dyn Visitor,
) -> Result<Id, BackendError> {
    let mut hash = FileHash::new(pack.length_bytes());
    for stretch in stretches(pack.length_bytes(), plan) {
        hash.add(stretch.pieces.start, reader.read((pack, plan), &stretch, bases, visitor));
    }
    hash.finish()
}

/// Reads stretches of packs, with memory kept from one to the next.
#[derive(Debug, Default)]
pub(in crate::ops) struct FrameReader {
    window: Window,
    decompressor: Decompressor,
    raw: Vec<u8>,
}

impl FrameReader {
    /// Reads a stretch of a pack and proves what is in its frames; the values of its pieces.
    ///
    /// # Errors
    ///
    /// Some of it could not be read; the frames that could be were visited.
    pub(in crate::ops) fn read(
        &mut self,
        (pack, plan): (&dyn RandomRead, &[Planned]),
        stretch: &Stretch,
        bases: &Bases<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<Vec<ChainingValue>, BackendError> {
        let before = stretch.frames.start.checked_sub(1).and_then(|last| plan.get(last));
        let mut behind = before.map_or(0, Planned::end);
        let mut frames = plan.get(stretch.frames.clone()).unwrap_or_default().iter().peekable();
        let (mut values, mut failed) = (Vec::new(), None);
        self.window.reset(piece_range(stretch.pieces.start, pack.length_bytes()).start);
        for number in stretch.pieces.clone() {
            if number + 1 < stretch.pieces.end {
                pack.will_need(piece_range(number + 1, pack.length_bytes()));
            }
            match self.window.piece(pack, number) {
                Ok(value) => values.push(value),
                Err(error) => failed = failed.or(Some(error)),
            }
            let end = piece_range(number, pack.length_bytes()).end;
            while let Some(frame) = frames.next_if(|frame| frame.end() <= end) {
                let read = self.decode(pack, frame, behind);
                self.visit(frame, read, bases, visitor);
                behind = frame.end();
            }
            self.window.release(frames.peek().map_or(end, |frame| frame.place.offset));
        }
        for frame in frames {
            let read = self.decode(pack, frame, behind);
            self.visit(frame, read, bases, visitor);
            behind = frame.end();
        }
        failed.map_or(Ok(values), Err)
    }

    fn visit(
        &self,
        frame: &Planned,
        mut read: Result<(), (u64, String)>,
        bases: &Bases<'_>,
        visitor: &mut dyn Visitor,
    ) {
        // Where a frame cannot be read the rest may still be; that is found out one by one.
        visitor.bytes(frame.place.total_length());
        let is_delta = frame.place.codec == Codec::Delta;
        if is_delta && read.is_ok() {
            let at = frame.place.offset + FRAME_HEADER_BYTES as u64;
            read = deltas::visit(frame, &self.raw, bases, visitor).map_err(|why| (at, why));
        }
        match read {
            Err((at, reason)) => visitor.lost(frame, at, reason),
            Ok(()) if is_delta => {}
            Ok(()) => {
                for (offset, object) in &frame.objects {
                    visitor.object(&frame.place, object, prove_in(&self.raw, *offset, object));
                }
            }
        }
    }

    /// Decodes one frame into `raw`, or copies it as it is stored if it is a delta frame; else where in
    /// the pack it is wrong, and why. `behind` is where the frame before it ends.
    fn decode(
        &mut self,
        pack: &dyn RandomRead,
        frame: &Planned,
        behind: u64,
    ) -> Result<(), (u64, String)> {
        let place = &frame.place;
        let at_header = |reason: String| (place.offset, reason);
        let end = place.offset.checked_add(place.total_length());
        let end = end.filter(|end| place.offset >= behind && *end <= pack.length_bytes());
        let end = end.ok_or_else(|| at_header("it reaches beyond its place".to_owned()))?;
        let stored = self.window.get(pack, place.offset..end);
        let stored = stored.map_err(|error| at_header(with_causes(&error)))?;
        let (header, body) = stored.split_at_checked(FRAME_HEADER_BYTES).unwrap_or_default();
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
            self.raw.clear();
            self.raw.extend_from_slice(body);
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
