//! What revisions reach: every object once, with where it was first found.
//!
//! Invariant: what the unwanted roots reach is never listed nor descended into; unless told to go
//! on, an object that is missing ends the listing, since what lies beyond it cannot be known.

use std::cmp::Reverse;

use super::closure::{Reached, Walk};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::repository::{RefTarget, Repository, RepositoryError, Resolved};
use crate::store::{Found, ReadError, Store};

/// Where a listing begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRoot {
    /// The object: a snapshot, tree or blob.
    pub id: Id,
    /// Its kind.
    pub kind: Kind,
    /// The snapshot that it is, or was reached through.
    pub snapshot: Option<Id>,
    /// The project of that snapshot.
    pub project: Option<String>,
    /// The job of that snapshot.
    pub job: Option<u64>,
    /// Its path in that snapshot; empty for the root.
    pub path: Vec<u8>,
}

/// The snapshots that keep objects alive, newest job first.
///
/// # Errors
///
/// A job is damaged, so that what it keeps cannot be known; the backend fails.
pub fn live_roots(repository: &Repository) -> Result<Vec<ListRoot>, RepositoryError> {
    let mut damage = None;
    let jobs = repository.jobs(|_, error| {
        damage.get_or_insert(error);
    })?;
    if let Some(error) = damage {
        return Err(error);
    }
    let refs = repository.ref_table()?.refs.into_values().map(|RefTarget { id, kind }| ListRoot {
        id,
        kind,
        snapshot: (kind == Kind::Snapshot).then_some(id),
        project: None,
        job: None,
        path: Vec::new(),
    });
    let snapshots = jobs.iter().rev().flat_map(|job| job.live().map(|live| (job.number, live)));
    let root = |(job, (project, id)): (u64, (&String, &Id))| ListRoot {
        id: *id,
        kind: Kind::Snapshot,
        snapshot: Some(*id),
        project: Some(project.clone()),
        job: Some(job),
        path: Vec::new(),
    };
    Ok(snapshots.map(root).chain(refs).collect())
}

impl ListRoot {
    /// The root that a revision means. One that names no job is given the newest of `live` that
    /// names its snapshot.
    pub fn new(resolved: Resolved, live: &[Self]) -> Self {
        let Resolved { id, kind, snapshot, project, job, path, .. } = resolved;
        let named = live.iter().find(|root| snapshot == Some(root.id));
        let project = project.or_else(|| named.and_then(|root| root.project.clone()));
        let job = job.or_else(|| named.and_then(|root| root.job));
        Self { id, kind, snapshot, project, job, path }
    }
}

/// Brings roots into the order in which they are listed, newest job first, each once.
pub fn sort_roots(roots: &mut Vec<ListRoot>) {
    roots.sort_by_key(|root| Reverse(root.job));
    let mut seen = std::collections::HashSet::new();
    roots.retain(|root| seen.insert(root.id));
}

/// Those of `live` that are none of the wanted roots, and that no wanted root was reached through.
pub fn other_roots(live: Vec<ListRoot>, wanted: &[ListRoot]) -> Vec<ListRoot> {
    // A tag or pin keeps what it leads to, whichever snapshots go.
    let is_wanted = |root: &ListRoot| {
        let is_it = |wanted: &ListRoot| wanted.id == root.id || wanted.snapshot == Some(root.id);
        root.job.is_some() && wanted.iter().any(is_it)
    };
    live.into_iter().filter(|root| !is_wanted(root)).collect()
}

/// What is listed, and what is done about an object that is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevListOptions {
    /// Whether all that the roots reach is listed, rather than the roots alone.
    pub objects: bool,
    /// Whether to go on after an object that is missing.
    pub goes_on: bool,
}

/// An object of a listing.
#[derive(Debug, Clone, Copy)]
pub struct ListedObject<'a> {
    /// The root that it was first reached from.
    pub root: &'a ListRoot,
    /// The object, and where it was first found.
    pub reached: Reached<'a>,
    /// How it is stored; `None` where it is missing.
    pub found: Option<&'a Found>,
}

/// Lists what `wanted` reaches and `unwanted` does not, root by root, each object once.
///
/// # Errors
///
/// An object is missing (unless [`RevListOptions::goes_on`]) or damaged; whatever `each` returns.
pub fn rev_list<E: From<ReadError>>(
    store: &Store,
    wanted: &[ListRoot],
    unwanted: &[ListRoot],
    options: RevListOptions,
    each: &mut dyn FnMut(&ListedObject<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let look_up = |reached: &Reached<'_>| match store.find_anywhere(&reached.id)? {
        None if !options.goes_on => Err(ReadError::Missing { id: reached.id, kind: reached.kind }),
        found => Ok(found),
    };
    let mut walk = Walk::new(store);
    // No snapshot reaches another one, so to leave out snapshots their ids are enough.
    let is_deep = options.objects || wanted.iter().any(|root| root.kind != Kind::Snapshot);
    for ListRoot { id, kind, .. } in unwanted {
        let root = Reached { id: *id, kind: *kind, path: None };
        match is_deep {
            true => walk.run::<E>(&root, &mut |reached| Ok(look_up(reached)?))?,
            false => _ = walk.mark(id),
        }
    }
    for root in wanted {
        let reached = Reached { id: root.id, kind: root.kind, path: Some(&root.path) };
        walk.run::<E>(&reached, &mut |reached| {
            let found = look_up(reached)?;
            each(&ListedObject { root, reached: *reached, found: found.as_ref() })?;
            Ok(found.filter(|_| options.objects))
        })?;
    }
    Ok(())
}
