//! Prune: the only actor that deletes stored records.
//!
//! Invariant: what it deletes was condemned in a published generation, every session that can have
//! missed that generation is over, and a second mark after that did not reach it.

mod mark;
mod wait;

use super::repository::{Condemned, Repository, Violation};
use super::universe::{Set, bit, first, last, lowest, members};
use super::{Flaw, Turn};
use crate::random::Random;
use wait::list_sessions;

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Lock,
    Seal,
    SyncSealed,
    Jobs,
    Packs,
    Index,
    Mark,
    Repack,
    SyncRepacked,
    IndexRepacked,
    SyncIndex,
    Condemn,
    SyncCondemned,
    Sessions,
    Wait,
    Barrier,
    JobsAgain,
    IndexAgain,
    Rescue,
    SyncAll,
    Tidy,
    DeleteFirst,
    SyncFirst,
    Rewrite,
    SyncRewritten,
    Unindex,
    SyncUnindexed,
    Delete,
    SyncDeleted,
    Release,
    SyncReleased,
    RemoveJobs,
    SyncJobs,
    RemoveMarks,
    Unlock,
}

#[derive(Clone, Debug)]
pub(super) struct Prune {
    at: At,
    /// Whether sessions are fenced instead of waited for.
    fences: bool,
    /// Whether an empty generation is published at the end.
    releases: bool,
    /// Whether loose objects and some live packs are stored again too.
    repacks: bool,
    /// Whether it is killed before the deletions are flushed.
    dies: bool,
    /// Whether there is no room for an index before something was deleted.
    full: bool,
    /// Which of several records of one object it keeps.
    choose: fn(Set) -> Set,
    /// What follows the publication of a condemned list.
    then: At,
    roots: Set,
    packs: Set,
    segments: Set,
    condemned: Condemned,
    repacked: Set,
    /// Segments that cover condemned packs, to be replaced.
    stale: Set,
    sessions: Vec<usize>,
    has_fenced: bool,
    /// The newest generation when the sessions were listed.
    generation: usize,
    /// The newest table of refs when the sessions were listed, or before.
    table: usize,
}

impl Prune {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            at: At::Lock,
            fences: random.one_in(2),
            releases: random.one_in(2),
            repacks: random.one_in(2),
            dies: random.one_in(3),
            full: random.one_in(4),
            choose: if random.one_in(2) { first } else { last },
            then: At::Sessions,
            roots: 0,
            packs: 0,
            segments: 0,
            condemned: Condemned::default(),
            repacked: 0,
            stale: 0,
            sessions: Vec::new(),
            has_fenced: false,
            generation: 0,
            table: 0,
        }
    }

    /// The simplest prune, which keeps what can stay where it is.
    pub(super) fn plain(random: &mut Random) -> Self {
        Self { repacks: false, dies: false, full: false, choose: first, ..Self::new(random) }
    }

    pub(super) fn holds_lock(&self) -> bool {
        self.at != At::Lock
    }

    pub(super) fn step(
        &mut self,
        repository: &mut Repository,
        random: &mut Random,
    ) -> Result<Turn, Violation> {
        let at = self.at;
        let next = match at {
            At::Lock if !lock(repository) => return Ok(Turn::Ends),
            At::Wait => match self.wait(repository) {
                Some(next) => next,
                None => return Ok(Turn::Waits),
            },
            At::Barrier if self.must_wait(repository) => return Ok(Turn::Waits),
            At::Barrier if repository.flaw == Flaw::NoSecondMark => At::SyncAll,
            At::Barrier => At::JobsAgain,
            At::Jobs | At::JobsAgain => match self.list_jobs(repository, random) {
                Some(next) => next,
                None => At::Unlock,
            },
            At::SyncDeleted if self.dies => {
                repository.prune_locked = false;
                return Ok(Turn::Ends);
            }
            At::Unlock => {
                repository.prune_locked = false;
                return Ok(Turn::Ends);
            }
            At::Lock | At::Seal | At::SyncSealed => prepare(at, repository),
            At::Packs | At::Index | At::Mark | At::Sessions | At::IndexAgain | At::Rescue => {
                self.read(repository, random)?
            }
            At::Repack | At::SyncRepacked | At::IndexRepacked | At::SyncIndex => {
                self.store_again(repository)
            }
            At::RemoveJobs | At::SyncJobs | At::RemoveMarks => remove_jobs(at, repository),
            _ => self.change(repository),
        };
        self.at = next;
        Ok(Turn::Moved)
    }

    /// Lists jobs, unless that is too suspicious to go on.
    fn list_jobs(&mut self, repository: &Repository, random: &mut Random) -> Option<At> {
        let unmounted = repository.outages && random.one_in(16);
        let empty = unmounted || repository.jobs.now == 0;
        let stored = repository.packs.now | repository.loose.now != 0;
        if empty && stored && repository.flaw != Flaw::EmptyJobListAccepted {
            return None;
        }
        let jobs = if unmounted { 0 } else { repository.standing_jobs() };
        self.roots = repository.snapshots_of(jobs);
        let table = repository.newest_table();
        if repository.flaw != Flaw::RefsAreNoRoots {
            self.roots |= repository.refs_of(table);
        }
        if self.at == At::JobsAgain && repository.flaw != Flaw::TablesRemovedTooFar {
            return Some(At::IndexAgain);
        }
        self.table = table;
        Some(if self.at == At::Jobs { At::Packs } else { At::IndexAgain })
    }

    fn read(&mut self, repository: &Repository, random: &mut Random) -> Result<At, Violation> {
        Ok(match self.at {
            At::Packs => {
                self.packs = repository.packs.now;
                At::Index
            }
            At::Index => {
                self.segments = repository.index.now;
                At::Mark
            }
            At::Mark => {
                self.mark(repository, random)?;
                match repository.flaw {
                    Flaw::SessionsBeforeGeneration => At::Sessions,
                    _ => At::Repack,
                }
            }
            At::Sessions => {
                self.sessions = list_sessions(repository);
                match repository.flaw {
                    Flaw::SessionsBeforeGeneration => At::Repack,
                    Flaw::NoWait => At::JobsAgain,
                    _ => At::Wait,
                }
            }
            At::IndexAgain => {
                self.segments = repository.index.now;
                At::Rescue
            }
            _ => {
                let rescued = self.rescue(repository);
                self.then = At::SyncAll;
                match rescued {
                    // Loose objects may refer to packs published since the index was listed.
                    Err(_) if self.segments != repository.index.now => At::IndexAgain,
                    Err(violation) => return Err(violation),
                    Ok(()) if self.condemned == repository.condemned() => At::SyncAll,
                    Ok(()) => At::Condemn,
                }
            }
        })
    }

    /// Stores what is still needed of the condemned packs in a new one, before they are condemned.
    fn store_again(&mut self, repository: &mut Repository) -> At {
        let flaw = repository.flaw;
        match self.at {
            At::Repack if self.repacked == 0 => At::Condemn,
            At::Repack => {
                self.packs = bit(repository.link_pack(self.repacked));
                At::SyncRepacked
            }
            At::SyncRepacked => {
                if flaw != Flaw::RelianceNotSynced {
                    repository.packs.sync();
                }
                At::IndexRepacked
            }
            At::IndexRepacked => {
                repository.publish_segment(self.packs, 0);
                At::SyncIndex
            }
            _ => {
                repository.index.sync();
                At::Condemn
            }
        }
    }

    fn change(&mut self, repository: &mut Repository) -> At {
        let flaw = repository.flaw;
        match self.at {
            At::Condemn => {
                repository.publish_generation(self.condemned);
                if self.then == At::Sessions {
                    self.generation = repository.newest_generation().unwrap_or_default();
                }
                At::SyncCondemned
            }
            At::SyncCondemned => {
                if flaw != Flaw::GenerationNotSynced {
                    repository.generations.sync();
                }
                if flaw == Flaw::GenerationRemovedEarly {
                    repository.generations.now &= !(bit(self.generation) - 1);
                }
                match (flaw, self.then) {
                    (Flaw::SessionsBeforeGeneration, At::Sessions) => At::Wait,
                    (_, then) => then,
                }
            }
            At::SyncAll => {
                if flaw != Flaw::RelianceNotSynced {
                    repository.packs.sync();
                    repository.index.sync();
                    repository.loose.sync();
                }
                if !matches!(flaw, Flaw::RefsNotSynced | Flaw::TablesRemovedUnsynced) {
                    repository.refs.sync();
                }
                // Those that come after a job that is removed keep its number taken.
                if flaw != Flaw::JobsRemovedUnsynced {
                    repository.jobs.sync();
                }
                At::Tidy
            }
            At::Tidy => {
                repository.generations.now &= !(bit(self.generation) - 1);
                if flaw != Flaw::RefsNotSynced {
                    repository.refs.now &= !(bit(self.table) - 1);
                }
                match flaw {
                    Flaw::ListDroppedEarly => At::Release,
                    _ if self.full => At::DeleteFirst,
                    _ => At::Rewrite,
                }
            }
            At::Rewrite => self.rewrite(repository),
            At::SyncRewritten => {
                if flaw != Flaw::UnindexingNotSynced {
                    repository.index.sync();
                }
                At::Unindex
            }
            At::Unindex => {
                let Some(segment) = lowest(self.stale) else {
                    return At::SyncUnindexed;
                };
                self.stale &= !bit(segment);
                repository.index.remove(segment);
                At::Unindex
            }
            At::SyncUnindexed => {
                if flaw != Flaw::UnindexingNotSynced {
                    repository.index.sync();
                }
                At::Delete
            }
            _ => self.delete(repository),
        }
    }

    fn delete(&mut self, repository: &mut Repository) -> At {
        match self.at {
            At::DeleteFirst => {
                if let Some(pack) = self.unread_and_referred_to_by_none(repository) {
                    repository.packs.remove(pack);
                    return At::SyncFirst;
                }
                At::Rewrite
            }
            At::SyncFirst => {
                repository.packs.sync();
                At::DeleteFirst
            }
            At::Delete => {
                if let Some(pack) = lowest(self.condemned.packs & repository.packs.now) {
                    repository.packs.remove(pack);
                    return At::Delete;
                }
                let Some(object) = lowest(self.condemned.loose & repository.loose.now) else {
                    return At::SyncDeleted;
                };
                repository.loose.remove(object);
                At::Delete
            }
            At::SyncDeleted => {
                if repository.flaw != Flaw::ListDroppedUnsynced {
                    repository.packs.sync();
                    repository.loose.sync();
                }
                match repository.flaw {
                    Flaw::ListDroppedEarly => At::Unlock,
                    _ if self.releases => At::Release,
                    _ => At::RemoveJobs,
                }
            }
            At::Release => {
                repository.publish_generation(Condemned::default());
                At::SyncReleased
            }
            _ => {
                repository.generations.sync();
                match repository.flaw {
                    Flaw::ListDroppedEarly => At::Rewrite,
                    _ => At::RemoveJobs,
                }
            }
        }
    }

    /// Publishes one segment in place of all that cover condemned packs.
    fn rewrite(&mut self, repository: &mut Repository) -> At {
        let condemned = self.condemned.packs;
        let current = repository.current(self.segments);
        self.stale = members(current)
            .filter(|&segment| repository.covers[segment] & condemned != 0)
            .fold(0, |set, segment| set | bit(segment));
        let kept = repository.covered(self.stale) & !condemned;
        let switch = self.stale != 0;
        // What a killed prune or merge has left is already replaced.
        self.stale |= self.segments & !current;
        if !switch {
            return At::Unindex;
        }
        repository.publish_segment(kept, self.stale);
        At::SyncRewritten
    }
}

/// The first steps: one prune at a time, and what it takes for forgotten stays forgotten.
fn prepare(at: At, repository: &mut Repository) -> At {
    match at {
        At::Lock => At::Seal,
        At::Seal if repository.flaw == Flaw::ForgottenNotSealed => At::Jobs,
        At::Seal => {
            let Some(job) = lowest(repository.forgotten.now) else {
                return At::SyncSealed;
            };
            repository.forgotten.remove(job);
            repository.sealed.add(job);
            At::Seal
        }
        _ => {
            if repository.flaw != Flaw::SealNotSynced {
                repository.sealed.sync();
                repository.forgotten.sync();
            }
            // What a killed prune has unlinked must not come back when its list is replaced.
            if repository.flaw != Flaw::RemainsNotSynced {
                repository.packs.sync();
                repository.loose.sync();
                repository.index.sync();
            }
            At::Jobs
        }
    }
}

/// The last steps: jobs that hold nothing any more, and then the marks that say so.
fn remove_jobs(at: At, repository: &mut Repository) -> At {
    match at {
        At::RemoveJobs => {
            let last = members(repository.jobs.now).last().map_or(0, bit);
            let kept = if repository.flaw == Flaw::LastJobRemoved { 0 } else { last };
            let Some(job) = lowest(repository.jobs.now & repository.sealed.now & !kept) else {
                return At::SyncJobs;
            };
            repository.remove_job(job);
            At::RemoveJobs
        }
        At::SyncJobs => {
            if repository.flaw != Flaw::JobsRemovedUnsynced {
                repository.jobs.sync();
            }
            At::RemoveMarks
        }
        _ => match lowest(repository.sealed.now & !repository.jobs.now) {
            Some(job) => {
                repository.sealed.remove(job);
                At::RemoveMarks
            }
            None => At::Unlock,
        },
    }
}

fn lock(repository: &mut Repository) -> bool {
    let free = !repository.prune_locked || repository.flaw == Flaw::TwoPrunes;
    repository.prune_locked |= free;
    free
}
