//! Why a repository could not be opened, read or written as a whole.

use crate::backend::BackendError;
use crate::base::id::Id;
use crate::format::codec::DecodeError;
use crate::store::{ReadError, WriteError};

/// A repository could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is none.
    #[error("no repository in {location}: `runup init` makes one")]
    None {
        /// Where it was looked for.
        location: String,
    },
    /// There is one already.
    #[error("there is a repository in {location} already")]
    Exists {
        /// Where.
        location: String,
    },
    /// Something else stands there.
    #[error("{location} holds something that is not a repository: choose an empty directory")]
    Occupied {
        /// Where.
        location: String,
    },
    /// The Python RunUp made it.
    #[error(
        "{location} was made by the Python RunUp and is left alone: restore from it with that \
         program, or move it away and run `runup init`"
    )]
    Legacy {
        /// Where.
        location: String,
    },
    /// Its configuration is damaged.
    #[error("{file} is damaged")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// It asks for what this version cannot do.
    #[error("{file} needs a newer runup: {what}")]
    Unsupported {
        /// The file.
        file: String,
        /// What is not known here.
        what: &'static str,
    },
    /// The system has no random bytes.
    #[error("cannot get random bytes")]
    Random {
        /// What the system said.
        source: std::io::Error,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Its index could not be opened.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// An operation on jobs, sessions or snapshots failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object could not be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A control file is damaged.
    #[error("{file} is damaged")]
    Control {
        /// The file.
        file: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A snapshot object does not hold a snapshot.
    #[error("snapshot {id} is damaged")]
    Snapshot {
        /// The object.
        id: Id,
        /// What is wrong.
        source: DecodeError,
    },
    /// The session was fenced by a prune before it could publish.
    #[error("the session was fenced by a prune that could not wait for it")]
    Fenced,
    /// What was to be published is no snapshot that could be restored.
    #[error("not a snapshot that could be restored: {what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// The newest table of refs is gone: what only it names would be lost.
    #[error(
        "{name}, the newest table of tags and pins, is missing: put a copy of it back, or go on without \
         its latest change by `runup repair --drop-control`"
    )]
    LostRefs {
        /// The file.
        name: String,
    },
    /// A job is gone: what only it names would be deleted.
    #[error(
        "{name} is missing, though no prune has removed it: put a copy of it back, or give it up by \
         `runup repair --drop-control`"
    )]
    LostJob {
        /// Its file.
        name: String,
    },
    /// All jobs are gone: one more would take the numbers of those, and have a prune delete all that only
    /// they name.
    #[error(
        "all jobs are gone from {location}, though what they named is stored: put copies of the files in \
         its directory `jobs` back, or give them up by `runup repair --drop-control`"
    )]
    LostJobs {
        /// The repository.
        location: String,
    },
    /// A table of refs would be longer than a control file may be.
    #[error("too many refs: delete some that are not needed")]
    TooManyRefs,
    /// A generation would be longer than a control file may be.
    #[error(
        "what is to be deleted cannot be named in one generation, as all of it refers to each other"
    )]
    TooManyCondemned,
    /// What a snapshot or ref would refer to is not there, or condemned.
    #[error("{what} {id} is not in the repository, or about to be pruned: store it again first")]
    Incomplete {
        /// The kind of object.
        what: &'static str,
        /// The object.
        id: Id,
    },
}

impl RepositoryError {
    /// Whether one file of the repository is damaged, which says nothing of the others.
    pub fn is_damaged_file(&self) -> bool {
        matches!(self, Self::Control { .. } | Self::Backend(BackendError::Damaged { .. }))
    }
}
