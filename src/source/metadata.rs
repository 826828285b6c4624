//! Opens what a backup reads, and tells file systems that hold no files.
//!
//! Invariant: a file is read only if it still is the regular file that was listed, and opening
//! never waits, whatever has been put in its place.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;

use crate::os::{FileKind, Status, status_of};

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The name is gone.
    #[error("vanished: {name}")]
    Vanished {
        /// The name in its directory.
        name: String,
    },
    /// Something else than the listed file stands there now.
    #[error("replaced by something else: {name}")]
    Replaced {
        /// The name in its directory.
        name: String,
    },
    /// Somebody holds a lease on the file.
    #[error("in use: {name}")]
    Busy {
        /// The name in its directory.
        name: String,
    },
    /// The file may not be read.
    #[error("not permitted to read {name}")]
    Denied {
        /// The name in its directory.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file could not be opened.
    #[error("cannot open {name}")]
    Io {
        /// The name in its directory.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Opens the regular file `name` in `directory` for reading, and returns its state at that moment.
///
/// Leaves the time of last access alone where the kernel permits. `expected` is what was listed.
///
/// # Errors
///
/// [`SourceError::Replaced`] unless the same regular file still stands there.
pub fn open_source_file(
    directory: impl AsFd,
    name: &[u8],
    expected: &Status,
) -> Result<(File, Status), SourceError> {
    let text = || String::from_utf8_lossy(name).into_owned();
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| openat(directory.as_fd(), name, flags, Mode::empty());
    let opened = match open(flags | OFlags::NOATIME) {
        // Only the owner and root may ask for that.
        Err(Errno::PERM) => open(flags),
        opened => opened,
    };
    let file = match opened {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Err(SourceError::Vanished { name: text() }),
        // What a symbolic link, a socket and an absent device say.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
            return Err(SourceError::Replaced { name: text() });
        }
        Err(Errno::AGAIN) => return Err(SourceError::Busy { name: text() }),
        Err(error @ (Errno::PERM | Errno::ACCESS)) => {
            return Err(SourceError::Denied { name: text(), source: error.into() });
        }
        Err(error) => return Err(SourceError::Io { name: text(), source: error.into() }),
    };
    let status = status_of(&file).map_err(|source| SourceError::Io { name: text(), source })?;
    if status.kind == FileKind::File && status.is_same_object(expected) {
        Ok((file, status))
    } else {
        Err(SourceError::Replaced { name: text() })
    }
}

// `f_type` of file systems whose files are views of the kernel's state (linux/magic.h and the
// sources of each).
const PSEUDO_FILE_SYSTEMS: [u32; 25] = [
    0x0000_0187, // autofs
    0x0000_1cd1, // devpts
    0x0000_9fa0, // proc
    0x0027_e0eb, // cgroup
    0x0765_5821, // resctrl
    0x1980_0202, // mqueue
    0x4249_4e4d, // binfmt_misc
    0x4341_5d53, // smackfs
    0x6165_676c, // pstore
    0x6265_6570, // configfs
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x6573_5543, // fusectl
    0x6759_6969, // rpc_pipefs
    0x6c6f_6f70, // binderfs
    0x6e66_7364, // nfsd
    0x6e73_6673, // nsfs
    0x7363_6673, // securityfs
    0x7472_6163, // tracefs
    0x9584_58f6, // hugetlbfs
    0xabba_1974, // xenfs
    0xcafe_4a11, // bpf
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
];

/// Whether the object lies on a file system such as proc, whose files are no one's data.
///
/// File systems in memory that keep what users put there (tmpfs, devtmpfs, ramfs) are not.
///
/// # Errors
///
/// What `fstatfs` reports.
pub fn is_pseudo_filesystem(object: impl AsFd) -> io::Result<bool> {
    Ok(PSEUDO_FILE_SYSTEMS.contains(&file_system(object)?))
}

fn file_system(object: impl AsFd) -> io::Result<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is 32 bits wide in a word whose width and sign differ by machine"
    )]
    let number = fstatfs(object)?.f_type as u32;
    Ok(number)
}

// `f_type` of file systems that change the times of a directory whenever a name in it comes or goes
// (linux/magic.h and the sources of each).
const TIMED_FILE_SYSTEMS: [u32; 8] = [
    0x0000_ef53, // ext2, ext3, ext4
    0x0102_1994, // tmpfs
    0x2fc1_2fc1, // zfs
    0x5846_5342, // xfs
    0x794c_7630, // overlayfs
    0x9123_683e, // btrfs
    0xca45_1a4e, // bcachefs
    0xf2f5_2010, // f2fs
];

/// Whether the directory lies on a file system where its times tell that a name has come or gone.
///
/// Those whose server or driver may be late, or forgets times, are not.
///
/// # Errors
///
/// What `fstatfs` reports.
pub fn keeps_directory_times(object: impl AsFd) -> io::Result<bool> {
    Ok(TIMED_FILE_SYSTEMS.contains(&file_system(object)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::status_at;
    use rustix::fs::{CWD, mkfifoat, symlinkat};
    use std::fs;
    use std::io::Read;

    #[test]
    fn the_listed_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        fs::write(folder.path().join("a\u{7}"), b"content").unwrap();
        let listed = status_at(&directory, b"a\x07").unwrap();
        let (mut file, status) = open_source_file(&directory, b"a\x07", &listed).unwrap();
        assert_eq!(status, listed);
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }

    #[test]
    fn whatever_is_put_in_its_place_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"").unwrap();
        let listed = status_at(&directory, b"file").unwrap();
        let open = || open_source_file(&directory, b"file", &listed);
        fs::rename(&path, folder.path().join("kept")).unwrap();
        assert!(matches!(open(), Err(SourceError::Vanished { .. })));
        mkfifoat(CWD, &path, Mode::RWXU).unwrap();
        assert!(matches!(open(), Err(SourceError::Replaced { .. })));
        fs::remove_file(&path).unwrap();
        // To the very file that was listed.
        symlinkat(c"kept", &directory, c"file").unwrap();
        assert!(matches!(open(), Err(SourceError::Replaced { .. })));
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"another").unwrap();
        assert!(matches!(open(), Err(SourceError::Replaced { .. })));
        fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(open(), Err(SourceError::Replaced { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(), Err(SourceError::Replaced { .. })));
    }

    #[test]
    fn proc_is_pseudo_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_pseudo_filesystem(File::open(folder.path()).unwrap()).unwrap());
        if let Ok(proc) = File::open("/proc/self") {
            assert!(is_pseudo_filesystem(proc).unwrap());
        }
        assert!(PSEUDO_FILE_SYSTEMS.is_sorted() && TIMED_FILE_SYSTEMS.is_sorted());
    }
}
