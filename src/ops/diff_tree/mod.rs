//! Two trees to the entries in which they differ.
//!
//! Invariant: equal subtrees are never read, so the cost follows the change; changes are those
//! between the two listings that [`ls_tree`](super::ls_tree) makes with the same [`Listing`], in
//! the same order.

mod renames;

use std::cmp::Ordering;
use std::iter::Peekable;

use self::renames::Renames;
use super::ls_tree::{Listing, damaged, load};
use crate::base::id::Id;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::codec::DecodeError;
use crate::format::tree::{Entry, Node};
use crate::store::{ReadError, Store};

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There was none.
    Added,
    /// There is none any more.
    Removed,
    /// It is of the same type, and differs.
    Modified,
    /// Its content stood at another path, where nothing stands any more.
    Renamed,
    /// It is of another type.
    TypeChanged,
}

/// One change.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    /// The path, in the new tree unless the entry was removed.
    pub path: &'c [u8],
    /// The old entry and its path; `None` where it was added.
    pub old: Option<(&'c [u8], &'c Entry)>,
    /// The new entry; `None` where it was removed.
    pub new: Option<&'c Entry>,
}

impl Change<'_> {
    /// What became of the entry.
    pub fn status(&self) -> Status {
        match (self.old, self.new) {
            (None, _) => Status::Added,
            (_, None) => Status::Removed,
            (Some((path, _)), _) if path != self.path => Status::Renamed,
            (Some((_, old)), Some(new)) if old.node.word() != new.node.word() => {
                Status::TypeChanged
            }
            _ => Status::Modified,
        }
    }

    /// In what the two states differ, as stable words; nothing where there is only one state.
    pub fn aspects(&self) -> Vec<&'static str> {
        let (Some((old_path, old)), Some(new)) = (self.old, self.new) else { return Vec::new() };
        let (before, after) = (&old.metadata, &new.metadata);
        let aspects = [
            ("content", content(&old.node) != content(&new.node)),
            ("mode", before.mode != after.mode),
            ("owner", (before.uid, before.gid) != (after.uid, after.gid)),
            ("mtime", before.mtime != after.mtime),
            ("xattrs", before.xattrs != after.xattrs),
            ("target", target(&old.node) != target(&new.node)),
            ("device", device(&old.node) != device(&new.node)),
            ("name", old_path != self.path),
        ];
        aspects.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect).collect()
    }
}

fn content(node: &Node) -> Option<(Id, u64)> {
    match node {
        Node::File { id, size_bytes } => Some((*id, *size_bytes)),
        Node::Directory { tree } => Some((*tree, 0)),
        _ => None,
    }
}

fn target(node: &Node) -> Option<&[u8]> {
    match node {
        Node::Symlink { target } => Some(target),
        _ => None,
    }
}

fn device(node: &Node) -> Option<(u32, u32)> {
    match node {
        Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
            Some((*major, *minor))
        }
        _ => None,
    }
}

/// What is compared.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// Which entries of the two trees.
    pub listing: Listing,
    /// Whether an addition and a removal of the same content are one change.
    pub finds_renames: bool,
}

/// Calls `each` with every difference of two trees; `None` stands for the empty tree.
///
/// Memory: one tree a level of each side. With renames, which take a walk of their own before, one
/// entry for each addition and each removal too.
///
/// # Errors
///
/// A tree is missing, damaged or too deep; whatever `each` returns.
pub fn diff_tree<E: From<ReadError>>(
    store: &Store,
    old: Option<&Id>,
    new: Option<&Id>,
    options: &DiffOptions,
    each: &mut dyn FnMut(&Change<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let comparison = Comparison { store, listing: &options.listing };
    let mut renames = Renames::default();
    if options.finds_renames && old.is_some() && new.is_some() {
        comparison.walk::<ReadError>(old, new, &mut |path, old, new| {
            renames.note(path, old, new, options.listing.recursive);
            Ok(())
        })?;
        renames.pair_off();
    }
    comparison.walk(old, new, &mut |path, old, new| match (old, new) {
        (Some(_), None) if renames.is_origin(path) => Ok(()),
        (None, Some(_)) => each(&Change { path, old: renames.origin(path), new }),
        _ => each(&Change { path, old: old.map(|old| (path, old)), new }),
    })
}

/// Receives a path and the two entries that stand there, which differ.
type Visit<'v, E> = dyn FnMut(&[u8], Option<&Entry>, Option<&Entry>) -> Result<(), E> + 'v;

struct Comparison<'a> {
    store: &'a Store,
    listing: &'a Listing,
}

/// The two sides of a directory whose entries are being compared.
struct Level {
    path: Vec<u8>,
    old: Peekable<std::vec::IntoIter<Entry>>,
    new: Peekable<std::vec::IntoIter<Entry>>,
}

impl Level {
    /// What stands under the next name.
    fn next(&mut self) -> (Option<Entry>, Option<Entry>) {
        let order = match (self.old.peek(), self.new.peek()) {
            (Some(old), Some(new)) => old.name.cmp(&new.name),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => (self.old.next(), None),
            Ordering::Equal => (self.old.next(), self.new.next()),
            Ordering::Greater => (None, self.new.next()),
        }
    }
}

impl Comparison<'_> {
    fn walk<E: From<ReadError>>(
        &self,
        old: Option<&Id>,
        new: Option<&Id>,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        if old == new {
            return Ok(());
        }
        let mut open = vec![self.level(Vec::new(), old, new)?];
        while let Some(level) = open.last_mut() {
            let (old, new) = level.next();
            let Some(entry) = old.as_ref().or(new.as_ref()) else {
                open.pop();
                continue;
            };
            if old == new {
                continue;
            }
            let path = join(&level.path, &entry.name);
            let is_listed = |entry: &&Entry| self.listing.lists(&path, entry.is_directory());
            let (old_listed, new_listed) =
                (old.as_ref().filter(is_listed), new.as_ref().filter(is_listed));
            if old_listed.is_some() || new_listed.is_some() {
                visit(&path, old_listed, new_listed)?;
            }
            let (old_tree, new_tree) = (tree_in(old.as_ref()), tree_in(new.as_ref()));
            if old_tree == new_tree || !self.listing.leads_into(&path) {
                continue;
            }
            if let Some(id) = new_tree.or(old_tree).filter(|_| open.len() > DEPTH_MAX) {
                let source = DecodeError { what: "over 4096 levels deep", offset: 0 };
                return Err(damaged(&id, source).into());
            }
            open.push(self.level(path, old_tree.as_ref(), new_tree.as_ref())?);
        }
        Ok(())
    }

    fn level(&self, path: Vec<u8>, old: Option<&Id>, new: Option<&Id>) -> Result<Level, ReadError> {
        let entries = |id: Option<&Id>| {
            let loaded = id.map(|id| load(self.store, id)).transpose();
            loaded.map(|entries| entries.unwrap_or_default().into_iter().peekable())
        };
        Ok(Level { path, old: entries(old)?, new: entries(new)? })
    }
}

fn tree_in(entry: Option<&Entry>) -> Option<Id> {
    match entry?.node {
        Node::Directory { tree } => Some(tree),
        _ => None,
    }
}
