//! The content of a file: stored as it is read, its holes made of zeros without being read.
//!
//! Invariant: the blob is that of the file as it was, whether the archive held its zeros or not.

use std::io::{self, Read};

use crossbeam_channel::Sender;

use super::ImportError;
use super::stream::Archive;
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{KIB, MIB, PIECE_BYTES};
use crate::base::monitor::Monitor;
use crate::format::tar::Extent;
use crate::store::{LongObject, ObjectSink, WriteError, put_stream};

/// Longest file that is handed to another thread as a whole.
pub(super) const QUEUED_BYTES_MAX: u64 = MIB;
/// Bytes of one read of a long file with holes.
const READ_BYTES: u64 = MIB;
/// Zeros that are hashed between two looks at whether to stop.
const ZEROS_AT_ONCE: u64 = MIB * KIB;

/// Where the content of files goes.
pub(super) struct Contents<'a, S: ?Sized> {
    pub(super) sink: &'a mut S,
    pub(super) queue: Option<Sender<Vec<u8>>>,
    pub(super) monitor: &'a dyn Monitor,
}

impl<S: ObjectSink + ?Sized> Contents<'_, S> {
    /// Stores the next bytes of the archive as a file.
    pub(super) fn store(
        &mut self,
        archive: &mut Archive<'_>,
        size_bytes: u64,
    ) -> Result<Id, ImportError> {
        if let Some(queue) = self.queue.as_ref().filter(|_| size_bytes <= QUEUED_BYTES_MAX) {
            let mut bytes = Vec::with_capacity(size_bytes as usize);
            let read = archive.content(size_bytes).read_to_end(&mut bytes);
            read.map_err(|error| archive.failed(error))?;
            self.monitor.bytes(size_bytes);
            let id = object_id(Kind::Blob, &bytes);
            // A closed queue means that all workers have failed, which they tell themselves.
            queue.send(bytes).map_err(|_| WriteError::Stopped)?;
            return Ok(id);
        }
        self.stream(&mut archive.content(size_bytes)).map_err(|error| from_write(archive, error))
    }

    /// Stores a file of which the archive holds only some stretches.
    pub(super) fn store_sparse(
        &mut self,
        archive: &mut Archive<'_>,
        size_bytes: u64,
        extents: &[Extent],
    ) -> Result<Id, ImportError> {
        let whole_max = self.sink.chunker().map_or(0, |chunker| chunker.max_bytes() as u64);
        let stored_bytes = extents.iter().map(|extent| extent.length_bytes).sum();
        let mut content = archive.content(stored_bytes);
        let stored = if size_bytes > whole_max.max(PIECE_BYTES as u64) {
            self.long(&mut content, size_bytes, extents)
        } else {
            self.stream(&mut Expanded { content: &mut content, at: 0, size_bytes, extents })
        };
        stored.map_err(|error| from_write(archive, error))
    }

    fn stream(&mut self, reader: &mut dyn Read) -> Result<Id, WriteError> {
        let monitor = self.monitor;
        let mut on_read = |bytes| {
            monitor.bytes(bytes);
            !monitor.is_cancelled()
        };
        put_stream(self.sink, Kind::Blob, reader, &mut on_read).map(|(id, _)| id)
    }

    fn long(
        &mut self,
        content: &mut dyn Read,
        size_bytes: u64,
        extents: &[Extent],
    ) -> Result<Id, WriteError> {
        let monitor = self.monitor;
        let check = || match monitor.is_cancelled() {
            true => Err(WriteError::Source(io::ErrorKind::Interrupted.into())),
            false => Ok(()),
        };
        let mut long = LongObject::new(self.sink, Kind::Blob);
        let mut at = 0;
        let end = Extent { offset: size_bytes, length_bytes: 0 };
        let mut bytes = Vec::new();
        for extent in extents.iter().chain([&end]) {
            while at < extent.offset {
                check()?;
                let zeros = (extent.offset - at).min(ZEROS_AT_ONCE);
                long.feed_zeros(zeros)?;
                at += zeros;
            }
            let extent_end = extent.offset + extent.length_bytes;
            while at < extent_end {
                check()?;
                bytes.clear();
                let want = (extent_end - at).min(READ_BYTES);
                (&mut *content).take(want).read_to_end(&mut bytes).map_err(WriteError::Source)?;
                monitor.bytes(want);
                long.feed(&bytes)?;
                at += want;
            }
        }
        long.finish()
    }
}

fn from_write(archive: &Archive<'_>, error: WriteError) -> ImportError {
    match error {
        WriteError::Source(error) if error.kind() == io::ErrorKind::Interrupted => {
            ImportError::Cancelled
        }
        WriteError::Source(error) => archive.failed(error),
        other => other.into(),
    }
}

/// A file of known stretches, with zeros between them.
struct Expanded<'a, R> {
    content: R,
    at: u64,
    size_bytes: u64,
    extents: &'a [Extent],
}

impl<R: Read> Read for Expanded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = |extent: &Extent| extent.offset + extent.length_bytes;
        while let Some((first, rest)) = self.extents.split_first() {
            if end(first) > self.at {
                break;
            }
            self.extents = rest;
        }
        let next = self.extents.first();
        let is_hole = next.is_none_or(|extent| self.at < extent.offset);
        let until = next.map_or(self.size_bytes, |e| if is_hole { e.offset } else { end(e) });
        let room = usize::try_from(until - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = match is_hole {
            true => {
                buffer[..room].fill(0);
                room
            }
            false => self.content.read(&mut buffer[..room])?,
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_put_where_they_belong() {
        let extent = |offset, length_bytes| Extent { offset, length_bytes };
        for (extents, size_bytes, expected) in [
            (vec![extent(2, 3), extent(5, 1), extent(8, 1)], 10, &b"\0\0abcd\0\0e\0"[..]),
            (vec![extent(0, 5)], 5, b"abcde"),
            (vec![], 3, b"\0\0\0"),
        ] {
            let mut read = Vec::new();
            let content = &b"abcde"[..];
            let mut file = Expanded { content, at: 0, size_bytes, extents: &extents };
            file.read_to_end(&mut read).unwrap();
            assert_eq!(read, expected);
        }
    }
}
