//! What a snapshot becomes without what is lost of it.
//!
//! Invariant: a snapshot of which nothing is lost becomes no other, and one that was written anew names
//! the one that it stands for, as its parent and in its description.

use std::collections::HashSet;

use super::RepairError;
use super::without::{Lost, Without};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::links;
use crate::format::snapshot::{BytesText, RootRecord, Skipped, Snapshot};
use crate::repository::{Repository, RepositoryError};
use crate::store::WriteError;

/// What cannot be told of a snapshot whose groups of paths are lost.
const LINKS: &str = "which paths share an inode is lost";
/// What is told of a root whose extended attributes are.
const ATTRIBUTE: &str = "one of its extended attributes is lost";

/// A snapshot that lacks something, and what it becomes.
pub(super) struct Rewritten {
    /// The job that it was found in.
    pub(super) job: u64,
    pub(super) from: Id,
    pub(super) id: Id,
    /// What is to be stored beside trees, in order.
    pub(super) made: Vec<(Kind, Vec<u8>)>,
    pub(super) left_out: u64,
}

/// Whether all of a snapshot is there.
pub(super) enum State {
    Whole,
    Lacking(Box<Rewritten>),
    /// It cannot be read.
    Lost,
}

/// What the description of a snapshot says that was written anew: before and behind the number of the job.
const STANDS_FOR: [&str; 2] = [" of job ", ", without what was lost of it"];

fn stands_for(id: &Id, job: u64) -> String {
    let [before, behind] = STANDS_FOR;
    format!("snapshot {}{before}{job}{behind}", id.short())
}

/// The job that a snapshot stands for, if it was written anew: the first one of all that it came from.
pub(super) fn origin_of(snapshot: &Snapshot) -> Option<u64> {
    let said = snapshot.description.as_ref()?;
    let from = format!("snapshot {}{}", snapshot.parent?.short(), STANDS_FOR[0]);
    if !said.contains(&from) {
        return None;
    }
    let numbers = said.split(STANDS_FOR[0]).skip(1);
    let mut numbers = numbers.filter_map(|said| said.split_once(STANDS_FOR[1])?.0.parse().ok());
    numbers.next()
}

/// Looks at all that a snapshot needs.
pub(super) fn state_of(
    repository: &Repository,
    without: &mut Without<'_>,
    job: u64,
    id: Id,
) -> Result<State, RepairError> {
    let snapshot = match repository.snapshot(&id) {
        Ok(snapshot) => snapshot,
        Err(RepositoryError::Read(error)) if !error.is_damage() => {
            return Err(error.into());
        }
        Err(_) => return Ok(State::Lost),
    };
    let Some(rest) = without.tree(&snapshot.root.tree)? else { return Ok(State::Lost) };
    let mut made = Vec::new();
    let mut lost = rest.lost.clone();
    let mut root = RootRecord { tree: rest.tree, ..snapshot.root.clone() };
    root_attributes(&mut root, without, &mut lost)?;
    root_links(repository, &mut root, &mut lost, &mut made);
    if lost.is_empty() {
        return Ok(State::Whole);
    }
    root.counts = rest.counts;
    let paths = lost
        .iter()
        .map(|lost| Skipped { path: BytesText::new(&lost.path), reason: lost.reason.to_owned() });
    root.skipped.extend(paths);
    root.skipped.sort();
    root.skipped.dedup();
    let description = match &snapshot.description {
        Some(said) => format!("{said} ({})", stands_for(&id, job)),
        None => stands_for(&id, job),
    };
    let snapshot = Snapshot {
        root,
        parent: Some(id),
        description: Some(description),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..snapshot
    };
    let bytes = snapshot.encode();
    let new_id = object_id(Kind::Snapshot, &bytes);
    made.push((Kind::Snapshot, bytes));
    let left_out = lost.len() as u64;
    Ok(State::Lacking(Box::new(Rewritten { job, from: id, id: new_id, made, left_out })))
}

/// Drops attributes of the root whose values are lost.
fn root_attributes(
    root: &mut RootRecord,
    without: &mut Without<'_>,
    lost: &mut Vec<Lost>,
) -> Result<(), WriteError> {
    let Some(metadata) = &mut root.root else { return Ok(()) };
    let mut kept = Vec::new();
    for xattr in std::mem::take(&mut metadata.xattrs) {
        match xattr.blob {
            Some(id) if !without.is_there(&id, Kind::Blob)? => {
                lost.push(Lost { path: Vec::new(), reason: ATTRIBUTE, is_left_out: false });
            }
            _ => kept.push(xattr),
        }
    }
    metadata.xattrs = kept;
    Ok(())
}

/// Drops paths from groups that are not in the tree any more.
fn root_links(
    repository: &Repository,
    root: &mut RootRecord,
    lost: &mut Vec<Lost>,
    made: &mut Vec<(Kind, Vec<u8>)>,
) {
    if root.links.is_none() {
        return;
    }
    let Ok(groups) = repository.links(root) else {
        root.links = None;
        lost.push(Lost { path: Vec::new(), reason: LINKS, is_left_out: false });
        return;
    };
    let gone: HashSet<&[u8]> =
        lost.iter().filter(|lost| lost.is_left_out).map(|lost| &*lost.path).collect();
    if gone.is_empty() {
        return;
    }
    let is_gone = |path: &[u8]| {
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        above.chain([path.len()]).any(|end| gone.contains(&path[..end]))
    };
    let groups: links::Groups = groups
        .into_iter()
        .map(|group| group.into_iter().filter(|path| !is_gone(path)).collect::<Vec<_>>())
        .filter(|group| group.len() > 1)
        .collect();
    root.links = (!groups.is_empty()).then(|| {
        let bytes = links::encode(groups);
        let id = object_id(Kind::Links, &bytes);
        made.push((Kind::Links, bytes));
        id
    });
}
