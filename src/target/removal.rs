//! Removing what stands in a target, whole trees included.
//!
//! Invariant: only names in directories that were reached from the target are removed, links are
//! removed and not followed, and no mounted file system is entered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, ResolveFlags, fstat, openat, openat2, unlinkat};
use rustix::io::Errno;

use super::directory::{DIRECTORY_FLAGS, TargetDirectory, not_a_directory};
use super::error::TargetError;
use crate::base::path::join;
use crate::os::{FileIdentity, FileKind, list, status_of};

// Directories on the way down that stay open. Deeper ones are found again through `..`, as there
// may be more levels than a process may have descriptors.
const OPEN_LEVELS_MAX: usize = 64;

/// A directory whose content is being removed.
struct Level {
    /// Its name in the level above.
    name: Box<[u8]>,
    identity: FileIdentity,
    /// Closed while a much deeper level is worked on.
    descriptor: Option<OwnedFd>,
    /// Directories in it that are still to be removed.
    rest: Vec<Box<[u8]>>,
}

impl TargetDirectory {
    /// Removes what stands under `name`, with all it holds; nothing there is no error.
    ///
    /// # Errors
    ///
    /// [`TargetError::MountPoint`] where another file system is mounted; what lies beside it may be
    /// gone by then. Otherwise what the kernel reports, for the path it reports it of.
    pub fn remove(&self, name: &[u8]) -> Result<(), TargetError> {
        self.check(name)?;
        match unlinkat(self, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Removal { top: self, levels: Vec::new() }.run(name),
            Err(error) => Err(self.removal_error(name, error)),
        }
    }

    fn removal_error(&self, path: &[u8], error: Errno) -> TargetError {
        match error {
            Errno::BUSY | Errno::XDEV => TargetError::MountPoint { path: self.text(path) },
            error => self.error("remove", path, error),
        }
    }
}

struct Removal<'a> {
    top: &'a TargetDirectory,
    /// From the top down; the last one is open.
    levels: Vec<Level>,
}

impl Removal<'_> {
    /// Removes the directory `name` of the top.
    fn run(&mut self, name: &[u8]) -> Result<(), TargetError> {
        self.enter_or_remove(name.into())?;
        while let Some(level) = self.levels.last_mut() {
            match level.rest.pop() {
                Some(name) => self.enter_or_remove(name)?,
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Removes `name` of the deepest level if that is a matter of one call, else goes into it.
    fn enter_or_remove(&mut self, name: Box<[u8]>) -> Result<(), TargetError> {
        let removed = match self.open(&name) {
            Ok(opened) => return self.enter(name, opened),
            // No directory any more: as good as any other object, and not followed.
            Err(error) if not_a_directory(error) => self.unlink(&name, AtFlags::empty()),
            // One that may not be read may still be empty.
            Err(error @ (Errno::ACCESS | Errno::PERM)) => {
                self.unlink(&name, AtFlags::REMOVEDIR).map_err(|_| error)
            }
            Err(error) => Err(error),
        };
        self.check(&name, removed)
    }

    /// Removes what is no directory in `opened`, and remembers what is.
    fn enter(&mut self, name: Box<[u8]>, opened: OwnedFd) -> Result<(), TargetError> {
        let failed = |error| self.top.error("list", &self.path(&name), error);
        let identity = status_of(&opened).map_err(failed)?.identity();
        let mut rest = Vec::new();
        for entry in list(&opened).map_err(failed)? {
            if entry.kind == Some(FileKind::Directory) {
                rest.push(entry.name);
                continue;
            }
            match unlinkat(&opened, &*entry.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => rest.push(entry.name),
                Err(error) => {
                    let path = join(&self.path(&name), &entry.name);
                    return Err(self.top.removal_error(&path, error));
                }
            }
        }
        if let Some(far) = self.levels.iter_mut().rev().nth(OPEN_LEVELS_MAX) {
            far.descriptor = None;
        }
        self.levels.push(Level { name, identity, descriptor: Some(opened), rest });
        Ok(())
    }

    /// Leaves the deepest level, now empty, for the one above, and removes it there.
    fn leave(&mut self) -> Result<(), TargetError> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        if self.levels.last().is_some_and(|above| above.descriptor.is_none()) {
            self.reopen(&left)?;
        }
        let removed = self.unlink(&left.name, AtFlags::REMOVEDIR);
        self.check(&left.name, removed)
    }

    /// Opens the deepest level again, through the one below that was just left.
    fn reopen(&mut self, left: &Level) -> Result<(), TargetError> {
        let parent = left.descriptor.as_ref().ok_or(Errno::BADF);
        let parent = parent.and_then(|below| openat(below, c"..", DIRECTORY_FLAGS, Mode::empty()));
        let parent = parent.map_err(|error| self.error(&left.name, error))?;
        let status = status_of(&parent);
        let path = self.path(&left.name);
        let status = status.map_err(|error| self.top.error("examine", &path, error))?;
        match self.levels.last_mut() {
            Some(above) if above.identity == status.identity() => {
                above.descriptor = Some(parent);
                Ok(())
            }
            _ => Err(TargetError::Replaced { path: self.top.text(&path) }),
        }
    }

    fn open(&self, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let above = self.deepest()?;
        match openat2(above, name, DIRECTORY_FLAGS, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => open_on_device_of(above, name),
            opened => opened,
        }
    }

    fn unlink(&self, name: &[u8], flags: AtFlags) -> rustix::io::Result<()> {
        unlinkat(self.deepest()?, name, flags)
    }

    fn deepest(&self) -> rustix::io::Result<BorrowedFd<'_>> {
        match self.levels.last() {
            None => Ok(self.top.as_fd()),
            Some(level) => level.descriptor.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF),
        }
    }

    /// Takes an absent `name` of the deepest level for removed.
    fn check(&self, name: &[u8], removed: rustix::io::Result<()>) -> Result<(), TargetError> {
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error(name, error)),
        }
    }

    fn error(&self, name: &[u8], error: Errno) -> TargetError {
        self.top.removal_error(&self.path(name), error)
    }

    /// Where `name` of the deepest level is, from the top.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let names: Vec<&[u8]> =
            self.levels.iter().map(|level| &*level.name).chain([name]).collect();
        names.join(&b'/')
    }
}

/// For kernels without `openat2`: another device is taken for a mounted file system.
fn open_on_device_of(above: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let opened = openat(above, name, DIRECTORY_FLAGS, Mode::empty())?;
    if fstat(above)?.st_dev == fstat(&opened)?.st_dev { Ok(opened) } else { Err(Errno::XDEV) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TargetRoot;
    use rustix::fs::symlinkat;
    use std::fs;

    #[test]
    fn trees_deeper_than_descriptors_go_and_their_siblings_stay() {
        let folder = tempfile::tempdir().unwrap();
        let top = TargetRoot::open(folder.path()).unwrap().open_directory(b"").unwrap();
        let (mut deep, _) = top.make_child(b"gone").unwrap();
        for n in 0..3 * OPEN_LEVELS_MAX {
            for name in [&b"a"[..], b"z"] {
                let (beside, _) = deep.make_child(name).unwrap();
                symlinkat(c"/", &beside, c"link").unwrap();
            }
            deep = deep.make_child(if n % 2 == 0 { b"m" } else { b"n" }).unwrap().0;
        }
        top.make_child(b"kept").unwrap();
        top.remove(b"gone").unwrap();
        top.remove(b"gone").unwrap();
        assert_eq!(top.names().unwrap(), vec![b"kept"[..].into()]);
    }

    #[test]
    fn other_devices_are_not_entered_without_openat2_either() {
        let root = fs::File::open("/").unwrap();
        let same = fs::File::open("/proc").map(|proc| fstat(proc).unwrap().st_dev);
        if same.is_ok_and(|dev| dev != fstat(&root).unwrap().st_dev) {
            let opened = open_on_device_of(root.as_fd(), b"proc");
            assert_eq!(opened.unwrap_err(), Errno::XDEV);
        }
    }
}
