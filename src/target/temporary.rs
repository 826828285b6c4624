//! Temporary names, and giving what was made under one its own name.
//!
//! Invariant: a temporary name that was not given up is unlinked, whatever fails.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::directory::TargetDirectory;
use super::error::TargetError;

/// What becomes of something that stands under the name that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the call fails with [`TargetError::Occupied`].
    Never,
    /// It is replaced in one step, unless it is a directory.
    Replace,
}

/// A name that is unlinked when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: TargetDirectory,
    /// The name it has.
    current: String,
    /// The name that is wanted.
    wanted: Box<[u8]>,
    given_up: bool,
}

// Names that are tried before somebody must be taking them on purpose.
const ATTEMPTS: u32 = 100;

impl Temporary {
    /// Makes something with `make` under a new name in `directory`, to stand under `name` later,
    /// which must be a safe one.
    pub(super) fn make<T>(
        directory: &TargetDirectory,
        name: &[u8],
        make: impl Fn(&str) -> rustix::io::Result<T>,
    ) -> Result<(Self, T), TargetError> {
        directory.check(name)?;
        let mut attempt = 0;
        loop {
            let current = format!(".runup-{:016x}.tmp", number(attempt > 0));
            match make(&current) {
                Ok(value) => {
                    let (directory, wanted) = (directory.clone(), name.into());
                    return Ok((Self { directory, current, wanted, given_up: false }, value));
                }
                Err(Errno::EXIST) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(directory.error("create", name, error)),
            }
        }
    }

    pub(super) fn current_name(&self) -> &[u8] {
        self.current.as_bytes()
    }

    /// The path that is wanted, for messages.
    pub(super) fn wanted_path(&self) -> String {
        self.directory.text(&self.wanted)
    }

    pub(super) fn directory(&self) -> &TargetDirectory {
        &self.directory
    }

    /// Renames to the name that is wanted.
    pub(super) fn publish(mut self, overwrite: Overwrite) -> Result<(), TargetError> {
        self.rename(overwrite)?;
        self.given_up = true;
        Ok(())
    }

    /// As [`Temporary::publish`], where another link to the same object may already have the name:
    /// then a rename does nothing, and the temporary name must still go.
    pub(super) fn publish_link(self, overwrite: Overwrite) -> Result<(), TargetError> {
        self.rename(overwrite)
    }

    /// The error for `error` of a call that was `doing` something to what is made.
    pub(super) fn error(
        &self,
        doing: &'static str,
        error: impl Into<std::io::Error>,
    ) -> TargetError {
        self.directory.error(doing, &self.wanted, error)
    }

    fn rename(&self, overwrite: Overwrite) -> Result<(), TargetError> {
        let (fd, from, to) = (&self.directory, &self.current, &*self.wanted);
        let renamed = match overwrite {
            Overwrite::Replace => renameat(fd, from, fd, to),
            Overwrite::Never => match renameat_with(fd, from, fd, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    return self.rename_without_flag();
                }
                renamed => renamed,
            },
        };
        renamed.map_err(|error| self.rename_error(error))
    }

    /// For file systems that do not know "do not replace" (NFS, some FUSE).
    fn rename_without_flag(&self) -> Result<(), TargetError> {
        let (fd, from, to) = (&self.directory, &self.current, &*self.wanted);
        match linkat(fd, from, fd, to, AtFlags::empty()) {
            Ok(()) => unlinkat(fd, from, AtFlags::empty()),
            Err(Errno::EXIST) => Err(Errno::EXIST),
            // Nor links. A look beforehand is then the best there is.
            Err(_) if fd.status(to)?.is_some() => Err(Errno::EXIST),
            Err(_) => renameat(fd, from, fd, to),
        }
        .map_err(|error| self.rename_error(error))
    }

    fn rename_error(&self, error: Errno) -> TargetError {
        if matches!(error, Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) {
            TargetError::Occupied { path: self.wanted_path() }
        } else {
            self.error("create", error)
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.given_up {
            // There is no one to tell, and the next run makes other names.
            let _unlinked = unlinkat(&self.directory, &self.current, AtFlags::empty());
        }
    }
}

/// A number that no other temporary name has, most likely. Random once per process, as a call for
/// each file would cost; random again if somebody seems to guess.
fn number(guessed: bool) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if guessed || NEXT.load(Ordering::Relaxed) == 0 {
        let mut bytes = [0; 8];
        // Without random bytes the numbers still differ, and O_EXCL does the rest.
        let _filled = getrandom(&mut bytes, GetRandomFlags::empty());
        NEXT.fetch_add(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
    // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    // generators, 2014), which maps no two inputs to one output.
    let mut number = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TargetRoot;
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn numbers_do_not_repeat() {
        let numbers: BTreeSet<u64> = (0..10_000).map(|n| number(n % 100 == 0)).collect();
        assert_eq!(numbers.len(), 10_000);
    }

    #[test]
    fn taken_names_are_passed_over_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let directory = TargetRoot::open(folder.path()).unwrap().open_directory(b"").unwrap();
        let tries = std::cell::Cell::new(0);
        let (temporary, ()) = Temporary::make(&directory, b"name", |_| {
            tries.set(tries.get() + 1);
            if tries.get() < 4 { Err(Errno::EXIST) } else { Ok(()) }
        })
        .unwrap();
        assert_eq!((tries.get(), temporary.current_name().len()), (4, 27));
        let taken = Temporary::make(&directory, b"name", |_| Err::<(), _>(Errno::EXIST));
        assert!(matches!(taken, Err(TargetError::Io { .. })));
    }

    #[test]
    fn names_are_given_without_the_flag_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let directory = TargetRoot::open(folder.path()).unwrap().open_directory(b"").unwrap();
        let make = |content: &str| {
            let write = |name: &str| fs::write(folder.path().join(name), content);
            let written = |name: &str| write(name).map_err(|_| Errno::IO);
            Temporary::make(&directory, b"name", written).unwrap().0
        };
        make("first").rename_without_flag().unwrap();
        let second = make("second").rename_without_flag();
        assert!(matches!(second, Err(TargetError::Occupied { .. })));
        assert_eq!(fs::read(folder.path().join("name")).unwrap(), b"first");
        assert_eq!(directory.names().unwrap(), vec![b"name"[..].into()]);
    }
}
