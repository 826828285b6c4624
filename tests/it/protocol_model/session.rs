//! How every actor that relies on stored objects begins: session, then generation, then index.
//!
//! Invariant: what a view trusts was not condemned by any prune that can have missed its session.

use super::Flaw;
use super::repository::{Condemned, Place, Repository};
use super::universe::{Set, bit};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    #[default]
    Create,
    Generation,
    List,
    ListRest,
    Read,
    Sync,
    Ready,
    /// The session to lean on is over.
    Ended,
}

/// A session and what it has read of the repository.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    at: At,
    session: Option<usize>,
    /// The session to lean on.
    outer: Option<usize>,
    pub(super) condemned: Condemned,
    pub(super) segments: Set,
    pub(super) packs: Set,
}

impl View {
    pub(super) fn ready(&self) -> bool {
        self.at == At::Ready
    }

    pub(super) fn has_ended(&self) -> bool {
        self.at == At::Ended
    }

    pub(super) fn session(&self) -> Option<usize> {
        self.session
    }

    /// The session of a view that is [`Self::ready`].
    pub(super) fn sid(&self) -> usize {
        self.session.expect("an open view has a session")
    }

    pub(super) fn end(&self, repository: &mut Repository) {
        if let Some(session) = self.session {
            end_session(repository, session);
        }
    }

    /// Reads the index again, within the same session.
    pub(super) fn reload(&mut self) {
        self.at = At::List;
    }

    pub(super) fn step(&mut self, repository: &mut Repository) {
        let flaw = repository.flaw;
        self.at = match self.at {
            At::Create => {
                self.session = Some(repository.create_session(self.outer));
                match flaw {
                    Flaw::GenerationBeforeSession | Flaw::IndexBeforeGeneration => At::List,
                    _ => At::Generation,
                }
            }
            At::Generation => {
                if !self.read_generation(repository) {
                    self.at = At::Ended;
                    return;
                }
                match flaw {
                    Flaw::GenerationBeforeSession => At::Create,
                    Flaw::IndexBeforeGeneration => At::Sync,
                    _ => At::List,
                }
            }
            // A listing is not atomic: names may come and go between its halves.
            At::List => {
                self.segments = repository.index.now & EVEN;
                At::ListRest
            }
            At::ListRest => {
                self.segments |= repository.index.now & !EVEN;
                At::Read
            }
            // A listed segment that has gone was merged or rewritten: list again.
            At::Read if self.segments & !repository.index.now != 0 => At::List,
            At::Read => {
                self.packs = repository.covered(self.segments);
                match flaw {
                    Flaw::IndexBeforeGeneration => At::Generation,
                    _ => At::Sync,
                }
            }
            // What others have published need not be durable yet, and will be relied on.
            At::Sync => {
                if flaw != Flaw::HitTakenForDurable {
                    repository.index.sync();
                }
                At::Ready
            }
            At::Ready => At::Ready,
            At::Ended => At::Ended,
        };
    }

    /// Reads the newest generation, or that of the session to lean on, if that still stands.
    fn read_generation(&mut self, repository: &mut Repository) -> bool {
        let Some(outer) = self.outer else {
            self.condemned = repository.condemned();
            return true;
        };
        let is_open = repository.sessions[outer].is_open();
        let generation = repository.generation(repository.sessions[outer].generation);
        self.condemned = generation.unwrap_or_default();
        if is_open {
            repository.generation_lost |= generation.is_none();
            return true;
        }
        if let (Flaw::OuterGenerationAlone, Some(session)) = (repository.flaw, self.session) {
            repository.sessions[session].outer = None;
            return true;
        }
        false
    }

    /// Begins a view; the flaw needs another first step.
    pub(super) fn open(flaw: Flaw) -> Self {
        let at = match flaw {
            Flaw::GenerationBeforeSession => At::Generation,
            _ => At::Create,
        };
        Self { at, ..Self::default() }
    }

    /// Begins a view that leans on a session, if there is one.
    pub(super) fn open_in(outer: Option<usize>, flaw: Flaw) -> Self {
        Self { outer, ..Self::open(flaw) }
    }

    /// The records in packs that a writer may take for stored.
    pub(super) fn packed(&self, repository: &Repository) -> Set {
        match repository.flaw {
            Flaw::CondemnedHit => repository.records_in(self.packs),
            _ => repository.records_in(self.packs & !self.condemned.packs),
        }
    }

    /// The records that a writer may take for stored.
    pub(super) fn hits(&self, repository: &Repository) -> Set {
        self.packed(repository) | (repository.loose.now & !self.condemned.loose)
    }
}

/// The end of a session: its file is removed, unless it was moved.
pub(super) fn end_session(repository: &mut Repository, sid: usize) {
    let session = &mut repository.sessions[sid];
    if session.is_open() {
        session.place = Place::Gone;
    }
    session.alive = false;
}

const EVEN: Set = 0x5555_5555_5555_5555;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Link,
    SyncPacks,
    Lock,
    Segment,
    SyncIndex,
}

/// Stores one batch: its packs, made durable, then one index segment that covers them.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    stage: Stage,
    todo: Vec<Set>,
    packs: Set,
}

/// What became of a step of a [`Batch`].
pub(super) enum Progress {
    Moved,
    Stored(Set),
    Fenced,
}

impl Batch {
    pub(super) fn new(todo: Vec<Set>) -> Self {
        Self { stage: Stage::Link, todo, packs: 0 }
    }

    pub(super) fn step(&mut self, repository: &mut Repository, session: usize) -> Progress {
        let flaw = repository.flaw;
        self.stage = match self.stage {
            Stage::Link => {
                if let Some(records) = self.todo.pop() {
                    self.packs |= bit(repository.link_pack(records));
                }
                if self.todo.is_empty() { Stage::SyncPacks } else { Stage::Link }
            }
            Stage::SyncPacks => {
                if flaw != Flaw::PacksNotSynced {
                    repository.packs.sync();
                }
                Stage::Lock
            }
            Stage::Lock if !repository.may_publish(session) => return Progress::Fenced,
            Stage::Lock => Stage::Segment,
            Stage::Segment => {
                repository.publish_segment(self.packs, 0);
                repository.sessions[session].publishing = false;
                if flaw == Flaw::JobBeforeIndexDurable {
                    return Progress::Stored(self.packs);
                }
                Stage::SyncIndex
            }
            Stage::SyncIndex => {
                repository.index.sync();
                return Progress::Stored(self.packs);
            }
        };
        Progress::Moved
    }
}
