//! Index segments that were made of packs, damaged or not, and asked for ids.
//!
//! The bytes say what is in the packs, and which bytes of the segment are overwritten.

use std::collections::BTreeMap;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::codec::{DecodeError, Reader};
use runup::format::compress::Codec;
use runup::format::delta::Base;
use runup::format::index::{Index, IndexBuilder, PackRecord};
use runup::format::pack::{FrameObject, FramePlace, FrameRecord};

/// Whether the bytes describe at least one object.
pub fn check(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (mut builder, mut expected) = (IndexBuilder::default(), BTreeMap::new());
    let flips = match packs(&mut reader, &mut builder, &mut expected) {
        Ok(()) | Err(_) => reader,
    };
    let segment = builder.encode([1; 16]);
    let index = Index::open(&segment).expect("its own output");
    for (id, places) in &expected {
        let found = index.find(id);
        assert_eq!(found.end - found.start, *places, "{id}");
        assert_eq!(index.from_prefix(id), found.start);
        assert!(found.into_iter().all(|number| index.place(number).is_ok()));
    }
    for absent in [Id::from_bytes([0; 32]), Id::from_bytes([0xff; 32])] {
        assert!(expected.contains_key(&absent) || index.find(&absent).is_empty());
    }
    damaged(&segment, flips, expected.keys());
    !expected.is_empty()
}

fn packs(
    reader: &mut Reader<'_>,
    builder: &mut IndexBuilder,
    expected: &mut BTreeMap<Id, u64>,
) -> Result<(), DecodeError> {
    let count = reader.u8()? % 4;
    for pack in 0..count {
        let mut offset = 64;
        let mut frames = Vec::new();
        for _ in 0..reader.u8()? % 8 {
            let frame = frame(reader, offset)?;
            offset += frame.place.total_length();
            frames.push(frame);
        }
        for frame in &frames {
            // An object that a frame has twice is at two places of it.
            for object in &frame.objects {
                *expected.entry(object.id).or_insert(0) += 1;
            }
        }
        let name = Id::from_bytes([pack; 32]);
        builder.add_pack(PackRecord { name, length_bytes: offset }, &frames);
    }
    Ok(())
}

fn frame(reader: &mut Reader<'_>, offset: u64) -> Result<FrameRecord, DecodeError> {
    let codec = Codec::from_number(reader.u8()? % 4).expect("four codecs");
    let (mut objects, mut bases) = (Vec::new(), Vec::new());
    for _ in 0..reader.u8()? % 32 {
        let [number, kind, form, length] = reader.array()?;
        // Few bytes that differ, so that ids share slots.
        let mut id = [0; 32];
        id[0] = number & 0xf0;
        id[31] = number;
        let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
        let is_list = form & 1 == 1 && kind.may_be_list() && codec != Codec::Delta;
        // Of no bytes, two objects of one id would have one place.
        let length = u32::from(length) + 1;
        objects.push(FrameObject { id: Id::from_bytes(id), kind, is_list, length });
        if codec == Codec::Delta {
            bases.push(Base { id: Id::from_bytes([number; 32]), kind: Kind::Blob });
        }
    }
    let place = FramePlace { offset, stored_length: 1 << 20, raw_length: 1 << 20, codec };
    Ok(FrameRecord { place, checksum: [0; 16], objects, bases })
}

/// Overwrites bytes and asks again: what is found may be wrong, but never out of bounds.
fn damaged<'i>(segment: &[u8], mut flips: Reader<'_>, ids: impl Iterator<Item = &'i Id>) {
    let mut segment = segment.to_vec();
    while let Ok([low, high, byte]) = flips.array() {
        let at = usize::from(u16::from_le_bytes([low, high])) % segment.len();
        segment[at] = byte;
    }
    let Ok(index) = Index::open(&segment) else { return };
    for id in ids {
        for number in index.find(id) {
            if let Ok(place) = index.place(number) {
                assert!(place.offset.checked_add(place.length) <= Some(place.frame.raw_length));
            }
        }
        assert!(index.from_prefix(id) <= index.object_count());
    }
    let _bases = index.bases().count();
}
