//! A session that others lean on: one for a whole pipeline, whose programs each have their own too.
//!
//! Invariant: who leans on a session obeys the generation that this one has read, and publishes only
//! while it stands. So no prune that the pipeline began before deletes what the pipeline relies on:
//! it looks again after that session is over. runup-repository(5), WRITE PROTOCOL.

use serde::{Deserialize, Serialize};

use super::session::Generation;
use super::{Repository, RepositoryError};
use crate::backend::{BackendError, Session};
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::control;

/// What the file of a session holds that others lean on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineRecord {
    /// The generation that the session has read; 0 where there was none.
    generation: u64,
}

impl Repository {
    /// Opens a session for others to lean on. It stores and publishes nothing itself.
    ///
    /// # Errors
    ///
    /// The repository cannot be written to, or its newest generation is damaged.
    pub fn pipeline_session(&self) -> Result<Box<dyn Session>, RepositoryError> {
        let mut session = self.backend.open_session()?;
        let generation = self.newest_generation()?.number;
        session.note(&control::encode(&PipelineRecord { generation }))?;
        Ok(session)
    }

    /// Lets every session that is opened for writing from now on lean on this one.
    pub fn lean_on(&mut self, session: &str) {
        self.backend.lean_on(session);
        self.leaned_on = Some(session.to_owned());
    }

    /// Whether sessions that are opened for writing lean on another one.
    pub fn leans(&self) -> bool {
        self.leaned_on.is_some()
    }

    /// The generation that a session has read, which others lean on.
    pub(super) fn generation_of(&self, session: &str) -> Result<Generation, RepositoryError> {
        let name = format!("sessions/{session}");
        let bytes = self.backend.read(&name, CONTROL_FILE_BYTES_MAX)?;
        let bytes = bytes.ok_or(BackendError::SessionEnded)?;
        let record: PipelineRecord = control::decode(&bytes).map_err(|source| {
            RepositoryError::Control { file: self.backend.describe(&name), source }
        })?;
        // Once the session is over, a prune may have removed the generation.
        match self.generation(record.generation)? {
            Some(generation) => Ok(generation),
            None => Err(self.ended_or(BackendError::Missing {
                name: self.backend.describe(&format!("gc/{:08}", record.generation)),
            })),
        }
    }

    /// The error, unless its cause is that the session is over that this repository leans on.
    pub(super) fn ended_or(&self, error: impl Into<RepositoryError>) -> RepositoryError {
        let is_over = self.leaned_on.as_ref().is_some_and(|session| {
            self.backend.length(&format!("sessions/{session}")).is_ok_and(|length| length.is_none())
        });
        if is_over { BackendError::SessionEnded.into() } else { error.into() }
    }
}
