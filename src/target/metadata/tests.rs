//! Metadata as root and as somebody else, on whatever file system holds temporary files.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::{fs, path::Path};

use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid};

use super::*;
use crate::os::{read_xattrs, read_xattrs_at, status_of};
use crate::target::{Overwrite, SpecialNode, TargetDirectory, TargetError, TargetRoot};

const MTIME: FileTime = FileTime { seconds: 1_000_000_000, nanoseconds: 123_456_789 };
const NOBODY: u32 = 65534;

fn metadata(mode: u16) -> Metadata {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    Metadata { mode, uid, gid, mtime: MTIME, xattrs: Vec::new() }
}

fn open(folder: &Path) -> TargetDirectory {
    TargetRoot::open(folder).unwrap().open_directory(b"").unwrap()
}

fn put(
    directory: &TargetDirectory,
    metadata: &Metadata,
    xattrs: &[(&[u8], &[u8])],
) -> (Status, Vec<NotKept>) {
    let file = directory.create_file(b"file").unwrap();
    file.write_at(0, b"content").unwrap();
    let wanted = WantedMetadata { metadata, xattrs };
    let finished = file.finish(&wanted, Overwrite::Replace).unwrap();
    (directory.status(b"file").unwrap().unwrap(), finished.not_kept)
}

fn aspects(not_kept: &[NotKept]) -> Vec<Aspect> {
    not_kept.iter().map(|not_kept| not_kept.what).collect()
}

/// Runs `work` in a thread of the user nobody; does nothing without the privilege to become them.
fn as_nobody(work: impl FnOnce() + Send) {
    if !geteuid().is_root() {
        return;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(NOBODY)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).unwrap();
            work();
        });
        thread.join().unwrap();
    });
}

fn keeps_xattrs(directory: &TargetDirectory) -> bool {
    let object = Object::Open(directory.as_fd());
    object.set_xattr(b"user.probe", b"").is_ok() && object.remove_xattr(b"user.probe").is_ok()
}

/// An ACL that lets the user 12345 read, in the form that the kernel takes.
fn acl() -> Vec<u8> {
    let entries = [(1_u16, 6_u16, u32::MAX), (2, 4, 12345), (4, 4, u32::MAX), (16, 4, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries.into_iter().chain([(32, 0, u32::MAX)]) {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

#[test]
fn everything_is_kept_for_root() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    if !geteuid().is_root() || !keeps_xattrs(&directory) {
        return;
    }
    // Capabilities of a file: version 2, CAP_NET_BIND_SERVICE.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl = acl();
    let xattrs: [(&[u8], &[u8]); 4] = [
        (b"security.capability", &capability),
        (ACL_ACCESS, &acl),
        (b"trusted.a", b"1"),
        (b"user.a", &[0xff; 600]),
    ];
    let wanted = Metadata { uid: 1234, gid: 5678, ..metadata(0o6741) };
    let (status, not_kept) = put(&directory, &wanted, &xattrs);
    assert_eq!(not_kept, vec![]);
    assert_eq!((status.uid, status.gid, status.mode, status.mtime), (1234, 5678, 0o6741, MTIME));
    let read = read_xattrs_at(&directory, b"file").unwrap();
    let names: Vec<&[u8]> = read.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, xattrs.map(|(name, _)| name));
    assert_eq!(read[0].1, capability);
    let wanted = WantedMetadata { metadata: &wanted, xattrs: &[(b"trusted.a", b"1")] };
    let fifo = directory.make_node(b"fifo", SpecialNode::Fifo, &wanted, Overwrite::Never);
    assert_eq!(fifo.unwrap(), vec![]);
    assert_eq!(directory.status(b"fifo").unwrap().unwrap().mode, 0o6741);
    assert_eq!(read_xattrs_at(&directory, b"fifo").unwrap().len(), 1);
    let link = directory.symlink(b"link", b"file", &wanted, Overwrite::Never).unwrap();
    // The mode of a link is none of ours to set; all else is kept.
    assert_eq!(aspects(&link), [Aspect::Mode]);
    let status = directory.status(b"link").unwrap().unwrap();
    assert_eq!((status.uid, status.gid, status.mtime), (1234, 5678, MTIME));
    assert_eq!(read_xattrs_at(&directory, b"link").unwrap().len(), 1);
}

#[test]
fn somebody_else_keeps_what_they_may_and_hears_of_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    as_nobody(|| {
        let directory = open(folder.path());
        let xattrs = keeps_xattrs(&directory);
        let own = put(&directory, &metadata(0o6755), &[]);
        assert_eq!((own.0.mode, own.1), (0o6755, vec![]));
        let wanted = Metadata { uid: 0, ..metadata(0o6755) };
        let set: [(&[u8], &[u8]); 4] =
            [(b"security.x", b"1"), (b"system.x", b"1"), (b"trusted.x", b"1"), (b"user.x", b"1")];
        let (status, not_kept) = put(&directory, &wanted, &set);
        assert_eq!((status.uid, status.mode, status.mtime), (NOBODY, 0o755, MTIME));
        if xattrs {
            let lost = [Aspect::Xattr; 3];
            assert_eq!(aspects(&not_kept)[..2], [Aspect::Owner, Aspect::SpecialBits]);
            assert_eq!(aspects(&not_kept)[2..], lost);
            assert_eq!(read_xattrs_at(&directory, b"file").unwrap().len(), 1);
        }
        let detail = "owner not kept: wanted 0, is 65534: operation not permitted";
        assert_eq!(not_kept[0].to_string(), detail);
        let wanted = Metadata { uid: 0, gid: 0, ..metadata(0o2711) };
        let not_kept = put(&directory, &wanted, &[]).1;
        assert_eq!(aspects(&not_kept), [Aspect::Owner, Aspect::Group, Aspect::SpecialBits]);
        let plain = metadata(0o600);
        let wanted = WantedMetadata { metadata: &plain, xattrs: &[] };
        let node = SpecialNode::BlockDevice { major: 1, minor: 3 };
        let device = directory.make_node(b"device", node, &wanted, Overwrite::Never);
        assert!(matches!(device, Err(TargetError::Denied { .. })));
        assert_eq!(directory.names().unwrap(), vec![b"file"[..].into()]);
    });
}

#[test]
fn read_only_directories_of_somebody_else_are_worked_in_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    as_nobody(|| {
        let directory = open(folder.path());
        for _ in 0..2 {
            let (child, created) = directory.make_child(b"child").unwrap();
            assert_eq!(child.make_writable().unwrap(), !created);
            put(&child, &metadata(0o444), &[]);
            let metadata = metadata(0o555);
            let wanted = WantedMetadata { metadata: &metadata, xattrs: &[] };
            assert_eq!(child.apply(&wanted).unwrap(), vec![]);
            let status = status_of(&child).unwrap();
            assert_eq!((status.mode, status.mtime), (0o555, MTIME));
            let denied = child.create_file(b"another");
            assert!(matches!(denied, Err(TargetError::Denied { .. })));
        }
    });
}

#[test]
fn numbers_that_no_system_takes_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let wanted = Metadata { uid: u32::MAX, gid: u32::MAX, ..metadata(0o4700) };
    let (status, not_kept) = put(&directory, &wanted, &[]);
    assert_eq!(status.mode, 0o700);
    assert_eq!(aspects(&not_kept), [Aspect::Owner, Aspect::Group, Aspect::SpecialBits]);
    for nanoseconds in [0x3fff_ffff, u32::MAX] {
        let mtime = FileTime { seconds: 1, nanoseconds };
        let (_, not_kept) = put(&directory, &Metadata { mtime, ..metadata(0o600) }, &[]);
        assert_eq!(aspects(&not_kept), [Aspect::Mtime]);
    }
    for seconds in [i64::MIN, i64::MAX, -1, 0, 1 << 31] {
        let mtime = FileTime { seconds, nanoseconds: 999_999_999 };
        let (status, not_kept) = put(&directory, &Metadata { mtime, ..metadata(0o600) }, &[]);
        assert_eq!(status.mtime == mtime, not_kept.is_empty());
    }
}

#[test]
fn directories_that_stood_there_lose_what_is_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    if !keeps_xattrs(&directory) {
        return;
    }
    let metadata = metadata(0o751);
    let object = Object::Open(directory.as_fd());
    for name in [&b"user.old"[..], b"user.same", b"user.other"] {
        object.set_xattr(name, b"1").unwrap();
    }
    let xattrs: [(&[u8], &[u8]); 3] =
        [(b"user.new", b"2"), (b"user.other", b"2"), (b"user.same", b"1")];
    let wanted = WantedMetadata { metadata: &metadata, xattrs: &xattrs };
    assert_eq!(directory.apply(&wanted).unwrap(), vec![]);
    let expected: Xattrs = xattrs.iter().map(|(n, v)| ((*n).into(), v.to_vec())).collect();
    assert_eq!(read_xattrs(&directory).unwrap(), expected);
    // A new one is taken for empty once, but not twice.
    let (child, _) = directory.make_child(b"child").unwrap();
    assert_eq!(child.apply(&wanted).unwrap(), vec![]);
    assert_eq!(child.apply(&WantedMetadata { xattrs: &[], ..wanted }).unwrap(), vec![]);
    assert_eq!(read_xattrs(&child).unwrap(), vec![]);
    let status = status_of(&child).unwrap();
    assert_eq!((status.mode, status.mtime), (0o751, MTIME));
    // A file that is kept, by its open descriptor.
    put(&directory, &metadata, &xattrs);
    let (file, _) = directory.open_file_for_reading(b"file").unwrap();
    let wanted = WantedMetadata { metadata: &metadata, xattrs: &xattrs[1..] };
    assert_eq!(directory.apply_to_file(b"file", &file, &wanted).unwrap(), vec![]);
    assert_eq!(read_xattrs(&file).unwrap(), expected[1..]);
}

#[test]
fn what_a_directory_gives_to_new_objects_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let object = Object::Open(directory.as_fd());
    if object.set_xattr(ACL_DEFAULT, &acl()).is_err() {
        return;
    }
    if geteuid().is_root() {
        object.set_owner(None, Some(4321)).unwrap();
        object.set_mode(0o2755).unwrap();
    }
    let (status, not_kept) = put(&directory, &metadata(0o664), &[]);
    assert_eq!((status.mode, status.gid), (0o664, getegid().as_raw()));
    assert_eq!(not_kept, vec![]);
    let metadata = metadata(0o664);
    let wanted = WantedMetadata { metadata: &metadata, xattrs: &[] };
    let fifo = directory.make_node(b"fifo", SpecialNode::Fifo, &wanted, Overwrite::Never);
    assert_eq!(fifo.unwrap(), vec![]);
    let (child, _) = directory.make_child(b"child").unwrap();
    assert_eq!(read_xattrs(&child).unwrap(), vec![]);
    put(&child, &metadata, &[]);
    assert_eq!(child.apply(&wanted).unwrap(), vec![]);
    for name in [&b"file"[..], b"fifo", b"child"] {
        assert_eq!(read_xattrs_at(&directory, name).unwrap(), vec![], "{name:?}");
    }
    assert_eq!(read_xattrs_at(&child, b"file").unwrap(), vec![]);
}
