//! Damage as a matrix: every file of a repository, damaged in every way.
//!
//! Invariant: a check tells of each, nothing panics or waits, and whatever is read is either the
//! exact bytes or an error; a lost or damaged index costs no byte.

mod fixture;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use runup::base::hash::object_id;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::monitor::Problems;
use runup::base::path::is_within;
use runup::format::compress::Compression;
use runup::format::loose;
use runup::format::tree::{self, Node};
use runup::ops::fsck::{Affected, Depth, Finding, FsckOptions, FsckReport, Holder, fsck};
use runup::repository::{OpenError, Repository};
use runup::store::{InsertOptions, Inserter, Span};

use self::fixture::{Expected, Fixture, build, link_tree, size};
use self::ways::Damage;

fn files_below(root: &Path, directory: &str, out: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(root.join(directory))
        .expect("list")
        .map(|entry| entry.expect("entry"))
        .map(|entry| (entry.file_name().into_string().expect("name"), entry.path().is_dir()))
        .collect();
    names.sort();
    for (name, is_directory) in names {
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        if is_directory { files_below(root, &path, out) } else { out.push(path) }
    }
}

/// What a check is bound to say of damage to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// Nothing: the bytes of this file mean nothing.
    Nothing,
    /// Something, if only that it is worth knowing.
    Note,
    /// That there is damage.
    Damage,
}

fn claim(pristine: &Path, file: &str, damage: Damage, depth: Depth) -> Claim {
    let is_replaced =
        matches!(damage, Damage::Delete | Damage::Symlink | Damage::Fifo | Damage::Directory);
    match file.split('/').next().unwrap_or_default() {
        // Locks are empty and never read. A mark of a forgotten project is its name; to remove it is
        // the undo. A table of refs that is gone is one that a prune has removed.
        "forgotten" | "refs" if damage == Damage::Delete => Claim::Nothing,
        "forgotten" | "maintenance.lock" | "publication.lock" if !is_replaced => Claim::Nothing,
        // A job that is gone leaves its snapshots behind.
        "jobs" if damage == Damage::Delete => Claim::Note,
        "packs" if depth == Depth::Structure => structure_claim(pristine, file, damage),
        _ => Claim::Damage,
    }
}

/// Without reading file data: the file itself, its length, header and footer, and what trees need.
fn structure_claim(pristine: &Path, file: &str, damage: Damage) -> Claim {
    let bytes = fs::read(pristine.join(file)).expect("pack");
    let length = bytes.len() as u64;
    let trailer = length - 64;
    let footer_at = size(trailer);
    let footer = u64::from_le_bytes(bytes[footer_at..footer_at + 8].try_into().expect("offset"));
    // Salt, optional flags and the rest of the header are covered by the name alone.
    let is_seen = |at: u64| at < 20 || at >= footer;
    let is_claimed = match damage {
        Damage::Flip { at, .. } => is_seen(at),
        Damage::Zero { at } => (at..(at + 4096).min(length)).any(is_seen),
        _ => true,
    };
    if is_claimed { Claim::Damage } else { Claim::Nothing }
}

/// What became of the files of all jobs.
#[derive(Debug, Default)]
struct Reads {
    exact: usize,
    /// What could not be read.
    refused: Vec<(u64, String, String)>,
    /// What was read with other bytes, or refused for a reason that is not damage.
    wrong: Vec<(u64, String, String)>,
}

/// Reads every file of every job.
fn read_all(repository: &Repository, expected: &Expected) -> Reads {
    let mut found = BTreeMap::new();
    let mut trees = Vec::new();
    for number in 1..=2 {
        let Ok(Some(job)) = repository.job(number) else { continue };
        for (project, id) in job.live() {
            let Ok(snapshot) = repository.snapshot(id) else { continue };
            trees.push((job.number, project.clone(), String::new(), snapshot.root.tree));
        }
    }
    while let Some((job, project, path, id)) = trees.pop() {
        let Ok(bytes) = repository.store().read(&id, Kind::Tree) else { continue };
        for entry in tree::entries(&bytes) {
            let entry = entry.expect("a tree that was proved decodes");
            let name = String::from_utf8(entry.name.to_vec()).expect("name");
            match entry.node {
                Node::Directory { tree } => {
                    trees.push((job, project.clone(), format!("{path}{name}/"), tree));
                }
                Node::File { id, .. } => {
                    found.insert((job, project.clone(), format!("{path}{name}")), id);
                }
                _ => {}
            }
        }
    }
    let (mut reads, mut read) = (Reads::default(), Vec::new());
    let mut exact: BTreeMap<Id, &Vec<u8>> = BTreeMap::new();
    for (key, bytes) in expected {
        let Some(id) = found.get(key) else {
            reads.refused.push(key.clone());
            continue;
        };
        if exact.get(id).is_some_and(|same| *same == bytes) {
            reads.exact += 1;
            continue;
        }
        read.clear();
        let streamed = repository.store().stream(id, Kind::Blob, &mut |span| {
            match span {
                Span::Bytes(bytes) => read.extend_from_slice(bytes),
                Span::Zeros(count) => read.resize(read.len() + size(count), 0),
            }
            Ok(())
        });
        match streamed {
            Ok(_) if read == *bytes => {
                exact.insert(*id, bytes);
                reads.exact += 1;
            }
            Err(error) if error.is_damage() && bytes.starts_with(&read) => {
                reads.refused.push(key.clone());
            }
            _ => reads.wrong.push(key.clone()),
        }
    }
    reads
}

fn run(repository: &Repository, depth: Depth) -> FsckReport {
    let options = FsckOptions { depth, workers: 1 };
    fsck(repository, &options, &Problems::default()).expect("a check reports, it does not fail")
}

fn said(report: &FsckReport) -> Claim {
    if !report.is_sound() {
        Claim::Damage
    } else if report.findings.is_empty() {
        Claim::Nothing
    } else {
        Claim::Note
    }
}

/// The job, project and path, where a job needs it.
fn of_job(affected: &Affected) -> Option<(u64, String, Vec<u8>)> {
    match &affected.holder {
        Holder::Job { number, project } => Some((*number, project.clone(), affected.path.clone())),
        Holder::Ref { .. } => None,
    }
}

/// What differs between the files that cannot be read and the paths that a check named.
fn compare(
    expected: &Expected,
    refused: &[(u64, String, String)],
    affected: &BTreeSet<(u64, String, Vec<u8>)>,
) -> Vec<String> {
    let is_named = |(job, project, path): &(u64, String, String)| {
        affected.iter().any(|(other_job, other_project, above)| {
            job == other_job && project == other_project && is_within(path.as_bytes(), above)
        })
    };
    let unnamed = refused.iter().filter(|key| !is_named(key));
    let sound = expected.keys().filter(|key| {
        let key = (key.0, key.1.clone(), key.2.clone().into_bytes());
        affected.contains(&key)
    });
    let sound = sound.filter(|key| !refused.contains(key));
    let unnamed = unnamed.map(|key| format!("{key:?} cannot be read and is not named"));
    unnamed.chain(sound.map(|key| format!("{key:?} is named and can be read"))).collect()
}

/// One case of the matrix; why it failed.
fn case(fixture: &Fixture, work: &Path, file: &str, damage: Damage, all: &[String]) -> Vec<String> {
    link_tree(&fixture.path, work, &fixture.path.join(file));
    if !damage.apply(work, file, all) {
        return Vec::new();
    }
    // Swapped with an empty lock.
    let is_swapped_with_config = damage == Damage::Swap && !file.contains('/');
    let repository = match Repository::open(work) {
        Ok(repository) => repository,
        Err(OpenError::Damaged { .. } | OpenError::None { .. } | OpenError::Backend(_))
            if file == "config" || is_swapped_with_config =>
        {
            return Vec::new();
        }
        Err(error) => return vec![format!("cannot be opened: {error:?}")],
    };
    let mut failures = Vec::new();
    let mut affected = BTreeSet::new();
    for depth in [Depth::Structure, Depth::ReadData] {
        let report = run(&repository, depth);
        let (said, claim) = (said(&report), claim(&fixture.path, file, damage, depth));
        if said < claim {
            failures.push(format!("{depth:?} said {said:?}: {:?}", report.findings));
        }
        let paths = report.findings.iter().flat_map(|finding| &finding.affected);
        affected = paths.filter_map(of_job).collect();
    }
    if file.starts_with("jobs/") && damage == Damage::Swap {
        // Each job is sound and holds what the other should; that was to be told above.
        return failures;
    }
    // Another opening, so that nothing is known from the check.
    let repository = Repository::open(work).expect("opened before");
    let reads = read_all(&repository, &fixture.expected);
    if !reads.wrong.is_empty() {
        failures.push(format!("read wrongly: {:?}", reads.wrong));
    }
    if file.starts_with("index/") && !(reads.refused.is_empty() && affected.is_empty()) {
        failures.push(format!("an index alone cost {:?}, affects {affected:?}", reads.refused));
    }
    // A job that cannot be read is told of by its number; its paths are not known.
    if !file.starts_with("jobs/") && !file.starts_with("forgotten/") {
        failures.extend(compare(&fixture.expected, &reads.refused, &affected));
    }
    failures
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
        assert_eq!((report.jobs, report.snapshots, report.loose), (2, 3, 2));
        assert_eq!(report.refs, 2);
        assert_eq!(report.packs, 4);
        assert!(report.lists >= 3, "{report:?}");
        assert!(
            (depth == Depth::ReadData) == (report.bytes_read > report.pack_bytes),
            "{report:?}"
        );
    }
    let reads = read_all(&repository, &fixture.expected);
    assert_eq!((reads.exact, reads.refused.len()), (fixture.expected.len(), 0));
}

#[test]
fn every_damage_of_every_file_is_seen() {
    let directory =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let mut files = Vec::new();
    files_below(&fixture.path, "", &mut files);
    let mut cases = Vec::new();
    for file in &files {
        let length = fs::metadata(fixture.path.join(file)).expect("length").len();
        cases.extend(Damage::all(length).into_iter().map(|damage| (file, damage)));
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (cases, files, failures, next) = (&cases, &files, &failures, &next);
            let (fixture, directory) = (&fixture, directory.path());
            scope.spawn(move || {
                while let Some((file, damage)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let work = directory.join(format!("work{thread}"));
                    let why = case(fixture, &work, file, *damage, files);
                    let why = why.into_iter().map(|why| format!("{file} {damage:?}: {why}"));
                    failures.lock().expect("no panic").extend(why);
                    fs::remove_dir_all(&work).expect("remove");
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
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
    let holders = [job(2, "app"), job(2, "web"), job(1, "app"), named("pin/web")];
    let at = |holder, path: &str| Affected { holder, path: path.as_bytes().to_vec() };
    let mut expected: Vec<_> =
        holders.into_iter().map(|holder| at(holder, "shared/loose0")).collect();
    expected.push(at(named("tag/loose"), ""));
    assert_eq!(*affected, expected);
    assert_eq!(*affected_count, 5);
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
    let unindexed = [("unindexed_pack", false); 5];
    assert_eq!(codes(&report), [&[("missing_index", true)], &unindexed[..]].concat());
    assert!(report.findings.iter().all(|finding| finding.affected_count == 0));
}

fn indexes(root: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(root.join("index")).expect("list");
    entries.map(|entry| entry.expect("entry").path()).collect()
}
