//! What is no directory: known to be unchanged, read at once, or planned to be read.
//!
//! Invariant: each is counted once, by whoever comes to know its entry.

use std::sync::Arc;

use super::before::{compare, decoded, encoded};
use super::directory::{Directory, Settled};
use super::file::FileTask;
use super::walk::{Name, Task, Walker, expect};
use super::{Scan, TreeError};
use crate::base::kind::Kind;
use crate::base::monitor::Action;
use crate::base::path::join;
use crate::format::tree::{Entry, Node};
use crate::ops::closure::of_entry;
use crate::ops::read_entry::{EntryError, ReadEntry, read_entry};
use crate::os::{FileKind, Status};
use crate::source::stat_index::Stamp;
use crate::store::{ObjectSink, WriteError};

/// Files that one thread takes at a time, at most.
const BATCH_FILES: usize = 64;
/// Bytes of such files, as far as they were told, at most.
const BATCH_BYTES: u64 = 8 << 20;

impl<S: ObjectSink> Walker<'_, '_, S> {
    /// Deals with anything that is not a directory.
    pub(super) fn leaf(
        &mut self,
        directory: &Arc<Directory>,
        place: usize,
        name: Name<'_>,
        status: Status,
    ) -> Result<(), TreeError> {
        self.tally.owners.note(status.uid, status.gid);
        if status.nlink > 1 {
            let path = join(&directory.path, name.bytes);
            self.tally.links.entry(status.identity()).or_default().push(path.into());
        }
        if let (Some(index), Some(known)) = (self.scan.source.stat_index, name.known)
            && known.stamp.is_some_and(|seen| index.is_unchanged(&seen, &status))
            && self.is_stored(known.encoded)?
        {
            self.count_unchanged(directory, name.bytes, &status);
            if name.number.is_none() {
                directory.add_same(known.place);
            }
            return Ok(());
        }
        let before: Option<Box<[u8]>> = name.known.map(|known| known.encoded.into());
        if status.kind == FileKind::File {
            let number = expect(directory, name);
            let directory = Arc::clone(directory);
            let name = name.bytes.into();
            let file = FileTask { directory, number, place, name, status, before };
            return self.plan(file);
        }
        let path = join(&directory.path, name.bytes);
        let Some(place) = directory.places.get(place) else { return Ok(()) };
        let read = read_entry(&place.descriptor, name.bytes, &status, self.sink, &mut |_| true);
        let number = expect(directory, name);
        let settled = match read {
            Ok(ReadEntry { entry, .. }) => {
                let settled = Scan::leaf(&entry, Some(Stamp::from(&status)));
                self.count_leaf(&entry, before.as_deref(), &path);
                settled
            }
            Err(EntryError::Source { reason }) => {
                self.scan.fail("unreadable", &path, reason);
                Settled::Missing { is_left_out: true }
            }
            Err(EntryError::Sink(error)) => return Err(error.into()),
        };
        directory.settle(self, number, settled)
    }

    /// Whether all that an entry of the last scan refers to is stored, apart from trees. That is asked
    /// only if something may have been lost since.
    pub(super) fn is_stored(&mut self, encoded: &[u8]) -> Result<bool, WriteError> {
        let Some(store) = self.scan.source.doubted else { return Ok(true) };
        let Some(entry) = decoded(encoded) else { return Ok(false) };
        for (id, kind) in of_entry(&entry) {
            if kind != Kind::Tree && !store.is_intact(&id, kind)? {
                self.tally.healed += 1;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plans to read a file, with others of its directory.
    fn plan(&mut self, file: FileTask) -> Result<(), TreeError> {
        self.files_bytes = self.files_bytes.saturating_add(file.status.size_bytes);
        self.files.push(file);
        if self.files.len() < BATCH_FILES && self.files_bytes < BATCH_BYTES {
            return Ok(());
        }
        let batch = self.take_files();
        // Where others are busy, a directory of any length is read as it is listed.
        match self.tasks.offer(batch) {
            Some(Task::Files(files)) => self.files(&files),
            _ => Ok(()),
        }
    }

    pub(super) fn take_files(&mut self) -> Task {
        self.files_bytes = 0;
        Task::Files(std::mem::take(&mut self.files))
    }

    fn count_unchanged(&mut self, directory: &Directory, name: &[u8], status: &Status) {
        let counts = &mut self.tally.counts;
        let bytes = match status.kind {
            FileKind::File => {
                counts.files += 1;
                counts.size_bytes += status.size_bytes;
                status.size_bytes
            }
            FileKind::Symlink => {
                counts.symlinks += 1;
                0
            }
            _ => {
                counts.others += 1;
                0
            }
        };
        self.tally.files[2] += 1;
        if self.scan.monitor.wants_unchanged() {
            let path = join(&directory.path, name);
            self.scan.monitor.path(Action::Unchanged, &path, bytes);
        } else {
            self.unchanged += 1;
        }
    }

    pub(super) fn count_leaf(&mut self, entry: &Entry, before: Option<&[u8]>, path: &[u8]) {
        self.tally.counts.add(&entry.node);
        let bytes = match &entry.node {
            Node::File { size_bytes, .. } => *size_bytes,
            _ => 0,
        };
        let action = compare(before, &encoded(entry));
        self.tally.files[action_number(action)] += 1;
        self.scan.monitor.path(action, path, bytes);
    }

    pub(super) fn count_directory(&mut self, action: Action, path: &[u8]) {
        self.tally.counts.directories += 1;
        self.tally.directories[action_number(action)] += 1;
        if action != Action::Unchanged || self.scan.monitor.wants_unchanged() {
            self.scan.monitor.path(action, path, 0);
        } else {
            self.unchanged += 1;
        }
    }
}

/// The place of an action in figures of new, changed and unchanged.
fn action_number(action: Action) -> usize {
    match action {
        Action::New => 0,
        Action::Changed => 1,
        Action::Unchanged | Action::Deleted => 2,
    }
}
