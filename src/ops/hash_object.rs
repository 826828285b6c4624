//! A file, pipe or stream becomes a blob; any path becomes the entry that a tree would hold.
//!
//! Invariant: a path that was listed is never followed if it is a link, and never waited for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::read_entry::{EntryError, ReadEntry, metadata, read_entry, read_open_file};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::tree::Metadata;
use crate::os::{FileKind, Status, read_xattrs, status_at, status_of};
use crate::store::{ObjectSink, WriteError, put_stream};

/// A blob that was hashed, and stored where the sink stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashedObject {
    /// Its id: what `b3sum` prints for the same bytes.
    pub id: Id,
    /// Its bytes.
    pub size_bytes: u64,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashed {
    /// A stream, which has no metadata.
    Stream(HashedObject),
    /// Anything else but a directory.
    Entry(ReadEntry),
    /// A directory, which is not read.
    Directory(Metadata, Status),
}

/// Hashes what a reader gives, to its end.
///
/// # Errors
///
/// [`WriteError::Source`] if it cannot be read; those of the sink.
pub fn hash_stream<S: ObjectSink + ?Sized>(
    sink: &mut S,
    reader: &mut dyn Read,
) -> Result<HashedObject, WriteError> {
    let (id, size_bytes) = put_stream(sink, Kind::Blob, reader, &mut |_| true)?;
    Ok(HashedObject { id, size_bytes })
}

/// Hashes a file that was named by hand: a link is followed, a pipe or device read to its end.
///
/// # Errors
///
/// It cannot be read, a directory above all; those of the sink.
pub fn hash_file<S: ObjectSink + ?Sized>(sink: &mut S, path: &Path) -> Result<Hashed, EntryError> {
    let source = |error: std::io::Error| EntryError::Source { reason: error.to_string() };
    let mut file = File::open(path).map_err(source)?;
    let status = status_of(&file).map_err(source)?;
    let name = path.as_os_str().as_encoded_bytes();
    match status.kind {
        FileKind::File => {
            read_open_file(&file, &status, name, sink, &mut |_| true).map(Hashed::Entry)
        }
        FileKind::Directory => {
            let reason = "is a directory: runup-write-tree stores directories".to_owned();
            Err(EntryError::Source { reason })
        }
        _ => hash_stream(sink, &mut file).map(Hashed::Stream).map_err(|error| match error {
            WriteError::Source(error) => source(error),
            other => other.into(),
        }),
    }
}

/// Hashes what stands at a path that some program listed. Of a directory only the metadata is read.
///
/// # Errors
///
/// It cannot be read; those of the sink.
pub fn hash_listed<S: ObjectSink + ?Sized>(
    sink: &mut S,
    path: &[u8],
) -> Result<Hashed, EntryError> {
    let source = |error: std::io::Error| EntryError::Source { reason: error.to_string() };
    let status = status_at(CWD, path).map_err(source)?;
    if status.kind != FileKind::Directory {
        return read_entry(CWD, path, &status, sink, &mut |_| true).map(Hashed::Entry);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty());
    let directory = directory.map_err(|error| source(error.into()))?;
    let xattrs = read_xattrs(&directory).map_err(source)?;
    Ok(Hashed::Directory(metadata(&status, &xattrs, sink)?, status))
}
