//! The plan: files by the frame that holds their bytes, so that each frame is decoded once.
//!
//! Invariant: files of a batch that need one frame are one job, up to a bound of files; so a blob that
//! is wanted at several paths is decoded and proved once. Where not all files can be planned together,
//! the few that want little of a frame wait for others that want the same, as copies of files far
//! away in the tree do: without that, each batch would decode most frames of the repository.

use std::sync::Arc;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::pack::FramePlace;
use crate::format::tree::{Entry, Node};
use crate::store::{FrameKey, Store};

/// Files that are planned together; each takes about 200 bytes meanwhile.
const PLAN_FILES_MAX: usize = 1 << 19;
/// A frame is worth decoding, though more of its files may come, if one byte in so many is wanted.
const FRAME_BYTES_FOR_ONE: u64 = 8;
/// What a file counts for besides its bytes: to make it costs as much as to decode some.
const FILE_BYTES: u64 = 4 << 10;
/// Files of a job: so many of one frame still are work for several threads, which each decode it.
const JOB_FILES_MAX: usize = 1 << 14;

/// A directory that files are to be written to.
#[derive(Debug)]
pub(super) struct FileDirectory {
    pub(super) path: Box<[u8]>,
    /// Whether this checkout made it, so that nothing stands in it.
    pub(super) is_new: bool,
}

/// A file to be written.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) directory: Arc<FileDirectory>,
    pub(super) entry: Entry,
    /// The group of links that it is the first of.
    pub(super) group: Option<usize>,
}

/// A frame, and the pack that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackFrame {
    pub(super) pack: Id,
    pub(super) place: FramePlace,
}

/// Where in its frame a whole blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// Files that one thread writes: all from one frame, by their order in it, or a single one that is
/// stored as a list, loose, or not at all.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) frame: Option<PackFrame>,
    pub(super) files: Vec<(Spot, FileTask)>,
}

/// A file with where its bytes are.
#[derive(Debug)]
struct PlacedFile {
    frame: Option<Arc<PackFrame>>,
    spot: Spot,
    /// Whether it is left for a later batch.
    waits: bool,
    task: FileTask,
}

impl PlacedFile {
    fn frame_key(&self) -> Option<FrameKey> {
        self.frame.as_deref().map(|frame| (frame.pack, frame.place.offset))
    }
}

/// Sorts files by whether they wait, and by pack and place in it.
///
/// Each is moved once only, by a short key: the number of its frame stands for the frame.
fn sort(files: &mut [PlacedFile]) {
    let mut frames: Vec<Option<FrameKey>> = Vec::new();
    for of_frame in files.chunk_by(|a, b| a.frame == b.frame) {
        frames.extend(of_frame.first().map(PlacedFile::frame_key));
    }
    frames.sort_unstable();
    frames.dedup();
    files.sort_by_cached_key(|file| {
        let frame = frames.partition_point(|frame| *frame < file.frame_key()) as u32;
        (file.waits, frame, file.spot.offset)
    });
}

/// Files that are to be written, gathered until there are enough.
#[derive(Debug)]
pub(super) struct Plan {
    files: Vec<PlacedFile>,
    files_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { files: Vec::new(), files_max: PLAN_FILES_MAX }
    }
}

impl Plan {
    /// Adds a file, after looking up where its bytes are.
    pub(super) fn push(&mut self, store: &Store, task: FileTask) {
        let place = place(store, &task);
        self.push_placed(place, task);
    }

    fn push_placed(&mut self, place: Option<(PackFrame, Spot)>, task: FileTask) {
        let (frame, spot) = place.unzip();
        let last = self.files.last().and_then(|file| file.frame.as_ref());
        let frame = frame.map(|frame| match last {
            Some(last) if **last == frame => Arc::clone(last),
            _ => Arc::new(frame),
        });
        // Those that are in no frame keep their order.
        let spot = spot.unwrap_or(Spot { offset: self.files.len() as u32, length: 0 });
        self.files.push(PlacedFile { frame, spot, waits: false, task });
    }

    /// Whether no more files can be held: a batch is to be taken.
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= self.files_max
    }

    /// Takes the files of those frames of which much is wanted, and those that are in none; all, if
    /// too few are left to gather more.
    pub(super) fn take_batch(&mut self) -> Batch {
        self.sort_by_place();
        for of_frame in self.files.chunk_by_mut(|a, b| a.frame == b.frame) {
            let wanted: u64 =
                of_frame.iter().map(|file| u64::from(file.spot.length) + FILE_BYTES).sum();
            let frame = of_frame.first().and_then(|file| file.frame.as_deref());
            let waits = frame.is_some_and(|frame| {
                wanted.saturating_mul(FRAME_BYTES_FOR_ONE) < u64::from(frame.place.raw_length)
            });
            of_frame.iter_mut().for_each(|file| file.waits = waits);
        }
        sort(&mut self.files);
        let taken = self.files.partition_point(|file| !file.waits);
        let is_stuck = self.files.len() - taken > self.files_max / 2;
        let waiting = if is_stuck { Vec::new() } else { self.files.split_off(taken) };
        Batch(std::mem::replace(&mut self.files, waiting))
    }

    /// Takes all files, as no more will come.
    pub(super) fn take_all(&mut self) -> Batch {
        self.sort_by_place();
        Batch(std::mem::take(&mut self.files))
    }

    fn sort_by_place(&mut self) {
        self.files.iter_mut().for_each(|file| file.waits = false);
        sort(&mut self.files);
    }
}

/// Files to be written, by pack and place in it.
#[derive(Debug)]
pub(super) struct Batch(Vec<PlacedFile>);

impl Batch {
    /// The jobs, one at a time.
    pub(super) fn jobs(self) -> impl Iterator<Item = Job> {
        let mut files = self.0.into_iter().peekable();
        std::iter::from_fn(move || {
            let PlacedFile { frame, spot, task, .. } = files.next()?;
            let mut job = Job { frame: frame.as_deref().copied(), files: vec![(spot, task)] };
            let is_of_job = |file: &PlacedFile| frame.is_some() && file.frame == frame;
            while job.files.len() < JOB_FILES_MAX
                && let Some(file) = files.next_if(is_of_job)
            {
                job.files.push((file.spot, file.task));
            }
            Some(job)
        })
    }
}

fn place(store: &Store, task: &FileTask) -> Option<(PackFrame, Spot)> {
    let Node::File { id, .. } = &task.entry.node else { return None };
    let found = store.first_place(id)?;
    let place = found.place;
    let frame = PackFrame { pack: found.pack.name, place: place.frame };
    let spot = Spot { offset: place.offset, length: place.length };
    // What is stored as a difference is decoded by the store, which knows what from.
    let is_whole = !place.is_list && place.base.is_none();
    (place.kind == Kind::Blob && is_whole).then_some((frame, spot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::compress::Codec;
    use crate::format::tree::Metadata;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const RAW_LENGTH: u32 = 1 << 20;

    fn frame(number: u8) -> PackFrame {
        let place = FramePlace {
            offset: u64::from(number / 3),
            stored_length: 1,
            raw_length: RAW_LENGTH,
            codec: Codec::None,
        };
        PackFrame { pack: Id::from_bytes([number % 3; 32]), place }
    }

    fn task(number: usize) -> FileTask {
        let directory = Arc::new(FileDirectory { path: Box::default(), is_new: true });
        let node = Node::File { size_bytes: 1, id: Id::from_bytes([0; 32]) };
        let name = number.to_string().into_bytes().into();
        FileTask {
            directory,
            entry: Entry { name, metadata: Metadata::default(), node },
            group: None,
        }
    }

    /// The names of the files of each job of a batch, with its frame.
    fn jobs(batch: Batch) -> Vec<(Option<PackFrame>, Vec<usize>)> {
        let number =
            |task: &FileTask| String::from_utf8_lossy(&task.entry.name).parse().expect("a number");
        let files = |job: &Job| job.files.iter().map(|(_, task)| number(task)).collect();
        batch.jobs().map(|job| (job.frame, files(&job))).collect()
    }

    proptest! {
        #[test]
        fn each_file_comes_once_and_a_frame_that_is_wanted_little_waits(
            // The frame of each file, or none, and the file's length.
            files in proptest::collection::vec(
                (proptest::option::weighted(0.9, 0_u8..12), 0_u32..100_000),
                0..200,
            ),
            files_max in 1_usize..60,
        ) {
            let mut plan = Plan { files: Vec::new(), files_max };
            let mut batches = Vec::new();
            for (number, (of, length)) in files.iter().enumerate() {
                let offset = number as u32;
                let place = of.map(|of| (frame(of), Spot { offset, length: *length }));
                plan.push_placed(place, task(number));
                if plan.is_full() {
                    batches.push(jobs(plan.take_batch()));
                    prop_assert!(plan.files.len() <= files_max / 2);
                    let mut wanted = BTreeMap::new();
                    for file in &plan.files {
                        *wanted.entry(file.frame_key()).or_insert(0) +=
                            u64::from(file.spot.length) + FILE_BYTES;
                    }
                    prop_assert!(!wanted.contains_key(&None));
                    for wanted in wanted.into_values() {
                        prop_assert!(wanted * FRAME_BYTES_FOR_ONE < u64::from(RAW_LENGTH));
                    }
                }
            }
            batches.push(jobs(plan.take_all()));
            prop_assert!(plan.files.is_empty());
            let mut seen = BTreeSet::new();
            for batch in &batches {
                let mut frames = BTreeSet::new();
                for (of, numbers) in batch {
                    for number in numbers {
                        prop_assert_eq!(files[*number].0.map(frame), *of);
                        prop_assert!(seen.insert(*number));
                    }
                    let is_first = of.is_none_or(|of| frames.insert((of.pack, of.place.offset)));
                    prop_assert!(is_first && (of.is_some() || numbers.len() == 1));
                    prop_assert!(numbers.is_sorted());
                }
            }
            prop_assert_eq!(seen.len(), files.len());
        }
    }

    #[test]
    fn copies_of_files_far_away_are_written_together() {
        // Each stretch of a tree has a frame of its own, and copies of one file of each other.
        let (stretches, of_stretch) = (20_u8, 200);
        let mut plan =
            Plan { files: Vec::new(), files_max: 2 * (of_stretch + usize::from(stretches)) };
        let mut batches = Vec::new();
        for stretch in 0..stretches {
            let own = std::iter::repeat_n(stretch, of_stretch);
            for of in own.chain(0..stretches) {
                let spot = Spot { offset: 0, length: RAW_LENGTH / of_stretch as u32 };
                plan.push_placed(Some((frame(of), spot)), task(0));
                if plan.is_full() {
                    batches.push(jobs(plan.take_batch()));
                }
            }
        }
        batches.push(jobs(plan.take_all()));
        let decoded: usize = batches.iter().map(Vec::len).sum();
        let each_batch_decodes_all = batches.len() * usize::from(stretches);
        assert!(decoded <= 3 * usize::from(stretches), "{decoded} of {each_batch_decodes_all}");
    }
}
