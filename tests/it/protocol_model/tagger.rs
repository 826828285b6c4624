//! A transaction over refs: the table that counts is read, changed, and published under the next
//! number.
//!
//! Invariant: a table is made from the one right before it, and leads only to what was found complete
//! in the session that published it.

use super::repository::{Repository, Tabled};
use super::session::View;
use super::universe::{Set, bit, closure, every, first, objects_of};
use super::{Flaw, Turn};
use crate::random::Random;

#[derive(Clone, Copy, Debug)]
enum At {
    Open,
    Check,
    SyncLoose,
    Read,
    Publish,
    Acknowledge(usize),
}

/// Sets one ref and deletes others. A ref has the number of the object that it leads to.
#[derive(Clone, Debug)]
pub(super) struct Tagger {
    pub(super) view: View,
    at: At,
    set: Set,
    /// Those of the refs there are that it deletes.
    deletes: Set,
    deleted: Set,
    /// Turns in which it does not get on, between reading a table and publishing the next.
    stalls: u64,
    /// The number and the refs of the table that was read.
    table: usize,
    refs: Set,
}

impl Tagger {
    pub(super) fn new(flaw: Flaw, random: &mut Random) -> Self {
        Self {
            view: View::open(flaw),
            at: At::Open,
            set: 0,
            deletes: if random.one_in(2) { Set::MAX } else { random.next() & random.next() },
            deleted: 0,
            stalls: random.below(4) * random.below(12),
            table: 0,
            refs: 0,
        }
    }

    pub(super) fn step(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        if matches!(self.at, At::Publish) && self.stalls > 0 {
            self.stalls -= 1;
            return Turn::Waits;
        }
        self.at = match self.at {
            At::Open => {
                self.view.step(repository);
                if self.view.ready() { At::Check } else { At::Open }
            }
            At::Check => {
                if !self.choose(repository, random) {
                    self.view.end(repository);
                    return Turn::Ends;
                }
                At::SyncLoose
            }
            At::SyncLoose => {
                if repository.flaw != Flaw::HitTakenForDurable {
                    repository.loose.sync();
                }
                At::Read
            }
            At::Read => {
                self.table = repository.newest_table();
                self.refs = repository.refs_of(self.table);
                self.deleted = self.refs & self.deletes & !self.set;
                At::Publish
            }
            At::Publish => {
                let refs = (self.refs | self.set) & !self.deleted;
                if refs == self.refs {
                    self.view.end(repository);
                    return Turn::Ends;
                }
                match repository.publish_table(self.view.sid(), self.table + 1, refs) {
                    Tabled::Done => {
                        repository.wanted = (repository.wanted | self.set) & !self.deleted;
                        // Killed before the directory was flushed.
                        if random.one_in(3) {
                            return Turn::Ends;
                        }
                        At::Acknowledge(self.table + 1)
                    }
                    Tabled::Taken if repository.flaw == Flaw::TableNotReadAgain => {
                        self.table += 1;
                        At::Publish
                    }
                    Tabled::Taken => At::Read,
                    Tabled::Fenced => {
                        self.view = View::open(repository.flaw);
                        At::Open
                    }
                }
            }
            At::Acknowledge(table) => {
                repository.acknowledge_table(table);
                return Turn::Ends;
            }
        };
        Turn::Moved
    }

    /// Chooses what to lead to; nothing where that is not complete.
    fn choose(&mut self, repository: &Repository, random: &mut Random) -> bool {
        let hits = self.view.hits(repository);
        let found = match repository.flaw {
            Flaw::RefUnchecked => repository.records_in(self.view.packs) | repository.loose.now,
            _ => hits,
        };
        let mut objects = objects_of(found);
        // What nothing else leads to is what a ref is for.
        if random.one_in(2) {
            let jobs = repository.snapshots_of(repository.standing_jobs());
            let kept = closure(jobs, found, first).unwrap_or_default();
            objects &= !(jobs | kept.needs.objects);
        }
        let Some(object) = random.member(objects) else { return false };
        self.set = bit(object);
        repository.flaw == Flaw::RefUnchecked || closure(self.set, hits, every).is_ok()
    }
}
