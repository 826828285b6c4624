//! One fault at one operation, and what is left of the promises after it.
//!
//! Invariant: what is judged is the repository as the fault left it, through a file system without
//! faults.

use super::injector::{Fault, Operation, Seen};
use super::scenario::Prepared;
use super::stage::{Stage, copy};
use super::whole::{are_unchanged, are_whole, files};

/// What came out of a fault.
pub(super) struct Verdict {
    /// What was hit; `None` if the command ended before.
    pub(super) hit: Option<Operation>,
    /// Whether the command told success.
    pub(super) is_acknowledged: bool,
    /// The promise that was broken.
    pub(super) broken: Result<(), String>,
}

/// The operations of a command that meets no fault.
pub(super) fn operations(prepared: &Prepared, stage: &Stage) -> Vec<Operation> {
    set_up(prepared, stage);
    stage.injector.arm(Fault::Io, u64::MAX);
    let ended = stage.run(&prepared.sandbox, &stage.faulty(), prepared.scenario.command);
    let seen = stage.injector.disarm();
    ended.and_then(|ended| ended.exits(&[0])).unwrap();
    seen.operations
}

fn set_up(prepared: &Prepared, stage: &Stage) {
    stage.set_refuses_noreplace(prepared.refuses_noreplace);
    copy(&prepared.repository, &stage.real());
    copy(&prepared.cache, &stage.cache());
    if stage.restored_to().exists() {
        std::fs::remove_dir_all(stage.restored_to()).unwrap();
    }
}

/// Runs the command with a fault at one operation, and judges what is left.
pub(super) fn judge(prepared: &Prepared, stage: &Stage, fault: Fault, at: u64) -> Verdict {
    set_up(prepared, stage);
    stage.injector.arm(fault, at);
    let ended = stage.run(&prepared.sandbox, &stage.faulty(), prepared.scenario.command);
    let seen = stage.injector.disarm();
    let is_acknowledged = ended.as_ref().is_ok_and(|ended| ended.code() == Some(0));
    let broken = ended.and_then(|ended| {
        let told = match (fault.exits(), &seen.hit) {
            (_, None) => ended.exits(&[0]).and_then(|ended| ended.told()),
            ([], Some(_)) if ended.was_killed() => Ok(String::new()),
            (codes, Some(_)) => ended.exits(codes).and_then(|ended| ended.told()),
        };
        told?;
        syncs_are_final(&seen, stage)?;
        judge_files(prepared, stage)?;
        judge_jobs(prepared, stage, is_acknowledged)?;
        judge_next(prepared, stage)
    });
    let hit = seen.hit.clone();
    let broken = broken.map_err(|why| {
        let hit = hit.as_ref().map_or_else(String::new, |(what, name)| format!(" {what:?} {name}"));
        format!("{}, {} at {at}{hit}: {why}", prepared.scenario.name, fault.name())
    });
    Verdict { hit: seen.hit.map(|(operation, _)| operation), is_acknowledged, broken }
}

/// Asserts that nothing was flushed again, or given a name for good, after a flush of it had failed.
fn syncs_are_final(seen: &Seen, stage: &Stage) -> Result<(), String> {
    if !seen.synced_again.is_empty() {
        return Err(format!("flushed again: {:?}", seen.synced_again));
    }
    for directory in ["packs", "index", "jobs", "refs", "gc", "forgotten", "objects"] {
        let mut below = vec![stage.real().join(directory)];
        while let Some(directory) = below.pop() {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            for entry in entries {
                use std::os::unix::fs::DirEntryExt;
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    below.push(entry.path());
                } else if seen.failed_syncs.contains(&entry.ino()) {
                    let path = entry.path();
                    return Err(format!("its flush failed, and yet there is {}", path.display()));
                }
            }
        }
    }
    Ok(())
}

fn judge_files(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let now = files(&stage.real());
    are_unchanged(&prepared.files, &now)?;
    if !prepared.scenario.is_sound_before {
        return Ok(());
    }
    are_whole(&now)?;
    check(prepared, stage)
}

fn check(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let script = "exec runup check --read-data --json";
    stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0]).map(drop)
}

/// Asserts that the first and the last of the earlier jobs restore exactly, or all of them but those
/// that were to be forgotten; and that the command did what it told that it did.
fn judge_jobs(prepared: &Prepared, stage: &Stage, is_acknowledged: bool) -> Result<(), String> {
    let may_forget = prepared.scenario.forgets;
    let ends = [prepared.jobs.first_key_value(), prepared.jobs.last_key_value()];
    let ends = ends.map(|end| end.map_or(0, |(job, _)| *job));
    let is_asked = |(job, _): &(&u64, _)| may_forget || ends.contains(*job);
    for (job, expected) in prepared.jobs.iter().filter(is_asked) {
        let restored = stage.restored(&prepared.sandbox, Some(*job));
        match restored {
            Ok(restored) if restored == *expected => {}
            Ok(restored) => return Err(format!("job {job} restored as {restored:#?}")),
            Err(error) if may_forget && error.contains("forgotten_job") => {}
            Err(error) => return Err(format!("job {job} does not restore: {error}")),
        }
    }
    if is_acknowledged {
        let done = (prepared.scenario.is_done)(prepared, stage);
        done.map_err(|why| format!("told as done, but {why}"))?;
    }
    Ok(())
}

/// Asserts that the same command succeeds now with nothing done by hand, and leaves a sound
/// repository with nothing left over.
fn judge_next(prepared: &Prepared, stage: &Stage) -> Result<(), String> {
    let next = stage.run(&prepared.sandbox, &stage.real(), prepared.scenario.command)?;
    let next = next.exits(prepared.scenario.again).map_err(|why| format!("the next run: {why}"))?;
    next.told()?;
    (prepared.scenario.is_done)(prepared, stage)
        .map_err(|why| format!("after the next run {why}"))?;
    check(prepared, stage)?;
    are_whole(&files(&stage.real()))?;
    for directory in ["tmp", "sessions"] {
        let left: Vec<_> = std::fs::read_dir(stage.real().join(directory)).unwrap().collect();
        if !left.is_empty() {
            return Err(format!("left in {directory} after the next run: {left:?}"));
        }
    }
    if prepared.scenario.forgets {
        let script = "exec runup forget app --undo --json";
        stage.run(&prepared.sandbox, &stage.real(), script)?.exits(&[0])?;
        for (job, expected) in &prepared.jobs {
            if stage.restored(&prepared.sandbox, Some(*job))? != *expected {
                return Err(format!("job {job} is another one since it is remembered"));
            }
        }
    }
    Ok(())
}
