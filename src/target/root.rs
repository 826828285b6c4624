//! The directory that a checkout writes beneath.
//!
//! Invariant: paths are resolved by the kernel with links forbidden, or component by component.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags, access, openat, openat2};
use rustix::io::Errno;

use super::directory::{DIRECTORY_FLAGS, TargetDirectory, not_a_directory};
use super::error::TargetError;
use super::location::{Location, printable};
use crate::base::path::components;

// `PATH_MAX` less the NUL.
const PATH_BYTES_MAX: usize = 4095;

/// Who writes, as far as the kernel asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether an open file without a name can be given one.
    pub(super) links_descriptors: bool,
}

impl Writer {
    pub(super) fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        // Without /proc it takes a capability, or Linux 6.10.
        let links_descriptors = access(c"/proc/self/fd", Access::EXEC_OK).is_ok();
        Self { uid: uid.as_raw(), gid: gid.as_raw(), links_descriptors }
    }

    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// An opened restore target.
#[derive(Debug)]
pub struct TargetRoot {
    descriptor: OwnedFd,
    location: Arc<Location>,
    writer: Writer,
}

impl TargetRoot {
    /// Opens the directory at `path`, which must not itself be a symbolic link.
    ///
    /// The effective user and group of this moment decide what is tried later.
    ///
    /// # Errors
    ///
    /// [`TargetError::NotADirectory`] for a symbolic link and anything else that is no directory.
    pub fn open(path: &Path) -> Result<Self, TargetError> {
        let location = Location::root(path.as_os_str().as_bytes());
        // A trailing `/` or `/.` would make the kernel follow a link after all.
        let plain: PathBuf = path.components().collect();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = openat(CWD, &plain, flags, Mode::empty())
            .map_err(|error| open_error(&location, b"", error))?;
        Ok(Self { descriptor, location, writer: Writer::current() })
    }

    /// Opens the existing directory at `path` beneath the root; the empty path is the root itself.
    ///
    /// Paths of any length work. Empty components and `.` are skipped.
    ///
    /// # Errors
    ///
    /// [`TargetError::UnsafePath`] for an absolute path or `..`; [`TargetError::NotADirectory`] if
    /// a symbolic link or another object stands where a directory is needed.
    pub fn open_directory(&self, path: &[u8]) -> Result<TargetDirectory, TargetError> {
        let parts = components(path).filter(|_| !path.starts_with(b"/"));
        let Some(parts) = parts else {
            return Err(TargetError::UnsafePath { path: printable(path) });
        };
        let mut opened: Option<OwnedFd> = None;
        let mut at = 0;
        loop {
            let segment = segment(&parts[at..]);
            let through = at + segment.len();
            let path = if segment.is_empty() { b".".to_vec() } else { segment.join(&b'/') };
            let next = open_beneath(opened.as_ref().unwrap_or(&self.descriptor), &path);
            let next = next.map_err(|error| {
                open_error(&self.location, &parts[..through].join(&b'/'), error)
            })?;
            if through == parts.len() {
                let location = self.location.child(&parts.join(&b'/'));
                return Ok(TargetDirectory::existing(next, location, self.writer));
            }
            opened = Some(next);
            at = through;
        }
    }
}

/// As many of the first components as one system call takes.
fn segment<'a, 'b>(parts: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    let mut bytes = 0;
    let fitting = parts.iter().take_while(|part| {
        bytes += part.len() + 1;
        bytes <= PATH_BYTES_MAX
    });
    &parts[..fitting.count()]
}

fn open_beneath(directory: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(directory, path, DIRECTORY_FLAGS, Mode::empty(), resolve) {
        // An old kernel, a filter that does not know the call, or a rename that got in the way.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => open_by_component(directory, path),
        opened => opened,
    }
}

fn open_by_component(directory: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut names = path.split(|byte| *byte == b'/');
    let first = names.next().unwrap_or(b".");
    let open = |directory: &OwnedFd, name: &[u8]| {
        openat(directory.as_fd(), name, DIRECTORY_FLAGS, Mode::empty())
    };
    names.try_fold(open(directory, first)?, |opened, name| open(&opened, name))
}

fn open_error(location: &Location, path: &[u8], error: Errno) -> TargetError {
    if not_a_directory(error) {
        TargetError::NotADirectory { path: location.text(path) }
    } else {
        location.error("open", path, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::status_of;
    use rustix::fs::symlinkat;
    use std::fs;

    #[test]
    fn both_ways_to_open_agree() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        fs::write(folder.path().join("a/file"), b"").unwrap();
        symlinkat(c"b", CWD, folder.path().join("a/link")).unwrap();
        let root = TargetRoot::open(folder.path()).unwrap();
        for path in [&b"."[..], b"a", b"a/b", b"a/b/c"] {
            let kernel = open_beneath(&root.descriptor, path).unwrap();
            let steps = open_by_component(&root.descriptor, path).unwrap();
            assert_eq!(status_of(&kernel).unwrap(), status_of(&steps).unwrap());
        }
        for path in [&b"a/link"[..], b"a/link/c", b"a/file", b"a/file/x"] {
            assert!(not_a_directory(open_beneath(&root.descriptor, path).unwrap_err()));
            assert!(not_a_directory(open_by_component(&root.descriptor, path).unwrap_err()));
        }
        assert_eq!(open_by_component(&root.descriptor, b"a/x/y").unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn segments_fit_a_call_and_lose_nothing() {
        let name = [b'n'; 255];
        let parts: Vec<&[u8]> = vec![&name; 100];
        let mut rest = &parts[..];
        while !rest.is_empty() {
            let first = segment(rest);
            assert!(!first.is_empty() && first.join(&b'/').len() <= PATH_BYTES_MAX);
            rest = &rest[first.len()..];
        }
        assert_eq!(segment(&parts).len(), 15);
    }
}
