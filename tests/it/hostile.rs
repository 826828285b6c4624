//! Repositories made to do harm, each checked out and restored beside a canary.
//!
//! Invariant: whatever a repository holds, nothing outside the target is made, changed or removed,
//! nothing hangs or panics, and what is refused is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::limits::DEPTH_MAX;
use runup::base::monitor::{Monitor, Problem, Problems};
use runup::base::time::FileTime;
use runup::format::codec::{put_bytes, put_varint};
use runup::format::compress::Compression;
use runup::format::links;
use runup::format::list::{List, Section, Segment};
use runup::format::snapshot::{BytesText, Counts, RootMetadata, RootRecord, Skipped, Snapshot};
use runup::format::tree::{self, Entry, Metadata, Node, Xattr, XattrValue};
use runup::ops::checkout::{CheckoutError, CheckoutReport, CheckoutRequest, Wanted, checkout};
use runup::ops::restore::{RestoreError, RestoreRequest, restore, selection_of};
use runup::repository::{InitOptions, Repository};
use runup::store::{InsertOptions, Inserter, Worker, WriteError};
use runup::target::{Overwrite, TargetRoot};
use rustix::fs::{CWD, Mode, mkfifoat};

const CANARY: &[u8] = b"alive";

/// A target full of traps, a canary beside it, and a repository.
struct Ground {
    folder: tempfile::TempDir,
    repository: Repository,
}

/// How a tree gets to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Checked out, what stands there being kept.
    Keep,
    /// Checked out, what stands there being replaced.
    Replace,
    /// Restored below a location.
    Restore,
    /// The same, after removing what the snapshot lacks.
    Clear,
}

const WAYS: [Way; 4] = [Way::Keep, Way::Replace, Way::Restore, Way::Clear];

/// How it ended.
#[derive(Debug)]
enum End {
    Done(CheckoutReport),
    Hostile,
    Damaged,
    Failed(String),
}

/// An end, and what was told before.
#[derive(Debug)]
struct Outcome {
    end: End,
    problems: Vec<Problem>,
}

impl Outcome {
    fn report(&self) -> &CheckoutReport {
        match &self.end {
            End::Done(report) => report,
            End::Failed(message) => panic!("failed: {message}"),
            other => panic!("not done: {other:?}"),
        }
    }

    fn is_hostile(&self) -> bool {
        matches!(self.end, End::Hostile)
    }

    fn codes(&self) -> Vec<&'static str> {
        self.problems.iter().map(|problem| problem.code).collect()
    }
}

/// Everything below a directory but what is in `left_out`: names, types, owners, modes, times, bytes.
fn look(root: &Path, left_out: &[&str]) -> Vec<String> {
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
    fn new() -> Self {
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

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target().join(name)
    }

    fn canary(&self) -> PathBuf {
        self.folder.path().join("canary")
    }

    /// Empties the target and sets the traps.
    fn plant(&self) {
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

    fn put<T>(&self, put: impl FnOnce(&mut Worker<'_>) -> Result<T, WriteError>) -> T {
        let session = self.repository.write_session().unwrap();
        let options = InsertOptions::new(1, Compression::default());
        let inserter = Inserter::new(self.repository.store(), session.id(), options);
        let (value, _) = inserter.run_one(put).unwrap();
        value
    }

    fn put_one(&self, kind: Kind, bytes: &[u8]) -> Id {
        self.put(|worker| worker.put(kind, bytes))
    }

    fn put_tree(&self, entries: &[Entry]) -> Id {
        self.put_one(Kind::Tree, &tree::encode(entries))
    }

    /// A file named `name`, whose blob is stored.
    fn file(&self, name: &str, bytes: &[u8]) -> Entry {
        let id = self.put_one(Kind::Blob, bytes);
        entry(name, Node::File { size_bytes: bytes.len() as u64, id })
    }

    /// Takes a tree to the target as it is, one way.
    fn send(&self, root: &RootRecord, way: Way) -> Outcome {
        let problems = Problems::default();
        let end = match way {
            Way::Keep | Way::Replace => self.check_out(root, way, &problems),
            Way::Restore | Way::Clear => self.restore(root, way, &problems),
        };
        Outcome { end, problems: problems.take() }
    }

    fn check_out(&self, root: &RootRecord, way: Way, monitor: &dyn Monitor) -> End {
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

    fn restore(&self, root: &RootRecord, way: Way, monitor: &dyn Monitor) -> End {
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

    /// Plants the traps, takes the tree there every way, and asserts that the canary lives.
    fn attack(&self, root: &RootRecord, mut judge: impl FnMut(Way, &Outcome)) {
        for way in WAYS {
            self.plant();
            let before = look(self.folder.path(), &["target", "repository"]);
            let outcome = self.send(root, way);
            assert_eq!(
                look(self.folder.path(), &["target", "repository"]),
                before,
                "{way:?}: {outcome:?}"
            );
            self.assert_no_temporary_name();
            judge(way, &outcome);
        }
    }

    fn assert_no_temporary_name(&self) {
        let lines = look(&self.target(), &[]);
        assert!(!lines.iter().any(|line| line.contains(".runup-")), "{lines:?}");
    }
}

fn end_of(result: Result<CheckoutReport, CheckoutError>) -> End {
    match result {
        Ok(report) => End::Done(report),
        Err(CheckoutError::Hostile { .. }) => End::Hostile,
        Err(CheckoutError::Read(error)) if error.is_damage() => End::Damaged,
        Err(other) => End::Failed(other.to_string()),
    }
}

fn own_metadata(mode: u16) -> Metadata {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mtime = FileTime { seconds: 1_000_000_000, nanoseconds: 5 };
    Metadata { mode, uid, gid, mtime, xattrs: Vec::new() }
}

fn entry(name: impl AsRef<[u8]>, node: Node) -> Entry {
    let mode = if matches!(node, Node::Directory { .. }) { 0o755 } else { 0o644 };
    Entry { name: name.as_ref().into(), metadata: own_metadata(mode), node }
}

fn directory(name: &str, tree: Id) -> Entry {
    entry(name, Node::Directory { tree })
}

fn link(name: &str, target: &[u8]) -> Entry {
    entry(name, Node::Symlink { target: target.into() })
}

fn root(tree: Id) -> RootRecord {
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

fn with_links(tree: Id, links: Id) -> RootRecord {
    RootRecord { links: Some(links), ..root(tree) }
}

fn snapshot(root: RootRecord) -> Snapshot {
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

/// Trees that no backup makes, as bytes.
fn hostile_trees(file: &Node) -> Vec<Vec<u8>> {
    let file_called = |name: &[u8]| entry(name, file.clone());
    let long = [b'x'; 256];
    let names: [&[u8]; 12] = [
        b"",
        b".",
        b"..",
        b"/",
        b"/etc/passwd",
        b"../canary/file",
        b"a/b",
        b"a/",
        b"relative/file",
        b"a\0b",
        b"\0",
        &long,
    ];
    let mut trees: Vec<Vec<u8>> =
        names.iter().map(|name| tree::encode(&[file_called(name)])).collect();
    // What is harmless comes first, so that a tree used before it was read whole would show.
    trees.extend(names.iter().map(|name| tree::encode(&[file_called(b"!"), file_called(name)])));
    trees.push(tree::encode(&[file_called(b"a"), file_called(b"a")]));
    trees.push(tree::encode(&[link("a", b"../canary"), file_called(b"a")]));
    trees.push(tree::encode(&[file_called(b"b"), file_called(b"a")]));
    for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
        trees.push(tree::encode(&[link("a", target)]));
    }
    let mut mode = file_called(b"a");
    mode.metadata.mode = 0o10000;
    trees.push(tree::encode(&[mode]));
    let mut time = file_called(b"a");
    time.metadata.mtime.nanoseconds = 1_000_000_000;
    trees.push(tree::encode(&[time]));
    let mut twice = file_called(b"a");
    let xattr = Xattr { name: b"user.a"[..].into(), value: XattrValue::Inline(b"1"[..].into()) };
    twice.metadata.xattrs = vec![xattr.clone(), xattr];
    trees.push(tree::encode(&[twice]));
    let sound = tree::encode(&[file_called(b"a")]);
    for length in 1..sound.len() {
        trees.push(sound[..length].to_vec());
    }
    trees.push([&sound[..], b"\0"].concat());
    let mut unknown_type = sound.clone();
    unknown_type[2] = 8;
    trees.push(unknown_type);
    // The length of a name in more bytes than it needs, past the end, and past all memory.
    trees.push([&[0x81, 0x00], &sound[1..]].concat());
    for length in [1 << 20, u64::MAX >> 1, u64::MAX] {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, length);
        bytes.extend_from_slice(&sound[1..]);
        trees.push(bytes);
    }
    trees
}

#[test]
fn trees_that_no_backup_makes_are_refused_whole() {
    let ground = Ground::new();
    let file = ground.file("", b"evil").node;
    let bad = ground.put(|worker| {
        let trees = hostile_trees(&file);
        trees.iter().map(|bytes| worker.put(Kind::Tree, bytes)).collect::<Result<Vec<_>, _>>()
    });
    for tree in bad {
        for way in WAYS {
            // Nothing was written, so the traps are still set after the first.
            if !ground.target().exists() {
                ground.plant();
            }
            let before = look(ground.folder.path(), &["repository"]);
            let outcome = ground.send(&root(tree), way);
            assert!(outcome.is_hostile(), "{way:?}: {outcome:?}");
            assert_eq!(look(ground.folder.path(), &["repository"]), before, "{way:?}");
        }
    }
}

#[test]
fn a_bad_tree_below_a_good_one_is_refused_too() {
    let ground = Ground::new();
    let file = ground.file("", b"evil").node;
    for name in [&b".."[..], b"../../canary/file", b"/etc/passwd", b"deep/file"] {
        let bad = ground.put_tree(&[entry(name, file.clone())]);
        let tree = ground.put_tree(&[directory("dir", bad)]);
        ground.attack(&root(tree), |way, outcome| {
            assert!(outcome.is_hostile(), "{way:?}: {outcome:?}");
        });
    }
}

#[test]
fn links_that_stand_in_the_target_are_not_followed() {
    let ground = Ground::new();
    let below = ground.put_tree(&[
        ground.file("absent", b"evil"),
        ground.file("file", b"evil"),
        directory("sub", ground.put_tree(&[ground.file("file", b"evil")])),
    ]);
    let deep = ground.put_tree(&[directory("deep", below)]);
    let tree = ground.put_tree(&[
        directory("absolute", below),
        ground.file("dangling", b"evil"),
        directory("dir", deep),
        ground.file("fifo", b"evil"),
        ground.file("file", CANARY),
        ground.file("hard", CANARY),
        directory("relative", below),
    ]);
    ground.attack(&root(tree), |way, outcome| {
        let report = outcome.report();
        if way == Way::Keep {
            assert_eq!(report.errors, 7, "{outcome:?}");
            assert!(outcome.codes().iter().all(|code| *code == "not_restored"));
            assert!(ground.path("relative").is_symlink() && ground.path("file").is_symlink());
            return;
        }
        assert_eq!(report.errors, 0, "{way:?}: {outcome:?}");
        for name in ["absolute/sub/file", "dir/deep/file", "relative/absent", "dangling", "fifo"] {
            assert_eq!(fs::read(ground.path(name)).unwrap(), b"evil", "{way:?}: {name}");
        }
        for name in ["absolute", "dir/deep", "relative", "file"] {
            assert!(!ground.path(name).is_symlink(), "{way:?}: {name}");
        }
        let (hard, canary) = (ground.path("hard"), ground.canary().join("sub/file"));
        assert_ne!(hard.metadata().unwrap().ino(), canary.metadata().unwrap().ino());
    });
}

#[test]
fn a_link_of_one_tree_does_not_lead_the_next_one_outside() {
    let ground = Ground::new();
    let canary = ground.canary();
    let links = ground.put_tree(&[
        link("a", canary.as_os_str().as_bytes()),
        link("b", b"../canary"),
        link("c", b"b/sub"),
        link("d", b"/proc/self/cwd"),
    ]);
    let below = ground.put_tree(&[ground.file("file", b"evil"), link("link", b"/etc")]);
    let names = ["a", "b", "c", "d"];
    let directories = ground.put_tree(&names.map(|name| directory(name, below)));
    let files = ground.put_tree(&names.map(|name| ground.file(name, b"evil")));
    ground.attack(&root(links), |way, outcome| {
        assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
        let before = look(&canary, &[]);
        for tree in [directories, links, files, links, directories, files, directories] {
            let next = ground.send(&root(tree), way);
            assert_eq!(look(&canary, &[]), before, "{way:?}: {next:?}");
            assert_eq!(next.report().damaged, 0, "{way:?}: {next:?}");
            if way == Way::Clear {
                assert_eq!(next.report().errors, 0, "{next:?}");
            }
        }
        if way == Way::Clear {
            assert_eq!(fs::read(ground.path("d/file")).unwrap(), b"evil");
        }
    });
}

#[test]
fn groups_of_links_lead_nowhere_else() {
    let ground = Ground::new();
    let below = ground.put_tree(&[ground.file("file", b"evil")]);
    let tree = ground.put_tree(&[
        ground.file("a", b"evil"),
        ground.file("b", b"evil"),
        directory("dir", below),
        ground.file("file", b"evil"),
        directory("relative", below),
    ]);
    let group = |paths: &[&str]| -> Vec<Box<[u8]>> {
        paths.iter().map(|path| path.as_bytes().into()).collect()
    };
    let bad: [&[&str]; 10] = [
        &["../canary/file", "a"],
        &["/etc/passwd", "a"],
        &["a", "dir/../../canary/file"],
        &["a", "dir//file"],
        &["a", "dir/"],
        &["./a", "b"],
        &["", "a"],
        &["a", "a"],
        &["a"],
        &["a", "b\0"],
    ];
    for paths in bad {
        let links = ground.put_one(Kind::Links, &links::encode(vec![group(paths)]));
        ground.attack(&with_links(tree, links), |way, outcome| {
            assert!(outcome.is_hostile(), "{way:?}: {paths:?}: {outcome:?}");
        });
    }
    let unsorted = [&[2, 1, b'b', 1, b'a'][..], &[2], &[0], &[], &[2, 1, b'a', 0xff, 0xff, 0x7f]];
    for bytes in unsorted {
        let links = ground.put_one(Kind::Links, bytes);
        ground.attack(&with_links(tree, links), |way, outcome| {
            assert!(outcome.is_hostile(), "{way:?}: {bytes:?}: {outcome:?}");
        });
    }
    // Well formed, but of directories, of what is not there, and through links in the target.
    let odd: [&[&str]; 4] = [
        &["dir", "relative"],
        &["a", "absent/file", "dir"],
        &["absolute/file", "b"],
        &["dir/file", "file", "relative/file"],
    ];
    for paths in odd {
        let links = ground.put_one(Kind::Links, &links::encode(vec![group(paths)]));
        ground.attack(&with_links(tree, links), |way, outcome| {
            if way != Way::Keep {
                assert_eq!(outcome.report().errors, 0, "{way:?}: {paths:?}: {outcome:?}");
                for name in ["a", "b", "dir/file", "file", "relative/file"] {
                    assert_eq!(fs::read(ground.path(name)).unwrap(), b"evil", "{name}");
                }
            }
        });
    }
}

#[test]
fn special_files_are_made_only_as_asked_and_never_opened() {
    let ground = Ground::new();
    let (major, minor) = (1, 3);
    let tree = ground.put_tree(&[
        entry("block", Node::BlockDevice { major, minor }),
        entry("char", Node::CharDevice { major, minor }),
        entry("fifo", Node::Fifo),
        entry("file", Node::Fifo),
        entry("huge", Node::CharDevice { major: u32::MAX, minor: u32::MAX }),
        entry("relative", Node::Socket),
    ]);
    ground.attack(&root(tree), |way, outcome| {
        outcome.report();
        if matches!(way, Way::Keep | Way::Replace) {
            let devices = outcome.codes().iter().filter(|code| **code == "device").count();
            assert_eq!(devices, 3, "{way:?}: {outcome:?}");
            for name in ["block", "char", "huge"] {
                assert!(ground.path(name).symlink_metadata().is_err(), "{way:?}: {name}");
            }
        }
        assert!(ground.path("huge").symlink_metadata().is_err(), "{way:?}");
    });
}

#[test]
fn special_bits_come_with_their_owner_or_not_at_all() {
    let ground = Ground::new();
    let mut entries = Vec::new();
    for (name, uid, gid) in [
        ("a", 0, 0),
        ("b", 65_534, 65_534),
        ("c", 0, u32::MAX),
        ("d", u32::MAX, 0),
        ("e", u32::MAX, u32::MAX),
    ] {
        let mut file = ground.file(name, b"#!/bin/sh\n");
        (file.metadata.mode, file.metadata.uid, file.metadata.gid) = (0o6777, uid, gid);
        entries.push(file);
    }
    let tree = ground.put_tree(&entries);
    ground.attack(&root(tree), |way, outcome| {
        assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
        for entry in &entries {
            let name = str::from_utf8(&entry.name).unwrap();
            let status = ground.path(name).metadata().unwrap();
            let is_owned = (status.uid(), status.gid()) == (entry.metadata.uid, entry.metadata.gid);
            let has_bits = status.mode() & 0o6000 != 0;
            assert!(is_owned || !has_bits, "{way:?}: {name} {:o}", status.mode());
        }
        assert!(outcome.report().not_kept.contains_key("owner"), "{way:?}: {outcome:?}");
    });
}

#[test]
fn times_and_attributes_out_of_reach_are_told() {
    let ground = Ground::new();
    let inline = |name: &[u8], value: &[u8]| Xattr {
        name: name.into(),
        value: XattrValue::Inline(value.into()),
    };
    let blob = |name: &[u8], id| Xattr {
        name: name.into(),
        value: XattrValue::Blob { size_bytes: 600, id },
    };
    let mut early = ground.file("early", b"1");
    early.metadata.mtime = FileTime { seconds: i64::MIN, nanoseconds: 0 };
    let mut late = ground.file("late", b"2");
    late.metadata.mtime = FileTime { seconds: i64::MAX, nanoseconds: 999_999_999 };
    let mut missing = ground.file("missing", b"3");
    missing.metadata.xattrs = vec![blob(b"user.a", Id::from_bytes([7; 32]))];
    let mut odd = ground.file("odd", b"4");
    odd.metadata.xattrs = vec![
        inline(b"evil.a", b"1"),
        inline(b"security.capability", &[0xff; 20]),
        inline(b"system.posix_acl_access", &[0xff; 44]),
        inline(b"trusted.overlay.opaque", b"y"),
        inline(b"user.", b"1"),
        inline(b"\xff\n", b"1"),
    ];
    let tree = ground.put_tree(&[early, late, missing, odd]);
    ground.attack(&root(tree), |way, outcome| {
        let report = outcome.report();
        assert_eq!((report.errors, report.damaged), (1, 1), "{way:?}: {outcome:?}");
        assert!(report.not_kept.contains_key("xattr"), "{way:?}: {outcome:?}");
        assert_eq!(fs::read(ground.path("odd")).unwrap(), b"4");
        assert!(ground.path("missing").symlink_metadata().is_err());
    });
}

/// Stores a list under an id that it claims.
fn claimed(ground: &Ground, mark: u8, length_bytes: u64, segments: Vec<Segment>) -> Id {
    let id = Id::from_bytes([mark; 32]);
    let (segments, values) = (Section::Inline(segments), Section::Inline(vec![[1; 32]]));
    let list = List { length_bytes, segments, values }.encode();
    ground.put(|worker| worker.put_list(id, Kind::Blob, &list));
    id
}

#[test]
fn sizes_that_cannot_be_are_damage_and_reserve_nothing() {
    const HUGE: u64 = (1 << 63) - 1;
    let ground = Ground::new();
    let small = ground.put_one(Kind::Blob, b"small");
    let chunk = |length_bytes| Segment::Chunk { id: small, length_bytes };
    let zeros = |length_bytes| Segment::Zeros { length_bytes };
    let lists = [
        (HUGE, vec![chunk(5)]),
        (HUGE, vec![]),
        (u64::MAX, vec![chunk(u64::MAX >> 1), chunk(u64::MAX >> 1), chunk(5)]),
        (5, vec![chunk(5)]),
        (5, vec![chunk(6)]),
        (0, vec![]),
        (1 << 20, vec![zeros(HUGE)]),
        ((1 << 20) + 5, vec![zeros(1 << 20), chunk(5)]),
    ];
    let mut entries = Vec::new();
    for (number, (size_bytes, segments)) in lists.into_iter().enumerate() {
        let id = claimed(&ground, number as u8 + 1, size_bytes, segments);
        entries.push(entry(format!("list{number}"), Node::File { size_bytes, id }));
    }
    for size_bytes in [0, 4, 6, HUGE, u64::MAX] {
        let name = format!("whole{size_bytes}");
        entries.push(entry(name, Node::File { size_bytes, id: small }));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let tree = ground.put_tree(&entries);
    ground.attack(&root(tree), |way, outcome| {
        let report = outcome.report();
        let all = entries.len() as u64;
        assert_eq!((report.errors, report.damaged), (all, all), "{way:?}: {outcome:?}");
        for entry in &entries {
            let path = ground.target().join(str::from_utf8(&entry.name).unwrap());
            assert!(path.symlink_metadata().is_err(), "{way:?}: {}", path.display());
        }
    });
}

#[test]
fn objects_of_another_kind_are_damage() {
    let ground = Ground::new();
    let good = ground.file("good", b"good");
    let Node::File { id: blob, .. } = good.node else { unreachable!() };
    let sub = ground.put_tree(std::slice::from_ref(&good));
    let links = ground.put_one(Kind::Links, &[2, 1, b'a', 1, b'b']);
    let text = snapshot(root(sub)).encode();
    let snapshot = ground.put_one(Kind::Snapshot, &text);
    let missing = Id::from_bytes([9; 32]);
    for id in [blob, links, snapshot, missing] {
        ground.attack(&root(id), |way, outcome| {
            assert!(matches!(outcome.end, End::Damaged), "{way:?}: {outcome:?}");
        });
        if id != links {
            ground.attack(&with_links(sub, id), |way, outcome| {
                assert!(matches!(outcome.end, End::Damaged), "{way:?}: {outcome:?}");
            });
        }
        let file = |name, id| entry(name, Node::File { size_bytes: text.len() as u64, id });
        let wrong = if id == blob { sub } else { id };
        let tree = ground.put_tree(&[directory("below", id), file("file", wrong), good.clone()]);
        ground.attack(&root(tree), |way, outcome| {
            let report = outcome.report();
            let damaged = if way == Way::Keep { 1 } else { 2 };
            assert_eq!((report.errors, report.damaged), (2, damaged), "{way:?}: {outcome:?}");
            assert_eq!(fs::read(ground.path("good")).unwrap(), b"good");
        });
    }
}

#[test]
fn directories_over_the_limit_are_refused() {
    // One descriptor a level is held open.
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let is_open = limit.maximum.is_none_or(|most| most > 2 * DEPTH_MAX as u64);
    let ground = Ground::new();
    let bottom = ground.put_tree(&[ground.file("file", b"evil")]);
    let tree = ground.put(|worker| {
        (0..5000).try_fold(bottom, |below, _| {
            worker.put(Kind::Tree, &tree::encode(&[directory("d", below)]))
        })
    });
    ground.plant();
    let before = look(&ground.canary(), &[]);
    let outcome = ground.send(&root(tree), Way::Replace);
    assert!(outcome.is_hostile() || !is_open, "{outcome:?}");
    assert_eq!(look(&ground.canary(), &[]), before);
    ground.plant();
}

#[test]
fn what_a_snapshot_says_of_its_backup_is_not_believed() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[ground.file("good", b"good")]);
    let texts = |texts: &[&[u8]]| texts.iter().map(|text| BytesText::new(text)).collect::<Vec<_>>();
    let includes: [&[&[u8]]; 6] =
        [&[], &[b".."], &[b"../canary"], &[b"a/../../canary"], &[b""], &[b"/..", b"."]];
    for includes in includes {
        let bad = RootRecord { includes: texts(includes), ..root(tree) };
        ground.attack(&bad, |way, outcome| {
            let is_checkout = matches!(way, Way::Keep | Way::Replace);
            assert!(is_checkout || outcome.is_hostile(), "{way:?}: {outcome:?}");
        });
    }
    for context in [&b""[..], b"context", b"/a/../../b", b"/a\0b"] {
        let bad = RootRecord { context: BytesText::new(context), ..root(tree) };
        // Refused, or of no consequence.
        ground.attack(&bad, |_, outcome| {
            assert!(outcome.is_hostile() || outcome.problems.is_empty());
        });
    }
    let skipped = |path: &[u8]| Skipped { path: BytesText::new(path), reason: "unreadable".into() };
    for path in [&b""[..], b"/", b"..", b"../canary", b"relative/file", b"\xff", b"."] {
        let bad = RootRecord { skipped: vec![skipped(path)], ..root(tree) };
        ground.attack(&bad, |way, outcome| {
            assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
            assert_eq!(fs::read(ground.path("good")).unwrap(), b"good");
        });
    }
    // Absolute includes stay below a location.
    let canary = ground.canary();
    let absolute = texts(&[canary.as_os_str().as_bytes()]);
    let bad =
        RootRecord { includes: absolute, context: BytesText::new(b"/elsewhere"), ..root(tree) };
    ground.attack(&bad, |way, outcome| {
        assert_eq!(outcome.report().errors, 0, "{way:?}: {outcome:?}");
    });
}

#[test]
fn the_metadata_of_a_hostile_root_stays_with_the_target() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[ground.file("good", b"good")]);
    let inline =
        |name: &[u8]| Xattr { name: name.into(), value: XattrValue::Inline(b"x"[..].into()) };
    let missing = XattrValue::Blob { size_bytes: 600, id: Id::from_bytes([7; 32]) };
    let xattrs = [
        vec![inline(b"evil"), inline(b"security.capability"), inline(b"trusted.overlay.opaque")],
        vec![Xattr { name: b"user.a"[..].into(), value: missing }],
    ];
    for xattrs in xattrs {
        let metadata = Metadata { xattrs, ..own_metadata(0o7700) };
        let bad = RootRecord { root: Some(RootMetadata::from(&metadata)), ..root(tree) };
        ground.attack(&bad, |way, outcome| {
            let report = outcome.report();
            let is_told = report.damaged > 0 || report.not_kept.contains_key("xattr");
            assert!(is_told, "{way:?}: {outcome:?}");
            assert_eq!(fs::read(ground.path("good")).unwrap(), b"good");
        });
    }
}

#[test]
fn snapshots_that_no_backup_writes_are_damage() {
    let ground = Ground::new();
    let good = snapshot(root(ground.put_tree(&[])));
    let text = String::from_utf8(good.encode()).unwrap();
    let stored = |text: &str| {
        let id = ground.put_one(Kind::Snapshot, text.as_bytes());
        ground.repository.snapshot(&id)
    };
    assert_eq!(stored(&text).unwrap(), good);
    let swap = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let dot = r#"{"path":".","path_b64":null}"#;
    let bad = [
        String::new(),
        "null".into(),
        "[".repeat(100_000),
        format!("{text}\n"),
        format!("{text}{text}"),
        swap(",", ", "),
        swap("{", "{\"more\":1,"),
        swap("{", "{\"project\":\"app\","),
        swap("\"project\":\"app\"", "\"project\":\"../app\""),
        swap("\"project\":\"app\"", "\"project\":\"\""),
        swap("\"tags\":[]", "\"tags\":[\"b\",\"a\"]"),
        swap("\"tags\":[]", "\"tags\":[\"a\",\"a\"]"),
        swap("\"files\":0", "\"files\":9007199254740992"),
        swap("\"files\":0", "\"files\":-1"),
        swap("\"files\":0", "\"files\":1e999"),
        swap("\"files\":0", "\"files\":NaN"),
        swap("\"users\":{}", "\"users\":{\"01\":\"a\"}"),
        swap("\"users\":{}", "\"users\":{\"4294967296\":\"a\"}"),
        swap(dot, r#"{"path":".","path_b64":"Lg=="}"#),
        swap(dot, r#"{"path":".","path_b64":"/w=="}"#),
        swap(dot, r#"{"path":".","path_b64":"!"}"#),
        swap(dot, r#"{"path":"\ud800","path_b64":null}"#),
        swap("\"root\":null", r#""root":{"gid":0,"mode":"99","mtime":"0","uid":0,"xattrs":[]}"#),
        swap("\"root\":null", r#""root":{"gid":0,"mode":"10000","mtime":"0","uid":0,"xattrs":[]}"#),
    ];
    for text in bad {
        let start: String = text.chars().take(200).collect();
        assert!(stored(&text).is_err(), "{start}");
    }
}

#[test]
fn a_selection_by_path_leads_nowhere_else() {
    let ground = Ground::new();
    let below = ground.put_tree(&[ground.file("file", b"evil")]);
    let tree = ground.put_tree(&[directory("dir", ground.put_tree(&[directory("deep", below)]))]);
    let verdict = |path: &[u8], is_directory: bool| match (path, is_directory) {
        (b"dir" | b"dir/deep", true) => Wanted::Container,
        _ => Wanted::Yes,
    };
    for overwrite in [Overwrite::Never, Overwrite::Replace] {
        ground.plant();
        let before = look(&ground.canary(), &[]);
        let request = CheckoutRequest {
            tree,
            links: None,
            root: None,
            to: &ground.target(),
            wanted: &verdict,
            overwrite,
            has_devices: false,
            workers: 1,
        };
        let report = checkout(ground.repository.store(), &request, &Problems::default()).unwrap();
        assert_eq!(report.errors, u64::from(overwrite == Overwrite::Never));
        assert_eq!(look(&ground.canary(), &[]), before);
    }
    assert!(selection_of(&snapshot(root(tree))).is_ok());
}

#[test]
fn a_group_count_past_all_memory_is_refused() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[]);
    for count in [1 << 40, u64::MAX] {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, count);
        put_bytes(&mut bytes, b"a");
        let links = ground.put_one(Kind::Links, &bytes);
        ground.attack(&with_links(tree, links), |_, outcome| assert!(outcome.is_hostile()));
    }
}

#[test]
fn each_file_of_a_group_that_lies_has_its_own_bytes() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[ground.file("ga", b"one"), ground.file("gb", b"two!")]);
    let group = ["ga", "gb"].map(|path| path.as_bytes().into()).to_vec();
    let links = ground.put_one(Kind::Links, &links::encode(vec![group]));
    ground.attack(&with_links(tree, links), |way, _| {
        for (name, bytes) in [("ga", &b"one"[..]), ("gb", b"two!")] {
            assert_eq!(fs::read(ground.target().join(name)).unwrap(), bytes, "{way:?}");
        }
    });
}

#[test]
fn an_inode_shared_with_the_outside_is_left_alone() {
    let ground = Ground::new();
    let tree = ground.put_tree(&[ground.file("shared", b"same"), ground.file("x", b"same")]);
    let group = ["shared", "x"].map(|path| path.as_bytes().into()).to_vec();
    let links = ground.put_one(Kind::Links, &links::encode(vec![group]));
    let outside = ground.folder.path().join("outside-file");
    fs::write(&outside, b"same").unwrap();
    let mtime = fs::metadata(&outside).unwrap().modified().unwrap();
    ground.plant();
    fs::hard_link(&outside, ground.target().join("shared")).unwrap();
    ground.send(&with_links(tree, links), Way::Replace);
    assert_eq!(fs::metadata(&outside).unwrap().modified().unwrap(), mtime);
    assert_eq!(fs::read(ground.target().join("x")).unwrap(), b"same");
}
