//! Forgetting: a job no longer holds the snapshot of a project, and a prune may delete what only that
//! needed. Until then it can be undone.
//!
//! Invariant: nothing stored is touched. A snapshot that a pin leads to, or that cannot be read, is
//! never forgotten by a policy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::base::id::Id;
use crate::base::retention::{Candidate, Policy, Reason, judge};
use crate::repository::{Job, Repository, RepositoryError};

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// A policy has to be told from a slip.
    #[error("the policy for {project:?} keeps nothing: give it at least one rule")]
    EmptyPolicy {
        /// The project.
        project: String,
    },
    /// The clock was wrong when it was made, or is now: either way no rule can be trusted.
    #[error(
        "job {job} of project {project:?} is dated {time}, which is in the future: check the clock, or \
         forget that job by its number"
    )]
    Future {
        /// The project.
        project: String,
        /// The job.
        job: u64,
        /// When its backup began.
        time: String,
    },
    /// A pin leads to the snapshot.
    #[error("job {job} of project {project:?} is held by {pin}: delete that first")]
    Pinned {
        /// The project.
        project: String,
        /// The job.
        job: u64,
        /// The pin.
        pin: String,
    },
    /// A prune has seen that it was forgotten.
    #[error(
        "job {job} of project {project:?} has been pruned since it was forgotten: it cannot come back"
    )]
    Pruned {
        /// The project.
        project: String,
        /// The job.
        job: u64,
    },
    /// The repository cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// The snapshot of a project in a job, and what a policy says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The job.
    pub job: u64,
    /// The project.
    pub project: String,
    /// The snapshot.
    pub snapshot: Id,
    /// When its backup began, RFC 3339.
    pub time: String,
    /// Why it is kept; empty if it is not.
    pub reasons: BTreeSet<Reason>,
}

/// The pins that lead to each snapshot.
fn pins(repository: &Repository) -> Result<BTreeMap<Id, Vec<String>>, RepositoryError> {
    let mut pins: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for (name, target) in repository.ref_table()?.refs {
        if name.starts_with("pin/") {
            pins.entry(target.id).or_default().push(name);
        }
    }
    Ok(pins)
}

/// When a backup began, where it was made.
fn zoned(time: &str) -> Option<Zoned> {
    let offset = Pieces::parse(time).ok()?.to_numeric_offset();
    let zone = offset.map_or(TimeZone::UTC, TimeZone::fixed);
    Some(time.parse::<Timestamp>().ok()?.to_zoned(zone))
}

/// What a policy keeps of a project, oldest job first. Jobs and snapshots that cannot be read are
/// handed to `damaged`; they are kept.
///
/// # Errors
///
/// The policy is empty, a job is dated later than `now`, or the backend fails.
pub fn plan(
    repository: &Repository,
    project: &str,
    policy: &Policy,
    now: Timestamp,
    damaged: &mut dyn FnMut(RepositoryError),
) -> Result<Vec<Judged>, ForgetError> {
    if policy.is_empty() {
        return Err(ForgetError::EmptyPolicy { project: project.to_owned() });
    }
    let pins = pins(repository)?;
    let (mut found, mut candidates) = (Vec::new(), Vec::new());
    for job in repository.jobs(|_, error| damaged(error))? {
        let Some(id) = job.snapshot(project) else { continue };
        let snapshot = match repository.snapshot(&id) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                damaged(error);
                continue;
            }
        };
        // A snapshot is not published without a time that can be read.
        let Some(time) = zoned(&snapshot.time) else { continue };
        if time.timestamp() > now {
            let (project, job) = (project.to_owned(), job.number);
            return Err(ForgetError::Future { project, job, time: snapshot.time });
        }
        candidates.push(Candidate {
            number: job.number,
            time,
            tags: snapshot.tags,
            pins: pins.get(&id).cloned().unwrap_or_default(),
        });
        found.push((job.number, id, snapshot.time));
    }
    let judged = found.into_iter().zip(judge(policy, &candidates));
    Ok(judged
        .map(|((job, snapshot, time), reasons)| Judged {
            job,
            project: project.to_owned(),
            snapshot,
            time,
            reasons,
        })
        .collect())
}

/// The name of the mark that a project of a job is forgotten.
fn mark(job: u64, project: &str) -> (String, String) {
    let directory = format!("forgotten/{job:08}");
    let name = format!("{directory}/{project}");
    (directory, name)
}

/// Forgets projects of jobs. Durable on return; one that is forgotten already stays so.
///
/// # Errors
///
/// A pin leads to one of the snapshots, and nothing was forgotten; the backend fails or a prune has
/// ended the session, and some may be.
pub fn forget(repository: &Repository, which: &[(&Job, &str)]) -> Result<(), ForgetError> {
    let session = repository.write_session()?;
    let pins = pins(repository)?;
    for (job, project) in which {
        let pin = job.projects.get(*project).and_then(|id| pins.get(id)?.first());
        if let Some(pin) = pin {
            let (project, job, pin) = ((*project).to_owned(), job.number, pin.clone());
            return Err(ForgetError::Pinned { project, job, pin });
        }
    }
    let backend = repository.backend();
    for (job, project) in which {
        let (directory, name) = mark(job.number, project);
        let file = backend.create(session.id()).map_err(RepositoryError::from)?;
        file.publish(&name).map_err(RepositoryError::from)?;
        // One that stands there already need not be durable yet.
        backend.note_unsynced("forgotten");
        backend.note_unsynced(&directory);
        backend.sync(&directory).map_err(RepositoryError::from)?;
    }
    Ok(())
}

/// Lets jobs hold projects again that were forgotten. Durable on return.
///
/// # Errors
///
/// A prune came first, and some may be remembered; the backend fails.
pub fn remember(repository: &Repository, which: &[(&Job, &str)]) -> Result<(), ForgetError> {
    let backend = repository.backend();
    for (job, project) in which {
        let (directory, name) = mark(job.number, project);
        backend.remove(&name).map_err(RepositoryError::from)?;
        backend.note_unsynced(&directory);
        backend.sync(&directory).map_err(RepositoryError::from)?;
        // A prune may have moved the mark before it was removed.
        let now = repository.job(job.number)?;
        if now.is_none_or(|now| now.pruned.contains(*project)) {
            return Err(ForgetError::Pruned { project: (*project).to_owned(), job: job.number });
        }
    }
    Ok(())
}
