//! Snapshots written anew without what is lost, each published in a job behind all others.
//!
//! Invariant: the snapshots that were there stay, until somebody forgets them. What was the newest state
//! of a project still is, whoever publishes meanwhile: a job is published only if none has come since
//! it was looked what there is, older states come first, and where the newest one lacks nothing, it is
//! published again, last. Where a repair was killed in between, the next one does that.

use std::collections::{BTreeMap, BTreeSet};

use super::lacking::{Rewritten, State, origin_of, state_of};
use super::without::Without;
use super::{Action, RepairError};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::format::snapshot::Snapshot;
use crate::format::tree;
use crate::ops::closure::{Reached, Walk, first_absent, of_entry, of_root};
use crate::ops::index_pack::IndexPackError;
use crate::repository::{Job, Repository, WriteSession};
use crate::store::{InsertOptions, Inserter, ReadError, Worker, WriteError, put_any};

/// Writes anew all snapshots of live jobs that lack something.
pub(super) fn rewrite(
    repository: &Repository,
    is_dry_run: bool,
    monitor: &dyn Monitor,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    // As long as there is no prune, what was found is still there when it is relied on.
    let lock = match is_dry_run {
        true => None,
        false => Some(repository.backend().try_lock_maintenance()?.ok_or(IndexPackError::Busy)?),
    };
    let mut without = Without::new(repository.store());
    // Of the trees that were made, so many are stored.
    let mut stored = 0;
    for project in repository.projects()? {
        loop {
            let session = match is_dry_run {
                true => None,
                false => Some(repository.write_session()?),
            };
            // What a prune has condemned that was killed then is not lost.
            let store = repository.store();
            let plan =
                store.with_condemned(|| Plan::make(repository, &mut without, &project, monitor))?;
            let mut writer = Writer {
                repository,
                project: &project,
                session,
                highest: plan.highest,
                is_dry_run,
                stored: &mut stored,
            };
            if writer.carry_out(plan, without.made(), actions)? {
                break;
            }
        }
    }
    drop(lock);
    Ok(())
}

/// What is found of a project, and what is to be published.
struct Plan {
    /// The highest number of a job, of whatever project, when that was found out.
    highest: u64,
    /// In the order of the states, so that the newest comes last if it is among them.
    rewritten: Vec<Rewritten>,
    newest: Newest,
}

/// The newest state of a project.
enum Newest {
    /// It is written anew.
    Lacking,
    Whole {
        job: u64,
        snapshot: Id,
        /// Whether no job with an older one stands behind it.
        is_last: bool,
    },
    /// It cannot be read, or the job that may hold it: an older one would pass for the newest.
    Lost { job: u64, is_job_damaged: bool },
}

impl Plan {
    fn make(
        repository: &Repository,
        without: &mut Without<'_>,
        project: &str,
        monitor: &dyn Monitor,
    ) -> Result<Self, RepairError> {
        let highest = repository.highest_counted()?;
        let mut last_damaged = None;
        let jobs = repository.jobs(|job, _| last_damaged = Some(job))?;
        let order = in_order_of_states(repository, &jobs, project);
        let of_job = |job: &Job| job.snapshot(project).map(|id| (job.number, id));
        let live: BTreeMap<u64, Id> = jobs.iter().filter_map(of_job).collect();
        let there: BTreeSet<Id> = live.values().copied().collect();
        let (mut rewritten, mut looked_at) = (Vec::new(), BTreeSet::new());
        let mut newest = Newest::Lacking;
        let last = live.keys().next_back().copied();
        for job in order.into_iter().rev() {
            if monitor.is_cancelled() {
                return Err(IndexPackError::Cancelled.into());
            }
            let Some(id) = live.get(&job).filter(|id| looked_at.insert(**id)) else { continue };
            let is_newest = looked_at.len() == 1;
            match state_of(repository, without, job, *id)? {
                State::Whole if is_newest => {
                    newest = Newest::Whole { job, snapshot: *id, is_last: last == Some(job) };
                }
                State::Lost if is_newest => newest = Newest::Lost { job, is_job_damaged: false },
                State::Lacking(found) if !there.contains(&found.id) => rewritten.push(*found),
                _ => {}
            }
        }
        if let Some(job) = last_damaged.filter(|job| Some(*job) > last) {
            newest = Newest::Lost { job, is_job_damaged: true };
        }
        rewritten.reverse();
        Ok(Self { highest, rewritten, newest })
    }
}

/// The jobs that have a snapshot of a project, forgotten or not, in the order of what they stand for: one whose
/// snapshot was written anew stands where the one was that it was written from, and one that was published again
/// where it was before.
fn in_order_of_states(repository: &Repository, jobs: &[Job], project: &str) -> Vec<u64> {
    let (mut by_id, mut by_job) = (BTreeMap::new(), BTreeMap::new());
    for job in jobs {
        let Some(id) = job.projects.get(project) else { continue };
        let place = by_id.get(id).copied().unwrap_or_else(|| {
            // What cannot be read stands for itself.
            let origin = repository.snapshot(id).ok().and_then(|snapshot| origin_of(&snapshot));
            let origin = origin.filter(|origin| *origin < job.number).unwrap_or(job.number);
            by_job.get(&origin).copied().unwrap_or(origin)
        });
        by_id.insert(*id, place);
        by_job.insert(job.number, place);
    }
    let mut order: Vec<(u64, u64)> = by_job.into_iter().map(|(job, place)| (place, job)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, job)| job).collect()
}

/// Publishes what was planned.
struct Writer<'r> {
    repository: &'r Repository,
    project: &'r str,
    /// For the next job.
    session: Option<WriteSession<'r>>,
    highest: u64,
    is_dry_run: bool,
    /// How many of all trees that were made are stored.
    stored: &'r mut usize,
}

/// What became of a job.
enum Outcome {
    /// It has this number; none in a dry run.
    Published(Option<u64>),
    /// Somebody else has published one since it was looked what there is.
    Overtaken,
}

impl Writer<'_> {
    /// Whether all was published, and nobody has published anything meanwhile.
    fn carry_out(
        &mut self,
        Plan { rewritten, newest, .. }: Plan,
        trees: &[Vec<u8>],
        actions: &mut Vec<Action>,
    ) -> Result<bool, RepairError> {
        let project = self.project.to_owned();
        let again = match newest {
            Newest::Lost { job, is_job_damaged } if !rewritten.is_empty() => {
                actions.push(Action::NotRewritten { project, job, is_job_damaged });
                return Ok(true);
            }
            Newest::Whole { job, snapshot, is_last } if !is_last || !rewritten.is_empty() => {
                Some((job, snapshot))
            }
            _ => None,
        };
        for Rewritten { job: from_job, from, id: snapshot, made, left_out } in rewritten {
            match self.publish((from_job, from), snapshot, trees, &made)? {
                Outcome::Overtaken => return Ok(false),
                Outcome::Published(job) => {
                    let project = project.clone();
                    actions.push(Action::Rewritten {
                        project,
                        from_job,
                        from,
                        job,
                        snapshot,
                        left_out,
                    });
                }
            }
        }
        if let Some((newest, snapshot)) = again {
            match self.publish((newest, snapshot), snapshot, trees, &[])? {
                Outcome::Overtaken => return Ok(false),
                Outcome::Published(job) => {
                    actions.push(Action::PublishedAgain { project, job, snapshot });
                }
            }
        }
        Ok(true)
    }

    /// Stores what was made of the snapshot of a job, and publishes it as the next job.
    fn publish(
        &mut self,
        (from_job, from): (u64, Id),
        snapshot: Id,
        trees: &[Vec<u8>],
        made: &[(Kind, Vec<u8>)],
    ) -> Result<Outcome, RepairError> {
        if self.is_dry_run {
            return Ok(Outcome::Published(None));
        }
        let repository = self.repository;
        let session = self.session.take().map_or_else(|| repository.write_session(), Ok)?;
        let options = InsertOptions::new(1, repository.config().compression());
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let trees = trees.get(*self.stored..).unwrap_or_default();
        inserter.run_one(|worker| {
            store_condemned(worker, snapshot, trees, made)?;
            trees.iter().try_for_each(|bytes| put_any(worker, Kind::Tree, bytes).map(drop))?;
            made.iter().try_for_each(|(kind, bytes)| put_any(worker, *kind, bytes).map(drop))
        })?;
        *self.stored += trees.len();
        let root = vec![(snapshot, Kind::Snapshot)];
        if let Some((id, kind)) = first_absent(repository.store(), root)? {
            return Err(session.incomplete(id, kind).into());
        }
        // Somebody may have forgotten it.
        let job = repository.job(from_job)?;
        if job.and_then(|job| job.snapshot(self.project)) != Some(from) {
            return Ok(Outcome::Overtaken);
        }
        let projects = BTreeMap::from([(self.project.to_owned(), snapshot)]);
        let Some(job) = session.publish_after(self.highest, &projects)? else {
            return Ok(Outcome::Overtaken);
        };
        self.highest = job;
        Ok(Outcome::Published(Some(job)))
    }
}

/// Stores again what a snapshot needs and a prune has condemned, so that it can be relied on; the trees and all
/// else that was made of it are not stored yet.
fn store_condemned(
    worker: &mut Worker<'_>,
    snapshot: Id,
    trees: &[Vec<u8>],
    made: &[(Kind, Vec<u8>)],
) -> Result<(), WriteError> {
    let store = worker.store();
    if !store.has_condemned() {
        return Ok(());
    }
    let mut known: BTreeSet<Id> = trees.iter().map(|bytes| object_id(Kind::Tree, bytes)).collect();
    known.extend(made.iter().map(|(kind, bytes)| object_id(*kind, bytes)));
    let mut roots = vec![(snapshot, Kind::Snapshot)];
    for bytes in trees {
        roots.extend(
            tree::entries(bytes).flatten().flat_map(|entry| of_entry(&entry).collect::<Vec<_>>()),
        );
    }
    for (kind, bytes) in made {
        if *kind == Kind::Snapshot
            && let Ok(snapshot) = Snapshot::decode(bytes)
        {
            roots.extend(of_root(&snapshot.root));
        }
    }
    let mut condemned = Vec::new();
    let mut walk = Walk::new(store);
    for (id, kind) in roots.into_iter().filter(|(id, _)| !known.contains(id)) {
        walk.run::<ReadError>(&Reached { id, kind, path: None }, &mut |reached| {
            if !store.is_present(&reached.id)? {
                condemned.push((reached.id, reached.kind));
            }
            store.find(&reached.id)
        })?;
    }
    // Stored whole, none of them needs what it is a difference from now.
    let reached = walk.into_reached();
    for (id, kind) in condemned.into_iter().filter(|(id, _)| reached.contains(id)) {
        let stored = store.load_proved(&id, kind)?;
        worker.put_as_stored(&id, kind, &stored, None)?;
    }
    Ok(())
}
