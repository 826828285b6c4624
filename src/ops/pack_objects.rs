//! Stored objects go into new packs: loose ones, or any that are named.
//!
//! Invariant: nothing is deleted, and nothing is stored that was not proved; while a prune has
//! condemned anything, an object is stored only if all that it refers to is there and not
//! condemned, or was stored before it in the same run. So what is found stays complete.
//! runup-repository(5), WRITE PROTOCOL.

use super::closure::of_object;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::store::{ReadError, Stored, Worker, WriteError};

/// An object that is in a new pack now, or will be when the insertion ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Its kind.
    pub kind: Kind,
    /// Whether its list was stored rather than its bytes.
    pub is_list: bool,
    /// Bytes of the object itself.
    pub size_bytes: u64,
    /// Bytes of what was stored, uncompressed.
    pub length_bytes: u64,
    /// Whether a pack held it before.
    pub was_packed: bool,
}

/// Why an object was not stored again. Others can be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackObjectError {
    /// It is not stored.
    #[error("{id} is not in the repository")]
    Missing {
        /// The object.
        id: Id,
    },
    /// What is stored of it, or the list of it, is damaged.
    #[error("it cannot be read")]
    Unreadable(#[source] ReadError),
    /// It refers to what is gone, or about to be.
    #[error("it refers to {kind} {id}, which is missing or about to be pruned: store that first")]
    Incomplete {
        /// What it refers to.
        id: Id,
        /// The kind of that.
        kind: Kind,
    },
    /// Nothing can be stored any more.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for PackObjectError {
    fn from(error: ReadError) -> Self {
        if error.is_damage() { Self::Unreadable(error) } else { Self::Write(error.into()) }
    }
}

/// Stores one object in a pack, as it is stored now: as its bytes, or as its list.
///
/// `worker` belongs to an insertion that stores objects again. One that is stored as a difference
/// from another is encoded so again, where `deltas` says so; else it is stored whole. An object that is longer than chunks
/// are now is not cut, and one that was cut is not joined.
///
/// # Errors
///
/// [`PackObjectError::Write`] ends the insertion; the others are about this object only.
pub fn pack_object(
    worker: &mut Worker<'_>,
    id: &Id,
    deltas: bool,
) -> Result<Packed, PackObjectError> {
    let store = worker.store();
    let was_packed = store.is_packed(id);
    let found = store.find(id)?.ok_or(PackObjectError::Missing { id: *id })?;
    let kind = found.kind;
    let stored = store.load_proved(id, kind)?;
    if store.has_condemned() {
        for (reference, kind) in of_object(store, id, kind)? {
            if !worker.is_present(&reference)? {
                return Err(PackObjectError::Incomplete { id: reference, kind });
            }
        }
    }
    let base = found.base().filter(|_| deltas);
    worker.put_as_stored(id, kind, &stored, base.as_ref().map(|base| &base.id))?;
    let length_bytes = match &stored {
        Stored::Whole(bytes) => bytes.len() as u64,
        Stored::List(list) => list.encode().len() as u64,
    };
    let is_list = matches!(stored, Stored::List(_));
    Ok(Packed { kind, is_list, size_bytes: stored.length_bytes(), length_bytes, was_packed })
}
