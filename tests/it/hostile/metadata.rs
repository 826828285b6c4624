//! Devices, owners, special bits, times, extended attributes, those of the root too.

use std::fs;
use std::os::unix::fs::MetadataExt;

use runup::base::id::Id;
use runup::base::time::FileTime;
use runup::format::snapshot::{RootMetadata, RootRecord};
use runup::format::tree::{Metadata, Node, Xattr, XattrValue};

use super::ground::{Ground, Way, entry, own_metadata, root};

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
