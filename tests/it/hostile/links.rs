//! Links in trees and in the target, and groups of paths that are said to share an inode.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use runup::base::kind::Kind;
use runup::format::codec::{put_bytes, put_varint};
use runup::format::links;

use super::ground::{CANARY, Ground, Way, directory, link, look, root, with_links};

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
