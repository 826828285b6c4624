//! One schedule: which processes take part, whose turn it is, who is killed, and when the power fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use runup::format::chunker::ChunkerParameters;
use runup::format::config::{Config, FORMAT_VERSION, Publication};

use super::Flaw;
use super::actors::{Hands, Role};
use super::backend::Machine;
use super::book::{Book, Proved, check, newest_is_last, unreadable};
use super::turns::Killed;
use crate::random::Random;

/// Lines of the trace that are told of a schedule that broke a promise.
const LINES: usize = 200;

pub(super) fn config() -> Config {
    Config {
        format_version: FORMAT_VERSION,
        repository_id: "0".repeat(32),
        required_features: Vec::new(),
        optional_features: Vec::new(),
        chunker: ChunkerParameters {
            min_bytes: 256 << 10,
            normal_bytes: 512 << 10,
            max_bytes: 1 << 20,
        },
        compression: "zstd:1".to_owned(),
        publication: Publication::Rename,
        encryption: None,
        created: "2026-01-02T03:04:05+00:00".to_owned(),
        program_version: "0.1.0".to_owned(),
    }
}

struct Schedule<'s> {
    machine: &'s Machine,
    config: &'s Config,
    book: &'s Mutex<Book>,
    random: Random,
    /// What was checked last.
    risks: u64,
    proved: Proved,
    /// Whether most processes are backups, and prunes that fence them.
    fences: bool,
}

/// Runs a schedule; how many operations it had, or what was broken.
pub(super) fn run(seed: u64, flaw: Flaw) -> Result<usize, String> {
    let (machine, config, book) = (Machine::default(), config(), Mutex::default());
    machine.world().flaw = flaw;
    let random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95));
    let (machine, config, book) = (&machine, &config, &book);
    let fences = seed % 3 == 2 || flaw == Flaw::FenceNotSeen;
    let done = std::thread::scope(|scope| {
        Schedule { machine, config, book, random, risks: 0, proved: Proved::new(), fences }
            .run(scope)
    });
    done.map_err(|why| format!("{why}\n{}", machine.turns.last_lines(LINES)))?;
    Ok(machine.turns.operations())
}

impl<'s> Schedule<'s> {
    fn run(&mut self, scope: &'s Scope<'s, '_>) -> Result<(), String> {
        let ran = self.play(scope);
        for process in self.machine.turns.settle() {
            self.machine.turns.kill(process);
        }
        ran
    }

    fn play(&mut self, scope: &'s Scope<'s, '_>) -> Result<(), String> {
        for _ in 0..=self.random.below(3) {
            self.spawn(scope, Role::Backup);
            self.finish(5000)?;
        }
        if self.random.one_in(3) {
            for _ in 0..=self.random.below(2) {
                self.spawn(scope, Role::BackupAgain);
                self.finish(5000)?;
            }
            self.harm()?;
        }
        let cuts_power = self.random.one_in(3);
        // The process that moved last goes on, but for one time in this many.
        let stride = 1 + self.random.below(8) * self.random.below(3);
        let (kill_steps, cut_steps) = (200 << self.random.below(4), 300 << self.random.below(3));
        let stop_steps = 30 << self.random.below(5);
        let (mut last, mut halted) = (None, None);
        let mut left = 4 + self.random.below(8);
        loop {
            let mut stopped = self.machine.turns.settle();
            self.look()?;
            while left > 0 && stopped.len() < 4 {
                left -= 1;
                let role = self.any_role();
                self.spawn(scope, role);
                stopped = self.machine.turns.settle();
            }
            if stopped.is_empty() {
                break;
            }
            if cuts_power && self.random.one_in(cut_steps) {
                self.cut_power(&stopped)?;
                continue;
            }
            let chosen = stopped[self.random.below(stopped.len() as u64) as usize];
            if self.random.one_in(kill_steps) {
                self.kill(chosen);
                continue;
            }
            // Somebody who does not move for a while, as after SIGSTOP; often one who is about to publish.
            let next = self.machine.turns.next(chosen);
            let publishes = matches!(next, "lock for publication" | "publish");
            if self.random.one_in(if publishes { 4 } else { stop_steps }) {
                halted = (publishes || self.random.one_in(2)).then_some(chosen);
            }
            let goes_on = last.filter(|last| stopped.contains(last) && !self.random.one_in(stride));
            let mut next = goes_on.unwrap_or(chosen);
            if halted == Some(next) {
                let others: Vec<usize> =
                    stopped.iter().copied().filter(|other| Some(*other) != halted).collect();
                // Others may wait for it.
                match others.get(self.random.below(others.len().max(1) as u64) as usize) {
                    Some(other) if !self.random.one_in(50) => next = *other,
                    _ => halted = None,
                }
            }
            last = Some(next);
            self.machine.turns.let_on(next);
        }
        self.end(scope)
    }

    /// Lets the disk lose a pack, whatever needs it, or flip a bit of one of which there are copies enough.
    fn harm(&mut self) -> Result<(), String> {
        let (machine, config) = (self.machine, self.config);
        let is_lost = self.random.one_in(3);
        for _ in 0..4 {
            let packs = machine.world().list("packs");
            let Some((name, Some(bytes))) =
                packs.get(self.random.below(packs.len().max(1) as u64) as usize)
            else {
                continue;
            };
            let name = format!("packs/{name}");
            let harmed: Option<Arc<[u8]>> = (!is_lost).then(|| {
                let mut bytes = bytes.to_vec();
                let at = bytes.len() / 4 + self.random.below(bytes.len() as u64 / 4) as usize;
                bytes[at] ^= 1;
                bytes.into()
            });
            machine.world().harm(&name, harmed.as_ref());
            let lost = unreadable(machine, config)?;
            if !is_lost && !lost.is_empty() {
                machine.world().harm(&name, Some(bytes));
                continue;
            }
            machine.turns.note(format!("{name} is harmed, lost: {lost:?}"));
            let mut book = self.book();
            book.is_harmed = true;
            book.lost.extend(lost);
            drop(book);
            self.proved.clear();
        }
        Ok(())
    }

    /// Asserts that a repair, a backup and a prune succeed when nobody else is there, and leave nothing over.
    fn end(&mut self, scope: &'s Scope<'s, '_>) -> Result<(), String> {
        self.spawn(scope, Role::Repair);
        self.finish(20_000)?;
        newest_is_last(self.machine, self.config)?;
        let jobs = self.book().jobs.len();
        self.spawn(scope, Role::Backup);
        self.finish(5000)?;
        if self.book().jobs.len() != jobs + 1 {
            return Err("a backup in the end was not published".to_owned());
        }
        for expects_none in [false, true] {
            let process = self.machine.turns.add();
            let mut hands = self.hands(process);
            let (machine, book) = (self.machine, self.book);
            scope.spawn(move || {
                let deleted = hands.prune_all();
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                match deleted {
                    Err(why) => book.breaks(format!("a prune in the end: {why}")),
                    Ok(0) => {}
                    Ok(_) if !expects_none => {}
                    Ok(count) => book.breaks(format!("a prune has left over {count} files")),
                }
                drop(book);
                machine.world().release(process);
                machine.turns.end(process);
            });
            self.finish(20_000)?;
        }
        Ok(())
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hands(&mut self, process: usize) -> Hands<'s> {
        Hands {
            machine: self.machine,
            config: self.config,
            book: self.book,
            process,
            random: Random(self.random.next()),
            fences: self.fences,
        }
    }

    fn any_role(&mut self) -> Role {
        let is_harmed = self.book().is_harmed;
        match self.random.below(16) {
            14 | 15 if is_harmed || self.random.one_in(4) => Role::Repair,
            4..=5 | 9 | 13.. if self.fences => Role::Backup,
            0..=2 => Role::Backup,
            3 => Role::LooseBackup,
            4 => Role::Pipeline,
            5 => Role::TwoPrograms,
            6..=8 => Role::Prune,
            9 => Role::Restore,
            10..=12 => Role::Forget,
            _ => Role::Tag,
        }
    }

    fn spawn(&mut self, scope: &'s Scope<'s, '_>, role: Role) {
        let process = self.machine.turns.add();
        self.machine.turns.note(format!("{process} begins: {role:?}"));
        let mut hands = self.hands(process);
        let (machine, book) = (self.machine, self.book);
        scope.spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| hands.act(role)));
            if let Err(payload) = ended
                && !payload.is::<Killed>()
            {
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                book.breaks(format!("process {process}, {role:?}, panicked"));
            }
            machine.world().release(process);
            machine.turns.end(process);
        });
    }

    /// Lets everybody who is there come to an end.
    fn finish(&mut self, turns: usize) -> Result<(), String> {
        for _ in 0..turns {
            let stopped = self.machine.turns.settle();
            self.look()?;
            if stopped.is_empty() {
                return Ok(());
            }
            let next = stopped[self.random.below(stopped.len() as u64) as usize];
            self.machine.turns.let_on(next);
        }
        Err("somebody does not come to an end".to_owned())
    }

    fn kill(&mut self, process: usize) {
        self.machine.turns.note(format!("{process} is killed"));
        self.machine.turns.kill(process);
    }

    fn cut_power(&mut self, stopped: &[usize]) -> Result<(), String> {
        self.machine.turns.note("the power is cut".to_owned());
        for process in stopped {
            self.machine.turns.kill(*process);
        }
        // Whoever unwinds changes nothing any more.
        self.machine.turns.settle();
        self.machine.world().cut_power(&mut self.random);
        self.look()
    }

    /// Looks at everything if something may have been lost since the last time.
    fn look(&mut self) -> Result<(), String> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broken) = &book.broken {
            return Err(broken.clone());
        }
        let risks = self.machine.world().risks;
        if risks == self.risks {
            return Ok(());
        }
        self.risks = risks;
        check(self.machine, self.config, &book, &mut self.proved)
    }
}
