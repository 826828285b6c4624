//! The small actors: a long restore, forget, its undo, and the merging of index segments.
//!
//! Invariant: none of them deletes what is stored, and a merge runs only where no prune does.

use super::repository::{Repository, Violation};
use super::session::View;
use super::universe::{LISTS, Needs, Set, base, bit, forms, lowest, members};
use super::{Flaw, Turn};
use crate::random::Random;

/// A restore, which holds a session so that prune respects even a job forgotten meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) view: View,
    job: Option<usize>,
    todo: Set,
    done: Set,
    /// The listing under which an object was missed: a second one like it settles the matter.
    missed: Option<Set>,
    /// Whether it has read a list, whose chunks are still to be read.
    has_list: bool,
    /// Turns in which it does not get on after that.
    stalls: u64,
}

impl Reader {
    pub(super) fn new(flaw: Flaw, random: &mut Random) -> Self {
        let stalls = random.below(3) * random.below(24);
        Self {
            view: View::open(flaw),
            job: None,
            todo: 0,
            done: 0,
            missed: None,
            has_list: false,
            stalls,
        }
    }

    pub(super) fn step(
        &mut self,
        repository: &mut Repository,
        random: &mut Random,
    ) -> Result<Turn, Violation> {
        if !self.view.ready() {
            self.view.step(repository);
            return Ok(Turn::Moved);
        }
        let Some(job) = self.job else {
            let jobs = repository.jobs.now & !repository.forgotten.now & !repository.sealed.now;
            self.job = random.member(jobs);
            self.todo = self.job.map_or(0, |job| repository.snapshots_of(bit(job)));
            return Ok(if self.job.is_some() { Turn::Moved } else { self.end(repository) });
        };
        if self.has_list && self.stalls > 0 {
            self.stalls -= 1;
            return Ok(Turn::Waits);
        }
        let Some(object) = lowest(self.todo) else {
            return Ok(self.end(repository));
        };
        let packed = repository.records_in(self.view.packs & repository.packs.now);
        let found = packed | repository.loose.now;
        let readable = |&record: &usize| base(record) & !found == 0;
        let trusted = self.view.hits(repository) & found;
        let find = |records: Set| members(forms(object) & records).find(readable);
        if let Some(record) = find(trusted).or_else(|| find(found)) {
            self.done |= bit(object);
            self.has_list |= LISTS & bit(record) != 0;
            self.todo = (self.todo | Needs::of(bit(record)).objects) & !self.done;
        } else if self.missed == Some(self.view.segments) {
            let given_up = repository.sealed.has(job) || !repository.jobs.has(job);
            if !given_up || repository.sessions[self.view.sid()].is_open() {
                return Err(Violation::ReaderLost(object));
            }
            return Ok(self.end(repository));
        } else {
            self.missed = Some(self.view.segments);
            // The chunks of a list are those of one copy of it, which may have gone with them.
            if repository.flaw != Flaw::ListNotReadAgain {
                self.todo = repository.snapshots_of(bit(job));
                self.done = 0;
            }
            self.view.reload();
        }
        Ok(Turn::Moved)
    }

    fn end(&self, repository: &mut Repository) -> Turn {
        self.view.end(repository);
        Turn::Ends
    }
}

/// Forgets a job, or undoes that as long as no prune has sealed it.
#[derive(Clone, Debug)]
pub(super) struct Forget {
    pub(super) undo: bool,
    pub(super) changed: bool,
}

impl Forget {
    pub(super) fn step(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        if self.changed {
            repository.forgotten.sync();
            return Turn::Ends;
        }
        self.changed = true;
        if self.undo {
            if let Some(job) = random.member(repository.forgotten.now) {
                repository.forgotten.remove(job);
            }
        } else if let Some(job) = random.member(repository.jobs.now & !repository.sealed.now) {
            repository.forgotten.add(job);
        }
        Turn::Moved
    }
}

/// Merges all index segments into one, under the lock of prune.
#[derive(Clone, Debug, Default)]
pub(super) struct Merge {
    stage: Stage,
    segments: Set,
    old: Set,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Lock,
    List,
    Publish,
    Sync,
    Remove,
    Unlock,
}

impl Merge {
    pub(super) fn holds_lock(&self) -> bool {
        self.stage != Stage::Lock
    }

    pub(super) fn step(&mut self, repository: &mut Repository) -> Turn {
        let flaw = repository.flaw;
        self.stage = match self.stage {
            Stage::Lock if flaw == Flaw::MergeWithoutLock => Stage::List,
            Stage::Lock if repository.prune_locked => return Turn::Ends,
            Stage::Lock => {
                repository.prune_locked = true;
                Stage::List
            }
            Stage::List => {
                self.segments = repository.index.now;
                self.old = match flaw {
                    Flaw::ReplacedForgotten => repository.current(self.segments),
                    _ => self.segments,
                };
                if self.segments.count_ones() < 2 {
                    Stage::Unlock
                } else if flaw == Flaw::MergeRemovesFirst {
                    Stage::Remove
                } else {
                    Stage::Publish
                }
            }
            Stage::Publish => {
                repository.publish_segment(repository.covered(self.segments), self.old);
                if flaw == Flaw::MergeNotSynced { Stage::Remove } else { Stage::Sync }
            }
            Stage::Sync => {
                repository.index.sync();
                Stage::Remove
            }
            Stage::Remove => match lowest(self.old) {
                Some(segment) => {
                    self.old &= !bit(segment);
                    repository.index.remove(segment);
                    Stage::Remove
                }
                None if flaw == Flaw::MergeRemovesFirst => {
                    self.old = 0;
                    Stage::Publish
                }
                None => Stage::Unlock,
            },
            Stage::Unlock => {
                if flaw != Flaw::MergeWithoutLock {
                    repository.prune_locked = false;
                }
                return Turn::Ends;
            }
        };
        Turn::Moved
    }
}
