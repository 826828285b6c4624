//! Removing from a target what the snapshot lacks, inside the includes and nowhere else.
//!
//! Invariant: what was excluded, skipped or outside at backup time stays, and so does every
//! directory that holds any of it; so do the repository and the project file.

use std::collections::HashSet;
use std::path::Path;

use super::{RestoreError, RestoreRequest, bytes};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::monitor::{Action, Monitor, Problem};
use crate::base::path::{is_within, join};
use crate::format::snapshot::Skipped;
use crate::format::tree::{self, Entry, Node};
use crate::ops::checkout::CheckoutError;
use crate::os::{FileIdentity, FileKind};
use crate::source::selection::{Root, Selection, Verdict};
use crate::store::Store;
use crate::target::{TargetDirectory, TargetError, TargetRoot};

/// Names at the root of a target that are never removed.
const KEPT_NAMES: [&[u8]; 3] = [b".runup", b"runup.yaml", b"runup.yml"];

pub(super) struct Clearing<'a> {
    store: &'a Store,
    selection: &'a Selection,
    roots: Vec<Root>,
    tree: Id,
    skipped: HashSet<Vec<u8>>,
    kept: &'a [FileIdentity],
    monitor: &'a dyn Monitor,
    deleted: u64,
}

impl<'a> Clearing<'a> {
    pub(super) fn new(
        store: &'a Store,
        request: &'a RestoreRequest<'a>,
        selection: &'a Selection,
        roots: Vec<Root>,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let path = |skipped: &Skipped| bytes(std::slice::from_ref(&skipped.path)).pop();
        Self {
            store,
            selection,
            roots,
            tree: request.snapshot.root.tree,
            skipped: request.snapshot.root.skipped.iter().filter_map(path).collect(),
            kept: &request.kept,
            monitor,
            deleted: 0,
        }
    }

    /// Clears a target; how many entries were removed.
    pub(super) fn run(mut self, to: &Path) -> Result<u64, RestoreError> {
        let root = TargetRoot::open(to)?.open_directory(b"")?;
        let tree = self.tree;
        self.directory(&root, &tree, b"", 0)?;
        Ok(self.deleted)
    }

    /// Goes through a directory that the snapshot has.
    fn directory(
        &mut self,
        target: &TargetDirectory,
        tree: &Id,
        path: &[u8],
        depth: usize,
    ) -> Result<(), RestoreError> {
        if depth > DEPTH_MAX || self.skipped.contains(path) {
            return Ok(());
        }
        let bytes = match self.store.read(tree, Kind::Tree) {
            // What is below cannot be told from what is extra; the checkout reports the damage.
            Err(error) if depth > 0 && error.is_damage() => return Ok(()),
            read => read.map_err(CheckoutError::from)?,
        };
        let mut wanted = std::collections::HashMap::new();
        for entry in tree::entries(&bytes) {
            let Entry { name, node, .. } = entry.map_err(|error| CheckoutError::Hostile {
                what: error.what,
                kind: Kind::Tree,
                id: *tree,
            })?;
            let below = match node {
                Node::Directory { tree } => Some(tree),
                _ => None,
            };
            wanted.insert(name, below);
        }
        for name in target.names()? {
            if self.monitor.is_cancelled() {
                return Err(CheckoutError::Cancelled.into());
            }
            let path = join(path, &name);
            match wanted.get(&name) {
                None => {
                    self.remove(target, &name, &path, depth)?;
                }
                Some(Some(tree)) => match target.open_child(&name) {
                    Ok(child) => self.directory(&child, tree, &path, depth + 1)?,
                    // Something else stands there, which the checkout replaces.
                    Err(TargetError::NotADirectory { .. } | TargetError::Missing { .. }) => {}
                    Err(error) => self.fail(&path, &error),
                },
                Some(None) => {
                    let status = target.status(&name)?;
                    if status.is_some_and(|status| status.kind == FileKind::Directory) {
                        self.remove(target, &name, &path, depth)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an entry that the snapshot lacks was taken care of by the includes, and so was not
    /// there at backup time.
    fn is_extra(&self, path: &[u8], is_directory: bool) -> bool {
        let is_taken = self
            .roots
            .iter()
            .any(|root| self.selection.classify(*root, path, is_directory) == Verdict::Take);
        is_taken
            && !self.skipped.contains(path)
            && !KEPT_NAMES.contains(&path)
            && self.selection.exclusion(path, is_directory).is_none()
    }

    /// Removes an entry with all below it that may be removed; whether nothing is left of it.
    fn remove(
        &mut self,
        target: &TargetDirectory,
        name: &[u8],
        path: &[u8],
        depth: usize,
    ) -> Result<bool, RestoreError> {
        let Some(status) = target.status(name)? else { return Ok(true) };
        let is_directory = status.kind == FileKind::Directory;
        let is_kept = self.kept.contains(&status.identity());
        if is_kept || depth > DEPTH_MAX || !self.is_extra(path, is_directory) {
            return Ok(false);
        }
        if is_directory {
            let child = match target.open_child(name) {
                Ok(child) => child,
                Err(error) => {
                    self.fail(path, &error);
                    return Ok(false);
                }
            };
            let mut is_empty = true;
            for below in child.names()? {
                is_empty &= self.remove(&child, &below, &join(path, &below), depth + 1)?;
            }
            if !is_empty || self.skipped.iter().any(|skipped| is_within(skipped, path)) {
                return Ok(false);
            }
        }
        match target.remove(name) {
            Ok(()) => {
                self.deleted += 1;
                self.monitor.path(Action::Deleted, path, status.size_bytes);
                Ok(true)
            }
            Err(error) => {
                self.fail(path, &error);
                Ok(false)
            }
        }
    }

    fn fail(&self, path: &[u8], error: &TargetError) {
        let message = crate::ops::with_causes(error);
        self.monitor.problem(Problem { code: "not_removed", subject: path.to_vec(), message });
    }
}
