//! What `statx` says about an object, reduced to what backups ask.
//!
//! Invariant: a symbolic link is described itself, never what it points to.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, makedev, statx};

use crate::base::time::FileTime;

/// What an object of a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The kind that the kernel means, or `None` if it did not say.
    pub fn from_file_type(file_type: FileType) -> Option<Self> {
        match file_type {
            FileType::RegularFile => Some(Self::File),
            FileType::Directory => Some(Self::Directory),
            FileType::Symlink => Some(Self::Symlink),
            FileType::Fifo => Some(Self::Fifo),
            FileType::Socket => Some(Self::Socket),
            FileType::CharacterDevice => Some(Self::CharDevice),
            FileType::BlockDevice => Some(Self::BlockDevice),
            FileType::Unknown => None,
        }
    }
}

/// What tells one object of this machine from every other, as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileIdentity {
    /// The device of the file system.
    pub dev: u64,
    /// The inode number on it.
    pub ino: u64,
}

/// The state of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky, at most `0o7777`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes of the content; for a symbolic link, of its target.
    pub size_bytes: u64,
    /// Time of the last change of the content.
    pub mtime: FileTime,
    /// Time of the last change of anything.
    pub ctime: FileTime,
    /// Inode number.
    pub ino: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Names that the object has.
    pub nlink: u32,
    /// Major number, for devices.
    pub rdev_major: u32,
    /// Minor number, for devices.
    pub rdev_minor: u32,
    /// Blocks of 512 bytes that are allocated.
    pub blocks: u64,
}

impl Status {
    /// What tells the object from every other.
    pub fn identity(&self) -> FileIdentity {
        FileIdentity { dev: self.dev, ino: self.ino }
    }

    /// Whether both describe one object of one kind.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.kind == other.kind
    }

    fn from_statx(statx: &Statx) -> io::Result<Self> {
        let kind = FileKind::from_file_type(FileType::from_raw_mode(u32::from(statx.stx_mode)));
        Ok(Self {
            kind: kind.ok_or(io::ErrorKind::Unsupported)?,
            mode: statx.stx_mode & 0o7777,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            size_bytes: statx.stx_size,
            mtime: file_time(&statx.stx_mtime),
            ctime: file_time(&statx.stx_ctime),
            ino: statx.stx_ino,
            dev: makedev(statx.stx_dev_major, statx.stx_dev_minor),
            nlink: statx.stx_nlink,
            rdev_major: statx.stx_rdev_major,
            rdev_minor: statx.stx_rdev_minor,
            blocks: statx.stx_blocks,
        })
    }
}

fn file_time(time: &StatxTimestamp) -> FileTime {
    FileTime { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}

// All that a plain stat gives but the access time, which would cost a network file system.
const MASK: StatxFlags = StatxFlags::BASIC_STATS.difference(StatxFlags::ATIME);

/// The state of what stands under `name` in `directory`; a symbolic link is not followed, an
/// automount point not mounted.
///
/// # Errors
///
/// What `statx` reports, `NotFound` above all.
pub fn status_at(directory: impl AsFd, name: &[u8]) -> io::Result<Status> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Status::from_statx(&statx(directory, name, flags, MASK)?)
}

/// The state of an open or `O_PATH` descriptor.
///
/// # Errors
///
/// What `statx` reports.
pub fn status_of(object: impl AsFd) -> io::Result<Status> {
    Status::from_statx(&statx(object, c"", AtFlags::EMPTY_PATH, MASK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, symlinkat};
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_status_agrees_with_the_standard_library() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        rustix::fs::chmodat(CWD, &path, Mode::from_raw_mode(0o4751), AtFlags::empty()).unwrap();
        let expected = std::fs::symlink_metadata(&path).unwrap();
        let status = status_at(&directory, b"file").unwrap();
        assert_eq!(status, status_of(File::open(&path).unwrap()).unwrap());
        assert_eq!((status.kind, status.mode), (FileKind::File, 0o4751));
        assert_eq!((status.uid, status.gid), (expected.uid(), expected.gid()));
        assert_eq!((status.dev, status.ino), (expected.dev(), expected.ino()));
        assert_eq!((status.size_bytes, status.nlink), (5, 1));
        assert_eq!(status.mtime.seconds, expected.mtime());
        assert_eq!(i64::from(status.mtime.nanoseconds), expected.mtime_nsec());
        assert_eq!(status.ctime.seconds, expected.ctime());
        assert_eq!(status.blocks, expected.blocks());
    }

    #[test]
    fn a_link_is_described_itself() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        symlinkat(c"nowhere", &directory, c"link").unwrap();
        let status = status_at(&directory, b"link").unwrap();
        assert_eq!((status.kind, status.size_bytes), (FileKind::Symlink, 7));
        let missing = status_at(&directory, b"nowhere").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(!status.is_same_object(&status_of(&directory).unwrap()));
    }
}
