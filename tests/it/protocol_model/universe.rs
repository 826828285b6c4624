//! A small universe of content, so that deduplication, sharing and collisions of work are the rule.
//!
//! An *object* is an id. A *record* is one stored form of it: whole, as a list of chunks, or as a
//! delta. Invariant: record `n` is the whole form of object `n`, and an object refers only to
//! objects with smaller numbers, so ascending order is an order in which they can be stored.

use crate::random::Random;

/// A set of objects, or of records, or of slots of a directory: bit `n` stands for member `n`.
pub(super) type Set = u64;

/// Blobs are objects 0 to 5, long blobs 6 and 7, trees 8 to 13, snapshots 14 to 19.
const OBJECT_COUNT: usize = 20;
const RECORD_COUNT: usize = 26;
pub(super) const BLOBS: Set = 0xff;
pub(super) const TREES: Set = 0x3f00;
pub(super) const SNAPSHOTS: Set = 0xfc000;
const WHOLE: Set = (1 << OBJECT_COUNT) - 1;

/// Records that go into packs of file data; all others go into packs of trees and lists.
pub(super) const DATA_RECORDS: Set = BLOBS | bit(24) | bit(25);

/// Records that are lists of chunks.
pub(super) const LISTS: Set = bit(20) | bit(21) | bit(22) | bit(23);

/// The objects that each record refers to.
const REFERENCES: [Set; RECORD_COUNT] = [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    bit(0) | bit(4),
    bit(6) | bit(5),
    bit(8) | bit(7),
    bit(9) | bit(8),
    bit(10) | bit(3),
    bit(11) | bit(7),
    bit(8),
    bit(9),
    bit(10),
    bit(11),
    bit(12),
    bit(13),
    bit(0) | bit(1),
    bit(2) | bit(4),
    bit(1) | bit(3),
    bit(5),
    0,
    0,
];

pub(super) const fn bit(member: usize) -> Set {
    1 << member
}

pub(super) fn members(mut set: Set) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let member = lowest(set)?;
        set &= set - 1;
        Some(member)
    })
}

pub(super) fn lowest(set: Set) -> Option<usize> {
    (set != 0).then(|| set.trailing_zeros() as usize)
}

/// The records in which `object` can be stored; two lists of one object differ in their chunks.
pub(super) fn forms(object: usize) -> Set {
    bit(object)
        | match object {
            0 => bit(25),
            1 => bit(24),
            6 => bit(20) | bit(21),
            7 => bit(22) | bit(23),
            _ => 0,
        }
}

pub(super) fn objects_of(records: Set) -> Set {
    let extra = [6, 6, 7, 7, 1, 0];
    members(records & !WHOLE)
        .fold(records & WHOLE, |set, record| set | bit(extra[record - OBJECT_COUNT]))
}

/// The whole record that a delta needs to be read, or nothing.
pub(super) fn base(record: usize) -> Set {
    match record {
        24 => bit(0),
        25 => bit(1),
        _ => 0,
    }
}

/// What records need in order to be complete.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    pub(super) objects: Set,
    /// Whole records used as bases of deltas: another delta of the object will not do.
    pub(super) bases: Set,
}

impl Needs {
    pub(super) fn of(records: Set) -> Self {
        members(records).fold(Self::default(), |needs, record| Self {
            objects: needs.objects | REFERENCES[record],
            bases: needs.bases | base(record),
        })
    }

    pub(super) fn met_by(self, records: Set) -> bool {
        self.objects & !objects_of(records) == 0 && self.bases & !records == 0
    }

    pub(super) fn within(self, other: Self) -> bool {
        self.objects & !other.objects == 0 && self.bases & !other.bases == 0
    }
}

/// What [`closure`] reached, and the records through which it went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    pub(super) needs: Needs,
    pub(super) records: Set,
}

/// Follows references from the objects `roots` through `records`, or names what is missing.
///
/// Of several records of one object, `choose` says which are followed.
pub(super) fn closure(
    roots: Set,
    records: Set,
    choose: impl Fn(Set) -> Set,
) -> Result<Reached, usize> {
    let mut reached = Reached { needs: Needs { objects: roots, bases: 0 }, records: 0 };
    let mut todo = roots;
    while let Some(object) = lowest(todo) {
        let chosen = choose(forms(object) & records);
        if chosen == 0 {
            return Err(object);
        }
        let needs = Needs::of(chosen);
        if let Some(missing) = lowest(needs.bases & !records) {
            return Err(missing);
        }
        let new = (needs.objects | needs.bases) & !reached.needs.objects;
        todo = (todo & !bit(object)) | new;
        reached.needs.objects |= new;
        reached.needs.bases |= needs.bases;
        reached.records |= chosen | needs.bases;
    }
    Ok(reached)
}

/// Every record of an object: a reader may meet any of them.
pub(super) fn every(records: Set) -> Set {
    records
}

pub(super) fn first(records: Set) -> Set {
    lowest(records).map_or(0, bit)
}

pub(super) fn last(records: Set) -> Set {
    members(records).last().map_or(0, bit)
}

impl Random {
    pub(super) fn member(&mut self, set: Set) -> Option<usize> {
        let skip = self.below(u64::from(set.count_ones().max(1)));
        members(set).zip(0..).find(|&(_, at)| at == skip).map(|(member, _)| member)
    }
}
