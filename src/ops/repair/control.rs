//! Damaged control files: which of them may be set aside.
//!
//! Invariant: unless it is asked for, a control file is set aside only if a sound one with a higher
//! number stands for it; and the number of a job is never free again.
//!
//! - A job has no substitute. Its snapshots may still be stored; they are named by nothing then. A
//!   generation that counts its number comes first.
//! - Of the tables of refs only the newest counts. Without it the one before counts again, which does
//!   not know of the latest change.
//! - Of the generations only the newest counts, and as long as that is damaged nothing can be stored.
//!   Without it, what it condemned is not condemned any more, which is safe as no prune is at work: the
//!   next one condemns anew.

use super::{Action, RepairError, RepairOptions, set_aside};
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::control;
use crate::ops::fsck::FsckReport;
use crate::ops::index_pack::IndexPackError;
use crate::repository::{RefTable, Repository, parse_job_number};

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
    let missing = found.findings.iter().filter(|finding| finding.code == "missing_job");
    let missing: Vec<&str> = missing.filter_map(|finding| finding.file.as_deref()).collect();
    if files.is_empty() && (missing.is_empty() || !options.drops_control) {
        return Ok(());
    }
    let Some(_lock) = repository.backend().try_lock_maintenance()? else {
        return Err(IndexPackError::Busy.into());
    };
    let mut are_counted = false;
    let mut count = || -> Result<(), RepairError> {
        if !std::mem::replace(&mut are_counted, true) && !options.is_dry_run {
            repository.count_jobs()?;
        }
        Ok(())
    };
    for file in files {
        let Some((directory, name)) = file.split_once('/') else { continue };
        let Some(number) = parse_job_number(name) else { continue };
        // One that a check found wrong although it can be read, such as a job that was swapped, is of
        // more use where it is.
        if is_sound(repository, directory, number) {
            continue;
        }
        let may_go = match directory {
            "jobs" => options.drops_control,
            "refs" | "gc" => options.drops_control || has_successor(repository, directory, number)?,
            _ => false,
        };
        if !may_go {
            continue;
        }
        if directory == "jobs" {
            count()?;
        }
        actions.push(set_aside(repository, options, file.to_owned())?);
    }
    if options.drops_control && !missing.is_empty() {
        count()?;
        actions.extend(missing.into_iter().map(|file| Action::GivenUp { file: file.to_owned() }));
    }
    Ok(())
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
        "jobs" => repository.job(number).is_ok(),
        _ => control::decode::<serde_json::Value>(&bytes).is_ok(),
    }
}
