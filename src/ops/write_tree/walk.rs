//! The walk: down through directories by descriptor, one `statx` an entry, nothing followed.
//!
//! Invariant: entries come in the order of their names, and whatever is not stored is accounted for:
//! outside, excluded by a recorded pattern, or skipped with a reason. A directory is not even listed if
//! its own times stand, its file system keeps them, and nothing was left out of it but by the selection.

use std::sync::Arc;

use super::before::{Before, Known, decoded};
use super::directory::{Directory, Parent, Settled, State};
use super::file::FileTask;
use super::places::Place;
use super::tally::Tally;
use super::tasks::{Tasks, Work};
use super::{Scan, TreeError};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::limits::DEPTH_MAX;
use crate::base::path::join;
use crate::format::tree::{Metadata, Node};
use crate::ops::read_entry::metadata;
use crate::ops::with_causes;
use crate::os::{FileKind, Listed, Status, read_xattrs, read_xattrs_at, status_at};
use crate::source::metadata::keeps_directory_times;
use crate::source::selection::Verdict;
use crate::source::stat_index::Stamp;
use crate::store::{ObjectSink, WriteError};

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
    pub(super) tasks: &'w Tasks<Task>,
    pub(super) tally: Tally,
    /// A device, and whether its directories keep their times.
    device: Option<(u64, bool)>,
    pub(super) files: Vec<FileTask>,
    pub(super) files_bytes: u64,
    below: Vec<Waiting>,
    /// Unchanged paths that the monitor was not told of.
    pub(super) unchanged: u64,
}

/// What the stat index and the walk know of a name before it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Name<'n> {
    pub(super) bytes: &'n [u8],
    pub(super) known: Option<Known<'n>>,
    /// Its number among the entries from before, where the directory is not listed anew.
    pub(super) number: Option<usize>,
}

impl Scan<'_> {
    /// A tree of the previous snapshot. One that cannot be read only means that more counts as new.
    pub(super) fn previous_tree(&self, tree: &Id) -> Before {
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
                Work::Task(Task::Files(files)) => self.files(&files),
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
            self.scan.open(parent.places.get(*place)?, &name, &path, *verdict)
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
        let earlier = before.as_ref().map(|(encoded, _)| &**encoded).filter(|_| is_settled);
        let earlier = match earlier {
            Some(encoded) if self.is_stored(encoded)? => decoded(encoded),
            _ => None,
        };
        let metadata = match earlier {
            Some(entry) => entry.metadata,
            None => self.metadata(places.first(), status, &path)?,
        };
        self.tally.owners.note(status.uid, status.gid);
        let is_container = places.iter().all(|place| place.verdict == Verdict::Descend);
        let entered = places.len();
        places.retain(|place| self.scan.is_entered(place, &path));
        let contents = self.before(record, before.as_ref());
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

    fn before(&self, record: u64, before: Option<&(Box<[u8]>, usize)>) -> Before {
        if let Some(index) = self.scan.source.stat_index {
            let seen = index.directory(record);
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
            let name = Name { bytes: known.name, known: Some(known), number: Some(number) };
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
            match self.scan.children(place, &directory.path) {
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

    /// Deals with all that stands under one name.
    fn look_at(
        &mut self,
        directory: &Arc<Directory>,
        group: &[(Listed, usize)],
        known: Option<Known<'_>>,
    ) -> Result<(), TreeError> {
        let mut stands = Vec::new();
        let Some((first, _)) = group.first() else { return Ok(()) };
        let name = Name { bytes: &first.name, known, number: None };
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
            name: name.bytes.into(),
            stands,
            before: name.known.map(|known| (known.encoded.into(), known.place)),
            stamp: name.known.and_then(|known| known.stamp),
            record: name.known.map_or(0, |known| known.record),
        });
    }
}

pub(super) fn expect(directory: &Directory, name: Name<'_>) -> usize {
    name.number.map_or_else(|| directory.expect(), |number| directory.expect_again(number))
}
