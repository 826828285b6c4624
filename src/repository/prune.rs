//! What a prune does to control files: it settles what is forgotten, publishes what it condemns, sees
//! sessions end, and removes what later files have replaced.
//!
//! Invariant: each step is one of those of runup-repository(5), WRITE PROTOCOL, and safe wherever the
//! prune ends before the next one.

use std::collections::BTreeSet;

use super::jobs::{Job, numbered_file, parse_job_number};
use super::refs::{RefTable, table_file};
use super::session::{Generation, WriteSession};
use super::{Repository, RepositoryError};
use crate::backend::{BackendError, Created, Listed};
use crate::base::id::Id;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::control;
use crate::store::Condemned;

impl Repository {
    /// Makes forgotten what is marked so for good: no undo brings it back. Durable on return.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn settle_forgotten(&self) -> Result<(), RepositoryError> {
        let backend = &*self.backend;
        for job in numbered(&backend.list("forgotten")?) {
            let (from, to) = (numbered_file("forgotten", job), numbered_file("pruned", job));
            for listed in backend.list(&from)? {
                let name = listed.name;
                backend.rename(&format!("{from}/{name}"), &format!("{to}/{name}"))?;
            }
            backend.sync(&to)?;
            backend.sync(&from)?;
        }
        backend.note_unsynced("pruned");
        backend.note_unsynced("forgotten");
        backend.sync("pruned")?;
        Ok(backend.sync("forgotten")?)
    }

    /// Jobs that hold nothing any more, but for the last one.
    fn empty_jobs(&self) -> Result<Vec<u64>, RepositoryError> {
        let mut empty = Vec::new();
        for number in self.job_numbers()?.into_iter().rev().skip(1) {
            let job = self.job(number)?;
            empty.extend(job.filter(Job::is_empty).map(|job| job.number));
        }
        Ok(empty)
    }

    /// Whether there are jobs that hold nothing any more, but for the last one.
    ///
    /// # Errors
    ///
    /// One is damaged, or the backend fails.
    pub fn has_empty_jobs(&self) -> Result<bool, RepositoryError> {
        Ok(!self.empty_jobs()?.is_empty())
    }

    /// Removes jobs that hold nothing any more, but for the last one, with their marks. To come after
    /// all sessions are over that began before their numbers were counted by a generation.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn remove_empty_jobs(&self) -> Result<(), RepositoryError> {
        let backend = &*self.backend;
        for number in self.empty_jobs()? {
            backend.remove(&numbered_file("jobs", number))?;
        }
        // A job that comes back without its marks would hold again what is gone.
        backend.note_unsynced("jobs");
        backend.sync("jobs")?;
        let numbers = self.job_numbers()?;
        let is_gone = |job: &u64| numbers.binary_search(job).is_err();
        for parent in ["forgotten", "pruned"] {
            for job in numbered(&backend.list(parent)?).into_iter().filter(is_gone) {
                let directory = numbered_file(parent, job);
                for listed in backend.list(&directory)? {
                    backend.remove(&format!("{directory}/{}", listed.name))?;
                }
                backend.remove_empty_directory(&directory)?;
            }
        }
        Ok(())
    }

    /// Names of all sessions but this one.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn sessions_besides(&self, own: &str) -> Result<Vec<String>, RepositoryError> {
        let files =
            self.backend.list("sessions")?.into_iter().filter(|listed| !listed.is_directory);
        Ok(files.map(|listed| listed.name).filter(|name| name != own).collect())
    }

    /// Removes generations and tables of refs that come before these.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn remove_replaced(&self, generation: u64, table: u64) -> Result<(), RepositoryError> {
        for (directory, oldest_kept) in [("gc", generation), ("refs", table)] {
            for number in numbered(&self.backend.list(directory)?) {
                if number < oldest_kept {
                    self.backend.remove(&numbered_file(directory, number))?;
                }
            }
        }
        Ok(())
    }
}

fn numbered(listed: &[Listed]) -> Vec<u64> {
    listed.iter().filter_map(|listed| parse_job_number(&listed.name)).collect()
}

impl Repository {
    /// Publishes the newest generation once more, so that it counts the numbers of all jobs up to now: they
    /// are not given again, and that one of them is missing is no loss any more; nor is it that the
    /// generation `gone`, if there was one, is missing. The loose objects in `condemned_loose` are condemned
    /// with it. Durable on return.
    ///
    /// To be called by whoever holds the maintenance lock.
    ///
    /// # Errors
    ///
    /// The newest generation is damaged; the backend fails.
    pub fn count_jobs(
        &self,
        gone: u64,
        condemned_loose: BTreeSet<Id>,
    ) -> Result<(), RepositoryError> {
        let session = self.write_session()?;
        let newest = self.newest_generation()?;
        let number = newest.number.max(gone) + 1;
        let mut condemned = newest.into_condemned();
        condemned.loose.extend(condemned_loose);
        session.publish_generation(number, &condemned)
    }

    /// Publishes the newest table of refs once more, with a number above that of one that is gone. Durable on
    /// return.
    ///
    /// # Errors
    ///
    /// The newest table is damaged; the backend fails.
    pub fn replace_refs(&self, gone: u64) -> Result<(), RepositoryError> {
        let mut session = self.write_session()?;
        let table = self.ref_table()?;
        let number = table.number.max(gone) + 1;
        let record = control::encode(&RefTable { number, ..table });
        // Where the number is taken, somebody else has replaced the table.
        session.publish_as(&record, &table_file(number)).map(|_| ())
    }
}

impl WriteSession<'_> {
    /// Publishes the next generation, which condemns these; its number. Durable on return.
    ///
    /// To be called by whoever holds the maintenance lock.
    ///
    /// # Errors
    ///
    /// There are too many for one file, the backend fails, or the session was fenced.
    pub fn condemn(&self, condemned: &Condemned) -> Result<u64, RepositoryError> {
        let number = self.repository.newest_generation()?.number + 1;
        self.publish_generation(number, condemned).map(|()| number)
    }

    fn publish_generation(
        &self,
        number: u64,
        condemned: &Condemned,
    ) -> Result<(), RepositoryError> {
        let backend = &*self.repository.backend;
        let record = control::encode(&Generation {
            condemned_loose: condemned.loose.iter().copied().collect(),
            condemned_packs: condemned.packs.iter().copied().collect(),
            highest_job: self.repository.highest_counted()?,
            number,
        });
        if record.len() as u64 > CONTROL_FILE_BYTES_MAX {
            return Err(RepositoryError::TooManyCondemned);
        }
        let name = numbered_file("gc", number);
        let mut file = backend.create(self.id())?;
        file.write(&record)?;
        match file.publish(&name)? {
            Created::New => {}
            // Only a prune publishes generations, and only one prunes at a time.
            Created::Existed => {
                let what = "another prune published it";
                return Err(BackendError::Damaged { name: backend.describe(&name), what }.into());
            }
        }
        Ok(backend.sync("gc")?)
    }
}
