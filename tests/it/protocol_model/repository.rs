//! The storage that all actors share: directories of names, of which some are not yet durable.
//!
//! Invariant: every method that changes something is one atomic operation of the storage.
//! [`Repository::check`] holds after each of them, and after a power cut.

mod refs;

pub(super) use refs::Tabled;

use super::Flaw;
use super::universe::{Needs, Set, bit, closure, first, members, objects_of};
use crate::random::Random;

/// A promise that was broken.
#[derive(Debug, PartialEq)]
pub(super) enum Violation {
    /// The index names a pack that does not exist.
    EntryWithoutPack,
    /// A record that is not condemned refers to something that cannot be found.
    IncompleteRecord,
    /// A job that is not forgotten for good, or a ref, lacks this object.
    JobLacks(usize),
    AcknowledgedJobVanished,
    AcknowledgedRefsVanished,
    /// The refs are not what those who changed them made of them.
    RefLost,
    /// The generation is gone that a session has read, though it stands.
    GenerationLost,
    /// Prune reached an object that is nowhere.
    PruneMisses(usize),
    /// A restore failed although its job stands, or its session was respected.
    ReaderLost(usize),
    /// The number of an acknowledged job was given once more.
    NumberRecurs,
    /// A repair has published an older state behind a newer one.
    StateWentBack,
    /// With every other actor gone, this one did not finish.
    Stuck(&'static str),
    /// Something unreferenced outlives prune.
    Leak(&'static str),
}

/// The names in one directory (or in `objects/`, all of its directories).
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) now: Set,
    /// What a power cut is certain to leave.
    disk: Set,
}

impl Names {
    pub(super) fn add(&mut self, name: usize) {
        assert!(name < 64, "the schedule is too long for the model");
        self.now |= bit(name);
    }

    pub(super) fn remove(&mut self, name: usize) {
        self.now &= !bit(name);
    }

    pub(super) fn has(&self, name: usize) -> bool {
        self.now & bit(name) != 0
    }

    /// The fsync of the directory.
    pub(super) fn sync(&mut self) {
        self.disk = self.now;
    }

    /// Keeps or undoes each change since the last fsync, independently.
    fn cut_power(&mut self, random: &mut Random) {
        self.now ^= (self.now ^ self.disk) & random.next();
        self.disk = self.now;
    }
}

/// What a generation condemns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Condemned {
    pub(super) packs: Set,
    pub(super) loose: Set,
}

/// What became of a job that was to have a certain number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    Job(usize),
    Taken,
    Fenced,
}

/// Where the file of a session stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// `sessions/<sid>`
    Open,
    /// `fenced/<sid>`
    Fenced,
    /// Removed, or renamed to a job.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) place: Place,
    /// Whether a process holds its flock.
    pub(super) alive: bool,
    /// Whether that process holds its publication lock.
    pub(super) publishing: bool,
    /// The session that this one leans on.
    pub(super) outer: Option<usize>,
    /// The generation that it has read, for those who lean on it.
    pub(super) generation: Option<usize>,
}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.place == Place::Open
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    pub(super) flaw: Flaw,
    /// Whether a listing of jobs may come back empty, as from an unmounted directory.
    pub(super) outages: bool,
    pub(super) packs: Names,
    /// The records of each pack, by its name.
    pub(super) records: Vec<Set>,
    pub(super) index: Names,
    /// The packs that each index segment covers.
    pub(super) covers: Vec<Set>,
    /// The index segments that each one takes the place of, so that a change of several is atomic.
    replaces: Vec<Set>,
    pub(super) loose: Names,
    pub(super) jobs: Names,
    snapshots: Vec<usize>,
    /// The job whose state each one has: its own, but for those of repairs.
    states: Vec<usize>,
    state_went_back: bool,
    acknowledged: Set,
    /// Jobs that were acknowledged, though they may have been removed since.
    numbers: Set,
    number_recurs: bool,
    pub(super) forgotten: Names,
    /// Forgotten for good: a prune has renamed the marker, so undoing comes too late.
    pub(super) sealed: Names,
    /// Tables of refs, by number from 1.
    pub(super) refs: Names,
    tables: Vec<Set>,
    acknowledged_table: usize,
    /// The refs as they should be.
    pub(super) wanted: Set,
    pub(super) generations: Names,
    lists: Vec<Condemned>,
    /// Whether a session that stands could not read the generation that it obeys.
    pub(super) generation_lost: bool,
    pub(super) sessions: Vec<Session>,
    pub(super) prune_locked: bool,
}

impl Repository {
    pub(super) fn new(flaw: Flaw) -> Self {
        Self { flaw, outages: true, ..Self::default() }
    }

    /// Whether another actor can be expected to find free slots.
    pub(super) fn has_room(&self) -> bool {
        self.records.len() < 28 && self.covers.len() < 28
    }

    pub(super) fn create_session(&mut self, outer: Option<usize>) -> usize {
        let place = Place::Open;
        let session = Session { place, alive: true, publishing: false, outer, generation: None };
        self.sessions.push(session);
        self.sessions.len() - 1
    }

    /// The newest generation, which replaces all before it.
    pub(super) fn condemned(&self) -> Condemned {
        self.generation(self.newest_generation()).unwrap_or_default()
    }

    pub(super) fn newest_generation(&self) -> Option<usize> {
        members(self.generations.now).last()
    }

    /// A generation, unless it was removed. Before the first one, nothing is condemned.
    pub(super) fn generation(&self, number: Option<usize>) -> Option<Condemned> {
        let Some(number) = number else { return Some(Condemned::default()) };
        self.generations.has(number).then(|| self.lists[number])
    }

    pub(super) fn publish_generation(&mut self, condemned: Condemned) {
        let number = self.newest_generation().map_or(0, |newest| newest + 1);
        self.lists.truncate(number);
        self.lists.resize(number, Condemned::default());
        self.lists.push(condemned);
        self.generations.add(number);
    }

    /// Renames a finished pack into place. Its name is new, for its header is random.
    pub(super) fn link_pack(&mut self, records: Set) -> usize {
        if self.flaw == Flaw::PackNameRecurs {
            let same = members(self.packs.now).find(|&pack| self.records[pack] == records);
            if let Some(pack) = same {
                return pack;
            }
        }
        self.records.push(records);
        self.packs.add(self.records.len() - 1);
        self.records.len() - 1
    }

    /// Publishes a segment in place of others, and of those in whose place they stand.
    pub(super) fn publish_segment(&mut self, packs: Set, replaced: Set) {
        let inherited = match self.flaw {
            Flaw::ReplacedForgotten => 0,
            _ => members(replaced).fold(0, |set, segment| set | self.replaces[segment]),
        };
        self.replaces.push(replaced | inherited);
        self.covers.push(packs);
        self.index.add(self.covers.len() - 1);
    }

    /// Takes the publication lock and looks whether the session still stands under its name, and the
    /// one that it leans on.
    pub(super) fn may_publish(&mut self, session: usize) -> bool {
        let is_open = self.sessions[session].is_open() || self.flaw == Flaw::SegmentAfterFence;
        let publishing = is_open && self.outer_stands(session);
        self.sessions[session].publishing = publishing;
        publishing
    }

    pub(super) fn outer_stands(&self, session: usize) -> bool {
        let outer = self.sessions[session].outer;
        self.flaw == Flaw::OuterNotLookedAt
            || outer.is_none_or(|outer| self.sessions[outer].is_open())
    }

    /// Renames the session to the next job, which the fence may have prevented.
    pub(super) fn publish_job(&mut self, session: usize, snapshot: usize) -> Option<usize> {
        let session = &mut self.sessions[session];
        if !session.is_open() && self.flaw != Flaw::JobAfterFence {
            return None;
        }
        session.place = Place::Gone;
        let job = self.next_job();
        self.snapshots.truncate(job);
        self.snapshots.resize(job, 0);
        self.snapshots.push(snapshot);
        self.states.truncate(job);
        self.states.extend(self.states.len()..=job);
        self.jobs.add(job);
        self.acknowledged &= !bit(job);
        self.number_recurs |= self.numbers & bit(job) != 0;
        Some(job)
    }

    fn next_job(&self) -> usize {
        members(self.jobs.now).last().map_or(0, |newest| newest + 1)
    }

    pub(super) fn state_of(&self, job: usize) -> usize {
        self.states[job]
    }

    pub(super) fn snapshot_of(&self, job: usize) -> usize {
        self.snapshots[job]
    }

    /// Publishes the state of a job again, right behind `last`.
    pub(super) fn publish_again(
        &mut self,
        session: usize,
        (of, snapshot): (usize, usize),
        last: usize,
    ) -> Next {
        if self.next_job() != last + 1 && self.flaw != Flaw::RepairOvertaken {
            return Next::Taken;
        }
        let Some(job) = self.publish_job(session, snapshot) else { return Next::Fenced };
        self.states[job] = self.states[of];
        self.state_went_back |= members(self.jobs.now).any(|other| last < other && other < job);
        Next::Job(job)
    }

    /// Removes the file of a job that holds nothing any more.
    pub(super) fn remove_job(&mut self, job: usize) {
        self.jobs.remove(job);
        self.acknowledged &= !bit(job);
    }

    /// Exit 0 of a writer: from here on the job survives a power cut.
    pub(super) fn acknowledge(&mut self, job: usize) {
        self.jobs.sync();
        // It may have been forgotten and removed meanwhile.
        self.acknowledged |= bit(job) & self.jobs.now;
        self.numbers |= bit(job);
    }

    pub(super) fn snapshots_of(&self, jobs: Set) -> Set {
        members(jobs).fold(0, |set, job| set | bit(self.snapshots[job]))
    }

    /// The segments of a listing that count.
    pub(super) fn current(&self, listed: Set) -> Set {
        if self.flaw == Flaw::ReplacedPiecemeal {
            return listed;
        }
        members(listed).fold(listed, |set, segment| set & !self.replaces[segment])
    }

    /// The packs that the index covers, as far as the given segments say.
    pub(super) fn covered(&self, segments: Set) -> Set {
        members(self.current(segments)).fold(0, |set, segment| set | self.covers[segment])
    }

    pub(super) fn records_in(&self, packs: Set) -> Set {
        members(packs).fold(0, |set, pack| set | self.records[pack])
    }

    /// The jobs whose closure must stand: also a forgotten one, as long as that can be undone.
    pub(super) fn standing_jobs(&self) -> Set {
        let undoable = match self.flaw {
            Flaw::ForgottenNotSealed => self.jobs.now & !self.forgotten.now,
            _ => self.jobs.now,
        };
        undoable & !self.sealed.now
    }

    /// The objects whose closure must stand.
    fn roots(&self) -> Set {
        self.snapshots_of(self.standing_jobs()) | self.refs_of(self.newest_table())
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        let named = self.covered(self.index.now);
        let condemned = self.condemned();
        // A prune of a full disk leaves in the index what it has deleted, while it is condemned.
        if named & !self.packs.now & !condemned.packs != 0 {
            return Err(Violation::EntryWithoutPack);
        }
        let indexed = named & self.packs.now;
        let found = self.records_in(indexed) | self.loose.now;
        let trusted =
            self.records_in(indexed & !condemned.packs) | (self.loose.now & !condemned.loose);
        if !Needs::of(trusted).met_by(found) {
            return Err(Violation::IncompleteRecord);
        }
        // A reader takes what is condemned only where there is nothing else.
        let read = |forms: Set| if forms & trusted == 0 { forms } else { forms & trusted };
        closure(self.roots(), found, read).map_err(Violation::JobLacks)?;
        if self.acknowledged & !self.jobs.now != 0 {
            return Err(Violation::AcknowledgedJobVanished);
        }
        if self.newest_table() < self.acknowledged_table {
            return Err(Violation::AcknowledgedRefsVanished);
        }
        if self.refs_of(self.newest_table()) != self.wanted {
            return Err(Violation::RefLost);
        }
        if self.state_went_back {
            return Err(Violation::StateWentBack);
        }
        if self.number_recurs {
            return Err(Violation::NumberRecurs);
        }
        if self.generation_lost {
            return Err(Violation::GenerationLost);
        }
        Ok(())
    }

    /// Looks for what nothing refers to, in a repository where nobody is at work.
    pub(super) fn check_leaks(&self) -> Result<(), Violation> {
        let indexed = self.covered(self.index.now);
        if self.index.now != self.current(self.index.now) {
            return Err(Violation::Leak("a replaced segment"));
        }
        if self.packs.now != indexed {
            return Err(Violation::Leak("a pack without index"));
        }
        let last = members(self.jobs.now).last().map_or(0, bit);
        if self.jobs.now & self.sealed.now & !last != 0 {
            return Err(Violation::Leak("a job that holds nothing"));
        }
        if self.sessions.iter().any(Session::is_open) {
            return Err(Violation::Leak("a session"));
        }
        let found = self.records_in(indexed) | self.loose.now;
        if self.refs.now.count_ones() > 1 {
            return Err(Violation::Leak("an old table of refs"));
        }
        let live = closure(self.roots(), found, first).map_err(Violation::JobLacks)?.needs;
        if self.loose.now & !live.objects != 0 {
            return Err(Violation::Leak("a loose object"));
        }
        if members(indexed).any(|pack| mostly_dead(self.records[pack], live)) {
            return Err(Violation::Leak("a mostly dead pack"));
        }
        Ok(())
    }

    /// Every process dies, and each change that was not synced is kept or lost.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        for directory in [
            &mut self.packs,
            &mut self.index,
            &mut self.loose,
            &mut self.jobs,
            &mut self.forgotten,
            &mut self.sealed,
            &mut self.refs,
            &mut self.generations,
        ] {
            directory.cut_power(random);
        }
        self.wanted = self.refs_of(self.newest_table());
        self.prune_locked = false;
        for session in &mut self.sessions {
            session.alive = false;
            session.publishing = false;
        }
    }
}

pub(super) fn mostly_dead(records: Set, live: Needs) -> bool {
    let alive = members(records).filter(|&record| objects_of(bit(record)) & live.objects != 0);
    2 * alive.count() <= records.count_ones() as usize
}
