//! The walk: down through directories by descriptor, one `statx` an entry, nothing followed.
//!
//! Invariant: entries come in the order of their names, and whatever is not stored is accounted for:
//! outside, excluded by a recorded pattern, or skipped with a reason. A directory is not even listed if
//! its own times stand, its file system keeps them, and nothing was left out of it but by the selection.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::before::{Before, Known, compare, decoded, encoded};
use super::directory::{Directory, Parent, Settled, State};
use super::file::FileTask;
use super::tally::Tally;
use super::tasks::{Tasks, Work};
use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::monitor::Action;
use crate::base::path::{is_within, join};
use crate::format::tree::{Entry, Metadata, Node};
use crate::ops::read_entry::{EntryError, ReadEntry, metadata, read_entry};
use crate::ops::with_causes;
use crate::os::{
    FileKind, Listed, Status, list, read_xattrs, read_xattrs_at, status_at, status_of,
};
use crate::source::metadata::{is_pseudo_filesystem, keeps_directory_times};
use crate::source::selection::{Root as SelectionRoot, Verdict};
use crate::source::stat_index::Stamp;
use crate::store::{ObjectSink, WriteError};

/// Files that one thread takes at a time, at most.
const BATCH_FILES: usize = 64;
/// Bytes of such files, as far as they were told, at most.
const BATCH_BYTES: u64 = 8 << 20;

/// One directory of the sources that goes into a directory of the tree. Two meet where a relative
/// and an absolute include share a container.
#[derive(Debug)]
pub(super) struct Place {
    root: SelectionRoot,
    pub(super) descriptor: OwnedFd,
    verdict: Verdict,
    dev: u64,
    /// Whether it is what an include names, or a way there, rather than below one.
    is_asked_for: bool,
    /// Whether another file system begins here.
    is_mount: bool,
}

/// What a thread of a scan does next.
#[derive(Debug)]
pub(super) enum Task {
    /// Looks at all that is in a directory whose places are open.
    Root(Arc<Directory>),
    /// Opens a directory and looks at all that is in it.
    Directory(Waiting),
    /// Reads files.
    Files(Vec<FileTask>),
}

/// A directory that is to be opened. It is expected in the one above.
#[derive(Debug)]
pub(super) struct Waiting {
    parent: Arc<Directory>,
    number: usize,
    name: Box<[u8]>,
    /// Places of the parent in which it stands, and what the selection says of it there.
    stands: Vec<(usize, Verdict)>,
    /// How it was encoded before, and where that stands in the record of the parent.
    before: Option<(Box<[u8]>, usize)>,
    stamp: Option<Stamp>,
    record: u64,
}

/// One thread of a scan.
pub(super) struct Walker<'w, 'a, S> {
    pub(super) scan: &'w Scan<'a>,
    pub(super) sink: &'w mut S,
    tasks: &'w Tasks<Task>,
    pub(super) tally: Tally,
    /// A device, and whether its directories keep their times.
    device: Option<(u64, bool)>,
    files: Vec<FileTask>,
    files_bytes: u64,
    below: Vec<Waiting>,
    /// Unchanged paths that the monitor was not told of.
    unchanged: u64,
}

/// What the stat index and the walk know of a name before it is looked at.
#[derive(Clone, Copy)]
struct Name<'n> {
    name: &'n [u8],
    known: Option<Known<'n>>,
    /// Its number among the entries from before, where the directory is not listed anew.
    number: Option<usize>,
}

/// Opens the roots that are included from; the directory that they go into.
pub(super) fn open_roots<S: ObjectSink>(
    scan: &Scan<'_>,
    sink: &mut S,
    tally: &mut Tally,
) -> Result<(Arc<Directory>, Option<Metadata>), TreeError> {
    let mut places = Vec::new();
    let mut root_metadata = None;
    let roots = [
        (SelectionRoot::Context, scan.source.context.as_path()),
        (SelectionRoot::Absolute, Path::new("/")),
    ];
    for (root, path) in roots {
        let selection = scan.source.selection;
        let verdict = selection.start(root);
        let is_wanted = selection.includes().iter().any(|include| include.root == root);
        if !is_wanted || !matches!(verdict, Verdict::Take | Verdict::Descend) {
            continue;
        }
        let (place, status) = open_root(root, path, verdict)
            .map_err(|source| TreeError::Context { path: path.display().to_string(), source })?;
        if root_metadata.is_none() {
            let xattrs = read_xattrs(&place.descriptor).unwrap_or_default();
            root_metadata = Some(metadata(&status, &xattrs, sink)?);
            tally.owners.note(status.uid, status.gid);
        }
        places.push(place);
    }
    let before = match (scan.source.stat_index, scan.source.previous) {
        (Some(index), _) => {
            let seen = index.directory(index.root());
            seen.map_or(Before::Nothing, |seen| Before::Seen(seen, index.root()))
        }
        (None, Some((_, tree))) => scan.previous_tree(&tree),
        (None, None) => Before::Nothing,
    };
    let directory = Arc::new(Directory {
        path: Vec::new(),
        places,
        depth: 0,
        metadata: root_metadata.clone().unwrap_or_default(),
        stamp: None,
        is_container: false,
        parent: None,
        before,
        state: State::new(false),
    });
    Ok((directory, root_metadata))
}

fn open_root(
    root: SelectionRoot,
    path: &Path,
    verdict: Verdict,
) -> std::io::Result<(Place, Status)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let status = status_of(&descriptor)?;
    let place =
        Place { root, descriptor, verdict, dev: status.dev, is_asked_for: true, is_mount: false };
    Ok((place, status))
}

impl Scan<'_> {
    /// Names includes that do not exist.
    pub(super) fn check_includes(&self, tally: &mut Tally) {
        for include in self.source.selection.includes() {
            let base = match include.root {
                SelectionRoot::Context => self.source.context.as_path(),
                SelectionRoot::Absolute => Path::new("/"),
            };
            let path = base.join(std::ffi::OsStr::from_bytes(&include.path));
            tally.includes += 1;
            if let Err(error) = std::fs::symlink_metadata(&path) {
                tally.missing_includes += 1;
                let reason = format!("cannot find this include: {error}");
                self.fail("missing_include", &include.path, reason);
            }
        }
    }

    /// A tree of the previous snapshot. One that cannot be read only means that more counts as new.
    fn previous_tree(&self, tree: &Id) -> Before {
        let read = self.source.previous.map(|(store, _)| store.read(tree, Kind::Tree));
        read.and_then(Result::ok).map_or(Before::Nothing, Before::Tree)
    }
}

impl<'w, 'a, S: ObjectSink> Walker<'w, 'a, S> {
    pub(super) fn new(scan: &'w Scan<'a>, sink: &'w mut S, tasks: &'w Tasks<Task>) -> Self {
        Self {
            scan,
            sink,
            tasks,
            tally: Tally::default(),
            device: None,
            files: Vec::new(),
            files_bytes: 0,
            below: Vec::new(),
            unchanged: 0,
        }
    }

    /// Does tasks until none are left; what was counted.
    pub(super) fn run(mut self) -> Tally {
        let tasks = self.tasks;
        tasks.work(|work| {
            if self.scan.is_stopped() {
                return;
            }
            let done = match work {
                Work::Task(Task::Root(directory)) => self.look_into(&directory, false),
                Work::Task(Task::Directory(waiting)) => self.enter(waiting),
                Work::Task(Task::Files(files)) => files.iter().try_for_each(|file| self.file(file)),
                Work::Frame(frame) => self.sink.take_over(frame).map_err(TreeError::from),
            };
            if let Err(error) = done {
                self.scan.stop(error);
            }
        });
        self.tally
    }

    /// Opens a directory, and looks at what is in it if that is wanted.
    fn enter(&mut self, waiting: Waiting) -> Result<(), TreeError> {
        let Waiting { parent, number, name, stands, before, stamp: seen, record } = waiting;
        let path = join(&parent.path, &name);
        let names = stands.len();
        let opened = stands.iter().filter_map(|(place, verdict)| {
            self.open(parent.places.get(*place)?, &name, &path, *verdict)
        });
        let (mut places, statuses): (Vec<Place>, Vec<Status>) = opened.unzip();
        let (Some(status), true) = (statuses.first(), parent.depth < DEPTH_MAX) else {
            if !statuses.is_empty() {
                let reason = format!("more than {DEPTH_MAX} levels deep");
                self.scan.fail("too_deep", &path, reason);
            }
            return parent.settle(self, number, Settled::Missing { is_left_out: true });
        };
        let index = self.scan.source.stat_index;
        let is_settled =
            index.zip(seen).is_some_and(|(index, seen)| index.is_unchanged(&seen, status));
        let earlier = |(encoded, _): &(Box<[u8]>, usize)| decoded(encoded);
        let metadata = match before.as_ref().filter(|_| is_settled).and_then(earlier) {
            Some(entry) => entry.metadata,
            None => self.metadata(places.first(), status, &path)?,
        };
        self.tally.owners.note(status.uid, status.gid);
        let is_container = places.iter().all(|place| place.verdict == Verdict::Descend);
        let entered = places.len();
        places.retain(|place| self.is_entered(place, &path));
        let contents = self.before(index.is_some(), record, before.as_ref());
        let is_as_seen = is_settled
            && entered == 1
            && self.scan.source.is_same_selection
            && places.iter().any(|place| place.verdict == Verdict::Take && self.keeps_times(place))
            && matches!(&contents, Before::Seen(seen, _) if seen.is_whole());
        let is_whole = places.len() == names;
        let directory = Arc::new(Directory {
            path,
            places,
            depth: parent.depth + 1,
            metadata,
            stamp: Some(Stamp::from(status)),
            is_container,
            parent: Some(Parent { directory: parent, number, before }),
            before: contents,
            state: State::new(is_as_seen),
        });
        if !is_whole {
            directory.leave_out();
        }
        self.look_into(&directory, is_as_seen)
    }

    fn before(&self, is_indexed: bool, record: u64, before: Option<&(Box<[u8]>, usize)>) -> Before {
        if is_indexed {
            let seen = self.scan.source.stat_index.and_then(|index| index.directory(record));
            return seen.map_or(Before::Nothing, |seen| Before::Seen(seen, record));
        }
        match before.and_then(|(encoded, _)| decoded(encoded)).map(|entry| entry.node) {
            Some(Node::Directory { tree }) => self.scan.previous_tree(&tree),
            _ => Before::Nothing,
        }
    }

    /// The metadata of a directory; without extended attributes if they cannot be read.
    fn metadata(
        &mut self,
        place: Option<&Place>,
        status: &Status,
        path: &[u8],
    ) -> Result<Metadata, WriteError> {
        let xattrs = place.map_or(Ok(Vec::new()), |place| {
            read_xattrs(&place.descriptor).or_else(|_| read_xattrs_at(&place.descriptor, b"."))
        });
        let xattrs =
            xattrs.map_err(|error| self.scan.fail("unreadable", path, with_causes(&error)));
        metadata(status, &xattrs.unwrap_or_default(), self.sink)
    }

    /// Whether a change of what is in the directory would show in its times.
    fn keeps_times(&mut self, place: &Place) -> bool {
        match self.device {
            Some((dev, keeps)) if dev == place.dev => keeps,
            _ => {
                let keeps = keeps_directory_times(&place.descriptor).unwrap_or(false);
                self.device = Some((place.dev, keeps));
                keeps
            }
        }
    }

    fn look_into(&mut self, directory: &Arc<Directory>, is_as_seen: bool) -> Result<(), TreeError> {
        if is_as_seen {
            self.look_again(directory)?;
        } else {
            self.list(directory)?;
        }
        let mut tasks = Vec::new();
        if !self.files.is_empty() {
            tasks.push(self.take_files());
        }
        tasks.extend(self.below.drain(..).map(Task::Directory));
        if !tasks.is_empty() {
            self.tasks.add(tasks);
        }
        directory.listed(self)?;
        self.scan.monitor.unchanged(std::mem::take(&mut self.unchanged));
        Ok(())
    }

    /// Looks at the entries from before, of which none has come or gone.
    fn look_again(&mut self, directory: &Arc<Directory>) -> Result<(), TreeError> {
        let Some(place) = directory.places.first() else { return Ok(()) };
        for (number, known) in directory.before.entries().enumerate() {
            if self.scan.is_stopped() {
                return Err(TreeError::Cancelled);
            }
            let name = Name { name: known.name, known: Some(known), number: Some(number) };
            // Only directories have records.
            if known.record != 0 {
                self.descend(directory, name, vec![(0, Verdict::Take)]);
                continue;
            }
            match status_at(&place.descriptor, known.name) {
                Ok(status) if status.kind == FileKind::Directory => {
                    self.descend(directory, name, vec![(0, Verdict::Take)]);
                }
                Ok(status) => self.leaf(directory, 0, name, status)?,
                Err(error) => {
                    // It has gone since the directory was looked at, or cannot be looked at.
                    let number = directory.expect_again(number);
                    if error.kind() != std::io::ErrorKind::NotFound {
                        let path = join(&directory.path, known.name);
                        self.scan.fail("unreadable", &path, error.to_string());
                    }
                    directory.settle(self, number, Settled::Missing { is_left_out: true })?;
                }
            }
        }
        Ok(())
    }

    /// Lists a directory and looks at what is there.
    fn list(&mut self, directory: &Arc<Directory>) -> Result<(), TreeError> {
        let mut children: Vec<(Listed, usize)> = Vec::new();
        for (number, place) in directory.places.iter().enumerate() {
            match self.children(place, &directory.path) {
                Ok(listed) => children.extend(listed.into_iter().map(|child| (child, number))),
                Err(error) => {
                    directory.leave_out();
                    self.scan.fail("unreadable", &directory.path, format!("cannot list: {error}"));
                }
            }
        }
        if directory.places.len() > 1 {
            children.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        }
        let mut before = directory.before.entries().peekable();
        for group in children.chunk_by(|(a, _), (b, _)| a.name == b.name) {
            if self.scan.is_stopped() {
                return Err(TreeError::Cancelled);
            }
            let Some((first, _)) = group.first() else { continue };
            while before.next_if(|known| *known.name < *first.name).is_some() {}
            let known = before.next_if(|known| *known.name == *first.name);
            self.look_at(directory, group, known)?;
        }
        Ok(())
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

    /// Deals with all that stands under one name.
    fn look_at(
        &mut self,
        directory: &Arc<Directory>,
        group: &[(Listed, usize)],
        known: Option<Known<'_>>,
    ) -> Result<(), TreeError> {
        let mut stands = Vec::new();
        let Some((first, _)) = group.first() else { return Ok(()) };
        let name = Name { name: &first.name, known, number: None };
        for (listed, number) in group {
            let Some(place) = directory.places.get(*number) else { continue };
            let path = join(&directory.path, &listed.name);
            let judge = |kind: FileKind| {
                let is_directory = kind == FileKind::Directory;
                let selection = self.scan.source.selection;
                selection.verdict(place.verdict, place.root, &path, is_directory)
            };
            let verdict = listed.kind.map(judge);
            if verdict.is_some_and(|verdict| !matches!(verdict, Verdict::Take | Verdict::Descend)) {
                continue;
            }
            if let (Some(verdict), Some(FileKind::Directory)) = (verdict, listed.kind) {
                stands.push((*number, verdict));
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
                    directory.leave_out();
                    self.scan.fail("unreadable", &path, error.to_string());
                    continue;
                }
            };
            match judge(status.kind) {
                Verdict::Excluded { .. } | Verdict::Outside => {}
                Verdict::Descend if status.kind != FileKind::Directory => {
                    directory.leave_out();
                    let reason = "an include leads through it, but it is not a directory".into();
                    self.scan.fail("not_a_directory", &path, reason);
                }
                verdict if status.kind == FileKind::Directory => stands.push((*number, verdict)),
                _ => self.leaf(directory, *number, name, status)?,
            }
        }
        if !stands.is_empty() {
            self.descend(directory, name, stands);
        }
        Ok(())
    }

    /// Plans to go down into what stands under one name.
    fn descend(
        &mut self,
        directory: &Arc<Directory>,
        name: Name<'_>,
        stands: Vec<(usize, Verdict)>,
    ) {
        self.below.push(Waiting {
            parent: Arc::clone(directory),
            number: expect(directory, name),
            name: name.name.into(),
            stands,
            before: name.known.map(|known| (known.encoded.into(), known.place)),
            stamp: name.known.and_then(|known| known.stamp),
            record: name.known.map_or(0, |known| known.record),
        });
    }

    /// Opens a directory that is wanted; `None` with a reason on record if it is not to be entered.
    fn open(
        &self,
        place: &Place,
        name: &[u8],
        path: &[u8],
        verdict: Verdict,
    ) -> Option<(Place, Status)> {
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
        let child = Place {
            root: place.root,
            descriptor,
            verdict,
            dev: status.dev,
            is_asked_for: place.verdict != Verdict::Take,
            is_mount: status.dev != place.dev,
        };
        Some((child, status))
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
        place: usize,
        name: Name<'_>,
        status: Status,
    ) -> Result<(), TreeError> {
        self.tally.owners.note(status.uid, status.gid);
        if status.nlink > 1 {
            let path = join(&directory.path, name.name);
            self.tally.links.entry(status.identity()).or_default().push(path.into());
        }
        if let (Some(index), Some(known)) = (self.scan.source.stat_index, name.known)
            && known.stamp.is_some_and(|seen| index.is_unchanged(&seen, &status))
        {
            self.count_unchanged(directory, name.name, &status);
            if name.number.is_none() {
                directory.add_same(known.place);
            }
            return Ok(());
        }
        let before: Option<Box<[u8]>> = name.known.map(|known| known.encoded.into());
        if status.kind == FileKind::File {
            let number = expect(directory, name);
            let directory = Arc::clone(directory);
            let name = name.name.into();
            let file = FileTask { directory, number, place, name, status, before };
            return self.plan(file);
        }
        let path = join(&directory.path, name.name);
        let Some(place) = directory.places.get(place) else { return Ok(()) };
        let read = read_entry(&place.descriptor, name.name, &status, self.sink, &mut |_| true);
        let number = expect(directory, name);
        let settled = match read {
            Ok(ReadEntry { entry, .. }) => {
                let settled = Scan::leaf(&entry, Some(Stamp::from(&status)));
                self.count_leaf(&entry, before.as_deref(), &path);
                settled
            }
            Err(EntryError::Source { reason }) => {
                self.scan.fail("unreadable", &path, reason);
                Settled::Missing { is_left_out: true }
            }
            Err(EntryError::Sink(error)) => return Err(error.into()),
        };
        directory.settle(self, number, settled)
    }

    /// Plans to read a file, with others of its directory.
    fn plan(&mut self, file: FileTask) -> Result<(), TreeError> {
        self.files_bytes = self.files_bytes.saturating_add(file.status.size_bytes);
        self.files.push(file);
        if self.files.len() < BATCH_FILES && self.files_bytes < BATCH_BYTES {
            return Ok(());
        }
        let batch = self.take_files();
        // Where others are busy, a directory of any length is read as it is listed.
        match self.tasks.offer(batch) {
            Some(Task::Files(files)) => files.iter().try_for_each(|file| self.file(file)),
            _ => Ok(()),
        }
    }

    fn take_files(&mut self) -> Task {
        self.files_bytes = 0;
        Task::Files(std::mem::take(&mut self.files))
    }

    fn count_unchanged(&mut self, directory: &Directory, name: &[u8], status: &Status) {
        let counts = &mut self.tally.counts;
        let bytes = match status.kind {
            FileKind::File => {
                counts.files += 1;
                counts.size_bytes += status.size_bytes;
                status.size_bytes
            }
            FileKind::Symlink => {
                counts.symlinks += 1;
                0
            }
            _ => {
                counts.others += 1;
                0
            }
        };
        self.tally.files[2] += 1;
        if self.scan.monitor.wants_unchanged() {
            let path = join(&directory.path, name);
            self.scan.monitor.path(Action::Unchanged, &path, bytes);
        } else {
            self.unchanged += 1;
        }
    }

    pub(super) fn count_leaf(&mut self, entry: &Entry, before: Option<&[u8]>, path: &[u8]) {
        self.tally.counts.add(&entry.node);
        let bytes = match &entry.node {
            Node::File { size_bytes, .. } => *size_bytes,
            _ => 0,
        };
        let action = compare(before, &encoded(entry));
        self.tally.files[action_number(action)] += 1;
        self.scan.monitor.path(action, path, bytes);
    }

    pub(super) fn count_directory(&mut self, action: Action, path: &[u8]) {
        self.tally.counts.directories += 1;
        self.tally.directories[action_number(action)] += 1;
        if action != Action::Unchanged || self.scan.monitor.wants_unchanged() {
            self.scan.monitor.path(action, path, 0);
        } else {
            self.unchanged += 1;
        }
    }
}

fn expect(directory: &Directory, name: Name<'_>) -> usize {
    name.number.map_or_else(|| directory.expect(), |number| directory.expect_again(number))
}

/// The place of an action in figures of new, changed and unchanged.
fn action_number(action: Action) -> usize {
    match action {
        Action::New => 0,
        Action::Changed => 1,
        Action::Unchanged | Action::Deleted => 2,
    }
}
