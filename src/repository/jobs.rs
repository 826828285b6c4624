//! Jobs: numbered, published once, never changed; each names a snapshot for each of its projects.
//!
//! Invariant: a number is given once, ever: the next is above every job that is or was forgotten. A
//! prune removes jobs, but never the last one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Repository, RepositoryError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::codec::DecodeError;
use crate::format::control;
use crate::format::links::{self, Groups};
use crate::format::snapshot::{RootRecord, Snapshot};
use crate::store::{ReadError, Store};

/// What a job's file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// The number of the newest generation when the job was published; 0 where there was none. That it is
    /// gone later is known by this.
    pub generation: u64,
    /// The number of the job, so that a file under another job's name is known as damage.
    pub job: u64,
    /// The snapshot of each project that was backed up.
    pub projects: BTreeMap<String, Id>,
    /// The number of the newest table of refs, like `generation`.
    pub refs: u64,
}

/// A published job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 1.
    pub number: u64,
    /// The snapshot of each project, forgotten ones included.
    pub projects: BTreeMap<String, Id>,
    /// The projects that were forgotten.
    pub forgotten: BTreeSet<String>,
    /// Those of them that a prune has seen: their content may be gone, and they are forgotten for
    /// good.
    pub pruned: BTreeSet<String>,
    /// The number of the newest generation when it was published, or 0.
    pub generation: u64,
    /// The number of the newest table of refs when it was published, or 0.
    pub refs: u64,
}

impl Job {
    /// The snapshot of a project, unless there is none or it was forgotten.
    pub fn snapshot(&self, project: &str) -> Option<Id> {
        self.projects.get(project).filter(|_| !self.forgotten.contains(project)).copied()
    }

    /// Projects and snapshots that were not forgotten.
    pub fn live(&self) -> impl Iterator<Item = (&String, &Id)> {
        self.projects.iter().filter(|(project, _)| !self.forgotten.contains(*project))
    }

    /// Whether a prune has seen that all of its projects were forgotten.
    pub fn is_empty(&self) -> bool {
        self.projects.keys().all(|project| self.pruned.contains(project))
    }

    /// Snapshots that can still be had, forgotten ones included.
    pub fn standing(&self) -> impl Iterator<Item = &Id> {
        self.projects
            .iter()
            .filter(|(project, _)| !self.pruned.contains(*project))
            .map(|(_, id)| id)
    }
}

/// The file or directory with a number for its name, below `jobs`, `forgotten`, `pruned`, `gc` or `refs`.
pub(super) fn numbered_file(directory: &str, number: u64) -> String {
    format!("{directory}/{number:08}")
}

/// The number in the name of a file of a job, generation or table of refs: digits, at least eight, in their one form.
pub fn parse_job_number(name: &str) -> Option<u64> {
    let number = name.parse().ok()?;
    (number > 0 && format!("{number:08}") == name).then_some(number)
}

impl Repository {
    /// The highest number that the name of a file in a directory gives; 0 where there is none.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn highest_in(&self, directory: &str) -> Result<u64, RepositoryError> {
        let listed = self.backend.list(directory)?;
        Ok(listed.iter().filter_map(|listed| parse_job_number(&listed.name)).max().unwrap_or(0))
    }

    /// Numbers of all jobs, ascending, wholly forgotten ones included.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn job_numbers(&self) -> Result<Vec<u64>, RepositoryError> {
        let listed = self.backend.list("jobs")?;
        let mut numbers: Vec<u64> =
            listed.iter().filter_map(|listed| parse_job_number(&listed.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A job by its number; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Its file is damaged; the backend fails.
    pub fn job(&self, number: u64) -> Result<Option<Job>, RepositoryError> {
        // A mark is moved from the first directory to the second, and removed after its job: in this
        // order none is missed.
        let names = |directory| -> Result<BTreeSet<String>, RepositoryError> {
            let listed = self.backend.list(&numbered_file(directory, number))?;
            Ok(listed.into_iter().map(|listed| listed.name).collect())
        };
        let mut forgotten = names("forgotten")?;
        let pruned = names("pruned")?;
        forgotten.extend(pruned.iter().cloned());
        let name = numbered_file("jobs", number);
        let Some(bytes) = self.backend.read(&name, CONTROL_FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        let record: JobRecord = control::decode(&bytes).map_err(|source| {
            RepositoryError::Control { file: self.backend.describe(&name), source }
        })?;
        if record.job != number {
            let source = DecodeError { what: "it is the file of another job", offset: 0 };
            return Err(RepositoryError::Control { file: self.backend.describe(&name), source });
        }
        let JobRecord { generation, job: _, projects, refs } = record;
        Ok(Some(Job { number, projects, forgotten, pruned, generation, refs }))
    }

    /// All jobs, ascending. One whose file is damaged is handed to `damaged` instead.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn jobs(
        &self,
        mut damaged: impl FnMut(u64, RepositoryError),
    ) -> Result<Vec<Job>, RepositoryError> {
        let mut jobs = Vec::new();
        for number in self.job_numbers()? {
            match self.job(number) {
                Ok(job) => jobs.extend(job),
                Err(error) if error.is_damaged_file() => damaged(number, error),
                Err(error) => return Err(error),
            }
        }
        Ok(jobs)
    }

    /// The newest snapshot of a project, in a job of at most this number.
    ///
    /// # Errors
    ///
    /// A job that had to be asked is damaged; the backend fails.
    pub fn newest_snapshot(
        &self,
        project: &str,
        up_to: u64,
    ) -> Result<Option<(u64, Id)>, RepositoryError> {
        for number in self.job_numbers()?.into_iter().rev().filter(|number| *number <= up_to) {
            if let Some(id) = self.job(number)?.and_then(|job| job.snapshot(project)) {
                return Ok(Some((number, id)));
            }
        }
        Ok(None)
    }

    /// The number of the newest table of refs that the newest job knows of which can be read; 0 if none does.
    pub(super) fn refs_of_newest_job(&self) -> Result<u64, RepositoryError> {
        for number in self.job_numbers()?.into_iter().rev() {
            match self.job(number) {
                Ok(Some(job)) => return Ok(job.refs),
                Ok(None) => {}
                Err(error) if error.is_damaged_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// The newest snapshot of a project that can be read, to be the parent of a new one: a damaged
    /// job is no reason not to back up.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn parent_of_next(&self, project: &str) -> Result<Option<Id>, RepositoryError> {
        for number in self.job_numbers()?.into_iter().rev() {
            match self.job(number) {
                Ok(job) => {
                    if let Some(id) = job.and_then(|job| job.snapshot(project)) {
                        return Ok(Some(id));
                    }
                }
                Err(error) if error.is_damaged_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Names of all projects that have a snapshot, sorted. Jobs that are damaged are passed over:
    /// whoever goes on to ask for one of them is told.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn projects(&self) -> Result<BTreeSet<String>, RepositoryError> {
        let jobs = self.jobs(|_, _| {})?;
        Ok(jobs.iter().flat_map(Job::live).map(|(project, _)| project.clone()).collect())
    }

    /// The groups of paths of a snapshot that share an inode.
    ///
    /// # Errors
    ///
    /// They are missing or damaged.
    pub fn links(&self, root: &RootRecord) -> Result<Groups, ReadError> {
        root.links.map_or(Ok(Groups::new()), |id| read_links(&self.store, &id))
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// It is missing or damaged.
    pub fn snapshot(&self, id: &Id) -> Result<Snapshot, RepositoryError> {
        let bytes = self.store.read(id, Kind::Snapshot)?;
        Snapshot::decode(&bytes).map_err(|source| RepositoryError::Snapshot { id: *id, source })
    }
}

/// Reads groups of paths that share an inode.
///
/// # Errors
///
/// They are missing or damaged.
pub fn read_links(store: &Store, id: &Id) -> Result<Groups, ReadError> {
    let bytes = store.read(id, Kind::Links)?;
    links::decode(&bytes).map_err(|source| ReadError::Damaged {
        id: *id,
        kind: Kind::Links,
        file: "the repository".into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_numbers_have_one_form() {
        assert_eq!(parse_job_number("00000003"), Some(3));
        assert_eq!(parse_job_number("123456789"), Some(123_456_789));
        for bad in ["3", "00000000", "+0000003", "000000003", "", "0000000x"] {
            assert_eq!(parse_job_number(bad), None, "{bad}");
        }
    }
}
