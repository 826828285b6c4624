//! Packs: header, footer, length, agreement with the index; and, if asked, every byte of each.
//!
//! Invariant: packs are read one after the other, each from front to back, once; threads share a pack
//! by stretches, so that they end together. One that is damaged is read at either depth, because only
//! its frames tell what of it can still be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::FsckOptions;
use super::deltas::Delta;
use super::queue::Queue;
use super::reading::Reading;
use super::report::{Finding, Findings, FsckReport, Number};
use super::segments::Segments;
use super::table::{Copy, Marks};
use crate::backend::{Backend, RandomRead};
use crate::base::id::Id;
use crate::format::compress::Codec;
use crate::format::delta::Base;
use crate::format::pack::{FrameObject, FramePlace, FrameRecord};
use crate::ops::verify_pack::deltas::base_from;
use crate::ops::verify_pack::frames::{FrameReader, Planned, Stretch, Visitor, stretches};
use crate::ops::verify_pack::stream::hash_file;
use crate::ops::verify_pack::window::FileHash;
use crate::ops::with_causes;
use crate::store::{Store, read_footer};

/// What packs are compared with.
pub(super) struct Context<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) store: &'a Store,
    pub(super) findings: &'a Findings<'a>,
    pub(super) segments: &'a Segments,
    /// What of those was found to be true.
    pub(super) marks: &'a Marks<'a>,
    /// Packs that a prune has announced it will delete.
    pub(super) condemned: &'a BTreeSet<Id>,
    /// Which of them are read whole.
    pub(super) reading: &'a Reading<'a>,
    pub(super) options: &'a FsckOptions,
}

/// What one thread, and in the end all of them, learnt.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) copies: Vec<Copy>,
    /// What is stored as a difference from what.
    pub(super) deltas: Vec<Delta>,
    packs: u64,
    pack_bytes: u64,
    frames: u64,
    objects: u64,
    bytes_read: u64,
}

impl Tally {
    fn join(&mut self, mut other: Self) {
        self.copies.append(&mut other.copies);
        self.deltas.append(&mut other.deltas);
        self.packs += other.packs;
        self.pack_bytes += other.pack_bytes;
        self.frames += other.frames;
        self.objects += other.objects;
        self.bytes_read += other.bytes_read;
    }

    fn count(&mut self, objects_by_frame: impl Iterator<Item = usize>) {
        for objects in objects_by_frame {
            self.frames += 1;
            self.objects += objects as u64;
        }
    }

    /// Moves the figures into the report; the copies, and what they need.
    pub(super) fn into_copies(self, report: &mut FsckReport) -> (Vec<Copy>, Vec<Delta>) {
        report.packs = self.packs;
        report.pack_bytes = self.pack_bytes;
        report.frames = self.frames;
        report.objects = self.objects;
        report.bytes_read += self.bytes_read;
        (self.copies, self.deltas)
    }
}

/// A pack that is being read.
struct OpenPack {
    name: Id,
    file: String,
    pack: Box<dyn RandomRead>,
    plan: Vec<Planned>,
    /// The finding about its footer.
    found: Option<Number>,
    listing: Listing,
    hash: Mutex<Hashing>,
}

/// Who knows already which objects a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// Nobody.
    Nowhere,
    /// An index that does not agree with its footer.
    Doubtful,
    /// An index, where they are marked.
    Marked,
}

struct Hashing {
    hash: FileHash,
    /// Stretches that were not read yet.
    waiting: usize,
}

/// A part of the work.
enum Part {
    Open(Id),
    Read(Arc<OpenPack>, Stretch),
}

/// Checks these packs with several threads.
pub(super) fn check(context: &Context<'_>, names: &[Id]) -> Tally {
    let queue = Queue::new(names.iter().copied().map(Part::Open));
    let work = || {
        let mut checker =
            Checker { context, reader: FrameReader::default(), tally: Tally::default() };
        while let Some(part) = queue.next() {
            match part {
                _ if context.findings.monitor.is_cancelled() => {}
                Part::Open(name) => {
                    if let Some(open) = checker.open(name) {
                        let stretches = stretches(open.pack.length_bytes(), &open.plan);
                        let open = Arc::new(open);
                        queue.add(
                            stretches.into_iter().map(|part| Part::Read(Arc::clone(&open), part)),
                        );
                    }
                }
                Part::Read(open, stretch) => checker.read(&open, &stretch),
            }
            queue.done();
        }
        checker.tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads = context.options.workers.max(1);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => tally.join(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    tally
}

struct Checker<'a> {
    context: &'a Context<'a>,
    reader: FrameReader,
    tally: Tally,
}

impl Checker<'_> {
    /// Checks a pack but for its frames; the pack, if those are to be read.
    fn open(&mut self, name: Id) -> Option<OpenPack> {
        let Context { backend, findings, segments, condemned, reading, .. } = *self.context;
        let file = format!("packs/{name}.pack");
        let covers = segments.covers(&name);
        let pack = match backend.open(&file) {
            Ok(pack) => pack,
            Err(error)
                if error.is_missing() && (covers.is_empty() || condemned.contains(&name)) =>
            {
                // Deleted by a prune since it was listed, or as a prune had announced.
                segments.give_up(covers);
                return None;
            }
            Err(error) => {
                let code = if error.is_missing() { "missing_pack" } else { "damaged_pack" };
                let number = findings.add(Finding::damage(code, with_causes(&error)).file(file));
                self.lose(name, number);
                return None;
            }
        };
        let length = pack.length_bytes();
        self.tally.packs += 1;
        self.tally.pack_bytes += length;
        if covers.is_empty() {
            let message =
                "no index covers it: left by a writer that was stopped, or its index is lost";
            findings.add(Finding::note("unindexed_pack", message).file(&file));
        }
        if condemned.contains(&name) {
            let message = "a prune has announced that it will delete it";
            findings.add(Finding::note("condemned_pack", message).file(&file));
        }
        let (plan, listing, found) = match self.plan(name, &file, &*pack) {
            Ok((frames, listing)) => {
                self.tally.count(frames.iter().map(|frame| frame.objects.len()));
                self.tally.deltas.extend(frames.iter().flat_map(Delta::of_record));
                if !reading.wants(&name) {
                    for frame in &frames {
                        let objects = frame.objects.iter();
                        objects.for_each(|object| self.keep(&frame.place, object, listing));
                    }
                    return None;
                }
                (frames.iter().map(Planned::from).collect(), listing, None)
            }
            Err(message) => {
                let finding = Finding::damage("damaged_pack", message).file(&file);
                let plan = self.plan_from_index(name);
                self.tally.count(plan.iter().map(|frame| frame.objects.len()));
                self.tally.deltas.extend(plan.iter().flat_map(Delta::of_frame));
                let is_listed = !covers.is_empty();
                let listing = if is_listed { Listing::Doubtful } else { Listing::Nowhere };
                (plan, listing, Some(findings.add(finding)))
            }
        };
        self.tally.bytes_read += length;
        let waiting = stretches(length, &plan).len();
        let hash = Mutex::new(Hashing { hash: FileHash::new(length), waiting });
        Some(OpenPack { name, file, pack, plan, found, listing, hash })
    }

    fn keep(&mut self, place: &FramePlace, object: &FrameObject, listing: Listing) {
        if listing != Listing::Marked {
            let is_indexed = listing != Listing::Nowhere;
            let copy = Copy::new(object.id, object.kind, object.is_list, is_indexed);
            let is_delta = place.codec == Codec::Delta;
            self.tally.copies.push(if is_delta { copy.delta() } else { copy });
        }
    }

    fn lose_object(&mut self, name: &Id, place: &FramePlace, object: &FrameObject, number: Number) {
        for cover in self.context.segments.covers(name) {
            self.context.marks.lose(cover, &object.id, place.offset);
        }
        self.tally.copies.push(Copy::unusable(object.id, object.kind));
        self.context.findings.blame_for(number, object.id, object.kind);
        self.context.reading.damaged(*name, place.offset);
    }

    /// Notes that nothing of a pack can be used.
    fn lose(&mut self, name: Id, number: Number) {
        for frame in self.plan_from_index(name) {
            for (_, object) in &frame.objects {
                self.lose_object(&name, &frame.place, object, number);
            }
        }
    }

    /// What the footer says, if it can be believed, and whether indexes do too; else why not.
    fn plan(
        &mut self,
        name: Id,
        file: &str,
        pack: &dyn RandomRead,
    ) -> Result<(Vec<FrameRecord>, Listing), String> {
        let (segments, findings) = (self.context.segments, self.context.findings);
        let covers = segments.covers(&name);
        let length = pack.length_bytes();
        if let Some(cover) = covers.iter().find(|cover| cover.pack_bytes != length) {
            return Err(format!("{length} bytes, not {}", cover.pack_bytes));
        }
        let (_, frames) = read_footer(pack, file).map_err(|error| {
            // The file is named by the finding already.
            std::error::Error::source(&error).map_or_else(|| with_causes(&error), with_causes)
        })?;
        let differing: Vec<_> = covers
            .iter()
            .filter(|cover| !segments.agrees(cover, &frames, self.context.marks))
            .collect();
        if !differing.is_empty() {
            // Both are whole, each for itself: the name tells which of them is wrong.
            self.tally.bytes_read += length;
            let hash = hash_file(pack).map_err(|error| with_causes(&error))?;
            if hash != *name.as_bytes() {
                return Err("its bytes are not those of its name".to_owned());
            }
        }
        let listing = match (covers.is_empty(), differing.is_empty()) {
            (true, _) => Listing::Nowhere,
            (false, false) => Listing::Doubtful,
            (false, true) => Listing::Marked,
        };
        for cover in differing {
            segments.give_up(std::slice::from_ref(cover));
            let message = format!("it does not say where {file} holds its objects");
            findings.add(Finding::damage("damaged_index", message).file(segments.file(cover)));
        }
        Ok((frames, listing))
    }

    fn plan_from_index(&self, name: Id) -> Vec<Planned> {
        let segments = self.context.segments;
        let covers = segments.covers(&name);
        segments.give_up(covers);
        let mut frames: BTreeMap<u64, Planned> = BTreeMap::new();
        for (id, place) in covers.first().map(|cover| segments.objects(cover)).unwrap_or_default() {
            let frame = frames.entry(place.frame.offset).or_insert_with(|| Planned {
                place: place.frame,
                checksum: None,
                objects: Vec::new(),
                bases: Vec::new(),
            });
            frame.bases.extend(place.base);
            let (kind, is_list, length) = (place.kind, place.is_list, place.length);
            frame.objects.push((place.offset, FrameObject { id, kind, is_list, length }));
        }
        frames.into_values().collect()
    }

    /// Reads a stretch of a pack, and says what is wrong with the whole once it is the last.
    fn read(&mut self, open: &OpenPack, stretch: &Stretch) {
        let mut reader = std::mem::take(&mut self.reader);
        let store = self.context.store;
        // Where an index is lost, footers lead to a base as well.
        let bases = |base: &Base| base_from(store, base);
        let mut frames = Frames { checker: self, open };
        let values = reader.read((&*open.pack, &open.plan), stretch, &bases, &mut frames);
        self.reader = reader;
        let mut hashing = open.hash.lock().unwrap_or_else(PoisonError::into_inner);
        hashing.hash.add(stretch.pieces.start, values);
        hashing.waiting = hashing.waiting.saturating_sub(1);
        if hashing.waiting > 0 {
            return;
        }
        let hash = std::mem::replace(&mut hashing.hash, FileHash::new(0)).finish();
        let is_good = open.found.is_none() && hash.as_ref().is_ok_and(|hash| *hash == open.name);
        self.context.reading.read(open.name, is_good);
        let message = match hash {
            Ok(hash) if hash == open.name => return,
            Ok(_) => "its bytes are not those of its name".to_owned(),
            Err(error) => with_causes(&error),
        };
        if open.found.is_none() {
            let finding = Finding::damage("damaged_pack", message).file(&open.file);
            self.context.findings.add(finding);
        }
    }
}

/// What becomes of the frames of one pack.
struct Frames<'c, 'a> {
    checker: &'c mut Checker<'a>,
    open: &'c OpenPack,
}

impl Visitor for Frames<'_, '_> {
    fn bytes(&mut self, count: u64) {
        self.checker.context.findings.monitor.bytes(count);
    }

    fn object(&mut self, place: &FramePlace, object: &FrameObject, proved: Result<u64, String>) {
        let Err(message) = proved else {
            return self.checker.keep(place, object, self.open.listing);
        };
        let finding = Finding::damage("damaged_object", message);
        let finding = finding.file(&self.open.file).object(object.id, object.kind);
        let number = self.checker.context.findings.add(finding);
        self.checker.lose_object(&self.open.name, place, object, number);
    }

    fn lost(&mut self, frame: &Planned, _: u64, reason: String) {
        let message = format!("frame at byte {}: {reason}", frame.place.offset);
        let finding = Finding::damage("damaged_frame", message).file(&self.open.file);
        let number = self.checker.context.findings.add(finding);
        for (_, object) in &frame.objects {
            self.checker.lose_object(&self.open.name, &frame.place, object, number);
        }
    }
}
