//! Loose objects: one file each, for single objects written by hand or by a script.
//!
//! Invariant: a loose file is made durable, with its name, before its id is handed out.

use std::sync::{PoisonError, RwLock};

use super::{InsertOptions, Inserter, ReadError, Store, Stored, Worker, WriteError};
use crate::backend::{Backend, BackendError, Created};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::FRAME_OBJECT_BYTES_MAX;
use crate::format::loose::{Loose, decode, encode};

/// Level of the zlib streams of loose objects.
const LEVEL: u32 = 6;

/// Which of the 256 directories of loose objects exist, so that most absent ids cost nothing.
#[derive(Debug)]
pub(super) struct LooseObjects {
    directories: RwLock<[bool; 256]>,
}

/// The file name of a loose object.
pub(super) fn loose_file(id: &Id) -> String {
    let digits = id.to_hex();
    let (_, tail) = digits.split_at(2);
    format!("{}/{tail}", loose_directory(id))
}

/// The directory of the file of a loose object.
fn loose_directory(id: &Id) -> String {
    let digits = id.to_hex();
    let (head, _) = digits.split_at(2);
    format!("objects/{head}")
}

impl LooseObjects {
    pub(super) fn load(backend: &dyn Backend) -> Result<Self, ReadError> {
        let loose = Self { directories: RwLock::new([false; 256]) };
        loose.reload(backend)?;
        Ok(loose)
    }

    /// Looks again at which directories exist.
    pub(super) fn reload(&self, backend: &dyn Backend) -> Result<(), ReadError> {
        let mut directories = [false; 256];
        for listed in backend.list("objects")? {
            let number = crate::base::id::unhex(&listed.name);
            if let Some([number]) = number.as_deref() {
                directories[usize::from(*number)] = true;
            }
        }
        *self.directories.write().unwrap_or_else(PoisonError::into_inner) = directories;
        Ok(())
    }

    fn may_hold(&self, id: &Id) -> bool {
        let directories = self.directories.read().unwrap_or_else(PoisonError::into_inner);
        directories[usize::from(id.as_bytes()[0])]
    }

    fn note(&self, id: &Id) {
        let mut directories = self.directories.write().unwrap_or_else(PoisonError::into_inner);
        directories[usize::from(id.as_bytes()[0])] = true;
    }
}

impl Store {
    /// Whether a loose file of this object stands there.
    pub(super) fn has_loose(&self, id: &Id) -> Result<bool, ReadError> {
        Ok(self.loose.may_hold(id) && self.backend.length(&loose_file(id))?.is_some())
    }

    /// Whether a loose file of this object stands there.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn is_loose(&self, id: &Id) -> Result<bool, ReadError> {
        self.has_loose(id)
    }

    /// What the loose file of an object holds, and its kind; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It is damaged; the backend fails.
    pub fn load_loose_copy(&self, id: &Id) -> Result<Option<(Kind, Stored)>, ReadError> {
        let Some((loose, _)) = self.read_loose(id)? else { return Ok(None) };
        Ok(self.load_loose(id, loose.kind)?.map(|stored| (loose.kind, stored)))
    }

    pub(super) fn note_loose_unsynced(&self, id: &Id) {
        self.backend.note_unsynced(&loose_directory(id));
    }

    /// Makes the name of an object durable that was found stored: one in a pack has a durable name.
    pub(super) fn sync_loose(&self, id: &Id) -> Result<(), BackendError> {
        match self.is_packed(id) {
            true => Ok(()),
            false => self.backend.sync(&loose_directory(id)),
        }
    }

    /// Reads a loose file, whose bytes are not compared with the id yet; `None` if there is none.
    pub(super) fn read_loose(&self, id: &Id) -> Result<Option<(Loose, u64)>, ReadError> {
        if !self.loose.may_hold(id) {
            return Ok(None);
        }
        let name = loose_file(id);
        // Deflate expands what it cannot shrink by less than one part in a thousand.
        let limit = (FRAME_OBJECT_BYTES_MAX + FRAME_OBJECT_BYTES_MAX / 512) as u64;
        let Some(stored) = self.backend.read(&name, limit)? else { return Ok(None) };
        match decode(&stored) {
            Ok(loose) => Ok(Some((loose, stored.len() as u64))),
            Err(source) => Err(ReadError::File { file: self.backend.describe(&name), source }),
        }
    }

    /// Stores one object, or its list, as a loose file. Durable on return.
    ///
    /// A file that existed is kept: it was durable before it appeared. One that is condemned, or known
    /// to be damaged, cannot be relied on, so the object goes to a pack of its own then.
    ///
    /// # Errors
    ///
    /// The backend refuses.
    pub(super) fn put_loose(
        &self,
        session: &str,
        id: &Id,
        kind: Kind,
        is_list: bool,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        let created = match self.may_use_loose(id) {
            false => Created::Existed,
            true => self.write_loose(session, id, kind, is_list, bytes)?,
        };
        if created == Created::Existed && !self.may_use_loose(id) {
            let compression = self.config.compression();
            let options = InsertOptions::new(1, compression);
            let put = |worker: &mut Worker<'_>| match is_list {
                true => worker.put_list(*id, kind, bytes),
                false => worker.put(kind, bytes).map(|_| ()),
            };
            Inserter::new(self, session, options).run_one(put)?;
        }
        Ok(())
    }

    fn write_loose(
        &self,
        session: &str,
        id: &Id,
        kind: Kind,
        is_list: bool,
        bytes: &[u8],
    ) -> Result<Created, WriteError> {
        let stored = encode(kind, is_list, bytes, LEVEL);
        let expected = Loose { kind, is_list, bytes: bytes.to_vec() };
        if decode(&stored) != Ok(expected) {
            return Err(crate::format::compress::CompressError.into());
        }
        let name = loose_file(id);
        let mut file = self.backend.create(session)?;
        file.write(&stored)?;
        let created = file.publish(&name)?;
        self.backend.sync(&loose_directory(id))?;
        self.loose.note(id);
        Ok(created)
    }
}
