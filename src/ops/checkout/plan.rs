//! The plan: files by the frame that holds their bytes, so that each frame is decoded once.
//!
//! Invariant: files of a batch that need one frame are one job, up to a bound of files; so a blob that
//! is wanted at several paths is decoded and proved once. Where not all files can be planned together,
//! the few that want little of a frame wait for others that want the same, as copies of files far
//! away in the tree do: without that, each batch would decode most frames of the repository.
//!
//! As long as threads have nothing to do, they get frames of which nearly all is wanted before the walk is
//! over. Only copies of what is in those, in parts of the tree that come later, have them decoded again.

use std::collections::BTreeMap;
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
/// A frame is handed out early once of so many parts of its bytes all but one are wanted.
const FRAME_PARTS: u64 = 8;
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

/// Files of one frame, or those that are in none.
#[derive(Debug, Default)]
struct FrameFiles {
    frame: Option<PackFrame>,
    files: Vec<(Spot, FileTask)>,
    /// Bytes of the frame that they want, and what they count for besides.
    wanted_bytes: u64,
    cost_bytes: u64,
}

impl FrameFiles {
    fn push(&mut self, spot: Spot, task: FileTask) {
        if self.files.len() == self.files.capacity() {
            // Vectors that double would take a third more memory.
            self.files.reserve_exact(self.files.len() / 4 + 16);
        }
        self.files.push((spot, task));
        self.wanted_bytes += u64::from(spot.length);
        self.cost_bytes += u64::from(spot.length) + FILE_BYTES;
    }

    fn raw_length(&self) -> u64 {
        self.frame.map_or(0, |frame| u64::from(frame.place.raw_length))
    }

    /// Whether the frame is not worth decoding, as more of its files may come.
    fn waits(&self) -> bool {
        self.cost_bytes.saturating_mul(FRAME_BYTES_FOR_ONE) < self.raw_length()
    }

    /// Whether little else of the frame can come but copies.
    fn is_full(&self) -> bool {
        self.wanted_bytes >= self.raw_length() - self.raw_length() / FRAME_PARTS
    }
}

/// Files that are to be written, gathered until there are enough.
#[derive(Debug)]
pub(super) struct Plan {
    frames: BTreeMap<Option<FrameKey>, FrameFiles>,
    /// Frames that became full, in that order; some may be gone since.
    full: Vec<FrameKey>,
    files: usize,
    files_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self::of(PLAN_FILES_MAX)
    }
}

impl Plan {
    fn of(files_max: usize) -> Self {
        Self { frames: BTreeMap::new(), full: Vec::new(), files: 0, files_max }
    }

    /// Adds a file, after looking up where its bytes are.
    pub(super) fn push(&mut self, store: &Store, task: FileTask) {
        let place = place(store, &task);
        self.push_placed(place, task);
    }

    fn push_placed(&mut self, place: Option<(PackFrame, Spot)>, task: FileTask) {
        let (frame, spot) = place.unzip();
        let key = frame.map(|frame| (frame.pack, frame.place.offset));
        let of_frame = self.frames.entry(key).or_default();
        of_frame.frame = frame;
        let was_full = of_frame.is_full();
        // Those that are in no frame keep their order.
        let spot = spot.unwrap_or(Spot { offset: of_frame.files.len() as u32, length: 0 });
        of_frame.push(spot, task);
        self.full.extend(key.filter(|_| !was_full && of_frame.is_full()));
        self.files += 1;
    }

    /// Whether no more files can be held: a batch is to be taken.
    pub(super) fn is_full(&self) -> bool {
        self.files >= self.files_max
    }

    /// Takes the files of a frame of which nearly all is wanted, if there is one.
    pub(super) fn take_full_frame(&mut self) -> Option<Batch> {
        while let Some(key) = self.full.pop() {
            if let Some(of_frame) = self.frames.remove(&Some(key)) {
                self.files -= of_frame.files.len();
                return Some(Batch(vec![of_frame]));
            }
        }
        None
    }

    /// Takes the files of those frames of which much is wanted, and those that are in none; all, if
    /// too few are left to gather more.
    pub(super) fn take_batch(&mut self) -> Batch {
        let waiting = self.frames.values().filter(|of_frame| of_frame.waits());
        let waiting: usize = waiting.map(|of_frame| of_frame.files.len()).sum();
        if waiting > self.files_max / 2 {
            return self.take_all();
        }
        let frames = std::mem::take(&mut self.frames).into_iter();
        let (left, taken) = frames.partition(|(_, of_frame): &(_, FrameFiles)| of_frame.waits());
        self.frames = left;
        self.files = waiting;
        let taken: BTreeMap<_, _> = taken;
        Batch(taken.into_values().collect())
    }

    /// Takes all files, as no more will come.
    pub(super) fn take_all(&mut self) -> Batch {
        self.files = 0;
        Batch(std::mem::take(&mut self.frames).into_values().collect())
    }
}

/// Files to be written, by pack and place in it.
#[derive(Debug)]
pub(super) struct Batch(Vec<FrameFiles>);

impl Batch {
    /// The jobs, one at a time.
    pub(super) fn jobs(self) -> impl Iterator<Item = Job> {
        self.0.into_iter().flat_map(|FrameFiles { frame, mut files, .. }| {
            files.sort_by_key(|(spot, _)| spot.offset);
            let job_files = if frame.is_some() { JOB_FILES_MAX } else { 1 };
            let mut files = files.into_iter();
            std::iter::from_fn(move || {
                let files: Vec<_> = files.by_ref().take(job_files).collect();
                (!files.is_empty()).then_some(Job { frame, files })
            })
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
    use std::collections::BTreeSet;

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
            is_idle: bool,
        ) {
            let mut plan = Plan::of(files_max);
            let mut batches = Vec::new();
            for (number, (of, length)) in files.iter().enumerate() {
                let offset = number as u32;
                let place = of.map(|of| (frame(of), Spot { offset, length: *length }));
                plan.push_placed(place, task(number));
                if is_idle {
                    batches.extend(plan.take_full_frame().map(jobs));
                    let mut of_frames = plan.frames.values().filter(|files| files.frame.is_some());
                    prop_assert!(!of_frames.any(FrameFiles::is_full));
                }
                if plan.is_full() {
                    batches.push(jobs(plan.take_batch()));
                    prop_assert!(plan.files <= files_max / 2);
                    for (key, of_frame) in &plan.frames {
                        let lengths = of_frame.files.iter().map(|(spot, _)| spot.length);
                        let wanted = lengths.map(|length| u64::from(length) + FILE_BYTES);
                        prop_assert!(key.is_some());
                        prop_assert!(
                            wanted.sum::<u64>() * FRAME_BYTES_FOR_ONE < u64::from(RAW_LENGTH)
                        );
                    }
                }
                let held = plan.frames.values().map(|of_frame| of_frame.files.len());
                prop_assert_eq!(held.sum::<usize>(), plan.files);
            }
            batches.push(jobs(plan.take_all()));
            prop_assert!(plan.frames.is_empty() && plan.files == 0);
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
        let mut plan = Plan::of(2 * (of_stretch + usize::from(stretches)));
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
