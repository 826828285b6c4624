//! Packs: header, footer, length, agreement with the index; and, if asked, every byte of each.
//!
//! Invariant: a pack is read from front to back, once. One that is damaged is read at either
//! depth, because only its frames tell what of it can still be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::deltas::Delta;
use super::report::{Finding, Findings, FsckReport, Number};
use super::segments::Segments;
use super::table::Copy;
use super::{Depth, FsckOptions};
use crate::backend::{Backend, RandomRead};
use crate::base::id::Id;
use crate::format::compress::{Codec, Decompressor};
use crate::format::delta::Base;
use crate::format::pack::{FrameObject, FramePlace};
use crate::ops::verify_pack::frames::{Planned, Visitor, read_planned};
use crate::ops::verify_pack::stream::hash_file;
use crate::ops::with_causes;
use crate::store::{Store, read_footer};

/// What packs are compared with.
pub(super) struct Context<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) store: &'a Store,
    pub(super) findings: &'a Findings<'a>,
    pub(super) segments: &'a Segments,
    /// Packs that a prune has announced it will delete.
    pub(super) condemned: &'a BTreeSet<Id>,
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

/// Checks these packs with several threads.
pub(super) fn check(context: &Context<'_>, names: &BTreeSet<Id>) -> Tally {
    let names: Vec<Id> = names.iter().copied().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut checker =
            Checker { context, decompressor: Decompressor::default(), tally: Tally::default() };
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            if context.findings.monitor.is_cancelled() {
                break;
            }
            checker.check(*name);
        }
        checker.tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads = context.options.workers.clamp(1, names.len().max(1));
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
    decompressor: Decompressor,
    tally: Tally,
}

impl Checker<'_> {
    fn check(&mut self, name: Id) {
        let Context { backend, findings, segments, condemned, options, .. } = *self.context;
        let file = format!("packs/{name}.pack");
        let covers = segments.covers(&name);
        let pack = match backend.open(&file) {
            Ok(pack) => pack,
            Err(error)
                if error.is_missing() && (covers.is_empty() || condemned.contains(&name)) =>
            {
                // Deleted by a prune since it was listed, or as a prune had announced.
                segments.give_up(covers);
                return;
            }
            Err(error) => {
                let code = if error.is_missing() { "missing_pack" } else { "damaged_pack" };
                let number = findings.add(Finding::damage(code, with_causes(&error)).file(file));
                return self.lose(name, number);
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
        let (plan, finding) = match self.plan(name, &file, &*pack) {
            Ok(plan) => (plan, None),
            Err(message) => {
                let finding = Finding::damage("damaged_pack", message).file(&file);
                (self.plan_from_index(name), Some(findings.add(finding)))
            }
        };
        self.tally.frames += plan.len() as u64;
        self.tally.objects += plan.iter().map(|frame| frame.objects.len() as u64).sum::<u64>();
        self.tally.deltas.extend(plan.iter().flat_map(Delta::of_frame));
        if options.depth == Depth::ReadData || finding.is_some() {
            self.read(name, &file, &*pack, &plan, finding);
        } else {
            for frame in &plan {
                for (_, object) in &frame.objects {
                    self.keep(&frame.place, object, !covers.is_empty());
                }
            }
        }
    }

    fn keep(&mut self, frame: &FramePlace, object: &FrameObject, is_indexed: bool) {
        let copy = Copy::new(object.id, object.kind, object.is_list, is_indexed);
        let is_delta = frame.codec == Codec::Delta;
        self.tally.copies.push(if is_delta { copy.delta() } else { copy });
    }

    fn lose_object(&mut self, object: &FrameObject, number: Number) {
        self.tally.copies.push(Copy::unusable(object.id, object.kind));
        self.context.findings.blame(number, object.id, object.kind);
    }

    /// Notes that nothing of a pack can be used.
    fn lose(&mut self, name: Id, number: Number) {
        for frame in self.plan_from_index(name) {
            for (_, object) in &frame.objects {
                self.lose_object(object, number);
            }
        }
    }

    /// What the footer says, if it can be believed; else why not.
    fn plan(
        &mut self,
        name: Id,
        file: &str,
        pack: &dyn RandomRead,
    ) -> Result<Vec<Planned>, String> {
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
        let differing: Vec<_> =
            covers.iter().filter(|cover| !segments.agrees(cover, &frames)).collect();
        if !differing.is_empty() {
            // Both are whole, each for itself: the name tells which of them is wrong.
            self.tally.bytes_read += length;
            let hash = hash_file(pack).map_err(|error| with_causes(&error))?;
            if hash != *name.as_bytes() {
                return Err("its bytes are not those of its name".to_owned());
            }
        }
        for cover in differing {
            segments.give_up(std::slice::from_ref(cover));
            let message = format!("it does not say where {file} holds its objects");
            findings.add(Finding::damage("damaged_index", message).file(segments.file(cover)));
        }
        Ok(frames.iter().map(Planned::from).collect())
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

    fn read(
        &mut self,
        name: Id,
        file: &str,
        pack: &dyn RandomRead,
        plan: &[Planned],
        found: Option<Number>,
    ) {
        let context = self.context;
        let is_indexed = !context.segments.covers(&name).is_empty();
        let mut decompressor = std::mem::take(&mut self.decompressor);
        let mut frames = Frames { checker: self, file, is_indexed };
        let store = context.store;
        let bases = |base: &Base| store.load_base(base).map(Some);
        let hash = read_planned(pack, plan, &mut decompressor, &bases, &mut frames);
        self.decompressor = decompressor;
        self.tally.bytes_read += pack.length_bytes();
        let message = match hash {
            Ok(hash) if hash == name => return,
            Ok(_) => "its bytes are not those of its name".to_owned(),
            Err(error) => with_causes(&error),
        };
        if found.is_none() {
            let finding = Finding::damage("damaged_pack", message).file(file);
            self.context.findings.add(finding);
        }
    }
}

/// What becomes of the frames of one pack.
struct Frames<'c, 'a> {
    checker: &'c mut Checker<'a>,
    file: &'c str,
    is_indexed: bool,
}

impl Visitor for Frames<'_, '_> {
    fn bytes(&mut self, count: u64) {
        self.checker.context.findings.monitor.bytes(count);
    }

    fn object(&mut self, frame: &FramePlace, object: &FrameObject, proved: Result<u64, String>) {
        let Err(message) = proved else { return self.checker.keep(frame, object, self.is_indexed) };
        let finding = Finding::damage("damaged_object", message);
        let finding = finding.file(self.file).object(object.id, object.kind);
        let number = self.checker.context.findings.add(finding);
        self.checker.lose_object(object, number);
    }

    fn lost(&mut self, frame: &Planned, _: u64, reason: String) {
        let message = format!("frame at byte {}: {reason}", frame.place.offset);
        let finding = Finding::damage("damaged_frame", message).file(self.file);
        let number = self.checker.context.findings.add(finding);
        for (_, object) in &frame.objects {
            self.checker.lose_object(object, number);
        }
    }
}
