//! Attacks on a restore target, each beside a canary directory that must stay as it was.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use runup::base::time::FileTime;
use runup::format::tree::Metadata;
use runup::os::FileKind;
use runup::target::{
    LinkSource, NotKept, Overwrite, SpecialNode, TargetDirectory, TargetError, TargetRoot,
    WantedMetadata,
};
use rustix::fs::{CWD, Mode, mkfifoat};

const MTIME: FileTime = FileTime { seconds: 1_000_000_000, nanoseconds: 123_456_789 };

/// A target and, beside it, a directory that nothing may touch.
struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        fs::create_dir(folder.path().join("canary")).unwrap();
        fs::write(folder.path().join("canary/file"), b"alive").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("target").join(name)
    }

    fn canary(&self) -> PathBuf {
        self.folder.path().join("canary")
    }

    fn root(&self) -> TargetRoot {
        TargetRoot::open(&self.path("")).unwrap()
    }

    fn top(&self) -> TargetDirectory {
        self.root().open_directory(b"").unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = self.top().names().unwrap().into_iter();
        names.map(|name| String::from_utf8_lossy(&name).into_owned()).collect()
    }

    fn assert_canary_lives(&self) {
        let names: Vec<_> =
            fs::read_dir(self.canary()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read(self.canary().join("file")).unwrap(), b"alive");
        assert!(fs::metadata(self.canary()).unwrap().mtime() != MTIME.seconds);
    }
}

/// Metadata of the user who runs the tests.
fn metadata(mode: u16) -> Metadata {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Metadata { mode, uid, gid, mtime: MTIME, xattrs: Vec::new() }
}

fn bare(metadata: &Metadata) -> WantedMetadata<'_> {
    WantedMetadata { metadata, xattrs: &[] }
}

fn put(
    directory: &TargetDirectory,
    name: &[u8],
    content: &[u8],
    overwrite: Overwrite,
) -> Result<Vec<NotKept>, TargetError> {
    let file = directory.create_file(name)?;
    file.write_at(0, content)?;
    Ok(file.finish(&bare(&metadata(0o644)), overwrite)?.not_kept)
}

#[test]
fn the_target_itself_must_be_a_directory_and_no_link() {
    let sandbox = Sandbox::new();
    symlink(sandbox.canary(), sandbox.path("link")).unwrap();
    fs::write(sandbox.path("file"), b"").unwrap();
    mkfifoat(CWD, sandbox.path("fifo"), Mode::RWXU).unwrap();
    for name in ["link", "link/", "link/.", "link//./", "file", "fifo"] {
        let opened = TargetRoot::open(&sandbox.path(name));
        assert!(matches!(opened, Err(TargetError::NotADirectory { .. })), "{name}");
    }
    let opened = TargetRoot::open(&sandbox.path("absent"));
    assert!(matches!(opened, Err(TargetError::Missing { .. })));
}

#[test]
fn links_that_stand_in_the_target_are_not_followed() {
    let sandbox = Sandbox::new();
    symlink(sandbox.canary(), sandbox.path("link")).unwrap();
    symlink("../canary/file", sandbox.path("file")).unwrap();
    fs::create_dir(sandbox.path("a")).unwrap();
    symlink("../../canary", sandbox.path("a/link")).unwrap();
    let top = sandbox.top();
    assert!(matches!(top.open_child(b"link"), Err(TargetError::NotADirectory { .. })));
    assert!(matches!(top.make_child(b"link"), Err(TargetError::Occupied { .. })));
    assert!(matches!(top.make_child(b"file"), Err(TargetError::Occupied { .. })));
    for path in [&b"link"[..], b"a/link", b"a/link/x", b"link/file"] {
        let opened = sandbox.root().open_directory(path);
        assert!(matches!(opened, Err(TargetError::NotADirectory { .. })), "{path:?}");
    }
    let read = top.open_file_for_reading(b"file");
    assert!(matches!(read, Err(TargetError::WrongKind { .. })));
    assert_eq!(top.status(b"link").unwrap().unwrap().kind, FileKind::Symlink);
    assert_eq!(top.read_link(b"file").unwrap(), b"../canary/file");
    let never = put(&top, b"file", b"evil", Overwrite::Never);
    assert!(matches!(never, Err(TargetError::Occupied { .. })));
    put(&top, b"file", b"good", Overwrite::Replace).unwrap();
    put(&top, b"link", b"good", Overwrite::Replace).unwrap();
    assert!(fs::symlink_metadata(sandbox.path("file")).unwrap().is_file());
    assert_eq!(sandbox.names(), ["a", "file", "link"]);
    top.remove(b"a").unwrap();
    sandbox.assert_canary_lives();
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let (child, created) = top.make_child(b"child").unwrap();
    assert!(created && !top.make_child(b"child").unwrap().1);
    let file = child.create_file(b"started").unwrap();
    fs::rename(sandbox.path("child"), sandbox.path("moved")).unwrap();
    symlink(sandbox.canary(), sandbox.path("child")).unwrap();
    file.write_at(0, b"content").unwrap();
    file.finish(&bare(&metadata(0o600)), Overwrite::Replace).unwrap();
    put(&child, b"file", b"later", Overwrite::Replace).unwrap();
    child.make_child(b"deeper").unwrap();
    child.remove(b"deeper").unwrap();
    child.apply(&bare(&metadata(0o755))).unwrap();
    assert!(matches!(top.open_child(b"child"), Err(TargetError::NotADirectory { .. })));
    assert_eq!(fs::read(sandbox.path("moved/file")).unwrap(), b"later");
    assert_eq!(fs::read(sandbox.path("moved/started")).unwrap(), b"content");
    top.remove(b"child").unwrap();
    sandbox.assert_canary_lives();
}

#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let (plain, long) = (metadata(0o644), [b'x'; 256]);
    let wanted = bare(&plain);
    let refused = |result: Result<(), TargetError>| {
        assert!(matches!(result, Err(TargetError::UnsafePath { .. })), "{result:?}");
    };
    for name in [&b""[..], b".", b"..", b"/", b"/etc", b"../canary", b"a/b", b"a\0b", &long] {
        refused(top.open_child(name).map(drop));
        refused(top.make_child(name).map(drop));
        refused(top.status(name).map(drop));
        refused(top.read_link(name).map(drop));
        refused(top.open_file_for_reading(name).map(drop));
        refused(top.remove(name));
        refused(top.create_file(name).map(drop));
        refused(top.symlink(name, b"x", &wanted, Overwrite::Replace).map(drop));
        refused(top.make_node(name, SpecialNode::Fifo, &wanted, Overwrite::Replace).map(drop));
        let source = LinkSource::Descriptor(top.as_fd());
        refused(top.hard_link(&source, name, Overwrite::Replace));
    }
    for path in [&b"/"[..], b"/etc", b"..", b"a/..", b"../canary", b"a/../../canary", b"a\0"] {
        refused(sandbox.root().open_directory(path).map(drop));
    }
    for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
        refused(top.symlink(b"link", target, &wanted, Overwrite::Replace).map(drop));
    }
    assert_eq!(sandbox.names(), [""; 0]);
}

#[test]
fn the_deepest_paths_are_made_opened_and_removed() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    for (depth, name) in [(4096, vec![b'd']), (64, vec![b'n'; 255])] {
        let mut directory = top.clone();
        for _ in 0..depth {
            directory = directory.make_child(&name).unwrap().0;
        }
        put(&directory, b"file", b"deep", Overwrite::Never).unwrap();
        let path = vec![&*name; depth].join(&b'/');
        let opened = sandbox.root().open_directory(&path).unwrap();
        assert_eq!(opened.status(b"file").unwrap().unwrap().size_bytes, 4);
        let error = opened.open_child(b"absent").unwrap_err().to_string();
        assert!(error.len() > path.len() && error.ends_with("/absent"));
        top.remove(&name).unwrap();
        assert_eq!(sandbox.names(), [""; 0]);
    }
}

#[test]
fn names_of_any_bytes_work() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    for byte in (1..=255_u8).filter(|byte| !matches!(byte, b'/' | b'.')) {
        put(&top, &[byte], &[byte], Overwrite::Never).unwrap();
        put(&top, &[byte; 255], &[byte], Overwrite::Never).unwrap();
        let path = sandbox.path("").join(Path::new(std::ffi::OsStr::from_bytes(&[byte])));
        assert_eq!(fs::read(path).unwrap(), [byte]);
    }
    let names = top.names().unwrap();
    assert!(names.is_sorted() && names.len() == 2 * 253);
    let error = top.open_child(b"new\nline \x1b[31m \xff").unwrap_err().to_string();
    assert!(error.ends_with("/new\\nline \\u{1b}[31m \u{fffd}") && error.lines().count() == 1);
}

#[test]
fn what_stands_there_stays_unless_it_may_be_replaced() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let plain = metadata(0o777);
    let wanted = bare(&plain);
    let make = |name: &[u8], overwrite| {
        let linked = top.create_file(b"other").unwrap();
        let source = LinkSource::Descriptor(linked.as_fd());
        [
            put(&top, name, b"new", overwrite).map(drop),
            top.symlink(name, b"new", &wanted, overwrite).map(drop),
            top.make_node(name, SpecialNode::Fifo, &wanted, overwrite).map(drop),
            top.make_node(name, SpecialNode::Socket, &wanted, overwrite).map(drop),
            top.hard_link(&source, name, overwrite),
        ]
    };
    let occupied =
        |result: &Result<(), TargetError>| matches!(result, Err(TargetError::Occupied { .. }));
    fs::write(sandbox.path("file"), b"old").unwrap();
    fs::create_dir(sandbox.path("directory")).unwrap();
    assert!(make(b"file", Overwrite::Never).iter().all(occupied));
    assert!(make(b"directory", Overwrite::Never).iter().all(occupied));
    assert!(make(b"directory", Overwrite::Replace).iter().all(occupied));
    assert_eq!(fs::read(sandbox.path("file")).unwrap(), b"old");
    assert_eq!(sandbox.names(), ["directory", "file"]);
    assert!(make(b"file", Overwrite::Replace).iter().all(Result::is_ok));
    assert_eq!(sandbox.names(), ["directory", "file"]);
    assert!(matches!(top.make_child(b"file"), Err(TargetError::Occupied { .. })));
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let file = top.create_file(b"file").unwrap();
    file.reserve(1 << 20).unwrap();
    file.write_at(1 << 20, b"end").unwrap();
    // A temporary name, where the file system makes no files without one.
    assert!(sandbox.names().len() <= 1);
    assert!(top.status(b"file").unwrap().is_none());
    drop(file);
    assert_eq!(sandbox.names(), [""; 0]);
}

#[test]
fn holes_stay_holes() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let file = top.create_file(b"file").unwrap();
    file.set_length(1 << 30).unwrap();
    file.write_at(512 << 20, b"middle").unwrap();
    file.sync().unwrap();
    let finished = file.finish(&bare(&metadata(0o400)), Overwrite::Never).unwrap();
    let status = top.status(b"file").unwrap().unwrap();
    assert_eq!((status.identity(), finished.not_kept), (finished.identity, vec![]));
    assert_eq!((status.size_bytes, status.mode, status.mtime), (1 << 30, 0o400, MTIME));
    assert!(status.blocks < 1 << 12);
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_block() {
    let sandbox = Sandbox::new();
    mkfifoat(CWD, sandbox.path("fifo"), Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("socket")).unwrap();
    let top = sandbox.top();
    for name in [&b"fifo"[..], b"socket"] {
        let opened = top.open_file_for_reading(name);
        assert!(matches!(opened, Err(TargetError::WrongKind { .. })));
        assert!(matches!(top.open_child(name), Err(TargetError::NotADirectory { .. })));
        put(&top, name, b"file", Overwrite::Replace).unwrap();
        let (file, status) = top.open_file_for_reading(name).unwrap();
        assert_eq!(
            (std::io::read_to_string(file).unwrap().as_str(), status.size_bytes),
            ("file", 4)
        );
    }
}

#[test]
fn hard_links_are_to_the_file_that_was_meant() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let (other, _) = top.make_child(b"other").unwrap();
    let file = top.create_file(b"first").unwrap();
    let identity = file.finish(&bare(&metadata(0o644)), Overwrite::Never).unwrap().identity;
    let source = LinkSource::Name { directory: &top, name: b"first", identity };
    other.hard_link(&source, b"second", Overwrite::Never).unwrap();
    // Again, over itself.
    other.hard_link(&source, b"second", Overwrite::Never).unwrap();
    other.hard_link(&source, b"second", Overwrite::Replace).unwrap();
    assert_eq!(other.names().unwrap(), vec![b"second"[..].into()]);
    assert_eq!(top.status(b"first").unwrap().unwrap().nlink, 2);
    // A link to the canary's file, and another file, where the source was.
    fs::remove_file(sandbox.path("first")).unwrap();
    symlink(sandbox.canary().join("file"), sandbox.path("first")).unwrap();
    let linked = other.hard_link(&source, b"third", Overwrite::Replace);
    assert!(matches!(linked, Err(TargetError::Replaced { .. })));
    fs::remove_file(sandbox.path("first")).unwrap();
    fs::hard_link(sandbox.canary().join("file"), sandbox.path("first")).unwrap();
    let linked = other.hard_link(&source, b"third", Overwrite::Replace);
    assert!(matches!(linked, Err(TargetError::Replaced { .. })));
    assert_eq!(other.names().unwrap(), vec![b"second"[..].into()]);
    let descriptor = File::open(sandbox.path("other/second")).unwrap();
    let source = LinkSource::Descriptor(descriptor.as_fd());
    top.hard_link(&source, b"fourth", Overwrite::Never).unwrap();
    assert_eq!(top.status(b"fourth").unwrap().unwrap().identity(), identity);
}

#[test]
fn removal_takes_links_and_not_what_they_point_to() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("tree/a/b")).unwrap();
    fs::create_dir_all(sandbox.path("tree/c")).unwrap();
    for name in ["link", "tree/link", "tree/a/b/link"] {
        symlink(sandbox.canary(), sandbox.path(name)).unwrap();
    }
    fs::hard_link(sandbox.canary().join("file"), sandbox.path("tree/c/file")).unwrap();
    mkfifoat(CWD, sandbox.path("tree/fifo"), Mode::RWXU).unwrap();
    let top = sandbox.top();
    for name in [&b"link"[..], b"tree", b"absent"] {
        top.remove(name).unwrap();
    }
    assert_eq!(sandbox.names(), [""; 0]);
    sandbox.assert_canary_lives();
}

#[test]
fn special_nodes_get_their_metadata() {
    let sandbox = Sandbox::new();
    let top = sandbox.top();
    let plain = metadata(0o640);
    let make = |name: &[u8], node| top.make_node(name, node, &bare(&plain), Overwrite::Never);
    assert_eq!(make(b"fifo", SpecialNode::Fifo).unwrap(), vec![]);
    assert_eq!(make(b"socket", SpecialNode::Socket).unwrap(), vec![]);
    assert!(fs::symlink_metadata(sandbox.path("socket")).unwrap().file_type().is_socket());
    let link = metadata(0o777);
    assert_eq!(top.symlink(b"link", b"\xff", &bare(&link), Overwrite::Never).unwrap(), vec![]);
    assert_eq!(top.read_link(b"link").unwrap(), b"\xff");
    for name in [&b"fifo"[..], b"socket", b"link"] {
        let status = top.status(name).unwrap().unwrap();
        assert_eq!((status.mtime, status.uid), (MTIME, plain.uid));
        assert_eq!(status.mode, if name == b"link" { 0o777 } else { 0o640 });
    }
    let device = make(b"device", SpecialNode::CharDevice { major: 1, minor: 3 });
    if device.is_ok() {
        let status = top.status(b"device").unwrap().unwrap();
        assert_eq!((status.kind, status.mode), (FileKind::CharDevice, 0o640));
        assert_eq!((status.rdev_major, status.rdev_minor), (1, 3));
        // A number that the kernel would cut to another one.
        let node = SpecialNode::BlockDevice { major: u32::MAX, minor: u32::MAX };
        assert!(make(b"large", node).is_err());
        assert!(top.status(b"large").unwrap().is_none());
    } else {
        assert!(matches!(device, Err(TargetError::Denied { .. })));
    }
}
