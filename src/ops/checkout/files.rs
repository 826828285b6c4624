//! Writing a batch of files, those that share a frame one after the other.
//!
//! Invariant: a file that holds the wanted bytes is not written; one that differs is replaced in one
//! step, after all of its new bytes were proved.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::content::{holds, write_content};
use super::{Checkout, CheckoutError, LoadedXattrs, Origin};
use crate::base::id::Id;
use crate::base::monitor::Action;
use crate::base::path::{join, split_last};
use crate::format::tree::{Entry, Node};
use crate::os::{FileKind, Status};
use crate::store::{Locality, ReadError};
use crate::target::{Overwrite, TargetDirectory, TargetError};

/// A file to be written.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) directory: Arc<[u8]>,
    pub(super) entry: Entry,
    /// The group of links that it is the first of.
    pub(super) group: Option<usize>,
}

/// Files that a worker takes at a time; they share a frame or two.
const RUN_FILES: usize = 32;

pub(super) fn write(checkout: &Checkout<'_>, tasks: Vec<FileTask>) -> Result<(), CheckoutError> {
    let mut planned: Vec<(Option<Locality>, FileTask)> = tasks
        .into_iter()
        .map(|task| {
            let locality = match &task.entry.node {
                Node::File { id, .. } => checkout.store.locality(id),
                _ => None,
            };
            (locality, task)
        })
        .collect();
    planned.sort_by_key(|(a, _)| *a);
    let runs: Vec<&[(Option<Locality>, FileTask)]> = planned.chunks(RUN_FILES).collect();
    let next = AtomicUsize::new(0);
    let is_stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..checkout.request.workers.max(1).min(runs.len()) {
            scope.spawn(|| {
                let mut open = OpenDirectory::default();
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (_, task) in *run {
                        if is_stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Err(error) = one(checkout, task, &mut open) {
                            is_stopped.store(true, Ordering::Relaxed);
                            let mut failure =
                                failure.lock().unwrap_or_else(PoisonError::into_inner);
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The directory that a worker wrote to last.
#[derive(Default)]
struct OpenDirectory(Option<(Arc<[u8]>, TargetDirectory)>);

impl OpenDirectory {
    fn get(
        &mut self,
        checkout: &Checkout<'_>,
        path: &Arc<[u8]>,
    ) -> Result<TargetDirectory, TargetError> {
        if let Some((open, directory)) = &self.0
            && open == path
        {
            return Ok(directory.clone());
        }
        let directory = checkout.root.open_directory(path)?;
        self.0 = Some((Arc::clone(path), directory.clone()));
        Ok(directory)
    }
}

fn one(
    checkout: &Checkout<'_>,
    task: &FileTask,
    open: &mut OpenDirectory,
) -> Result<(), CheckoutError> {
    if checkout.monitor.is_cancelled() {
        return Err(CheckoutError::Cancelled);
    }
    let Node::File { size_bytes, id } = task.entry.node else { return Ok(()) };
    let path = join(&task.directory, &task.entry.name);
    let outcome = open
        .get(checkout, &task.directory)
        .map_err(FileError::Target)
        .and_then(|directory| restore(checkout, task, &directory, &path, (&id, size_bytes)));
    match outcome {
        Ok(action) => checkout.done(action, &path, size_bytes),
        Err(FileError::Target(error)) => checkout.target_failed(&path, error)?,
        Err(FileError::Read(ReadError::Sink(error)))
            if error.kind() == std::io::ErrorKind::StorageFull =>
        {
            let path = String::from_utf8_lossy(&path).into_owned();
            return Err(TargetError::NoSpace { path, source: error }.into());
        }
        Err(FileError::Read(error)) => checkout.read_failed(&path, &error),
    }
    Ok(())
}

pub(super) enum FileError {
    Target(TargetError),
    Read(ReadError),
}

impl From<TargetError> for FileError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<ReadError> for FileError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

fn restore(
    checkout: &Checkout<'_>,
    task: &FileTask,
    directory: &TargetDirectory,
    path: &[u8],
    (id, size_bytes): (&Id, u64),
) -> Result<Action, FileError> {
    let name = &task.entry.name;
    let metadata = &task.entry.metadata;
    let status = directory.status(name)?;
    let xattrs = LoadedXattrs::load(checkout.store, &metadata.xattrs)?;
    if let Some(status) = status.filter(|status| may_be_kept(checkout, task, status, size_bytes)) {
        let (file, now) = directory.open_file_for_reading(name)?;
        if now.is_same_object(&status) && holds(&file, id, size_bytes) {
            let not_kept =
                xattrs.with(metadata, |wanted| directory.apply_to_file(name, &file, wanted))?;
            checkout.not_kept(path, not_kept);
            note_origin(checkout, task, status.identity());
            let same = status.mtime == metadata.mtime
                && status.mode == metadata.mode
                && (status.uid, status.gid) == (metadata.uid, metadata.gid);
            return Ok(if same { Action::Unchanged } else { Action::Changed });
        }
    }
    if status.is_some() && checkout.request.overwrite == Overwrite::Never {
        return Err(
            TargetError::Occupied { path: String::from_utf8_lossy(path).into_owned() }.into()
        );
    }
    let file = directory.create_file(name)?;
    write_content(checkout, &file, id, size_bytes)?;
    let overwrite = checkout.request.overwrite;
    let finished = xattrs.with(metadata, |wanted| file.finish(wanted, overwrite))?;
    checkout.not_kept(path, finished.not_kept);
    note_origin(checkout, task, finished.identity);
    Ok(if status.is_some() { Action::Changed } else { Action::New })
}

/// Whether what stands there might be the file that is wanted. One that shares its inode with names
/// that are none of its group is replaced, as it could not be changed alone.
fn may_be_kept(checkout: &Checkout<'_>, task: &FileTask, status: &Status, size_bytes: u64) -> bool {
    if status.kind != FileKind::File || status.size_bytes != size_bytes {
        return false;
    }
    if status.nlink == 1 {
        return true;
    }
    let members = task.group.and_then(|group| checkout.groups.members.get(group));
    let has_inode = |path: &[u8]| {
        let (directory, name) = split_last(path);
        let found =
            checkout.root.open_directory(directory).and_then(|directory| directory.status(name));
        found.is_ok_and(|found| found.is_some_and(|found| found.identity() == status.identity()))
    };
    let names = members.into_iter().flatten().filter(|path| has_inode(path)).count();
    u32::try_from(names) == Ok(status.nlink)
}

fn note_origin(checkout: &Checkout<'_>, task: &FileTask, identity: crate::os::FileIdentity) {
    if let Some(group) = task.group {
        let origin =
            Origin { directory: (*task.directory).into(), name: task.entry.name.clone(), identity };
        checkout.groups.set_origin(group, origin);
    }
}
