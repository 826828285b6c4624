//! The walk: down the trees, making directories and planning the rest.
//!
//! Invariant: a tree is validated whole before anything in it is made; directories get their
//! metadata last, deepest first.

use std::sync::Arc;

use super::later::{Claim, Later};
use super::made::MadeDirectories;
use super::pipeline::Jobs;
use super::plan::{FileDirectory, FileTask, Plan};
use super::settle::give_metadata;
use super::{Checkout, CheckoutError, Wanted};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::tree::{self, Entry, Node};
use crate::target::{Overwrite, TargetDirectory, TargetError};

pub(super) struct Walk<'c, 'a> {
    checkout: &'c Checkout<'a>,
    jobs: Jobs<'c, 'a>,
    plan: Plan,
    left: Walked,
    depth: usize,
}

/// What a walk leaves to be done when all files are written.
#[derive(Debug, Default)]
pub(super) struct Walked {
    later: Later,
    directories: MadeDirectories,
}

impl Walked {
    /// Makes links and special nodes, then gives directories their metadata.
    pub(super) fn finish(self, checkout: &Checkout<'_>) -> Result<(), CheckoutError> {
        self.later.run(checkout)?;
        give_metadata(checkout, &self.directories)
    }
}

impl<'c, 'a> Walk<'c, 'a> {
    /// Prepares a walk that hands out the files to be written.
    pub(super) fn new(checkout: &'c Checkout<'a>, jobs: Jobs<'c, 'a>) -> Self {
        Self { checkout, jobs, plan: Plan::default(), left: Walked::default(), depth: 0 }
    }

    /// Walks the tree; goes down by as many calls as it is deep.
    pub(super) fn run(mut self) -> Result<Walked, CheckoutError> {
        let target = self.checkout.root.open_directory(b"")?;
        let tree = self.checkout.request.tree;
        // That the root cannot be read is for the caller; below it, the rest goes on.
        let bytes = self.read_tree(&tree)?;
        self.tree((&target, false), b"", &bytes)?;
        self.jobs.hand_out(self.plan.take_all())?;
        Ok(self.left)
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
        (target, is_new): (&TargetDirectory, bool),
        path: &[u8],
        bytes: &[u8],
    ) -> Result<(), CheckoutError> {
        if self.depth > DEPTH_MAX {
            let id = self.checkout.request.tree;
            let what = "directories over 4096 levels deep";
            return Err(CheckoutError::Hostile { what, kind: Kind::Tree, id });
        }
        self.depth += 1;
        let directory = Arc::new(FileDirectory { path: path.into(), is_new });
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
                    match group.map(|group| self.left.later.claim(group, &entry)) {
                        Some(Claim::Same) => self.left.later.link(path, entry),
                        claim => {
                            let group = group.filter(|_| claim == Some(Claim::First));
                            let directory = Arc::clone(&directory);
                            let task = FileTask { directory, entry, group };
                            self.plan.push(self.checkout.store, task);
                        }
                    }
                    if self.jobs.are_wanted()
                        && let Some(batch) = self.plan.take_full_frame()
                    {
                        self.jobs.hand_out(batch)?;
                    }
                    if self.plan.is_full() {
                        self.jobs.hand_out(self.plan.take_batch())?;
                    }
                }
                _ => {
                    let group = self.checkout.groups.of(&path);
                    let group = group
                        .filter(|group| self.left.later.claim(*group, &entry) != Claim::Different);
                    self.left.later.special(path, entry, group);
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
        self.tree((&child, is_new), path, &bytes)?;
        if is_new || wanted == Wanted::Yes {
            self.left.directories.push(path, &entry.metadata);
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
}
