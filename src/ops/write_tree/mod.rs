//! Directories to a tree: walked, compared with what was seen before, read, hashed and stored.
//!
//! Invariant: what is not in the tree is in `skipped`, unless it was excluded or outside; a tree is
//! made only when all of its entries are.

mod directory;
mod file;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::bounded;

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::{Action, Monitor, Problem};
use crate::format::links;
use crate::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Skipped};
use crate::format::tree::Metadata;
use crate::os::FileIdentity;
use crate::source::selection::Selection;
use crate::source::stat_index::{StatIndex, StatIndexWriter};
use crate::store::{
    HashOnly, InsertReport, Inserter, ObjectSink, Store, Worker, WriteError, put_any,
};

use self::file::FileTask;
use self::walk::Walker;

/// Files that wait for a worker, at most; each may hold a directory open.
const QUEUE_FILES: usize = 256;
/// A tree may be 4,096 levels deep, and the walk goes down by calls.
const WALK_STACK_BYTES: usize = 256 << 20;

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
            let sinks = vec![HashOnly; threads.max(1) + 1];
            (run(&scan, sinks, conclude, |_: HashOnly| Ok(()))?, InsertReport::default())
        }
        Destination::Store(inserter) => {
            inserter.run(|workers| run(&scan, workers, conclude, Worker::finish))?
        }
    };
    Ok(scan.into_report(record, inserted))
}

/// Walks with the first sink and reads files with the others.
fn run<S: ObjectSink>(
    scan: &Scan<'_>,
    mut sinks: Vec<S>,
    conclude: Conclude<'_>,
    finish: impl Fn(S) -> Result<(), WriteError> + Sync,
) -> Result<RootRecord, TreeError> {
    let Some(mut walk_sink) = sinks.pop() else { return Err(WriteError::Stopped.into()) };
    // A single sink serves both: then the walk reads each file itself.
    let (sender, receiver) = bounded::<FileTask>(QUEUE_FILES);
    let finish = &finish;
    std::thread::scope(|scope| {
        let readers: Vec<_> = sinks
            .into_iter()
            .map(|mut sink| {
                let receiver = receiver.clone();
                scope.spawn(move || {
                    for task in receiver {
                        if scan.is_stopped() {
                            continue;
                        }
                        if let Err(error) = file::run(scan, &task, &mut sink) {
                            scan.stop(error);
                        }
                    }
                    finish(sink)
                })
            })
            .collect();
        drop(receiver);
        let walker = std::thread::Builder::new().stack_size(WALK_STACK_BYTES);
        let has_readers = !readers.is_empty();
        let walk = walker
            .spawn_scoped(scope, move || {
                let queue = has_readers.then_some(sender);
                let walked = Walker::new(scan, &mut walk_sink, queue).run();
                (walked, walk_sink)
            })
            .map_err(TreeError::Thread)?;
        let (walked, mut walk_sink) = join(walk);
        let mut result = walked;
        for reader in readers {
            let finished = join(reader);
            result = result.and_then(|walked| finished.map(|()| walked).map_err(TreeError::from));
        }
        if let Some(error) = scan.take_error() {
            return Err(error);
        }
        let root_metadata = result?;
        let record = scan.record(root_metadata.as_ref(), &mut walk_sink)?;
        conclude(&record, &mut walk_sink)?;
        finish(walk_sink)?;
        Ok(record)
    })
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
    tally: Mutex<Tally>,
    is_stopped: AtomicBool,
    error: Mutex<Option<TreeError>>,
    root: Mutex<Option<Id>>,
}

#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    files: [u64; 3],
    directories: [u64; 3],
    bytes_read: u64,
    errors: u64,
    missing_includes: u64,
    includes: u64,
    skipped: Vec<Skipped>,
    links: BTreeMap<FileIdentity, Vec<Box<[u8]>>>,
    owners: crate::source::owners::Owners,
}

impl<'a> Scan<'a> {
    fn new(source: &'a TreeSource<'a>, monitor: &'a dyn Monitor) -> Self {
        Self {
            source,
            monitor,
            tally: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            error: Mutex::default(),
            root: Mutex::default(),
        }
    }

    /// Receives the tree of the root directory, which ends last.
    fn set_root(&self, tree: Id) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(tree);
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut tally = self.tally();
        tally.errors += 1;
        tally.skipped.push(Skipped { path: BytesText::new(path), reason });
    }

    /// Records that something is not in the tree, as it should be.
    fn skip(&self, path: &[u8], reason: &str) {
        let skipped = Skipped { path: BytesText::new(path), reason: reason.to_owned() };
        self.tally().skipped.push(skipped);
    }

    fn count(&self, is_directory: bool, action: Action, path: &[u8], bytes: u64) {
        let which = match action {
            Action::New => 0,
            Action::Changed => 1,
            Action::Unchanged | Action::Deleted => 2,
        };
        let mut tally = self.tally();
        let counts = if is_directory { &mut tally.directories } else { &mut tally.files };
        counts[which] += 1;
        drop(tally);
        self.monitor.path(action, path, bytes);
    }

    /// Ends the scan: what belongs to the tree beside it.
    fn record<S: ObjectSink>(
        &self,
        root_metadata: Option<&Metadata>,
        sink: &mut S,
    ) -> Result<RootRecord, TreeError> {
        let tree = *self.root.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = self.tally();
        let groups: links::Groups = std::mem::take(&mut tally.links)
            .into_values()
            .filter(|paths| paths.len() > 1)
            .collect();
        let links = match groups.is_empty() {
            true => None,
            false => Some(put_any(sink, Kind::Links, &links::encode(groups))?),
        };
        tally.skipped.sort();
        tally.skipped.dedup();
        let (users, groups) = tally.owners.names();
        let texts =
            |patterns: &[Vec<u8>]| patterns.iter().map(|text| BytesText::new(text)).collect();
        let context = std::os::unix::ffi::OsStrExt::as_bytes(self.source.context.as_os_str());
        Ok(RootRecord {
            tree: tree.ok_or(TreeError::Cancelled)?,
            links,
            root: root_metadata.map(RootMetadata::from),
            context: BytesText::new(context),
            includes: texts(&self.source.includes),
            excludes: texts(&self.source.excludes),
            skipped: std::mem::take(&mut tally.skipped),
            users,
            groups,
            counts: tally.counts,
        })
    }

    fn into_report(self, record: RootRecord, inserted: InsertReport) -> TreeReport {
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
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
            bytes_read: tally.bytes_read,
            errors: tally.errors,
            missing_includes: tally.missing_includes,
            includes: tally.includes,
            inserted,
        }
    }
}
