//! Repairing a repository: what is sound is kept and found again, what is not is set aside.
//!
//! Invariant: no stored byte is deleted. A file is moved to `lost` only when what is sound in it is
//! durable elsewhere, nothing can be read from it, or it was asked for; and what is lost is told.
//!
//! It is made of a check, of the making of a lost index, which salvages packs, of the setting aside of
//! what is left, and of another check. What a source still has is stored again by the next backup.

mod control;
mod incomplete;
mod lacking;
mod rewrite;
mod without;

use std::collections::BTreeSet;

use super::fsck::{Depth, FsckOptions, FsckReport, Memory, fsck_with};
use super::index_pack::{
    How, IndexPackError, IndexPackOptions, IndexedPack, PackProblem, index_pack,
};
use crate::backend::BackendError;
use crate::base::id::Id;
use crate::base::monitor::Monitor;
use crate::repository::{Repository, RepositoryError};
use crate::store::{ReadError, WriteError};

/// How a repository is to be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairOptions {
    /// How much is read to find out what is damaged.
    pub depth: Depth,
    /// Threads that read packs.
    pub workers: usize,
    /// Whether snapshots that lack something are to be written anew without it.
    pub rewrites: bool,
    /// Whether damaged jobs, and the newest generation and table of refs if damaged, are set aside too.
    pub drops_control: bool,
    /// Whether nothing is to be changed.
    pub is_dry_run: bool,
}

/// Something that was done; in a dry run, that would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A pack was found that no index covered, and is found by one now.
    Indexed {
        /// The pack.
        pack: Id,
        /// Objects that are found now.
        objects: u64,
    },
    /// What is sound in a damaged pack was copied to others.
    Salvaged {
        /// The damaged pack.
        pack: Id,
        /// Objects that are sound.
        objects: u64,
        /// The new packs; none in a dry run.
        to: Vec<Id>,
        /// What is wrong with the damaged one.
        problem: Option<PackProblem>,
    },
    /// A pack that is gone is not named by indexes any more.
    LeftOut {
        /// The pack.
        pack: Id,
    },
    /// A directory or lock that every repository has was made, as it was missing.
    Made {
        /// Its name.
        file: String,
    },
    /// A damaged file was moved.
    SetAside {
        /// Its name.
        file: String,
        /// Its name in `lost`; `None` in a dry run.
        to: Option<String>,
    },
    /// A job that is missing, or that and those after it, is a loss no longer: its number counts as one
    /// of a job that a prune has removed; `jobs` if all were. A generation or table of refs that is missing is replaced by
    /// the one before.
    GivenUp {
        /// The file that is missing.
        file: String,
    },
    /// A snapshot was written anew, without what is lost.
    Rewritten {
        /// The project.
        project: String,
        /// The job of the snapshot.
        from_job: u64,
        /// The snapshot.
        from: Id,
        /// The new job; `None` in a dry run.
        job: Option<u64>,
        /// The new snapshot.
        snapshot: Id,
        /// Paths that it lacks, or that lack something.
        left_out: u64,
    },
    /// The newest snapshot of a project, which is sound, was published again behind rewritten ones, so
    /// that it is the newest still.
    PublishedAgain {
        /// The project.
        project: String,
        /// The new job; `None` in a dry run.
        job: Option<u64>,
        /// The snapshot.
        snapshot: Id,
    },
    /// No snapshot of a project was written anew, since the newest one cannot be read at all, or its job: an
    /// older one would pass for the newest.
    NotRewritten {
        /// The project.
        project: String,
        /// The job of its newest snapshot, or one that may be.
        job: u64,
        /// Whether it is the file of the job that cannot be read.
        is_job_damaged: bool,
    },
}

/// What a repair came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was done, in order.
    pub actions: Vec<Action>,
    /// What a check finds now; in a dry run, what it found.
    pub remaining: FsckReport,
}

/// A repair failed. What was done so far stays, and the next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The index could not be made.
    #[error(transparent)]
    Index(#[from] IndexPackError),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<ReadError> for RepairError {
    fn from(error: ReadError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<WriteError> for RepairError {
    fn from(error: WriteError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<BackendError> for RepairError {
    fn from(error: BackendError) -> Self {
        Self::Repository(error.into())
    }
}

/// Repairs a repository. Durable on return.
///
/// Backups and restores may run meanwhile, a prune may not.
///
/// # Errors
///
/// A prune is at work; the user interrupted it; the repository fails.
pub fn repair(
    repository: &Repository,
    options: &RepairOptions,
    memory: &Memory<'_>,
    monitor: &dyn Monitor,
) -> Result<RepairReport, RepairError> {
    let mut report = RepairReport::default();
    let depth = FsckOptions { depth: options.depth, workers: options.workers };
    let found = fsck_with(repository, &depth, memory, monitor)?;
    if monitor.is_cancelled() {
        return Err(IndexPackError::Cancelled.into());
    }
    control::make_missing(repository, options, &found, &mut report.actions)?;
    if options.is_dry_run && !report.actions.is_empty() {
        // What else is to be done is known once they are there.
        report.remaining = found;
        return Ok(report);
    }
    // A generation that cannot be read stops every writer, this one as well.
    control::set_aside_all(repository, options, &found, &mut report.actions)?;
    packs(repository, options, &found, monitor, &mut report.actions)?;
    loose(repository, options, &found, &mut report.actions)?;
    repository.store().distrust(memory.load().damaged);
    if options.rewrites {
        rewrite::rewrite(repository, options.is_dry_run, monitor, &mut report.actions)?;
    }
    report.remaining = found;
    if !options.is_dry_run {
        let structure = FsckOptions { depth: Depth::Structure, workers: options.workers };
        report.remaining = fsck_with(repository, &structure, memory, monitor)?;
    }
    Ok(report)
}

/// Indexes packs, salvages damaged ones, and leaves those out that are gone.
fn packs(
    repository: &Repository,
    options: &RepairOptions,
    found: &FsckReport,
    monitor: &dyn Monitor,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    let damaged = found.findings.iter().filter(|finding| finding.is_damage);
    let files = damaged.filter_map(|finding| finding.file.as_deref());
    let named = files.filter_map(|file| file.strip_prefix("packs/")?.strip_suffix(".pack"));
    let doubted: BTreeSet<Id> = named.filter_map(|name| name.parse().ok()).collect();
    let index = IndexPackOptions {
        doubted: doubted.into_iter().collect(),
        leaves_out_gone: true,
        is_dry_run: options.is_dry_run,
        ..IndexPackOptions::default()
    };
    let indexed = index_pack(repository, &index, monitor, &mut |indexed| {
        actions.extend(of_pack(indexed));
        Ok(())
    })?;
    actions.extend(indexed.gone.iter().map(|pack| Action::LeftOut { pack: *pack }));
    for to in indexed.set_aside {
        let name = to.rsplit_once('/').map_or(&*to, |(_, name)| name);
        // A number may stand behind the name.
        let directory = if name.contains(".idx") { "index" } else { "packs" };
        let digits = name.split('.').next().unwrap_or_default();
        let suffix = if directory == "index" { "idx" } else { "pack" };
        let file = format!("{directory}/{digits}.{suffix}");
        actions.push(Action::SetAside { file, to: Some(to) });
    }
    Ok(())
}

fn of_pack(indexed: &IndexedPack) -> Option<Action> {
    let IndexedPack { pack, objects, .. } = *indexed;
    match indexed.how {
        Some(How::Footer) => Some(Action::Indexed { pack, objects: objects - indexed.dropped }),
        Some(How::Scan) => Some(Action::Salvaged {
            pack,
            objects,
            to: indexed.salvaged_to.clone(),
            problem: indexed.problem.clone(),
        }),
        Some(How::Covered) | None => None,
    }
}

/// Sets damaged loose objects aside: nothing can be read from them, and as long as they stand there
/// they pass for the objects that they were.
fn loose(
    repository: &Repository,
    options: &RepairOptions,
    found: &FsckReport,
    actions: &mut Vec<Action>,
) -> Result<(), RepairError> {
    let damaged = found.findings.iter().filter(|finding| finding.code == "damaged_loose");
    for file in damaged.filter_map(|finding| finding.file.clone()) {
        actions.push(set_aside(repository, options, file)?);
    }
    Ok(())
}

/// Sets a file aside.
fn set_aside(
    repository: &Repository,
    options: &RepairOptions,
    file: String,
) -> Result<Action, BackendError> {
    let to = match options.is_dry_run {
        true => None,
        false => Some(repository.backend().set_aside(&file)?),
    };
    Ok(Action::SetAside { file, to })
}
