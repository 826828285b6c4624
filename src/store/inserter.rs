//! Storing many objects: workers that look up, claim and compress, and one publisher behind them.
//!
//! Invariant: within a process no object is stored twice; every queue is bounded; metadata is
//! published only if all workers ended well.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Sender, bounded};

use super::pack_writer::PackPart;
use super::publisher::{Message, Publisher};
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

/// Frames that wait for the publisher, at most.
const QUEUE_FRAMES: usize = 8;
const CLAIM_SHARDS: usize = 64;
/// Bytes of a delta frame, its footer and its index that an object and its base take.
const DELTA_OVERHEAD_BYTES: usize = 120;
/// Objects in one delta frame, at most: to read one, the table of all is read.
const DELTA_FRAME_OBJECTS_MAX: usize = 1024;
/// Shortest file content that is compared with what it is like: to read that out of its frame takes
/// as long as to compress 100 KiB. Over 1,470 changed source files, 4 KiB would save 1 MB of 6.3.
const DELTA_CONTENT_BYTES_MIN: usize = 16 << 10;
/// Shortest tree or page that is. The other one is often in the frame that was read last.
const DELTA_METADATA_BYTES_MIN: usize = 512;

/// How objects are to be stored.
#[derive(Debug, Clone, Copy)]
pub struct InsertOptions {
    /// Threads that put objects.
    pub workers: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// Whether objects that are stored already are stored again, each once. A copy that a prune has
    /// condemned is none in either case.
    pub again: bool,
}

impl InsertOptions {
    /// So many threads, and compression; what is stored already is not stored again.
    pub fn new(workers: usize, compression: Compression) -> Self {
        Self { workers, compression, again: false }
    }
}

/// What an insertion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InsertReport {
    /// Packs written.
    pub packs: u64,
    /// Bytes of compressed frames written.
    pub packed_bytes: u64,
    /// Objects that were new.
    pub objects: u64,
    /// Their bytes, uncompressed.
    pub object_bytes: u64,
    /// Of `object_bytes`, those of file data.
    pub content_bytes: u64,
}

/// Ids whose objects are on their way into a pack.
#[derive(Debug)]
pub(super) struct Claims {
    shards: Vec<Mutex<HashSet<Id>>>,
    /// Packs that were published by this insertion.
    packs: Mutex<BTreeSet<Id>>,
    round: AtomicU64,
    objects: AtomicU64,
    object_bytes: AtomicU64,
    content_bytes: AtomicU64,
}

impl Claims {
    fn new() -> Self {
        Self {
            shards: (0..CLAIM_SHARDS).map(|_| Mutex::default()).collect(),
            packs: Mutex::default(),
            round: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            object_bytes: AtomicU64::new(0),
            content_bytes: AtomicU64::new(0),
        }
    }

    fn shard(&self, id: &Id) -> std::sync::MutexGuard<'_, HashSet<Id>> {
        let number = usize::from(id.as_bytes()[0]) % CLAIM_SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is the first, and now the one who stores the object.
    fn claim(&self, id: &Id) -> bool {
        self.shard(id).insert(*id)
    }

    fn is_claimed(&self, id: &Id) -> bool {
        self.shard(id).contains(id)
    }

    fn packs(&self) -> std::sync::MutexGuard<'_, BTreeSet<Id>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a pack that was published. Comes before the claims on its objects are released.
    pub(super) fn note_pack(&self, pack: Id) {
        self.packs().insert(pack);
    }

    pub(super) fn release<'a>(&self, ids: impl Iterator<Item = &'a Id>) {
        for id in ids {
            self.shard(id).remove(id);
        }
    }

    pub(super) fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    pub(super) fn start_round(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }
}

/// Stores objects on behalf of one session.
#[derive(Debug)]
pub struct Inserter<'s> {
    store: &'s Store,
    session: &'s str,
    options: InsertOptions,
    claims: Claims,
    failed: AtomicBool,
}

impl<'s> Inserter<'s> {
    /// Prepares to store objects on behalf of a session.
    pub fn new(store: &'s Store, session: &'s str, options: InsertOptions) -> Self {
        Self { store, session, options, claims: Claims::new(), failed: AtomicBool::new(false) }
    }

    /// Runs `work` with as many workers as the options say, and publishes what they put.
    ///
    /// `work` spreads the workers over its threads, and says by its result whether all of them did
    /// what they should. On return everything is durable.
    ///
    /// # Errors
    ///
    /// What `work` returns, or the publisher; content already published stays, for the next run.
    pub fn run<T, E: From<WriteError>>(
        &self,
        work: impl FnOnce(Vec<Worker<'_>>) -> Result<T, E>,
    ) -> Result<(T, InsertReport), E> {
        let (sender, receiver) = bounded(QUEUE_FRAMES);
        let workers = (0..self.options.workers.max(1))
            .map(|number| Worker::new(self, number, sender.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        drop(sender);
        let publisher = Publisher::new(self.store, self.session, &self.claims, workers.len());
        std::thread::scope(|scope| {
            let whole = || !self.failed.load(Ordering::Acquire);
            let publisher = scope.spawn(move || publisher.run(&receiver, whole));
            let done = work(workers);
            let published = match publisher.join() {
                Ok(published) => published,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            // A publisher that failed makes workers stop; its own reason is the one to tell.
            match (done, published) {
                (_, Err(error)) => Err(error.into()),
                (Err(error), _) => Err(error),
                (Ok(value), Ok(report)) => Ok((value, self.complete(report))),
            }
        })
    }

    /// Names of the packs that were published so far, sorted.
    pub fn packs(&self) -> Vec<Id> {
        self.claims.packs().iter().copied().collect()
    }

    /// Whether an object need not be stored.
    fn is_stored(&self, id: &Id) -> Result<bool, WriteError> {
        if !self.options.again {
            return Ok(self.store.is_present(id)?);
        }
        let own = self.claims.packs();
        Ok(!own.is_empty() && self.store.segments().is_present(id, |pack| own.contains(&pack.name)))
    }

    fn complete(&self, report: InsertReport) -> InsertReport {
        InsertReport {
            objects: self.claims.objects.load(Ordering::Relaxed),
            object_bytes: self.claims.object_bytes.load(Ordering::Relaxed),
            content_bytes: self.claims.content_bytes.load(Ordering::Relaxed),
            ..report
        }
    }

    /// Runs `work` with one worker on this thread.
    ///
    /// # Errors
    ///
    /// As [`Inserter::run`].
    pub fn run_one<T, E: From<WriteError>>(
        &self,
        work: impl FnOnce(&mut Worker<'_>) -> Result<T, E>,
    ) -> Result<(T, InsertReport), E> {
        self.run(|mut workers| {
            let Some(mut worker) = workers.pop() else { return Err(WriteError::Stopped.into()) };
            workers.drain(..).try_for_each(Worker::finish)?;
            let value = work(&mut worker)?;
            worker.finish()?;
            Ok(value)
        })
    }
}

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
    fn new(
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
        claims.objects.fetch_add(1, Ordering::Relaxed);
        claims.object_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let is_metadata = object.kind.is_metadata() || object.is_list;
        if !is_metadata {
            claims.content_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
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
        let Some(base) = base.and_then(|like| self.inserter.store.base_for(like)) else {
            return Ok(None);
        };
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
