//! What is asked of the making of an index, and what it tells.

use std::io;

use crate::backend::BackendError;
use crate::base::id::Id;
use crate::repository::RepositoryError;
use crate::store::{ReadError, WriteError};

/// Which packs are to be indexed, and whether that is only to be tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexPackOptions {
    /// These packs, of which every byte is verified; `None` for all that no sound segment covers.
    pub packs: Option<Vec<Id>>,
    /// These too, of which every byte is verified as well.
    pub doubted: Vec<Id>,
    /// Whether packs that are gone are to be left out of indexes; each is noted in `lost`. Only where
    /// none are named.
    pub leaves_out_gone: bool,
    /// Whether nothing is to be written.
    pub is_dry_run: bool,
}

/// How it was found out what is in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A sound segment covers it already.
    Covered,
    /// By its footer.
    Footer,
    /// By its frames, which were copied to new packs.
    Scan,
}

/// What is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblem {
    /// Stable word for programs: `missing_pack`, `unreadable_file`, `unsupported`, `damaged_pack`,
    /// `damaged_frame`, `damaged_object`.
    pub code: &'static str,
    /// One line for people.
    pub message: String,
}

/// What became of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedPack {
    /// Its name.
    pub pack: Id,
    /// How it was read; `None` if it could not be.
    pub how: Option<How>,
    /// Frames in it that can be used.
    pub frames: u64,
    /// Objects in those.
    pub objects: u64,
    /// Of those, the ones that are not indexed, because something in their pack is incomplete.
    pub dropped: u64,
    /// The packs that hold its sound frames now.
    pub salvaged_to: Vec<Id>,
    /// What is wrong with it.
    pub problem: Option<PackProblem>,
}

/// What the whole run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexPackReport {
    /// Packs that were looked at.
    pub packs: u64,
    /// Packs that a prune is about to delete, which were left alone.
    pub condemned: u64,
    /// Objects that are indexed now, one that is stored twice counted twice.
    pub objects: u64,
    /// Objects that are not, because something in their pack is incomplete.
    pub dropped: u64,
    /// Segments that were published, or would be.
    pub segments: u64,
    /// Damaged files that were set aside, by their new names.
    pub set_aside: Vec<String>,
    /// Packs that are gone, and that no segment names any more.
    pub gone: Vec<Id>,
    /// Packs with which something is wrong.
    pub errors: u64,
}

/// The index could not be made again. What was done so far stays, and the next run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexPackError {
    /// Somebody else prunes or merges indexes.
    #[error("a prune, or whoever merges indexes, is at work: try again when it is done")]
    Busy,
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
    /// The records could not be handed on.
    #[error("cannot write what was found")]
    Output(#[source] io::Error),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<ReadError> for IndexPackError {
    fn from(error: ReadError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<WriteError> for IndexPackError {
    fn from(error: WriteError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<BackendError> for IndexPackError {
    fn from(error: BackendError) -> Self {
        Self::Repository(error.into())
    }
}
