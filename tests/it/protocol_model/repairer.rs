//! A repair that publishes the newest state again, as it does behind snapshots that it has written anew.
//!
//! Invariant: what it publishes was found complete in the session that published it, and nobody has published
//! a newer state since it was looked for.

use super::repository::{Next, Repository};
use super::session::View;
use super::universe::{bit, closure, every, members};
use super::{Flaw, Turn};
use crate::random::Random;

#[derive(Clone, Copy, Debug)]
enum At {
    /// Only where a rule is left out: before there is a session.
    LookEarly,
    Open,
    Look,
    SyncLoose,
    Publish,
    Acknowledge(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Repairer {
    pub(super) view: View,
    at: At,
    /// The job whose state is published again, its snapshot, and the last job there was.
    of: usize,
    snapshot: usize,
    last: usize,
    /// Turns in which it does not get on before it publishes.
    stalls: u64,
}

impl Repairer {
    pub(super) fn new(flaw: Flaw, random: &mut Random) -> Self {
        let at = if flaw == Flaw::RepairUnchecked { At::LookEarly } else { At::Open };
        let stalls = random.below(3) * random.below(12);
        Self { view: View::open(flaw), at, of: 0, snapshot: 0, last: 0, stalls }
    }

    pub(super) fn step(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        if matches!(self.at, At::Publish) && self.stalls > 0 {
            self.stalls -= 1;
            return Turn::Waits;
        }
        self.at = match self.at {
            At::LookEarly => match self.look(repository) {
                true => At::Open,
                false => return Turn::Ends,
            },
            At::Open => {
                self.view.step(repository);
                match (self.view.ready(), repository.flaw) {
                    (false, _) => At::Open,
                    (true, Flaw::RepairUnchecked) => At::Publish,
                    (true, _) => At::Look,
                }
            }
            At::Look => {
                let hits = self.view.hits(repository);
                if !self.look(repository) || closure(bit(self.snapshot), hits, every).is_err() {
                    self.view.end(repository);
                    return Turn::Ends;
                }
                At::SyncLoose
            }
            At::SyncLoose => {
                repository.loose.sync();
                At::Publish
            }
            At::Publish => {
                let sid = self.view.sid();
                match repository.publish_again(sid, (self.of, self.snapshot), self.last) {
                    Next::Job(job) => At::Acknowledge(job),
                    Next::Taken => At::Look,
                    Next::Fenced => {
                        self.view = View::open(repository.flaw);
                        At::Open
                    }
                }
            }
            At::Acknowledge(job) => {
                // Killed before the directory was flushed.
                if !random.one_in(3) {
                    repository.acknowledge(job);
                }
                return Turn::Ends;
            }
        };
        Turn::Moved
    }

    /// Looks for the newest state that is not forgotten; whether there is one.
    fn look(&mut self, repository: &Repository) -> bool {
        let live = repository.standing_jobs() & !repository.forgotten.now;
        let newest = members(live).max_by_key(|job| (repository.state_of(*job), *job));
        let (Some(newest), Some(last)) = (newest, members(repository.jobs.now).last()) else {
            return false;
        };
        (self.of, self.snapshot) = (newest, repository.snapshot_of(newest));
        self.last = last;
        true
    }
}
