//! A target full of traps, a canary beside it, and a repository to be filled with harm.
//!
//! Invariant: the canary is compared before and after each attack, whatever came of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::monitor::{Monitor, Problem, Problems};
use runup::base::time::FileTime;
use runup::format::compress::Compression;
use runup::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Snapshot};
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::ops::checkout::{CheckoutError, CheckoutReport, CheckoutRequest, Wanted, checkout};
use runup::ops::restore::{RestoreError, RestoreRequest, restore};
use runup::repository::{InitOptions, Repository};
use runup::store::{InsertOptions, Inserter, Worker, WriteError};
use runup::target::{Overwrite, TargetRoot};
use rustix::fs::{CWD, Mode, mkfifoat};

use super::wall::within;

pub(super) const CANARY: &[u8] = b"alive";

/// A target full of traps, a canary beside it, and a repository.
pub(super) struct Ground {
    pub(super) folder: tempfile::TempDir,
    pub(super) repository: Repository,
}

/// How a tree gets to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Checked out, what stands there being kept.
    Keep,
    /// Checked out, what stands there being replaced.
    Replace,
    /// Restored below a location.
    Restore,
    /// The same, after removing what the snapshot lacks.
    Clear,
}

pub(super) const WAYS: [Way; 4] = [Way::Keep, Way::Replace, Way::Restore, Way::Clear];

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    Done(CheckoutReport),
    Hostile,
    Damaged,
    Failed(String),
}

/// An end, and what was told before.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) problems: Vec<Problem>,
}

impl Outcome {
    pub(super) fn report(&self) -> &CheckoutReport {
        match &self.end {
            End::Done(report) => report,
            End::Failed(message) => panic!("failed: {message}"),
            other => panic!("not done: {other:?}"),
        }
    }

    pub(super) fn is_hostile(&self) -> bool {
        matches!(self.end, End::Hostile)
    }

    pub(super) fn codes(&self) -> Vec<&'static str> {
        self.problems.iter().map(|problem| problem.code).collect()
    }

    /// What does not depend on which worker comes first.
    fn summary(&self) -> (std::mem::Discriminant<End>, Vec<&'static str>) {
        let mut codes = self.codes();
        codes.sort_unstable();
        (std::mem::discriminant(&self.end), codes)
    }
}

/// Everything below a directory but what is in `left_out`: names, types, owners, modes, times, bytes.
pub(super) fn look(root: &Path, left_out: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let status = full.symlink_metadata().unwrap();
        let content = if status.is_file() {
            fs::read(&full).unwrap()
        } else if status.is_symlink() {
            fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        // The folder itself changes as its target and repository are made.
        let mtime = if path.as_os_str().is_empty() { 0 } else { status.mtime_nsec() };
        lines.push(format!(
            "{} {:o} {}:{} {mtime} {}",
            path.as_os_str().as_bytes().escape_ascii(),
            status.mode(),
            status.uid(),
            status.gid(),
            content.escape_ascii(),
        ));
        if status.is_dir() {
            let names = fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name());
            let is_seen = |name: &std::ffi::OsString| !left_out.iter().any(|out| name == out);
            waiting.extend(names.filter(is_seen).map(|name| path.join(name)));
        }
    }
    lines.sort();
    lines
}

impl Ground {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let canary = folder.path().join("canary");
        fs::create_dir_all(canary.join("sub")).unwrap();
        fs::write(canary.join("file"), CANARY).unwrap();
        fs::write(canary.join("sub/file"), CANARY).unwrap();
        fs::set_permissions(canary.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", canary.join("link")).unwrap();
        let repository =
            Repository::init(&folder.path().join("repository"), &InitOptions::default()).unwrap();
        Self { folder, repository }
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.target().join(name)
    }

    pub(super) fn canary(&self) -> PathBuf {
        self.folder.path().join("canary")
    }

    /// Empties the target and sets the traps.
    pub(super) fn plant(&self) {
        if self.target().symlink_metadata().is_ok() {
            let folder = TargetRoot::open(self.folder.path()).unwrap();
            folder.open_directory(b"").unwrap().remove(b"target").unwrap();
        }
        fs::create_dir_all(self.path("dir")).unwrap();
        symlink(self.canary(), self.path("absolute")).unwrap();
        symlink("../canary", self.path("relative")).unwrap();
        symlink("../canary/file", self.path("file")).unwrap();
        symlink("../canary/absent", self.path("dangling")).unwrap();
        symlink("../../canary/sub", self.path("dir/deep")).unwrap();
        fs::hard_link(self.canary().join("sub/file"), self.path("hard")).unwrap();
        mkfifoat(CWD, self.path("fifo"), Mode::RWXU).unwrap();
    }

    pub(super) fn put<T>(&self, put: impl FnOnce(&mut Worker<'_>) -> Result<T, WriteError>) -> T {
        let session = self.repository.write_session().unwrap();
        let options = InsertOptions::new(1, Compression::default());
        let inserter = Inserter::new(self.repository.store(), session.id(), options);
        let (value, _) = inserter.run_one(put).unwrap();
        value
    }

    pub(super) fn put_one(&self, kind: Kind, bytes: &[u8]) -> Id {
        self.put(|worker| worker.put(kind, bytes))
    }

    pub(super) fn put_tree(&self, entries: &[Entry]) -> Id {
        self.put_one(Kind::Tree, &tree::encode(entries))
    }

    /// A file named `name`, whose blob is stored.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> Entry {
        let id = self.put_one(Kind::Blob, bytes);
        entry(name, Node::File { size_bytes: bytes.len() as u64, id })
    }

    /// Takes a tree to the target as it is, one way.
    pub(super) fn send(&self, root: &RootRecord, way: Way) -> Outcome {
        let problems = Problems::default();
        let end = match way {
            Way::Keep | Way::Replace => self.check_out(root, way, &problems),
            Way::Restore | Way::Clear => self.restore(root, way, &problems),
        };
        Outcome { end, problems: problems.take() }
    }

    pub(super) fn check_out(&self, root: &RootRecord, way: Way, monitor: &dyn Monitor) -> End {
        let request = CheckoutRequest {
            tree: root.tree,
            links: root.links,
            root: root.root.as_ref().and_then(RootMetadata::decode),
            to: &self.target(),
            wanted: &|_, _| Wanted::Yes,
            overwrite: if way == Way::Keep { Overwrite::Never } else { Overwrite::Replace },
            has_devices: false,
            workers: 2,
        };
        end_of(checkout(self.repository.store(), &request, monitor))
    }

    pub(super) fn restore(&self, root: &RootRecord, way: Way, monitor: &dyn Monitor) -> End {
        let snapshot = snapshot(root.clone());
        let request = RestoreRequest {
            snapshot: &snapshot,
            to: &self.target(),
            is_location: true,
            clears: way == Way::Clear,
            kept: Vec::new(),
            workers: 2,
        };
        match restore(self.repository.store(), &request, monitor) {
            Ok(report) => End::Done(report.checkout),
            Err(RestoreError::Checkout(error)) => end_of(Err(error)),
            Err(RestoreError::Patterns(_)) => End::Hostile,
            Err(other) => End::Failed(other.to_string()),
        }
    }

    /// Plants the traps, takes the tree there every way, and asserts that the canary lives; and that
    /// all is the same where the kernel lets nothing be made or removed but below the target, so that
    /// nothing was for a moment.
    pub(super) fn attack(&self, root: &RootRecord, mut judge: impl FnMut(Way, &Outcome)) {
        for way in WAYS {
            let mut attack = |send: &dyn Fn() -> Outcome| {
                self.plant();
                let before = look(self.folder.path(), &["target", "repository"]);
                let outcome = send();
                assert_eq!(
                    look(self.folder.path(), &["target", "repository"]),
                    before,
                    "{way:?}: {outcome:?}"
                );
                self.assert_no_temporary_name();
                judge(way, &outcome);
                outcome
            };
            let free = attack(&|| self.send(root, way));
            let walled = attack(&|| within(&self.target(), || self.send(root, way)));
            assert_eq!(free.summary(), walled.summary(), "{way:?}: {free:?}, {walled:?}");
        }
    }

    pub(super) fn assert_no_temporary_name(&self) {
        let lines = look(&self.target(), &[]);
        assert!(!lines.iter().any(|line| line.contains(".runup-")), "{lines:?}");
    }
}

pub(super) fn end_of(result: Result<CheckoutReport, CheckoutError>) -> End {
    match result {
        Ok(report) => End::Done(report),
        Err(CheckoutError::Hostile { .. }) => End::Hostile,
        Err(CheckoutError::Read(error)) if error.is_damage() => End::Damaged,
        Err(other) => End::Failed(other.to_string()),
    }
}

pub(super) fn own_metadata(mode: u16) -> Metadata {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mtime = FileTime { seconds: 1_000_000_000, nanoseconds: 5 };
    Metadata { mode, uid, gid, mtime, xattrs: Vec::new() }
}

pub(super) fn entry(name: impl AsRef<[u8]>, node: Node) -> Entry {
    let mode = if matches!(node, Node::Directory { .. }) { 0o755 } else { 0o644 };
    Entry { name: name.as_ref().into(), metadata: own_metadata(mode), node }
}

pub(super) fn directory(name: &str, tree: Id) -> Entry {
    entry(name, Node::Directory { tree })
}

pub(super) fn link(name: &str, target: &[u8]) -> Entry {
    entry(name, Node::Symlink { target: target.into() })
}

pub(super) fn root(tree: Id) -> RootRecord {
    RootRecord {
        tree,
        links: None,
        root: None,
        context: BytesText::new(b"/context"),
        includes: vec![BytesText::new(b".")],
        excludes: vec![],
        skipped: vec![],
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
        counts: Counts::default(),
    }
}

pub(super) fn with_links(tree: Id, links: Id) -> RootRecord {
    RootRecord { links: Some(links), ..root(tree) }
}

pub(super) fn snapshot(root: RootRecord) -> Snapshot {
    Snapshot {
        project: "app".into(),
        root,
        parent: None,
        time: "2026-11-22T05:00:00Z".into(),
        host: "host".into(),
        user: "user".into(),
        description: None,
        tags: vec![],
        program_version: "0.1.0".into(),
    }
}
