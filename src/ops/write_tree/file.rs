//! Files on their way to their directory: read by one of several threads.
//!
//! Invariant: a file that could not be read is on record, and its directory does not wait for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::directory::{Directory, compare};
use super::{Scan, TreeError};
use crate::base::monitor::Action;
use crate::base::path::join;
use crate::format::tree::{Entry, Node};
use crate::ops::read_entry::{EntryError, ReadEntry, read_entry};
use crate::os::Status;
use crate::source::stat_index::{Seen, Stamp};
use crate::store::{ObjectSink, WriteError};

/// A file to be read.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) directory: Arc<Directory>,
    pub(super) number: usize,
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) name: Box<[u8]>,
    pub(super) status: Status,
    pub(super) previous: Option<Seen>,
}

/// Reads a file and hands its entry to its directory.
pub(super) fn run<S: ObjectSink>(
    scan: &Scan<'_>,
    task: &FileTask,
    sink: &mut S,
) -> Result<(), TreeError> {
    let path = join(&task.directory.path, &task.name);
    let entry = read(scan, task, sink, &path)?;
    if let Some((entry, _)) = &entry {
        let Node::File { size_bytes, .. } = entry.node else { return Ok(()) };
        let mut tally = scan.tally();
        tally.counts.files += 1;
        tally.counts.size_bytes += size_bytes;
        drop(tally);
        let action: Action = compare(task.previous.as_ref().map(|seen| &*seen.encoded), entry);
        scan.count(false, action, &path, size_bytes);
    }
    let entry = entry.as_ref().map(|(entry, stamp)| (entry, Some(*stamp)));
    task.directory.settle(scan, task.number, entry, sink)
}

fn read<S: ObjectSink>(
    scan: &Scan<'_>,
    task: &FileTask,
    sink: &mut S,
    path: &[u8],
) -> Result<Option<(Entry, Stamp)>, WriteError> {
    let on_read = &mut |bytes| {
        scan.tally().bytes_read += bytes;
        scan.monitor.bytes(bytes);
        !scan.is_stopped()
    };
    let read = read_entry(&task.descriptor, &task.name, &task.status, sink, on_read);
    let ReadEntry { entry, status, is_still } = match read {
        Ok(read) => read,
        Err(EntryError::Source { reason }) => {
            scan.fail("unreadable", path, reason);
            return Ok(None);
        }
        Err(EntryError::Sink(error)) => return Err(error),
    };
    let mut stamp = Stamp::from(&status);
    if !is_still {
        let reason = "changed while it was read: kept as it was read".to_owned();
        scan.fail("changed", path, reason);
        // Never taken for unchanged next time.
        stamp.ino = 0;
    }
    Ok(Some((entry, stamp)))
}
