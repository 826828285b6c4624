//! Trees without what is lost.
//!
//! Invariant: whatever is in the tree that comes out is stored, and whatever is not, or lacks an
//! attribute, is told with its path. Each distinct tree is read once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::snapshot::Counts;
use crate::format::tree::{self, Entry, Node, Xattr, XattrValue};
use crate::store::{Store, WriteError};

/// Why a file is not in a rewritten tree.
const CONTENT: &str = "lost: its content is not in the repository any more";
/// Why a directory is not.
const DIRECTORY: &str = "lost: what was in it is not known any more";
/// What a file lacks that is.
const ATTRIBUTE: &str = "one of its extended attributes is lost";

/// A path below a tree that is lost, or lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) path: Vec<u8>,
    pub(super) reason: &'static str,
    /// Whether it is not in the tree.
    pub(super) is_left_out: bool,
}

/// What a tree became.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) tree: Id,
    pub(super) counts: Counts,
    pub(super) lost: Vec<Lost>,
}

/// Rewrites trees.
pub(super) struct Without<'s> {
    store: &'s Store,
    /// What each tree became; `None` if it cannot be read.
    known: HashMap<Id, Option<Rc<Rest>>>,
    /// Whether an object is stored, with all of its parts.
    there: HashMap<(Id, Kind), bool>,
    made: Vec<Vec<u8>>,
}

/// A tree that is being rewritten.
struct Open {
    id: Id,
    entries: Vec<Entry>,
    /// The next entry to look at.
    next: usize,
    rest: Vec<u8>,
    counts: Counts,
    lost: Vec<Lost>,
    is_changed: bool,
}

impl<'s> Without<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self { store, known: HashMap::new(), there: HashMap::new(), made: Vec::new() }
    }

    /// The encoded trees that were made so far, each behind those that it refers to.
    pub(super) fn made(&self) -> &[Vec<u8>] {
        &self.made
    }

    /// Whether an object is stored, with all of its parts.
    pub(super) fn is_there(&mut self, id: &Id, kind: Kind) -> Result<bool, WriteError> {
        if let Some(is_there) = self.there.get(&(*id, kind)) {
            return Ok(*is_there);
        }
        let is_there = self.store.is_intact(id, kind)?;
        self.there.insert((*id, kind), is_there);
        Ok(is_there)
    }

    /// What is left of a tree; `None` if it cannot be read itself.
    pub(super) fn tree(&mut self, root: &Id) -> Result<Option<Rc<Rest>>, WriteError> {
        if let Some(known) = self.known.get(root) {
            return Ok(known.clone());
        }
        let Some(open) = self.open(root)? else {
            self.known.insert(*root, None);
            return Ok(None);
        };
        let mut stack = vec![open];
        loop {
            let depth = stack.len();
            let Some(top) = stack.last_mut() else { return Ok(None) };
            let Some(entry) = top.entries.get(top.next).cloned() else {
                let Some(done) = stack.pop() else { return Ok(None) };
                let (id, rest) = (done.id, Rc::new(self.close(done)));
                self.known.insert(id, Some(Rc::clone(&rest)));
                if stack.is_empty() {
                    return Ok(Some(rest));
                }
                // The entry above is looked at again, and its tree is known then.
                continue;
            };
            if let Node::Directory { tree } = &entry.node
                && !self.known.contains_key(tree)
            {
                match self.open(tree)?.filter(|_| depth < DEPTH_MAX) {
                    Some(open) => stack.push(open),
                    None => drop(self.known.insert(*tree, None)),
                }
                continue;
            }
            top.next += 1;
            self.entry(top, entry)?;
        }
    }

    fn open(&self, id: &Id) -> Result<Option<Open>, WriteError> {
        let bytes = match self.store.read(id, Kind::Tree) {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(entries) = tree::entries(&bytes).collect::<Result<Vec<_>, _>>() else {
            return Ok(None);
        };
        Ok(Some(Open {
            id: *id,
            entries,
            next: 0,
            rest: Vec::new(),
            counts: Counts::default(),
            lost: Vec::new(),
            is_changed: false,
        }))
    }

    fn entry(&mut self, open: &mut Open, mut entry: Entry) -> Result<(), WriteError> {
        let name = entry.name.to_vec();
        let lost = |reason, is_left_out| Lost { path: name.clone(), reason, is_left_out };
        match &mut entry.node {
            Node::File { id, .. } if !self.is_there(id, Kind::Blob)? => {
                open.is_changed = true;
                open.lost.push(lost(CONTENT, true));
                return Ok(());
            }
            Node::Directory { tree } => {
                let Some(Some(rest)) = self.known.get(tree).cloned() else {
                    open.is_changed = true;
                    open.lost.push(lost(DIRECTORY, true));
                    return Ok(());
                };
                open.is_changed |= rest.tree != *tree;
                *tree = rest.tree;
                open.counts.join(&rest.counts);
                let below = rest.lost.iter();
                let below =
                    below.map(|lost| Lost { path: join(&name, &lost.path), ..lost.clone() });
                open.lost.extend(below);
            }
            _ => {}
        }
        let mut xattrs: Vec<Xattr> = Vec::new();
        for xattr in &entry.metadata.xattrs {
            match xattr.value {
                XattrValue::Blob { id, .. } if !self.is_there(&id, Kind::Blob)? => {}
                _ => xattrs.push(xattr.clone()),
            }
        }
        if xattrs.len() < entry.metadata.xattrs.len() {
            open.is_changed = true;
            open.lost.push(lost(ATTRIBUTE, false));
            entry.metadata.xattrs = xattrs;
        }
        open.counts.add(&entry.node);
        entry.encode(&mut open.rest);
        Ok(())
    }

    fn close(&mut self, open: Open) -> Rest {
        let Open { id, rest, counts, lost, is_changed, .. } = open;
        if !is_changed {
            return Rest { tree: id, counts, lost };
        }
        let tree = object_id(Kind::Tree, &rest);
        self.made.push(rest);
        Rest { tree, counts, lost }
    }
}
