//! A tree is made of named entries, from nothing or from another tree in which only they change.
//!
//! Invariant: an entry is named once, and what a tree refers to was found stored, of the right kind
//! and size, before the tree is.

mod build;
mod edits;

pub use build::{Built, Defaults, Links, build};
pub use edits::{Content, Edits, PartialMetadata};

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::store::{ReadError, WriteError};

/// Why a tree could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MktreeError {
    /// The path is none that a tree could hold.
    #[error("{path:?}: no path inside a tree")]
    BadPath {
        /// The path.
        path: String,
    },
    /// Two entries or removals have the same path.
    #[error("{path:?}: named twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// Something is to stand below what is no directory.
    #[error("{path:?}: no directory, though something is to be in it")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// The entry says what no tree can hold.
    #[error("{path:?}: {what}")]
    Invalid {
        /// The path.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The entry refers to what is not stored, or about to be pruned.
    #[error("{path:?}: {id} is not in the repository, or about to be pruned: store it first")]
    Absent {
        /// The path.
        path: String,
        /// The object.
        id: Id,
    },
    /// The entry refers to an object of another kind.
    #[error("{path:?}: {id} is a {found}, which {wanted} cannot be")]
    WrongKind {
        /// The path.
        path: String,
        /// The object.
        id: Id,
        /// What it is.
        found: Kind,
        /// What the entry is.
        wanted: &'static str,
    },
    /// What is stored could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree could not be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The thread that builds could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// A path for messages.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
