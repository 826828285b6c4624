//! Writing a stat index during a scan: appended to the one before, or anew once half of that is idle.
//!
//! Invariant: what was written before stays as it is until the binding names what replaces it, so a
//! scan that is killed costs nothing but its own work.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::record::{NewEntry, SeenDirectory, encode};
use super::{Binding, Bound, MAGIC, StatIndex, records_path};
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::os::{FileIdentity, status_of};

/// An index is written anew if it has more idle bytes than live ones, and this many more.
const IDLE_BYTES_MIN: u64 = 1 << 20;

/// Collects what a scan sees.
#[derive(Debug)]
pub struct StatIndexWriter {
    path: PathBuf,
    name: String,
    state: Mutex<State>,
    /// Whether records of the earlier scan stand in the same file.
    is_appended: bool,
    live: AtomicU64,
    scanned: FileTime,
    losses: [u8; 32],
    made: Vec<u8>,
}

#[derive(Debug)]
struct State {
    file: BufWriter<File>,
    offset: u64,
    failed: Option<io::Error>,
}

impl StatIndexWriter {
    /// Starts to write the stat index that is to stand at `path`. Goes on in the records of `earlier`
    /// where that pays and nobody else does. `scanned` is when the scan begins.
    ///
    /// # Errors
    ///
    /// The file of the records cannot be made.
    pub fn create(path: &Path, earlier: Option<&StatIndex>, scanned: FileTime) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let appended = earlier.filter(|earlier| earlier.is_mostly_live()).and_then(|earlier| {
            let file = open_locked(&records_path(path, &earlier.bound.name), false).ok()?;
            Some((file, earlier.bound.name.clone()))
        });
        let is_appended = appended.is_some();
        let (mut file, name) = if let Some(appended) = appended {
            appended
        } else {
            let name = random_name()?;
            let mut file = open_locked(&records_path(path, &name), true)?;
            file.write_all(MAGIC)?;
            (file, name)
        };
        // A scan that was killed may have left bytes that nothing names: they are idle.
        let offset = file.seek(SeekFrom::End(0))?;
        let file = BufWriter::with_capacity(256 << 10, file);
        let state = Mutex::new(State { file, offset, failed: None });
        let live = AtomicU64::new(0);
        let (path, losses, made) = (path.to_owned(), [0; 32], Vec::new());
        Ok(Self { path, name, state, is_appended, live, scanned, losses, made })
    }

    /// Says what had been lost of the repository when everything that was seen was found to be stored,
    /// and what the snapshot is.
    #[must_use]
    pub fn with_losses(self, losses: [u8; 32], made: Vec<u8>) -> Self {
        Self { losses, made, ..self }
    }

    /// The directory that it is written to.
    pub fn directory(&self) -> Option<FileIdentity> {
        let directory = File::open(self.path.parent()?).ok()?;
        status_of(&directory).ok().map(|status| status.identity())
    }

    /// Whether a record of the earlier index can stay where it is; it is counted as live then.
    pub fn keep(&self, earlier: &SeenDirectory) -> bool {
        if self.is_appended {
            self.live.fetch_add(earlier.record_bytes() as u64, Ordering::Relaxed);
        }
        self.is_appended
    }

    /// Adds what was seen in a directory, in order of names; where its record is.
    ///
    /// `is_whole` says that nothing in it was left out but by the selection.
    pub fn add<'a>(
        &self,
        tree: &Id,
        is_whole: bool,
        entries: impl ExactSizeIterator<Item = NewEntry<'a>>,
    ) -> u64 {
        let record = encode(tree, is_whole, entries);
        self.live.fetch_add(record.len() as u64, Ordering::Relaxed);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = state.offset;
        match state.file.write_all(&record) {
            Ok(()) => state.offset += record.len() as u64,
            // A stat index that could not be written only costs time at the next backup.
            Err(error) => state.failed = Some(error),
        }
        offset
    }

    /// Binds the stat index to the snapshot that the scan led to. `root` is where the record of the
    /// root directory is, `selection` a hash of what was selected.
    ///
    /// # Errors
    ///
    /// It could not be written; the old one is left, and void.
    pub fn finish(self, binding: &Binding, root: u64, selection: [u8; 32]) -> io::Result<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { mut file, offset, failed } = state;
        if let Some(error) = failed {
            return Err(error);
        }
        file.flush()?;
        let bound = Bound {
            name: self.name,
            end: offset,
            live: self.live.into_inner(),
            root,
            selection,
            losses: self.losses,
            made: self.made,
            scanned: self.scanned,
        };
        let temporary = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut beside = OpenOptions::new();
        beside.write(true).create(true).truncate(true).mode(0o600);
        beside.open(&temporary)?.write_all(&bound.encode(binding))?;
        std::fs::rename(&temporary, &self.path)?;
        remove_others(&self.path, &bound.name);
        Ok(())
    }
}

/// Opens a file of records for writing, unless somebody else writes to it.
fn open_locked(path: &Path, is_new: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(is_new).mode(0o600).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(crate::base::id::hex(&bytes))
}

/// Removes files of records that the binding does not name, of which nobody is writing one.
fn remove_others(path: &Path, name: &str) {
    let Some(parent) = path.parent() else { return };
    let Ok(listed) = std::fs::read_dir(parent) else { return };
    let own = records_path(path, name);
    let prefix = path.file_name().map(|name| [name.as_encoded_bytes(), b"."].concat());
    for other in listed.flatten().map(|entry| entry.path()) {
        let file_name = other.file_name().unwrap_or_default().as_encoded_bytes();
        let is_ours = prefix.as_ref().is_some_and(|prefix| file_name.starts_with(prefix))
            && file_name.ends_with(super::RECORDS_SUFFIX.as_bytes());
        if is_ours && other != own && open_locked(&other, false).is_ok() {
            // What stays is removed by the next scan.
            let _ignored = std::fs::remove_file(&other);
        }
    }
}

impl StatIndex {
    fn is_mostly_live(&self) -> bool {
        self.bound.end <= self.bound.live.saturating_mul(2).saturating_add(IDLE_BYTES_MIN)
    }
}
