//! The walk through the trees, a directory before what is in it.
//!
//! Invariant: each tree is validated whole before any entry of it is archived.

use super::{ArchiveError, Archiver};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::{is_within, join};
use crate::format::codec::{DecodeError, Reader};
use crate::format::tree::{self, Entry, Node};
use crate::store::{ReadError, Store};

/// The entries of one directory that are still to come.
struct Listing {
    path: Vec<u8>,
    bytes: Vec<u8>,
    at: usize,
}

impl Listing {
    fn open(store: &Store, tree: &Id, path: Vec<u8>) -> Result<Self, ReadError> {
        let bytes = store.read(tree, Kind::Tree)?;
        tree::validate(&bytes).map_err(|source| damaged(tree, source))?;
        Ok(Self { path, bytes, at: 0 })
    }

    fn next(&mut self) -> Option<Entry> {
        let mut reader = Reader::new(self.bytes.get(self.at..)?);
        if reader.is_at_end() {
            return None;
        }
        let entry = Entry::decode(&mut reader).ok()?;
        self.at += reader.offset();
        Some(entry)
    }
}

fn damaged(tree: &Id, source: DecodeError) -> ReadError {
    ReadError::Damaged { id: *tree, kind: Kind::Tree, file: "the repository".into(), source }
}

/// Finds each path in the tree before anything is written.
pub(super) fn check_wanted(
    store: &Store,
    tree: &Id,
    wanted: &[Vec<u8>],
) -> Result<(), ArchiveError> {
    for path in wanted.iter().filter(|path| !path.is_empty()) {
        let no_path = || ArchiveError::NoPath { path: String::from_utf8_lossy(path).into_owned() };
        let mut above = Some(*tree);
        for name in path.split(|byte| *byte == b'/') {
            let mut listing = Listing::open(store, &above.ok_or_else(no_path)?, Vec::new())?;
            let entry = std::iter::from_fn(|| listing.next()).find(|entry| *entry.name == *name);
            above = match entry.ok_or_else(no_path)?.node {
                Node::Directory { tree } => Some(tree),
                _ => None,
            };
        }
    }
    Ok(())
}

/// Hands every wanted entry to the archiver.
pub(super) fn walk(archiver: &mut Archiver<'_, '_>) -> Result<(), ArchiveError> {
    let (store, wanted) = (archiver.store, archiver.request.wanted);
    let mut open = vec![Listing::open(store, &archiver.request.tree, Vec::new())?];
    while let Some(listing) = open.last_mut() {
        let Some(entry) = listing.next() else {
            open.pop();
            continue;
        };
        let path = join(&listing.path, &entry.name);
        let is_wanted = wanted.is_empty() || wanted.iter().any(|wanted| is_within(&path, wanted));
        if is_wanted {
            archiver.entry(&path, &entry)?;
        }
        let Node::Directory { tree } = entry.node else { continue };
        if !is_wanted && !wanted.iter().any(|wanted| is_within(wanted, &path)) {
            continue;
        }
        let below = match open.len() <= DEPTH_MAX {
            true => Listing::open(store, &tree, path.clone()),
            false => Err(damaged(&tree, DecodeError { what: "over 4096 levels deep", offset: 0 })),
        };
        match below {
            Ok(below) => open.push(below),
            Err(error) if error.is_damage() => archiver.damaged(&path, &error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
