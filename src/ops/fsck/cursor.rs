//! Look-ups in an index segment that come in the order of ids.
//!
//! Invariant: it finds what [`Index::find`] finds, provided that the heads of ids do not fall.

use std::ops::Range;

use crate::base::id::Id;
use crate::format::index::Index;

/// Ids of a segment that are passed for each look-up, at most; where there are more between one and the
/// next, a search is faster than passing them.
const PASSED_MAX: u64 = 64;

/// Where in a segment the last look-up ended.
#[derive(Debug)]
pub(super) struct Cursor<'s> {
    index: Index<'s>,
    /// The first number that can be that of the next id.
    next: u64,
    passes: bool,
}

impl<'s> Cursor<'s> {
    /// Prepares for about this many look-ups.
    pub(super) fn new(index: Index<'s>, look_ups: usize) -> Self {
        let passes = index.object_count() / PASSED_MAX <= look_ups as u64;
        Self { index, next: 0, passes }
    }

    /// Numbers of all places of an object.
    pub(super) fn find(&mut self, id: &Id) -> Range<u64> {
        if !self.passes {
            return self.index.find(id);
        }
        while self.index.id(self.next).is_some_and(|found| found.head() < id.head()) {
            self.next += 1;
        }
        let mut from = self.next;
        while self.index.id(from).is_some_and(|found| found < *id) {
            from += 1;
        }
        let mut to = from;
        while self.index.id(to).is_some_and(|found| found == *id) {
            to += 1;
        }
        from..to
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::kind::Kind;
    use crate::format::compress::Codec;
    use crate::format::index::{IndexBuilder, PackRecord};
    use crate::format::pack::{FrameObject, FramePlace, FrameRecord};

    fn id((head, tail): (u8, u8)) -> Id {
        let mut bytes = [0; Id::BYTES];
        (bytes[3], bytes[9]) = (head, tail);
        Id::from_bytes(bytes)
    }

    fn segment(ids: &[(u8, u8)]) -> Vec<u8> {
        let object = |ids: &(u8, u8)| FrameObject {
            id: id(*ids),
            kind: Kind::Blob,
            is_list: false,
            length: 1,
        };
        let objects: Vec<_> = ids.iter().map(object).collect();
        let place =
            FramePlace { offset: 64, stored_length: 5, raw_length: 1 << 20, codec: Codec::Zstd };
        let mut builder = IndexBuilder::default();
        let record = PackRecord { name: id((1, 1)), length_bytes: 9 };
        builder.add_pack(
            record,
            &[FrameRecord { place, checksum: [0; 16], objects, bases: Vec::new() }],
        );
        builder.encode([1; 16])
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(
            stored in proptest::collection::vec((0..9_u8, 0..4_u8), 1..40),
            mut wanted in proptest::collection::vec((0..9_u8, 0..4_u8), 0..40),
            few: bool,
        ) {
            let bytes = segment(&stored);
            let index = Index::open(&bytes).expect("an index");
            // Within one head, in any order.
            wanted.sort_by_key(|(head, _)| *head);
            let mut cursor = Cursor::new(index, if few { 0 } else { 100 });
            for wanted in wanted {
                let (found, expected) = (cursor.find(&id(wanted)), index.find(&id(wanted)));
                prop_assert_eq!(found.is_empty(), expected.is_empty());
                prop_assert!(found.is_empty() || found == expected);
            }
        }
    }
}
