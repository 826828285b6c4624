//! A tar archive becomes a tree, in one pass: contents are stored as they come by.
//!
//! Invariant: what is not in the tree is in `skipped` and told, and an archive that is damaged, cut
//! short or hostile ends in an error that names the member and the byte, not in a tree.

mod content;
mod done;
mod members;
mod metadata;
mod stream;
mod tree_builder;

use std::io::{self, Read};

use crossbeam_channel::{Receiver, bounded};

use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::format::snapshot::RootRecord;
use crate::format::tar::TarError;
use crate::ops::write_tree::Destination;
use crate::store::{HashOnly, InsertReport, ObjectSink, Worker, WriteError};

use self::members::Import;
use self::stream::Archive;

/// Files that wait for a worker, at most, each of [`content::QUEUED_BYTES_MAX`] at most.
const QUEUE_FILES: usize = 64;

/// How an archive is to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Leading components that are taken off each path and each target of a hard link. What has no
    /// more than these is left out.
    pub strip_components: usize,
    /// Whether blocks of zeros are passed over rather than taken for the end.
    pub ignore_zeros: bool,
}

/// What an import came to.
#[derive(Debug, Clone)]
pub struct ImportReport {
    /// The tree and all that belongs to it.
    pub record: RootRecord,
    /// Members that were left out, or not kept whole.
    pub errors: u64,
    /// Bytes of content that the archive held.
    pub bytes_read: u64,
    /// What was stored.
    pub inserted: InsertReport,
}

/// Why an archive could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// An object could not be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The archive cannot be read.
    #[error("cannot read the archive after byte {offset}")]
    Read {
        /// Bytes of the archive that were read.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The archive is compressed, and its compressed form is damaged.
    #[error("the compressed archive is damaged after {offset} uncompressed bytes")]
    Compressed {
        /// Bytes of the archive that came out of it.
        offset: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The archive is compressed in a way that is not known here.
    #[error("the archive is compressed by {by}: pipe it through `{by} -dc`")]
    UnknownCompression {
        /// The program that can decompress it.
        by: &'static str,
    },
    /// The first block is no header.
    #[error("not a tar archive")]
    NotAnArchive,
    /// The archive ends too early.
    #[error("the archive is cut short: {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it ended.
        offset: u64,
    },
    /// A header, or what it says, cannot be used.
    #[error("{member} at byte {offset}")]
    Member {
        /// The member, or what else it is.
        member: String,
        /// Where its header stands in the uncompressed archive.
        offset: u64,
        /// What is wrong.
        source: TarError,
    },
    /// A path leads out of the tree.
    #[error("{member} at byte {offset}: {what}")]
    Hostile {
        /// The member.
        member: String,
        /// Where its header stands in the uncompressed archive.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
}

/// Reads an archive to its end, and stores it as a tree.
///
/// Archives compressed by gzip or zstd are told by their first bytes. With [`Destination::Store`]
/// everything is durable on return; after an error, contents may have been stored that nothing
/// refers to. What cannot be kept is left out, handed to `monitor`, and recorded.
///
/// # Errors
///
/// The archive cannot be read, is damaged, cut short or hostile, or claims more than may be held;
/// objects cannot be stored.
pub fn import_archive(
    reader: &mut dyn Read,
    options: ImportOptions,
    destination: Destination<'_>,
    monitor: &dyn Monitor,
) -> Result<ImportReport, ImportError> {
    let archive = Archive::open(reader)?;
    match destination {
        Destination::Nowhere(_) => {
            let done = Import::new(archive, options, &mut HashOnly, None, monitor).read()?;
            done.finish(&mut HashOnly)
        }
        Destination::Store(inserter) => {
            let (report, inserted) =
                inserter.run(|workers| with_workers(workers, archive, options, monitor))?;
            Ok(ImportReport { inserted, ..report })
        }
    }
}

/// Reads with the last worker, and lets the others store what is short.
fn with_workers(
    mut workers: Vec<Worker<'_>>,
    archive: Archive<'_>,
    options: ImportOptions,
    monitor: &dyn Monitor,
) -> Result<ImportReport, ImportError> {
    let mut main = workers.pop().ok_or(WriteError::Stopped)?;
    let (sender, receiver) = bounded::<Vec<u8>>(QUEUE_FILES);
    let (read, stored) = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .drain(..)
            .map(|worker| {
                let receiver = receiver.clone();
                scope.spawn(move || store_all(worker, &receiver))
            })
            .collect();
        drop(receiver);
        let queue = (!threads.is_empty()).then_some(sender);
        let read = Import::new(archive, options, &mut main, queue, monitor).read();
        let stored = threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(stored) => stored,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .fold(Ok(()), Result::and);
        (read, stored)
    });
    // A worker that failed is why the reader could hand over nothing more.
    stored?;
    // Trees refer to what the workers stored, so they come after all of it.
    let report = read?.finish(&mut main)?;
    main.finish()?;
    Ok(report)
}

fn store_all(mut worker: Worker<'_>, contents: &Receiver<Vec<u8>>) -> Result<(), WriteError> {
    for bytes in contents {
        ObjectSink::put(&mut worker, Kind::Blob, &bytes)?;
    }
    worker.finish()
}
