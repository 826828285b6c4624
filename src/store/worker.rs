//! One thread of an insertion: it looks up, claims, compares, and compresses frames of its own.
//!
//! Invariant: what it claimed it hands over, or the insertion publishes no metadata.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::inserter::Inserter;
use super::open_frame::{OpenFrame, RawFrame};
use super::pack_writer::PackPart;
use super::publisher::Message;
use super::share::{Pending, ShareFrames, SharedFrame};
use super::{Store, Stored, WriteError};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{
    CONTENT_FRAME_BYTES_TARGET, DELTA_FRAME_BYTES_TARGET, DELTA_FRAME_RAW_BYTES_TARGET,
    FRAME_OBJECTS_MAX, METADATA_FRAME_BYTES_TARGET, SHORT_CONTENT_BYTES,
    SHORT_CONTENT_FRAME_BYTES_TARGET,
};
use crate::format::compress::{Codec, Compression, Compressor};
use crate::format::delta::{Base, encode_delta_frame};
use crate::format::pack::{FrameObject, PackClass, encode_frame};

/// Bytes of a delta frame, its footer and its index that an object and its base take.
const DELTA_OVERHEAD_BYTES: usize = 120;
/// Objects in one delta frame, at most: to read one, the table of all is read.
const DELTA_FRAME_OBJECTS_MAX: usize = 1024;
/// Bytes of a frame that are decoded at most to get at what file content is like, for each byte of
/// that content. Of 1,470 changed source files, this stores 6.9 MB; without it, 6.3 MB in a third more
/// time; with half of it, 7.3 MB in a tenth less.
const DELTA_REACH: usize = 64;
/// Shortest tree or page that is. The other one is often in the frame that was read last.
const DELTA_METADATA_BYTES_MIN: usize = 512;

/// One thread's share of an insertion: open frames of its own.
#[derive(Debug)]
pub struct Worker<'i> {
    inserter: &'i Inserter<'i>,
    number: usize,
    sender: Sender<Message>,
    compressor: Compressor,
    /// By shelf.
    frames: [OpenFrame; 3],
    content_deltas: OpenDeltas,
    metadata_deltas: OpenDeltas,
    /// What comes of a frame: kept from one to the next.
    compressed: Vec<u8>,
    /// Who brings frames to other workers, and what of this one is there.
    share: Option<Arc<dyn ShareFrames>>,
    pending: Arc<Pending>,
    round: u64,
    is_finished: bool,
}

/// Which frame an object goes into, and in the end which pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shelf {
    Short,
    Content,
    Metadata,
}

impl Shelf {
    const ALL: [Self; 3] = [Self::Short, Self::Content, Self::Metadata];

    fn of(is_metadata: bool, length: usize) -> Self {
        match is_metadata {
            true => Self::Metadata,
            false if length < SHORT_CONTENT_BYTES => Self::Short,
            false => Self::Content,
        }
    }

    fn frame_bytes(self) -> usize {
        match self {
            Self::Short => SHORT_CONTENT_FRAME_BYTES_TARGET,
            Self::Content => CONTENT_FRAME_BYTES_TARGET,
            Self::Metadata => METADATA_FRAME_BYTES_TARGET,
        }
    }

    fn class(self) -> PackClass {
        match self {
            Self::Short | Self::Content => PackClass::Content,
            Self::Metadata => PackClass::Metadata,
        }
    }
}

/// Objects of a delta frame, encoded already.
#[derive(Debug, Default)]
struct OpenDeltas {
    objects: Vec<FrameObject>,
    /// The base of each, and the bytes that it takes in `deltas`.
    parts: Vec<(Base, u32)>,
    deltas: Vec<u8>,
    raw_bytes: usize,
}

impl<'i> Worker<'i> {
    pub(super) fn new(
        inserter: &'i Inserter<'i>,
        number: usize,
        sender: Sender<Message>,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            inserter,
            number,
            sender,
            compressor: Compressor::new(inserter.options.compression)?,
            frames: Default::default(),
            content_deltas: OpenDeltas::default(),
            metadata_deltas: OpenDeltas::default(),
            compressed: Vec::new(),
            share: None,
            pending: Arc::default(),
            round: 0,
            is_finished: false,
        })
    }

    /// The objects that are being added to.
    pub fn store(&self) -> &'i Store {
        self.inserter.store
    }

    /// Stores an object in one piece, unless it is there, and returns its id.
    ///
    /// # Errors
    ///
    /// The backend fails, or the publisher has stopped.
    pub fn put(&mut self, kind: Kind, bytes: &[u8]) -> Result<Id, WriteError> {
        self.put_like(kind, bytes, None)
    }

    /// As [`Worker::put`], for an object that may resemble another one, such as its previous
    /// version: then it may be stored as what differs from that.
    ///
    /// # Errors
    ///
    /// As [`Worker::put`]. That the other object cannot be read is none.
    pub fn put_like(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        like: Option<&Id>,
    ) -> Result<Id, WriteError> {
        let id = object_id(kind, bytes);
        let object = FrameObject { id, kind, is_list: false, length: bytes.len() as u32 };
        self.put_stored(object, bytes, like)?;
        Ok(id)
    }

    /// Whether what is stored is compared with what resembles it: only zstd can make use of that.
    pub(super) fn compares(&self) -> bool {
        matches!(self.inserter.options.compression, Compression::Zstd(_))
            && self.inserter.store.backend().reads_at_once()
    }

    /// Stores the list of a long object, whose chunks and pages were put before.
    ///
    /// # Errors
    ///
    /// As [`Worker::put`].
    pub fn put_list(&mut self, id: Id, kind: Kind, list: &[u8]) -> Result<(), WriteError> {
        let object = FrameObject { id, kind, is_list: true, length: list.len() as u32 };
        self.put_stored(object, list, None)
    }

    /// Stores an object as it is stored elsewhere: as its bytes, maybe as what differs from `like`, or as its
    /// list, which was proved.
    ///
    /// # Errors
    ///
    /// As [`Worker::put`].
    pub fn put_as_stored(
        &mut self,
        id: &Id,
        kind: Kind,
        stored: &Stored,
        like: Option<&Id>,
    ) -> Result<(), WriteError> {
        match stored {
            Stored::Whole(bytes) => self.put_like(kind, bytes, like).map(drop),
            Stored::List(list) => self.put_list(*id, kind, &list.encode()),
        }
    }

    /// Whether the object is stored, or on its way.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn is_present(&self, id: &Id) -> Result<bool, WriteError> {
        Ok(self.inserter.claims.is_claimed(id) || self.inserter.store.is_present(id)?)
    }

    fn put_stored(
        &mut self,
        object: FrameObject,
        bytes: &[u8],
        like: Option<&Id>,
    ) -> Result<(), WriteError> {
        self.join_round()?;
        let claims = &self.inserter.claims;
        if self.inserter.is_stored(&object.id)? || !claims.claim(&object.id) {
            return Ok(());
        }
        let is_metadata = object.kind.is_metadata() || object.is_list;
        claims.count(bytes.len(), is_metadata);
        if let Some(like) = like
            && let Some(delta) = self.delta(&object, bytes, like)?
        {
            return self.put_delta(object, is_metadata, delta);
        }
        let shelf = Shelf::of(is_metadata, bytes.len());
        let frame = self.frame(shelf);
        if frame.length() + bytes.len() > shelf.frame_bytes()
            || frame.objects.len() >= FRAME_OBJECTS_MAX
        {
            self.flush(shelf)?;
        }
        self.frame(shelf).add(object, bytes);
        Ok(())
    }

    fn frame(&mut self, shelf: Shelf) -> &mut OpenFrame {
        let [short, content, metadata] = &mut self.frames;
        match shelf {
            Shelf::Short => short,
            Shelf::Content => content,
            Shelf::Metadata => metadata,
        }
    }

    fn flush(&mut self, shelf: Shelf) -> Result<(), WriteError> {
        if self.frame(shelf).objects.is_empty() {
            return Ok(());
        }
        let raw = self.frame(shelf).close();
        let frame = SharedFrame::new(shelf.class(), raw, self.round, &self.pending);
        let frame = match &self.share {
            None => Some(frame),
            Some(share) => share.offer(frame),
        };
        if let Some(frame) = frame {
            let raw = self.compress(frame)?;
            self.frame(shelf).reuse(raw);
        }
        Ok(())
    }

    /// Compresses a frame and hands it over; its memory.
    fn compress(&mut self, mut frame: SharedFrame) -> Result<RawFrame, WriteError> {
        let mut raw = std::mem::take(&mut frame.raw);
        let codec = self.compressor.compress(raw.bytes(), &mut self.compressed)?;
        let stored = self.compressed.as_slice().to_vec();
        let objects = std::mem::take(&mut raw.objects);
        let (class, raw_length, bases) = (frame.class, raw.bytes().len(), Vec::new());
        let part = PackPart { class, codec, stored, raw_length, objects, bases };
        self.send(frame.round, part)?;
        frame.settle();
        Ok(raw)
    }

    fn send(&self, round: u64, part: PackPart) -> Result<(), WriteError> {
        self.sender.send(Message::Part { round, part }).map_err(|_| WriteError::Stopped)
    }

    /// Leaves frames to workers that have nothing to do.
    pub fn share(&mut self, with: Arc<dyn ShareFrames>) {
        self.share = Some(with);
    }

    /// Compresses a frame of another worker and hands it over.
    ///
    /// # Errors
    ///
    /// The compressor fails its check, or the publisher has stopped; that worker will not say that
    /// it handed over everything.
    pub fn take_over(&mut self, frame: SharedFrame) -> Result<(), WriteError> {
        self.compress(frame).map(drop)
    }

    /// Waits for the frames that others compress.
    fn await_shared(&mut self) -> Result<(), WriteError> {
        let Some(share) = self.share.clone() else { return Ok(()) };
        while !self.pending.is_empty() {
            match share.take_back() {
                Some(frame) => self.take_over(frame)?,
                None => break,
            }
        }
        if self.pending.wait() { Ok(()) } else { Err(WriteError::Stopped) }
    }

    /// What differs between an object and one that it is like, where it pays to store that.
    fn delta(
        &mut self,
        object: &FrameObject,
        bytes: &[u8],
        like: &Id,
    ) -> Result<Option<(Base, Vec<u8>)>, WriteError> {
        let kind = object.kind;
        let least = if kind.is_metadata() { DELTA_METADATA_BYTES_MIN } else { SHORT_CONTENT_BYTES };
        let base = Some(like).filter(|_| bytes.len() >= least && self.compares());
        let Some((base, depth)) = base.and_then(|like| self.inserter.store.base_for(like)) else {
            return Ok(None);
        };
        // A copy that was not relied on a moment ago is no base for the next one.
        if base.id == object.id {
            return Ok(None);
        }
        if !kind.is_metadata() && depth > bytes.len() * DELTA_REACH {
            return Ok(None);
        }
        // One that cannot be read is for the check to tell; the object is stored whole.
        let Ok(base_bytes) = self.inserter.store.load_base(&base) else { return Ok(None) };
        let mut delta = Vec::new();
        if !self.compressor.compress_delta(&base_bytes, bytes, &mut delta)? {
            return Ok(None);
        }
        let cost = delta.len() + DELTA_OVERHEAD_BYTES;
        let is_small = if cost > bytes.len() / 8 && cost <= bytes.len() / 2 {
            let mut alone = Vec::new();
            self.compressor.compress(bytes, &mut alone)?;
            cost <= alone.len() / 2
        } else {
            cost <= bytes.len() / 8
        };
        Ok(is_small.then_some((base, delta)))
    }

    fn put_delta(
        &mut self,
        object: FrameObject,
        is_metadata: bool,
        (base, delta): (Base, Vec<u8>),
    ) -> Result<(), WriteError> {
        let raw_bytes = object.length as usize;
        let open = if is_metadata { &self.metadata_deltas } else { &self.content_deltas };
        if open.deltas.len() + delta.len() > DELTA_FRAME_BYTES_TARGET
            || open.raw_bytes + raw_bytes > DELTA_FRAME_RAW_BYTES_TARGET
            || open.objects.len() >= DELTA_FRAME_OBJECTS_MAX
        {
            self.flush_deltas(is_metadata)?;
        }
        let open = if is_metadata { &mut self.metadata_deltas } else { &mut self.content_deltas };
        open.objects.push(object);
        open.parts.push((base, delta.len() as u32));
        open.deltas.extend_from_slice(&delta);
        open.raw_bytes += raw_bytes;
        Ok(())
    }

    fn flush_deltas(&mut self, is_metadata: bool) -> Result<(), WriteError> {
        let open = if is_metadata { &mut self.metadata_deltas } else { &mut self.content_deltas };
        let OpenDeltas { objects, parts, deltas, raw_bytes } = std::mem::take(open);
        if objects.is_empty() {
            return Ok(());
        }
        let class = if is_metadata { PackClass::Metadata } else { PackClass::Content };
        let stored = encode_delta_frame(&objects, &parts, &deltas);
        let bases = parts.into_iter().map(|(base, _)| base).collect();
        let raw_length = encode_frame(&objects, &[]).len() + raw_bytes;
        let part = PackPart { class, codec: Codec::Delta, stored, raw_length, objects, bases };
        self.send(self.round, part)
    }

    fn flush_all(&mut self) -> Result<(), WriteError> {
        Shelf::ALL.into_iter().try_for_each(|shelf| self.flush(shelf))?;
        [false, true].into_iter().try_for_each(|is_metadata| self.flush_deltas(is_metadata))?;
        self.await_shared()
    }

    /// Hands over what is held, if the publisher waits for that.
    fn join_round(&mut self) -> Result<(), WriteError> {
        let round = self.inserter.claims.round();
        if round == self.round {
            return Ok(());
        }
        self.flush_all()?;
        self.round = round;
        let joined = Message::Joined { worker: self.number, round };
        self.sender.send(joined).map_err(|_| WriteError::Stopped)
    }

    /// Hands over everything. A worker that is dropped without this has failed.
    ///
    /// # Errors
    ///
    /// The compressor fails its check, or the publisher has stopped.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.flush_all()?;
        self.is_finished = true;
        let joined = Message::Joined { worker: self.number, round: u64::MAX };
        self.sender.send(joined).map_err(|_| WriteError::Stopped)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.inserter.failed.store(true, Ordering::Release);
        }
    }
}
