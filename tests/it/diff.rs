//! `runup-diff-tree` against a comparison of two `runup-ls-tree` listings, path by path.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use runup::base::hash::object_id;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::repository::Repository;
use runup::store::{LooseSink, put_any};

use crate::sandbox::{Sandbox, records};

const PROJECT: &str = "  app:\n    include: [.]\n    exclude: [runup.yaml]\n";

/// What stands at one path of a random tree.
#[derive(Debug, Clone)]
enum Thing {
    File { content: u8, is_executable: bool },
    Link(u8),
    Directory,
    Pipe,
}

type Things = Vec<(String, Thing)>;

fn things() -> impl Strategy<Value = Things> {
    let path = "[ab](-|/[abc]){0,3}".prop_map(|path| path.trim_end_matches('/').to_owned());
    let thing = prop_oneof![
        8 => (0..4_u8, any::<bool>())
            .prop_map(|(content, is_executable)| Thing::File { content, is_executable }),
        1 => (0..2_u8).prop_map(Thing::Link),
        2 => Just(Thing::Directory),
        1 => Just(Thing::Pipe),
    ];
    prop::collection::vec((path, thing), 0..14)
}

/// Makes what can be made: a path through something that is no directory is passed over.
fn build(root: &Path, things: &Things) {
    std::fs::create_dir(root).unwrap();
    for (path, thing) in things {
        let path = root.join(path);
        if std::fs::create_dir_all(path.parent().unwrap()).is_err()
            || path.symlink_metadata().is_ok()
        {
            continue;
        }
        match thing {
            Thing::File { content, is_executable } => {
                std::fs::write(&path, vec![b'x'; usize::from(*content)]).unwrap();
                let mode = if *is_executable { 0o755 } else { 0o644 };
                let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(&path, mode).unwrap();
            }
            Thing::Link(target) => symlink(target.to_string(), &path).unwrap(),
            Thing::Directory => std::fs::create_dir(&path).unwrap(),
            Thing::Pipe => {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
            }
        }
    }
}

/// A listing by path, in the order in which directories are walked.
fn by_path(text: &str) -> BTreeMap<Vec<String>, Value> {
    let key = |record: &Value| path_of(record).split('/').map(str::to_owned).collect();
    records(text).into_iter().map(|record| (key(&record), record)).collect()
}

fn path_of(record: &Value) -> &str {
    record["path"].as_str().unwrap()
}

fn name_of(record: &Value) -> &str {
    path_of(record).rsplit('/').next().unwrap()
}

/// What can be known again at another path.
fn content(record: &Value, is_recursive: bool) -> Option<&Value> {
    let empty = object_id(Kind::Tree, b"").to_hex();
    let is_telling = match record["type"].as_str().unwrap() {
        "file" => record["size_bytes"] != 0,
        "dir" => !is_recursive && record["id"] != empty,
        _ => false,
    };
    is_telling.then_some(&record["id"])
}

/// The changes between two listings, found by looking at everything.
fn expected(old: &str, new: &str, is_recursive: bool, finds_renames: bool) -> Vec<Value> {
    let (old, new) = (by_path(old), by_path(new));
    let removed: Vec<_> = old.iter().filter(|(path, _)| !new.contains_key(*path)).collect();
    let added: Vec<_> = new.iter().filter(|(path, _)| !old.contains_key(*path)).collect();
    let mut origins: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
    for needs_name in [true, false] {
        for (path, record) in added.iter().filter(|_| finds_renames) {
            let Some(wanted) = content(record, is_recursive) else { continue };
            let is_free = |origin: &Vec<String>| !origins.values().any(|used| *used == origin);
            let origin = removed.iter().find(|(origin, candidate)| {
                is_free(origin)
                    && content(candidate, is_recursive) == Some(wanted)
                    && candidate["type"] == record["type"]
                    && (!needs_name || name_of(candidate) == name_of(record))
            });
            if let (Some((origin, _)), false) = (origin, origins.contains_key(path)) {
                origins.insert(path, origin);
            }
        }
    }
    let mut paths: Vec<_> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut changes = Vec::new();
    for path in paths {
        let before = origins.get(path).map(|origin| &old[*origin]).or(old.get(path));
        let (word, now) = match (before, new.get(path)) {
            (Some(_), None) if origins.values().any(|origin| *origin == path) => continue,
            (None, Some(now)) => ("added", now),
            (Some(before), None) => ("removed", before),
            (Some(before), Some(now)) if before == now => continue,
            (Some(before), Some(now)) if before["path"] != now["path"] => ("renamed", now),
            (Some(before), Some(now)) if before["type"] != now["type"] => ("type_changed", now),
            (Some(_), Some(now)) => ("modified", now),
            (None, None) => unreachable!("the path is of one of the two"),
        };
        let mut change = now.clone();
        let differ = |before: &Value, fields: &[&str]| {
            fields.iter().any(|field| before[*field] != now[*field])
        };
        let aspects: &[(&str, &[&str])] = &[
            ("content", &["id", "size_bytes"]),
            ("mode", &["mode"]),
            ("owner", &["uid", "gid"]),
            ("mtime", &["mtime"]),
            ("xattrs", &["xattrs"]),
            ("target", &["target"]),
            ("device", &["major", "minor"]),
            ("name", &["path"]),
        ];
        let of = |before: &Value| {
            let differing = aspects.iter().filter(|(_, fields)| differ(before, fields));
            differing.map(|(aspect, _)| *aspect).collect::<Vec<_>>()
        };
        change["changed"] = before.map(of).unwrap_or_default().into();
        change["status"] = word.into();
        change["old"] = before.cloned().unwrap_or_default();
        changes.push(change);
    }
    changes
}

/// Stores two directories of random things and gives the ids of their trees.
fn stored(sandbox: &Sandbox, old: &Things, new: &Things) -> (String, String) {
    build(&sandbox.path("old"), old);
    build(&sandbox.path("new"), new);
    let script = "find old new -exec touch -h -d @1000 {} +; runup-write-tree --plain old new";
    let ids = sandbox.run(script).succeeds().stdout();
    let (old, new) = ids.trim().split_once('\n').unwrap();
    (old.to_owned(), new.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changes_are_the_differences_of_two_listings(old in things(), new in things()) {
        let sandbox = Sandbox::with_projects(PROJECT);
        let (old, new) = stored(&sandbox, &old, &new);
        for (from, to) in [(&old, &new), (&new, &old)] {
            for flags in ["", "-r", "-r -t", "-t"] {
                let script = format!(
                    "runup-ls-tree {flags} {from} >before; runup-ls-tree {flags} {to} >after
                     runup-diff-tree {flags} {from} {to} >changes
                     runup-diff-tree {flags} --no-renames {from} {to} >no-renames"
                );
                sandbox.run(&script).succeeds();
                let read = |name| String::from_utf8(sandbox.read(name)).unwrap();
                let (before, after) = (read("before"), read("after"));
                for (name, finds_renames) in [("changes", true), ("no-renames", false)] {
                    let expected = expected(&before, &after, flags.contains('r'), finds_renames);
                    prop_assert_eq!(records(&read(name)), expected, "{} {}", flags, name);
                }
                if flags != "-r -t" {
                    continue;
                }
                // All that the changes say makes the new tree of the old one.
                let mut paths = by_path(&before);
                let changes = records(&read("changes"));
                let key = |path: &Value| -> Vec<String> {
                    path.as_str().unwrap().split('/').map(str::to_owned).collect()
                };
                for change in &changes {
                    match change["status"].as_str().unwrap() {
                        "removed" => _ = paths.remove(&key(&change["path"])),
                        "renamed" => _ = paths.remove(&key(&change["old"]["path"])),
                        _ => {}
                    }
                }
                for mut change in changes {
                    let fields = change.as_object_mut().unwrap();
                    let status = fields.remove("status").unwrap();
                    fields.remove("changed");
                    fields.remove("old");
                    if status != "removed" {
                        paths.insert(key(&change["path"]), change);
                    }
                }
                prop_assert_eq!(paths, by_path(&after));
            }
        }
    }

    #[test]
    fn paths_restrict_both_listings(
        old in things(),
        new in things(),
        wanted in prop::collection::vec("[ab](/[abc]){0,2}", 1..3),
    ) {
        let sandbox = Sandbox::with_projects(PROJECT);
        let (old, new) = stored(&sandbox, &old, &new);
        let wanted = wanted.join(" ");
        for flags in ["", "-r", "-r -t"] {
            let script = format!(
                "runup-diff-tree {flags} {old} {new} {wanted} >changes || exit $?
                 for path in {wanted}; do
                     runup-ls-tree {flags} {old} $path; done >before || true
                 for path in {wanted}; do
                     runup-ls-tree {flags} {new} $path; done >after || true"
            );
            let script = script.replace("$path;", "$path || true;");
            let exists = |tree: &str, path: &str| {
                let script = format!("runup-ls-tree {tree} {path}");
                sandbox.shell(&script).output().unwrap().status.success()
            };
            let is_known =
                wanted.split(' ').all(|path| exists(&old, path) || exists(&new, path));
            let ran = sandbox.run(&script);
            if !is_known {
                prop_assert!(ran.exits(2).stderr().contains("no_such_path"));
                continue;
            }
            ran.succeeds();
            let read = |name| String::from_utf8(sandbox.read(name)).unwrap();
            let expected = expected(&read("before"), &read("after"), flags.contains('r'), true);
            prop_assert_eq!(records(&read("changes")), expected, "{}", flags);
        }
    }
}

fn snapshots() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("same/deep/file", b"same");
    sandbox.write("a", b"moved");
    sandbox.write("b", b"old");
    sandbox.write("src/c", b"gone");
    sandbox.run("runup backup; rm src/c; mv a src/z; echo new >b; echo 1 >'n\n\t'").succeeds();
    sandbox.run("runup backup").succeeds();
    sandbox
}

#[test]
fn plain_lines_are_letters_and_paths() {
    let sandbox = snapshots();
    let plain = |arguments: &str| {
        sandbox.run(&format!("runup-diff-tree --plain {arguments}")).succeeds().stdout()
    };
    assert_eq!(plain("-r app@1 app@2"), "M\tb\nA\tn\n\t\nD\tsrc/c\nR\ta\tsrc/z\n");
    assert_eq!(
        plain("-r -z app@1 app@2"),
        "M\0b\0A\0n\n\t\0D\0src/c\0R\0a\0src/z\0",
        "as git diff-tree --name-status -z"
    );
    assert_eq!(plain("-r app@1:src app@2:src"), "D\tc\nA\tz\n", "paths are those below the two");
    assert_eq!(plain("app@1 app@2 b src"), "M\tb\nD\tsrc/c\nA\tsrc/z\n");
    assert_eq!(
        plain("-r --no-renames app@2 app@1 a ."),
        "A\ta\nM\tb\nD\tn\n\t\nA\tsrc/c\nD\tsrc/z\n"
    );
    assert_eq!(plain("--root app@1:src"), "A\tc\n");
    assert_eq!(plain("-r --root app@1 same"), "A\tsame/deep/file\n");
    assert_eq!(plain("-r --name-only -z app@1 app@2"), "b\0n\n\t\0src/c\0src/z\0");
    assert_eq!(plain("-r app@1 app@1"), "");
}

#[test]
fn the_exit_code_answers_where_it_is_asked_to() {
    let sandbox = snapshots();
    sandbox.run("runup-diff-tree --exit-code app@1 app@2").exits(1);
    sandbox.run("runup-diff-tree --exit-code app@1 app@2 same").exits(0);
    sandbox.run("runup-diff-tree app@1 app@2").exits(0);
    sandbox.run("runup-diff-tree app@1").exits(2);
    let ran = sandbox.run("runup-diff-tree app@1 app@2:b").exits(2);
    assert!(ran.stderr().contains("not a snapshot or tree"), "{}", ran.stderr());
    let ran = sandbox.run("runup-diff-tree --exit-code app@1 app@2 same/no").exits(2);
    assert!(ran.stderr().contains("no_such_path"), "{}", ran.stderr());
    sandbox.run("runup-diff-tree --exit-code --repository /nowhere a b").exits(10);
}

#[test]
fn a_directory_that_moved_is_one_change_of_the_level_above() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("from/deep/file", b"content");
    sandbox.run("mkdir empty; runup backup; mv from to; mv empty void; runup backup").succeeds();
    let ran = sandbox.run("runup-diff-tree --plain app@1 app@2").succeeds();
    assert_eq!(ran.stdout(), "D\tempty\nR\tfrom\tto\nA\tvoid\n");
    let ran = sandbox.run("runup-diff-tree -r --plain app@1 app@2").succeeds();
    assert_eq!(ran.stdout(), "R\tfrom/deep/file\tto/deep/file\n");
}

#[test]
fn equal_subtrees_are_not_read() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let session = repository.write_session().unwrap();
    let absent = Id::from_bytes([7; 32]);
    let tree = |name: &str| {
        let entry = |name: &str, node| Entry {
            name: name.as_bytes().into(),
            metadata: Metadata::default(),
            node,
        };
        let same = entry("a", Node::Directory { tree: absent });
        let bytes = tree::encode(&[same, entry(name, Node::Fifo)]);
        put_any(&mut LooseSink::new(repository.store(), session.id()), Kind::Tree, &bytes).unwrap()
    };
    let (old, new) = (tree("b"), tree("c"));
    let ran = sandbox.run(&format!("runup-diff-tree -r -t --plain {old} {new}")).succeeds();
    assert_eq!(ran.stdout(), "D\tb\nA\tc\n");
    let ran = sandbox.run(&format!("runup-diff-tree -r --root {new}")).exits(4);
    assert!(ran.stderr().contains(&absent.to_hex()), "{}", ran.stderr());
}
