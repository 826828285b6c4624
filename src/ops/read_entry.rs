//! One file, link, pipe, socket or device becomes an entry of a tree.
//!
//! Invariant: a file that changed while it was read is read once more; if it changed again, what was
//! read is kept and the fact is told.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;

use super::with_causes;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{KIB, MIB, OBJECT_BYTES_MAX, PIECE_BYTES, XATTR_INLINE_BYTES_MAX};
use crate::base::path::split_last;
use crate::format::tree::{Entry, Metadata, Node, Xattr, XattrValue};
use crate::os::{FileKind, Status, Xattrs, read_xattrs, read_xattrs_at, status_of};
use crate::source::metadata::open_source_file;
use crate::store::{LongObject, ObjectSink, WriteError, put_stream_like};

/// Bytes of one read of a long file.
const READ_BYTES: usize = 1 << 20;
/// Zeros that are hashed between two looks at whether to stop.
const ZEROS_AT_ONCE: u64 = MIB * KIB;
/// Most bytes of a file that says it has none.
const UNTOLD_BYTES_MAX: u64 = MIB * KIB;

/// Why something did not become an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// It could not be read, or stopped being what was listed.
    #[error("{reason}")]
    Source {
        /// Why, for people.
        reason: String,
    },
    /// Its bytes could not be stored.
    #[error(transparent)]
    Sink(#[from] WriteError),
}

impl EntryError {
    fn source(error: &dyn std::error::Error) -> Self {
        Self::Source { reason: with_causes(error) }
    }

    fn text(reason: &str) -> Self {
        Self::Source { reason: reason.to_owned() }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEntry {
    /// The entry, under the last component of the name.
    pub entry: Entry,
    /// Its state when it was opened.
    pub status: Status,
    /// Whether it stayed as it was while it was read.
    pub is_still: bool,
}

/// Reads what stands under `name` in `directory` and was listed with `status`, a directory excepted.
///
/// `on_read` is told the bytes of each read, and ends the reading by returning false.
///
/// # Errors
///
/// It cannot be read, or is not what was listed; those of the sink.
pub fn read_entry<S: ObjectSink + ?Sized>(
    directory: impl AsFd,
    name: &[u8],
    status: &Status,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<ReadEntry, EntryError> {
    read_entry_like(directory, name, status, None, sink, on_read)
}

/// As [`read_entry`]; `like` is the content of the file as of the previous snapshot, if it has any.
///
/// # Errors
///
/// As [`read_entry`].
pub fn read_entry_like<S: ObjectSink + ?Sized>(
    directory: impl AsFd,
    name: &[u8],
    status: &Status,
    like: Option<&Id>,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<ReadEntry, EntryError> {
    if status.kind == FileKind::File {
        return read_file(directory, name, status, like, sink, on_read);
    }
    let (major, minor) = (status.rdev_major, status.rdev_minor);
    let node = match status.kind {
        FileKind::Symlink => {
            let target = rustix::fs::readlinkat(directory.as_fd(), name, Vec::new());
            let target = target.map_err(|error| EntryError::source(&error))?;
            Node::Symlink { target: target.into_bytes().into() }
        }
        FileKind::Fifo => Node::Fifo,
        FileKind::Socket => Node::Socket,
        FileKind::CharDevice => Node::CharDevice { major, minor },
        FileKind::BlockDevice => Node::BlockDevice { major, minor },
        FileKind::File | FileKind::Directory => return Err(EntryError::text("is a directory")),
    };
    let xattrs = read_xattrs_at(directory.as_fd(), name);
    let xattrs = xattrs.map_err(|error| EntryError::source(&error))?;
    let metadata = metadata(status, &xattrs, sink)?;
    let entry = Entry { name: split_last(name).1.into(), metadata, node };
    Ok(ReadEntry { entry, status: *status, is_still: true })
}

fn read_file<S: ObjectSink + ?Sized>(
    directory: impl AsFd,
    name: &[u8],
    status: &Status,
    like: Option<&Id>,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<ReadEntry, EntryError> {
    let mut has_changed = false;
    loop {
        let (file, before) = open_source_file(directory.as_fd(), name, status)
            .map_err(|error| EntryError::source(&error))?;
        let read = read_opened(&file, &before, name, like, sink, on_read)?;
        if read.is_still || has_changed {
            return Ok(read);
        }
        has_changed = true;
    }
}

/// Reads an open regular file from its beginning, once.
///
/// # Errors
///
/// As [`read_entry`].
pub fn read_open_file<S: ObjectSink + ?Sized>(
    file: &File,
    before: &Status,
    name: &[u8],
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<ReadEntry, EntryError> {
    read_opened(file, before, name, None, sink, on_read)
}

fn read_opened<S: ObjectSink + ?Sized>(
    file: &File,
    before: &Status,
    name: &[u8],
    like: Option<&Id>,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<ReadEntry, EntryError> {
    let xattrs = read_xattrs(file).map_err(|error| EntryError::source(&error))?;
    let (id, size_bytes) = read_content(file, before, like, sink, on_read)?;
    let after = status_of(file).map_err(|error| EntryError::source(&error))?;
    let is_still = after.mtime == before.mtime
        && after.ctime == before.ctime
        && after.size_bytes == before.size_bytes
        && size_bytes == before.size_bytes;
    let metadata = metadata(before, &xattrs, sink)?;
    let node = Node::File { size_bytes, id };
    let entry = Entry { name: split_last(name).1.into(), metadata, node };
    Ok(ReadEntry { entry, status: *before, is_still })
}

/// The metadata of an entry; long extended attributes become blobs.
///
/// # Errors
///
/// Those of the sink.
pub fn metadata<S: ObjectSink + ?Sized>(
    status: &Status,
    xattrs: &Xattrs,
    sink: &mut S,
) -> Result<Metadata, WriteError> {
    let mut kept = Vec::with_capacity(xattrs.len());
    for (name, value) in xattrs {
        let value = if value.len() <= XATTR_INLINE_BYTES_MAX {
            XattrValue::Inline(value.as_slice().into())
        } else {
            XattrValue::Blob { size_bytes: value.len() as u64, id: sink.put(Kind::Blob, value)? }
        };
        kept.push(Xattr { name: name.clone(), value });
    }
    let &Status { mode, uid, gid, mtime, .. } = status;
    Ok(Metadata { mode, uid, gid, mtime, xattrs: kept })
}

fn read_content<S: ObjectSink + ?Sized>(
    file: &File,
    status: &Status,
    like: Option<&Id>,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<(Id, u64), EntryError> {
    if status.size_bytes > OBJECT_BYTES_MAX {
        return Err(EntryError::text("longer than 16 TiB, which is not supported"));
    }
    let whole_max = sink.chunker().map_or(0, |chunker| chunker.max_bytes() as u64);
    let is_sparse = status.blocks.saturating_mul(512) < status.size_bytes;
    if status.size_bytes > whole_max.max(PIECE_BYTES as u64) && is_sparse {
        return read_sparse(file, like, sink, on_read);
    }
    let mut start = Vec::new();
    if status.size_bytes <= whole_max {
        start = read_start(file, status.size_bytes as usize)
            .map_err(|error| EntryError::source(&error))?;
        if start.len() as u64 <= status.size_bytes {
            on_read(start.len() as u64);
            return Ok((sink.put_like(Kind::Blob, &start, like)?, start.len() as u64));
        }
    }
    // One that grows as fast as it is read would have no end: what it had at first is kept. Those of some
    // file systems say that they have no bytes, and have some.
    let most = if status.size_bytes > 0 { status.size_bytes } else { UNTOLD_BYTES_MAX };
    let mut reader = start.as_slice().chain(file).take(most);
    let put = put_stream_like(sink, Kind::Blob, like, &mut reader, on_read);
    let (id, size_bytes) = put.map_err(|error| match error {
        WriteError::Source(error) => EntryError::source(&error),
        other => EntryError::Sink(other),
    })?;
    match status.size_bytes == 0 && size_bytes == UNTOLD_BYTES_MAX {
        true => Err(EntryError::text("says that it is empty, and has no end")),
        false => Ok((id, size_bytes)),
    }
}

/// Reads a file that is to have this length: one call, if it has. A byte more is returned from one
/// that has grown.
fn read_start(file: &File, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length + 1);
    while bytes.len() <= length {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) if bytes.len() == length => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

fn finish<S: ObjectSink + ?Sized>(
    long: LongObject<'_, S>,
    length_bytes: u64,
) -> Result<(Id, u64), EntryError> {
    if length_bytes <= PIECE_BYTES as u64 {
        return Err(EntryError::text("shrank while it was read"));
    }
    Ok((long.finish()?, length_bytes))
}

/// Reads a long file with holes, which are asked for and not read.
fn read_sparse<S: ObjectSink + ?Sized>(
    file: &File,
    like: Option<&Id>,
    sink: &mut S,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<(Id, u64), EntryError> {
    let source = |error: std::io::Error| EntryError::source(&error);
    let end = rustix::fs::seek(file, SeekFrom::End(0)).map_err(|error| source(error.into()))?;
    let mut long = LongObject::like(sink, Kind::Blob, like);
    let mut at = 0;
    while at < end {
        if !on_read(0) {
            return Err(EntryError::text("interrupted"));
        }
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(end),
            // No data up to the end.
            Err(rustix::io::Errno::NXIO) => end,
            // A file system that knows no holes.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => at,
            Err(error) => return Err(source(error.into())),
        };
        if data > at {
            let zeros = (data - at).min(ZEROS_AT_ONCE);
            long.feed_zeros(zeros)?;
            at += zeros;
            continue;
        }
        let hole = rustix::fs::seek(file, SeekFrom::Hole(at)).unwrap_or(end).clamp(at + 1, end);
        rustix::fs::seek(file, SeekFrom::Start(at)).map_err(|error| source(error.into()))?;
        let mut bytes = Vec::new();
        while at < hole {
            bytes.clear();
            let want = (hole - at).min(READ_BYTES as u64);
            let got = file.take(want).read_to_end(&mut bytes).map_err(source)?;
            if got == 0 {
                return finish(long, at);
            }
            if !on_read(got as u64) {
                return Err(EntryError::text("interrupted"));
            }
            long.feed(&bytes)?;
            at += got as u64;
        }
    }
    finish(long, at)
}
