//! Directories to a tree: walked, compared with what was seen before, read, hashed and stored.
//!
//! Invariant: what is not in the tree is in `skipped`, unless it was excluded or outside; a tree is
//! made only when all of its entries are.

mod before;
mod directory;
mod file;
mod leaf;
mod places;
mod tally;
mod tasks;
mod walk;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Monitor, Problem};
use crate::format::links;
use crate::format::snapshot::{BytesText, RootMetadata, RootRecord, Skipped};
use crate::format::tree::Metadata;
use crate::os::FileIdentity;
use crate::source::selection::Selection;
use crate::source::stat_index::{StatIndex, StatIndexWriter};
use crate::store::{
    HashOnly, InsertReport, Inserter, ObjectSink, ShareFrames, Store, Worker, WriteError, put_any,
};

use self::places::open_roots;
use self::tally::Tally;
use self::tasks::Tasks;
use self::walk::{Task, Walker};

/// A tree may be 4,096 levels deep, and directories that are given up drop those above them.
const STACK_BYTES: usize = 16 << 20;

/// What to make a tree of.
#[derive(Debug)]
pub struct TreeSource<'a> {
    /// The directory that relative includes start from, absolute.
    pub context: PathBuf,
    /// What is included and excluded.
    pub selection: &'a Selection,
    /// The patterns that `selection` was made from, for the record.
    pub includes: Vec<Vec<u8>>,
    /// The same for excludes.
    pub excludes: Vec<Vec<u8>>,
    /// Whether directories on other file systems are left out.
    pub one_file_system: bool,
    /// Directories of RunUp's own, which are never stored, and what each is.
    pub own: Vec<(FileIdentity, &'static str)>,
    /// What the last scan saw.
    pub stat_index: Option<&'a StatIndex>,
    /// Where everything is to be looked for that the last scan saw, as it may have been lost since.
    pub doubted: Option<&'a Store>,
    /// Whether that scan selected by the same patterns and options.
    pub is_same_selection: bool,
    /// Where what this scan sees is kept.
    pub stat_index_writer: Option<&'a StatIndexWriter>,
    /// The tree of the previous snapshot and where it is, to tell new from changed where there is
    /// no stat index.
    pub previous: Option<(&'a Store, Id)>,
}

/// What a scan came to.
#[derive(Debug, Clone)]
pub struct TreeReport {
    /// The tree and all that belongs to it.
    pub record: RootRecord,
    /// Files that were not in the previous snapshot.
    pub files_new: u64,
    /// Files that differ from the previous snapshot.
    pub files_changed: u64,
    /// Files that are as they were.
    pub files_unmodified: u64,
    /// Directories that were not in the previous snapshot.
    pub dirs_new: u64,
    /// Directories that differ from the previous snapshot.
    pub dirs_changed: u64,
    /// Directories that are as they were.
    pub dirs_unmodified: u64,
    /// Entries that are as they were, of which something was lost that is stored again now.
    pub healed: u64,
    /// Bytes of files that were read.
    pub bytes_read: u64,
    /// Sources that could not be read, or changed while they were.
    pub errors: u64,
    /// Of those, includes that do not exist.
    pub missing_includes: u64,
    /// Includes that were looked for.
    pub includes: u64,
    /// What was stored.
    pub inserted: InsertReport,
    /// Where the new stat index has the record of the root; 0 where none is written.
    pub root_seen: u64,
}

/// Why a tree could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// An object could not be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The context cannot be opened.
    #[error("cannot open {path}")]
    Context {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Where the objects of a tree go.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// Into a repository.
    Store(&'a Inserter<'a>),
    /// Nowhere: only ids are wanted. With this many threads.
    Nowhere(usize),
}

/// What is stored last, with the tree that was made, in the same packs.
pub type Conclude<'a> =
    &'a (dyn Fn(&RootRecord, &mut dyn ObjectSink) -> Result<(), WriteError> + Sync);

/// Makes a tree of what `source` selects.
///
/// `conclude` is called once with what was made, to store what refers to it. With [`Destination::Store`] everything is durable on return. What cannot be read is left out,
/// handed to `monitor`, and recorded.
///
/// # Errors
///
/// The context cannot be opened, or objects cannot be stored.
pub fn write_tree(
    source: &TreeSource<'_>,
    destination: Destination<'_>,
    conclude: Conclude<'_>,
    monitor: &dyn Monitor,
) -> Result<TreeReport, TreeError> {
    let scan = Scan::new(source, monitor);
    let (record, inserted) = match destination {
        Destination::Nowhere(threads) => {
            let sinks = vec![HashOnly; threads.max(1)];
            (run(&scan, sinks, conclude, |_: HashOnly| Ok(()))?, InsertReport::default())
        }
        Destination::Store(inserter) => {
            inserter.run(|workers| run(&scan, workers, conclude, Worker::finish))?
        }
    };
    Ok(scan.into_report(record, inserted))
}

/// Walks and reads files with a thread for each sink.
fn run<S: ObjectSink>(
    scan: &Scan<'_>,
    mut sinks: Vec<S>,
    conclude: Conclude<'_>,
    finish: impl Fn(S) -> Result<(), WriteError> + Sync,
) -> Result<RootRecord, TreeError> {
    let Some(first) = sinks.first_mut() else { return Err(WriteError::Stopped.into()) };
    let mut tally = Tally::default();
    scan.check_includes(&mut tally);
    let (root, root_metadata) = open_roots(scan, first, &mut tally)?;
    let tasks = Arc::new(Tasks::new(Task::Root(root)));
    let ended = std::thread::scope(|scope| {
        let tasks = &tasks;
        let start = |mut sink: S| {
            let share: Arc<dyn ShareFrames> = tasks.clone();
            sink.share(share);
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, move || {
                let tally = Walker::new(scan, &mut sink, tasks).run();
                (sink, tally)
            })
        };
        let started: Vec<_> = sinks.into_iter().map(start).collect();
        started
            .into_iter()
            .map(|thread| thread.map(join).map_err(TreeError::Thread))
            .collect::<Result<Vec<_>, _>>()
    })?;
    if let Some(error) = scan.take_error() {
        return Err(error);
    }
    let mut sinks = Vec::with_capacity(ended.len());
    for (sink, counted) in ended {
        tally.join(counted);
        sinks.push(sink);
    }
    let Some(mut last) = sinks.pop() else { return Err(WriteError::Stopped.into()) };
    let record = scan.record(root_metadata.as_ref(), &mut tally, &mut last)?;
    conclude(&record, &mut last)?;
    scan.set_tally(tally);
    sinks.push(last);
    std::thread::scope(|scope| {
        let finish = &finish;
        let ended: Vec<_> =
            sinks.into_iter().map(|sink| scope.spawn(move || finish(sink))).collect();
        ended.into_iter().try_for_each(join)
    })?;
    Ok(record)
}

fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// What all threads of one scan share.
pub(super) struct Scan<'a> {
    source: &'a TreeSource<'a>,
    monitor: &'a dyn Monitor,
    noted: Mutex<Noted>,
    is_stopped: AtomicBool,
    error: Mutex<Option<TreeError>>,
}

/// What comes from all threads while they run.
#[derive(Debug, Default)]
struct Noted {
    errors: u64,
    skipped: Vec<Skipped>,
    /// The tree of the root, and where the stat index has its record.
    root: Option<(Id, u64)>,
    tally: Tally,
}

impl<'a> Scan<'a> {
    fn new(source: &'a TreeSource<'a>, monitor: &'a dyn Monitor) -> Self {
        Self {
            source,
            monitor,
            noted: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            error: Mutex::default(),
        }
    }

    /// Receives the tree of the root directory, which ends last.
    fn set_root(&self, tree: Id, seen: u64) {
        self.noted().root = Some((tree, seen));
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_tally(&self, tally: Tally) {
        self.noted().tally = tally;
    }

    fn is_stopped(&self) -> bool {
        if self.monitor.is_cancelled() && !self.is_stopped.load(Ordering::Relaxed) {
            self.stop(TreeError::Cancelled);
        }
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn stop(&self, error: TreeError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn take_error(&self) -> Option<TreeError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records that something is not in the tree, and tells the monitor that this is a problem.
    fn fail(&self, code: &'static str, path: &[u8], reason: String) {
        self.monitor.problem(Problem { code, subject: path.to_vec(), message: reason.clone() });
        let mut noted = self.noted();
        noted.errors += 1;
        noted.skipped.push(Skipped { path: BytesText::new(path), reason });
    }

    /// Records that something is not in the tree, as it should be.
    fn skip(&self, path: &[u8], reason: &str) {
        let skipped = Skipped { path: BytesText::new(path), reason: reason.to_owned() };
        self.noted().skipped.push(skipped);
    }

    /// Ends the scan: what belongs to the tree beside it.
    fn record<S: ObjectSink>(
        &self,
        root_metadata: Option<&Metadata>,
        tally: &mut Tally,
        sink: &mut S,
    ) -> Result<RootRecord, TreeError> {
        let groups: links::Groups = std::mem::take(&mut tally.links)
            .into_values()
            .filter(|paths| paths.len() > 1)
            .collect();
        let links = match groups.is_empty() {
            true => None,
            false => Some(put_any(sink, Kind::Links, &links::encode(groups))?),
        };
        let mut noted = self.noted();
        let (tree, _) = noted.root.ok_or(TreeError::Cancelled)?;
        let mut skipped = std::mem::take(&mut noted.skipped);
        drop(noted);
        skipped.sort();
        skipped.dedup();
        let (users, groups) = tally.owners.names();
        let texts =
            |patterns: &[Vec<u8>]| patterns.iter().map(|text| BytesText::new(text)).collect();
        let context = std::os::unix::ffi::OsStrExt::as_bytes(self.source.context.as_os_str());
        Ok(RootRecord {
            tree,
            links,
            root: root_metadata.map(RootMetadata::from),
            context: BytesText::new(context),
            includes: texts(&self.source.includes),
            excludes: texts(&self.source.excludes),
            skipped,
            users,
            groups,
            counts: tally.counts,
        })
    }

    fn into_report(self, record: RootRecord, inserted: InsertReport) -> TreeReport {
        let noted = self.noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tally = noted.tally;
        let [files_new, files_changed, files_unmodified] = tally.files;
        let [dirs_new, dirs_changed, dirs_unmodified] = tally.directories;
        TreeReport {
            record,
            files_new,
            files_changed,
            files_unmodified,
            dirs_new,
            dirs_changed,
            dirs_unmodified,
            healed: tally.healed,
            bytes_read: tally.bytes_read,
            errors: noted.errors,
            missing_includes: tally.missing_includes,
            includes: tally.includes,
            inserted,
            root_seen: noted.root.map_or(0, |(_, seen)| seen),
        }
    }
}

#[cfg(test)]
mod tests;
