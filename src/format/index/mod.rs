//! Index segments: sorted ids with their places, looked up in the mapped file as it is.
//!
//! Invariant: a look-up reads a few lines of memory and allocates nothing; every number read from
//! the bytes is checked before it is used as a place. Format: runup-repository(5), INDEXES.

mod builder;
mod merge;

use std::cmp::Ordering;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::{DecodeError, Reader};
use crate::format::compress::Codec;
use crate::format::delta::Base;
use crate::format::pack::{FormatError, FramePlace, check_lengths, decode_tag};

pub use builder::IndexBuilder;
pub use merge::merge;

const MAGIC: &[u8; 8] = b"RunUpIdx";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 64;
const PACK_BYTES: usize = 40;
const FRAME_BYTES: usize = 24;
const PLACE_BYTES: usize = 16;
const DELTA_BYTES: usize = 44;
const FANOUT_BITS_MAX: u32 = 24;
/// Ids that share a fan-out slot, on average, at least: so few that a look-up reads one or two lines of
/// memory besides the slot.
const SLOT_IDS: u64 = 4;

/// A pack as an index names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackRecord {
    /// Its name: the BLAKE3 hash of its bytes.
    pub name: Id,
    /// Its bytes.
    pub length_bytes: u64,
}

/// Where an object is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the pack in its index segment.
    pub pack: u32,
    /// The frame.
    pub frame: FramePlace,
    /// Where the object begins in the decompressed frame.
    pub offset: u32,
    /// Its stored bytes, uncompressed.
    pub length: u32,
    /// Its kind.
    pub kind: Kind,
    /// Whether its list is stored there rather than its bytes.
    pub is_list: bool,
    /// What it is stored as a difference from; `None` if it needs no other object.
    pub base: Option<Base>,
}

impl Place {
    /// Whether the object's bytes stand there, neither as a list nor as a difference: so that others can be
    /// decoded from them.
    pub fn is_whole(&self) -> bool {
        !self.is_list && self.base.is_none()
    }
}

const DAMAGED: DecodeError = DecodeError { what: "index is damaged", offset: 0 };

/// The bits of an id that choose its slot, in a segment of so many objects.
fn fanout_bits(objects: u64) -> u32 {
    (objects / SLOT_IDS).max(1).ilog2().min(FANOUT_BITS_MAX)
}

/// Encodes the header. `counts` are of packs, frames, replaced segments and deltas.
fn encode_header(bits: u32, counts: [u32; 4], objects: u64, salt: [u8; 16]) -> Vec<u8> {
    let [packs, frames, replaced, deltas] = counts;
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(bits as u16).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&packs.to_le_bytes());
    out.extend_from_slice(&frames.to_le_bytes());
    out.extend_from_slice(&objects.to_le_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&replaced.to_le_bytes());
    out.extend_from_slice(&deltas.to_le_bytes());
    out.resize(HEADER_BYTES, 0);
    out
}

fn slot_of(id: &Id, bits: u32) -> u64 {
    let head = id.as_bytes().iter().take(4);
    head.fold(0, |value, byte| value << 8 | u64::from(*byte)) >> (32 - bits)
}

fn encode_frame(pack: u32, place: &FramePlace) -> [u8; FRAME_BYTES] {
    let mut out = [0; FRAME_BYTES];
    out[..4].copy_from_slice(&pack.to_le_bytes());
    out[4] = place.codec as u8;
    out[8..16].copy_from_slice(&place.offset.to_le_bytes());
    out[16..20].copy_from_slice(&place.stored_length.to_le_bytes());
    out[20..].copy_from_slice(&place.raw_length.to_le_bytes());
    out
}

fn encode_place(frame: u32, offset: u32, length: u32, tag: u8) -> [u8; PLACE_BYTES] {
    let mut out = [0; PLACE_BYTES];
    out[..4].copy_from_slice(&frame.to_le_bytes());
    out[4..8].copy_from_slice(&offset.to_le_bytes());
    out[8..12].copy_from_slice(&length.to_le_bytes());
    out[12] = tag;
    out
}

fn encode_base(frame: u32, offset: u32, base: &Base) -> [u8; DELTA_BYTES] {
    let mut out = [0; DELTA_BYTES];
    out[..4].copy_from_slice(&frame.to_le_bytes());
    out[4..8].copy_from_slice(&offset.to_le_bytes());
    out[8] = base.kind as u8;
    out[12..].copy_from_slice(base.id.as_bytes());
    out
}

/// An index segment, read in place.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    packs: u32,
    frames: u32,
    objects: u64,
    fanout_bits: u32,
    replaced_table: &'a [u8],
    pack_table: &'a [u8],
    frame_table: &'a [u8],
    fanout: &'a [u8],
    ids: &'a [u8],
    places: &'a [u8],
    deltas: u32,
    delta_table: &'a [u8],
}

impl<'a> Index<'a> {
    /// Opens a segment: reads its header and checks that its tables fill the bytes.
    ///
    /// # Errors
    ///
    /// Not an index, cut short, or of a version that is not known here.
    pub fn open(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        if &reader.array::<8>()? != MAGIC {
            return Err(DecodeError { what: "not an index", offset: 0 }.into());
        }
        let (version, fanout_bits) = (reader.u16()?, u32::from(reader.u16()?));
        if version != VERSION || reader.u32()? != 0 {
            return Err(FormatError::Unsupported("unknown version or flag of index"));
        }
        let (packs, frames, objects) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let _salt: [u8; 16] = reader.array()?;
        let (replaced, deltas) = (reader.u32()?, reader.u32()?);
        reader.take(HEADER_BYTES - reader.offset())?;
        if fanout_bits > FANOUT_BITS_MAX || objects > u64::from(u32::MAX) {
            return Err(reader.error("index has impossible counts").into());
        }
        let replaced_table = take_table(&mut reader, u64::from(replaced), Id::BYTES)?;
        let pack_table = take_table(&mut reader, u64::from(packs), PACK_BYTES)?;
        let frame_table = take_table(&mut reader, u64::from(frames), FRAME_BYTES)?;
        let fanout = take_table(&mut reader, 1 << fanout_bits, 4)?;
        let ids = take_table(&mut reader, objects, Id::BYTES)?;
        let places = take_table(&mut reader, objects, PLACE_BYTES)?;
        let delta_table = take_table(&mut reader, u64::from(deltas), DELTA_BYTES)?;
        reader.finish()?;
        Ok(Self {
            packs,
            frames,
            objects,
            fanout_bits,
            replaced_table,
            pack_table,
            frame_table,
            fanout,
            ids,
            places,
            deltas,
            delta_table,
        })
    }

    /// Number of objects it covers.
    pub fn object_count(&self) -> u64 {
        self.objects
    }

    /// Names of the segments that this one replaces: whoever sees it ignores them.
    pub fn replaced(&self) -> impl Iterator<Item = Id> + use<'a> {
        self.replaced_table.chunks(Id::BYTES).filter_map(Id::from_slice)
    }

    /// Number of packs it covers.
    pub fn pack_count(&self) -> u32 {
        self.packs
    }

    /// The pack with this number.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn pack(&self, number: u32) -> Result<PackRecord, DecodeError> {
        let mut reader = Reader::new(record(self.pack_table, u64::from(number), PACK_BYTES)?);
        Ok(PackRecord { name: reader.id()?, length_bytes: reader.u64()? })
    }

    fn frame(&self, number: u32) -> Result<(u32, FramePlace), DecodeError> {
        let mut reader = Reader::new(record(self.frame_table, u64::from(number), FRAME_BYTES)?);
        let pack = reader.u32()?;
        let codec = Codec::from_number(reader.u8()?).ok_or(DAMAGED)?;
        reader.take(3)?;
        let place = FramePlace {
            offset: reader.u64()?,
            stored_length: reader.u32()?,
            raw_length: reader.u32()?,
            codec,
        };
        let is_sound = pack < self.packs && check_lengths(&place).is_ok();
        if is_sound { Ok((pack, place)) } else { Err(DAMAGED) }
    }

    /// The id with this number, in their order.
    pub fn id(&self, number: u64) -> Option<Id> {
        record(self.ids, number, Id::BYTES).ok().and_then(Id::from_slice)
    }

    fn raw_place(&self, number: u64) -> Result<(u32, u32, u32, u8), DecodeError> {
        let mut reader = Reader::new(record(self.places, number, PLACE_BYTES)?);
        Ok((reader.u32()?, reader.u32()?, reader.u32()?, reader.u8()?))
    }

    /// The place of the object with this number.
    ///
    /// # Errors
    ///
    /// The segment is damaged there.
    pub fn place(&self, number: u64) -> Result<Place, DecodeError> {
        let (frame, offset, length, tag) = self.raw_place(number)?;
        let (kind, is_list) = decode_tag(tag).ok_or(DAMAGED)?;
        let frame_number = frame;
        let (pack, frame) = self.frame(frame)?;
        let end = offset.checked_add(length).ok_or(DAMAGED)?;
        if end > frame.raw_length {
            return Err(DAMAGED);
        }
        let base = match frame.codec {
            Codec::Delta => Some(self.base(frame_number, offset)?),
            _ => None,
        };
        if base.is_some() && is_list {
            return Err(DAMAGED);
        }
        Ok(Place { pack, frame, offset, length, kind, is_list, base })
    }

    fn delta(&self, number: u32) -> Result<(u32, u32, Base), DecodeError> {
        let mut reader = Reader::new(record(self.delta_table, u64::from(number), DELTA_BYTES)?);
        let (frame, offset, kind) = (reader.u32()?, reader.u32()?, reader.u8()?);
        reader.take(3)?;
        let kind = Kind::from_number(kind).ok_or(DAMAGED)?;
        Ok((frame, offset, Base { id: reader.id()?, kind }))
    }

    /// The base of what begins at this offset of a delta frame.
    fn base(&self, frame: u32, offset: u32) -> Result<Base, DecodeError> {
        let (mut from, mut to) = (0, self.deltas);
        while from < to {
            let middle = from + (to - from) / 2;
            let (at_frame, at_offset, base) = self.delta(middle)?;
            match (at_frame, at_offset).cmp(&(frame, offset)) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(base),
                Ordering::Greater => to = middle,
            }
        }
        Err(DAMAGED)
    }

    /// Every base that an object of the segment needs, and the number of the pack of that object.
    pub fn bases(&self) -> impl Iterator<Item = (u32, Base)> + '_ {
        (0..self.deltas).filter_map(|number| {
            let (frame, _, base) = self.delta(number).ok()?;
            Some((self.frame(frame).ok()?.0, base))
        })
    }

    /// Numbers of all places of an object: none where it is absent, several where it is stored twice.
    pub fn find(&self, id: &Id) -> std::ops::Range<u64> {
        let slot = slot_of(id, self.fanout_bits);
        let (from, to) = self.slot(slot);
        let from = self.first_not_below(id, from, to);
        let mut to = from;
        while self.id(to).is_some_and(|found| found == *id) {
            to += 1;
        }
        from..to
    }

    /// Numbers of all ids from the first with this prefix on, for abbreviations.
    pub fn from_prefix(&self, prefix: &Id) -> u64 {
        self.first_not_below(prefix, 0, self.objects)
    }

    fn slot(&self, slot: u64) -> (u64, u64) {
        let end_of = |slot: u64| {
            let bytes = record(self.fanout, slot, 4).ok();
            let end = bytes.and_then(|bytes| Reader::new(bytes).u32().ok()).map_or(0, u64::from);
            end.min(self.objects)
        };
        (if slot == 0 { 0 } else { end_of(slot - 1) }, end_of(slot))
    }

    fn first_not_below(&self, id: &Id, mut from: u64, mut to: u64) -> u64 {
        while from < to {
            let middle = from + (to - from) / 2;
            match self.id(middle) {
                Some(found) if found < *id => from = middle + 1,
                _ => to = middle,
            }
        }
        from
    }
}

fn take_table<'a>(
    reader: &mut Reader<'a>,
    count: u64,
    bytes_each: usize,
) -> Result<&'a [u8], DecodeError> {
    let at = reader.error("index is cut short");
    let count = usize::try_from(count).map_err(|_| at.clone())?;
    let length = count.checked_mul(bytes_each).ok_or(at)?;
    reader.take(length)
}

fn record(table: &[u8], number: u64, bytes_each: usize) -> Result<&[u8], DecodeError> {
    let start = usize::try_from(number).ok().and_then(|n| n.checked_mul(bytes_each));
    let end = start.and_then(|start| start.checked_add(bytes_each));
    start.zip(end).and_then(|(start, end)| table.get(start..end)).ok_or(DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::object_id;
    use std::collections::BTreeSet;

    use crate::format::pack::{FrameObject, FrameRecord};
    use proptest::prelude::*;

    fn segment(names: std::ops::Range<u32>) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        for (pack, chunk) in names.collect::<Vec<_>>().chunks(50).enumerate() {
            let objects: Vec<FrameObject> = chunk
                .iter()
                .map(|n| FrameObject {
                    id: object_id(Kind::Blob, &n.to_le_bytes()),
                    kind: Kind::Blob,
                    is_list: n % 7 == 0,
                    length: n % 100,
                })
                .collect();
            let place = FramePlace {
                offset: 64,
                stored_length: 5,
                raw_length: 1 << 20,
                codec: Codec::Zstd,
            };
            let record = PackRecord { name: Id::from_bytes([pack as u8; 32]), length_bytes: 9 };
            let bases = Vec::new();
            let frame = FrameRecord { place, checksum: [0; 16], objects, bases };
            builder.add_pack(record, &[frame]);
        }
        builder.encode([1; 16])
    }

    #[test]
    fn every_id_is_found_and_others_are_not() {
        for count in [0, 1, 50, 3000] {
            let bytes = segment(0..count);
            let index = Index::open(&bytes).expect("index");
            assert_eq!(index.object_count(), u64::from(count));
            for n in 0..count {
                let found = index.find(&object_id(Kind::Blob, &n.to_le_bytes()));
                assert_eq!(found.end - found.start, 1);
                let place = index.place(found.start).expect("place");
                assert_eq!((place.length, place.is_list), (n % 100, n % 7 == 0));
                assert_eq!(place.pack, n / 50);
            }
            for n in count..count + 1000 {
                assert!(index.find(&object_id(Kind::Blob, &n.to_le_bytes())).is_empty());
            }
        }
    }

    #[test]
    fn merged_segments_cover_what_their_parts_cover() {
        let (left, right) = (segment(0..500), segment(400..900));
        let mut builder = IndexBuilder::default();
        for (name, part) in [(1, &left), (2, &right)] {
            let name = Id::from_bytes([name; 32]);
            builder.replace(name, &Index::open(part).expect("index")).expect("whole");
        }
        let merged = builder.encode([2; 16]);
        let mut written = Vec::new();
        let parts = [(1, &left), (2, &right)]
            .map(|(name, part)| (Id::from_bytes([name; 32]), Index::open(part).expect("index")));
        let mut write = |bytes: &[u8]| -> Result<(), DecodeError> {
            written.extend_from_slice(bytes);
            Ok(())
        };
        merge(&parts, &BTreeSet::new(), [2; 16], &mut write).expect("merges");
        assert_eq!(written, merged, "both ways give the same segment");
        let index = Index::open(&merged).expect("index");
        assert_eq!(index.replaced().count(), 2);
        for n in 0..900_u32 {
            let found = index.find(&object_id(Kind::Blob, &n.to_le_bytes()));
            let copies = if (400..500).contains(&n) { 2 } else { 1 };
            assert_eq!(found.end - found.start, copies);
            for place in found {
                assert_eq!(index.place(place).expect("place").length, n % 100);
            }
        }
    }

    /// A pack with a delta frame of objects that have these numbers, each with a base of its own.
    fn delta_pack(numbers: std::ops::Range<u32>) -> (PackRecord, FrameRecord) {
        let id = |n: u32| object_id(Kind::Blob, &n.to_le_bytes());
        let objects: Vec<FrameObject> = numbers
            .clone()
            .map(|n| FrameObject { id: id(n), kind: Kind::Blob, is_list: false, length: 1 + n })
            .collect();
        let bases =
            numbers.clone().map(|n| Base { id: id(n + 10_000), kind: Kind::Blob }).collect();
        let place =
            FramePlace { offset: 64, stored_length: 5, raw_length: 1 << 20, codec: Codec::Delta };
        let name = Id::from_bytes([numbers.start as u8; 32]);
        let record = PackRecord { name, length_bytes: 9 };
        (record, FrameRecord { place, checksum: [0; 16], objects, bases })
    }

    #[test]
    fn bases_are_kept_through_merges_and_go_with_their_pack() {
        let mut merged = IndexBuilder::default();
        for part in [100..140, 200..230] {
            let mut builder = IndexBuilder::default();
            let (pack, frame) = delta_pack(part);
            builder.add_pack(pack, &[frame]);
            let bytes = builder.encode([1; 16]);
            merged.replace(pack.name, &Index::open(&bytes).expect("index")).expect("whole");
        }
        let other = segment(0..90);
        merged
            .replace(Id::from_bytes([7; 32]), &Index::open(&other).expect("index"))
            .expect("whole");
        let bytes = merged.encode([2; 16]);
        let index = Index::open(&bytes).expect("index");
        let left_out = BTreeSet::from([Id::from_bytes([100; 32])]);
        let mut fewer = IndexBuilder::default();
        fewer.replace_without(Id::from_bytes([8; 32]), &index, &left_out).expect("whole");
        let fewer = fewer.encode([3; 16]);
        let fewer = Index::open(&fewer).expect("index");
        for (index, from) in [(index, 100), (fewer, 200)] {
            let base_of = |n: u32| {
                let number = index.find(&object_id(Kind::Blob, &n.to_le_bytes())).next()?;
                index.place(number).expect("a place").base
            };
            let base = |n: u32| object_id(Kind::Blob, &(n + 10_000).to_le_bytes());
            let mut expected = Vec::new();
            for n in (100..140).chain(200..230).filter(|n| *n >= from) {
                assert_eq!(base_of(n), Some(Base { id: base(n), kind: Kind::Blob }), "{n}");
                expected.push(base(n));
            }
            assert_eq!(base_of(5), None);
            assert_eq!(index.bases().map(|(_, base)| base.id).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn packs_are_left_out_of_a_merge_as_of_a_builder() {
        let (left, right) = (segment(0..500), segment(700..900));
        let left_out = BTreeSet::from([Id::from_bytes([1; 32]), Id::from_bytes([3; 32])]);
        let mut builder = IndexBuilder::default();
        let mut parts = Vec::new();
        for (name, part) in [(1, &left), (2, &right)] {
            let (name, index) = (Id::from_bytes([name; 32]), Index::open(part).expect("index"));
            builder.replace_without(name, &index, &left_out).expect("whole");
            parts.push((name, index));
        }
        let mut written = Vec::new();
        let mut write = |bytes: &[u8]| -> Result<(), DecodeError> {
            written.extend_from_slice(bytes);
            Ok(())
        };
        merge(&parts, &left_out, [2; 16], &mut write).expect("merges");
        assert_eq!(written, builder.encode([2; 16]));
        assert_eq!(Index::open(&written).expect("index").object_count(), 400 + 100);
    }

    #[test]
    fn packs_that_are_left_out_take_their_objects_with_them() {
        let whole = segment(0..200);
        let index = Index::open(&whole).expect("index");
        let left_out = BTreeSet::from([Id::from_bytes([1; 32])]);
        let mut builder = IndexBuilder::default();
        builder.replace_without(Id::from_bytes([9; 32]), &index, &left_out).expect("whole");
        let bytes = builder.encode([3; 16]);
        let index = Index::open(&bytes).expect("index");
        assert_eq!((index.pack_count(), index.object_count()), (3, 150));
        for n in 0..200_u32 {
            let found = index.find(&object_id(Kind::Blob, &n.to_le_bytes()));
            assert_eq!(found.is_empty(), (50..100).contains(&n), "{n}");
            for number in found {
                let place = index.place(number).expect("place");
                let name = index.pack(place.pack).expect("pack").name;
                assert_eq!(name, Id::from_bytes([(n / 50) as u8; 32]));
            }
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics_and_never_invents_an_object(at: usize, byte: u8, n in 0_u32..200) {
            let mut bytes = segment(0..200);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(index) = Index::open(&bytes) {
                for place in index.find(&object_id(Kind::Blob, &n.to_le_bytes())) {
                    let _place = index.place(place);
                }
                prop_assert!(index.find(&object_id(Kind::Tree, &n.to_le_bytes())).is_empty());
            }
        }
    }
}
