//! A writer's session: announced before it looks at anything, ended by publishing a job or by drop.
//!
//! Invariant: the session is seen by others first, then the generation is read, then the index. So
//! a prune either sees the session or the session sees what the prune has condemned.
//! runup-repository(5), WRITE PROTOCOL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jobs::{JobRecord, job_file, parse_job_number};
use super::{Repository, RepositoryError};
use crate::backend::{Published, Session};
use crate::base::id::Id;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::control;
use crate::store::Condemned;

/// What a generation's file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    condemned_loose: Vec<Id>,
    condemned_packs: Vec<Id>,
    highest_job: u64,
}

/// A session that may store objects and publish one job.
#[derive(Debug)]
pub struct WriteSession<'r> {
    repository: &'r Repository,
    session: Box<dyn Session>,
    highest_job: u64,
}

impl Repository {
    /// Opens a session for writing.
    ///
    /// # Errors
    ///
    /// The repository cannot be written to, or its newest generation is damaged.
    pub fn write_session(&self) -> Result<WriteSession<'_>, RepositoryError> {
        let session = self.backend.open_session()?;
        let generation = self.newest_generation()?;
        self.store.set_condemned(Condemned {
            packs: generation.condemned_packs.into_iter().collect(),
            loose: generation.condemned_loose.into_iter().collect(),
        });
        self.store.reload()?;
        // A segment that can be seen need not be durable yet; what is stored now will rely on it.
        self.backend.note_unsynced("index");
        self.backend.sync("index")?;
        Ok(WriteSession { repository: self, session, highest_job: generation.highest_job })
    }

    /// Opens a session for a long read, so that a prune waits for it or tells it.
    ///
    /// `None` where the repository cannot be written to, and so cannot be pruned from here either.
    ///
    /// # Errors
    ///
    /// The backend fails in another way.
    pub fn read_session(&self) -> Result<Option<Box<dyn Session>>, RepositoryError> {
        let session = match self.backend.open_session() {
            Ok(session) => Some(session),
            Err(error) if error.is_read_only() => None,
            Err(error) => return Err(error.into()),
        };
        self.store.reload()?;
        Ok(session)
    }

    fn newest_generation(&self) -> Result<Generation, RepositoryError> {
        let listed = self.backend.list("gc")?;
        let newest = listed.iter().filter_map(|listed| parse_job_number(&listed.name)).max();
        let Some(newest) = newest else { return Ok(Generation::default()) };
        let name = job_file("gc", newest);
        let bytes = self.backend.read(&name, CONTROL_FILE_BYTES_MAX)?.unwrap_or_default();
        control::decode(&bytes).map_err(|source| RepositoryError::Control {
            file: self.backend.describe(&name),
            source,
        })
    }

    fn highest_number(&self) -> Result<u64, RepositoryError> {
        let mut highest = 0;
        for directory in ["jobs", "forgotten"] {
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
            match self.session.publish(&record, &job_file("jobs", number))? {
                Published::Done => return Ok(number),
                Published::Taken => {}
                Published::Fenced => return Err(RepositoryError::Fenced),
            }
        }
    }
}
