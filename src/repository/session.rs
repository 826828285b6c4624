//! A writer's session: announced before it looks at anything, ended by publishing a job or a table of
//! refs, or by drop.
//!
//! Invariant: the session is seen by others first, then the generation is read, then the index. So
//! a prune either sees the session or the session sees what the prune has condemned.
//! runup-repository(5), WRITE PROTOCOL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jobs::{JobRecord, numbered_file};
use super::refs::{RefTable, Refs, table_file};
use super::{Repository, RepositoryError};
use crate::backend::{BackendError, Published, Session};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::codec::DecodeError;
use crate::format::control;
use crate::store::Condemned;

/// How often generations are listed at most while others go.
const LOOKS_MAX: usize = 16;

/// What a generation's file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The loose objects that it condemns.
    pub condemned_loose: Vec<Id>,
    /// The packs that it condemns.
    pub condemned_packs: Vec<Id>,
    /// The highest number of a job that had been given when it was published.
    pub highest_job: u64,
    /// Its number, so that a file under another's name is known as damage; 0 before the first.
    pub number: u64,
}

impl Generation {
    /// Reads a generation.
    ///
    /// # Errors
    ///
    /// It is damaged, or has another number.
    pub fn decode(bytes: &[u8], number: u64) -> Result<Self, DecodeError> {
        let generation: Self = control::decode(bytes)?;
        if generation.number != number {
            return Err(DecodeError { what: "it is the file of another generation", offset: 0 });
        }
        Ok(generation)
    }

    pub(super) fn into_condemned(self) -> Condemned {
        Condemned {
            packs: self.condemned_packs.into_iter().collect(),
            loose: self.condemned_loose.into_iter().collect(),
        }
    }
}

/// A session that may store objects and publish one job, or one change of refs.
#[derive(Debug)]
pub struct WriteSession<'r> {
    pub(super) repository: &'r Repository,
    session: Box<dyn Session>,
    highest_job: u64,
}

impl Repository {
    /// Opens a session for writing.
    ///
    /// # Errors
    ///
    /// The repository cannot be written to, or its newest generation is damaged;
    /// [`BackendError::SessionEnded`] where the session to lean on is over.
    pub fn write_session(&self) -> Result<WriteSession<'_>, RepositoryError> {
        let session = self.backend.open_session()?;
        let newest = self.newest_generation()?;
        let highest_job = newest.highest_job;
        let generation = match &self.leaned_on {
            Some(outer) => self.generation_of(outer)?,
            None => newest,
        };
        self.obey(generation);
        self.store.reload()?;
        // A segment that can be seen need not be durable yet; what is stored now will rely on it.
        self.backend.note_unsynced("index");
        self.backend.sync("index")?;
        Ok(WriteSession { repository: self, session, highest_job })
    }

    /// Opens a session for a long read, so that a prune waits for it or tells it.
    ///
    /// `None` where the repository cannot be written to, and so cannot be pruned from here either, or
    /// where there is no space: reading must not need any.
    ///
    /// # Errors
    ///
    /// The backend fails in another way.
    pub fn read_session(&self) -> Result<Option<Box<dyn Session>>, RepositoryError> {
        let session = match self.backend.open_session() {
            Ok(session) => Some(session),
            // Where sessions have no directory, a prune has none either.
            Err(error) if error.is_read_only() || error.is_no_space() || error.is_missing() => None,
            Err(error) => return Err(error.into()),
        };
        // A damaged generation is no reason not to read.
        if let Ok(generation) = self.newest_generation() {
            self.obey(generation);
        }
        self.store.reload()?;
        Ok(session)
    }

    fn obey(&self, generation: Generation) {
        self.store.set_condemned(generation.into_condemned());
    }

    /// The generation that counts.
    pub(super) fn newest_generation(&self) -> Result<Generation, RepositoryError> {
        // A prune that does not wait for this session may remove one right after it was listed, as a
        // newer one is there then.
        for _ in 0..LOOKS_MAX {
            let newest = self.highest_in("gc")?;
            if let Some(generation) = self.generation(newest)? {
                return Ok(generation);
            }
        }
        Err(BackendError::Missing { name: self.backend.describe("gc") }.into())
    }

    /// A generation by its number; `None` if there is none. 0 is the one that condemns nothing.
    pub(super) fn generation(&self, number: u64) -> Result<Option<Generation>, RepositoryError> {
        if number == 0 {
            return Ok(Some(Generation::default()));
        }
        let name = numbered_file("gc", number);
        let bytes = self.backend.read(&name, CONTROL_FILE_BYTES_MAX)?;
        let decoded = bytes.map(|bytes| Generation::decode(&bytes, number)).transpose();
        decoded.map_err(|source| RepositoryError::Control {
            file: self.backend.describe(&name),
            source,
        })
    }

    /// The highest number of a job that is there, or that the newest generation counts.
    ///
    /// # Errors
    ///
    /// The newest generation is damaged; the backend fails.
    pub fn highest_counted(&self) -> Result<u64, RepositoryError> {
        Ok(self.highest_number()?.max(self.newest_generation()?.highest_job))
    }

    pub(super) fn highest_number(&self) -> Result<u64, RepositoryError> {
        let mut highest = 0;
        for directory in ["jobs", "forgotten", "pruned"] {
            highest = highest.max(self.highest_in(directory)?);
        }
        Ok(highest)
    }
}

impl WriteSession<'_> {
    /// The session's name, which temporary files carry.
    pub fn id(&self) -> &str {
        self.session.id()
    }

    /// The error of who finds that an object is absent on which something is to rely.
    pub fn incomplete(&self, id: Id, kind: Kind) -> RepositoryError {
        self.repository.ended_or(RepositoryError::Incomplete { what: kind.word(), id })
    }

    /// Publishes a job with these snapshots, which and all they refer to are stored already; its
    /// number.
    ///
    /// Durable on return.
    ///
    /// # Errors
    ///
    /// [`RepositoryError::Fenced`] if a prune has ended the session; nothing was published then.
    /// [`RepositoryError::LostJobs`] if all jobs are gone.
    pub fn publish(self, projects: &BTreeMap<String, Id>) -> Result<u64, RepositoryError> {
        self.repository.refuse_lost_jobs()?;
        self.publish_above(projects, 0)
    }

    /// As [`WriteSession::publish`], with the number behind `highest`, which was the highest one that was given;
    /// `None` if it was taken since, and nothing was published.
    ///
    /// # Errors
    ///
    /// As [`WriteSession::publish`].
    pub fn publish_after(
        mut self,
        highest: u64,
        projects: &BTreeMap<String, Id>,
    ) -> Result<Option<u64>, RepositoryError> {
        self.repository.refuse_lost_jobs()?;
        let record = self.record(projects)?;
        let is_overtaken = self.repository.highest_counted()? > highest;
        let job = highest + 1;
        Ok((!is_overtaken && self.publish_job(job, record)?).then_some(job))
    }

    /// As [`WriteSession::publish`], with a number that is higher than `number`, whatever is gone.
    pub(super) fn publish_above(
        mut self,
        projects: &BTreeMap<String, Id>,
        number: u64,
    ) -> Result<u64, RepositoryError> {
        let record = self.record(projects)?;
        let mut job = self.repository.highest_number()?.max(self.highest_job).max(number);
        loop {
            job += 1;
            if self.publish_job(job, record.clone())? {
                return Ok(job);
            }
        }
    }

    /// What the next job's file holds, but for its number. All that it relies on is durable then.
    fn record(&self, projects: &BTreeMap<String, Id>) -> Result<JobRecord, RepositoryError> {
        let repository = self.repository;
        let (generation, refs) = (repository.highest_in("gc")?, repository.highest_in("refs")?);
        // What the job says was there must not be gone after a power cut.
        for (directory, number) in [("gc", generation), ("refs", refs)] {
            if number > 0 {
                repository.backend.note_unsynced(directory);
            }
        }
        repository.backend.sync_all()?;
        Ok(JobRecord { generation, job: 0, projects: projects.clone(), refs })
    }

    fn publish_job(&mut self, job: u64, record: JobRecord) -> Result<bool, RepositoryError> {
        let record = control::encode(&JobRecord { job, ..record });
        self.publish_as(&record, &numbered_file("jobs", job))
    }

    /// Publishes the refs that `change` makes of those there are, whose targets and all they refer
    /// to are stored already. Where others change refs meanwhile, `change` is asked again. Refs that
    /// it leaves as they are are not published again.
    ///
    /// Durable on return.
    ///
    /// # Errors
    ///
    /// What `change` says; [`RepositoryError::Fenced`] if a prune has ended the session. Nothing was
    /// published in either case.
    pub fn publish_refs<E: From<RepositoryError>>(
        mut self,
        mut change: impl FnMut(&Refs) -> Result<Refs, E>,
    ) -> Result<(), E> {
        self.repository.backend.sync_all().map_err(RepositoryError::from)?;
        let known = self.repository.refs_of_newest_job()?;
        loop {
            let table = self.repository.not_older(self.repository.ref_table()?, known)?;
            let refs = change(&table.refs)?;
            if refs == table.refs {
                return Ok(());
            }
            let number = table.number + 1;
            let record = control::encode(&RefTable { number, refs });
            if record.len() as u64 > CONTROL_FILE_BYTES_MAX {
                return Err(RepositoryError::TooManyRefs.into());
            }
            if self.publish_as(&record, &table_file(number))? {
                return Ok(());
            }
        }
    }

    /// Whether the session has become the file of this name, which others may have taken.
    pub(super) fn publish_as(
        &mut self,
        record: &[u8],
        name: &str,
    ) -> Result<bool, RepositoryError> {
        match self.session.publish(record, name)? {
            Published::Done => Ok(true),
            Published::Taken => Ok(false),
            Published::Fenced => Err(RepositoryError::Fenced),
        }
    }
}
