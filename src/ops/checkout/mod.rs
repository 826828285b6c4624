//! A tree to files: planned by pack and frame, so that each frame is read and decoded once.
//!
//! Invariant: nothing is written outside the target, no link that stands there is followed, and no
//! file gets its name before all of its bytes were proved. runup-checkout(1).

mod content;
mod files;
mod later;
mod long;
mod made;
mod pipeline;
mod plan;
mod report;
mod settle;
mod walk;
mod wanted;

pub use wanted::WantedPaths;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::format::links;
use crate::format::tree::{Metadata, Xattr, XattrValue};
use crate::os::FileIdentity;
use crate::store::{ReadError, Store};
use crate::target::{Overwrite, TargetError, TargetRoot, WantedMetadata};

use self::plan::FileTask;
use self::report::Tally;

pub use self::report::CheckoutReport;

/// Whether an entry of a tree is wanted in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// With its metadata.
    Yes,
    /// As a way to what is wanted below it; an existing one keeps its metadata.
    Container,
    /// No.
    No,
}

/// What to write where.
pub struct CheckoutRequest<'a> {
    /// The tree of the root directory.
    pub tree: Id,
    /// The groups of paths that share an inode.
    pub links: Option<Id>,
    /// The metadata of the root directory, if the target is to get it.
    pub root: Option<Metadata>,
    /// The target, a directory that exists.
    pub to: &'a Path,
    /// Which entries are wanted, by path and whether it is a directory.
    pub wanted: &'a (dyn Fn(&[u8], bool) -> Wanted + Sync),
    /// What becomes of files that stand there and differ.
    pub overwrite: Overwrite,
    /// Whether devices are made.
    pub has_devices: bool,
    /// Threads that write files.
    pub workers: usize,
}

impl std::fmt::Debug for CheckoutRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckoutRequest").field("tree", &self.tree).finish_non_exhaustive()
    }
}

/// A checkout that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The target cannot be written to at all, or is full.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The root of what was asked for cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is stored could not have been made by a backup.
    #[error("refused: {what} in {kind} {id}")]
    Hostile {
        /// What is wrong.
        what: &'static str,
        /// The kind of object.
        kind: Kind,
        /// The object.
        id: Id,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The user interrupted it.
    #[error("interrupted")]
    Cancelled,
}

/// Writes a tree to a directory.
///
/// What could not be written, or not be kept of its metadata, is handed to `monitor` and counted.
///
/// # Errors
///
/// The target is no directory or full; the root tree is missing, damaged, or hostile. Where the links
/// are missing or damaged, that is told, and each path gets a file of its own.
pub fn checkout(
    store: &Store,
    request: &CheckoutRequest<'_>,
    monitor: &dyn Monitor,
) -> Result<CheckoutReport, CheckoutError> {
    let root = TargetRoot::open(request.to)?;
    // Files are worth more than which of them are one.
    let (groups, lost) = match Groups::load(store, request.links) {
        Err(CheckoutError::Read(error)) if error.is_damage() => (Groups::default(), Some(error)),
        loaded => (loaded?, None),
    };
    let checkout = Checkout {
        store,
        request,
        monitor,
        root,
        tally: Mutex::default(),
        long: Mutex::default(),
        groups,
    };
    if let Some(error) = lost {
        checkout.read_failed(b"", &error);
    }
    let walked = pipeline::run(&checkout)?;
    let long = std::mem::take(&mut *checkout.long.lock().unwrap_or_else(PoisonError::into_inner));
    let mut writer = files::Writer::new(&checkout);
    for task in long {
        writer.write(None, task, request.workers)?;
    }
    walked.finish(&checkout)?;
    Ok(checkout.into_report())
}

/// What all threads of one checkout share.
struct Checkout<'a> {
    store: &'a Store,
    request: &'a CheckoutRequest<'a>,
    monitor: &'a dyn Monitor,
    root: TargetRoot,
    tally: Mutex<Tally>,
    /// Files that are written by all threads together, after the others.
    long: Mutex<Vec<FileTask>>,
    groups: Groups,
}

/// Which paths share an inode, and where the first of each group was written.
#[derive(Debug, Default)]
struct Groups {
    by_path: HashMap<Box<[u8]>, usize>,
    members: links::Groups,
    origins: Mutex<HashMap<usize, Origin>>,
}

/// The name under which the inode of a group stands in the target.
#[derive(Debug, Clone)]
struct Origin {
    directory: Box<[u8]>,
    name: Box<[u8]>,
    identity: FileIdentity,
}

impl Groups {
    fn load(store: &Store, links: Option<Id>) -> Result<Self, CheckoutError> {
        let Some(id) = links else { return Ok(Self::default()) };
        let kind = Kind::Links;
        let bytes = store.read(&id, kind)?;
        let groups = links::decode(&bytes).map_err(|error| CheckoutError::Hostile {
            what: error.what,
            kind,
            id,
        })?;
        let mut by_path = HashMap::new();
        for (number, group) in groups.iter().enumerate() {
            by_path.extend(group.iter().map(|path| (path.clone(), number)));
        }
        Ok(Self { by_path, members: groups, origins: Mutex::default() })
    }

    fn of(&self, path: &[u8]) -> Option<usize> {
        self.by_path.get(path).copied()
    }
}

/// The values of extended attributes, loaded.
struct LoadedXattrs(Vec<(Box<[u8]>, Vec<u8>)>);

impl LoadedXattrs {
    fn load(store: &Store, xattrs: &[Xattr]) -> Result<Self, ReadError> {
        let value = |xattr: &Xattr| match &xattr.value {
            XattrValue::Inline(value) => Ok(value.to_vec()),
            XattrValue::Blob { id, size_bytes } => {
                let length_bytes = store.load(id, Kind::Blob)?.length_bytes();
                if length_bytes != *size_bytes {
                    return Err(ReadError::TooLong { id: *id, kind: Kind::Blob, length_bytes });
                }
                store.read(id, Kind::Blob)
            }
        };
        let pair = |xattr: &Xattr| value(xattr).map(|value| (xattr.name.clone(), value));
        xattrs.iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn with<T>(&self, metadata: &Metadata, apply: impl FnOnce(&WantedMetadata<'_>) -> T) -> T {
        let xattrs: Vec<(&[u8], &[u8])> =
            self.0.iter().map(|(name, value)| (&**name, value.as_slice())).collect();
        apply(&WantedMetadata { metadata, xattrs: &xattrs })
    }
}
