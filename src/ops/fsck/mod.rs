//! Checking a repository, and telling which paths of which jobs and refs suffer from what is damaged.
//!
//! Invariant: it only reads. Whatever is found becomes a record and the check goes on; nothing is
//! followed, nothing is waited for, and the whole of a pack is never held in memory.
//!
//! Refs and jobs are listed first, then indexes, then packs: the reverse of the order in which they are
//! written. So what a writer adds meanwhile cannot look missing.

mod amount;
mod closure;
mod control;
mod cursor;
mod deltas;
mod gaps;
mod objects;
mod packs;
mod queue;
mod reading;
mod report;
mod segments;
mod sound;
mod table;

use std::collections::BTreeSet;

pub use amount::{Amount, AmountError};
pub use reading::Memory;
pub use report::{
    AFFECTED_MAX, Affected, FINDINGS_PER_CODE_MAX, Finding, FsckReport, Holder, Verification,
};

use self::closure::Closure;
use self::control::Control;
use self::objects::Objects;
use self::reading::Reading;
use self::report::Findings;
use self::segments::Segments;
use self::table::{Marks, Table};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::ops::verified::Learnt;
use crate::ops::with_causes;
use crate::repository::{Job, Refs, Repository, RepositoryError};

/// How much is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// All that leads to file data: control files, indexes, footers, loose objects, and every
    /// tree, list, links and snapshot that a live job or a ref needs; of file data, that it is there.
    #[default]
    Structure,
    /// Every byte of every pack too.
    ReadData,
    /// Every byte of some packs.
    ReadSome(Amount),
}

/// How a repository is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckOptions {
    /// How much is read.
    pub depth: Depth,
    /// Threads that read packs.
    pub workers: usize,
}

impl Default for FsckOptions {
    fn default() -> Self {
        Self { depth: Depth::Structure, workers: 2 }
    }
}

/// Checks a repository, without knowledge of earlier checks. See [`fsck_with`].
///
/// # Errors
///
/// As [`fsck_with`].
pub fn fsck(
    repository: &Repository,
    options: &FsckOptions,
    monitor: &dyn Monitor,
) -> Result<FsckReport, RepositoryError> {
    fsck_with(repository, options, &Memory::none(), monitor)
}

/// Checks a repository. What is wrong with it is in the report, not an error.
///
/// Of packs, it goes by what earlier checks have learnt, and adds to that: those that were found
/// damaged are read again, whatever was asked for.
///
/// Damage is told to the monitor as it is found, without the paths it affects; those are known
/// only at the end. Holds a read session meanwhile, where it can, so that no prune deletes what is
/// being read.
///
/// Memory: one byte for each object that an index names, 34 for each stored copy that none does, 66 for each that needs a base,
/// and one frame with its compressed bytes for each worker. Where something is amiss, 32 bytes for each
/// distinct tree and 34 for each copy that is lost too.
///
/// # Errors
///
/// A directory of the repository cannot be listed, or a job cannot be read, for reasons other than
/// damage.
pub fn fsck_with(
    repository: &Repository,
    options: &FsckOptions,
    memory: &Memory<'_>,
    monitor: &dyn Monitor,
) -> Result<FsckReport, RepositoryError> {
    let findings = Findings::new(monitor);
    let mut report = FsckReport::default();
    let checked = check(repository, (options, memory), &findings, &mut report);
    report.is_cancelled = monitor.is_cancelled();
    report.findings = findings.into_list();
    checked.map(|()| report)
}

fn check(
    repository: &Repository,
    (options, memory): (&FsckOptions, &Memory<'_>),
    findings: &Findings<'_>,
    report: &mut FsckReport,
) -> Result<(), RepositoryError> {
    let backend = repository.backend();
    let control = Control { repository, findings };
    let session = repository.read_session().unwrap_or_else(|error| {
        let message =
            format!("a prune at this time could delete what is checked: {}", with_causes(&error));
        findings.add(Finding::note("no_session", message));
        None
    });
    control.config();
    control.top()?;
    control.sessions(session.as_ref().map(|session| session.id()))?;
    control.lost()?;
    let jobs = control.jobs(report)?;
    // After the jobs, which know of them; and a prune publishes a generation before it removes any.
    let refs = control.refs(&jobs)?;
    report.refs = refs.len() as u64;
    let generation = control.generations(&jobs)?;
    if let Some(generation) = &generation {
        control.gaps(generation.highest_job)?;
    }
    let condemned: BTreeSet<_> =
        generation.into_iter().flat_map(|generation| generation.condemned_packs).collect();
    let segments = Segments::open(backend, findings)?;
    report.index_segments = segments.count();
    report.bytes_read += segments.bytes_read;
    let listed = control.pack_names()?;
    let mut learnt = Learnt { listed: Some(listed.keys().copied().collect()), ..Learnt::default() };
    let mut names: BTreeSet<Id> = segments.packs().collect();
    names.retain(|name| !listed.contains_key(name));
    let reading = Reading::new(memory, options.depth, listed);
    let names: Vec<Id> = reading.order().chain(names).collect();
    let marks = Marks::new(&segments);
    let context = packs::Context {
        backend,
        store: repository.store(),
        findings,
        segments: &segments,
        marks: &marks,
        condemned: &condemned,
        reading: &reading,
        options,
    };
    let (mut copies, deltas) = packs::check(&context, &names).into_copies(report);
    if findings.monitor.is_cancelled() {
        finish(reading, learnt, findings, report);
        return Ok(());
    }
    segments.report_excess(findings);
    learnt.loose = Some(control.loose(&mut copies, report)?);
    let table = deltas::check(Table::new(marks, copies), deltas, findings);
    let mut closure = Closure::new(Objects::new(repository, findings, &table));
    closure.jobs(&jobs);
    closure.refs(&refs);
    closure.walk(options);
    control.check_order(&closure.parents, &jobs);
    note_unnamed(&table, &jobs, &refs, findings);
    // A directory that is none was told when it was listed.
    if repository.has_lost_jobs().unwrap_or(false) {
        let message =
            "all jobs are gone, though what they named is stored: put copies of their files back";
        findings.add(Finding::damage("lost_jobs", message).file("jobs"));
    }
    closure.finish(report);
    learnt.is_damaged = Some(findings.is_damage()).filter(|_| !findings.monitor.is_cancelled());
    finish(reading, learnt, findings, report);
    Ok(())
}

/// Keeps what was learnt. That it cannot be kept only means that more is read again.
fn finish(reading: Reading<'_>, learnt: Learnt, findings: &Findings<'_>, report: &mut FsckReport) {
    let (verification, failed) = reading.finish(learnt);
    report.verification = verification;
    if let Some(error) = failed {
        let message = format!("what was verified when is not kept: {error}");
        findings.add(Finding::note("not_remembered", message));
    }
}

/// Notes how many snapshots no job and no ref names.
fn note_unnamed(table: &Table, jobs: &[Job], refs: &Refs, findings: &Findings<'_>) {
    let of_jobs = jobs.iter().flat_map(|job| job.projects.values());
    let of_refs = refs.values().map(|target| &target.id);
    let named: BTreeSet<_> = of_jobs.chain(of_refs).copied().collect();
    let stored: BTreeSet<_> = table.of_kind(Kind::Snapshot).collect();
    let count = stored.difference(&named).count();
    if count > 0 {
        let message = format!(
            "{count} stored snapshots are named by no job or ref: pruned, never published, or their \
             job is lost"
        );
        findings.add(Finding::note("unnamed_snapshots", message));
    }
}
