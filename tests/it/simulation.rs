//! The real code under schedules: backups, pipelines, prunes, repairs, restores, forgets and changes of refs,
//! each a thread of its own that stops before every operation of its backend.
//!
//! The backend is a disk in memory that forgets in a power cut what was not flushed. Whose turn it is,
//! who is killed and when the power fails is drawn from a seed, as in the model of the protocol. The
//! salt of a pack's name is not, nor which of two threads of a writer comes first, so a seed gives
//! nearly the same schedule again, not always the same.
//!
//! In some schedules the disk loses a pack before they begin, or changes one of several copies. What cannot be
//! read since then is excused, and nothing else is.
//!
//! Invariant: whenever a name has vanished or a job or table of refs has come, every job that was
//! acknowledged and not forgotten is there, everything that any job or ref leads to can be read, and
//! no change of a ref is lost; restores succeed; in the end a repair, a backup and a prune
//! succeed, the newest state of the project is in its last job, and a second prune finds nothing to do.
//!
//! `RUNUP_SIMULATION_SEED` runs one schedule, `RUNUP_SIMULATION_SCHEDULES` asks for a number of them.

mod actors;
mod backend;
mod book;
mod schedule;
mod told;
mod turns;
mod world;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use schedule::run;

/// A rule of the protocol that the backend does not keep, so that some schedule must break a promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Flaw {
    #[default]
    None,
    /// A session that was fenced publishes all the same.
    FenceNotSeen,
    /// A prune takes sessions that stand for ended ones.
    SessionsNotAwaited,
    /// Names are never flushed.
    NothingFlushed,
    /// Two prunes are at work at a time.
    TwoPrunes,
}

const FLAWS: [Flaw; 4] =
    [Flaw::FenceNotSeen, Flaw::SessionsNotAwaited, Flaw::NothingFlushed, Flaw::TwoPrunes];

/// Schedules in the ordinary run.
const SCHEDULES: u64 = 200;
/// A flaw that hides longer than this is taken for one that is not seen.
const FLAWED_SCHEDULES: u64 = 3000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs schedules on as many threads as there are processors, until one of them breaks a promise.
fn first_broken(count: u64, flaw: Flaw) -> (Option<String>, usize) {
    let (next, operations) = (AtomicU64::new(0), AtomicUsize::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return None;
            }
            match run(seed, flaw) {
                Ok(done) => {
                    operations.fetch_add(done, Ordering::Relaxed);
                }
                Err(broken) => {
                    next.store(count, Ordering::Relaxed);
                    return Some(format!("RUNUP_SIMULATION_SEED={seed}: {broken}"));
                }
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let broken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().find_map(|thread| thread.join().unwrap())
    });
    (broken, operations.into_inner())
}

#[test]
fn no_schedule_of_the_real_code_loses_anything() {
    if let Some(seed) = variable("RUNUP_SIMULATION_SEED") {
        run(seed, Flaw::None).unwrap();
        return;
    }
    let count = variable("RUNUP_SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    let (broken, operations) = first_broken(count, Flaw::None);
    assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    crate::mounts::say(&format!("simulation: {count} schedules, {operations} operations survived"));
}

#[test]
fn flaws_of_the_protocol_are_seen_in_the_real_code() {
    let mut hidden = Vec::new();
    for flaw in FLAWS {
        match first_broken(FLAWED_SCHEDULES, flaw).0 {
            Some(broken) => {
                let first = broken.lines().next().unwrap_or_default();
                crate::mounts::say(&format!("simulation, {flaw:?} seen: {first}"));
            }
            None => hidden.push(flaw),
        }
    }
    assert!(hidden.is_empty(), "no schedule shows what these break: {hidden:?}");
}
