//! Damaged control files: which of them may be set aside.
//!
//! Invariant: unless it is asked for, a control file is set aside only if a sound one with a higher
//! number stands for it; and the number of a job is never free again.
//!
//! - A job has no substitute. Its snapshots may still be stored; they are named by nothing then.
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
    let files: Vec<&str> = damaged.filter_map(|finding| finding.file.as_deref()).collect();
    if files.is_empty() {
        return Ok(());
    }
    let Some(_lock) = repository.backend().try_lock_maintenance()? else {
        return Err(IndexPackError::Busy.into());
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
        if directory == "jobs" && !options.is_dry_run {
            keep_number(repository, name)?;
        }
        actions.push(set_aside(repository, options, file.to_owned())?);
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

/// Sees to it that the number of a job is not given again once its file has gone: numbers of forgotten
/// jobs are not.
fn keep_number(repository: &Repository, name: &str) -> Result<(), RepairError> {
    let session = repository.backend().open_session()?;
    let file = repository.backend().create(session.id())?;
    // The projects of the job are not known, so no project is forgotten by this.
    file.publish(&format!("forgotten/{name}/.lost"))?;
    repository.backend().sync_all()?;
    Ok(())
}
