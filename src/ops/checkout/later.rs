//! What is made after all files: hard links, then pipes, sockets, devices, and symbolic links last.
//!
//! Invariant: a hard link is made only to an inode that this checkout wrote or proved.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::{Checkout, CheckoutError, Groups, LoadedXattrs, Origin};
use crate::base::monitor::Action;
use crate::base::path::split_last;
use crate::format::tree::{Entry, Metadata, Node};
use crate::os::{FileIdentity, FileKind, Status};
use crate::target::{LinkSource, Overwrite, SpecialNode, TargetDirectory, TargetError};

/// Entries that are made later, with their paths.
#[derive(Debug, Default)]
pub(super) struct Later {
    links: Vec<(Vec<u8>, Entry)>,
    specials: Vec<(Vec<u8>, Entry, Option<usize>)>,
    claimed: HashMap<usize, (Node, Metadata)>,
}

/// What an entry is to its group of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The first, which is written.
    First,
    /// Another name of the first.
    Same,
    /// Not the same as the first: the file changed during the backup, or the group lies. It is
    /// written on its own, so that it has the bytes of its tree.
    Different,
}

impl Groups {
    pub(super) fn set_origin(&self, group: usize, origin: Origin) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.entry(group).or_insert(origin);
    }

    fn origin(&self, path: &[u8]) -> Option<Origin> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.get(&self.of(path)?).cloned()
    }
}

impl Later {
    /// Says what an entry is to its group.
    pub(super) fn claim(&mut self, group: usize, entry: &Entry) -> Claim {
        match self.claimed.get(&group) {
            None => {
                self.claimed.insert(group, (entry.node.clone(), entry.metadata.clone()));
                Claim::First
            }
            Some((node, metadata)) if (node, metadata) == (&entry.node, &entry.metadata) => {
                Claim::Same
            }
            Some(_) => Claim::Different,
        }
    }

    pub(super) fn link(&mut self, path: Vec<u8>, entry: Entry) {
        self.links.push((path, entry));
    }

    pub(super) fn special(&mut self, path: Vec<u8>, entry: Entry, group: Option<usize>) {
        self.specials.push((path, entry, group));
    }

    pub(super) fn run(self, checkout: &Checkout<'_>) -> Result<(), CheckoutError> {
        for (path, entry) in &self.links {
            each(checkout, path, |directory| hard_link(checkout, directory, path, entry))?;
        }
        let is_link = |entry: &Entry| matches!(entry.node, Node::Symlink { .. });
        let (symlinks, others): (Vec<_>, Vec<_>) =
            self.specials.into_iter().partition(|(_, entry, _)| is_link(entry));
        for (path, entry, group) in others.iter().chain(&symlinks) {
            each(checkout, path, |directory| special(checkout, directory, (path, *group), entry))?;
        }
        Ok(())
    }
}

fn each(
    checkout: &Checkout<'_>,
    path: &[u8],
    make: impl FnOnce(&TargetDirectory) -> Result<Option<Action>, TargetError>,
) -> Result<(), CheckoutError> {
    if checkout.monitor.is_cancelled() {
        return Err(CheckoutError::Cancelled);
    }
    let (directory, _) = split_last(path);
    let made = checkout.root.open_directory(directory).and_then(|directory| make(&directory));
    match made {
        Ok(Some(action)) => {
            checkout.done(action, path, 0);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => checkout.target_failed(path, error),
    }
}

/// What making the entry comes to, given what stands there.
fn action(status: Option<&Status>) -> Action {
    if status.is_some() { Action::Changed } else { Action::New }
}

fn hard_link(
    checkout: &Checkout<'_>,
    directory: &TargetDirectory,
    path: &[u8],
    entry: &Entry,
) -> Result<Option<Action>, TargetError> {
    let Some(origin) = checkout.groups.origin(path) else {
        checkout.refuse("not_restored", path, "the file that it is a link to could not be written");
        return Ok(None);
    };
    let status = directory.status(&entry.name)?;
    if status.is_some_and(|status| status.identity() == origin.identity) {
        return Ok(Some(Action::Unchanged));
    }
    let from = checkout.root.open_directory(&origin.directory)?;
    let source =
        LinkSource::Name { directory: &from, name: &origin.name, identity: origin.identity };
    directory.hard_link(&source, &entry.name, checkout.request.overwrite)?;
    Ok(Some(action(status.as_ref())))
}

fn special(
    checkout: &Checkout<'_>,
    directory: &TargetDirectory,
    (path, group): (&[u8], Option<usize>),
    entry: &Entry,
) -> Result<Option<Action>, TargetError> {
    let (name, metadata) = (&entry.name, &entry.metadata);
    if let Some(origin) = group.and_then(|_| checkout.groups.origin(path)) {
        return link_special(checkout, directory, entry, &origin).map(Some);
    }
    let node = SpecialNode::from_node(&entry.node);
    if node.is_some_and(SpecialNode::is_device) && !checkout.request.has_devices {
        checkout.refuse("device", path, "a device, which is made only where that is asked for");
        return Ok(None);
    }
    let status = directory.status(name)?;
    if let Some(status) = status.filter(|status| is_there(directory, status, entry)) {
        note_origin(checkout, (path, group), name, status.identity());
        return Ok(Some(Action::Unchanged));
    }
    if status.is_some() && checkout.request.overwrite == Overwrite::Never {
        return Err(TargetError::Occupied { path: String::from_utf8_lossy(path).into_owned() });
    }
    let xattrs = match LoadedXattrs::load(checkout.store, &metadata.xattrs) {
        Ok(xattrs) => xattrs,
        Err(error) => {
            checkout.read_failed(path, &error);
            return Ok(None);
        }
    };
    let overwrite = checkout.request.overwrite;
    let not_kept = xattrs.with(metadata, |wanted| match (&entry.node, node) {
        (Node::Symlink { target }, _) => directory.symlink(name, target, wanted, overwrite),
        (_, Some(node)) => directory.make_node(name, node, wanted, overwrite),
        _ => Ok(Vec::new()),
    })?;
    checkout.not_kept(path, not_kept);
    if let Some(made) = directory.status(name)? {
        note_origin(checkout, (path, group), name, made.identity());
    }
    Ok(Some(action(status.as_ref())))
}

fn note_origin(
    checkout: &Checkout<'_>,
    (path, group): (&[u8], Option<usize>),
    name: &[u8],
    identity: FileIdentity,
) {
    if let Some(group) = group {
        let (directory, _) = split_last(path);
        let origin = Origin { directory: directory.into(), name: name.into(), identity };
        checkout.groups.set_origin(group, origin);
    }
}

fn link_special(
    checkout: &Checkout<'_>,
    directory: &TargetDirectory,
    entry: &Entry,
    origin: &Origin,
) -> Result<Action, TargetError> {
    let status = directory.status(&entry.name)?;
    if status.is_some_and(|status| status.identity() == origin.identity) {
        return Ok(Action::Unchanged);
    }
    let from = checkout.root.open_directory(&origin.directory)?;
    let source =
        LinkSource::Name { directory: &from, name: &origin.name, identity: origin.identity };
    directory.hard_link(&source, &entry.name, checkout.request.overwrite)?;
    Ok(action(status.as_ref()))
}

/// Whether what stands there is the entry already.
fn is_there(directory: &TargetDirectory, status: &Status, entry: &Entry) -> bool {
    let Metadata { mode, uid, gid, mtime, ref xattrs } = entry.metadata;
    let rdev = (status.rdev_major, status.rdev_minor);
    let same_node = match (&entry.node, status.kind) {
        (Node::Symlink { target }, FileKind::Symlink) => {
            directory.read_link(&entry.name).is_ok_and(|found| found == **target)
        }
        (Node::Fifo, FileKind::Fifo) | (Node::Socket, FileKind::Socket) => true,
        (Node::CharDevice { major, minor }, FileKind::CharDevice)
        | (Node::BlockDevice { major, minor }, FileKind::BlockDevice) => rdev == (*major, *minor),
        _ => false,
    };
    let found = crate::os::read_xattrs_at(directory, &entry.name).unwrap_or_default();
    same_node
        && xattrs.is_empty()
        && found.is_empty()
        && (status.mode == mode || status.kind == FileKind::Symlink)
        && (status.uid, status.gid, status.mtime) == (uid, gid, mtime)
}
