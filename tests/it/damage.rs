//! Damage as a matrix: every file of a repository, damaged in every way.
//!
//! Invariant: a check tells of each, nothing panics or waits, and whatever is read is either the
//! exact bytes or an error; a lost or damaged index costs no byte.

mod classes;
mod fixture;
mod matrix;
mod reads;
mod table;
mod ways;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runup::base::hash::object_id;
use runup::base::kind::Kind;
use runup::base::monitor::Problems;
use runup::format::compress::Compression;
use runup::format::loose;
use runup::ops::fsck::{Affected, Depth, Finding, FsckOptions, FsckReport, Holder, fsck};
use runup::repository::Repository;
use runup::store::{InsertOptions, Inserter};

use self::fixture::{JOBS, build};
use self::reads::read_all;

fn run(repository: &Repository, depth: Depth) -> FsckReport {
    let options = FsckOptions { depth, workers: 1 };
    fsck(repository, &options, &Problems::default()).expect("a check reports, it does not fail")
}

#[test]
fn a_whole_repository_is_sound() {
    let directory = tempfile::tempdir().expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let repository = Repository::open(&fixture.path).expect("opens");
    for depth in [Depth::Structure, Depth::ReadData] {
        let report = run(&repository, depth);
        assert_eq!(report.findings, [], "{depth:?}");
        assert!(report.is_sound());
        assert_eq!((report.jobs, report.snapshots, report.loose), (JOBS, 5, 2));
        assert_eq!(report.refs, 2);
        assert_eq!(report.packs, 2 * JOBS);
        assert!(report.lists >= 3, "{report:?}");
        assert!(
            (depth == Depth::ReadData) == (report.bytes_read > report.pack_bytes),
            "{report:?}"
        );
    }
    let reads = read_all(&repository, &fixture.expected);
    assert_eq!((reads.exact.len(), reads.refused.len()), (fixture.expected.len(), 0));
}

/// Findings as code and whether each is damage, sorted.
fn codes(report: &FsckReport) -> Vec<(&'static str, bool)> {
    let mut codes: Vec<_> =
        report.findings.iter().map(|finding| (finding.code, finding.is_damage)).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn what_does_not_belong_is_told_and_neither_followed_nor_damage() {
    let directory = tempfile::tempdir().expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let root = &fixture.path;
    symlink("..", root.join("refs/loop")).expect("symlink");
    symlink("/", root.join("packs/outside")).expect("symlink");
    fs::create_dir(root.join("lost+found")).expect("directory");
    fs::write(root.join("jobs/3"), b"").expect("write");
    fs::write(root.join("objects/zz"), b"").expect("write");
    fs::write(root.join("tmp/half"), b"").expect("write");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = root.join("gc/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("fifo");
    let report = run(&Repository::open(root).expect("opens"), Depth::ReadData);
    let mut expected = vec![("stray_file", false); 6];
    expected.push(("temporary_file", false));
    assert_eq!(codes(&report), expected, "{:?}", report.findings);
}

#[test]
fn a_second_sound_copy_is_enough_for_all_paths() {
    let directory = tempfile::tempdir().expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let bytes = &fixture.expected[&(1, "app".to_owned(), "small/1".to_owned())];
    let digits = object_id(Kind::Blob, bytes).to_hex();
    let below = fixture.path.join("objects").join(&digits[..2]);
    fs::create_dir_all(&below).expect("directory");
    fs::write(below.join(&digits[2..]), loose::encode(Kind::Blob, false, bytes, 6)).expect("write");
    let sound = run(&Repository::open(&fixture.path).expect("opens"), Depth::ReadData);
    assert_eq!(sound.findings, []);
    assert_eq!(sound.loose, 3);
    fs::write(below.join(&digits[2..]), b"damaged").expect("write");
    let report = run(&Repository::open(&fixture.path).expect("opens"), Depth::ReadData);
    assert_eq!(codes(&report), [("damaged_loose", true)]);
    assert_eq!(report.findings[0].affected_count, 0);
}

#[test]
fn a_lost_object_names_every_path_of_every_job() {
    let directory = tempfile::tempdir().expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let bytes = &fixture.expected[&(1, "app".to_owned(), "shared/loose0".to_owned())];
    let digits = object_id(Kind::Blob, bytes).to_hex();
    fs::remove_file(fixture.path.join("objects").join(&digits[..2]).join(&digits[2..]))
        .expect("remove");
    let report = run(&Repository::open(&fixture.path).expect("opens"), Depth::Structure);
    let [Finding { code: "missing_object", affected, affected_count, .. }] = &report.findings[..]
    else {
        panic!("{:?}", report.findings)
    };
    let job = |number, project: &str| Holder::Job { number, project: project.to_owned() };
    let named = |name: &str| Holder::Ref { name: name.to_owned() };
    let (third, second) = ([job(3, "app"), job(3, "web")], [job(2, "app"), job(2, "web")]);
    let holders = third.into_iter().chain(second).chain([job(1, "app"), named("pin/web")]);
    let at = |holder, path: &str| Affected { holder, path: path.as_bytes().to_vec() };
    let mut expected: Vec<_> = holders.map(|holder| at(holder, "shared/loose0")).collect();
    expected.push(at(named("tag/loose"), ""));
    assert_eq!(*affected, expected);
    assert_eq!(*affected_count, 7);
}

#[test]
fn packs_without_an_index_are_damage_only_where_a_job_needs_them() {
    let directory = tempfile::tempdir().expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let open = || Repository::open(&fixture.path).expect("opens");
    let repository = open();
    let session = repository.write_session().expect("session");
    let before: BTreeSet<_> = indexes(&fixture.path);
    let options = InsertOptions::new(1, Compression::default());
    Inserter::new(repository.store(), session.id(), options)
        .run_one(|worker| worker.put(Kind::Blob, b"of no job"))
        .expect("stored");
    drop(session);
    for index in indexes(&fixture.path).difference(&before) {
        fs::remove_file(index).expect("remove");
    }
    let report = run(&open(), Depth::ReadData);
    assert_eq!(codes(&report), [("unindexed_pack", false)]);
    for index in before {
        fs::remove_file(index).expect("remove");
    }
    let report = run(&open(), Depth::ReadData);
    let unindexed = [("unindexed_pack", false); 7];
    assert_eq!(codes(&report), [&[("missing_index", true)], &unindexed[..]].concat());
    assert!(report.findings.iter().all(|finding| finding.affected_count == 0));
}

fn indexes(root: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(root.join("index")).expect("list");
    entries.map(|entry| entry.expect("entry").path()).collect()
}
