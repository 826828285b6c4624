//! One thread of an insertion: it looks up, claims, compares, and compresses frames of its own.
//!
//! Invariant: what it claimed it hands over, or the insertion publishes no metadata.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::inserter::Inserter;
use super::pack_writer::PackPart;
use super::publisher::Message;
use super::share::{Pending, ShareFrames, SharedFrame};
use super::{Store, WriteError};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::{
    CONTENT_FRAME_BYTES_TARGET, DELTA_FRAME_BYTES_TARGET, DELTA_FRAME_RAW_BYTES_TARGET,
    FRAME_OBJECTS_MAX, METADATA_FRAME_BYTES_TARGET,
};
use crate::format::compress::{Codec, Compression, Compressor};
use crate::format::delta::{Base, encode_delta_frame};
use crate::format::pack::{FrameObject, PackClass, encode_frame, encode_frame_into};

/// Bytes of a delta frame, its footer and its index that an object and its base take.
const DELTA_OVERHEAD_BYTES: usize = 120;
/// Objects in one delta frame, at most: to read one, the table of all is read.
const DELTA_FRAME_OBJECTS_MAX: usize = 1024;
/// Shortest file content that is compared with what it is like.
const DELTA_CONTENT_BYTES_MIN: usize = 16 << 10;
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
    content: OpenFrame,
    metadata: OpenFrame,
    content_deltas: OpenDeltas,
    metadata_deltas: OpenDeltas,
    /// The frame that is compressed, and what comes of it: kept from one frame to the next.
    raw: Vec<u8>,
    compressed: Vec<u8>,
    /// Who brings frames to other workers, and what of this one is there.
    share: Option<Arc<dyn ShareFrames>>,
    pending: Arc<Pending>,
    round: u64,
    is_finished: bool,
}

#[derive(Debug, Default)]
struct OpenFrame {
    objects: Vec<FrameObject>,
    bodies: Vec<u8>,
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
            content: OpenFrame::default(),
            metadata: OpenFrame::default(),
            content_deltas: OpenDeltas::default(),
            metadata_deltas: OpenDeltas::default(),
            raw: Vec::new(),
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
            && let Some(delta) = self.delta(object.kind, bytes, like)?
        {
            return self.put_delta(object, is_metadata, delta);
        }
        let frame = if is_metadata { &mut self.metadata } else { &mut self.content };
        let target =
            if is_metadata { METADATA_FRAME_BYTES_TARGET } else { CONTENT_FRAME_BYTES_TARGET };
        let is_full =
            frame.bodies.len() + bytes.len() > target || frame.objects.len() >= FRAME_OBJECTS_MAX;
        if is_full && !frame.objects.is_empty() {
            self.flush(is_metadata)?;
        }
        let frame = if is_metadata { &mut self.metadata } else { &mut self.content };
        frame.objects.push(object);
        frame.bodies.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self, is_metadata: bool) -> Result<(), WriteError> {
        let frame = if is_metadata { &mut self.metadata } else { &mut self.content };
        if frame.objects.is_empty() {
            return Ok(());
        }
        let class = if is_metadata { PackClass::Metadata } else { PackClass::Content };
        let objects = std::mem::take(&mut frame.objects);
        encode_frame_into(&objects, &frame.bodies, &mut self.raw);
        frame.bodies.clear();
        let objects = match &self.share {
            None => objects,
            Some(share) => {
                let raw = std::mem::take(&mut self.raw);
                let frame = SharedFrame::new(class, objects, raw, self.round, &self.pending);
                let Some(mut frame) = share.offer(frame) else { return Ok(()) };
                frame.settle();
                self.raw = std::mem::take(&mut frame.raw);
                std::mem::take(&mut frame.objects)
            }
        };
        let codec = self.compressor.compress(&self.raw, &mut self.compressed)?;
        let stored = self.compressed.as_slice().to_vec();
        let (raw_length, bases) = (self.raw.len(), Vec::new());
        let part = PackPart { class, codec, stored, raw_length, objects, bases };
        self.send(self.round, part)
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
    pub fn take_over(&mut self, mut frame: SharedFrame) -> Result<(), WriteError> {
        let codec = self.compressor.compress(&frame.raw, &mut self.compressed)?;
        let stored = self.compressed.as_slice().to_vec();
        let (class, raw_length, bases) = (frame.class, frame.raw.len(), Vec::new());
        let objects = std::mem::take(&mut frame.objects);
        let part = PackPart { class, codec, stored, raw_length, objects, bases };
        self.send(frame.round, part)?;
        frame.settle();
        Ok(())
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
        kind: Kind,
        bytes: &[u8],
        like: &Id,
    ) -> Result<Option<(Base, Vec<u8>)>, WriteError> {
        let least =
            if kind.is_metadata() { DELTA_METADATA_BYTES_MIN } else { DELTA_CONTENT_BYTES_MIN };
        let base = Some(like).filter(|_| bytes.len() >= least && self.compares());
        let Some((base, depth)) = base.and_then(|like| self.inserter.store.base_for(like)) else {
            return Ok(None);
        };
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
        for is_metadata in [false, true] {
            self.flush(is_metadata)?;
            self.flush_deltas(is_metadata)?;
        }
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
