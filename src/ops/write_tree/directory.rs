//! A directory on its way to a tree: entries come in from several threads, the last one ends it.
//!
//! Invariant: a directory ends exactly once, after all of its names were looked at and no entry is
//! awaited. One in which nothing has changed keeps its tree, which is neither encoded nor hashed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::before::{Before, Known, compare, decoded, encoded};
use super::places::Place;
use super::walk::Walker;
use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::split_last;
use crate::format::tree::{Entry, Metadata, Node};
use crate::source::stat_index::{NewEntry, Stamp, StatIndexWriter};
use crate::store::{ObjectSink, WriteError, put_any_like};

/// A directory whose entries are not all known yet.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its path in the tree; empty for the root.
    pub(super) path: Vec<u8>,
    /// The directories of the sources that go into it.
    pub(super) places: Vec<Place>,
    /// How many directories are above it.
    pub(super) depth: usize,
    pub(super) metadata: Metadata,
    pub(super) stamp: Option<Stamp>,
    /// Whether it is left out if nothing is in it: a mere container of includes.
    pub(super) is_container: bool,
    pub(super) parent: Option<Parent>,
    /// What an earlier backup holds for what is in it.
    pub(super) before: Before,
    pub(super) state: Mutex<State>,
}

/// Where a directory goes when it is complete.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) directory: Arc<Directory>,
    /// The number of its entry there.
    pub(super) number: usize,
    /// How the entry was encoded before, and where in the record of the parent.
    pub(super) before: Option<(Box<[u8]>, usize)>,
}

/// One entry.
#[derive(Debug)]
enum Slot {
    Awaited,
    Missing,
    /// As it stands at this place of the record from before.
    Same(usize),
    New(Box<NewSlot>),
}

#[derive(Debug)]
struct NewSlot {
    encoded: Box<[u8]>,
    stamp: Option<Stamp>,
    record: u64,
}

#[derive(Debug)]
enum Slots {
    /// Every entry is as in the record from before, as far as is known.
    AllSame,
    List(Vec<Slot>),
}

#[derive(Debug)]
pub(super) struct State {
    slots: Slots,
    awaited: usize,
    /// Whether all names were looked at.
    is_listed: bool,
    /// Whether nothing in it was left out but by the selection.
    is_whole: bool,
}

impl State {
    /// `is_as_seen` where entries keep the numbers that they have in the record from before.
    pub(super) fn new(is_as_seen: bool) -> Mutex<Self> {
        let slots = if is_as_seen { Slots::AllSame } else { Slots::List(Vec::new()) };
        Mutex::new(Self { slots, awaited: 0, is_listed: false, is_whole: true })
    }
}

/// What became of an expected entry.
pub(super) enum Settled {
    /// It is not in the tree. Whether that must be found out anew by the next scan.
    Missing { is_left_out: bool },
    /// It is as it was at this place of the record.
    Same(usize),
    /// It is this.
    New { encoded: Box<[u8]>, stamp: Option<Stamp>, record: u64 },
}

impl Directory {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for the next entry, which will be handed in later; its number.
    pub(super) fn expect(&self) -> usize {
        let mut state = self.state();
        state.awaited += 1;
        match &mut state.slots {
            Slots::AllSame => 0,
            Slots::List(slots) => {
                slots.push(Slot::Awaited);
                slots.len() - 1
            }
        }
    }

    /// As [`Self::expect`], for an entry that has a number from before.
    pub(super) fn expect_again(&self, number: usize) -> usize {
        self.state().awaited += 1;
        number
    }

    /// Hands in the next entry, which is as it was at this place of the record.
    pub(super) fn add_same(&self, place: usize) {
        if let Slots::List(slots) = &mut self.state().slots {
            slots.push(Slot::Same(place));
        }
    }

    /// Says that something in it was left out, so that the next scan must look again.
    pub(super) fn leave_out(&self) {
        self.state().is_whole = false;
    }

    /// Hands in an entry that was expected; ends what is complete.
    pub(super) fn settle<S: ObjectSink>(
        self: &Arc<Self>,
        walker: &mut Walker<'_, '_, S>,
        number: usize,
        settled: Settled,
    ) -> Result<(), TreeError> {
        let mut state = self.state();
        let is_complete = self.put(&mut state, number, settled);
        drop(state);
        if is_complete { self.end(walker) } else { Ok(()) }
    }

    /// Says that all names were looked at; ends what is complete.
    pub(super) fn listed<S: ObjectSink>(
        self: &Arc<Self>,
        walker: &mut Walker<'_, '_, S>,
    ) -> Result<(), TreeError> {
        let mut state = self.state();
        state.is_listed = true;
        let is_complete = state.awaited == 0;
        drop(state);
        if is_complete { self.end(walker) } else { Ok(()) }
    }

    /// Takes an entry; whether the directory is complete with it.
    fn put(&self, state: &mut State, number: usize, settled: Settled) -> bool {
        let slot = match settled {
            Settled::Missing { is_left_out } => {
                state.is_whole &= !is_left_out;
                Slot::Missing
            }
            Settled::Same(place) => Slot::Same(place),
            Settled::New { encoded, stamp, record } => {
                Slot::New(Box::new(NewSlot { encoded, stamp, record }))
            }
        };
        if matches!(state.slots, Slots::AllSame) && !matches!(slot, Slot::Same(_)) {
            let places = self.before.entries().map(|known| Slot::Same(known.place));
            state.slots = Slots::List(places.collect());
        }
        if let Slots::List(slots) = &mut state.slots
            && let Some(at) = slots.get_mut(number)
        {
            *at = slot;
        }
        state.awaited -= 1;
        state.is_listed && state.awaited == 0
    }

    /// Makes the tree, and goes up as long as that completes the directory above.
    fn end<S: ObjectSink>(
        self: &Arc<Self>,
        walker: &mut Walker<'_, '_, S>,
    ) -> Result<(), TreeError> {
        let mut directory = Arc::clone(self);
        loop {
            let mut state = directory.state();
            let slots = std::mem::replace(&mut state.slots, Slots::AllSame);
            let is_whole = state.is_whole;
            drop(state);
            let is_empty = match &slots {
                Slots::AllSame => false,
                Slots::List(slots) => slots.iter().all(|slot| matches!(slot, Slot::Missing)),
            };
            let is_left_out = directory.is_container && is_empty;
            let made = directory.make(walker, &slots, is_whole)?;
            let Some(parent) = &directory.parent else {
                walker.scan.set_root(made.tree, made.record);
                return Ok(());
            };
            let settled = match is_left_out {
                true => Settled::Missing { is_left_out: false },
                false => directory.entry(walker, parent, &made),
            };
            let above = Arc::clone(&parent.directory);
            let is_complete = above.put(&mut above.state(), parent.number, settled);
            if !is_complete {
                return Ok(());
            }
            directory = above;
        }
    }

    /// The entry of the directory in the one above, which is counted.
    fn entry<S: ObjectSink>(
        &self,
        walker: &mut Walker<'_, '_, S>,
        parent: &Parent,
        made: &Made,
    ) -> Settled {
        let (_, name) = split_last(&self.path);
        let node = Node::Directory { tree: made.tree };
        let entry = Entry { name: name.into(), metadata: self.metadata.clone(), node };
        let encoded = encoded(&entry);
        let before = parent.before.as_ref();
        let action = compare(before.map(|(encoded, _)| &**encoded), &encoded);
        walker.count_directory(action, &self.path);
        let known = before.and_then(|(_, place)| parent.directory.before.at(*place));
        match known {
            Some(known)
                if (known.encoded, known.stamp, known.record)
                    == (&encoded, self.stamp, made.record) =>
            {
                Settled::Same(known.place)
            }
            _ => Settled::New { encoded, stamp: self.stamp, record: made.record },
        }
    }

    fn make<S: ObjectSink>(
        &self,
        walker: &mut Walker<'_, '_, S>,
        slots: &Slots,
        is_whole: bool,
    ) -> Result<Made, TreeError> {
        let writer = walker.scan.source.stat_index_writer;
        let is_same = self.is_same(slots);
        if let Before::Seen(seen, _) = &self.before
            && is_same
        {
            walker.heal(&self.before, &seen.tree())?;
        }
        if let Before::Seen(seen, record) = &self.before
            && is_same
            && is_whole == seen.is_whole()
            && writer.is_none_or(|writer| writer.keep(seen))
        {
            return Ok(Made { tree: seen.tree(), record: *record });
        }
        let entries: Vec<NewEntry<'_>> = match slots {
            Slots::AllSame => self.before.entries().map(Self::kept).collect(),
            Slots::List(slots) => slots.iter().filter_map(|slot| self.filled(slot)).collect(),
        };
        let tree = match &self.before {
            Before::Seen(seen, _) if is_same => seen.tree(),
            _ => {
                let bytes = entries.iter().map(|entry| entry.encoded).collect::<Vec<_>>().concat();
                let like = self.tree_before(walker.scan);
                put_any_like(walker.sink, Kind::Tree, &bytes, like.as_ref())?
            }
        };
        let add = |writer: &StatIndexWriter| writer.add(&tree, is_whole, entries.into_iter());
        Ok(Made { tree, record: writer.map_or(0, add) })
    }

    /// The tree of the directory as of the previous snapshot.
    fn tree_before(&self, scan: &Scan<'_>) -> Option<Id> {
        let Some(parent) = &self.parent else { return scan.source.previous.map(|(_, tree)| tree) };
        match decoded(&parent.before.as_ref()?.0)?.node {
            Node::Directory { tree } => Some(tree),
            _ => None,
        }
    }

    /// Whether the entries are those from before, so that the tree is.
    fn is_same(&self, slots: &Slots) -> bool {
        let Before::Seen(seen, _) = &self.before else { return false };
        match slots {
            Slots::AllSame => true,
            Slots::List(slots) => {
                slots.len() == seen.len() && slots.iter().all(|slot| matches!(slot, Slot::Same(_)))
            }
        }
    }

    fn kept(known: Known<'_>) -> NewEntry<'_> {
        NewEntry { encoded: known.encoded, stamp: known.stamp, record: known.record }
    }

    fn filled<'s>(&'s self, slot: &'s Slot) -> Option<NewEntry<'s>> {
        match slot {
            Slot::Awaited | Slot::Missing => None,
            Slot::Same(place) => self.before.at(*place).map(Self::kept),
            Slot::New(new) => {
                Some(NewEntry { encoded: &new.encoded, stamp: new.stamp, record: new.record })
            }
        }
    }
}

impl<S: ObjectSink> Walker<'_, '_, S> {
    /// Stores the tree of a directory again in which nothing has changed, if it was lost.
    fn heal(&mut self, before: &Before, tree: &Id) -> Result<(), TreeError> {
        let Some(store) = self.scan.source.doubted else { return Ok(()) };
        if !store.is_intact(tree, Kind::Tree).map_err(WriteError::from)? {
            let bytes = before.entries().map(|known| known.encoded).collect::<Vec<_>>().concat();
            put_any_like(self.sink, Kind::Tree, &bytes, Some(tree))?;
            self.tally.healed += 1;
        }
        Ok(())
    }
}

/// A tree that was made, and where the stat index has its record.
struct Made {
    tree: Id,
    record: u64,
}

impl Scan<'_> {
    /// What is kept of a changed leaf.
    pub(super) fn leaf(entry: &Entry, stamp: Option<Stamp>) -> Settled {
        Settled::New { encoded: encoded(entry), stamp, record: 0 }
    }
}
