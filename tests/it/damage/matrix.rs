//! Every file of a repository, damaged in every way.
//!
//! Invariant: a check tells of each, nothing panics or waits, whatever is read or restored is either the
//! exact bytes or an error, and what the damage does not touch is still had. `RUNUP_DAMAGE` is how many
//! bytes of each sort are flipped, 1 by default; with more, more of everything else is done, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use runup::base::path::is_within;
use runup::ops::fsck::{Affected, Depth, FsckReport, Holder};
use runup::repository::{OpenError, Repository};

use super::fixture::{Expected, Fixture, JOBS, TABLES, build, link_tree, size};
use super::reads::{Key, deliver, read_all};
use super::run;
use super::table::{Outcome, Table};
use super::ways::{Damage, DirectoryDamage};

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
    let is_replaced = matches!(
        damage,
        Damage::Delete | Damage::Rename | Damage::Symlink | Damage::Fifo | Damage::Directory
    );
    match file.split('/').next().unwrap_or_default() {
        // To remove the mark of a forgotten project is the undo, and a table of refs that a later one has
        // replaced is of no use.
        "forgotten" if damage == Damage::Delete => Claim::Nothing,
        "refs" if damage == Damage::Delete && !file.ends_with(&TABLES.to_string()) => {
            Claim::Nothing
        }
        "forgotten" if damage == Damage::Rename => Claim::Note,
        // It is there for the room that it takes.
        "reserve" => Claim::Note,
        // What counts is the name: they are empty.
        "forgotten" | "maintenance.lock" | "publication.lock" if !is_replaced => Claim::Note,
        // The last job leaves its snapshots behind; before it, there is a gap.
        "jobs" if damage == Damage::Delete && file.ends_with(&JOBS.to_string()) => Claim::Note,
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
    refused: &[Key],
    affected: &BTreeSet<(u64, String, Vec<u8>)>,
) -> Vec<String> {
    let is_named = |(job, project, path): &Key| {
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

/// What is damaged in a case.
#[derive(Debug, Clone, Copy)]
enum Case<'f> {
    File(&'f str, Damage),
    Directory(&'static str, DirectoryDamage),
}

impl Case<'_> {
    fn way(self) -> &'static str {
        match self {
            Self::File(_, damage) => damage.word(),
            Self::Directory(_, damage) => damage.word(),
        }
    }

    /// The sort of file.
    fn kind(self, pristine: &Path) -> &'static str {
        let path = match self {
            Self::Directory(..) => return "directory",
            Self::File(path, _) => path,
        };
        match path.split('/').next().unwrap_or_default() {
            "packs" => match fs::read(pristine.join(path)).expect("pack")[10] {
                0 => "content pack",
                _ => "metadata pack",
            },
            "index" => "index segment",
            "objects" => "loose object",
            "jobs" => "job",
            "refs" => "table of refs",
            "gc" => "generation",
            "forgotten" => "forgotten mark",
            "config" => "config",
            "reserve" => "reserve",
            _ => "lock",
        }
    }

    fn claim(self, pristine: &Path, depth: Depth) -> Claim {
        match self {
            Self::File(file, damage) => claim(pristine, file, damage, depth),
            // What is only in its names need not have been there.
            Self::Directory("forgotten" | "sessions" | "fenced", DirectoryDamage::Delete) => {
                Claim::Note
            }
            Self::Directory(..) => Claim::Damage,
        }
    }

    fn is_in(self, directory: &str) -> bool {
        match self {
            Self::File(file, _) => file.split('/').next() == Some(directory),
            Self::Directory(damaged, _) => damaged == directory,
        }
    }

    /// Damages a copy of the repository; whether that changed anything.
    fn apply(self, fixture: &Fixture, work: &Path, all: &[String]) -> bool {
        match self {
            Self::File(file, damage) => {
                link_tree(&fixture.path, work, &fixture.path.join(file));
                damage.apply(work, file, all)
            }
            Self::Directory(directory, damage) => {
                link_tree(&fixture.path, work, Path::new(""));
                damage.apply(work, directory);
                true
            }
        }
    }
}

/// Goes through one case: what came of it, and what is wrong with that; `None` if it changed nothing.
fn go_through(
    fixture: &Fixture,
    work: &Path,
    case: Case<'_>,
    all: &[String],
) -> Option<(Outcome, Vec<String>)> {
    if !case.apply(fixture, work, all) {
        return None;
    }
    let mut outcome = Outcome::default();
    // A lock stands beside the configuration, and may have been swapped with it.
    let may_be_closed = match case {
        Case::File(file, damage) => {
            file == "config" || (!file.contains('/') && matches!(damage, Damage::Swap(_)))
        }
        Case::Directory(..) => true,
    };
    let repository = match Repository::open(work) {
        Ok(repository) => repository,
        Err(
            OpenError::Damaged { .. }
            | OpenError::None { .. }
            | OpenError::Backend(_)
            | OpenError::Read(_),
        ) if may_be_closed => {
            outcome.is_seen = [true; 2];
            outcome.refused = fixture.expected.len();
            return Some((outcome, Vec::new()));
        }
        Err(error) => return Some((outcome, vec![format!("cannot be opened: {error:?}")])),
    };
    let mut failures = Vec::new();
    let mut affected = BTreeSet::new();
    for (number, depth) in [Depth::Structure, Depth::ReadData].into_iter().enumerate() {
        let report = run(&repository, depth);
        let (said, claim) = (said(&report), case.claim(&fixture.path, depth));
        if said < claim {
            failures.push(format!("{depth:?} said {said:?}: {:?}", report.findings));
        }
        outcome.is_seen[number] = said == Claim::Damage;
        outcome.is_noted |= said == Claim::Note;
        let paths = report.findings.iter().flat_map(|finding| &finding.affected);
        affected = paths.filter_map(of_job).collect();
    }
    // Another opening, so that nothing is known from the check.
    let repository = Repository::open(work).expect("opened before");
    let reads = read_all(&repository, &fixture.expected);
    outcome.exact = reads.exact.len();
    outcome.refused = reads.refused.len();
    let delivered = deliver(&repository, &fixture.expected, &work.with_extension("checkout"));
    // Each of two swapped jobs is sound and holds what the other should; that was to be told above.
    if case.is_in("jobs") && matches!(case, Case::File(_, Damage::Swap(_))) {
        return Some((outcome, failures));
    }
    outcome.wrong = reads.wrong.len();
    if !reads.wrong.is_empty() {
        failures.push(format!("read wrongly: {:?}", reads.wrong));
    }
    if let Some(delivered) = delivered {
        outcome.delivered = delivered.exact.len();
        outcome.left = delivered.wrong.len();
        if !delivered.wrong.is_empty() {
            failures.push(format!("left in the target: {:?}", delivered.wrong));
        }
        let readable =
            reads.exact.iter().filter(|(job, project, _)| (*job, &**project) == (JOBS, "app"));
        let readable: BTreeSet<String> = readable.map(|(.., path)| path.clone()).collect();
        if readable != delivered.exact {
            let lacking: Vec<_> = readable.symmetric_difference(&delivered.exact).collect();
            let failed = delivered.failed;
            failures.push(format!("readable, or delivered, not both: {lacking:?}, {failed:?}"));
        }
    }
    if case.is_in("index") && !(reads.refused.is_empty() && affected.is_empty()) {
        failures.push(format!("an index alone cost {:?}, affects {affected:?}", reads.refused));
    }
    // A job that cannot be read is told of by its number; its paths are not known.
    if !case.is_in("jobs") && !case.is_in("forgotten") {
        failures.extend(compare(&fixture.expected, &reads.refused, &affected));
    }
    Some((outcome, failures))
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is what a full run is for")]
fn every_damage_of_every_file_is_seen() {
    let flips = std::env::var("RUNUP_DAMAGE").ok();
    let flips: usize = flips.map_or(1, |count| count.parse().expect("a number"));
    let directory =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("directory");
    let fixture = build(&directory.path().join("repository"));
    let mut files = Vec::new();
    files_below(&fixture.path, "", &mut files);
    let mut cases = Vec::new();
    for file in &files {
        let ways = Damage::all(&fixture.path, file, flips);
        cases.extend(ways.into_iter().map(|damage| Case::File(file, damage)));
    }
    for name in
        ["packs", "index", "objects", "jobs", "refs", "gc", "forgotten", "sessions", "fenced"]
    {
        cases.extend(DirectoryDamage::ALL.map(|damage| Case::Directory(name, damage)));
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let tables = Mutex::new((Table::default(), Table::default()));
    std::thread::scope(|scope| {
        for thread in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (cases, files, failures, next, tables) =
                (&cases, &files, &failures, &next, &tables);
            let (fixture, directory) = (&fixture, directory.path());
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let own = directory.join(format!("work{thread}"));
                    fs::create_dir(&own).expect("directory");
                    let gone = go_through(fixture, &own.join("repository"), *case, files);
                    if let Some((outcome, why)) = gone {
                        let why = why.into_iter().map(|why| format!("{case:?}: {why}"));
                        failures.lock().expect("no panic").extend(why);
                        let mut tables = tables.lock().expect("no panic");
                        let kind = case.kind(&fixture.path);
                        tables.0.add(kind, case.way(), outcome);
                        if let Case::File(_, Damage::Flip { class, .. }) = case {
                            tables.1.add(kind, class, outcome);
                        }
                    }
                    fs::remove_dir_all(&own).expect("remove");
                }
            });
        }
    });
    let (table, flipped) = tables.into_inner().expect("no panic");
    println!("{} files\n\n{table}\n{flipped}", fixture.expected.len());
    let failures = failures.into_inner().expect("no panic");
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        table.cases(),
        failures.join("\n")
    );
    assert!(table.cases() > 500, "{}", table.cases());
}
