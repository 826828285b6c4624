//! The one writer of packs in a process: appends frames, closes packs, publishes their index.
//!
//! Invariant: a segment is published only when all that its objects refer to is in published
//! segments. Blobs refer to nothing but bases, which were published before them, so their packs are
//! published one by one. Metadata is published in rounds: when a pack of it is full a new round
//! starts, each worker joins it by handing over what it holds, and once all have joined, what was
//! put before the round is whole. An object put before its worker joined cannot refer to one put
//! after another worker joined: whoever learns of that object learns of the round with it, and joins
//! before it puts anything.

use std::collections::BTreeSet;

use crossbeam_channel::Receiver;

use super::claims::Claims;
use super::pack_writer::{PackPart, PackWriter, random_salt};
use super::segments::{Segment, segment_file};
use super::{InsertReport, ReadError, Store, WriteError};
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::limits::PACK_BYTES_TARGET;
use crate::format::codec::DecodeError;
use crate::format::index::{Index, IndexBuilder, PackRecord, merge};
use crate::format::pack::{FrameRecord, PackClass};

/// What workers tell the publisher, each in its own order.
#[derive(Debug)]
pub(super) enum Message {
    /// A frame to append.
    Part {
        /// The round that its worker had joined when it was filled.
        round: u64,
        /// The frame.
        part: PackPart,
    },
    /// A worker has joined a round: it holds nothing from before. `u64::MAX` when it ends.
    Joined {
        /// Its number.
        worker: usize,
        /// The round.
        round: u64,
    },
}

pub(super) struct Publisher<'s> {
    store: &'s Store,
    session: &'s str,
    claims: &'s Claims,
    content: Option<PackWriter>,
    /// Metadata of the round that is going on.
    metadata: Option<PackWriter>,
    /// Metadata from before it, of workers that have not joined yet.
    late_metadata: Option<PackWriter>,
    /// Packs of metadata that are closed and not published yet.
    waiting: Vec<(PackRecord, Vec<FrameRecord>)>,
    /// The latest round that each worker has joined.
    joined: Vec<u64>,
    report: InsertReport,
}

impl<'s> Publisher<'s> {
    pub(super) fn new(
        store: &'s Store,
        session: &'s str,
        claims: &'s Claims,
        workers: usize,
    ) -> Self {
        Self {
            store,
            session,
            claims,
            content: None,
            metadata: None,
            late_metadata: None,
            waiting: Vec::new(),
            joined: vec![0; workers],
            report: InsertReport::default(),
        }
    }

    /// Handles messages until all workers are gone, then publishes what is left.
    ///
    /// `whole` tells whether every worker ended well: only then may metadata be published, because
    /// what it refers to is there.
    pub(super) fn run(
        mut self,
        messages: &Receiver<Message>,
        whole: impl FnOnce() -> bool,
    ) -> Result<InsertReport, WriteError> {
        for message in messages {
            match message {
                Message::Part { round, part } => match part.class {
                    PackClass::Content => self.append_content(part)?,
                    PackClass::Metadata => self.append_metadata(part, round)?,
                },
                Message::Joined { worker, round } => {
                    if let Some(joined) = self.joined.get_mut(worker) {
                        *joined = round;
                    }
                    self.end_round()?;
                }
            }
        }
        if let Some(pack) = self.content.take() {
            self.publish_content(pack)?;
        }
        if whole() {
            for pack in [self.late_metadata.take(), self.metadata.take()].into_iter().flatten() {
                self.close_metadata(pack)?;
            }
            self.publish_waiting()?;
        }
        // Also of what was found stored by somebody else.
        self.store.backend.sync_all()?;
        Ok(self.report)
    }

    fn open(&self, pack: Option<PackWriter>, class: PackClass) -> Result<PackWriter, WriteError> {
        match pack {
            Some(pack) => Ok(pack),
            None => PackWriter::new(self.store.backend(), self.session, class),
        }
    }

    fn append_content(&mut self, part: PackPart) -> Result<(), WriteError> {
        self.report.packed_bytes += part.stored.len() as u64;
        let open = self.content.take();
        let mut pack = self.open(open, PackClass::Content)?;
        pack.add(part)?;
        if pack.length_bytes() >= PACK_BYTES_TARGET {
            return self.publish_content(pack);
        }
        self.content = Some(pack);
        Ok(())
    }

    fn append_metadata(&mut self, part: PackPart, round: u64) -> Result<(), WriteError> {
        self.report.packed_bytes += part.stored.len() as u64;
        let is_late = round != self.claims.round();
        let open = if is_late { self.late_metadata.take() } else { self.metadata.take() };
        let mut pack = self.open(open, PackClass::Metadata)?;
        pack.add(part)?;
        if pack.length_bytes() >= PACK_BYTES_TARGET {
            self.close_metadata(pack)?;
            if !is_late {
                self.claims.start_round();
            }
        } else if is_late {
            self.late_metadata = Some(pack);
        } else {
            self.metadata = Some(pack);
        }
        Ok(())
    }

    fn end_round(&mut self) -> Result<(), WriteError> {
        let round = self.claims.round();
        if self.waiting.is_empty() || self.joined.iter().any(|joined| *joined < round) {
            return Ok(());
        }
        if let Some(pack) = self.content.take() {
            self.publish_content(pack)?;
        }
        if let Some(pack) = self.late_metadata.take() {
            self.close_metadata(pack)?;
        }
        self.publish_waiting()
    }

    fn publish_content(&mut self, pack: PackWriter) -> Result<(), WriteError> {
        let (record, frames) = pack.finish()?;
        self.store.backend.sync("packs")?;
        if frames.iter().any(|frame| !frame.bases.is_empty()) {
            // The segments that hold the bases must survive a power cut if this one does.
            self.store.backend.sync_all()?;
        }
        self.report.packs += 1;
        self.publish_segment(&[(record, frames)])
    }

    fn close_metadata(&mut self, pack: PackWriter) -> Result<(), WriteError> {
        self.waiting.push(pack.finish()?);
        self.report.packs += 1;
        Ok(())
    }

    fn publish_waiting(&mut self) -> Result<(), WriteError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.store.backend.sync("packs")?;
        // The segments and loose objects that these packs refer to must survive a power cut if this
        // segment does.
        self.store.backend.sync_all()?;
        let waiting = std::mem::take(&mut self.waiting);
        self.publish_segment(&waiting)
    }

    fn publish_segment(
        &mut self,
        packs: &[(PackRecord, Vec<FrameRecord>)],
    ) -> Result<(), WriteError> {
        let mut builder = IndexBuilder::default();
        for (record, frames) in packs {
            builder.add_pack(*record, frames);
        }
        self.store.publish_segment(self.session, builder)?;
        for (record, frames) in packs {
            self.claims.note_pack(record.name);
            self.claims.release(frames.iter().flat_map(|frame| &frame.objects).map(|o| &o.id));
        }
        self.store.merge_segments(self.session)
    }
}

/// Why segments could not be merged.
struct Unmerged(WriteError);

impl From<DecodeError> for Unmerged {
    fn from(source: DecodeError) -> Self {
        Self(ReadError::File { file: "one of the index segments".to_owned(), source }.into())
    }
}

impl Store {
    /// Publishes a segment and starts to use it. Durable once `index` is synced.
    ///
    /// All that its objects refer to must be in published segments, or in this one.
    ///
    /// # Errors
    ///
    /// The backend refuses, or the session was fenced.
    pub fn publish_segment(&self, session: &str, builder: IndexBuilder) -> Result<(), WriteError> {
        let bytes = builder.encode(random_salt()?);
        let name = Id::from_bytes(plain(&bytes));
        let file_name = segment_file(&name);
        let mut file = self.backend.create(session)?;
        file.write(&bytes)?;
        file.publish(&file_name)?;
        drop(bytes);
        self.begin_to_use(name, file_name)
    }

    /// Uses a segment that has just been published.
    fn begin_to_use(&self, name: Id, file_name: String) -> Result<(), WriteError> {
        match self.backend.map(&file_name) {
            Ok(mapped) => self.segments.add(Segment::new(Some(name), mapped, file_name)?),
            // It was merged into another one already.
            Err(error) if error.is_missing() => self.segments.reload(&*self.backend)?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Publishes the segment that takes the place of these but for some packs, written as it is merged.
    fn publish_merged(
        &self,
        session: &str,
        parts: &[(Id, Index<'_>)],
        left_out: &BTreeSet<Id>,
    ) -> Result<(), WriteError> {
        let mut file = self.backend.create(session)?;
        let mut hasher = blake3::Hasher::new();
        let merged = merge(parts, left_out, random_salt()?, &mut |bytes| {
            hasher.update(bytes);
            file.write(bytes).map_err(|error| Unmerged(error.into()))
        });
        merged.map_err(|Unmerged(error)| error)?;
        let name = Id::from_bytes(*hasher.finalize().as_bytes());
        let file_name = segment_file(&name);
        file.publish(&file_name)?;
        self.begin_to_use(name, file_name)
    }

    /// Merges segments while there are many of about one size, so that a look-up asks few.
    ///
    /// The merged segment is durable before the ones it replaces are removed; a reader that listed
    /// those looks again. Beside a prune nothing is merged, lest it bring back what that removes.
    pub(super) fn merge_segments(&self, session: &str) -> Result<(), WriteError> {
        if self.segments.to_merge().is_empty() {
            return Ok(());
        }
        match self.backend.try_lock_maintenance()? {
            Some(_lock) => self.merge_while_locked(session),
            None => Ok(()),
        }
    }

    /// Merges segments as after every publication, for whoever holds the maintenance lock already.
    ///
    /// # Errors
    ///
    /// The backend refuses, or the session was fenced.
    pub fn merge_while_locked(&self, session: &str) -> Result<(), WriteError> {
        loop {
            let group = self.segments.to_merge();
            if group.is_empty() {
                return Ok(());
            }
            let mut parts = Vec::new();
            for segment in &group {
                match (segment.name, segment.index().filter(|_| segment.is_whole())) {
                    (Some(name), Some(index)) => parts.push((name, index)),
                    // A damaged segment is left for the check to report, and not used again here.
                    _ => self.segments.retain(|other| other.name != segment.name),
                }
            }
            if parts.len() < 2 {
                return Ok(());
            }
            self.publish_merged(session, &parts, &BTreeSet::new())?;
            self.backend.sync("index")?;
            for (name, _) in parts {
                self.segments.retain(|segment| segment.name != Some(name));
                self.backend.remove(&segment_file(&name))?;
            }
        }
    }

    /// Replaces all segments that name one of these packs by one that does not. Durable on return.
    ///
    /// They are replaced together: one after the other, a reader that sees some of the old ones beside
    /// some of the new could miss what was moved from the one pack to the other.
    ///
    /// # Errors
    ///
    /// A segment is damaged, the backend refuses, or the session was fenced.
    pub fn leave_out_packs(&self, session: &str, packs: &BTreeSet<Id>) -> Result<(), WriteError> {
        let names_any =
            |segment: &Segment| segment.packs().iter().any(|record| packs.contains(&record.name));
        let stale: Vec<_> =
            self.segments.list().into_iter().filter(|segment| names_any(segment)).collect();
        let mut parts = Vec::new();
        for segment in &stale {
            let (Some(name), Some(index)) = (segment.name, segment.index()) else { continue };
            if !segment.is_whole() {
                let source = DecodeError { what: "its bytes are not those of its name", offset: 0 };
                let file = self.backend.describe(&segment_file(&name));
                return Err(ReadError::File { file, source }.into());
            }
            parts.push((name, index));
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.publish_merged(session, &parts, packs)?;
        self.backend.sync("index")?;
        for (name, _) in parts {
            self.segments.retain(|other| other.name != Some(name));
            self.backend.remove(&segment_file(&name))?;
        }
        Ok(())
    }
}
