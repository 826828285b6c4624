//! Why an object could not be read or stored.

use crate::backend::BackendError;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::DecodeError;
use crate::format::compress::CompressError;
use crate::format::delta::Base;
use crate::format::pack::FormatError;

/// An object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No pack and no loose file holds the object.
    #[error("{kind} {id} is not in the repository")]
    Missing {
        /// The object.
        id: Id,
        /// What it was expected to be.
        kind: Kind,
    },
    /// The stored bytes are not those of the object.
    #[error("{kind} {id} in {file} is damaged")]
    Damaged {
        /// The object.
        id: Id,
        /// What it was expected to be.
        kind: Kind,
        /// The file that holds it.
        file: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// The object is stored as a difference from another one, which cannot be read.
    #[error("{kind} {id} in {file} needs {}, which cannot be read", base.id)]
    Base {
        /// The object.
        id: Id,
        /// What it was expected to be.
        kind: Kind,
        /// The file that holds it.
        file: String,
        /// What it needs.
        base: Box<Base>,
        /// Why that cannot be read.
        source: Box<ReadError>,
    },
    /// The object is of another kind than was asked for.
    #[error("{id} is a {found}, not a {expected}")]
    WrongKind {
        /// The object.
        id: Id,
        /// What it was expected to be.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// The object is longer than may be held in memory.
    #[error("{kind} {id} is too long: {length_bytes} bytes")]
    TooLong {
        /// The object.
        id: Id,
        /// What it is.
        kind: Kind,
        /// Its bytes.
        length_bytes: u64,
    },
    /// A file of the repository is damaged.
    #[error("{file} is damaged")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A file of the repository is of a later version.
    #[error("{file} needs a newer runup: {what}")]
    Unsupported {
        /// The file.
        file: String,
        /// What is not known here.
        what: &'static str,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Whoever received the bytes refused them.
    #[error("cannot write what was read")]
    Sink(#[source] std::io::Error),
}

impl ReadError {
    pub(super) fn file(file: String, error: FormatError) -> Self {
        match error {
            FormatError::Decode(source) => Self::File { file, source },
            FormatError::Unsupported(what) => Self::Unsupported { file, what },
        }
    }

    /// Whether stored data is missing or not what it should be.
    pub fn is_damage(&self) -> bool {
        if let Self::Base { source, .. } = self {
            return source.is_damage();
        }
        matches!(
            self,
            Self::Missing { .. }
                | Self::TooLong { .. }
                | Self::Damaged { .. }
                | Self::WrongKind { .. }
                | Self::File { .. }
                | Self::Backend(BackendError::Damaged { .. } | BackendError::Missing { .. })
        )
    }
}

/// An object could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// What is already there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The compressor failed its check.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The source of the bytes could not be read.
    #[error("cannot read the source")]
    Source(#[source] std::io::Error),
    /// A worker stopped before its time.
    #[error("the writer of packs has stopped")]
    Stopped,
}
