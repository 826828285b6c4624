//! Faults at every operation: kills, errors, a full disk, short writes and failed flushes, each at the
//! n-th change of the repository, whichever process makes it.
//!
//! Invariant: after each of them the earlier jobs restore exactly, what was told as done is done, the
//! same command succeeds with nothing done by hand, and a check finds nothing.
//!
//! The repository is behind a file system of FUSE that passes everything on to a directory and counts
//! what changes it. It is mounted by this process, in a mount namespace of its own. Once also without
//! `RENAME_NOREPLACE`, so that names are published by link(2).
//!
//! The ordinary run takes a few operations of each command and fault, `RUNUP_FAULTS=all` each of them,
//! another number as many. `RUNUP_FAULT_SCENARIO` takes only scenarios whose names contain it.
//! tests/RESULTS.md has what came out of a full run.

mod injector;
mod judge;
mod nodes;
mod passthrough;
mod scenario;
mod stage;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::mounts::{privately, say};
use injector::{FAULTS, Fault};
use judge::{Verdict, judge, operations};
use scenario::{FLAWED, Prepared, SCENARIOS};
use stage::Stage;

/// Operations of each command that each fault hits in the ordinary run.
const POINTS: u64 = 2;

/// What came out of one fault at the operations of one command.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    operations: u64,
    tried: u64,
    /// The command ended before the operation came.
    passed: u64,
    /// The command told success.
    acknowledged: u64,
    survived: u64,
}

/// One fault at one operation.
#[derive(Debug, Clone, Copy)]
struct Point {
    prepared: usize,
    fault: Fault,
    at: u64,
}

#[test]
fn no_fault_breaks_a_promise() {
    privately("faults", |folder| {
        try_all(folder, false, |_| true);
    });
}

#[test]
fn no_fault_breaks_a_promise_where_names_are_linked() {
    // Whatever publishes a name otherwise.
    let published =
        ["init", "incremental backup", "forget", "index-pack, damaged pack", "update-ref"];
    privately("faults with links", |folder| {
        try_all(folder, true, |name| published.contains(&name));
    });
}

#[test]
fn commands_that_break_promises_are_caught() {
    privately("flawed commands", |folder| {
        let stage = match Stage::new(folder.join("stage")) {
            Ok(stage) => stage,
            Err(reason) => return say(&format!("flawed commands: skipped: {reason}")),
        };
        for (number, (scenario, fault, at, expected)) in FLAWED.iter().enumerate() {
            let folder = folder.join(format!("prepared-{number}"));
            let prepared = Prepared::new(scenario, false, &stage, &folder);
            let broken = judge(&prepared, &stage, *fault, *at).broken.expect_err(scenario.name);
            assert!(broken.contains(expected), "{}: {broken}", scenario.name);
        }
    });
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The operations to try among so many: all, or some, spread over them and not the same for each
/// fault.
fn spread(count: u64, fault: Fault, wanted: Option<u64>) -> Vec<u64> {
    let Some(wanted) = wanted.filter(|wanted| *wanted < count) else {
        return (1..=count).collect();
    };
    let shift = (fault as u64 * 5 + 3) % 8;
    (0..wanted).map(|number| (number * 8 + shift) * count / (wanted * 8) + 1).collect()
}

fn try_all(folder: &Path, refuses_noreplace: bool, takes: impl Fn(&str) -> bool) {
    let stage = match Stage::new(folder.join("first")) {
        Ok(stage) => stage,
        Err(reason) => return say(&format!("faults: skipped: {reason}")),
    };
    let wanted = match variable("RUNUP_FAULTS").as_deref() {
        Some("all") => None,
        number => Some(number.and_then(|number| number.parse().ok()).unwrap_or(POINTS)),
    };
    let only = variable("RUNUP_FAULT_SCENARIO").unwrap_or_default();
    let scenarios = SCENARIOS.iter().filter(|scenario| takes(scenario.name));
    let prepared: Vec<Prepared> = scenarios
        .filter(|scenario| scenario.name.contains(&only))
        .enumerate()
        .map(|(number, scenario)| {
            let folder = folder.join(format!("prepared-{number}"));
            Prepared::new(scenario, refuses_noreplace, &stage, &folder)
        })
        .collect();
    let mut tallies = BTreeMap::new();
    let mut points = Vec::new();
    for (number, prepared) in prepared.iter().enumerate() {
        let operations = operations(prepared, &stage);
        for fault in FAULTS {
            let can_hit = |operation: &&_| fault.can_hit(**operation);
            let operations = operations.iter().filter(can_hit).count() as u64;
            tallies.insert((number, fault), Tally { operations, ..Tally::default() });
            let spread = spread(operations, fault, wanted).into_iter();
            points.extend(spread.map(|at| Point { prepared: number, fault, at }));
        }
    }
    drop(stage);
    let (next, tallies) = (AtomicUsize::new(0), Mutex::new(tallies));
    let broken: Mutex<Vec<String>> = Mutex::default();
    let work = &|number: usize| {
        let stage = Stage::new(folder.join(format!("stage-{number}"))).unwrap();
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = judge(&prepared[point.prepared], &stage, point.fault, point.at);
            let mut tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
            add(tallies.entry((point.prepared, point.fault)).or_default(), &verdict);
            if let Err(why) = verdict.broken {
                broken.lock().unwrap_or_else(PoisonError::into_inner).push(why);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for number in 0..workers {
            scope.spawn(move || work(number));
        }
    });
    print(&prepared, &tallies.into_inner().unwrap());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

fn add(tally: &mut Tally, verdict: &Verdict) {
    tally.tried += 1;
    tally.passed += u64::from(verdict.hit.is_none());
    tally.acknowledged += u64::from(verdict.is_acknowledged);
    tally.survived += u64::from(verdict.broken.is_ok());
}

fn print(prepared: &[Prepared], tallies: &BTreeMap<(usize, Fault), Tally>) {
    let how =
        if prepared.iter().any(|prepared| prepared.refuses_noreplace) { "link" } else { "rename" };
    let head = format!(
        "names by {how:<17} fault                 operations  tried  survived  told success  not met"
    );
    let lines = tallies.iter().map(|((number, fault), tally)| {
        let Tally { operations, tried, passed, acknowledged, survived } = tally;
        let (name, fault) = (prepared[*number].scenario.name, fault.name());
        format!(
            "{name:<26} {fault:<21} {operations:>10} {tried:>6} {survived:>9} {acknowledged:>13} \
             {passed:>8}"
        )
    });
    let table: Vec<String> = std::iter::once(head).chain(lines).collect();
    say(&table.join("\n"));
}
