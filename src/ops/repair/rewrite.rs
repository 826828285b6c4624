//! Snapshots written anew without what is lost, each published in a job behind all others.
//!
//! Invariant: the snapshots that were there stay, until somebody forgets them; and what was the newest
//! state of a project before still is: where that lacks nothing, it is published again, last.

use std::collections::{BTreeMap, BTreeSet};

use super::without::{Lost, Without};
use super::{Action, RepairError};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::base::path::is_within;
use crate::format::links;
use crate::format::snapshot::{BytesText, RootRecord, Skipped, Snapshot};
use crate::ops::index_pack::IndexPackError;
use crate::repository::{Job, Repository, RepositoryError};
use crate::store::{InsertOptions, Inserter, WriteError, put_any};

/// What cannot be told of a snapshot whose groups of paths are lost.
const LINKS: &str = "which paths share an inode is lost";
/// What is told of a root whose extended attributes are.
const ATTRIBUTE: &str = "one of its extended attributes is lost";

/// A snapshot that lacks something, and what it becomes.
struct Rewritten {
    project: String,
    job: u64,
    from: Id,
    id: Id,
    /// What is to be stored beside trees, in order.
    made: Vec<(Kind, Vec<u8>)>,
    left_out: u64,
}

/// Whether all of a snapshot is there.
enum State {
    Whole,
    Lacking(Box<Rewritten>),
    /// It cannot be read.
    Lost,
}

/// Writes anew all snapshots of live jobs that lack something.
pub(super) fn rewrite(
    repository: &Repository,
    is_dry_run: bool,
    monitor: &dyn Monitor,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    let jobs = repository.jobs(|_, _| {})?;
    let mut without = Without::new(repository.store());
    for project in repository.projects()? {
        let of_project = |job: &Job| Some((job.number, job.snapshot(&project)?));
        let snapshots: Vec<(u64, Id)> = jobs.iter().filter_map(of_project).collect();
        let there: BTreeSet<Id> = snapshots.iter().map(|(_, id)| *id).collect();
        let mut looked_at = BTreeSet::new();
        let (mut rewritten, mut newest) = (Vec::new(), None);
        for (job, id) in snapshots {
            if monitor.is_cancelled() {
                return Err(IndexPackError::Cancelled.into());
            }
            let state = state_of(repository, &mut without, (&project, job, id))?;
            newest = Some((job, id, matches!(state, State::Whole), matches!(state, State::Lost)));
            if let State::Lacking(found) = state
                && !there.contains(&found.id)
                && looked_at.insert(id)
            {
                rewritten.push(*found);
            }
        }
        let Some((job, snapshot, is_whole, is_lost)) = newest.filter(|_| !rewritten.is_empty())
        else {
            continue;
        };
        if is_lost {
            actions.push(Action::NotRewritten { project, job });
            continue;
        }
        for found in rewritten {
            actions.push(publish(repository, found, without.made(), is_dry_run)?);
        }
        if is_whole {
            let mut job = None;
            if !is_dry_run {
                let session = repository.write_session()?;
                job = Some(session.publish(&BTreeMap::from([(project.clone(), snapshot)]))?);
            }
            actions.push(Action::PublishedAgain { project, job, snapshot });
        }
    }
    Ok(())
}

/// Looks at all that a snapshot needs.
fn state_of(
    repository: &Repository,
    without: &mut Without<'_>,
    (project, job, id): (&str, u64, Id),
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
    let description = format!("snapshot {} of job {job}, without what was lost of it", id.short());
    let description = match &snapshot.description {
        Some(said) => format!("{said} ({description})"),
        None => description,
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
    Ok(State::Lacking(Box::new(Rewritten {
        project: project.to_owned(),
        job,
        from: id,
        id: new_id,
        made,
        left_out: lost.len() as u64,
    })))
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
    let gone: Vec<&[u8]> =
        lost.iter().filter(|lost| lost.is_left_out).map(|lost| &*lost.path).collect();
    if gone.is_empty() {
        return;
    }
    let is_gone = |path: &[u8]| gone.iter().any(|gone| is_within(path, gone));
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

/// Stores what was made, and publishes the snapshot as a job of its own.
fn publish(
    repository: &Repository,
    found: Rewritten,
    trees: &[Vec<u8>],
    is_dry_run: bool,
) -> Result<Action, RepairError> {
    let Rewritten { project, job: from_job, from, id, made, left_out, .. } = found;
    let mut job = None;
    if !is_dry_run {
        let session = repository.write_session()?;
        let options = InsertOptions::new(1, repository.config().compression());
        let inserter = Inserter::new(repository.store(), session.id(), options);
        inserter.run_one(|worker| {
            trees.iter().try_for_each(|bytes| put_any(worker, Kind::Tree, bytes).map(drop))?;
            made.iter().try_for_each(|(kind, bytes)| put_any(worker, *kind, bytes).map(drop))
        })?;
        job = Some(session.publish(&BTreeMap::from([(project.clone(), id)]))?);
    }
    Ok(Action::Rewritten { project, from_job, from, job, snapshot: id, left_out })
}
