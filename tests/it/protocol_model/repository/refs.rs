//! Tables of refs, of which the one with the highest number counts.
//!
//! Invariant: what a number stands for is decided once, by whoever creates its name.

use super::super::Flaw;
use super::super::universe::{Set, members};
use super::{Place, Repository};

/// What became of an attempt to publish a table of refs.
pub(crate) enum Tabled {
    Done,
    /// The number is another table's.
    Taken,
    Fenced,
}

impl Repository {
    /// The number of the table of refs that counts; 0 before the first.
    pub(crate) fn newest_table(&self) -> usize {
        members(self.refs.now).last().unwrap_or_default()
    }

    pub(crate) fn refs_of(&self, table: usize) -> Set {
        self.tables.get(table).copied().unwrap_or_default()
    }

    /// Renames the session to a table of refs, unless there is one of that number.
    pub(crate) fn publish_table(&mut self, session: usize, number: usize, refs: Set) -> Tabled {
        let session = &mut self.sessions[session];
        if !session.is_open() && self.flaw != Flaw::RefAfterFence {
            return Tabled::Fenced;
        }
        if self.refs.has(number) {
            return Tabled::Taken;
        }
        session.place = Place::Gone;
        self.tables.resize(self.tables.len().max(number + 1), 0);
        self.tables[number] = refs;
        self.refs.add(number);
        Tabled::Done
    }

    /// Exit 0 of update-ref: from here on the table survives a power cut.
    pub(crate) fn acknowledge_table(&mut self, number: usize) {
        self.refs.sync();
        self.acknowledged_table = self.acknowledged_table.max(number);
    }
}
