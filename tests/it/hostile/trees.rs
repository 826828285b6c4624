//! Trees that no backup makes, and objects that are not what a tree says.

use std::fs;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::limits::DEPTH_MAX;
use runup::format::codec::put_varint;
use runup::format::tree::{self, Node, Xattr, XattrValue};

use super::ground::{
    End, Ground, WAYS, Way, directory, entry, link, look, root, snapshot, with_links,
};

/// Trees that no backup makes, as bytes.
pub(super) fn hostile_trees(file: &Node) -> Vec<Vec<u8>> {
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
            // Which paths are one file is lost; the files are not.
            ground.attack(&with_links(sub, id), |way, outcome| {
                let report = outcome.report();
                assert_eq!((report.errors, report.damaged), (1, 1), "{way:?}: {outcome:?}");
                assert_eq!(fs::read(ground.path("good")).unwrap(), b"good");
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
