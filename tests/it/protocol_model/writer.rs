//! A backup: one process that stores a snapshot's whole closure and publishes it as a job.
//!
//! Invariant: whatever it refers to was stored by itself or trusted by the view of the session
//! under which it publishes.

use super::repository::Repository;
use super::session::{Batch, Progress, View};
use super::universe::{
    BLOBS, DATA_RECORDS, Needs, SNAPSHOTS, Set, base, bit, forms, lowest, objects_of,
};
use super::{Flaw, Turn};
use crate::random::Random;

#[derive(Clone, Debug)]
enum At {
    Open,
    Store(Batch),
    SyncLoose,
    Publish,
    Acknowledge(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Writer {
    snapshot: usize,
    /// Whether a subtree whose id is stored is taken as a whole, as the stat index does.
    by_tree: bool,
    pub(super) view: View,
    at: At,
    batches: Vec<Vec<Set>>,
}

impl Writer {
    pub(super) fn new(flaw: Flaw, random: &mut Random) -> Self {
        Self {
            snapshot: random.member(SNAPSHOTS).unwrap_or_default(),
            by_tree: random.one_in(2),
            view: View::open(flaw),
            at: At::Open,
            batches: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, repository: &mut Repository, random: &mut Random) -> Turn {
        match &mut self.at {
            At::Open => {
                self.view.step(repository);
                if self.view.ready() {
                    self.batches = self.plan(repository, random);
                    if repository.flaw == Flaw::HitTakenForDurable {
                        self.next_batch();
                    } else {
                        self.at = At::SyncLoose;
                    }
                }
            }
            At::Store(batch) => match batch.step(repository, self.view.sid()) {
                Progress::Moved => {}
                Progress::Stored(_) => self.next_batch(),
                Progress::Fenced => self.reopen(repository),
            },
            At::SyncLoose => {
                repository.loose.sync();
                self.next_batch();
            }
            At::Publish => match repository.publish_job(self.view.sid(), self.snapshot) {
                Some(job) => self.at = At::Acknowledge(job),
                None => self.reopen(repository),
            },
            At::Acknowledge(job) => {
                repository.acknowledge(*job);
                return Turn::Ends;
            }
        }
        Turn::Moved
    }

    /// A fenced writer begins again: it stores what is missing or condemned by now.
    fn reopen(&mut self, repository: &Repository) {
        self.view = View::open(repository.flaw);
        self.at = At::Open;
    }

    fn next_batch(&mut self) {
        self.at = match self.batches.pop() {
            Some(batch) => At::Store(Batch::new(batch)),
            None => At::Publish,
        };
    }

    /// The packs to write, in batches, the last one first.
    fn plan(&self, repository: &Repository, random: &mut Random) -> Vec<Vec<Set>> {
        let records = self.missing(repository, random);
        let mut packs = vec![records & !DATA_RECORDS, records & DATA_RECORDS];
        packs.retain(|&records| records != 0);
        let flawed = repository.flaw == Flaw::IndexBeforePacks;
        if flawed {
            packs.reverse();
        }
        if packs.is_empty() || (random.one_in(2) && !flawed) {
            return if packs.is_empty() { Vec::new() } else { vec![packs] };
        }
        packs.into_iter().map(|records| vec![records]).collect()
    }

    fn missing(&self, repository: &Repository, random: &mut Random) -> Set {
        let hits = self.view.hits(repository);
        let (mut stored, mut seen, mut todo) = (0, 0, bit(self.snapshot));
        while let Some(object) = lowest(todo) {
            seen |= bit(object);
            let hit = objects_of(hits) & bit(object) != 0;
            let record = if hit { object } else { choose(object, hits | stored, random) };
            if !hit {
                stored |= bit(record);
            }
            // Files are walked or not, but the chunks of a stored list are never looked at.
            if !hit || (!self.by_tree && bit(object) & BLOBS == 0) {
                todo |= Needs::of(bit(record)).objects;
            }
            todo &= !seen;
        }
        stored
    }
}

/// Chooses how to store `object`; a delta only against a whole record among `bases`.
fn choose(object: usize, bases: Set, random: &mut Random) -> usize {
    let record = random.member(forms(object)).unwrap_or(object);
    if base(record) & !bases == 0 { record } else { object }
}
