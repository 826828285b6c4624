//! What a prune is asked to do, what it is about to do, and what it has done.

use super::census::Census;
use super::choose::Choice;
use crate::backend::BackendError;
use crate::base::id::Id;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::repository::RepositoryError;
use crate::store::{ReadError, WriteError};

/// Room that unneeded objects may go on taking, in packs that hold others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// So many parts in a million of the bytes of all packs.
    Share(u64),
    /// So many bytes.
    Bytes(u64),
    /// Any: nothing is stored again only to save room.
    Unlimited,
}

impl Default for Unused {
    fn default() -> Self {
        Self::Share(50_000)
    }
}

/// What is done about programs that are at work and may need what is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sessions {
    /// They are waited for.
    #[default]
    Wait,
    /// They are fenced: they have to begin again. Where the file system cannot do that, they are
    /// waited for.
    Fence,
    /// Nothing is deleted while there are any.
    Leave,
}

/// Bytes that a name takes in the file of a generation: its digits, quotes and a comma.
const NAME_BYTES: usize = 67;
/// Bytes of such a file that are left for all else.
const OTHER_BYTES: usize = 4096;

/// How a prune goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneOptions {
    /// What need not be cleared away.
    pub unused: Unused,
    /// What becomes of others who are at work.
    pub sessions: Sessions,
    /// Whether to find out only what would be done.
    pub is_dry_run: bool,
    /// How many packs and loose objects are deleted at most; by default, as many as the file of a generation has
    /// room for.
    pub condemned_max: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            unused: Unused::default(),
            sessions: Sessions::default(),
            is_dry_run: false,
            condemned_max: (CONTROL_FILE_BYTES_MAX as usize - OTHER_BYTES) / NAME_BYTES,
        }
    }
}

/// What a prune is about to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Distinct objects that are needed.
    pub needed_objects: u64,
    /// Stored copies that are not.
    pub unneeded_copies: u64,
    /// Packs of which nothing is needed.
    pub unneeded_packs: u64,
    /// Their bytes.
    pub unneeded_pack_bytes: u64,
    /// Packs that are stored again in part.
    pub repacked_packs: u64,
    /// Their bytes.
    pub repacked_pack_bytes: u64,
    /// Of these, what is stored again, about.
    pub copied_bytes: u64,
    /// Loose objects that are not needed.
    pub unneeded_loose: u64,
    /// Bytes of their files.
    pub unneeded_loose_bytes: u64,
    /// Bytes that are free afterwards, about.
    pub freed_bytes: u64,
    /// Bytes of unneeded objects that stay, about.
    pub unused_bytes: u64,
}

impl PrunePlan {
    pub(super) fn new(census: &Census, choice: &Choice) -> Self {
        let sum = |names: &[Id]| -> u64 {
            names
                .iter()
                .filter_map(|name| census.packs.get(name))
                .map(|pack| pack.length_bytes)
                .sum()
        };
        let unneeded_pack_bytes = sum(&choice.dead) + sum(&choice.unindexed);
        let repacked_pack_bytes = sum(&choice.repacked);
        let copied_bytes = choice.copied_bytes.min(repacked_pack_bytes);
        Self {
            packs: census.packs.len() as u64,
            pack_bytes: census.packs.values().map(|pack| pack.length_bytes).sum(),
            needed_objects: census.live_objects,
            unneeded_copies: census.dead_copies + census.dead_loose.len() as u64,
            unneeded_packs: (choice.dead.len() + choice.unindexed.len()) as u64,
            unneeded_pack_bytes,
            repacked_packs: choice.repacked.len() as u64,
            repacked_pack_bytes,
            copied_bytes,
            unneeded_loose: census.dead_loose.len() as u64,
            unneeded_loose_bytes: census.dead_loose_bytes,
            freed_bytes: unneeded_pack_bytes + repacked_pack_bytes - copied_bytes
                + census.dead_loose_bytes,
            unused_bytes: choice.unused_bytes,
        }
    }
}

/// What a prune has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Whether it has only found out what it would do.
    pub is_dry_run: bool,
    /// Packs that were deleted.
    pub deleted_packs: u64,
    /// Their bytes.
    pub deleted_pack_bytes: u64,
    /// Of these packs, those of which something was stored again.
    pub repacked_packs: u64,
    /// Bytes of the packs that it was stored in.
    pub repacked_bytes: u64,
    /// Loose objects that were deleted.
    pub deleted_loose: u64,
    /// Bytes of their files.
    pub deleted_loose_bytes: u64,
    /// Bytes of unneeded objects that stay, about.
    pub unused_bytes: u64,
    /// Packs that were to be stored again in part and are damaged: they stay.
    pub damaged_packs: Vec<Id>,
    /// Packs and loose objects that could go too, and are left for the next prune: these were too many for one.
    pub postponed: u64,
    /// Whether others were waited for.
    pub waited: bool,
}

impl PruneReport {
    /// Bytes that the repository is smaller.
    pub fn freed_bytes(&self) -> u64 {
        (self.deleted_pack_bytes + self.deleted_loose_bytes).saturating_sub(self.repacked_bytes)
    }
}

/// Why a prune ended early. Nothing that is needed is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// Only one may do it at a time.
    #[error("another prune is at work, or somebody merges or rebuilds the index: try again later")]
    Busy,
    /// It would wait for the session that it runs in.
    #[error("a prune cannot run inside of runup-session: it would wait for that")]
    InPipeline,
    /// Others are at work, and are not to be waited for.
    #[error(
        "{count} other programs are at work on this repository; nothing was deleted: try again when \
         they are done, or let them be waited for or fenced"
    )]
    Sessions {
        /// How many.
        count: usize,
    },
    /// A listing that may be wrong is not believed.
    #[error("there are packs but no jobs: is {location} mounted whole? nothing was deleted")]
    NoJobs {
        /// The repository.
        location: String,
    },
    /// Packs that no index covers cannot be told from those nobody needs.
    #[error(
        "{file} is damaged, so what is needed cannot be told: `runup-index-pack` makes the index again"
    )]
    Index {
        /// An index segment.
        file: String,
    },
    /// What is needed is damaged or missing.
    #[error(
        "something that is needed cannot be read, so nothing was deleted: `runup check` tells more"
    )]
    Needed(#[source] ReadError),
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
    /// The repository cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl PruneError {
    /// Whether no space is left.
    pub fn is_no_space(&self) -> bool {
        let Self::Repository(error) = self else { return false };
        matches!(
            error,
            RepositoryError::Backend(BackendError::NoSpace { .. })
                | RepositoryError::Write(WriteError::Backend(BackendError::NoSpace { .. }))
                | RepositoryError::Read(ReadError::Backend(BackendError::NoSpace { .. }))
        )
    }
}

impl From<ReadError> for PruneError {
    fn from(error: ReadError) -> Self {
        if error.is_damage() { Self::Needed(error) } else { Self::Repository(error.into()) }
    }
}

impl From<WriteError> for PruneError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Read(error) => error.into(),
            other => Self::Repository(other.into()),
        }
    }
}

impl From<BackendError> for PruneError {
    fn from(error: BackendError) -> Self {
        Self::Repository(error.into())
    }
}
