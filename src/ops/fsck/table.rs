//! Which objects are stored, and whether a copy of each can be used.
//!
//! Invariant: one byte for each object that a sound index segment names, and 34 for each copy that none
//! names or that cannot be used; nothing is known but what packs, sound index segments and loose files
//! say.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use super::cursor::Cursor;
use super::segments::{Cover, Segments};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::index::{Index, Place};

/// One stored copy of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    pub(super) id: Id,
    pub(super) kind: Kind,
    flags: u8,
}

const UNUSABLE: u8 = 1;
const LIST: u8 = 2;
const UNINDEXED: u8 = 4;
const DELTA: u8 = 8;

impl Copy {
    /// A copy that can be used, as far as is known.
    pub(super) fn new(id: Id, kind: Kind, is_list: bool, is_indexed: bool) -> Self {
        let flags = if is_list { LIST } else { 0 } | if is_indexed { 0 } else { UNINDEXED };
        Self { id, kind, flags }
    }

    /// A copy that is damaged or missing.
    pub(super) fn unusable(id: Id, kind: Kind) -> Self {
        Self { id, kind, flags: UNUSABLE }
    }

    /// The same copy, stored as a difference from another object.
    pub(super) fn delta(self) -> Self {
        Self { flags: self.flags | DELTA, ..self }
    }

    fn is_usable(&self) -> bool {
        self.flags & UNUSABLE == 0
    }

    fn is_list(&self) -> bool {
        self.flags & LIST != 0
    }

    fn is_indexed_list(&self) -> bool {
        self.flags & (LIST | UNINDEXED) == LIST
    }
}

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing says that it was ever stored.
    Missing,
    /// It was stored, and no copy can be used.
    Lost,
    /// A copy can be used.
    Present {
        /// Whether one such copy is a list.
        has_list: bool,
        /// Whether one such copy is not a list.
        has_whole: bool,
        /// Whether one such copy can be found without reading footers.
        is_indexed: bool,
    },
}

/// The footer of its pack says so too, and nothing says that it cannot be used.
const USABLE: u8 = 1;

/// What somebody does about an object, so that nobody else need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Claim {
    /// To read it as a tree.
    Tree = 2,
    /// To prove its list.
    List = 4,
}

/// What is known of each object that an index segment names.
#[derive(Debug)]
pub(super) struct Marks<'s> {
    segments: Vec<(Index<'s>, Box<[AtomicU8]>)>,
}

impl<'s> Marks<'s> {
    /// Marks nothing yet.
    pub(super) fn new(segments: &'s Segments) -> Self {
        let marks = |index: Index<'s>| {
            let count = usize::try_from(index.object_count()).unwrap_or(0);
            (index, (0..count).map(|_| AtomicU8::new(0)).collect())
        };
        Self { segments: segments.indexes().map(marks).collect() }
    }

    fn mark(&self, segment: usize, number: u64) -> Option<&AtomicU8> {
        self.segments.get(segment)?.1.get(usize::try_from(number).ok()?)
    }

    /// Notes that the object with this number in the segment of a cover can be used; whether that
    /// was not known before.
    pub(super) fn keep(&self, cover: &Cover, number: u64) -> bool {
        let mark = self.mark(cover.segment, number);
        mark.is_some_and(|mark| mark.fetch_or(USABLE, Ordering::Relaxed) & USABLE == 0)
    }

    /// Notes that what a cover names of an object in a frame cannot be used.
    pub(super) fn lose(&self, cover: &Cover, id: &Id, frame_offset: u64) {
        let Some((index, _)) = self.segments.get(cover.segment) else { return };
        for number in index.find(id) {
            let is_it =
                |place: Place| place.pack == cover.number && place.frame.offset == frame_offset;
            if index.place(number).is_ok_and(is_it)
                && let Some(mark) = self.mark(cover.segment, number)
            {
                mark.fetch_and(!USABLE, Ordering::Relaxed);
            }
        }
    }

    /// The usable places of an object, and their marks, where `find` finds their numbers in the
    /// segments.
    fn usable<'m>(
        &'m self,
        kind: Kind,
        mut find: impl FnMut(usize, &Index<'s>) -> Range<u64> + 'm,
    ) -> impl Iterator<Item = (Place, &'m AtomicU8)> {
        self.segments.iter().enumerate().flat_map(move |(segment, (index, marks))| {
            find(segment, index).filter_map(move |number| {
                let mark = marks.get(usize::try_from(number).ok()?)?;
                let place = index.place(number).ok()?;
                let is_usable = mark.load(Ordering::Relaxed) & USABLE != 0;
                (is_usable && place.kind == kind).then_some((place, mark))
            })
        })
    }

    /// All usable places, with ids.
    fn all(&self) -> impl Iterator<Item = (Id, Place)> {
        self.segments.iter().flat_map(|(index, marks)| {
            let usable =
                (0..).zip(marks).filter(|(_, mark)| mark.load(Ordering::Relaxed) & USABLE != 0);
            usable.filter_map(|(number, _)| Some((index.id(number)?, index.place(number).ok()?)))
        })
    }
}

/// All copies of all objects: those that index segments name, and others.
#[derive(Debug)]
pub(super) struct Table<'s> {
    marks: Marks<'s>,
    others: Vec<Copy>,
}

impl<'s> Table<'s> {
    pub(super) fn new(marks: Marks<'s>, mut others: Vec<Copy>) -> Self {
        others.sort_unstable();
        others.dedup();
        Self { marks, others }
    }

    fn others(&self, id: &Id, kind: Kind) -> &[Copy] {
        let from = self.others.partition_point(|copy| (copy.id, copy.kind) < (*id, kind));
        let copies = self.others.get(from..).unwrap_or_default();
        let end = copies.iter().position(|copy| copy.id != *id || copy.kind != kind);
        copies.get(..end.unwrap_or(copies.len())).unwrap_or_default()
    }

    /// What is known of an object.
    pub(super) fn look_up(&self, id: &Id, kind: Kind) -> Presence {
        self.presence(id, kind, |_, index| index.find(id))
    }

    /// What is known of each of these, which are sorted by the heads of their ids; until `each` returns
    /// false, and whether it never did.
    pub(super) fn look_up_sorted(
        &self,
        wanted: &[(Id, Kind)],
        mut each: impl FnMut(&Id, Kind, Presence) -> bool,
    ) -> bool {
        let segments = self.marks.segments.iter();
        let mut cursors: Vec<_> =
            segments.map(|(index, _)| Cursor::new(*index, wanted.len())).collect();
        wanted.iter().all(|(id, kind)| {
            let presence = self.presence(id, *kind, |segment, _| {
                cursors.get_mut(segment).map_or(0..0, |cursor| cursor.find(id))
            });
            each(id, *kind, presence)
        })
    }

    fn presence(
        &self,
        id: &Id,
        kind: Kind,
        find: impl FnMut(usize, &Index<'s>) -> Range<u64>,
    ) -> Presence {
        let (mut has_list, mut has_whole, mut is_indexed) = (false, false, false);
        for (place, _) in self.marks.usable(kind, find) {
            is_indexed = true;
            has_list |= place.is_list;
            has_whole |= !place.is_list;
        }
        let others = self.others(id, kind);
        for copy in others.iter().filter(|copy| copy.is_usable()) {
            is_indexed |= copy.flags & UNINDEXED == 0;
            has_list |= copy.is_list();
            has_whole |= !copy.is_list();
        }
        match (has_list || has_whole, others.is_empty()) {
            (true, _) => Presence::Present { has_list, has_whole, is_indexed },
            (false, true) => Presence::Missing,
            (false, false) => Presence::Lost,
        }
    }

    /// Whether a copy can be used that is whole, as a base must be.
    pub(super) fn has_base(&self, id: &Id, kind: Kind) -> bool {
        let is_base = |place: &Place| place.base.is_none() && !place.is_list;
        let mut indexed = self.marks.usable(kind, |_, index| index.find(id));
        indexed.any(|(place, _)| is_base(&place))
            || self.others(id, kind).iter().any(|copy| copy.flags & (UNUSABLE | LIST | DELTA) == 0)
    }

    /// Notes that copies of these objects cannot be used that are stored as differences.
    pub(super) fn lose_deltas(&mut self, lost: &[(Id, Kind)]) {
        for (id, kind) in lost {
            for (place, mark) in self.marks.usable(*kind, |_, index| index.find(id)) {
                if place.base.is_some() {
                    mark.fetch_and(!USABLE, Ordering::Relaxed);
                }
            }
            let from = self.others.partition_point(|copy| (copy.id, copy.kind) < (*id, *kind));
            let copies = self.others.iter_mut().skip(from);
            let copies = copies.take_while(|copy| copy.id == *id && copy.kind == *kind);
            for copy in copies.filter(|copy| copy.flags & DELTA != 0) {
                copy.flags |= UNUSABLE;
            }
        }
        self.others.extend(lost.iter().map(|(id, kind)| Copy::unusable(*id, *kind)));
        self.others.sort_unstable();
        self.others.dedup();
    }

    /// Whether this was not claimed before; `None`, and no claim, if no index names a copy that can
    /// be used.
    pub(super) fn claim(&self, id: &Id, kind: Kind, claim: Claim) -> Option<bool> {
        let (_, mark) = self.marks.usable(kind, |_, index| index.find(id)).next()?;
        Some(mark.fetch_or(claim as u8, Ordering::Relaxed) & claim as u8 == 0)
    }

    /// Objects of which a copy that can be used, and that an index leads to, is a list; one with two may
    /// come twice. In a pack that a prune was about to delete there may be others, whose chunks are gone.
    pub(super) fn lists(&self) -> impl Iterator<Item = (Id, Kind)> {
        let indexed = self.marks.all().filter(|(_, place)| place.is_list);
        let others = self.others.iter().filter(|copy| copy.is_usable() && copy.is_indexed_list());
        let indexed = indexed.map(|(id, place)| (id, place.kind));
        indexed.chain(others.map(|copy| (copy.id, copy.kind)))
    }

    /// Ids of all objects of a kind of which a copy can be used; one with two may come twice.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Id> {
        let indexed = self.marks.all().filter(move |(_, place)| place.kind == kind);
        let others = self.others.iter().filter(move |copy| copy.is_usable() && copy.kind == kind);
        indexed.map(|(id, _)| id).chain(others.map(|copy| copy.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_usable_copy_is_enough() {
        let id = |byte| Id::from_bytes([byte; 32]);
        let segments = Segments::default();
        let copies = vec![
            Copy::unusable(id(1), Kind::Blob),
            Copy::new(id(1), Kind::Blob, true, false),
            Copy::unusable(id(2), Kind::Blob),
            Copy::new(id(3), Kind::Tree, false, true),
            Copy::new(id(4), Kind::Blob, false, true).delta(),
            Copy::new(id(5), Kind::Blob, true, true),
        ];
        let mut table = Table::new(Marks::new(&segments), copies);
        assert!(table.has_base(&id(3), Kind::Tree));
        assert!(!table.has_base(&id(1), Kind::Blob), "a list");
        assert!(!table.has_base(&id(2), Kind::Blob), "unusable");
        assert!(!table.has_base(&id(4), Kind::Blob), "a delta itself");
        table.lose_deltas(&[(id(4), Kind::Blob)]);
        assert_eq!(table.look_up(&id(4), Kind::Blob), Presence::Lost);
        let present =
            |has_list, has_whole, is_indexed| Presence::Present { has_list, has_whole, is_indexed };
        assert_eq!(table.look_up(&id(1), Kind::Blob), present(true, false, false));
        assert_eq!(table.look_up(&id(2), Kind::Blob), Presence::Lost);
        assert_eq!(table.look_up(&id(3), Kind::Tree), present(false, true, true));
        assert_eq!(table.look_up(&id(3), Kind::Blob), Presence::Missing);
        assert_eq!(table.lists().collect::<Vec<_>>(), vec![(id(5), Kind::Blob)]);
    }
}
