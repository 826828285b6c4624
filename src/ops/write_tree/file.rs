//! Reading one regular file: its bytes, holes left out, its attributes, and whether it held still.
//!
//! Invariant: a file that changed while it was read is read once more; if it changed again, what was
//! read is kept and the fact is told.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::SeekFrom;

use super::directory::{Directory, compare};
use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{OBJECT_BYTES_MAX, PIECE_BYTES, XATTR_INLINE_BYTES_MAX};
use crate::base::monitor::Action;
use crate::base::path::join;
use crate::format::tree::{Entry, Metadata, Node, Xattr, XattrValue};
use crate::ops::with_causes;
use crate::os::{Status, Xattrs, read_xattrs, status_of};
use crate::source::metadata::open_source_file;
use crate::source::stat_index::{Seen, Stamp};
use crate::store::{LongObject, ObjectSink, WriteError, put_stream};

/// Bytes of one read of a long file.
const READ_BYTES: usize = 1 << 20;

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
    let entry = match read(scan, task, sink, &path) {
        Ok(entry) => Some(entry),
        Err(ReadFailure::Source(reason)) => {
            scan.fail("unreadable", &path, reason);
            None
        }
        Err(ReadFailure::Sink(error)) => return Err(error.into()),
    };
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

enum ReadFailure {
    Source(String),
    Sink(WriteError),
}

fn read<S: ObjectSink>(
    scan: &Scan<'_>,
    task: &FileTask,
    sink: &mut S,
    path: &[u8],
) -> Result<(Entry, Stamp), ReadFailure> {
    let source = |error: &dyn std::error::Error| ReadFailure::Source(with_causes(error));
    let mut has_changed = false;
    loop {
        let (file, before) = open_source_file(&task.descriptor, &task.name, &task.status)
            .map_err(|error| source(&error))?;
        let xattrs = read_xattrs(&file).map_err(|error| source(&error))?;
        let (id, size_bytes) = read_content(scan, &file, &before, sink)?;
        let after = status_of(&file).map_err(|error| source(&error))?;
        let is_still = after.mtime == before.mtime
            && after.ctime == before.ctime
            && after.size_bytes == before.size_bytes
            && size_bytes == before.size_bytes;
        if !is_still && !has_changed {
            has_changed = true;
            continue;
        }
        if !is_still {
            let reason = "changed while it was read: kept as it was read".to_owned();
            scan.fail("changed", path, reason);
        }
        let metadata = metadata(&before, &xattrs, sink).map_err(ReadFailure::Sink)?;
        let name = task.name.clone();
        let mut stamp = Stamp::from(&before);
        if !is_still {
            // Never taken for unchanged next time.
            stamp.ino = 0;
        }
        return Ok((Entry { name, metadata, node: Node::File { size_bytes, id } }, stamp));
    }
}

/// The metadata of an entry; long extended attributes become blobs.
pub(super) fn metadata<S: ObjectSink>(
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

fn read_content<S: ObjectSink>(
    scan: &Scan<'_>,
    file: &File,
    status: &Status,
    sink: &mut S,
) -> Result<(Id, u64), ReadFailure> {
    if status.size_bytes > OBJECT_BYTES_MAX {
        return Err(ReadFailure::Source("longer than 16 TiB, which is not supported".into()));
    }
    let whole_max = sink.chunker().map_or(0, |chunker| chunker.max_bytes() as u64);
    let is_sparse = status.blocks.saturating_mul(512) < status.size_bytes;
    if status.size_bytes > whole_max.max(PIECE_BYTES as u64) && is_sparse {
        return read_sparse(scan, file, sink);
    }
    let mut reader = file;
    let on_read = &mut |bytes| {
        note_read(scan, bytes);
        !scan.is_stopped()
    };
    put_stream(sink, Kind::Blob, &mut reader, on_read).map_err(|error| match error {
        WriteError::Source(error) => ReadFailure::Source(error.to_string()),
        other => ReadFailure::Sink(other),
    })
}

fn finish<S: ObjectSink>(
    long: LongObject<'_, S>,
    length_bytes: u64,
) -> Result<(Id, u64), ReadFailure> {
    if length_bytes <= PIECE_BYTES as u64 {
        return Err(ReadFailure::Source("shrank while it was read".into()));
    }
    Ok((long.finish().map_err(ReadFailure::Sink)?, length_bytes))
}

fn note_read(scan: &Scan<'_>, bytes: u64) {
    scan.tally().bytes_read += bytes;
    scan.monitor.bytes(bytes);
}

/// Reads a long file with holes, which are asked for and not read.
fn read_sparse<S: ObjectSink>(
    scan: &Scan<'_>,
    file: &File,
    sink: &mut S,
) -> Result<(Id, u64), ReadFailure> {
    let source = |error: std::io::Error| ReadFailure::Source(error.to_string());
    let end = rustix::fs::seek(file, SeekFrom::End(0)).map_err(|error| source(error.into()))?;
    let mut long = LongObject::new(sink, Kind::Blob);
    let mut at = 0;
    while at < end {
        if scan.is_stopped() {
            return Err(ReadFailure::Source("interrupted".into()));
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
            long.feed_zeros(data - at).map_err(ReadFailure::Sink)?;
            at = data;
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
            note_read(scan, got as u64);
            long.feed(&bytes).map_err(ReadFailure::Sink)?;
            at += got as u64;
        }
    }
    finish(long, at)
}
