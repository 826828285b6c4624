//! Fetching files that are read soon, where the system does not have them in memory.
//!
//! Invariant: it only hints. What is wrong with a file is told by whoever reads it.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::metadata::open_source_file;
use crate::os::Status;

/// Has the system fetch these files, each named by its directory, its name and what was listed of it:
/// all at once, unless the first of them is in memory, as the others will be then.
///
/// They are asked for in the order of their inodes, which on most file systems is about that of their
/// places on a disk.
pub fn fetch_ahead<'f>(files: impl Iterator<Item = (BorrowedFd<'f>, &'f [u8], &'f Status)>) {
    let mut files: Vec<_> = files.collect();
    files.sort_by_key(|(_, _, expected)| expected.ino);
    let mut is_first = true;
    for (directory, name, expected) in files {
        let Some(length) = NonZeroU64::new(expected.size_bytes) else { continue };
        let Ok((file, _)) = open_source_file(directory, name, expected) else { continue };
        if is_first && is_in_memory(&file) {
            return;
        }
        is_first = false;
        let _hint = fadvise(&file, 0, Some(length), Advice::WillNeed);
    }
}

/// Whether the first byte can be read without waiting for the disk; true where nobody can tell.
fn is_in_memory(file: &File) -> bool {
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    preadv2(file, &mut buffers, 0, ReadWriteFlags::NOWAIT) != Err(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::status_at;

    #[test]
    fn files_that_have_gone_or_become_something_else_are_passed_over() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = File::open(place.path()).expect("opens");
        let names = ["gone", "link", "empty", "there"];
        for name in names {
            std::fs::write(place.path().join(name), if name == "empty" { "" } else { "bytes" })
                .expect("writes");
        }
        let listed = names.map(|name| status_at(&directory, name.as_bytes()).expect("is there"));
        for name in ["gone", "link"] {
            std::fs::remove_file(place.path().join(name)).expect("removes");
        }
        std::os::unix::fs::symlink("there", place.path().join("link")).expect("links");
        let files = names.iter().zip(&listed);
        fetch_ahead(files.map(|(name, status)| (directory.as_fd(), name.as_bytes(), status)));
        let there = File::open(place.path().join("there")).expect("opens");
        assert!(is_in_memory(&there), "it has just been written");
    }
}
