//! A regular file that is being made.
//!
//! Invariant: until it is finished, nothing of it stands under its name. Where the system knows files
//! without a name it has none at all, so that a killed program leaves nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, fallocate, fdatasync, ftruncate, linkat, openat,
};
use rustix::io::{Errno, pwrite};

use super::directory::TargetDirectory;
use super::error::TargetError;
use super::metadata::{Held, NotKept, Subject, WantedMetadata};
use super::temporary::{Overwrite, Temporary};
use crate::format::tree::Metadata;
use crate::os::object::proc_path;
use crate::os::{FileIdentity, Object};

const NEW_FILE_FLAGS: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const UNNAMED_FILE_FLAGS: OFlags = OFlags::RDWR.union(OFlags::TMPFILE).union(OFlags::CLOEXEC);
const NEW_FILE_MODE: u16 = 0o600;
/// Bits of a wanted mode that a file may have from the start; others the process's mask may take.
const EARLY_MODE_BITS: u16 = 0o755;

/// A file without a name, or under a temporary one, which is gone if this is dropped unfinished.
///
/// Several threads may write to one.
#[derive(Debug)]
pub struct NewFile {
    name: FileName,
    descriptor: OwnedFd,
    mode: u16,
}

#[derive(Debug)]
enum FileName {
    None { directory: TargetDirectory, wanted: Box<[u8]> },
    Temporary(Temporary),
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
    /// Makes an empty file with mode 0600, to stand under `name` once it is finished.
    ///
    /// # Errors
    ///
    /// What `openat` reports.
    pub fn create_file(&self, name: &[u8]) -> Result<NewFile, TargetError> {
        self.create(name, NEW_FILE_MODE)
    }

    /// As [`TargetDirectory::create_file`], with as much of the wanted mode as harms nobody, which
    /// saves a call to set it.
    ///
    /// # Errors
    ///
    /// What `openat` reports.
    pub fn create_file_for(&self, name: &[u8], wanted: &Metadata) -> Result<NewFile, TargetError> {
        let writer = self.writer();
        let is_own = (wanted.uid, wanted.gid) == (writer.uid, writer.gid);
        let is_early = is_own && wanted.mode & !EARLY_MODE_BITS == 0;
        self.create(name, if is_early { wanted.mode } else { NEW_FILE_MODE })
    }

    fn create(&self, name: &[u8], mode: u16) -> Result<NewFile, TargetError> {
        self.check(name)?;
        let bits = Mode::from_raw_mode(mode.into());
        if self.makes_unnamed_files() {
            match openat(self, c".", UNNAMED_FILE_FLAGS, bits) {
                Ok(descriptor) => {
                    let name = FileName::None { directory: self.clone(), wanted: name.into() };
                    return Ok(NewFile { name, descriptor, mode });
                }
                // Each of these is how some file system or kernel says that it has none.
                Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                    self.give_up_unnamed_files();
                }
                Err(error) => return Err(self.error("create", name, error)),
            }
        }
        let (temporary, descriptor) =
            Temporary::make(self, name, |temporary| openat(self, temporary, NEW_FILE_FLAGS, bits))?;
        Ok(NewFile { name: FileName::Temporary(temporary), descriptor, mode })
    }
}

/// Gives what an open descriptor holds a name that nothing has yet.
pub(super) fn link_descriptor(
    descriptor: BorrowedFd<'_>,
    directory: &TargetDirectory,
    name: &[u8],
) -> rustix::io::Result<()> {
    // The first way needs a capability before Linux 6.10, the second /proc.
    match linkat(descriptor, c"", directory, name, AtFlags::EMPTY_PATH) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        Err(_) => linkat(CWD, proc_path(descriptor), directory, name, AtFlags::SYMLINK_FOLLOW),
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
        let directory = match &self.name {
            FileName::None { directory, .. } => directory,
            FileName::Temporary(temporary) => temporary.directory(),
        };
        let writer = directory.writer();
        let held = Held { uid: writer.uid, gid: writer.gid, mode: Some(self.mode), mtime: None };
        let subject = directory.subject(Object::Open(self.descriptor.as_fd()));
        let subject = Subject { held: Some(held), bare: !directory.gives_acls(), ..subject };
        let applied = subject.apply(wanted).map_err(|error| self.error("examine", error))?;
        match self.name {
            FileName::None { directory, wanted } => {
                publish_unnamed(&directory, &wanted, self.descriptor.as_fd(), overwrite)?;
            }
            FileName::Temporary(temporary) => temporary.publish(overwrite)?,
        }
        Ok(Finished { identity: applied.identity, not_kept: applied.not_kept })
    }

    fn error(&self, doing: &'static str, error: impl Into<std::io::Error>) -> TargetError {
        match &self.name {
            FileName::None { directory, wanted } => directory.error(doing, wanted, error),
            FileName::Temporary(temporary) => temporary.error(doing, error),
        }
    }
}

fn publish_unnamed(
    directory: &TargetDirectory,
    name: &[u8],
    descriptor: BorrowedFd<'_>,
    overwrite: Overwrite,
) -> Result<(), TargetError> {
    match (link_descriptor(descriptor, directory, name), overwrite) {
        (Ok(()), _) => Ok(()),
        (Err(Errno::EXIST), Overwrite::Never) => {
            Err(TargetError::Occupied { path: directory.text(name) })
        }
        (Err(Errno::EXIST), Overwrite::Replace) => {
            let link =
                |temporary: &str| link_descriptor(descriptor, directory, temporary.as_bytes());
            Temporary::make(directory, name, link)?.0.publish(overwrite)
        }
        (Err(error), _) => Err(directory.error("create", name, error)),
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
            openat(&directory, name, NEW_FILE_FLAGS, Mode::RUSR | Mode::WUSR)
        })
        .unwrap();
        let name = FileName::Temporary(temporary);
        let file = NewFile { name, descriptor, mode: NEW_FILE_MODE };
        file.write_at(0, b"restored").unwrap();
        drop(file);
        assert_eq!(fs::read(&canary).unwrap(), b"alive");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(directory.names().unwrap().len(), 2);
    }

    #[test]
    fn both_ways_to_make_a_file_end_alike() {
        let folder = tempfile::tempdir().unwrap();
        let root = TargetRoot::open(folder.path()).unwrap();
        let open = || root.open_directory(b"").unwrap();
        let unnamed = open();
        let named = open();
        named.give_up_unnamed_files();
        for directory in [&unnamed, &named] {
            let status = crate::os::status_of(directory).unwrap();
            let mtime = crate::base::time::FileTime { seconds: 1, nanoseconds: 5 };
            for mode in [0o444, 0o640, 0o666] {
                let (uid, gid) = (status.uid, status.gid);
                let metadata = Metadata { mode, uid, gid, mtime, xattrs: Vec::new() };
                let wanted = WantedMetadata { metadata: &metadata, xattrs: &[] };
                let write = |content: &[u8], overwrite| {
                    let file = directory.create_file_for(b"name", &metadata).unwrap();
                    file.write_at(0, content).unwrap();
                    file.finish(&wanted, overwrite)
                };
                assert_eq!(write(b"first", Overwrite::Never).unwrap().not_kept, vec![]);
                let second = write(b"second", Overwrite::Never);
                assert!(matches!(second, Err(TargetError::Occupied { .. })));
                assert_eq!(fs::read(folder.path().join("name")).unwrap(), b"first");
                let third = write(b"third", Overwrite::Replace).unwrap();
                assert_eq!(fs::read(folder.path().join("name")).unwrap(), b"third");
                let found = directory.status(b"name").unwrap().unwrap();
                assert_eq!((found.mode, found.mtime), (mode, mtime));
                assert_eq!((found.identity(), found.nlink), (third.identity, 1));
                assert_eq!(directory.names().unwrap().len(), 1);
                fs::remove_file(folder.path().join("name")).unwrap();
            }
        }
    }
}
