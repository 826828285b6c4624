//! The files of the real directory that the kernel knows, and those that are open.
//!
//! Invariant: a file has one number, its own inode's, under however many names, for as long as the
//! kernel knows it; so locks and mappings are those of the file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// The number that the kernel gives to the root.
const ROOT: u64 = 1;

#[derive(Debug)]
struct Node {
    /// A descriptor for looking up only, which also keeps the inode from being used again.
    place: Arc<OwnedFd>,
    lookups: u64,
}

/// What the kernel knows.
#[derive(Debug)]
pub(super) struct Nodes {
    root: Arc<OwnedFd>,
    known: Mutex<HashMap<u64, Node>>,
    open: Mutex<HashMap<u64, Arc<Opened>>>,
}

/// Something that is open.
#[derive(Debug)]
pub(super) enum Opened {
    File(File),
    /// What a directory held when it was opened.
    Listing(Vec<(u64, rustix::fs::FileType, Vec<u8>)>),
}

impl Nodes {
    /// The files below a directory.
    pub(super) fn new(root: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Arc::new(openat(CWD, root, flags, Mode::empty())?);
        Ok(Self { root, known: Mutex::default(), open: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Node>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Opened>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file is.
    pub(super) fn place(&self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        if number == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.known().get(&number).map(|node| Arc::clone(&node.place)).ok_or(Errno::STALE)
    }

    /// Looks a name up, which the kernel then knows once more.
    pub(super) fn look_up(&self, parent: u64, name: &OsStr) -> Result<Stat, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = openat(self.place(parent)?, name, flags, Mode::empty())?;
        let stat = fstat(&place)?;
        let mut known = self.known();
        let node = Node { place: Arc::new(place), lookups: 0 };
        known.entry(stat.st_ino).or_insert(node).lookups += 1;
        Ok(stat)
    }

    /// The kernel has forgotten so many look-ups of a file.
    pub(super) fn forget(&self, number: u64, lookups: u64) {
        let mut known = self.known();
        let Some(node) = known.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups == 0 {
            known.remove(&number);
        }
    }

    /// Opens a file anew.
    pub(super) fn reopen(&self, number: u64, flags: OFlags) -> Result<File, Errno> {
        let place = self.place(number)?;
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        Ok(openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// Keeps something open; its number.
    pub(super) fn keep(&self, opened: Opened) -> u64 {
        let opened = Arc::new(opened);
        // Unique while it lives, as an address is.
        let number = Arc::as_ptr(&opened) as u64;
        self.open().insert(number, opened);
        number
    }

    pub(super) fn opened(&self, number: u64) -> Result<Arc<Opened>, Errno> {
        self.open().get(&number).cloned().ok_or(Errno::BADF)
    }

    pub(super) fn close(&self, number: u64) {
        self.open().remove(&number);
    }
}
