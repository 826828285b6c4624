//! One open directory of a target.
//!
//! Invariant: every method takes one name, which cannot be `..` or hold a `/`, and never follows
//! a link that stands under it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use super::error::TargetError;
use super::location::Location;
use super::metadata::{NotKept, Subject, WantedMetadata};
use super::root::Writer;
use crate::base::path::is_name;
use crate::os::xattr::{ACL_ACCESS, ACL_DEFAULT, has_default_acl};
use crate::os::{FileKind, Object, Status, list, status_at, status_of};

/// How directories are opened: to be listed, changed and stepped from.
pub(super) const DIRECTORY_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether an `open` failed because a link or anything else but a directory stands there.
pub(super) fn not_a_directory(error: Errno) -> bool {
    matches!(error, Errno::NOTDIR | Errno::LOOP)
}

/// An open directory of a target; clones share the descriptor.
#[derive(Debug, Clone)]
pub struct TargetDirectory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    descriptor: OwnedFd,
    location: Arc<Location>,
    writer: Writer,
    /// Made in this run and without extended attributes yet.
    bare: AtomicBool,
    /// Whether new objects in it get an ACL; asked when first needed.
    default_acl: OnceLock<bool>,
    /// Whether files are made without a name here, as far as is known.
    unnamed_files: AtomicBool,
}

impl TargetDirectory {
    pub(super) fn existing(descriptor: OwnedFd, location: Arc<Location>, writer: Writer) -> Self {
        let (bare, default_acl) = (AtomicBool::new(false), OnceLock::new());
        let unnamed_files = AtomicBool::new(writer.links_descriptors);
        let shared = Shared { descriptor, location, writer, bare, default_acl, unnamed_files };
        Self { shared: Arc::new(shared) }
    }

    /// Opens the directory `name`.
    ///
    /// # Errors
    ///
    /// [`TargetError::NotADirectory`] for anything else, a link to a directory included.
    pub fn open_child(&self, name: &[u8]) -> Result<Self, TargetError> {
        self.check(name)?;
        let descriptor = openat(self, name, DIRECTORY_FLAGS, Mode::empty());
        let descriptor = descriptor.map_err(|error| self.open_error(name, error))?;
        Ok(Self::existing(descriptor, self.shared.location.child(name), self.shared.writer))
    }

    /// Opens the directory `name`, after making it with mode 0700 if nothing stands there; returns
    /// whether it was made.
    ///
    /// # Errors
    ///
    /// [`TargetError::Occupied`] if something else than a directory stands there.
    pub fn make_child(&self, name: &[u8]) -> Result<(Self, bool), TargetError> {
        self.check(name)?;
        match mkdirat(self, name, Mode::RWXU) {
            Ok(()) => Ok((self.adopt_new_child(name)?, true)),
            Err(Errno::EXIST) => match self.open_child(name) {
                Err(TargetError::NotADirectory { path }) => Err(TargetError::Occupied { path }),
                opened => opened.map(|child| (child, false)),
            },
            Err(error) => Err(self.error("create", name, error)),
        }
    }

    fn adopt_new_child(&self, name: &[u8]) -> Result<Self, TargetError> {
        let child = self.open_child(name)?;
        if self.gives_acls() {
            // What it inherited nobody asked for, and would pass on.
            let object = Object::Open(child.as_fd());
            for acl in [ACL_DEFAULT, ACL_ACCESS] {
                object.remove_xattr(acl).map_err(|error| self.error("create", name, error))?;
            }
        }
        child.shared.bare.store(true, Ordering::Relaxed);
        let _known = child.shared.default_acl.set(false);
        Ok(child)
    }

    /// The state of what stands under `name`, or `None` if nothing does. A link is not followed.
    ///
    /// # Errors
    ///
    /// What `statx` reports.
    pub fn status(&self, name: &[u8]) -> Result<Option<Status>, TargetError> {
        self.check(name)?;
        match status_at(self, name) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("examine", name, error)),
        }
    }

    /// The target of the symbolic link `name`.
    ///
    /// # Errors
    ///
    /// [`TargetError::WrongKind`] if it is none.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, TargetError> {
        self.check(name)?;
        match readlinkat(self, name, Vec::new()) {
            Ok(target) => Ok(target.into_bytes()),
            Err(Errno::INVAL) => Err(self.wrong_kind(name, "symbolic link")),
            Err(error) => Err(self.error("read", name, error)),
        }
    }

    /// Opens the regular file `name` for reading, without waiting, and returns its state.
    ///
    /// # Errors
    ///
    /// [`TargetError::WrongKind`] for a link, a FIFO and all else that is no regular file.
    pub fn open_file_for_reading(&self, name: &[u8]) -> Result<(File, Status), TargetError> {
        self.check(name)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(self, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
                return Err(self.wrong_kind(name, "regular file"));
            }
            Err(error) => return Err(self.error("open", name, error)),
        };
        let status = status_of(&file).map_err(|error| self.error("examine", name, error))?;
        if status.kind == FileKind::File {
            Ok((file, status))
        } else {
            Err(self.wrong_kind(name, "regular file"))
        }
    }

    /// The names in the directory, sorted by bytes.
    ///
    /// # Errors
    ///
    /// What opening and `getdents` report.
    pub fn names(&self) -> Result<Vec<Box<[u8]>>, TargetError> {
        // Opened anew: the position in the directory must not be shared between threads.
        let opened = openat(self, c".", DIRECTORY_FLAGS, Mode::empty());
        let opened = opened.map_err(|error| self.error("list", b"", error))?;
        let listed = list(&opened).map_err(|error| self.error("list", b"", error))?;
        Ok(listed.into_iter().map(|entry| entry.name).collect())
    }

    /// Lets the owner work in a directory that stood there without that permission, such as one
    /// restored read-only before; returns whether that was needed. [`TargetDirectory::apply`] sets
    /// the wanted mode later.
    ///
    /// # Errors
    ///
    /// What `fchmod` reports.
    pub fn make_writable(&self) -> Result<bool, TargetError> {
        let writer = self.shared.writer;
        if writer.is_root() || self.shared.bare.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let status = status_of(self).map_err(|error| self.error("examine", b"", error))?;
        let needed = status.uid == writer.uid && status.mode & 0o700 != 0o700;
        if needed {
            let object = Object::Open(self.as_fd());
            let set = object.set_mode(status.mode | 0o700);
            set.map_err(|error| self.error("change the mode of", b"", error))?;
        }
        Ok(needed)
    }

    /// Gives the directory its owner, extended attributes, mode and time, and returns what could
    /// not be kept. The last thing to do with a directory: whatever is made in it later changes
    /// its time again.
    ///
    /// # Errors
    ///
    /// Only if its state cannot be read.
    pub fn apply(&self, wanted: &WantedMetadata<'_>) -> Result<Vec<NotKept>, TargetError> {
        let bare = self.shared.bare.swap(false, Ordering::Relaxed);
        let subject = Subject { bare, ..self.subject(Object::Open(self.as_fd())) };
        let applied = subject.apply(wanted).map_err(|error| self.error("examine", b"", error))?;
        Ok(applied.not_kept)
    }

    /// As [`TargetDirectory::apply`], for the open `file`, which stood under `name` and is kept.
    ///
    /// All names of the file share what is set.
    ///
    /// # Errors
    ///
    /// Only if its state cannot be read.
    pub fn apply_to_file(
        &self,
        name: &[u8],
        file: impl AsFd,
        wanted: &WantedMetadata<'_>,
    ) -> Result<Vec<NotKept>, TargetError> {
        let subject = self.subject(Object::Open(file.as_fd()));
        let applied = subject.apply(wanted).map_err(|error| self.error("examine", name, error))?;
        Ok(applied.not_kept)
    }

    /// `object`, about which nothing is known.
    pub(super) fn subject<'a>(&self, object: Object<'a>) -> Subject<'a> {
        let as_root = self.shared.writer.is_root();
        Subject { object, held: None, is_link: false, bare: false, as_root }
    }

    pub(super) fn writer(&self) -> Writer {
        self.shared.writer
    }

    pub(super) fn makes_unnamed_files(&self) -> bool {
        self.shared.unnamed_files.load(Ordering::Relaxed)
    }

    pub(super) fn give_up_unnamed_files(&self) {
        self.shared.unnamed_files.store(false, Ordering::Relaxed);
    }

    /// Notes that this run made the directory, and so took away whatever ACL it would pass on: it need
    /// not be asked for.
    pub fn gives_no_acls(&self) {
        let _known = self.shared.default_acl.set(false);
    }

    /// Whether new objects in the directory get an ACL that nobody asked for.
    pub(super) fn gives_acls(&self) -> bool {
        *self.shared.default_acl.get_or_init(|| has_default_acl(self.as_fd()))
    }

    pub(super) fn check(&self, name: &[u8]) -> Result<(), TargetError> {
        if is_name(name) { Ok(()) } else { Err(TargetError::UnsafePath { path: self.text(name) }) }
    }

    pub(super) fn text(&self, name: &[u8]) -> String {
        self.shared.location.text(name)
    }

    pub(super) fn error(
        &self,
        doing: &'static str,
        name: &[u8],
        error: impl Into<io::Error>,
    ) -> TargetError {
        self.shared.location.error(doing, name, error)
    }

    fn wrong_kind(&self, name: &[u8], wanted: &'static str) -> TargetError {
        TargetError::WrongKind { path: self.text(name), wanted }
    }

    fn open_error(&self, name: &[u8], error: Errno) -> TargetError {
        if not_a_directory(error) {
            TargetError::NotADirectory { path: self.text(name) }
        } else {
            self.error("open", name, error)
        }
    }
}

impl AsFd for TargetDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.descriptor.as_fd()
    }
}
