//! Index segments of any bytes: opened, read through, made again.

use std::collections::BTreeSet;

use runup::base::id::Id;
use runup::format::codec::DecodeError;
use runup::format::index::{Index, IndexBuilder, merge};

const NAME: Id = Id::from_bytes([9; 32]);
const SALT: [u8; 16] = [5; 16];

/// Whether the bytes are an index segment that can replace itself.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(index) = Index::open(bytes) else { return false };
    read_through(&index);
    let Some(built) = rebuilt(&index) else { return false };
    let again = Index::open(&built).expect("its own output");
    read_through(&again);
    let names: BTreeSet<Id> = index.replaced().chain([NAME]).collect();
    assert!(again.replaced().eq(names.iter().copied()), "replaced names, sorted");
    assert_eq!(again.pack_count(), index.pack_count());
    let ids: Vec<Id> = (0..again.object_count()).filter_map(|number| again.id(number)).collect();
    assert!(ids.is_sorted(), "ids in order");
    for (number, id) in ids.iter().enumerate() {
        assert!(again.find(id).contains(&(number as u64)), "an object that is not found");
    }
    assert_eq!(rebuilt(&again).as_ref(), Some(&built), "made again it changes");
    // The way that needs no memory does the same, or refuses what is out of order.
    let mut merged = Vec::new();
    let outcome =
        merge(&[(NAME, index)], &BTreeSet::new(), SALT, &mut |part| -> Result<(), DecodeError> {
            merged.extend_from_slice(part);
            Ok(())
        });
    if outcome.is_ok() && index.object_count() == again.object_count() {
        assert!(merged == built, "two ways to merge, two segments");
    }
    true
}

fn rebuilt(index: &Index<'_>) -> Option<Vec<u8>> {
    let mut builder = IndexBuilder::default();
    builder.replace(NAME, index).ok()?;
    Some(builder.encode(SALT))
}

fn read_through(index: &Index<'_>) {
    let _packs = (0..index.pack_count()).filter_map(|number| index.pack(number).ok()).count();
    assert!(index.pack(index.pack_count()).is_err());
    for number in 0..index.object_count() {
        let id = index.id(number).expect("within the table");
        if let Ok(place) = index.place(number) {
            let end = place.offset.checked_add(place.length).expect("no overflow");
            assert!(end <= place.frame.raw_length && place.pack < index.pack_count());
        }
        for found in index.find(&id) {
            assert_eq!(index.id(found), Some(id));
        }
        assert!(index.from_prefix(&id) <= index.object_count());
    }
    assert!(index.place(index.object_count()).is_err());
    let _bases = index.bases().count();
}
