//! Prune: deletes what neither a job nor a ref needs any more.
//!
//! Invariant: what is deleted was condemned in a published generation, every session that can have
//! missed that generation is over, and a second mark after that did not reach it. The steps and their
//! order are those of runup-repository(5), WRITE PROTOCOL; each is safe to be the last.
//!
//! With 100 million objects, the first mark reads every live tree once and passes through the index
//! twice; it holds two bits an object and some 100 bytes a pack. The second mark reads what came since.

mod again;
mod census;
mod choose;
mod fit;
mod repack;
mod report;
mod roots;
mod sweep;

use std::collections::BTreeSet;
use std::time::Duration;

pub use report::{PruneError, PruneOptions, PrunePlan, PruneReport, Sessions, Unused};

use self::again::mark_again;
use self::census::Census;
use self::choose::{Choice, choose};
use self::repack::Repacked;
use self::roots::Roots;
use crate::backend::Backend;
use crate::base::id::Id;
use crate::base::monitor::Monitor;
use crate::repository::{Repository, RepositoryError, WriteSession};
use crate::store::Condemned;

/// Longest pause between two looks at a session that is waited for.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How often it is tried to get the lock, and how long the pause between is: two seconds in all.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Deletes what is not needed. `plan` is told what is about to be done, before anything is.
///
/// Holds the maintenance lock and a write session meanwhile, also in a dry run.
///
/// # Errors
///
/// [`PruneError::Busy`] if somebody else holds the lock; something needed is damaged or missing, and
/// nothing was deleted; the repository cannot be read or written. Wherever it ends, nothing that is
/// needed is lost, and the next prune goes on from there.
pub fn prune(
    repository: &Repository,
    options: &PruneOptions,
    monitor: &dyn Monitor,
    plan: &mut dyn FnMut(&PrunePlan),
) -> Result<PruneReport, PruneError> {
    if repository.leans() {
        return Err(PruneError::InPipeline);
    }
    let backend = repository.backend();
    let _lock = lock(backend)?;
    let mut reserve = Reserve { repository, is_released: false };
    let session = reserve.or_released(|| Ok(repository.write_session()?))?;
    let mut prune = Prune { repository, options, monitor, session, reserve };
    let outcome = prune.run(plan);
    let restored = repository.backend().restore_reserve(prune.session.id());
    let report = outcome?;
    restored?;
    Ok(report)
}

/// Takes the maintenance lock. A writer that merges index segments holds it for a moment.
fn lock(backend: &dyn Backend) -> Result<Box<dyn std::fmt::Debug + Send>, PruneError> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = backend.try_lock_maintenance()? {
            return Ok(lock);
        }
        backend.pause(LOCK_PAUSE);
    }
    Err(PruneError::Busy)
}

/// The room that is kept for a prune of a full disk.
struct Reserve<'r> {
    repository: &'r Repository,
    is_released: bool,
}

impl Reserve<'_> {
    /// Does something, and once more with the room that was reserved if there is none else.
    fn or_released<T>(
        &mut self,
        mut work: impl FnMut() -> Result<T, PruneError>,
    ) -> Result<T, PruneError> {
        match work() {
            Err(error) if error.is_no_space() && !self.is_released => {
                self.is_released = true;
                match self.repository.backend().release_reserve()? {
                    true => work(),
                    false => Err(error),
                }
            }
            other => other,
        }
    }
}

struct Prune<'r> {
    repository: &'r Repository,
    options: &'r PruneOptions,
    monitor: &'r dyn Monitor,
    session: WriteSession<'r>,
    reserve: Reserve<'r>,
}

impl Prune<'_> {
    fn run(&mut self, plan: &mut dyn FnMut(&PrunePlan)) -> Result<PruneReport, PruneError> {
        let repository = self.repository;
        if !self.options.is_dry_run {
            self.refuse_sessions()?;
            self.sync_remains()?;
        }
        let mut roots = Roots::read(repository, true)?;
        let mut census = Census::take(repository.store(), &roots, self.monitor)?;
        if !self.options.is_dry_run {
            // Not before it is known that nothing needed is damaged: what is forgotten can be brought
            // back until then.
            self.reserve.or_released(|| Ok(repository.settle_forgotten()?))?;
            let settled = Roots::read(repository, false)?;
            if settled != roots {
                roots = settled;
                repository.store().reload().map_err(RepositoryError::from)?;
                census = Census::take(repository.store(), &roots, self.monitor)?;
            }
        }
        let choice = choose(&census, self.options.unused);
        plan(&PrunePlan::new(&census, &choice));
        let mut report = PruneReport { is_dry_run: self.options.is_dry_run, ..Default::default() };
        report.unused_bytes = choice.unused_bytes;
        if self.options.is_dry_run {
            return Ok(report);
        }
        let mut condemned = Condemned { packs: choice.packs(), loose: census.dead_loose.clone() };
        // What a prune of a full disk has deleted may still be in the index.
        condemned.packs.extend(self.indexed_but_gone()?);
        census.release_lone_bases(repository.store(), &choice, self.monitor)?;
        let repacked = self.repack(&census, &choice, &mut condemned, &mut report)?;
        let (most, store) = (self.options.condemned_max, repository.store());
        report.postponed = fit::fit(&mut condemned, most, &store.condemned(), store)?;
        if condemned.packs.is_empty() && condemned.loose.is_empty() {
            // A generation counts the jobs whose files are removed. Older ones stay, as sessions that
            // nobody has waited for may obey them.
            if repository.has_empty_jobs()? {
                self.condemn(&condemned)?;
                repository.remove_empty_jobs()?;
            }
            return Ok(report);
        }
        let first = self.condemn(&condemned)?;
        self.end_sessions(&mut report)?;
        let before = condemned.clone();
        mark_again(repository, &census, &repacked, &mut condemned)?;
        if condemned != before {
            self.condemn(&condemned)?;
        }
        self.sync_all()?;
        repository.remove_replaced(first, roots.table)?;
        self.sweep(&census, &condemned, &mut report)?;
        repository.remove_empty_jobs()?;
        Ok(report)
    }

    fn condemn(&mut self, condemned: &Condemned) -> Result<u64, PruneError> {
        let session = &self.session;
        self.reserve.or_released(|| Ok(session.condemn(condemned)?))
    }

    /// Stores again what is worth keeping of the packs that are to go. Where there is no room for
    /// that, they stay.
    fn repack(
        &mut self,
        census: &Census,
        choice: &Choice,
        condemned: &mut Condemned,
        report: &mut PruneReport,
    ) -> Result<BTreeSet<Id>, PruneError> {
        let store = self.repository.store();
        let repacked = repack::repack(store, self.session.id(), census, choice, self.monitor);
        match repacked {
            Ok(Repacked { packs, bytes, damaged }) => {
                for name in &damaged {
                    condemned.packs.remove(name);
                }
                report.repacked_packs = (choice.repacked.len() - damaged.len()) as u64;
                report.repacked_bytes = bytes;
                report.damaged_packs = damaged.iter().copied().collect();
                // What they hold unneeded may refer to what is to go.
                again::keep(damaged, &BTreeSet::new(), store, condemned)?;
                Ok(packs)
            }
            Err(error) if error.is_no_space() => {
                self.monitor.note(format_args!(
                    "there is no room to store again what is needed of packs that are partly \
                     unneeded: only what is wholly so is deleted"
                ));
                let kept: BTreeSet<_> = choice.repacked.iter().copied().collect();
                condemned.packs.retain(|pack| !kept.contains(pack));
                again::keep(kept, &BTreeSet::new(), store, condemned)?;
                Ok(BTreeSet::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Where sessions are neither waited for nor fenced: fails as long as one stands.
    fn refuse_sessions(&self) -> Result<(), PruneError> {
        if self.options.sessions != Sessions::Leave {
            return Ok(());
        }
        let mut count = 0;
        for session in self.repository.sessions_besides(self.session.id())? {
            count += usize::from(!self.repository.backend().end_session(&session, false)?);
        }
        match count {
            0 => Ok(()),
            count => Err(PruneError::Sessions { count }),
        }
    }

    /// Sees to it that no session stands any more that can have missed the generation, and that none
    /// of them publishes anything.
    fn end_sessions(&self, report: &mut PruneReport) -> Result<(), PruneError> {
        let backend = self.repository.backend();
        let fences = self.options.sessions == Sessions::Fence;
        let mut standing = self.repository.sessions_besides(self.session.id())?;
        let mut pause = Duration::from_millis(5);
        let mut is_told = false;
        loop {
            let mut left = Vec::new();
            for session in standing {
                if !backend.end_session(&session, fences)? {
                    left.push(session);
                }
            }
            if left.is_empty() {
                break;
            }
            if self.options.sessions == Sessions::Leave {
                return Err(PruneError::Sessions { count: left.len() });
            }
            if !is_told {
                is_told = true;
                let count = left.len();
                self.monitor.note(format_args!(
                    "waiting for {count} other program{} at work on this repository",
                    if count == 1 { "" } else { "s" }
                ));
            }
            if self.monitor.is_cancelled() {
                return Err(PruneError::Cancelled);
            }
            report.waited = true;
            backend.pause(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            standing = left;
        }
        Ok(backend.await_publications()?)
    }
}
