//! A shell pipeline: hash-object, mktree and write-snapshot, each a process with its own session;
//! alone, or all of them leaning on the session of a process around them.
//!
//! Invariant: each stage checks in its own session what the stages before it left; what has been
//! pruned in between is refused, and never published broken. Where the session that they lean on is
//! over, they publish nothing.

use super::repository::Repository;
use super::session::{Batch, Progress, View, end_session};
use super::universe::{
    BLOBS, Needs, SNAPSHOTS, Set, TREES, bit, closure, every, lowest, objects_of,
};
use super::{Flaw, Turn};
use crate::random::Random;

#[derive(Clone, Debug)]
enum At {
    OpenOuter,
    ReadGeneration(usize),
    Open,
    Check,
    Next,
    SyncReferences(usize),
    Lock(usize),
    Link(usize),
    Pack(Batch),
    SyncLoose,
    End,
    LockJob,
    Job,
    Acknowledge(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    snapshot: usize,
    /// The objects of each stage still to run, the last stage first.
    stages: Vec<Set>,
    todo: Set,
    own: Set,
    /// The session to lean on.
    pub(super) outer: Option<usize>,
    /// Whether that one may end or be killed while stages are at work.
    is_fragile: bool,
    /// Turns in which it does not get on after that.
    stalls: u64,
    pub(super) view: View,
    at: At,
}

impl Pipeline {
    pub(super) fn new(flaw: Flaw, random: &mut Random) -> Self {
        let snapshot = random.member(SNAPSHOTS).unwrap_or_default();
        let all = reachable(snapshot);
        Self {
            snapshot,
            stages: vec![all & SNAPSHOTS, all & TREES],
            todo: all & BLOBS,
            own: 0,
            outer: None,
            is_fragile: random.one_in(2),
            stalls: 0,
            view: View::open(flaw),
            at: if random.one_in(2) { At::OpenOuter } else { At::Open },
        }
    }

    pub(super) fn step(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        // Right before a publication, which has been checked, is when it matters most.
        let chance = if matches!(self.at, At::Job | At::Link(_)) { 2 } else { 24 };
        if let Some(outer) = self.outer
            && self.is_fragile
            && repository.sessions[outer].alive
            && random.one_in(chance)
        {
            match random.one_in(2) {
                true => end_session(repository, outer),
                false => repository.sessions[outer].alive = false,
            }
            self.stalls = random.below(16);
            return Turn::Moved;
        }
        if self.stalls > 0 {
            self.stalls -= 1;
            return Turn::Waits;
        }
        match &mut self.at {
            At::OpenOuter => self.at = At::ReadGeneration(repository.create_session(None)),
            At::ReadGeneration(outer) => {
                let outer = *outer;
                repository.sessions[outer].generation = repository.newest_generation();
                self.outer = Some(outer);
                self.reopen(repository);
            }
            At::Open => {
                self.view.step(repository);
                if self.view.has_ended() {
                    return self.refuse(repository);
                }
                if self.view.ready() {
                    self.own = 0;
                    self.at = if self.stages.is_empty() { At::Check } else { At::Next };
                }
            }
            At::Check => {
                if !self.tree_is_complete(repository) {
                    return self.refuse(repository);
                }
                self.at = At::Next;
            }
            At::Next => return self.next(repository, random),
            At::SyncReferences(object) => {
                repository.loose.sync();
                self.at = store(*object, random);
            }
            At::Lock(object) => {
                let object = *object;
                self.at = At::Link(object);
                if !repository.may_publish(self.view.sid()) {
                    return self.begin_again(repository);
                }
            }
            At::Link(object) => {
                let object = *object;
                self.link(object, repository);
            }
            At::Pack(batch) => match batch.step(repository, self.view.sid()) {
                Progress::Moved => {}
                Progress::Stored(packs) => {
                    self.own |= repository.records_in(packs);
                    self.at = At::Next;
                }
                Progress::Fenced => return self.begin_again(repository),
            },
            At::SyncLoose => {
                repository.loose.sync();
                self.at = At::End;
            }
            At::End => self.end(repository),
            At::LockJob => {
                let is_locked = match repository.flaw {
                    Flaw::LeaningJobUnlocked => repository.outer_stands(self.view.sid()),
                    _ => repository.may_publish(self.view.sid()),
                };
                if !is_locked {
                    return self.begin_again(repository);
                }
                self.at = At::Job;
            }
            At::Job => {
                let job = repository.publish_job(self.view.sid(), self.snapshot);
                repository.sessions[self.view.sid()].publishing = false;
                match job {
                    Some(job) => self.at = At::Acknowledge(job),
                    None => return self.begin_again(repository),
                }
            }
            At::Acknowledge(job) => {
                repository.acknowledge(*job);
                self.end_outer(repository);
                return Turn::Ends;
            }
        }
        Turn::Moved
    }

    fn hits(&self, repository: &Repository) -> Set {
        self.view.hits(repository) | self.own
    }

    /// Looks for the next object that the index does not have.
    fn next(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        let Some(object) = lowest(self.todo) else {
            let sync = repository.flaw != Flaw::HitTakenForDurable;
            self.at = if sync { At::SyncLoose } else { At::End };
            return Turn::Moved;
        };
        self.todo &= !bit(object);
        let needs = Needs::of(bit(object));
        let checked = match repository.flaw {
            Flaw::MktreeUnchecked => bit(object) & TREES == 0,
            Flaw::SnapshotUnchecked => bit(object) & SNAPSHOTS == 0,
            _ => true,
        };
        if checked && !needs.met_by(self.hits(repository)) {
            return self.refuse(repository);
        }
        if objects_of(self.view.packed(repository) | self.own) & bit(object) != 0 {
            return Turn::Moved;
        }
        self.at = if needs.objects != 0 && repository.flaw != Flaw::HitTakenForDurable {
            At::SyncReferences(object)
        } else {
            store(object, random)
        };
        Turn::Moved
    }

    /// Links a loose object. A condemned name is never used, whether or not it still stands.
    fn link(&mut self, object: usize, repository: &mut Repository) {
        let condemned = self.view.condemned.loose & bit(object) != 0;
        if condemned && repository.flaw != Flaw::CondemnedLooseAccepted {
            self.at = pack(object);
        } else {
            repository.loose.add(object);
            self.own |= bit(object);
            self.at = At::Next;
        }
        repository.sessions[self.view.sid()].publishing = false;
    }

    fn end(&mut self, repository: &mut Repository) {
        let Some(todo) = self.stages.pop() else {
            self.at = if self.outer.is_some() { At::LockJob } else { At::Job };
            return;
        };
        self.view.end(repository);
        self.todo = todo;
        self.view = View::open_in(self.outer, repository.flaw);
        self.at = At::Open;
    }

    /// After a fence: again in a new session, unless the one is over that this one leans on.
    fn begin_again(&mut self, repository: &mut Repository) -> Turn {
        if !repository.outer_stands(self.view.sid()) {
            return self.refuse(repository);
        }
        self.reopen(repository);
        Turn::Moved
    }

    /// A fenced stage that has not lost its input begins again in a new session.
    fn reopen(&mut self, repository: &Repository) {
        let kind = match self.stages.len() {
            0 => SNAPSHOTS,
            1 => TREES,
            _ => BLOBS,
        };
        self.todo = reachable(self.snapshot) & kind;
        self.view = View::open_in(self.outer, repository.flaw);
        self.at = At::Open;
    }

    fn refuse(&self, repository: &mut Repository) -> Turn {
        self.view.end(repository);
        self.end_outer(repository);
        Turn::Ends
    }

    /// The process around the stages ends with them, if it lives. A dead one cannot tidy up.
    fn end_outer(&self, repository: &mut Repository) {
        if let Some(outer) = self.outer
            && repository.sessions[outer].alive
        {
            end_session(repository, outer);
        }
    }

    /// The sessions of its processes.
    pub(super) fn sessions(&self) -> impl Iterator<Item = usize> {
        let opened = match self.at {
            At::ReadGeneration(outer) => Some(outer),
            _ => self.outer,
        };
        opened.into_iter().chain(self.view.session())
    }

    fn tree_is_complete(&self, repository: &Repository) -> bool {
        let roots = Needs::of(bit(self.snapshot)).objects;
        repository.flaw == Flaw::SnapshotUnchecked
            || closure(roots, self.hits(repository), every).is_ok()
    }
}

fn store(object: usize, random: &mut Random) -> At {
    if random.one_in(8) { pack(object) } else { At::Lock(object) }
}

fn pack(object: usize) -> At {
    At::Pack(Batch::new(vec![bit(object)]))
}

/// What a snapshot refers to when every object is stored whole.
fn reachable(snapshot: usize) -> Set {
    (0..=snapshot).rev().fold(bit(snapshot), |set, object| {
        if set & bit(object) == 0 { set } else { set | Needs::of(bit(object)).objects }
    })
}
