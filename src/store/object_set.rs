//! A set of objects, for walks over all that a repository holds.
//!
//! Invariant: an object counts once, however many copies of it are stored: its bit is that of its
//! first place in the first segment that covers it, of those there were when the set was made.

use std::collections::HashSet;
use std::sync::Arc;

use super::Store;
use super::segments::Segment;
use crate::base::id::Id;

/// A set of objects.
///
/// Memory: one bit for each object that an index covers, and 32 bytes or a little more for each
/// other one in the set, such as loose objects.
#[derive(Debug)]
pub struct ObjectSet {
    indexed: Vec<(Arc<Segment>, Vec<u64>)>,
    others: HashSet<Id>,
}

impl Store {
    /// An empty set for the objects of this store.
    pub fn object_set(&self) -> ObjectSet {
        ObjectSet::new(self.segments.list())
    }
}

impl ObjectSet {
    fn new(segments: Vec<Arc<Segment>>) -> Self {
        let bits = |segment: Arc<Segment>| {
            let count = segment.index().map_or(0, |index| index.object_count());
            let words = usize::try_from(count.div_ceil(64)).unwrap_or(0);
            (segment, vec![0; words])
        };
        Self { indexed: segments.into_iter().map(bits).collect(), others: HashSet::new() }
    }

    /// Adds an object; whether it was not in the set before.
    pub fn insert(&mut self, id: &Id) -> bool {
        let Some((segment, word, bit)) = self.place(id) else { return self.others.insert(*id) };
        let word = &mut self.indexed[segment].1[word];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Whether an object is in the set.
    pub fn contains(&self, id: &Id) -> bool {
        match self.place(id) {
            Some((segment, word, bit)) => self.indexed[segment].1[word] & bit != 0,
            None => self.others.contains(id),
        }
    }

    /// The segment, the word in it and the bit that stand for an object.
    fn place(&self, id: &Id) -> Option<(usize, usize, u64)> {
        self.indexed.iter().enumerate().find_map(|(number, (segment, bits))| {
            let places = segment.index()?.find(id);
            let word = usize::try_from(places.start / 64).ok()?;
            let is_found = !places.is_empty() && word < bits.len();
            is_found.then_some((number, word, 1 << (places.start % 64)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::Mapped;
    use crate::base::hash::object_id;
    use crate::base::kind::Kind;
    use crate::format::compress::Codec;
    use crate::format::index::{IndexBuilder, PackRecord};
    use crate::format::pack::{FrameObject, FramePlace, FrameRecord};

    fn id(number: u16) -> Id {
        object_id(Kind::Blob, &number.to_le_bytes())
    }

    /// A segment of two packs that hold the same objects.
    fn segment(numbers: std::ops::Range<u16>) -> Arc<Segment> {
        let mut builder = IndexBuilder::default();
        for pack in 0..2 {
            let object = |number| FrameObject {
                id: id(number),
                kind: Kind::Blob,
                is_list: false,
                length: 1,
            };
            let objects: Vec<_> = numbers.clone().map(object).collect();
            let place = FramePlace {
                offset: 64,
                stored_length: 5,
                raw_length: 1 << 20,
                codec: Codec::Zstd,
            };
            let record = PackRecord { name: Id::from_bytes([pack; 32]), length_bytes: 9 };
            let bases = Vec::new();
            let frame = FrameRecord { place, checksum: [0; 16], objects, bases };
            builder.add_pack(record, &[frame]);
        }
        let bytes = Mapped::memory(builder.encode([1; 16]));
        Arc::new(Segment::new(None, bytes, "test".into()).expect("a segment"))
    }

    proptest! {
        #[test]
        fn it_is_a_set(wanted in proptest::collection::vec(0_u16..500, 0..400)) {
            // Some objects in one segment, some in both, some in none.
            let mut set = ObjectSet::new(vec![segment(0..200), segment(100..300), segment(0..0)]);
            let mut model = HashSet::new();
            for number in wanted {
                prop_assert_eq!(set.contains(&id(number)), model.contains(&number));
                prop_assert_eq!(set.insert(&id(number)), model.insert(number));
                prop_assert!(set.contains(&id(number)));
            }
            prop_assert_eq!(set.others.len(), model.iter().filter(|number| **number >= 300).count());
        }
    }
}
