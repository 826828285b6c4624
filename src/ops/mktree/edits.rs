//! What is to become of a tree: entries to put and names to remove, by directory.
//!
//! Invariant: each path is put once; a path below a name that is no directory is refused. Removals
//! come before all that is put, in whatever order both are named.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::{MktreeError, shown};
use crate::base::id::Id;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::components;
use crate::base::time::FileTime;
use crate::format::codec::Reader;
use crate::format::tree::{Entry, Metadata, Node, Xattr};

/// Metadata of which some may be left to what stood there before, or to a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartialMetadata {
    /// Permission bits.
    pub mode: Option<u16>,
    /// Numeric owner.
    pub uid: Option<u32>,
    /// Numeric group.
    pub gid: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<FileTime>,
    /// Extended attributes, in any order.
    pub xattrs: Option<Vec<Xattr>>,
}

impl PartialMetadata {
    /// Everything of it, with `below` where it says nothing.
    pub(super) fn over(&self, below: &Metadata) -> Metadata {
        Metadata {
            mode: self.mode.unwrap_or(below.mode),
            uid: self.uid.unwrap_or(below.uid),
            gid: self.gid.unwrap_or(below.gid),
            mtime: self.mtime.unwrap_or(below.mtime),
            xattrs: self.xattrs.clone().unwrap_or_else(|| below.xattrs.clone()),
        }
    }

    fn is_whole(&self) -> bool {
        let Self { mode, uid, gid, mtime, xattrs } = self;
        mode.is_some() && uid.is_some() && gid.is_some() && mtime.is_some() && xattrs.is_some()
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file.
    File {
        /// Its blob.
        id: Id,
        /// Its bytes, where they are known.
        size_bytes: Option<u64>,
    },
    /// A stored object: a blob becomes a file, a tree a directory.
    Object(Id),
    /// A directory of what is named below it; on top of `tree`, where there is one.
    Directory {
        /// A stored tree to begin from.
        tree: Option<Id>,
    },
    /// A link, pipe, socket or device.
    Special(Node),
}

/// What becomes of one name in a directory.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The encoded entry of a file, link, pipe, socket or device.
    Entry(Box<[u8]>),
    /// Anything else that is no directory: its metadata, size or kind have to be found out.
    Partial(Box<(PartialMetadata, Content)>),
    /// A directory.
    Directory(Box<Directory>),
    /// Nothing may stand there.
    Removal,
}

impl Change {
    /// Whether nothing is put by it.
    pub(super) fn only_removes(&self) -> bool {
        match self {
            Self::Removal => true,
            Self::Directory(directory) => !directory.is_wanted,
            _ => false,
        }
    }
}

/// What becomes of one directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// Whether it was put itself, and not only on the way to something.
    pub(super) is_named: bool,
    /// Whether it was put, or anything below it: else it is only on the way to removals.
    pub(super) is_wanted: bool,
    /// Whether what stood there was removed.
    pub(super) is_fresh: bool,
    pub(super) metadata: PartialMetadata,
    /// The tree that it begins from, in place of the one that stood there.
    pub(super) tree: Option<Id>,
    pub(super) changes: BTreeMap<Box<[u8]>, Change>,
}

/// What is to become of a tree. Takes some 200 bytes for each name.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    pub(super) root: Directory,
    named: u64,
}

impl Edits {
    /// How many paths were named.
    pub fn named(&self) -> u64 {
        self.named
    }

    /// The metadata of the root, if it was named.
    pub fn root_metadata(&self, below: &Metadata) -> Option<Metadata> {
        self.root.is_named.then(|| self.root.metadata.over(below))
    }

    /// Puts an entry; the empty path is the root itself.
    ///
    /// # Errors
    ///
    /// The path is no path, or was named before, or what it says could not stand in a tree.
    pub fn put(
        &mut self,
        path: &[u8],
        metadata: PartialMetadata,
        content: Content,
    ) -> Result<(), MktreeError> {
        self.named += 1;
        let change = match content {
            Content::Directory { tree } => {
                let directory = self.wanted_directory(path, path_parts(path)?)?;
                if directory.is_named {
                    return Err(MktreeError::Twice { path: shown(path) });
                }
                directory.is_named = true;
                directory.metadata = metadata;
                directory.tree = tree;
                return Ok(());
            }
            Content::File { id, size_bytes: Some(size_bytes) } if metadata.is_whole() => {
                encoded(path, &metadata, Node::File { size_bytes, id })?
            }
            Content::Special(node) if metadata.is_whole() => encoded(path, &metadata, node)?,
            content => Change::Partial(Box::new((metadata, content))),
        };
        let (name, parts) = split(path)?;
        match self.wanted_directory(path, parts)?.changes.entry(name.into()) {
            Slot::Vacant(slot) => {
                slot.insert(change);
            }
            Slot::Occupied(mut slot) => match slot.get() {
                Change::Removal => {
                    slot.insert(change);
                }
                Change::Directory(directory) if !directory.is_wanted => {
                    slot.insert(change);
                }
                Change::Directory(directory) if !directory.is_named => {
                    return Err(MktreeError::NotADirectory { path: shown(path) });
                }
                _ => return Err(MktreeError::Twice { path: shown(path) }),
            },
        }
        Ok(())
    }

    /// Removes what stands at a path, if anything does. What is put there stays.
    ///
    /// # Errors
    ///
    /// The path is no path, or the root.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), MktreeError> {
        self.named += 1;
        let (name, parts) = split(path)?;
        let mut directory = &mut self.root;
        for name in parts {
            let change = directory.changes.entry(name.into());
            match change.or_insert_with(|| Change::Directory(Box::default())) {
                Change::Directory(below) => directory = below,
                // All that stood below is gone with it.
                _ => return Ok(()),
            }
        }
        match directory.changes.entry(name.into()) {
            Slot::Vacant(slot) => {
                slot.insert(Change::Removal);
            }
            Slot::Occupied(mut slot) => match slot.get_mut() {
                Change::Directory(directory) if directory.is_wanted => directory.is_fresh = true,
                Change::Directory(_) => {
                    slot.insert(Change::Removal);
                }
                _ => {}
            },
        }
        Ok(())
    }

    fn wanted_directory(
        &mut self,
        path: &[u8],
        parts: Vec<&[u8]>,
    ) -> Result<&mut Directory, MktreeError> {
        let mut directory = &mut self.root;
        directory.is_wanted = true;
        for name in parts {
            let change = directory.changes.entry(name.into());
            let change = change.or_insert_with(|| Change::Directory(Box::default()));
            if let Change::Removal = change {
                *change = Change::Directory(Box::new(Directory {
                    is_fresh: true,
                    ..Directory::default()
                }));
            }
            let Change::Directory(below) = change else {
                return Err(MktreeError::NotADirectory { path: shown(path) });
            };
            below.is_wanted = true;
            directory = below;
        }
        Ok(directory)
    }

    /// Whether an entry was put at a path, or above it something that is no directory.
    pub fn names(&self, path: &[u8]) -> bool {
        let mut directory = &self.root;
        for name in path.split(|byte| *byte == b'/') {
            match directory.changes.get(name) {
                Some(Change::Directory(below)) => directory = below,
                Some(Change::Removal) | None => return false,
                Some(_) => return true,
            }
        }
        false
    }

    /// Whether what stands at a path of the tree that is changed need not stand there any more.
    pub fn touches(&self, path: &[u8]) -> bool {
        let mut directory = &self.root;
        for name in path.split(|byte| *byte == b'/') {
            match directory.changes.get(name) {
                None => return false,
                Some(Change::Directory(below)) if below.tree.is_none() && !below.is_fresh => {
                    directory = below;
                }
                Some(_) => return true,
            }
        }
        false
    }
}

fn path_parts(path: &[u8]) -> Result<Vec<&[u8]>, MktreeError> {
    let parts = components(path).filter(|parts| parts.len() <= DEPTH_MAX);
    parts.ok_or_else(|| MktreeError::BadPath { path: shown(path) })
}

/// The last name of a path that is not the root, and the names above it.
fn split(path: &[u8]) -> Result<(&[u8], Vec<&[u8]>), MktreeError> {
    let mut parts = path_parts(path)?;
    let name = parts.pop().ok_or_else(|| MktreeError::BadPath { path: shown(path) })?;
    Ok((name, parts))
}

fn encoded(path: &[u8], metadata: &PartialMetadata, node: Node) -> Result<Change, MktreeError> {
    let name = path_parts(path)?.pop().unwrap_or_default();
    let metadata = metadata.over(&Metadata::default());
    encode(path, Entry { name: name.into(), metadata, node })
        .map(|bytes| Change::Entry(bytes.into()))
}

/// The encoding of an entry, if a tree may hold it.
pub(super) fn encode(path: &[u8], mut entry: Entry) -> Result<Vec<u8>, MktreeError> {
    entry.metadata.xattrs.sort_by(|one, other| one.name.cmp(&other.name));
    let mut bytes = Vec::with_capacity(entry.name.len() + 64);
    entry.encode(&mut bytes);
    // The decoder knows all bounds.
    match Entry::decode(&mut Reader::new(&bytes)) {
        Ok(decoded) if decoded == entry => Ok(bytes),
        Ok(_) => Err(MktreeError::Invalid {
            path: shown(path),
            what: "an extended attribute has the wrong form".into(),
        }),
        Err(error) => Err(MktreeError::Invalid { path: shown(path), what: error.what.into() }),
    }
}
