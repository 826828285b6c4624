//! Writing the files of a job.
//!
//! Invariant: a file that holds the wanted bytes is not written; one that differs is replaced in one
//! step, after all of its new bytes were proved.

use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};

use super::content::{holds, write_whole};
use super::long::{SHARED_BYTES_MIN, is_cancelled, write_long};
use super::plan::{FileDirectory, FileTask, Job, PackFrame, Spot};
use super::{Checkout, CheckoutError, LoadedXattrs, Origin};
use crate::base::hash::object_id;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Action;
use crate::base::path::split_last;
use crate::format::codec::DecodeError;
use crate::format::tree::Node;
use crate::os::{FileKind, Status};
use crate::store::{ReadError, Stored};
use crate::target::{Overwrite, TargetDirectory, TargetError};

/// Directories that a thread keeps open: the one whose files stand in a frame one after the other, and
/// the one of a copy that comes in between.
const OPEN_DIRECTORIES_MAX: usize = 2;

/// One thread that writes files.
pub(super) struct Writer<'c, 'a> {
    checkout: &'c Checkout<'a>,
    /// The directories that it wrote to last, the last of them at the end.
    open: Vec<(Arc<FileDirectory>, TargetDirectory)>,
    frame: Option<Frame>,
    path: Vec<u8>,
}

/// The decoded frame of a job; without bytes if it cannot be read.
struct Frame {
    key: PackFrame,
    bytes: Option<Vec<u8>>,
    /// The object that was found to be the one of the id.
    proved: Option<(Spot, Id)>,
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

/// What became of a file: done, or left for all threads together.
enum Outcome {
    Done(Action),
    Later,
}

impl<'c, 'a> Writer<'c, 'a> {
    pub(super) fn new(checkout: &'c Checkout<'a>) -> Self {
        Self { checkout, open: Vec::new(), frame: None, path: Vec::new() }
    }

    /// Writes the files of a job.
    ///
    /// # Errors
    ///
    /// The target is full; the user interrupted it. Other failures are told and counted.
    pub(super) fn run(&mut self, job: Job) -> Result<(), CheckoutError> {
        for (spot, task) in job.files {
            let place = job.frame.map(|frame| (frame, spot));
            if let Some(later) = self.write(place, task, 1)? {
                let mut long = self.checkout.long.lock().unwrap_or_else(PoisonError::into_inner);
                long.push(later);
            }
        }
        Ok(())
    }

    /// Writes one file with this many threads; gives it back if it is worth more than one.
    pub(super) fn write(
        &mut self,
        place: Option<(PackFrame, Spot)>,
        task: FileTask,
        workers: usize,
    ) -> Result<Option<FileTask>, CheckoutError> {
        let checkout = self.checkout;
        if checkout.monitor.is_cancelled() {
            return Err(CheckoutError::Cancelled);
        }
        let Node::File { size_bytes, id } = task.entry.node else { return Ok(None) };
        self.path.clear();
        self.path.extend_from_slice(&task.directory.path);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&task.entry.name);
        match self.restore(place, &task, (&id, size_bytes), workers) {
            Ok(Outcome::Later) => return Ok(Some(task)),
            Ok(Outcome::Done(action)) => checkout.done(action, &self.path, size_bytes),
            Err(error) if is_cancelled(checkout, &error) => return Err(CheckoutError::Cancelled),
            Err(FileError::Target(error)) => checkout.target_failed(&self.path, error)?,
            Err(FileError::Read(ReadError::Sink(source)))
                if source.kind() == ErrorKind::StorageFull =>
            {
                let path = String::from_utf8_lossy(&self.path).into_owned();
                return Err(TargetError::NoSpace { path, source }.into());
            }
            Err(FileError::Read(error)) => checkout.read_failed(&self.path, &error),
        }
        Ok(None)
    }

    fn directory(&mut self, wanted: &Arc<FileDirectory>) -> Result<TargetDirectory, TargetError> {
        if let Some(at) = self.open.iter().position(|(open, _)| Arc::ptr_eq(open, wanted)) {
            let (open, directory) = self.open.remove(at);
            self.open.push((open, directory.clone()));
            return Ok(directory);
        }
        let directory = self.checkout.root.open_directory(&wanted.path)?;
        if wanted.is_new {
            directory.gives_no_acls();
        }
        if self.open.len() == OPEN_DIRECTORIES_MAX {
            self.open.remove(0);
        }
        self.open.push((Arc::clone(wanted), directory.clone()));
        Ok(directory)
    }

    fn restore(
        &mut self,
        place: Option<(PackFrame, Spot)>,
        task: &FileTask,
        (id, size_bytes): (&Id, u64),
        workers: usize,
    ) -> Result<Outcome, FileError> {
        let checkout = self.checkout;
        let name = &task.entry.name;
        let metadata = &task.entry.metadata;
        let directory = self.directory(&task.directory)?;
        let status = if task.directory.is_new { None } else { directory.status(name)? };
        let xattrs = LoadedXattrs::load(checkout.store, &metadata.xattrs)?;
        if let Some(status) =
            status.filter(|status| may_be_kept(checkout, task, status, size_bytes))
        {
            let opened = match directory.open_file_for_reading(name) {
                // What may not be read can be replaced all the same.
                Err(TargetError::Denied { .. })
                    if checkout.request.overwrite == Overwrite::Replace =>
                {
                    None
                }
                opened => Some(opened?),
            };
            if let Some((file, now)) = opened
                && now.is_same_object(&status)
                && holds(&file, id, size_bytes)
            {
                let not_kept =
                    xattrs.with(metadata, |wanted| directory.apply_to_file(name, &file, wanted))?;
                checkout.not_kept(&self.path, not_kept);
                note_origin(checkout, task, status.identity());
                let same = status.mtime == metadata.mtime
                    && status.mode == metadata.mode
                    && (status.uid, status.gid) == (metadata.uid, metadata.gid);
                return Ok(Outcome::Done(if same { Action::Unchanged } else { Action::Changed }));
            }
        }
        let overwrite = checkout.request.overwrite;
        if status.is_some() && overwrite == Overwrite::Never {
            let path = String::from_utf8_lossy(&self.path).into_owned();
            return Err(TargetError::Occupied { path }.into());
        }
        let new = || directory.create_file_for(name, metadata);
        let file = if let Some(bytes) = self.whole(place, id) {
            check_length(id, size_bytes, bytes.len() as u64)?;
            let file = new()?;
            write_whole(&file, bytes)?;
            checkout.monitor.bytes(size_bytes);
            file
        } else {
            let stored = checkout.store.load(id, Kind::Blob)?;
            check_length(id, size_bytes, stored.length_bytes())?;
            let is_long = matches!(stored, Stored::List(_)) && size_bytes >= SHARED_BYTES_MIN;
            if is_long && workers < checkout.request.workers {
                return Ok(Outcome::Later);
            }
            let file = new()?;
            match &stored {
                Stored::Whole(bytes) => {
                    write_whole(&file, bytes)?;
                    checkout.monitor.bytes(size_bytes);
                }
                Stored::List(list) => write_long(checkout, &file, (id, list), workers)?,
            }
            file
        };
        let finished = xattrs.with(metadata, |wanted| file.finish(wanted, overwrite))?;
        checkout.not_kept(&self.path, finished.not_kept);
        note_origin(checkout, task, finished.identity);
        Ok(Outcome::Done(if status.is_some() { Action::Changed } else { Action::New }))
    }

    /// The bytes of a whole object in a frame, found to be those of the id; `None` if they are not,
    /// and the store has to look for others, or tell what is wrong.
    fn whole(&mut self, place: Option<(PackFrame, Spot)>, id: &Id) -> Option<&[u8]> {
        let (key, spot) = place?;
        if self.frame.as_ref().is_none_or(|frame| frame.key != key) {
            // Gone before the next one takes its memory.
            self.frame = None;
            let bytes = self.checkout.store.frames().load(&key.pack, &key.place).ok();
            self.frame = Some(Frame { key, bytes, proved: None });
        }
        let frame = self.frame.as_mut()?;
        let start = spot.offset as usize;
        let bytes = frame.bytes.as_ref()?.get(start..start + spot.length as usize)?;
        if frame.proved != Some((spot, *id)) {
            if object_id(Kind::Blob, bytes) != *id {
                return None;
            }
            frame.proved = Some((spot, *id));
        }
        Some(bytes)
    }
}

fn check_length(id: &Id, wanted: u64, found: u64) -> Result<(), ReadError> {
    if found == wanted {
        return Ok(());
    }
    let source = DecodeError { what: "a file of another length than its tree says", offset: 0 };
    let file = "the repository".to_owned();
    Err(ReadError::Damaged { id: *id, kind: Kind::Blob, file, source })
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
        let (directory, name) = (task.directory.path.clone(), task.entry.name.clone());
        checkout.groups.set_origin(group, Origin { directory, name, identity });
    }
}
