//! Which objects are stored, and whether a copy of each can be used.
//!
//! Invariant: 34 bytes for each copy of an object, whatever its size; nothing is known but what
//! packs, sound index segments and loose files say.

use crate::base::id::Id;
use crate::base::kind::Kind;

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

    /// The same, of an object that is stored as a difference from another one.
    pub(super) fn delta(self) -> Self {
        Self { flags: self.flags | DELTA, ..self }
    }

    /// A copy that is damaged or missing.
    pub(super) fn unusable(id: Id, kind: Kind) -> Self {
        Self { id, kind, flags: UNUSABLE }
    }

    fn is_usable(&self) -> bool {
        self.flags & UNUSABLE == 0
    }

    fn is_list(&self) -> bool {
        self.flags & LIST != 0
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

/// All copies of all objects, sorted.
#[derive(Debug)]
pub(super) struct Table(Vec<Copy>);

impl Table {
    pub(super) fn new(mut copies: Vec<Copy>) -> Self {
        copies.sort_unstable();
        copies.dedup();
        Self(copies)
    }

    /// What is known of an object.
    pub(super) fn look_up(&self, id: &Id, kind: Kind) -> Presence {
        let from = self.0.partition_point(|copy| (copy.id, copy.kind) < (*id, kind));
        let copies = self.0.get(from..).unwrap_or_default();
        let copies = || copies.iter().take_while(|copy| copy.id == *id && copy.kind == kind);
        let usable = || copies().filter(|copy| copy.is_usable());
        if usable().next().is_some() {
            return Presence::Present {
                has_list: usable().any(Copy::is_list),
                has_whole: usable().any(|copy| !copy.is_list()),
                is_indexed: usable().any(|copy| copy.flags & UNINDEXED == 0),
            };
        }
        if copies().next().is_some() { Presence::Lost } else { Presence::Missing }
    }

    fn range(&self, id: &Id, kind: Kind) -> std::ops::Range<usize> {
        let from = self.0.partition_point(|copy| (copy.id, copy.kind) < (*id, kind));
        let to = self.0.partition_point(|copy| (copy.id, copy.kind) <= (*id, kind));
        from..to
    }

    /// Whether others can be decoded from an object: a copy can be used that is whole.
    pub(super) fn has_base(&self, id: &Id, kind: Kind) -> bool {
        let copies = self.0.get(self.range(id, kind)).unwrap_or_default();
        copies.iter().any(|copy| copy.flags & (UNUSABLE | LIST | DELTA) == 0)
    }

    /// Marks the copies of an object that are stored as a difference from what is lost.
    pub(super) fn lose_deltas(&mut self, id: &Id, kind: Kind) {
        let range = self.range(id, kind);
        let copies = self.0.get_mut(range).unwrap_or_default();
        for copy in copies.iter_mut().filter(|copy| copy.flags & DELTA != 0) {
            copy.flags = UNUSABLE;
        }
        copies.sort_unstable();
    }

    /// Objects of which a copy that can be used is a list.
    pub(super) fn lists(&self) -> impl Iterator<Item = (Id, Kind)> {
        let lists = self.0.iter().filter(|copy| copy.is_usable() && copy.is_list());
        lists.map(|copy| (copy.id, copy.kind))
    }

    /// Ids of all objects of a kind of which a copy can be used; one with two may come twice.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = Id> {
        let copies = self.0.iter().filter(move |copy| copy.is_usable() && copy.kind == kind);
        copies.map(|copy| copy.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_usable_copy_is_enough() {
        let id = |byte| Id::from_bytes([byte; 32]);
        let table = Table::new(vec![
            Copy::unusable(id(1), Kind::Blob),
            Copy::new(id(1), Kind::Blob, true, false),
            Copy::unusable(id(2), Kind::Blob),
            Copy::new(id(3), Kind::Tree, false, true),
            Copy::new(id(4), Kind::Blob, false, true).delta(),
        ]);
        let mut table = table;
        assert!(table.has_base(&id(3), Kind::Tree));
        assert!(!table.has_base(&id(1), Kind::Blob), "a list");
        assert!(!table.has_base(&id(2), Kind::Blob), "unusable");
        assert!(!table.has_base(&id(4), Kind::Blob), "a delta itself");
        table.lose_deltas(&id(4), Kind::Blob);
        assert_eq!(table.look_up(&id(4), Kind::Blob), Presence::Lost);
        table.lose_deltas(&id(3), Kind::Tree);
        let present =
            |has_list, has_whole, is_indexed| Presence::Present { has_list, has_whole, is_indexed };
        assert_eq!(table.look_up(&id(1), Kind::Blob), present(true, false, false));
        assert_eq!(table.look_up(&id(2), Kind::Blob), Presence::Lost);
        assert_eq!(table.look_up(&id(3), Kind::Tree), present(false, true, true));
        assert_eq!(table.look_up(&id(3), Kind::Blob), Presence::Missing);
        assert_eq!(table.lists().collect::<Vec<_>>(), vec![(id(1), Kind::Blob)]);
    }
}
