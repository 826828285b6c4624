//! Damaged control files: which of them may be set aside.
//!
//! Invariant: unless it is asked for, a control file is set aside only if a sound one with a higher
//! number stands for it; and the number of a job is never free again.
//!
//! - A job has no substitute. Its snapshots may still be stored; they are named by nothing then. A
//!   generation that counts its number comes first.
//! - Of the tables of refs only the newest counts. Without it the one before counts again, which does
//!   not know of the latest change, and is published once more with a higher number: as long as the newest
//!   is gone, nothing is pruned.
//! - Of the generations only the newest counts, and as long as that is damaged nothing can be stored.
//!   Without it, what it condemned is not condemned any more, which is safe as no prune is at work: the
//!   next one condemns anew. What that had begun to delete, and is not complete any more, is condemned
//!   at once. The one before is published once more, with that.

use std::collections::BTreeSet;

use super::incomplete::incomplete_loose;
use super::{Action, RepairError, RepairOptions, set_aside};
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::ops::fsck::FsckReport;
use crate::ops::index_pack::IndexPackError;
use crate::repository::{Generation, RefTable, Repository, parse_job_number};

/// Sets aside what may be.
pub(super) fn set_aside_all(
    repository: &Repository,
    options: &RepairOptions,
    found: &FsckReport,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    let damaged = found.findings.iter().filter(|finding| {
        finding.is_damage
            && matches!(finding.code, "damaged_control" | "damaged_refs" | "damaged_job")
    });
    let mut files: Vec<&str> = damaged.filter_map(|finding| finding.file.as_deref()).collect();
    // As long as a generation cannot be read, none can be published.
    files.sort_by_key(|file| file.starts_with("jobs/"));
    let missing = found.findings.iter().filter(|finding| {
        options.drops_control
            && matches!(finding.code, "missing_job" | "missing_generation" | "missing_refs")
    });
    let missing: Vec<&str> = missing.filter_map(|finding| finding.file.as_deref()).collect();
    let are_lost = found.findings.iter().any(|finding| finding.code == "lost_jobs");
    if files.is_empty() && missing.is_empty() && !(are_lost && options.drops_control) {
        return Ok(());
    }
    let Some(_lock) = repository.backend().try_lock_maintenance()? else {
        return Err(IndexPackError::Busy.into());
    };
    let mut gone = Gone {
        repository,
        is_counted: options.is_dry_run,
        has_jobs: false,
        generation: None,
        refs: None,
    };
    for (directory, number) in missing.iter().filter_map(|file| numbered(file)) {
        gone.note(directory, number);
    }
    for file in files {
        let Some((directory, number)) = numbered(file) else { continue };
        // One that a check found wrong although it can be read, such as a job that was swapped, is of
        // more use where it is.
        if is_sound(repository, directory, number) {
            continue;
        }
        let has_successor = || has_successor(repository, directory, number);
        match directory {
            "refs" | "gc" if has_successor()? => {}
            "jobs" | "refs" | "gc" if options.drops_control => gone.note(directory, number),
            _ => continue,
        }
        if directory == "jobs" {
            gone.count_jobs()?;
        }
        actions.push(set_aside(repository, options, file.to_owned())?);
    }
    gone.count_jobs()?;
    if let Some(number) = gone.refs.filter(|_| !options.is_dry_run) {
        repository.replace_refs(number)?;
    }
    actions.extend(missing.into_iter().map(|file| Action::GivenUp { file: file.to_owned() }));
    if options.drops_control {
        let are_lost = if options.is_dry_run { are_lost } else { repository.has_lost_jobs()? };
        if are_lost {
            if !options.is_dry_run {
                repository.give_up_jobs()?;
            }
            actions.push(Action::GivenUp { file: "jobs".to_owned() });
        }
    }
    Ok(())
}

/// Makes directories and locks that are missing, without which nobody could write. That of the jobs is
/// made only where it is asked for: as long as it is missing, nobody takes the repository for a new one.
pub(super) fn make_missing(
    repository: &Repository,
    options: &RepairOptions,
    found: &FsckReport,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    let missing = found
        .findings
        .iter()
        .filter(|finding| matches!(finding.code, "missing_directory" | "missing_lock"));
    for file in missing.filter_map(|finding| finding.file.as_ref()) {
        if (file != "jobs" || options.drops_control)
            && (options.is_dry_run || repository.backend().make_missing(file)?)
        {
            actions.push(Action::Made { file: file.clone() });
        }
    }
    Ok(())
}

/// The directory and the number of a file.
fn numbered(file: &str) -> Option<(&str, u64)> {
    let (directory, name) = file.split_once('/')?;
    Some((directory, parse_job_number(name)?))
}

/// Files that are gone, or will be, and what is published so that nothing asks for them.
struct Gone<'r> {
    repository: &'r Repository,
    /// Whether a generation has counted the jobs, or none is to.
    is_counted: bool,
    has_jobs: bool,
    generation: Option<u64>,
    refs: Option<u64>,
}

impl Gone<'_> {
    fn note(&mut self, directory: &str, number: u64) {
        match directory {
            "jobs" => self.has_jobs = true,
            "gc" => self.generation = self.generation.max(Some(number)),
            _ => self.refs = self.refs.max(Some(number)),
        }
    }

    fn count_jobs(&mut self) -> Result<(), RepairError> {
        if !self.is_counted && (self.has_jobs || self.generation.is_some()) {
            self.is_counted = true;
            let incomplete = match self.generation {
                Some(_) => incomplete_loose(self.repository.store())?,
                None => BTreeSet::new(),
            };
            self.repository.count_jobs(self.generation.unwrap_or(0), incomplete)?;
        }
        Ok(())
    }
}

/// Whether a sound file with a higher number stands in the directory.
fn has_successor(
    repository: &Repository,
    directory: &str,
    number: u64,
) -> Result<bool, RepairError> {
    for listed in repository.backend().list(directory)? {
        let other = parse_job_number(&listed.name);
        if let Some(other) = other.filter(|other| *other > number)
            && is_sound(repository, directory, other)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_sound(repository: &Repository, directory: &str, number: u64) -> bool {
    let file = format!("{directory}/{number:08}");
    let Ok(Some(bytes)) = repository.backend().read(&file, CONTROL_FILE_BYTES_MAX) else {
        return false;
    };
    match directory {
        "refs" => RefTable::decode(&bytes, number).is_ok(),
        "gc" => Generation::decode(&bytes, number).is_ok(),
        _ => repository.job(number).is_ok(),
    }
}
