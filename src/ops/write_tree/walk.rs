//! The walk: down through directories by descriptor, one `statx` an entry, nothing followed.
//!
//! Invariant: entries come in the order of their names, and whatever is not stored is accounted for:
//! outside, excluded by a recorded pattern, or skipped with a reason.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Sender;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::directory::{Directory, compare};
use super::file::{self, FileTask};
use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::{is_within, join};
use crate::format::codec::Reader;
use crate::format::tree::{self, Entry, Metadata, Node};
use crate::ops::read_entry::{EntryError, ReadEntry, metadata, read_entry};
use crate::ops::with_causes;
use crate::os::{
    FileKind, Listed, Status, list, read_xattrs, read_xattrs_at, status_at, status_of,
};
use crate::source::metadata::is_pseudo_filesystem;
use crate::source::selection::{Root as SelectionRoot, Verdict};
use crate::source::stat_index::{Seen, Stamp};
use crate::store::ObjectSink;

/// One directory of the sources that goes into a directory of the tree. Two meet where a relative
/// and an absolute include share a container.
#[derive(Debug, Clone)]
struct Place {
    root: SelectionRoot,
    descriptor: Arc<OwnedFd>,
    verdict: Verdict,
    dev: u64,
    /// Whether it is what an include names, or a way there, rather than below one.
    is_asked_for: bool,
    /// Whether another file system begins here.
    is_mount: bool,
}

/// What was seen before in one directory, passed through in order of names.
struct Previous {
    entries: std::iter::Peekable<std::vec::IntoIter<Seen>>,
}

impl Previous {
    fn take(&mut self, name: &[u8]) -> Option<Seen> {
        let name_of =
            |seen: &Seen| Reader::new(&seen.encoded).bytes(usize::MAX, "").map(<[u8]>::to_vec);
        while let Some(seen) = self.entries.peek() {
            match name_of(seen) {
                Ok(seen_name) if seen_name.as_slice() > name => return None,
                Ok(seen_name) if seen_name == name => return self.entries.next(),
                _ => self.entries.next(),
            };
        }
        None
    }
}

pub(super) struct Walker<'w, 'a, S> {
    scan: &'w Scan<'a>,
    sink: &'w mut S,
    queue: Option<Sender<FileTask>>,
    depth: usize,
}

impl<'w, 'a, S: ObjectSink> Walker<'w, 'a, S> {
    pub(super) fn new(
        scan: &'w Scan<'a>,
        sink: &'w mut S,
        queue: Option<Sender<FileTask>>,
    ) -> Self {
        Self { scan, sink, queue, depth: 0 }
    }

    /// Walks everything; the metadata of the root directory. The root's tree is made by whoever
    /// hands in the last entry.
    pub(super) fn run(mut self) -> Result<Option<Metadata>, TreeError> {
        self.check_includes();
        let mut places = Vec::new();
        let mut root_metadata = None;
        let roots = [
            (SelectionRoot::Context, self.scan.source.context.as_path()),
            (SelectionRoot::Absolute, Path::new("/")),
        ];
        for (root, path) in roots {
            let selection = self.scan.source.selection;
            let verdict = selection.start(root);
            let is_wanted = selection.includes().iter().any(|include| include.root == root);
            if !is_wanted || !matches!(verdict, Verdict::Take | Verdict::Descend) {
                continue;
            }
            let (place, status) = open_root(root, path, verdict).map_err(|source| {
                TreeError::Context { path: path.display().to_string(), source }
            })?;
            if root_metadata.is_none() {
                let xattrs = read_xattrs(&place.descriptor).unwrap_or_default();
                root_metadata = Some(metadata(&status, &xattrs, self.sink)?);
                self.scan.tally().owners.note(status.uid, status.gid);
            }
            places.push(place);
        }
        let directory = Directory::root(root_metadata.clone().unwrap_or_default());
        let previous = self.scan.source.previous.map(|(_, tree)| tree);
        self.walk(&directory, &places, previous)?;
        Ok(root_metadata)
    }

    /// Names includes that do not exist.
    fn check_includes(&mut self) {
        for include in self.scan.source.selection.includes() {
            let base = match include.root {
                SelectionRoot::Context => self.scan.source.context.as_path(),
                SelectionRoot::Absolute => Path::new("/"),
            };
            let path = base.join(std::ffi::OsStr::from_bytes(&include.path));
            self.scan.tally().includes += 1;
            if let Err(error) = std::fs::symlink_metadata(&path) {
                self.scan.tally().missing_includes += 1;
                let reason = format!("cannot find this include: {error}");
                self.scan.fail("missing_include", &include.path, reason);
            }
        }
    }

    fn walk(
        &mut self,
        directory: &Arc<Directory>,
        places: &[Place],
        previous_tree: Option<Id>,
    ) -> Result<(), TreeError> {
        let mut children: Vec<(Listed, usize)> = Vec::new();
        for (number, place) in places.iter().enumerate() {
            match self.children(place, &directory.path) {
                Ok(listed) => children.extend(listed.into_iter().map(|child| (child, number))),
                Err(error) => {
                    self.scan.fail("unreadable", &directory.path, format!("cannot list: {error}"));
                }
            }
        }
        if places.len() > 1 {
            children.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        }
        let mut previous = self.previous(directory, previous_tree);
        self.depth += 1;
        for group in children.chunk_by(|(a, _), (b, _)| a.name == b.name) {
            if self.scan.is_stopped() {
                return Err(self.scan.take_error().unwrap_or(TreeError::Cancelled));
            }
            let Some((first, _)) = group.first() else { continue };
            let seen = previous.take(&first.name);
            self.visit(directory, places, group, seen.as_ref())?;
        }
        self.depth -= 1;
        directory.listed(self.scan, self.sink)
    }

    /// The names to look at in a directory: all of them, or only those that lead to includes.
    fn children(&self, place: &Place, path: &[u8]) -> std::io::Result<Vec<Listed>> {
        let includes = self.scan.source.selection.includes();
        let below = || {
            includes
                .iter()
                .filter(|include| include.root == place.root && is_within(&include.path, path))
        };
        let has_glob = includes.iter().any(|include| {
            include.is_glob && include.root == place.root && is_within(path, &include.path)
        });
        if place.verdict == Verdict::Take || has_glob {
            return list(&place.descriptor);
        }
        let mut names: Vec<&[u8]> = below()
            .filter_map(|include| {
                let rest = include.path.get(path.len()..)?;
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                rest.split(|byte| *byte == b'/').next().filter(|name| !name.is_empty())
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(|name| Listed { name: name.into(), kind: None, ino: 0 }).collect())
    }

    fn previous(&self, directory: &Directory, tree: Option<Id>) -> Previous {
        let seen = match (self.scan.source.stat_index, self.scan.source.previous, tree) {
            (Some(index), _, _) => index.directory(&directory.path),
            (None, Some((store, _)), Some(tree)) => {
                // A previous tree that cannot be read only means that more counts as new.
                let bytes = store.read(&tree, Kind::Tree).unwrap_or_default();
                let entries = tree::entries(&bytes).flatten();
                let seen = |entry: Entry| {
                    let mut encoded = Vec::new();
                    entry.encode(&mut encoded);
                    Seen { encoded: encoded.into(), stamp: None }
                };
                entries.map(seen).collect()
            }
            _ => Vec::new(),
        };
        Previous { entries: seen.into_iter().peekable() }
    }

    /// Deals with all that stands under one name.
    fn visit(
        &mut self,
        directory: &Arc<Directory>,
        places: &[Place],
        group: &[(Listed, usize)],
        seen: Option<&Seen>,
    ) -> Result<(), TreeError> {
        let mut below = Vec::new();
        for (listed, number) in group {
            let Some(place) = places.get(*number) else { continue };
            let path = join(&directory.path, &listed.name);
            let known = listed.kind.map(|kind| self.verdict(place, &path, kind));
            if known.is_some_and(|verdict| !matches!(verdict, Verdict::Take | Verdict::Descend)) {
                continue;
            }
            let status = match status_at(&place.descriptor, &listed.name) {
                Ok(status) => status,
                // Includes that are missing have been named before the walk.
                Err(error)
                    if listed.kind.is_none() && error.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => {
                    self.scan.fail("unreadable", &path, error.to_string());
                    continue;
                }
            };
            match self.verdict(place, &path, status.kind) {
                Verdict::Excluded { .. } | Verdict::Outside => {}
                Verdict::Descend if status.kind != FileKind::Directory => {
                    let reason = "an include leads through it, but it is not a directory".into();
                    self.scan.fail("not_a_directory", &path, reason);
                }
                verdict if status.kind == FileKind::Directory => {
                    below.extend(self.open_directory(place, &listed.name, &path, verdict));
                }
                _ => self.leaf(directory, place, &listed.name, status, seen)?,
            }
        }
        self.descend(directory, below, seen)
    }

    fn verdict(&self, place: &Place, path: &[u8], kind: FileKind) -> Verdict {
        let is_directory = kind == FileKind::Directory;
        self.scan.source.selection.verdict(place.verdict, place.root, path, is_directory)
    }

    /// Opens a directory that is wanted; `None` with a reason on record if it is not to be walked.
    fn open_directory(
        &self,
        place: &Place,
        name: &[u8],
        path: &[u8],
        verdict: Verdict,
    ) -> Option<(Place, Status, Vec<u8>)> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            |access| rustix::fs::openat(&place.descriptor, name, flags | access, Mode::empty());
        let opened = match open(OFlags::RDONLY) {
            // A container that may be passed through but not listed.
            Err(Errno::ACCESS) if verdict == Verdict::Descend => open(OFlags::PATH),
            other => other,
        };
        let opened = opened.map_err(std::io::Error::from);
        let opened = opened.and_then(|opened| status_of(&opened).map(|status| (opened, status)));
        let (descriptor, status) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.scan.fail("unreadable", path, format!("cannot open directory: {error}"));
                return None;
            }
        };
        let own = self.scan.source.own.iter().find(|(own, _)| *own == status.identity());
        if let Some((_, what)) = own {
            self.scan.skip(path, what);
            return None;
        }
        if self.depth >= DEPTH_MAX {
            self.scan.fail("too_deep", path, format!("more than {DEPTH_MAX} levels deep"));
            return None;
        }
        let child = Place {
            root: place.root,
            descriptor: Arc::new(descriptor),
            verdict,
            dev: status.dev,
            is_asked_for: place.verdict != Verdict::Take,
            is_mount: status.dev != place.dev,
        };
        Some((child, status, path.to_vec()))
    }

    /// Goes down into the directories that stand under one name.
    fn descend(
        &mut self,
        parent: &Arc<Directory>,
        mut below: Vec<(Place, Status, Vec<u8>)>,
        seen: Option<&Seen>,
    ) -> Result<(), TreeError> {
        let Some((place, status, path)) = below.first() else { return Ok(()) };
        let (status, path) = (*status, path.clone());
        let xattrs = read_xattrs(&place.descriptor)
            .or_else(|_| read_xattrs_at(&place.descriptor, b"."))
            .map_err(|error| self.scan.fail("unreadable", &path, with_causes(&error)));
        let metadata = metadata(&status, &xattrs.unwrap_or_default(), self.sink)?;
        self.scan.tally().owners.note(status.uid, status.gid);
        let number = parent.expect();
        let is_container = below.iter().all(|(place, ..)| place.verdict == Verdict::Descend);
        let stamp = Some(Stamp::from(&status));
        let tree = seen.and_then(|seen| {
            let entry = Entry::decode(&mut Reader::new(&seen.encoded)).ok()?;
            match entry.node {
                Node::Directory { tree } => Some(tree),
                _ => None,
            }
        });
        let directory =
            Directory::child((parent, number), path.clone(), metadata, stamp, is_container, seen);
        below.retain(|(place, ..)| self.is_entered(place, &path));
        let places: Vec<Place> = below.into_iter().map(|(place, ..)| place).collect();
        self.walk(&directory, &places, tree)
    }

    /// Whether what is in a directory is wanted, given the file system it lies on.
    ///
    /// A mount point that an include names is entered; one below an include only if it may be.
    fn is_entered(&self, place: &Place, path: &[u8]) -> bool {
        if place.verdict != Verdict::Take || !(place.is_asked_for || place.is_mount) {
            return true;
        }
        if is_pseudo_filesystem(&place.descriptor).unwrap_or(false) {
            if place.is_asked_for {
                let reason = "a pseudo file system, which holds nothing that could be kept".into();
                self.scan.fail("pseudo_file_system", path, reason);
            } else {
                self.scan.skip(path, "pseudo file system");
            }
            return false;
        }
        if self.scan.source.one_file_system && !place.is_asked_for {
            self.scan.skip(path, "other file system");
            return false;
        }
        true
    }

    /// Deals with anything that is not a directory.
    fn leaf(
        &mut self,
        directory: &Arc<Directory>,
        place: &Place,
        name: &[u8],
        status: Status,
        seen: Option<&Seen>,
    ) -> Result<(), TreeError> {
        let path = join(&directory.path, name);
        {
            let mut tally = self.scan.tally();
            tally.owners.note(status.uid, status.gid);
            if status.nlink > 1 {
                tally.links.entry(status.identity()).or_default().push(path.clone().into());
            }
        }
        let index = self.scan.source.stat_index;
        let unchanged =
            index.zip(seen.as_ref()).and_then(|(index, seen)| index.unchanged(seen, &status));
        if let Some(entry) = unchanged {
            self.count_leaf(&entry, seen, &path);
            directory.add(&entry, Some(Stamp::from(&status)));
            return Ok(());
        }
        if status.kind == FileKind::File {
            let task = FileTask {
                directory: Arc::clone(directory),
                number: directory.expect(),
                descriptor: Arc::clone(&place.descriptor),
                name: name.into(),
                status,
                previous: seen.cloned(),
            };
            return match &self.queue {
                // A closed queue means that all readers have failed, which is told elsewhere.
                Some(queue) => queue.send(task).map_err(|_| TreeError::Cancelled),
                None => file::run(self.scan, &task, self.sink),
            };
        }
        match read_entry(&place.descriptor, name, &status, self.sink, &mut |_| true) {
            Ok(ReadEntry { entry, .. }) => {
                self.count_leaf(&entry, seen, &path);
                directory.add(&entry, Some(Stamp::from(&status)));
            }
            Err(EntryError::Source { reason }) => self.scan.fail("unreadable", &path, reason),
            Err(EntryError::Sink(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn count_leaf(&self, entry: &Entry, seen: Option<&Seen>, path: &[u8]) {
        let mut tally = self.scan.tally();
        let bytes = match &entry.node {
            Node::File { size_bytes, .. } => {
                tally.counts.files += 1;
                tally.counts.size_bytes += size_bytes;
                *size_bytes
            }
            Node::Symlink { .. } => {
                tally.counts.symlinks += 1;
                0
            }
            _ => {
                tally.counts.others += 1;
                0
            }
        };
        drop(tally);
        self.scan.count(false, compare(seen.map(|seen| &*seen.encoded), entry), path, bytes);
    }
}

fn open_root(
    root: SelectionRoot,
    path: &Path,
    verdict: Verdict,
) -> std::io::Result<(Place, Status)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let status = status_of(&descriptor)?;
    let place = Place {
        root,
        descriptor: Arc::new(descriptor),
        verdict,
        dev: status.dev,
        is_asked_for: true,
        is_mount: false,
    };
    Ok((place, status))
}
