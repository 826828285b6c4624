//! Jobs that are all gone, and how that is told from a repository that never had one.
//!
//! Invariant: as long as all jobs are gone, none is published, so that a prune finds none and stops.

use std::collections::{BTreeMap, BTreeSet};

use super::{Repository, RepositoryError};
use crate::base::id::Id;
use crate::base::kind::Kind;

impl Repository {
    /// Whether there is no job, though there was one: a mark tells, a generation that counts one, or a
    /// stored snapshot that has a parent. A backup that was stopped before it published the first job leaves neither.
    ///
    /// Passes through the ids of all objects if there is no job.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn has_lost_jobs(&self) -> Result<bool, RepositoryError> {
        if self.highest_in("jobs")? > 0 {
            return Ok(false);
        }
        if self.highest_counted()? > 0 {
            return Ok(true);
        }
        let has_parent = |id| self.snapshot(id).is_ok_and(|snapshot| snapshot.parent.is_some());
        Ok(self.stored_snapshots()?.iter().any(has_parent))
    }

    /// [`RepositoryError::LostJobs`] if all jobs are gone.
    ///
    /// # Errors
    ///
    /// As [`Repository::has_lost_jobs`].
    pub fn refuse_lost_jobs(&self) -> Result<(), RepositoryError> {
        match self.has_lost_jobs()? {
            true => Err(RepositoryError::LostJobs { location: self.location().to_owned() }),
            false => Ok(()),
        }
    }

    /// Publishes a job without projects in the place of all that are gone, so that the next one has a
    /// number that none of them can have had. Durable on return.
    ///
    /// To be called by whoever holds the maintenance lock.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn give_up_jobs(&self) -> Result<(), RepositoryError> {
        let session = self.write_session()?;
        // Each of them named one at least, unless it named what was stored before.
        let snapshots = self.stored_snapshots()?.len() as u64;
        session.publish_above(&BTreeMap::new(), snapshots)?;
        self.count_jobs(0, BTreeSet::new())
    }

    fn stored_snapshots(&self) -> Result<Vec<Id>, RepositoryError> {
        let mut snapshots = Vec::new();
        self.store.for_each_object(|object| {
            if object.found.is_ok_and(|found| found.kind == Kind::Snapshot) {
                snapshots.push(object.id);
            }
            Ok::<(), RepositoryError>(())
        })?;
        Ok(snapshots)
    }
}
