//! The entries of a tree, and of those below it; and which of them are asked for.
//!
//! Invariant: entries come in the order of their names, a directory before what is in it.

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::{is_within, join, split_last};
use crate::format::codec::DecodeError;
use crate::format::tree::{self, Entry, Node};
use crate::store::{ReadError, Store};

/// Receives the path of an entry and the entry; says whether to go down into it.
pub type Visit<'v, E> = dyn FnMut(&[u8], &Entry) -> Result<bool, E> + 'v;

/// Which entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only these paths, normalised; all if there is none. A directory stands for what is in it.
    pub paths: Vec<Vec<u8>>,
    /// Whether directories are gone into.
    pub recursive: bool,
    /// Whether only directories are listed, those that are named included.
    pub directories: bool,
    /// Whether directories that are gone into, or named, are listed too.
    pub trees: bool,
}

impl Listing {
    /// Whether an entry is listed.
    pub fn lists(&self, path: &[u8], is_directory: bool) -> bool {
        let is_shown = match (self.directories, is_directory) {
            (true, directory) => directory,
            (false, true) => !self.recursive || self.trees,
            (false, false) => true,
        };
        let parent = split_last(path).0;
        // A directory that is named stands for what is in it, unless it is itself asked for.
        let is_asked = |wanted: &Vec<u8>| match path == wanted.as_slice() {
            true => !is_directory || self.directories || self.trees,
            false => {
                is_within(path, wanted)
                    && (self.recursive || (parent == wanted && !self.directories))
            }
        };
        is_shown && (self.paths.is_empty() || self.paths.iter().any(is_asked))
    }

    /// Whether what is in a directory may be listed.
    pub fn leads_into(&self, path: &[u8]) -> bool {
        let is_on_the_way = |wanted: &Vec<u8>| {
            is_within(wanted, path) || (self.recursive && is_within(path, wanted))
        };
        match self.paths.is_empty() {
            true => self.recursive,
            false => self.paths.iter().any(is_on_the_way),
        }
    }
}

/// Whether something stands at a path in a tree; the root does.
///
/// # Errors
///
/// A tree on the way is missing or damaged.
pub fn has_path(store: &Store, tree: &Id, path: &[u8]) -> Result<bool, ReadError> {
    let mut is_found = path.is_empty();
    if !is_found {
        ls_tree(store, tree, &mut |above, _| {
            is_found |= above == path;
            Ok::<bool, ReadError>(above != path && is_within(path, above))
        })?;
    }
    Ok(is_found)
}

/// Calls `each` with every entry of a tree; below a directory for which it returns true, too.
///
/// # Errors
///
/// A tree is missing, damaged or too deep; whatever `each` returns.
pub fn ls_tree<E: From<ReadError>>(
    store: &Store,
    tree: &Id,
    each: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut open = vec![(Vec::new(), load(store, tree)?.into_iter())];
    while let Some((directory, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let path = join(directory, &entry.name);
        if !each(&path, &entry)? {
            continue;
        }
        let Node::Directory { tree } = entry.node else { continue };
        if open.len() > DEPTH_MAX {
            return Err(
                damaged(&tree, DecodeError { what: "over 4096 levels deep", offset: 0 }).into()
            );
        }
        open.push((path, load(store, &tree)?.into_iter()));
    }
    Ok(())
}

pub(super) fn load(store: &Store, id: &Id) -> Result<Vec<Entry>, ReadError> {
    let bytes = store.read(id, Kind::Tree)?;
    tree::entries(&bytes).collect::<Result<_, _>>().map_err(|source| damaged(id, source))
}

pub(super) fn damaged(id: &Id, source: DecodeError) -> ReadError {
    ReadError::Damaged { id: *id, kind: Kind::Tree, file: "the repository".into(), source }
}
