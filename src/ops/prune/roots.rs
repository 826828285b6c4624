//! What everything that is needed is reached from.
//!
//! Invariant: a job or table of refs that cannot be read, or is gone, stops a prune, since it may need
//! anything.

use super::PruneError;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::repository::Repository;

/// Objects that are needed in themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    /// Them, and their kinds.
    pub(super) objects: Vec<(Id, Kind)>,
    /// The table of refs that was read.
    pub(super) table: u64,
}

impl Roots {
    /// Reads all jobs and refs, as they are if forgotten snapshots were settled, or as they are now: until
    /// forgotten snapshots are settled, they can be brought back, and are needed.
    pub(super) fn read(repository: &Repository, as_if_settled: bool) -> Result<Self, PruneError> {
        let mut damaged = None;
        let jobs = repository.jobs(|_, error| {
            damaged.get_or_insert(error);
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        if jobs.is_empty() && has_objects(repository)? {
            return Err(PruneError::NoJobs { location: repository.location().to_owned() });
        }
        repository.refuse_missing_jobs()?;
        let mut objects = Vec::new();
        for job in &jobs {
            let snapshot = |id: &Id| (*id, Kind::Snapshot);
            match as_if_settled {
                true => objects.extend(job.live().map(|(_, id)| snapshot(id))),
                false => objects.extend(job.standing().map(snapshot)),
            }
        }
        let known = jobs.iter().map(|job| job.refs).max().unwrap_or(0);
        let table = repository.not_older(repository.ref_table()?, known)?;
        objects.extend(table.refs.values().map(|target| (target.id, target.kind)));
        Ok(Self { objects, table: table.number })
    }
}

fn has_objects(repository: &Repository) -> Result<bool, PruneError> {
    let mut has_loose = false;
    repository.store().for_each_loose(|_, _| {
        has_loose = true;
        Ok::<(), PruneError>(())
    })?;
    Ok(has_loose || !repository.backend().list("packs")?.is_empty())
}
