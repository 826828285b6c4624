//! Making a lost index again from the packs alone.
//!
//! Invariant: an object can be found only once all that it refers to can, unless a job leads to it;
//! what was sound in a pack is durable elsewhere, and found there, before the pack is set aside; and
//! nothing is deleted but segments whose replacement is durable. runup-repository(5), WRITE PROTOCOL.
//!
//! Packs are told apart by what is in them. Those that hold whole blobs only, none of which needs a
//! base, refer to nothing, and are published first, a segment for each million objects. The others
//! may refer to each other, and
//! what a killed writer left may refer to what never came: everything in them that refers to
//! anything is read once, packs with references that lead nowhere are left out, then those that
//! refer to these, and so on; the rest is published so that each segment needs only itself and
//! earlier ones.
//!
//! With 100 million objects, content costs time only: footers are read, 61 bytes an object, and one
//! segment is held in memory, some 100 MB. Metadata is held as an index in memory, 72 bytes at most
//! an object; for ten million trees that is 0.7 GB. Each of them is read, and each of its entries is
//! looked up, so segments are merged before that. A dry run holds the index of all content as well.

mod completeness;
mod order;
mod report;
mod salvage;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

pub use report::{
    How, IndexPackError, IndexPackOptions, IndexPackReport, IndexedPack, PackProblem,
};

use self::completeness::Candidates;
use self::order::groups;
use self::salvage::{Frames, class_of, reader_of, salvage};
use super::verify_pack::deltas::base_from;
use super::verify_pack::stream::hash_file;
use super::with_causes;
use crate::backend::{BackendError, LOST_DIRECTORY, RandomRead};
use crate::base::id::Id;
use crate::base::monitor::Monitor;
use crate::format::control;
use crate::format::delta::Base;
use crate::format::index::{IndexBuilder, PackRecord};
use crate::format::pack::{FrameRecord, PackClass};
use crate::repository::{Repository, WriteSession};
use crate::store::{ReadError, Store, read_footer, read_header};

/// Objects after which a segment is closed.
const SEGMENT_OBJECTS: usize = 1 << 20;

/// Takes what became of each pack.
pub type EachPack<'e> = dyn FnMut(&IndexedPack) -> io::Result<()> + 'e;

/// Indexes packs, and replaces damaged ones by packs of what is sound in them. Durable on return.
///
/// Holds the maintenance lock and a write session meanwhile, also where nothing is to be written.
///
/// # Errors
///
/// [`IndexPackError::Busy`] if somebody else holds the lock; what `each` returned; the repository
/// fails.
pub fn index_pack(
    repository: &Repository,
    options: &IndexPackOptions,
    monitor: &dyn Monitor,
    each: &mut EachPack<'_>,
) -> Result<IndexPackReport, IndexPackError> {
    let lock = repository.backend().try_lock_maintenance()?;
    let Some(_lock) = lock else { return Err(IndexPackError::Busy) };
    let session = repository.write_session()?;
    let mut rebuild = Rebuild {
        store: repository.store(),
        session: &session,
        is_dry_run: options.is_dry_run,
        monitor,
        each,
        content: IndexBuilder::default(),
        granted: BTreeSet::new(),
        to_salvage: Vec::new(),
        metadata: Vec::new(),
        waiting: Vec::new(),
        unpublished: vec![IndexBuilder::default()],
        damaged: BTreeSet::new(),
        was_published: BTreeSet::new(),
        report: IndexPackReport::default(),
    };
    rebuild.run(repository, options)?;
    Ok(rebuild.report)
}

/// What is noted of a pack that is gone.
#[derive(Debug, serde::Serialize)]
struct GonePack {
    length_bytes: u64,
    pack: Id,
}

/// A pack of metadata.
struct Candidate {
    record: PackRecord,
    objects: u64,
    /// The number of the record that waits for it.
    waiting: usize,
    /// Its frames, where its footer does not tell them.
    frames: Option<Vec<FrameRecord>>,
}

struct Rebuild<'r, 'e> {
    store: &'r Store,
    session: &'r WriteSession<'r>,
    is_dry_run: bool,
    monitor: &'r dyn Monitor,
    each: &'r mut EachPack<'e>,
    /// The segment of content that is being filled.
    content: IndexBuilder,
    /// In a dry run, the packs of content.
    granted: BTreeSet<Id>,
    /// Packs that are damaged. What is sound in them may need bases that are in any other pack.
    to_salvage: Vec<IndexedPack>,
    /// Packs that refer to anything.
    metadata: Vec<Candidate>,
    /// Records of packs whose metadata is not decided on.
    waiting: Vec<IndexedPack>,
    /// What is to be read before it is published, in parts of bounded size.
    unpublished: Vec<IndexBuilder>,
    /// Packs that are to be set aside.
    damaged: BTreeSet<Id>,
    /// Of those, the ones that a segment named: what is in them was complete once.
    was_published: BTreeSet<Id>,
    report: IndexPackReport,
}

impl Rebuild<'_, '_> {
    fn run(
        &mut self,
        repository: &Repository,
        options: &IndexPackOptions,
    ) -> Result<(), IndexPackError> {
        let named = options.packs.as_deref();
        let backend = self.store.backend();
        let unsound = self.store.reload_sound()?;
        let covered = self.store.covered_packs();
        // A pack that can be seen need not be durable yet.
        backend.note_unsynced("packs");
        if let Some(names) = named {
            for name in names {
                self.pack(*name, covered.get(name).copied(), true)?;
            }
        } else {
            self.listed(options, &covered)?;
        }
        self.salvage_all()?;
        let content = std::mem::take(&mut self.content);
        self.publish(content)?;
        if !self.is_dry_run {
            backend.sync("index")?;
            self.store.merge_while_locked(self.session.id())?;
        }
        self.metadata(repository)?;
        if self.is_dry_run {
            return Ok(());
        }
        backend.sync_all()?;
        self.store.merge_while_locked(self.session.id())?;
        let gone = self.report.gone.iter().copied();
        let left_out = self.damaged.iter().copied().chain(gone).collect();
        self.store.leave_out_packs(self.session.id(), &left_out)?;
        for name in &self.damaged {
            self.report.set_aside.push(backend.set_aside(&format!("packs/{name}.pack"))?);
        }
        // All packs that they covered were looked at only if none was named.
        for file in unsound.iter().filter(|_| named.is_none()) {
            self.report.set_aside.push(backend.set_aside(file)?);
        }
        Ok(())
    }

    /// Looks at all packs that no sound segment covers, or that are doubted; those that are gone.
    fn listed(
        &mut self,
        options: &IndexPackOptions,
        covered: &BTreeMap<Id, u64>,
    ) -> Result<(), IndexPackError> {
        let mut gone = covered.clone();
        for listed in self.store.backend().list("packs")? {
            let name = listed.name.strip_suffix(".pack").and_then(|n| n.parse().ok());
            let Some(name) = name else { continue };
            gone.remove(&name);
            let covered = covered.get(&name).copied();
            let is_doubted = options.doubted.contains(&name);
            if is_doubted || covered != Some(listed.length_bytes) {
                self.pack(name, covered, is_doubted)?;
            }
        }
        gone.retain(|name, _| options.leaves_out_gone && !self.store.is_condemned_pack(name));
        self.report.gone = gone.keys().copied().collect();
        if !self.is_dry_run {
            self.note_gone(&gone)?;
        }
        Ok(())
    }

    /// Leaves a note of each pack that is gone, before no segment names it any more: by these, writers
    /// learn that something was lost.
    fn note_gone(&self, gone: &BTreeMap<Id, u64>) -> Result<(), IndexPackError> {
        let backend = self.store.backend();
        for (pack, length_bytes) in gone {
            let mut file = backend.create(self.session.id())?;
            let record = GonePack { length_bytes: *length_bytes, pack: *pack };
            file.write(&control::encode(&record))?;
            file.publish(&format!("{LOST_DIRECTORY}/{pack}.gone"))?;
        }
        if !gone.is_empty() {
            backend.sync(LOST_DIRECTORY)?;
            backend.sync_all()?;
        }
        Ok(())
    }

    /// Looks at one pack. `covered_bytes` is what a sound segment says of its length.
    fn pack(
        &mut self,
        name: Id,
        covered_bytes: Option<u64>,
        is_named: bool,
    ) -> Result<(), IndexPackError> {
        if self.monitor.is_cancelled() {
            return Err(IndexPackError::Cancelled);
        }
        if self.store.is_condemned_pack(&name) {
            self.report.condemned += 1;
            return Ok(());
        }
        self.report.packs += 1;
        let mut indexed = IndexedPack {
            pack: name,
            how: None,
            frames: 0,
            objects: 0,
            dropped: 0,
            salvaged_to: Vec::new(),
            problem: None,
        };
        let file = format!("packs/{name}.pack");
        let opened = self.store.backend().open(&file);
        let read = match &opened {
            Ok(pack) => read_pack(&**pack, &name, &file, covered_bytes, is_named),
            Err(error) => Err(problem_of(error)),
        };
        self.monitor.bytes(opened.as_ref().map_or(0, |pack| pack.length_bytes()));
        match read {
            Ok(Read::Covered) => {
                indexed.how = Some(How::Covered);
                self.tell(&indexed)
            }
            Ok(Read::Footer(record, frames)) => {
                indexed.how = Some(How::Footer);
                self.add(indexed, vec![(record, frames)])
            }
            Ok(Read::Damaged) => {
                if covered_bytes.is_some() {
                    self.was_published.insert(name);
                }
                self.to_salvage.push(indexed);
                Ok(())
            }
            Err(problem) => {
                indexed.problem = Some(problem);
                self.tell(&indexed)
            }
        }
    }

    /// Saves what is sound in damaged packs, after all others were looked at.
    fn salvage_all(&mut self) -> Result<(), IndexPackError> {
        let to_salvage = std::mem::take(&mut self.to_salvage);
        if to_salvage.is_empty() {
            return Ok(());
        }
        let names: Vec<Id> = to_salvage.iter().map(|indexed| indexed.pack).collect();
        let reader = reader_of(self.store, &names)?;
        for mut indexed in to_salvage {
            let pack = self.store.backend().open(&format!("packs/{}.pack", indexed.pack))?;
            let found = self.salvage(&mut indexed, &*pack, &reader)?;
            self.add(indexed, found)?;
        }
        Ok(())
    }

    fn salvage(
        &mut self,
        indexed: &mut IndexedPack,
        pack: &dyn RandomRead,
        reader: &Store,
    ) -> Result<Vec<Frames>, IndexPackError> {
        let session = (!self.is_dry_run).then(|| self.session.id());
        let bases = |base: &Base| base_from(reader, base);
        let salvaged = salvage(self.store, session, indexed.pack, pack, &bases)?;
        indexed.how = Some(How::Scan);
        if !self.is_dry_run {
            indexed.salvaged_to = salvaged.packs.iter().map(|(record, _)| record.name).collect();
        }
        self.damaged.insert(indexed.pack);
        indexed.problem = match salvaged.first_lost {
            _ if salvaged.packs.is_empty() => {
                let message = "no frame in it is sound".to_owned();
                Some(PackProblem { code: "damaged_pack", message })
            }
            Some((at, reason)) => {
                let message =
                    format!("{} places hold no sound frame: byte {at}: {reason}", salvaged.lost);
                Some(PackProblem { code: "damaged_frame", message })
            }
            None => None,
        };
        Ok(salvaged.packs)
    }

    /// Takes what is in a pack, or in the new ones of what was sound in it.
    fn add(&mut self, mut indexed: IndexedPack, found: Vec<Frames>) -> Result<(), IndexPackError> {
        let waiting = self.waiting.len();
        let candidates = self.metadata.len();
        for (record, frames) in found {
            let objects = || frames.iter().flat_map(|frame| &frame.objects);
            let count = objects().count() as u64;
            indexed.frames += frames.len() as u64;
            indexed.objects += count;
            let needs_none = frames.iter().all(|frame| frame.bases.is_empty());
            if class_of(objects()) == PackClass::Content && needs_none {
                self.report.objects += count;
                self.content.add_pack(record, &frames);
                if self.is_dry_run {
                    self.granted.insert(record.name);
                }
                if self.content.object_count() >= SEGMENT_OBJECTS {
                    let full = std::mem::take(&mut self.content);
                    self.publish(full)?;
                }
                continue;
            }
            self.unpublish(|builder| builder.add_pack(record, &frames));
            let is_told = self.is_dry_run && indexed.how == Some(How::Scan);
            let frames = Some(frames).filter(|_| is_told);
            self.metadata.push(Candidate { record, objects: count, waiting, frames });
        }
        if self.metadata.len() == candidates {
            return self.tell(&indexed);
        }
        self.waiting.push(indexed);
        Ok(())
    }

    fn unpublish(&mut self, add: impl FnOnce(&mut IndexBuilder)) {
        if self.unpublished.last().is_none_or(|last| last.object_count() >= SEGMENT_OBJECTS) {
            self.unpublished.push(IndexBuilder::default());
        }
        if let Some(last) = self.unpublished.last_mut() {
            add(last);
        }
    }

    fn publish(&mut self, builder: IndexBuilder) -> Result<(), IndexPackError> {
        if builder.is_empty() {
            return Ok(());
        }
        self.report.segments += 1;
        if self.is_dry_run {
            self.unpublished.push(builder);
            return Ok(());
        }
        // The packs, and the segments and loose objects that they refer to, must survive a power
        // cut if this segment does.
        self.store.backend().sync("packs")?;
        self.store.backend().sync_all()?;
        Ok(self.store.publish_segment(self.session.id(), builder)?)
    }

    fn tell(&mut self, indexed: &IndexedPack) -> Result<(), IndexPackError> {
        self.report.errors += u64::from(indexed.problem.is_some());
        (self.each)(indexed).map_err(IndexPackError::Output)
    }

    /// Decides on the packs of metadata, and publishes those that may be found.
    fn metadata(&mut self, repository: &Repository) -> Result<(), IndexPackError> {
        if self.metadata.is_empty() {
            return Ok(());
        }
        let reader = self.store.with_unpublished(std::mem::take(&mut self.unpublished))?;
        let names = self.metadata.iter().map(|candidate| candidate.record.name);
        let granted = std::mem::take(&mut self.granted);
        let mut candidates = Candidates::new(self.store, &reader, names, &granted);
        for candidate in &self.metadata {
            if self.monitor.is_cancelled() {
                return Err(IndexPackError::Cancelled);
            }
            candidates.examine(&self.frames_of(candidate)?)?;
        }
        let jobs = repository.jobs(|_, _| {})?;
        let snapshots = jobs.iter().flat_map(|job| job.projects.values()).copied().collect();
        let published = self.metadata.iter().zip(0..).filter(|(candidate, _)| {
            self.was_published.contains(&self.waiting[candidate.waiting].pack)
        });
        let kept = candidates.choose(snapshots, published.map(|(_, number)| number).collect())?;
        let mut builder = IndexBuilder::default();
        for group in groups(&candidates.edges(&kept)) {
            for number in group.into_iter().filter(|number| kept[*number as usize]) {
                let candidate = &self.metadata[number as usize];
                builder.add_pack(candidate.record, &self.frames_of(candidate)?);
            }
            if builder.object_count() >= SEGMENT_OBJECTS {
                self.publish(std::mem::take(&mut builder))?;
            }
        }
        self.publish(builder)?;
        for ((candidate, needs), kept) in self.metadata.iter().zip(&candidates.needs).zip(&kept) {
            let waiting = &mut self.waiting[candidate.waiting];
            if *kept {
                self.report.objects += candidate.objects;
            } else {
                waiting.dropped += candidate.objects;
                self.report.dropped += candidate.objects;
            }
            if let (Some(message), None) = (&needs.problem, &waiting.problem) {
                let message = message.clone();
                waiting.problem = Some(PackProblem { code: "damaged_object", message });
            }
        }
        for indexed in std::mem::take(&mut self.waiting) {
            self.tell(&indexed)?;
        }
        Ok(())
    }

    fn frames_of(&self, candidate: &Candidate) -> Result<Vec<FrameRecord>, IndexPackError> {
        if let Some(frames) = &candidate.frames {
            return Ok(frames.clone());
        }
        let file = format!("packs/{}.pack", candidate.record.name);
        let pack = self.store.backend().open(&file)?;
        Ok(read_footer(&*pack, &file)?.1)
    }
}

/// How far a pack can be believed.
enum Read {
    Covered,
    Footer(PackRecord, Vec<FrameRecord>),
    Damaged,
}

/// Reads the footer of a pack. A named one is read whole, as nobody names a pack without a reason.
fn read_pack(
    pack: &dyn RandomRead,
    name: &Id,
    file: &str,
    covered_bytes: Option<u64>,
    is_named: bool,
) -> Result<Read, PackProblem> {
    let length_bytes = pack.length_bytes();
    let is_whole = || match hash_file(pack) {
        Ok(hash) => Ok(hash == *name.as_bytes()),
        Err(error) => Err(problem_of(&error)),
    };
    if covered_bytes.is_some_and(|covered| covered != length_bytes) || (is_named && !is_whole()?) {
        return Ok(Read::Damaged);
    }
    if covered_bytes.is_some() {
        return Ok(Read::Covered);
    }
    // A flipped bit must not pass for a later version.
    if let Err(ReadError::Unsupported { what, .. }) = read_header(pack, file) {
        if is_whole()? {
            return Err(PackProblem { code: "unsupported", message: what.to_owned() });
        }
        return Ok(Read::Damaged);
    }
    match read_footer(pack, file) {
        Ok((_, frames)) => Ok(Read::Footer(PackRecord { name: *name, length_bytes }, frames)),
        Err(ReadError::Backend(error @ BackendError::Io { .. })) => Err(problem_of(&error)),
        Err(_) => Ok(Read::Damaged),
    }
}

fn problem_of(error: &BackendError) -> PackProblem {
    let code = if error.is_missing() { "missing_pack" } else { "unreadable_file" };
    PackProblem { code, message: with_causes(error) }
}
