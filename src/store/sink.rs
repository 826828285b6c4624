//! Where objects go when they are made: into a repository, or nowhere but their ids.
//!
//! Invariant: both ways give the same ids, so that a dry run tells what a real one would store.

use std::io::Read;
use std::sync::Arc;

use super::previous::{Pages, Previous};
use super::share::{ShareFrames, SharedFrame};
use super::worker::Worker;
use super::{Store, Stored, WriteError};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::zeros::zeros;
use crate::format::chunker::{Chunker, Segmenter, Stretch};
use crate::format::list::{ListBuilder, Segment};

/// Takes objects and gives their ids.
pub trait ObjectSink: Send {
    /// Takes an object in one piece.
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Id, WriteError>;

    /// As [`ObjectSink::put`], for an object that may resemble one that is stored, such as its
    /// previous version.
    fn put_like(&mut self, kind: Kind, bytes: &[u8], _like: Option<&Id>) -> Result<Id, WriteError> {
        self.put(kind, bytes)
    }

    /// What is stored under an id already, where new objects may be compared with that.
    fn stored(&self, _id: &Id, _kind: Kind) -> Option<Stored> {
        None
    }

    /// Takes the list of a long object, whose chunks and pages were taken before.
    fn put_list(&mut self, id: Id, kind: Kind, list: &[u8]) -> Result<(), WriteError>;

    /// Where long objects are cut; `None` if nothing is stored and so nothing need be cut.
    fn chunker(&self) -> Option<&Chunker>;

    /// Leaves work to other sinks that have none, where there is any that can be left.
    fn share(&mut self, _with: Arc<dyn ShareFrames>) {}

    /// Does work that another sink has left.
    fn take_over(&mut self, _frame: SharedFrame) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Hands an object of any length to a sink, in chunks if it is long.
///
/// # Errors
///
/// Those of the sink.
pub fn put_any<S: ObjectSink + ?Sized>(
    sink: &mut S,
    kind: Kind,
    bytes: &[u8],
) -> Result<Id, WriteError> {
    put_any_like(sink, kind, bytes, None)
}

/// As [`put_any`], for an object that may resemble one that is stored, such as its previous version.
///
/// # Errors
///
/// Those of the sink.
pub fn put_any_like<S: ObjectSink + ?Sized>(
    sink: &mut S,
    kind: Kind,
    bytes: &[u8],
    like: Option<&Id>,
) -> Result<Id, WriteError> {
    if sink.chunker().is_none_or(|chunker| bytes.len() <= chunker.max_bytes()) {
        return sink.put_like(kind, bytes, like);
    }
    let mut long = LongObject::like(sink, kind, like);
    long.feed(bytes)?;
    long.finish()
}

impl ObjectSink for Worker<'_> {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Id, WriteError> {
        self.put(kind, bytes)
    }

    fn put_like(&mut self, kind: Kind, bytes: &[u8], like: Option<&Id>) -> Result<Id, WriteError> {
        self.put_like(kind, bytes, like)
    }

    fn stored(&self, id: &Id, kind: Kind) -> Option<Stored> {
        self.compares().then(|| self.store().load_from_known_places(id, kind).ok())?
    }

    fn put_list(&mut self, id: Id, kind: Kind, list: &[u8]) -> Result<(), WriteError> {
        self.put_list(id, kind, list)
    }

    fn chunker(&self) -> Option<&Chunker> {
        Some(self.store().chunker())
    }

    fn share(&mut self, with: Arc<dyn ShareFrames>) {
        self.share(with);
    }

    fn take_over(&mut self, frame: SharedFrame) -> Result<(), WriteError> {
        self.take_over(frame)
    }
}

/// Objects up to this length come in one piece where nothing is stored.
const WHOLE_BYTES_MAX: usize = 2 << 20;
/// Bytes of one read of a long object.
const READ_BYTES: usize = 1 << 20;

/// Hands an object of unknown length to a sink as it is read; its id and bytes.
///
/// `on_read` is told of each read, and ends the reading by returning false.
///
/// # Errors
///
/// Those of the sink; [`WriteError::Source`] if the bytes cannot be read, or no more are wanted.
pub fn put_stream<S: ObjectSink + ?Sized>(
    sink: &mut S,
    kind: Kind,
    reader: &mut dyn Read,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<(Id, u64), WriteError> {
    put_stream_like(sink, kind, None, reader, on_read)
}

/// As [`put_stream`], for an object that may resemble one that is stored, such as its previous
/// version.
///
/// # Errors
///
/// As [`put_stream`].
pub fn put_stream_like<S: ObjectSink + ?Sized>(
    sink: &mut S,
    kind: Kind,
    like: Option<&Id>,
    reader: &mut dyn Read,
    on_read: &mut dyn FnMut(u64) -> bool,
) -> Result<(Id, u64), WriteError> {
    let whole_max = sink.chunker().map_or(WHOLE_BYTES_MAX, Chunker::max_bytes);
    let mut start = Vec::new();
    reader.take(whole_max as u64 + 1).read_to_end(&mut start).map_err(WriteError::Source)?;
    if start.len() <= whole_max {
        on_read(start.len() as u64);
        return Ok((sink.put_like(kind, &start, like)?, start.len() as u64));
    }
    let mut long = LongObject::like(sink, kind, like);
    let (mut total, mut read) = (0, start.len());
    while read > 0 {
        total += read as u64;
        if !on_read(read as u64) {
            return Err(WriteError::Source(std::io::ErrorKind::Interrupted.into()));
        }
        long.feed(start.get(..read).unwrap_or_default())?;
        // Pieces are hashed where they lie if they are read whole.
        start.resize(READ_BYTES - usize::try_from(total).unwrap_or(0) % READ_BYTES, 0);
        read = fill(reader, &mut start).map_err(WriteError::Source)?;
    }
    Ok((long.finish()?, total))
}

/// Reads until the buffer is full or nothing is left; the bytes read.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Stores nothing: only tells ids.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashOnly;

impl ObjectSink for HashOnly {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Id, WriteError> {
        Ok(object_id(kind, bytes))
    }

    fn put_list(&mut self, _id: Id, _kind: Kind, _list: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }

    fn chunker(&self) -> Option<&Chunker> {
        None
    }
}

/// Stores each object as a loose file. For few objects: each costs two syncs.
#[derive(Debug)]
pub struct LooseSink<'s> {
    store: &'s Store,
    session: &'s str,
    /// Objects that were not there before.
    pub new_objects: u64,
}

impl<'s> LooseSink<'s> {
    /// Prepares to store loose objects on behalf of a session.
    pub fn new(store: &'s Store, session: &'s str) -> Self {
        Self { store, session, new_objects: 0 }
    }

    fn put_stored(
        &mut self,
        id: &Id,
        kind: Kind,
        is_list: bool,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        if self.store.is_present(id)? {
            return self.store.sync_loose(id).map_err(WriteError::from);
        }
        self.store.put_loose(self.session, id, kind, is_list, bytes)?;
        self.new_objects += 1;
        Ok(())
    }
}

impl ObjectSink for LooseSink<'_> {
    fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Id, WriteError> {
        let id = object_id(kind, bytes);
        self.put_stored(&id, kind, false, bytes)?;
        Ok(id)
    }

    fn put_list(&mut self, id: Id, kind: Kind, list: &[u8]) -> Result<(), WriteError> {
        self.put_stored(&id, kind, true, list)
    }

    fn chunker(&self) -> Option<&Chunker> {
        Some(self.store.chunker())
    }
}

/// Stores the pages of a list, each like the one that stood there.
fn put_page<'p, S: ObjectSink + ?Sized>(
    sink: &'p mut S,
    mut pages: Option<&'p mut Pages>,
) -> impl FnMut(&[u8]) -> Result<Id, WriteError> + 'p {
    move |page| {
        let like = pages.as_ref().and_then(|pages| pages.like());
        let id = sink.put_like(Kind::Page, page, like.as_ref())?;
        pages.iter_mut().for_each(|pages| pages.pass(&id));
        Ok(id)
    }
}

/// An object that arrives as a stream, longer than the longest chunk.
///
/// Holds one chunk, one piece and one page of each sort; of a previous version, the places of some
/// hundred chunks and the ids of its pages.
#[derive(Debug)]
pub struct LongObject<'w, S: ?Sized> {
    sink: &'w mut S,
    kind: Kind,
    builder: ListBuilder,
    segmenter: Option<Segmenter>,
    previous: Option<Previous>,
}

impl<'w, S: ObjectSink + ?Sized> LongObject<'w, S> {
    /// Starts an object.
    pub fn new(sink: &'w mut S, kind: Kind) -> Self {
        Self::like(sink, kind, None)
    }

    /// Starts an object that may resemble one that is stored, such as its previous version.
    pub fn like(sink: &'w mut S, kind: Kind, like: Option<&Id>) -> Self {
        let segmenter = sink.chunker().map(|chunker| Segmenter::new(chunker.clone()));
        let previous = like.and_then(|id| {
            // Nothing is asked where nothing is stored.
            segmenter.as_ref()?;
            Previous::new(id, kind, &|id, kind| sink.stored(id, kind))
        });
        Self { builder: ListBuilder::new(kind), segmenter, previous, sink, kind }
    }

    fn with_stretches(
        &mut self,
        feed: impl FnOnce(
            &mut Segmenter,
            &mut dyn FnMut(Stretch<'_>) -> Result<(), WriteError>,
        ) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let Some(segmenter) = &mut self.segmenter else { return Ok(()) };
        let (sink, builder) = (&mut *self.sink, &mut self.builder);
        let (previous, chunk_kind) = (&mut self.previous, self.kind.chunk_kind());
        feed(segmenter, &mut |stretch| {
            let segment = match stretch {
                Stretch::Chunk(chunk) => {
                    let length_bytes = chunk.len() as u64;
                    let like = previous.as_mut().and_then(|previous| {
                        previous.like(length_bytes, &|id, kind| sink.stored(id, kind))
                    });
                    let id = sink.put_like(chunk_kind, chunk, like.as_ref())?;
                    previous.iter_mut().for_each(|previous| previous.pass(&id, length_bytes));
                    Segment::Chunk { id, length_bytes }
                }
                Stretch::Zeros(length_bytes) => {
                    previous.iter_mut().for_each(|previous| previous.pass_zeros(length_bytes));
                    Segment::Zeros { length_bytes }
                }
            };
            let pages = previous.as_mut().map(|previous| &mut previous.segment_pages);
            builder.segment(segment, &mut put_page(sink, pages))
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.hash(bytes)?;
        self.with_stretches(|segmenter, each| segmenter.feed(bytes, &mut |stretch| each(stretch)))
    }

    fn hash(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.segmenter.is_none() {
            return self.builder.hash(bytes, &mut |page| Ok(object_id(Kind::Page, page)));
        }
        let pages = self.previous.as_mut().map(|previous| &mut previous.value_pages);
        self.builder.hash(bytes, &mut put_page(&mut *self.sink, pages))
    }

    /// Takes a hole: zero bytes that nobody had to read.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn feed_zeros(&mut self, count: u64) -> Result<(), WriteError> {
        let mut rest = count;
        while rest > 0 {
            let take = rest.min(zeros().len() as u64);
            self.hash(&zeros()[..take as usize])?;
            rest -= take;
        }
        self.with_stretches(|segmenter, each| {
            segmenter.feed_zeros(count, &mut |stretch| each(stretch))
        })
    }

    /// Ends the object and stores its list; its id.
    ///
    /// # Errors
    ///
    /// Those of the sink; an object of one piece, which should have come in one, is refused as
    /// [`WriteError::Stopped`].
    pub fn finish(mut self) -> Result<Id, WriteError> {
        self.with_stretches(|segmenter, each| segmenter.finish(&mut |stretch| each(stretch)))?;
        let mut previous = self.previous;
        let pages = previous.as_mut().map(|previous| &mut previous.segment_pages);
        self.builder.end_segments(&mut put_page(&mut *self.sink, pages))?;
        let pages = previous.as_mut().map(|previous| &mut previous.value_pages);
        let finished = self.builder.finish(&mut put_page(&mut *self.sink, pages))?;
        let (id, list) = finished.ok_or(WriteError::Stopped)?;
        self.sink.put_list(id, self.kind, &list.encode())?;
        Ok(id)
    }
}
