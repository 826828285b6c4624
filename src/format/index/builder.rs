//! Segments from packs, or from parts of other segments, collected in memory.

use std::collections::BTreeSet;

use super::{
    DAMAGED, DELTA_BYTES, FRAME_BYTES, Index, PLACE_BYTES, PackRecord, encode_base, encode_frame,
    encode_header, encode_place, fanout_bits, slot_of,
};
use crate::base::id::Id;
use crate::format::codec::DecodeError;
use crate::format::pack::FrameRecord;

/// Collects packs and their frames, and encodes the segment that covers them.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    replaced: BTreeSet<Id>,
    packs: Vec<PackRecord>,
    frames: Vec<[u8; FRAME_BYTES]>,
    objects: Vec<(Id, [u8; PLACE_BYTES])>,
    /// In the order of frames, and of places in each.
    deltas: Vec<[u8; DELTA_BYTES]>,
}

impl IndexBuilder {
    /// Adds a pack with all its frames.
    pub fn add_pack(&mut self, pack: PackRecord, frames: &[FrameRecord]) {
        let number = self.packs.len() as u32;
        self.packs.push(pack);
        for record in frames {
            let frame = self.frames.len() as u32;
            self.frames.push(encode_frame(number, &record.place));
            for (number, (offset, object)) in record.object_offsets().enumerate() {
                let base = record.base(number);
                self.deltas.extend(base.map(|base| encode_base(frame, offset, &base)));
                let place = encode_place(frame, offset, object.length, object.tag());
                self.objects.push((object.id, place));
            }
        }
    }

    /// Adds everything that the segment of this name covers, to replace it and what it replaced.
    ///
    /// # Errors
    ///
    /// The segment is damaged; the builder is of no use then.
    pub fn replace(&mut self, name: Id, segment: &Index<'_>) -> Result<(), DecodeError> {
        self.replace_without(name, segment, &BTreeSet::new())
    }

    /// As [`Self::replace`], but leaves out what lies in these packs.
    ///
    /// # Errors
    ///
    /// As [`Self::replace`].
    pub fn replace_without(
        &mut self,
        name: Id,
        segment: &Index<'_>,
        left_out: &BTreeSet<Id>,
    ) -> Result<(), DecodeError> {
        self.replaced.insert(name);
        self.replaced.extend(segment.replaced());
        let mut packs = Vec::with_capacity(segment.packs as usize);
        for number in 0..segment.packs {
            let pack = segment.pack(number)?;
            let is_kept = !left_out.contains(&pack.name);
            packs.push(is_kept.then_some(self.packs.len() as u32));
            self.packs.extend(Some(pack).filter(|_| is_kept));
        }
        let mut frames = Vec::with_capacity(segment.frames as usize);
        for number in 0..segment.frames {
            let (pack, place) = segment.frame(number)?;
            let pack = packs.get(pack as usize).copied().ok_or(DAMAGED)?;
            frames.push(pack.map(|_| self.frames.len() as u32));
            self.frames.extend(pack.map(|pack| encode_frame(pack, &place)));
        }
        for number in 0..segment.deltas {
            let (frame, offset, base) = segment.delta(number)?;
            let frame = frames.get(frame as usize).copied().ok_or(DAMAGED)?;
            self.deltas.extend(frame.map(|frame| encode_base(frame, offset, &base)));
        }
        for number in 0..segment.objects {
            let id = segment.id(number).ok_or(DAMAGED)?;
            let (frame, offset, length, tag) = segment.raw_place(number)?;
            let frame = frames.get(frame as usize).copied().ok_or(DAMAGED)?;
            let place = frame.map(|frame| (id, encode_place(frame, offset, length, tag)));
            self.objects.extend(place);
        }
        Ok(())
    }

    /// Objects that were added, one that came twice counted twice.
    pub fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// Encodes the segment. `salt` is random, so that no segment's name ever recurs.
    pub fn encode(mut self, salt: [u8; 16]) -> Vec<u8> {
        self.objects.sort_unstable();
        self.objects.dedup();
        let count = self.objects.len() as u64;
        let bits = fanout_bits(count);
        let counts =
            [&self.packs.len(), &self.frames.len(), &self.replaced.len(), &self.deltas.len()];
        let mut out = encode_header(bits, counts.map(|count| *count as u32), count, salt);
        self.replaced.iter().for_each(|name| out.extend_from_slice(name.as_bytes()));
        for pack in &self.packs {
            out.extend_from_slice(pack.name.as_bytes());
            out.extend_from_slice(&pack.length_bytes.to_le_bytes());
        }
        self.frames.iter().for_each(|frame| out.extend_from_slice(frame));
        let mut next = 0;
        for slot in 0..1_u64 << bits {
            while self.objects.get(next).is_some_and(|(id, _)| slot_of(id, bits) <= slot) {
                next += 1;
            }
            out.extend_from_slice(&(next as u32).to_le_bytes());
        }
        self.objects.iter().for_each(|(id, _)| out.extend_from_slice(id.as_bytes()));
        self.objects.iter().for_each(|(_, place)| out.extend_from_slice(place));
        self.deltas.iter().for_each(|delta| out.extend_from_slice(delta));
        out
    }
}
