//! A writer's session: announced before it looks at anything, ended by publishing a job or a table of
//! refs, or by drop.
//!
//! Invariant: the session is seen by others first, then the generation is read, then the index. So
//! a prune either sees the session or the session sees what the prune has condemned.
//! runup-repository(5), WRITE PROTOCOL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jobs::{JobRecord, numbered_file, parse_job_number};
use super::refs::{RefTable, Refs, table_file};
use super::{Repository, RepositoryError};
use crate::backend::{BackendError, Published, Session};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
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
}

impl Generation {
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
        let (_, newest) = self.newest_generation()?;
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
            Err(error) if error.is_read_only() || error.is_no_space() => None,
            Err(error) => return Err(error.into()),
        };
        // A damaged generation is no reason not to read.
        if let Ok((_, generation)) = self.newest_generation() {
            self.obey(generation);
        }
        self.store.reload()?;
        Ok(session)
    }

    fn obey(&self, generation: Generation) {
        self.store.set_condemned(generation.into_condemned());
    }

    /// The generation that counts, and its number; 0 where there is none.
    pub(super) fn newest_generation(&self) -> Result<(u64, Generation), RepositoryError> {
        // A prune that does not wait for this session may remove one right after it was listed, as a
        // newer one is there then.
        for _ in 0..LOOKS_MAX {
            let listed = self.backend.list("gc")?;
            let newest = listed.iter().filter_map(|listed| parse_job_number(&listed.name)).max();
            let newest = newest.unwrap_or(0);
            if let Some(generation) = self.generation(newest)? {
                return Ok((newest, generation));
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
        let decoded = bytes.map(|bytes| control::decode(&bytes)).transpose();
        decoded.map_err(|source| RepositoryError::Control {
            file: self.backend.describe(&name),
            source,
        })
    }

    pub(super) fn highest_number(&self) -> Result<u64, RepositoryError> {
        let mut highest = 0;
        for directory in ["jobs", "forgotten", "pruned"] {
            let listed = self.backend.list(directory)?;
            let numbers = listed.iter().filter_map(|listed| parse_job_number(&listed.name));
            highest = numbers.fold(highest, u64::max);
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
    pub fn publish(mut self, projects: &BTreeMap<String, Id>) -> Result<u64, RepositoryError> {
        self.repository.backend.sync_all()?;
        let mut number = self.repository.highest_number()?.max(self.highest_job);
        loop {
            number += 1;
            let record = control::encode(&JobRecord { job: number, projects: projects.clone() });
            if self.publish_as(&record, &numbered_file("jobs", number))? {
                return Ok(number);
            }
        }
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
        loop {
            let table = self.repository.ref_table()?;
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
    fn publish_as(&mut self, record: &[u8], name: &str) -> Result<bool, RepositoryError> {
        match self.session.publish(record, name)? {
            Published::Done => Ok(true),
            Published::Taken => Ok(false),
            Published::Fenced => Err(RepositoryError::Fenced),
        }
    }
}
