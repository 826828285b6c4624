//! A regular file that is being made.
//!
//! Invariant: until it is finished, nothing of it stands under its name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fdatasync, ftruncate, openat};
use rustix::io::{Errno, pwrite};

use super::directory::TargetDirectory;
use super::error::TargetError;
use super::metadata::{Held, NotKept, Subject, WantedMetadata};
use super::temporary::{Overwrite, Temporary};
use crate::os::{FileIdentity, Object};

const NEW_FILE_FLAGS: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const NEW_FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file under a temporary name, which is unlinked if this is dropped unfinished.
///
/// Several threads may write to one.
#[derive(Debug)]
pub struct NewFile {
    temporary: Temporary,
    descriptor: OwnedFd,
}

/// What became of a finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What tells it from every other file, for hard links to it.
    pub identity: FileIdentity,
    /// What of its metadata could not be kept.
    pub not_kept: Vec<NotKept>,
}

impl TargetDirectory {
    /// Makes an empty file with mode 0600 under a temporary name, to stand under `name` once it is
    /// finished.
    ///
    /// # Errors
    ///
    /// What `openat` reports.
    pub fn create_file(&self, name: &[u8]) -> Result<NewFile, TargetError> {
        let (temporary, descriptor) = Temporary::make(self, name, |temporary| {
            openat(self, temporary, NEW_FILE_FLAGS, NEW_FILE_MODE)
        })?;
        Ok(NewFile { temporary, descriptor })
    }
}

impl NewFile {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoSpace`], [`TargetError::Faulty`], or what else `pwrite` reports.
    pub fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), TargetError> {
        while !bytes.is_empty() {
            match pwrite(&self.descriptor, bytes, offset) {
                Ok(0) => return Err(self.error("write", Errno::IO)),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    offset = offset.saturating_add(written as u64);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.error("write", error)),
            }
        }
        Ok(())
    }

    /// Sets the length. What is never written stays a hole where the file system knows holes, and
    /// reads as zeros anyway.
    ///
    /// # Errors
    ///
    /// What `ftruncate` reports.
    pub fn set_length(&self, size_bytes: u64) -> Result<(), TargetError> {
        ftruncate(&self.descriptor, size_bytes).map_err(|error| self.error("resize", error))
    }

    /// Allocates the first `size_bytes`, which then are no holes, without changing the length.
    /// Does nothing where the file system cannot.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoSpace`] at once rather than while writing.
    pub fn reserve(&self, size_bytes: u64) -> Result<(), TargetError> {
        if size_bytes == 0 {
            return Ok(());
        }
        match fallocate(&self.descriptor, FallocateFlags::KEEP_SIZE, 0, size_bytes) {
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(self.error("reserve space for", error)),
        }
    }

    /// Waits until the content is durable; on network file systems the only way to hear of some
    /// failed writes.
    ///
    /// # Errors
    ///
    /// What `fdatasync` reports; the file is then to be dropped, not synced again.
    pub fn sync(&self) -> Result<(), TargetError> {
        fdatasync(&self.descriptor).map_err(|error| self.error("sync", error))
    }

    /// Gives the file its owner, extended attributes, mode and time, in this order, then its name.
    ///
    /// # Errors
    ///
    /// [`TargetError::Occupied`] if something stands there that `overwrite` does not allow to
    /// replace. Whatever the error, nothing of the file is left.
    pub fn finish(
        self,
        wanted: &WantedMetadata<'_>,
        overwrite: Overwrite,
    ) -> Result<Finished, TargetError> {
        let directory = self.temporary.directory();
        let writer = directory.writer();
        let held = Held { uid: writer.uid, gid: writer.gid, mode: Some(0o600), mtime: None };
        let subject = directory.subject(Object::Open(self.descriptor.as_fd()));
        let subject = Subject { held: Some(held), bare: !directory.gives_acls(), ..subject };
        let applied =
            subject.apply(wanted).map_err(|error| self.temporary.error("examine", error))?;
        self.temporary.publish(overwrite)?;
        Ok(Finished { identity: applied.identity, not_kept: applied.not_kept })
    }

    fn error(&self, doing: &'static str, error: Errno) -> TargetError {
        self.temporary.error(doing, error)
    }
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TargetRoot;
    use rustix::fs::symlinkat;
    use std::cell::RefCell;
    use std::fs;

    #[test]
    fn a_link_put_under_the_temporary_name_is_passed_over() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let canary = outside.path().join("canary");
        fs::write(&canary, b"alive").unwrap();
        let directory = TargetRoot::open(folder.path()).unwrap().open_directory(b"").unwrap();
        let planted = RefCell::new(Vec::new());
        // Somebody who guesses the first two names, once with a link to nothing.
        let (temporary, descriptor) = Temporary::make(&directory, b"name", |name| {
            let target = ["canary", "absent"].get(planted.borrow().len());
            if let Some(target) = target {
                symlinkat(outside.path().join(target), &directory, name)?;
                planted.borrow_mut().push(name.to_owned());
            }
            openat(&directory, name, NEW_FILE_FLAGS, NEW_FILE_MODE)
        })
        .unwrap();
        let file = NewFile { temporary, descriptor };
        file.write_at(0, b"restored").unwrap();
        drop(file);
        assert_eq!(fs::read(&canary).unwrap(), b"alive");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(directory.names().unwrap().len(), 2);
    }
}
