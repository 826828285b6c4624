//! Files on their way to their directory: read by one of several threads.
//!
//! Invariant: a file that could not be read is on record, and its directory does not wait for it.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::before::decoded;
use super::directory::{Directory, Settled};
use super::walk::Walker;
use super::{Scan, TreeError};
use crate::base::path::join;
use crate::format::tree::Node;
use crate::ops::read_entry::{EntryError, ReadEntry, read_entry_like};
use crate::os::Status;
use crate::source::ahead::fetch_ahead;
use crate::source::stat_index::Stamp;
use crate::store::ObjectSink;

/// A file to be read.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) directory: Arc<Directory>,
    pub(super) number: usize,
    /// The place of its directory in which it stands.
    pub(super) place: usize,
    pub(super) name: Box<[u8]>,
    pub(super) status: Status,
    /// How it was encoded before.
    pub(super) before: Option<Box<[u8]>>,
}

impl<S: ObjectSink> Walker<'_, '_, S> {
    /// Reads files, one after the other.
    pub(super) fn files(&mut self, tasks: &[FileTask]) -> Result<(), TreeError> {
        if tasks.len() > 1 {
            fetch_ahead(tasks.iter().filter_map(|task| {
                let place = task.directory.places.get(task.place)?;
                Some((place.descriptor.as_fd(), &*task.name, &task.status))
            }));
        }
        tasks.iter().try_for_each(|task| self.file(task))
    }

    /// Reads a file and hands its entry to its directory.
    fn file(&mut self, task: &FileTask) -> Result<(), TreeError> {
        let Some(place) = task.directory.places.get(task.place) else { return Ok(()) };
        let (scan, tally) = (self.scan, &mut self.tally);
        let on_read = &mut |bytes| {
            tally.bytes_read += bytes;
            scan.monitor.bytes(bytes);
            !scan.is_stopped()
        };
        let content = task.before.as_deref().and_then(decoded).and_then(|entry| match entry.node {
            Node::File { id, .. } => Some(id),
            _ => None,
        });
        let (descriptor, like) = (&place.descriptor, content.as_ref());
        let read = read_entry_like(descriptor, &task.name, &task.status, like, self.sink, on_read);
        let path = join(&task.directory.path, &task.name);
        let settled = match read {
            Ok(ReadEntry { entry, status, is_still }) => {
                if !is_still {
                    let reason = "changed while it was read: kept as it was read".to_owned();
                    scan.fail("changed", &path, reason);
                }
                self.count_leaf(&entry, task.before.as_deref(), &path);
                // What changed meanwhile is never taken for unchanged next time.
                Scan::leaf(&entry, is_still.then(|| Stamp::from(&status)))
            }
            Err(EntryError::Source { reason }) => {
                scan.fail("unreadable", &path, reason);
                Settled::Missing { is_left_out: true }
            }
            Err(EntryError::Sink(error)) => return Err(error.into()),
        };
        task.directory.settle(self, task.number, settled)
    }
}
