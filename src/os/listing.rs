//! The names in a directory.
//!
//! Invariant: `.` and `..` are never among them.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{RawDir, SeekFrom, seek};

use super::status::FileKind;

// Room for some hundred names: one call for most directories.
const BUFFER_BYTES: usize = 32 << 10;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name: any bytes but `/` and NUL.
    pub name: Box<[u8]>,
    /// What stands there, where the file system says so for free.
    pub kind: Option<FileKind>,
    /// Its inode number; at a mount point, the one below the mount.
    pub ino: u64,
}

/// The names in an open directory, sorted by bytes.
///
/// Reads from the beginning, wherever the descriptor's position was; two threads must not list
/// through one descriptor at once, as they would share that position.
///
/// # Errors
///
/// What `getdents` reports.
pub fn list(directory: impl AsFd) -> io::Result<Vec<Listed>> {
    let directory = directory.as_fd();
    seek(directory, SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let kind = FileKind::from_file_type(entry.file_type());
            listed.push(Listed { name: name.into(), kind, ino: entry.ino() });
        }
    }
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_are_sorted_by_bytes_and_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        assert_eq!(list(&directory).unwrap(), vec![]);
        let names: [&[u8]; 4] = [b"\x01", b"B", b"a\nb", b"\xff\xfe"];
        for name in names.iter().rev() {
            File::create_new(folder.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
        }
        for _ in 0..2 {
            let listed = list(&directory).unwrap();
            assert!(listed.iter().map(|entry| &*entry.name).eq(names));
            assert!(listed.iter().all(|entry| matches!(entry.kind, None | Some(FileKind::File))));
        }
    }

    #[test]
    fn large_directories_are_listed_whole() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..3000 {
            File::create_new(folder.path().join(format!("{n:060}"))).unwrap();
        }
        assert_eq!(list(File::open(folder.path()).unwrap()).unwrap().len(), 3000);
    }
}
