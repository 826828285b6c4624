//! The walk: down the trees, making directories and planning the rest.
//!
//! Invariant: a tree is validated whole before anything in it is made; directories get their
//! metadata last, deepest first.

use super::files::{self, FileTask};
use super::later::{Claim, Later};
use super::{BATCH_FILES, Checkout, CheckoutError, LoadedXattrs, Wanted};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::codec::Reader;
use crate::format::tree::{self, Entry, Metadata, Node};
use crate::target::{Overwrite, TargetDirectory, TargetError};

/// A tree may be 4,096 levels deep, and the walk goes down by calls.
const WALK_STACK_BYTES: usize = 256 << 20;

/// The path of a directory and its encoded metadata.
type MadeDirectory = (Box<[u8]>, Box<[u8]>);

pub(super) struct Walk<'c, 'a> {
    checkout: &'c Checkout<'a>,
    files: Vec<FileTask>,
    later: Later,
    /// Paths of directories and their encoded metadata, each after all that are below it.
    directories: Vec<MadeDirectory>,
    depth: usize,
}

impl<'c, 'a> Walk<'c, 'a> {
    pub(super) fn new(checkout: &'c Checkout<'a>) -> Self {
        Self {
            checkout,
            files: Vec::new(),
            later: Later::default(),
            directories: Vec::new(),
            depth: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<(), CheckoutError> {
        std::thread::scope(|scope| {
            let walker = std::thread::Builder::new().stack_size(WALK_STACK_BYTES);
            let handle = walker.spawn_scoped(scope, || self.run_here());
            match handle.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(done)) => done,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(CheckoutError::Thread(error)),
            }
        })
    }

    fn run_here(&mut self) -> Result<(), CheckoutError> {
        let target = self.checkout.root.open_directory(b"")?;
        let tree = self.checkout.request.tree;
        // That the root cannot be read is for the caller; below it, the rest goes on.
        let bytes = self.read_tree(&tree)?;
        self.tree(&target, b"", &bytes)?;
        self.end_batch()?;
        std::mem::take(&mut self.later).run(self.checkout)?;
        for (path, encoded) in std::mem::take(&mut self.directories) {
            let metadata = Metadata::decode(&mut Reader::new(&encoded)).unwrap_or_default();
            let directory = self.checkout.root.open_directory(&path);
            let applied = directory.and_then(|directory| self.apply(&directory, &path, &metadata));
            if let Err(error) = applied {
                self.checkout.target_failed(&path, error)?;
            }
        }
        if let Some(metadata) = &self.checkout.request.root {
            self.apply(&target, b"", metadata)?;
        }
        Ok(())
    }

    fn apply(
        &self,
        directory: &TargetDirectory,
        path: &[u8],
        metadata: &Metadata,
    ) -> Result<(), TargetError> {
        match LoadedXattrs::load(self.checkout.store, &metadata.xattrs) {
            Ok(xattrs) => {
                let not_kept = xattrs.with(metadata, |wanted| directory.apply(wanted))?;
                self.checkout.not_kept(path, not_kept);
            }
            Err(error) => self.checkout.read_failed(path, &error),
        }
        Ok(())
    }

    fn read_tree(&self, id: &Id) -> Result<Vec<u8>, CheckoutError> {
        let bytes = self.checkout.store.read(id, Kind::Tree)?;
        tree::validate(&bytes).map_err(|error| CheckoutError::Hostile {
            what: error.what,
            kind: Kind::Tree,
            id: *id,
        })?;
        Ok(bytes)
    }

    fn tree(
        &mut self,
        target: &TargetDirectory,
        path: &[u8],
        bytes: &[u8],
    ) -> Result<(), CheckoutError> {
        if self.depth > DEPTH_MAX {
            let id = self.checkout.request.tree;
            let what = "directories over 4096 levels deep";
            return Err(CheckoutError::Hostile { what, kind: Kind::Tree, id });
        }
        self.depth += 1;
        let directory: std::sync::Arc<[u8]> = path.into();
        for entry in tree::entries(bytes) {
            // The tree was validated above; an error here cannot happen, and would end the tree.
            let Ok(entry) = entry else { break };
            if self.checkout.monitor.is_cancelled() {
                return Err(CheckoutError::Cancelled);
            }
            let path = join(path, &entry.name);
            let wanted = (self.checkout.request.wanted)(&path, entry.is_directory());
            match (&entry.node, wanted) {
                (_, Wanted::No) => {}
                (Node::Directory { tree }, _) => {
                    let tree = *tree;
                    self.directory(target, &entry, tree, &path, wanted)?;
                }
                (Node::File { .. }, _) => {
                    let group = self.checkout.groups.of(&path);
                    match group.map(|group| self.later.claim(group, &entry)) {
                        Some(Claim::Same) => self.later.link(path, entry),
                        claim => {
                            let group = group.filter(|_| claim == Some(Claim::First));
                            let directory = std::sync::Arc::clone(&directory);
                            self.files.push(FileTask { directory, entry, group });
                        }
                    }
                    if self.files.len() >= BATCH_FILES {
                        self.end_batch()?;
                    }
                }
                _ => {
                    let group = self.checkout.groups.of(&path);
                    let group =
                        group.filter(|group| self.later.claim(*group, &entry) != Claim::Different);
                    self.later.special(path, entry, group);
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn directory(
        &mut self,
        target: &TargetDirectory,
        entry: &Entry,
        tree: Id,
        path: &[u8],
        wanted: Wanted,
    ) -> Result<(), CheckoutError> {
        let bytes = match self.read_tree(&tree) {
            Ok(bytes) => bytes,
            Err(CheckoutError::Read(error)) => {
                self.checkout.read_failed(path, &error);
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let (child, is_new) = match self.make(target, &entry.name) {
            Ok(made) => made,
            Err(error) => return self.checkout.target_failed(path, error),
        };
        if !is_new
            && wanted == Wanted::Yes
            && let Err(error) = child.make_writable()
        {
            self.checkout.target_failed(path, error)?;
        }
        self.checkout.tally().report.directories += 1;
        self.tree(&child, path, &bytes)?;
        if is_new || wanted == Wanted::Yes {
            let mut encoded = Vec::new();
            entry.metadata.encode(&mut encoded);
            self.directories.push((path.into(), encoded.into()));
        }
        Ok(())
    }

    /// Makes a directory, in the place of a link or file if that may be replaced.
    fn make(
        &self,
        target: &TargetDirectory,
        name: &[u8],
    ) -> Result<(TargetDirectory, bool), TargetError> {
        match target.make_child(name) {
            Err(TargetError::Occupied { .. } | TargetError::NotADirectory { .. })
                if self.checkout.request.overwrite == Overwrite::Replace =>
            {
                target.remove(name)?;
                target.make_child(name)
            }
            other => other,
        }
    }

    /// Writes the files planned so far.
    fn end_batch(&mut self) -> Result<(), CheckoutError> {
        files::write(self.checkout, std::mem::take(&mut self.files))
    }
}
