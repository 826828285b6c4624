//! A directory on its way to a tree: entries come in from several threads, the last one ends it.
//!
//! Invariant: a directory ends exactly once, after its listing is done and no entry is awaited.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Action;
use crate::format::codec::Reader;
use crate::format::tree::{Entry, Metadata, Node};
use crate::source::stat_index::{Seen, Stamp};
use crate::store::{ObjectSink, put_any};

/// A directory whose entries are not all known yet.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its path in the tree; empty for the root.
    pub(super) path: Vec<u8>,
    metadata: Metadata,
    stamp: Option<Stamp>,
    /// Whether it is left out if nothing is in it: a mere container of includes.
    is_container: bool,
    parent: Option<(Arc<Directory>, usize)>,
    /// What the previous snapshot holds for it in its parent.
    previous: Option<Box<[u8]>>,
    state: Mutex<State>,
}

/// An encoded entry, once it is known, with what tells it from a changed one.
type Slot = Option<(Box<[u8]>, Option<Stamp>)>;

#[derive(Debug, Default)]
struct State {
    entries: Vec<Slot>,
    awaited: usize,
    is_listed: bool,
}

impl Directory {
    pub(super) fn root(metadata: Metadata) -> Arc<Self> {
        Arc::new(Self {
            path: Vec::new(),
            metadata,
            stamp: None,
            is_container: false,
            parent: None,
            previous: None,
            state: Mutex::default(),
        })
    }

    pub(super) fn child(
        parent: (&Arc<Self>, usize),
        path: Vec<u8>,
        metadata: Metadata,
        stamp: Option<Stamp>,
        is_container: bool,
        previous: Option<&Seen>,
    ) -> Arc<Self> {
        Arc::new(Self {
            path,
            metadata,
            stamp,
            is_container,
            parent: Some((Arc::clone(parent.0), parent.1)),
            previous: previous.map(|seen| seen.encoded.clone()),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for the next entry, which will be handed in later; its number.
    pub(super) fn expect(&self) -> usize {
        let mut state = self.state();
        state.entries.push(None);
        state.awaited += 1;
        state.entries.len() - 1
    }

    /// Hands in the next entry.
    pub(super) fn add(&self, entry: &Entry, stamp: Option<Stamp>) {
        self.state().entries.push(Some((encoded(entry), stamp)));
    }

    /// Hands in an entry that was expected, or says that there is none; ends what is complete.
    pub(super) fn settle<S: ObjectSink>(
        self: &Arc<Self>,
        scan: &Scan<'_>,
        number: usize,
        entry: Option<(&Entry, Option<Stamp>)>,
        sink: &mut S,
    ) -> Result<(), TreeError> {
        let mut state = self.state();
        if let Some(slot) = state.entries.get_mut(number) {
            *slot = entry.map(|(entry, stamp)| (encoded(entry), stamp));
        }
        state.awaited -= 1;
        let is_complete = state.is_listed && state.awaited == 0;
        drop(state);
        if is_complete { self.end(scan, sink) } else { Ok(()) }
    }

    /// Says that no more entries come; ends what is complete.
    pub(super) fn listed<S: ObjectSink>(
        self: &Arc<Self>,
        scan: &Scan<'_>,
        sink: &mut S,
    ) -> Result<(), TreeError> {
        let mut state = self.state();
        state.is_listed = true;
        let is_complete = state.awaited == 0;
        drop(state);
        if is_complete { self.end(scan, sink) } else { Ok(()) }
    }

    /// Makes the tree, and goes up as long as that completes the directory above.
    fn end<S: ObjectSink>(
        self: &Arc<Self>,
        scan: &Scan<'_>,
        sink: &mut S,
    ) -> Result<(), TreeError> {
        let mut directory = Arc::clone(self);
        loop {
            let entries = std::mem::take(&mut directory.state().entries);
            let is_left_out = directory.is_container && entries.iter().all(Option::is_none);
            let tree = directory.make_tree(scan, &entries, sink)?;
            let Some((parent, number)) = directory.parent.clone() else {
                scan.set_root(tree);
                return Ok(());
            };
            let (_, name) = crate::base::path::split_last(&directory.path);
            let metadata = directory.metadata.clone();
            let entry = Entry { name: name.into(), metadata, node: Node::Directory { tree } };
            let mut state = parent.state();
            if let Some(slot) = state.entries.get_mut(number).filter(|_| !is_left_out) {
                *slot = Some((encoded(&entry), directory.stamp));
            }
            state.awaited -= 1;
            let is_complete = state.is_listed && state.awaited == 0;
            drop(state);
            if !is_left_out {
                scan.tally().counts.directories += 1;
                let action = compare(directory.previous.as_deref(), &entry);
                scan.count(true, action, &directory.path, 0);
            }
            if !is_complete {
                return Ok(());
            }
            directory = parent;
        }
    }

    fn make_tree<S: ObjectSink>(
        &self,
        scan: &Scan<'_>,
        entries: &[Slot],
        sink: &mut S,
    ) -> Result<Id, TreeError> {
        let bytes =
            entries.iter().flatten().map(|(encoded, _)| &**encoded).collect::<Vec<_>>().concat();
        if let Some(writer) = scan.source.stat_index_writer {
            let unknown = Stamp { ino: 0, dev: 0, ctime: crate::base::time::FileTime::default() };
            let seen = entries.iter().flatten();
            writer.add(&self.path, seen.map(|(e, stamp)| (&**e, stamp.unwrap_or(unknown))));
        }
        Ok(put_any(sink, Kind::Tree, &bytes)?)
    }
}

fn encoded(entry: &Entry) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(entry.name.len() + 64);
    entry.encode(&mut bytes);
    bytes.into()
}

/// What became of an entry since the previous snapshot.
pub(super) fn compare(previous: Option<&[u8]>, entry: &Entry) -> Action {
    match previous.map(|bytes| Entry::decode(&mut Reader::new(bytes))) {
        None => Action::New,
        Some(Ok(previous)) if previous == *entry => Action::Unchanged,
        Some(_) => Action::Changed,
    }
}
