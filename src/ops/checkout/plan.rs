//! The plan: files by the frame that holds their bytes, so that each frame is decoded once.
//!
//! Invariant: files of a batch that need one frame are one job, up to a bound of files; so a blob that
//! is wanted at several paths is decoded and proved once.

use std::sync::Arc;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::pack::FramePlace;
use crate::format::tree::{Entry, Node};
use crate::store::Store;

/// Files of a job: so many of one frame still are work for several threads.
const JOB_FILES_MAX: usize = 2048;

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
pub(super) struct PlacedFile {
    frame: Option<PackFrame>,
    spot: Spot,
    task: FileTask,
}

/// Files to be written, by pack and place in it once they are sorted.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<PlacedFile>);

impl Batch {
    /// Adds a file, after looking up where its bytes are.
    pub(super) fn push(&mut self, store: &Store, task: FileTask) {
        let (frame, spot) = place(store, &task).unzip();
        // Those that are in no frame keep their order.
        let spot = spot.unwrap_or(Spot { offset: self.0.len() as u32, length: 0 });
        self.0.push(PlacedFile { frame, spot, task });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|file| {
            let frame = file.frame.map(|frame| (frame.pack, frame.place.offset));
            (frame, file.spot.offset)
        });
    }

    /// The jobs of a sorted batch, one at a time.
    pub(super) fn jobs(self) -> impl Iterator<Item = Job> {
        let mut files = self.0.into_iter().peekable();
        std::iter::from_fn(move || {
            let PlacedFile { frame, spot, task } = files.next()?;
            let mut job = Job { frame, files: vec![(spot, task)] };
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
