//! Schedules: which actors take part, whose turn it is, who is killed, and when the power fails.
//!
//! Invariant: a schedule follows from its seed alone.

use std::io::Write as _;

use super::others::{Forget, Merge, Reader};
use super::pipeline::Pipeline;
use super::prune::Prune;
use super::repairer::Repairer;
use super::repository::{Repository, Violation};
use super::tagger::Tagger;
use super::universe::bit;
use super::writer::Writer;
use super::{Flaw, Turn};
use crate::random::Random;

#[derive(Clone, Debug)]
enum Actor {
    Writer(Writer),
    Pipeline(Pipeline),
    Prune(Prune),
    Reader(Reader),
    Forget(Forget),
    Merge(Merge),
    Tagger(Tagger),
    Repairer(Repairer),
}

impl Actor {
    fn step(
        &mut self,
        repository: &mut Repository,
        random: &mut Random,
    ) -> Result<Turn, Violation> {
        match self {
            Self::Writer(writer) => Ok(writer.step(repository, random)),
            Self::Pipeline(pipeline) => Ok(pipeline.step(repository, random)),
            Self::Prune(prune) => prune.step(repository, random),
            Self::Reader(reader) => reader.step(repository, random),
            Self::Forget(forget) => Ok(forget.step(repository, random)),
            Self::Merge(merge) => Ok(merge.step(repository)),
            Self::Tagger(tagger) => Ok(tagger.step(repository, random)),
            Self::Repairer(repairer) => Ok(repairer.step(repository, random)),
        }
    }

    /// Kill -9: the kernel lets go of every lock the process held.
    fn die(&self, repository: &mut Repository) {
        let (sessions, holds_lock): (Vec<usize>, bool) = match self {
            Self::Writer(writer) => (writer.view.session().into_iter().collect(), false),
            Self::Pipeline(pipeline) => (pipeline.sessions().collect(), false),
            Self::Reader(reader) => (reader.view.session().into_iter().collect(), false),
            Self::Tagger(tagger) => (tagger.view.session().into_iter().collect(), false),
            Self::Repairer(repairer) => (repairer.view.session().into_iter().collect(), false),
            Self::Prune(prune) => (Vec::new(), prune.holds_lock()),
            Self::Merge(merge) => (Vec::new(), merge.holds_lock()),
            Self::Forget(_) => (Vec::new(), false),
        };
        if holds_lock {
            repository.prune_locked = false;
        }
        for sid in sessions {
            repository.sessions[sid].alive = false;
            repository.sessions[sid].publishing = false;
        }
    }
}

/// What a schedule is made of. A seed's remainder by their number chooses one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Backups,
    Pipelines,
    Restores,
    PowerCuts,
}

impl Kind {
    fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Backups,
            1 => Self::Pipelines,
            2 => Self::Restores,
            _ => Self::PowerCuts,
        }
    }
}

pub(super) struct Schedule {
    kind: Kind,
    flaw: Flaw,
    /// Whether refs are changed all the time, rather than now and then.
    tags: bool,
    random: Random,
    repository: Repository,
    actors: Vec<Actor>,
    /// The actor that moved last goes on, but for one time in this many.
    stride: u64,
    last: usize,
    /// An actor that does not move, as after SIGSTOP.
    stopped: usize,
    /// How long an actor is stopped, on average.
    stop_steps: u64,
    /// How many steps pass between kills, and between power cuts, on average.
    kill_steps: u64,
    cut_steps: u64,
    pub(super) steps: u64,
    winding_down: bool,
    pub(super) trace: Option<std::io::Stderr>,
}

impl Schedule {
    pub(super) fn new(seed: u64, flaw: Flaw) -> Self {
        let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95));
        Self {
            kind: Kind::of(seed),
            flaw,
            tags: random.one_in(5) && Kind::of(seed) != Kind::Restores,
            stride: 1 + random.below(8) * random.below(3),
            repository: Repository::new(flaw),
            actors: Vec::new(),
            last: 0,
            stopped: usize::MAX,
            stop_steps: 8 << random.below(5),
            kill_steps: 24 << random.below(4),
            cut_steps: 32 << random.below(4),
            random,
            steps: 0,
            winding_down: false,
            trace: None,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.random.below(4) {
            let writer = Actor::Writer(Writer::new(self.flaw, &mut self.random));
            self.alone(writer, "a first writer")?;
        }
        for _ in 0..if self.tags { 2 } else { 0 } {
            let tagger = Actor::Tagger(Tagger::new(self.flaw, &mut self.random));
            self.alone(tagger, "a first tagger")?;
        }
        let actors = 3 + self.random.below(3);
        for _ in 0..actors {
            self.spawn();
        }
        for _ in 0..60 + self.random.below(100) {
            self.disturb()?;
            if self.actors.is_empty() {
                if !self.repository.has_room() {
                    break;
                }
                self.spawn();
            }
            self.turn()?;
        }
        self.wind_down()?;
        self.repository.outages = false;
        let jobs = self.repository.jobs.now;
        let writer = Actor::Writer(Writer::new(self.flaw, &mut self.random));
        self.alone(writer, "a fresh writer")?;
        if self.repository.jobs.now == jobs {
            return Err(Violation::Stuck("a fresh writer"));
        }
        let prune = Actor::Prune(Prune::plain(&mut self.random));
        self.alone(prune, "a fresh prune")?;
        self.repository.check_leaks()
    }

    fn spawn(&mut self) {
        let (flaw, random) = (self.flaw, &mut self.random);
        let choice = random.below(18);
        let main = match (self.kind, choice % 2) {
            _ if self.tags && choice > 12 => Actor::Tagger(Tagger::new(flaw, random)),
            (Kind::Pipelines, _) | (Kind::PowerCuts, 0) => {
                Actor::Pipeline(Pipeline::new(flaw, random))
            }
            (Kind::Restores, 0) => Actor::Reader(Reader::new(flaw, random)),
            _ => Actor::Writer(Writer::new(flaw, random)),
        };
        self.actors.push(match choice {
            0..=2 => Actor::Forget(Forget { undo: false, changed: false }),
            3 => Actor::Forget(Forget { undo: true, changed: false }),
            4..=8 => Actor::Prune(Prune::new(random)),
            9 => Actor::Merge(Merge::default()),
            10 => Actor::Tagger(Tagger::new(flaw, random)),
            11 => Actor::Repairer(Repairer::new(flaw, random)),
            _ => main,
        });
    }

    /// Kills a process or cuts the power, now and then.
    fn disturb(&mut self) -> Result<(), Violation> {
        if self.kind == Kind::PowerCuts && self.random.one_in(self.cut_steps) {
            self.note("power cut");
            self.actors.clear();
            self.repository.cut_power(&mut self.random);
            self.repository.check()?;
        }
        if !self.actors.is_empty() && self.random.one_in(self.kill_steps) {
            self.kill();
        }
        if self.random.one_in(self.stop_steps) {
            self.stopped = if self.random.one_in(3) { usize::MAX } else { self.choose() };
        }
        Ok(())
    }

    /// Kills a process. A prune is killed more often than others, and then often run again.
    fn kill(&mut self) {
        let prune = self.actors.iter().position(|actor| matches!(actor, Actor::Prune(_)));
        let victim = match prune {
            Some(prune) if self.random.one_in(3) => prune,
            _ => self.choose(),
        };
        self.note("killed:");
        self.note(&self.actors[victim]);
        let killed = self.actors.swap_remove(victim);
        killed.die(&mut self.repository);
        if matches!(killed, Actor::Prune(_)) && self.random.one_in(2) {
            self.actors.push(Actor::Prune(Prune::new(&mut self.random)));
        }
    }

    fn choose(&mut self) -> usize {
        self.random.member(bit(self.actors.len()) - 1).unwrap_or_default()
    }

    fn turn(&mut self) -> Result<Turn, Violation> {
        if self.last >= self.actors.len()
            || self.last == self.stopped
            || self.random.one_in(self.stride)
        {
            self.last = self.choose();
            if self.last == self.stopped {
                self.last = (self.last + 1) % self.actors.len();
            }
        }
        let actor = self.last;
        self.note(&self.actors[actor]);
        self.steps += 1;
        let turn = self.actors[actor].step(&mut self.repository, &mut self.random)?;
        if turn != Turn::Moved {
            self.last = usize::MAX;
        }
        if turn == Turn::Ends {
            self.actors.swap_remove(actor);
            if !self.winding_down && self.repository.has_room() {
                self.spawn();
            }
        }
        self.repository.check()?;
        Ok(turn)
    }

    /// Lets everybody finish, undisturbed.
    fn wind_down(&mut self) -> Result<(), Violation> {
        self.winding_down = true;
        self.stopped = usize::MAX;
        for _ in 0..5000 {
            if self.actors.is_empty() {
                return Ok(());
            }
            self.turn()?;
        }
        Err(Violation::Stuck("one of several actors"))
    }

    /// Runs one actor to its end, with nobody else about.
    fn alone(&mut self, mut actor: Actor, name: &'static str) -> Result<(), Violation> {
        for _ in 0..200 {
            self.note(&actor);
            self.steps += 1;
            let turn = actor.step(&mut self.repository, &mut self.random)?;
            self.repository.check()?;
            if turn == Turn::Ends {
                return Ok(());
            }
        }
        Err(Violation::Stuck(name))
    }

    fn note(&self, what: impl std::fmt::Debug) {
        if let Some(stderr) = &self.trace {
            let written = writeln!(stderr.lock(), "{what:?}");
            written.expect("standard error takes the trace");
        }
    }
}
