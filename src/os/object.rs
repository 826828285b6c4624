//! One object of a file system, held by a descriptor, and what can be set on it.
//!
//! Invariant: what is changed is the object that the descriptor holds, whatever its name now is.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod,
    fchown, futimens, utimensat,
};
use rustix::io::Errno;

use super::status::{Status, status_of};
use crate::base::time::FileTime;

/// A borrowed descriptor, and how it may be used.
#[derive(Debug, Clone, Copy)]
pub enum Object<'fd> {
    /// Opened for reading or writing: a regular file or a directory.
    Open(BorrowedFd<'fd>),
    /// Opened with `O_PATH`: anything, a symbolic link itself among them.
    Path(BorrowedFd<'fd>),
}

impl<'fd> Object<'fd> {
    /// The descriptor.
    pub fn descriptor(self) -> BorrowedFd<'fd> {
        match self {
            Self::Open(fd) | Self::Path(fd) => fd,
        }
    }

    /// The state of the object.
    ///
    /// # Errors
    ///
    /// What `statx` reports.
    pub fn status(self) -> io::Result<Status> {
        status_of(self.descriptor())
    }

    /// Gives the object to another owner, group, or both.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for the number `u32::MAX`, which Linux takes for "leave it"; else what
    /// `fchown` reports.
    pub fn set_owner(self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(Errno::INVAL.into());
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        match self {
            Self::Open(fd) => fchown(fd, uid, gid)?,
            Self::Path(fd) => chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)?,
        }
        Ok(())
    }

    /// Sets the permission bits, at most `0o7777`. A symbolic link has none to set.
    ///
    /// # Errors
    ///
    /// What `fchmod` reports.
    pub fn set_mode(self, mode: u16) -> io::Result<()> {
        let mode = Mode::from_raw_mode(u32::from(mode));
        match self {
            Self::Open(fd) => fchmod(fd, mode)?,
            Self::Path(fd) => chmodat(CWD, proc_path(fd), mode, AtFlags::empty())?,
        }
        Ok(())
    }

    /// Sets the time of last modification and leaves the time of last access.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the nanoseconds are no part of a second; else what `utimensat` reports.
    pub fn set_mtime(self, mtime: FileTime) -> io::Result<()> {
        // Larger values have meanings of their own, such as "now".
        if mtime.nanoseconds >= FileTime::NANOSECONDS_PER_SECOND {
            return Err(Errno::INVAL.into());
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: mtime.seconds,
                tv_nsec: mtime.nanoseconds.into(),
            },
        };
        match self {
            Self::Open(fd) => futimens(fd, &times)?,
            Self::Path(fd) => match utimensat(fd, c"", &times, AtFlags::EMPTY_PATH) {
                // Before Linux 5.8.
                Err(Errno::INVAL) => utimensat(CWD, proc_path(fd), &times, AtFlags::empty())?,
                result => result?,
            },
        }
        Ok(())
    }
}

/// The path that leads the kernel to what `descriptor` holds, and not through it if that is a
/// symbolic link.
pub(crate) fn proc_path(descriptor: impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::FileKind;
    use rustix::fs::{OFlags, open, symlinkat};
    use std::fs::File;

    #[test]
    fn a_link_is_changed_and_not_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let canary = folder.path().join("canary");
        std::fs::write(&canary, b"").unwrap();
        let before = status_of(File::open(&canary).unwrap()).unwrap();
        symlinkat(c"canary", &directory, c"link").unwrap();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = open(folder.path().join("link"), flags, Mode::empty()).unwrap();
        let object = Object::Path(link.as_fd());
        let mtime = FileTime { seconds: -1, nanoseconds: 5 };
        object.set_mtime(mtime).unwrap();
        assert!(object.set_mode(0o600).is_err());
        let status = object.status().unwrap();
        assert_eq!((status.kind, status.mtime), (FileKind::Symlink, mtime));
        assert_eq!(status_of(File::open(&canary).unwrap()).unwrap(), before);
    }

    #[test]
    fn numbers_with_special_meanings_are_refused() {
        let file = tempfile::tempfile().unwrap();
        let object = Object::Open(file.as_fd());
        for (uid, gid) in [(Some(u32::MAX), None), (None, Some(u32::MAX))] {
            let error = object.set_owner(uid, gid).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        for nanoseconds in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
            assert!(object.set_mtime(FileTime { seconds: 0, nanoseconds }).is_err());
        }
    }
}
