//! Storing again what is needed of packs that are to go.
//!
//! Invariant: a frame is copied as it is where little of it is unneeded and all of it may stay; of
//! any other, each needed object is stored anew. A pack in which something needed is damaged stays.

use std::collections::BTreeSet;

use super::PruneError;
use super::census::Census;
use super::choose::{Choice, part_of};
use crate::base::id::Id;
use crate::base::limits::PACK_BYTES_TARGET;
use crate::base::monitor::Monitor;
use crate::format::index::{IndexBuilder, Place};
use crate::format::pack::{FrameRecord, PackClass};
use crate::store::{InsertOptions, Inserter, PackPart, PackWriter, Store, Worker, read_footer};

/// What was stored again.
#[derive(Debug, Default)]
pub(super) struct Repacked {
    /// The new packs.
    pub(super) packs: BTreeSet<Id>,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Packs that cannot be read; what is in them was not stored again, or not all of it.
    pub(super) damaged: BTreeSet<Id>,
}

/// Stores again what is needed of the chosen packs. Durable on return.
pub(super) fn repack(
    store: &Store,
    session: &str,
    census: &Census,
    choice: &Choice,
    monitor: &dyn Monitor,
) -> Result<Repacked, PruneError> {
    if choice.repacked.is_empty() {
        return Ok(Repacked::default());
    }
    let compression = store.config().compression();
    let options = InsertOptions { workers: 1, compression, again: true };
    let inserter = Inserter::new(store, session, options);
    let mut copier = Copier {
        store,
        session,
        census,
        unneeded_share: choice.unneeded_share,
        writers: [None, None],
        index: IndexBuilder::default(),
        repacked: Repacked::default(),
    };
    let (copier, _) = inserter.run_one(|worker| {
        for name in &choice.repacked {
            if monitor.is_cancelled() {
                return Err(PruneError::Cancelled);
            }
            match copier.pack(worker, name) {
                Err(PruneError::Needed(_)) => {
                    copier.repacked.damaged.insert(*name);
                }
                other => other?,
            }
        }
        Ok(copier)
    })?;
    let mut repacked = copier.finish()?;
    for name in inserter.packs() {
        let length_bytes = store.backend().length(&format!("packs/{name}.pack"))?;
        repacked.bytes += length_bytes.unwrap_or(0);
        repacked.packs.insert(name);
    }
    Ok(repacked)
}

/// Copies frames, and hands objects to a worker.
struct Copier<'p> {
    store: &'p Store,
    session: &'p str,
    census: &'p Census,
    /// Of a million bytes of a frame that is copied as it is, so many may be unneeded.
    unneeded_share: u64,
    /// By class.
    writers: [Option<PackWriter>; 2],
    index: IndexBuilder,
    repacked: Repacked,
}

impl Copier<'_> {
    fn pack(&mut self, worker: &mut Worker<'_>, name: &Id) -> Result<(), PruneError> {
        let file = format!("packs/{name}.pack");
        let opened = self.store.backend().open(&file)?;
        let (header, frames) = read_footer(&*opened, &file)?;
        drop(opened);
        for frame in frames {
            self.frame(worker, name, header.class, frame)?;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        worker: &mut Worker<'_>,
        pack: &Id,
        class: PackClass,
        frame: FrameRecord,
    ) -> Result<(), PruneError> {
        let mut live = Vec::new();
        let (mut may_stay, mut bytes, mut unneeded) = (true, 0_u64, 0_u64);
        for (number, place) in places(&frame) {
            let id = frame.objects[number].id;
            let is_live = self.census.is_live(self.store, &id, pack, &place);
            let stays = self.census.may_stay(self.store, &place, is_live);
            may_stay &= stays;
            bytes += u64::from(place.length);
            match is_live {
                true => live.push((id, place, stays)),
                false => unneeded += u64::from(place.length),
            }
        }
        if live.is_empty() {
            return Ok(());
        }
        if may_stay && unneeded <= part_of(bytes, self.unneeded_share) {
            return self.copy(pack, class, frame);
        }
        for (id, place, stays) in live {
            self.put(worker, &id, &place, stays)?;
        }
        Ok(())
    }

    fn copy(&mut self, pack: &Id, class: PackClass, frame: FrameRecord) -> Result<(), PruneError> {
        let stored = self.store.frames().stored(pack, &frame.place)?;
        let writer = &mut self.writers[class as usize];
        let mut open = match writer.take() {
            Some(open) => open,
            None => PackWriter::new(self.store.backend(), self.session, class)?,
        };
        let FrameRecord { place, objects, bases, .. } = frame;
        let (codec, raw_length) = (place.codec, place.raw_length as usize);
        open.add(PackPart { class, codec, stored, raw_length, objects, bases })?;
        match open.length_bytes() >= PACK_BYTES_TARGET {
            true => self.close(open)?,
            false => self.writers[class as usize] = Some(open),
        }
        Ok(())
    }

    fn close(&mut self, open: PackWriter) -> Result<(), PruneError> {
        let (record, frames) = open.finish()?;
        self.repacked.packs.insert(record.name);
        self.repacked.bytes += record.length_bytes;
        self.index.add_pack(record, &frames);
        Ok(())
    }

    /// Stores one object anew; one that is stored as a difference stays so if it may, and only from the
    /// same base: no other was marked.
    fn put(
        &self,
        worker: &mut Worker<'_>,
        id: &Id,
        place: &Place,
        stays: bool,
    ) -> Result<(), PruneError> {
        let stored = self.store.load_proved(id, place.kind)?;
        let base = place.base.filter(|base| stays && self.store.is_base_at_hand(&base.id));
        Ok(worker.put_as_stored(id, place.kind, &stored, base.as_ref().map(|base| &base.id))?)
    }

    fn finish(mut self) -> Result<Repacked, PruneError> {
        for writer in std::mem::take(&mut self.writers).into_iter().flatten() {
            self.close(writer)?;
        }
        if !self.index.is_empty() {
            let backend = self.store.backend();
            backend.sync("packs")?;
            backend.sync_all()?;
            self.store.publish_segment(self.session, self.index)?;
            backend.sync("index")?;
        }
        Ok(self.repacked)
    }
}

/// The places of a frame's objects, by their number in it.
pub(super) fn places(frame: &FrameRecord) -> impl Iterator<Item = (usize, Place)> + '_ {
    frame.object_offsets().enumerate().map(|(number, (offset, object))| {
        let place = Place {
            pack: 0,
            frame: frame.place,
            offset,
            length: object.length,
            kind: object.kind,
            is_list: object.is_list,
            base: frame.base(number),
        };
        (number, place)
    })
}
