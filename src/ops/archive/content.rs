//! The content of one file, whole or without its holes.
//!
//! Invariant: the stretches that the header tells are written, byte for byte, and nothing else.

use std::io;

use super::{ArchiveError, Archiver};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::HOLE_BYTES_MIN;
use crate::base::monitor::Action;
use crate::base::zeros::zeros;
use crate::format::codec::DecodeError;
use crate::format::list::{List, Segment};
use crate::format::tar::{Extent, Member, MemberKind, padding};
use crate::store::{ReadError, Span, Store, Stored};

/// Most stretches that a sparse member is told in; later holes are written as zeros.
const EXTENTS_MAX: usize = 1 << 18;

/// Writes a file; false if it was left out, which is told.
pub(super) fn write_file(
    archiver: &mut Archiver<'_, '_>,
    path: &[u8],
    member: Member,
    id: &Id,
    size_bytes: u64,
) -> Result<bool, ArchiveError> {
    let (stored, extents) = match prove(archiver.store, id, size_bytes, archiver.request.is_sparse)
    {
        Ok(proved) => proved,
        Err(error) if error.is_damage() => {
            archiver.damaged(path, &error);
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let kind = MemberKind::File { size_bytes, extents: extents.clone() };
    if !archiver.put_header(&Member { kind, ..member }, path)? {
        return Ok(false);
    }
    let whole = vec![Extent { offset: 0, length_bytes: size_bytes }];
    let (store, monitor) = (archiver.store, archiver.monitor);
    let mut stretches = Stretches { extents: extents.unwrap_or(whole), next: 0, at: 0, written: 0 };
    let mut sink = |span: Span<'_>| {
        if monitor.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Span::Bytes(bytes) = span {
            monitor.bytes(bytes.len() as u64);
        }
        stretches.take(span, &mut |bytes| archiver.put(bytes))
    };
    let streamed = match &stored {
        Stored::Whole(bytes) => sink(Span::Bytes(bytes)).map_err(ReadError::Sink),
        Stored::List(list) => store.stream_proved(id, Kind::Blob, list, &mut sink),
    };
    streamed.map_err(|error| match error {
        ReadError::Sink(error) if error.kind() == io::ErrorKind::Interrupted => {
            ArchiveError::Cancelled
        }
        ReadError::Sink(error) => ArchiveError::Write(error),
        source => ArchiveError::Cut { path: String::from_utf8_lossy(path).into_owned(), source },
    })?;
    let fill = padding(stretches.written);
    archiver.put(zeros().get(..fill).unwrap_or_default()).map_err(ArchiveError::Write)?;
    archiver.monitor.path(Action::New, path, size_bytes);
    Ok(true)
}

/// A file that is whole in memory, or a long one whose list is proved, and its stretches if it has
/// holes.
fn prove(
    store: &Store,
    id: &Id,
    size_bytes: u64,
    is_sparse: bool,
) -> Result<(Stored, Option<Vec<Extent>>), ReadError> {
    let stored = store.load(id, Kind::Blob)?;
    if stored.length_bytes() != size_bytes {
        let what = "a file of another length than its tree says";
        let source = DecodeError { what, offset: 0 };
        let file = "the repository".to_owned();
        return Err(ReadError::Damaged { id: *id, kind: Kind::Blob, file, source });
    }
    let extents = match &stored {
        Stored::Whole(_) => None,
        Stored::List(list) => {
            store.prove(id, Kind::Blob, list)?;
            if is_sparse { extents_of(store, list)? } else { None }
        }
    };
    Ok((stored, extents))
}

/// The stretches between the holes of a long file; `None` if it has no hole.
fn extents_of(store: &Store, list: &List) -> Result<Option<Vec<Extent>>, ReadError> {
    let mut extents = Vec::new();
    let (mut start, mut at, mut zeros) = (0, 0, 0);
    let mut end_run = |start: &mut u64, at: u64, zeros: u64| {
        let end = at - zeros;
        if zeros >= HOLE_BYTES_MIN && extents.len() < EXTENTS_MAX {
            if end > *start {
                extents.push(Extent { offset: *start, length_bytes: end - *start });
            }
            *start = at;
        }
    };
    store.for_each_segment(list, |segment| {
        match segment {
            Segment::Zeros { length_bytes } => zeros += length_bytes,
            Segment::Chunk { .. } => end_run(&mut start, at, std::mem::take(&mut zeros)),
        }
        at += segment.length_bytes();
        Ok(())
    })?;
    end_run(&mut start, at, zeros);
    if start == 0 {
        return Ok(None);
    }
    if at > start {
        extents.push(Extent { offset: start, length_bytes: at - start });
    }
    Ok(Some(extents))
}

/// Takes a file span by span, and passes on what lies in its stretches.
struct Stretches {
    extents: Vec<Extent>,
    next: usize,
    at: u64,
    written: u64,
}

impl Stretches {
    fn take(
        &mut self,
        span: Span<'_>,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.at;
        let end = start
            + match span {
                Span::Bytes(bytes) => bytes.len() as u64,
                Span::Zeros(count) => count,
            };
        self.at = end;
        while let Some(extent) = self.extents.get(self.next) {
            let extent_end = extent.offset + extent.length_bytes;
            let (from, to) = (extent.offset.max(start), extent_end.min(end));
            if from < to {
                match span {
                    Span::Bytes(bytes) => {
                        let range = (from - start) as usize..(to - start) as usize;
                        put(bytes.get(range).unwrap_or_default())?;
                    }
                    Span::Zeros(_) => put_zeros(to - from, put)?,
                }
                self.written += to - from;
            }
            if extent_end > end {
                break;
            }
            self.next += 1;
        }
        Ok(())
    }
}

fn put_zeros(mut count: u64, put: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    while count > 0 {
        let take = count.min(zeros().len() as u64);
        put(zeros().get(..take as usize).unwrap_or_default())?;
        count -= take;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stretches_are_passed_on() {
        let file = b"..abc.....de....f";
        let extent = |offset, length_bytes| Extent { offset, length_bytes };
        for step in 1..=file.len() {
            let extents = vec![extent(2, 3), extent(10, 2), extent(16, 1)];
            let mut stretches = Stretches { extents, next: 0, at: 0, written: 0 };
            let mut put = Vec::new();
            for part in file.chunks(step) {
                let mut sink = |bytes: &[u8]| {
                    put.extend_from_slice(bytes);
                    Ok(())
                };
                stretches.take(Span::Bytes(part), &mut sink).unwrap();
            }
            assert_eq!((&put[..], stretches.written), (&b"abcdef"[..], 6), "{step}");
        }
    }

    #[test]
    fn zeros_inside_a_stretch_are_written() {
        let extents = vec![Extent { offset: 1, length_bytes: 100_000 }];
        let mut stretches = Stretches { extents, next: 0, at: 0, written: 0 };
        let mut put = 0;
        let mut sink = |bytes: &[u8]| {
            assert!(bytes.iter().all(|byte| *byte == 0));
            put += bytes.len();
            Ok(())
        };
        stretches.take(Span::Zeros(90_000), &mut sink).unwrap();
        stretches.take(Span::Zeros(90_000), &mut sink).unwrap();
        assert_eq!(put, 100_000);
    }
}
