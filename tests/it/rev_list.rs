//! `runup-rev-list` against a closure made of everything that `runup-ls-tree` lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::list::{Section, Segment};
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::repository::Repository;
use runup::store::{LooseSink, Stored, put_any};

use crate::sandbox::Sandbox;

const PROJECTS: &str = "  app:\n    include: [src, shared]\n  web:\n    include: [shared, web]\n";

/// Three jobs of two projects that share files: long ones, hard links, renames, a revert.
fn fixture() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECTS);
    let long: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    sandbox.write("src/long", &long);
    sandbox.write("src/a/one", b"one");
    sandbox.write("src/b/two", b"two");
    sandbox.write("shared/c", b"shared");
    sandbox.write("web/d", b"of the web");
    let change = "printf changed | dd of=src/long bs=1 seek=7000000 conv=notrunc 2>/dev/null";
    let script = format!(
        "ln src/a/one src/hard; runup backup
         {change}; mv src/b src/moved; echo 3 >src/a/three; runup backup
         echo 4 >web/e; rm src/a/three; runup backup"
    );
    sandbox.run(&script).succeeds();
    sandbox
}

fn ids(text: &str) -> BTreeSet<String> {
    let ids: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(ids.len(), text.lines().count(), "each object once");
    ids
}

fn list(sandbox: &Sandbox, arguments: &str) -> BTreeSet<String> {
    let script = format!("runup-rev-list --plain {arguments}");
    ids(&sandbox.run(&script).succeeds().stdout())
}

/// All that a snapshot needs.
fn closure(sandbox: &Sandbox, revision: &str) -> BTreeSet<String> {
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let snapshot = sandbox.run(&format!("runup-cat-snapshot {revision}")).succeeds().record();
    let mut found = BTreeSet::new();
    let mut add = |id: &Value, kind: Kind| {
        let Some(text) = id.as_str() else { return };
        found.insert(text.to_owned());
        let id: Id = text.parse().unwrap();
        let Stored::List(list) = repository.store().load(&id, kind).unwrap() else { return };
        for pages in [&list.segments.pages(), &list.values.pages()] {
            found.extend(pages.iter().map(Id::to_hex));
        }
        let mut chunks = Vec::new();
        repository
            .store()
            .for_each_segment(&list, |segment| {
                chunks.extend(match segment {
                    Segment::Chunk { id, .. } => Some(id.to_hex()),
                    Segment::Zeros { .. } => None,
                });
                Ok(())
            })
            .unwrap();
        assert!(!chunks.is_empty());
        found.extend(chunks);
    };
    add(&snapshot["id"], Kind::Snapshot);
    add(&snapshot["tree"], Kind::Tree);
    add(&snapshot["links"], Kind::Links);
    let listed = sandbox.run(&format!("runup-ls-tree -r -t {revision}")).succeeds().stdout();
    for line in listed.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let kind = if entry["type"] == "dir" { Kind::Tree } else { Kind::Blob };
        add(&entry["id"], kind);
    }
    let base_of = |id: &String| {
        let stored = repository.store().find(&id.parse().unwrap()).unwrap();
        Some(stored.unwrap().base()?.id.to_hex())
    };
    let bases: Vec<String> = found.iter().filter_map(base_of).collect();
    found.extend(bases);
    found
}

trait Pages {
    fn pages(&self) -> Vec<Id>;
}

impl<T> Pages for Section<T> {
    fn pages(&self) -> Vec<Id> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::Paged(pages) => pages.clone(),
        }
    }
}

const REVISIONS: [&str; 6] = ["app@1", "web@1", "app@2", "web@2", "app@3", "web@3"];

#[test]
fn objects_are_the_closure() {
    let sandbox = fixture();
    let closures: BTreeMap<&str, BTreeSet<String>> =
        REVISIONS.into_iter().map(|revision| (revision, closure(&sandbox, revision))).collect();
    let union = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        let wanted = closures.iter().filter(|(revision, _)| wanted(revision));
        wanted.flat_map(|(_, ids)| ids).cloned().collect()
    };
    assert!(closures["app@1"].len() > 10, "{closures:?}");
    for revision in REVISIONS {
        let own = &closures[revision];
        assert_eq!(list(&sandbox, &format!("--objects {revision}")), *own, "{revision}");
        let others = union(&|other| other != revision);
        let exclusive: BTreeSet<_> = own.difference(&others).cloned().collect();
        let listed = list(&sandbox, &format!("--objects --exclusive {revision}"));
        assert_eq!(listed, exclusive, "{revision}");
        assert!(!listed.is_empty() && listed.len() < own.len());
    }
    assert_eq!(list(&sandbox, "--objects --all"), union(&|_| true));
    let after: BTreeSet<_> = union(&|revision| revision.ends_with('3'));
    let before = union(&|revision| revision.ends_with('1'));
    let expected: BTreeSet<_> = after.difference(&before).cloned().collect();
    for arguments in ["app@3 web@3 --not app@1 web@1", "^app@1 app@3 ^web@1 web@3"] {
        assert_eq!(list(&sandbox, &format!("--objects {arguments}")), expected, "{arguments}");
    }
    let script =
        "runup-ls-snapshots --job 3 | runup-rev-list --objects --plain --stdin --exclusive";
    let exclusive: BTreeSet<_> =
        after.difference(&union(&|revision| !revision.ends_with('3'))).cloned().collect();
    assert_eq!(ids(&sandbox.run(script).succeeds().stdout()), exclusive, "what only job 3 holds");
}

#[test]
fn records_tell_where_objects_were_found_and_how_they_are_stored() {
    let sandbox = fixture();
    let text = sandbox.run("runup-rev-list --objects --all").succeeds().stdout();
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut sums = BTreeMap::<&str, [u64; 3]>::new();
    let mut jobs = Vec::new();
    for record in &records {
        let kind = record["kind"].as_str().unwrap();
        let sum = sums.entry(kind).or_default();
        sum[0] += 1;
        sum[1] += record["size_bytes"].as_u64().unwrap();
        sum[2] += record["stored_bytes"].as_u64().unwrap();
        assert_eq!(record["status"], "found");
        let root = format!("{}@{}", record["project"].as_str().unwrap(), record["job"]);
        jobs.push(record["job"].as_u64().unwrap());
        if kind == "snapshot" {
            assert_eq!((&record["path"], &record["snapshot"]), (&"".into(), &record["id"]));
        } else if let Some(path) = record["path"].as_str() {
            let script = format!("runup-rev-parse --plain '{root}:{path}'");
            let id = sandbox.run(&script).succeeds().stdout();
            assert_eq!(record["id"], id.trim(), "{record}");
        } else {
            assert!(["blob", "page", "links"].contains(&kind), "{record}");
        }
    }
    assert!(jobs.is_sorted_by(|a, b| a >= b), "the newest job first: {jobs:?}");
    assert!(records.iter().any(|record| record["is_list"] == true));
    let usage = sandbox.run("runup-rev-list --disk-usage --all").succeeds().record();
    for (kind, [count, size_bytes, stored_bytes]) in sums {
        let own = &usage["kinds"][kind];
        assert_eq!(own["count"], count, "{kind}");
        assert_eq!(
            (&own["size_bytes"], &own["stored_bytes"]),
            (&size_bytes.into(), &stored_bytes.into())
        );
    }
    assert_eq!(usage["count"], records.len());
    let plain = sandbox.run("runup-rev-list --disk-usage --plain --all").succeeds().stdout();
    assert_eq!(usage["stored_bytes"].to_string(), plain.trim());
    let count = sandbox.run("runup-rev-list --objects --count --plain --all").succeeds().stdout();
    assert_eq!(count.trim(), records.len().to_string());
}

#[test]
fn without_objects_it_lists_what_was_named() {
    let sandbox = fixture();
    let names = |arguments: &str| {
        let text = sandbox.run(&format!("runup-rev-list {arguments}")).succeeds().stdout();
        let name = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let path = record["path"].as_str().unwrap().to_owned();
            format!("{}@{}:{path}", record["project"].as_str().unwrap_or("?"), record["job"])
        };
        text.lines().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("--all"), "app@3: web@3: app@2: web@2: app@1: web@1:");
    assert_eq!(names("web@1 app@3 web@1"), "app@3: web@1:");
    assert_eq!(names("--all --not app@2 web@3"), "app@3: web@2: app@1: web@1:");
    assert_eq!(names("$(runup-rev-parse --plain web@2)"), "web@2:", "named by its id alone");
    assert_eq!(names("app@2:src/a app@1:shared/c"), "app@2:src/a app@1:shared/c");
    assert_eq!(names("app@2:src/a app@1:shared/c --not web@1"), "app@2:src/a");
    assert_eq!(names("$(runup-rev-parse --plain app@2:src/a)"), "?@null:");
    assert_eq!(list(&sandbox, "--objects app@1:shared"), {
        let all = sandbox.run("runup-rev-parse --plain app@1:shared app@1:shared/c").succeeds();
        ids(&all.stdout())
    });
    let script = "runup-rev-list --objects -z --all | runup-cat-object --batch-check -z";
    let found = sandbox.run(script).succeeds().stdout().matches("\"status\":\"found\"").count();
    assert_eq!(found, list(&sandbox, "--objects --all").len(), "read by other programs");
    sandbox.run("runup-rev-list").exits(2);
    sandbox.run("runup-rev-list nothing").exits(2);
    assert_eq!(sandbox.run("runup-rev-list --stdin </dev/null").succeeds().stdout(), "");
}

#[test]
fn a_lost_index_hides_nothing() {
    let sandbox = fixture();
    let all = list(&sandbox, "--objects --all");
    sandbox.run("set -- .runup/index/*; rm \"$1\"").succeeds();
    assert_eq!(list(&sandbox, "--objects --all"), all);
    sandbox.run("rm .runup/index/*").succeeds();
    assert_eq!(list(&sandbox, "--objects --all"), all);
}

#[test]
fn a_missing_object_is_named() {
    let sandbox = Sandbox::with_projects(PROJECTS);
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let session = repository.write_session().unwrap();
    let mut sink = LooseSink::new(repository.store(), session.id());
    let entry = |name: &str, node| Entry {
        name: name.as_bytes().into(),
        metadata: Metadata::default(),
        node,
    };
    let here = put_any(&mut sink, Kind::Blob, b"here").unwrap();
    let (absent, lost_tree) = (Id::from_bytes([7; 32]), Id::from_bytes([8; 32]));
    let entries = [
        entry("a", Node::File { size_bytes: 1, id: absent }),
        entry("b", Node::File { size_bytes: 4, id: here }),
        entry("c", Node::Directory { tree: lost_tree }),
    ];
    let root = put_any(&mut sink, Kind::Tree, &tree::encode(&entries)).unwrap();
    let ran = sandbox.run(&format!("runup-rev-list --objects {root}")).exits(4);
    assert!(ran.stderr().contains("missing_object"), "{}", ran.stderr());
    assert!(ran.stderr().contains(&absent.to_hex()), "{}", ran.stderr());
    let script = format!("runup-rev-list --objects --missing=print {root}");
    let text = sandbox.run(&script).succeeds().stdout();
    let found: Vec<(String, String, String)> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|record: Value| {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            assert_eq!(record["stored_bytes"].is_null(), record["status"] == "missing");
            (text("id"), text("status"), text("path"))
        })
        .collect();
    let line = |id: Id, status: &str, path: &str| (id.to_hex(), status.to_owned(), path.to_owned());
    let expected = [
        line(root, "found", ""),
        line(absent, "missing", "a"),
        line(here, "found", "b"),
        line(lost_tree, "missing", "c"),
    ];
    assert_eq!(found, expected);
    let plain = sandbox.run(&format!("{script} --plain")).succeeds().stdout();
    assert!(plain.contains(&format!("\n?{absent}\n")), "{plain}");
    // A file that is said to be what is stored as a tree.
    let lie = [entry("x", Node::File { size_bytes: 1, id: root })];
    let lie = put_any(&mut sink, Kind::Tree, &tree::encode(&lie)).unwrap();
    let ran = sandbox.run(&format!("runup-rev-list --objects --missing=print {lie}")).exits(4);
    assert!(ran.stderr().contains("damaged_object"), "{}", ran.stderr());
}
