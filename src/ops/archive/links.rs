//! Which paths share an inode, and which of them came first in the archive.
//!
//! Invariant: a path is a link only to one that was archived with the same content and metadata.

use std::collections::HashMap;

use super::ArchiveError;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::links;
use crate::format::tree::{Entry, Metadata, Node};
use crate::store::Store;

/// What an entry is to the others that share its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// The first of them, or alone: it is archived.
    First,
    /// Another name of this path.
    Same(Vec<u8>),
    /// Not the same as the first: the file changed during the backup, or the group lies.
    Different,
}

/// The groups of paths that share an inode.
#[derive(Debug, Default)]
pub(super) struct Names {
    groups: HashMap<Box<[u8]>, usize>,
    first: HashMap<usize, (Node, Metadata, Vec<u8>)>,
}

impl Names {
    pub(super) fn load(store: &Store, links: Option<Id>) -> Result<Self, ArchiveError> {
        let Some(id) = links else { return Ok(Self::default()) };
        let bytes = store.read(&id, Kind::Links)?;
        let decoded = links::decode(&bytes);
        let decoded = decoded.map_err(|error| ArchiveError::Hostile { what: error.what, id })?;
        let mut groups = HashMap::new();
        for (number, group) in decoded.into_iter().enumerate() {
            groups.extend(group.into_iter().map(|path| (path, number)));
        }
        Ok(Self { groups, first: HashMap::new() })
    }

    /// Says what an entry is to its group. `path` is the one in the archive.
    pub(super) fn claim(&mut self, full_path: &[u8], path: &[u8], entry: &Entry) -> Claim {
        if entry.is_directory() {
            return Claim::First;
        }
        let Some(group) = self.groups.get(full_path) else { return Claim::First };
        match self.first.get(group) {
            None => {
                let first = (entry.node.clone(), entry.metadata.clone(), path.to_vec());
                self.first.insert(*group, first);
                Claim::First
            }
            Some((node, metadata, first)) if (node, metadata) == (&entry.node, &entry.metadata) => {
                Claim::Same(first.clone())
            }
            Some(_) => Claim::Different,
        }
    }

    /// Forgets that an entry came first: it was left out.
    pub(super) fn release(&mut self, full_path: &[u8]) {
        if let Some(group) = self.groups.get(full_path) {
            self.first.remove(group);
        }
    }
}
