//! Whose turn it is: the threads of several processes stop before each operation until they are let
//! on.
//!
//! Invariant: after [`Turns::settle`] no operation is under way, and each process has stopped before
//! one or ended. A process of one thread does nothing between two turns but what follows from what it
//! has seen.

use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a thread of a process unwinds with that was killed.
pub(super) struct Killed;

#[derive(Debug, Default)]
struct Process {
    /// Threads that have stopped before an operation.
    stopped: usize,
    /// One of them may go on, and has not noticed yet.
    is_let_on: bool,
    /// One of them is at its operation.
    is_at_work: bool,
    is_dead: bool,
    has_ended: bool,
    /// The operation that a thread of it stopped before last.
    next: &'static str,
}

/// The threads of all processes of a schedule.
#[derive(Debug, Default)]
pub(super) struct Turns {
    processes: Mutex<Vec<Process>>,
    changed: Condvar,
    /// Operations so far, while somebody wants to know.
    trace: Mutex<Vec<String>>,
}

/// One operation of a process, for as long as this lives.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    process: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut processes = self.turns.processes();
        processes[self.process].is_at_work = false;
        self.turns.changed.notify_all();
    }
}

impl Turns {
    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'p>(&self, processes: MutexGuard<'p, Vec<Process>>) -> MutexGuard<'p, Vec<Process>> {
        self.changed.wait(processes).unwrap_or_else(PoisonError::into_inner)
    }

    /// A process more; its number.
    pub(super) fn add(&self) -> usize {
        let mut processes = self.processes();
        processes.push(Process::default());
        processes.len() - 1
    }

    /// Stops before an operation until it is this thread's turn; `None` where it unwinds already.
    ///
    /// Unwinds with [`Killed`] where the process was killed.
    pub(super) fn take(
        &self,
        process: usize,
        operation: &'static str,
        name: &str,
    ) -> Option<Turn<'_>> {
        if std::thread::panicking() {
            return None;
        }
        let mut processes = self.processes();
        processes[process].stopped += 1;
        processes[process].next = operation;
        self.changed.notify_all();
        while !processes[process].is_let_on && !processes[process].is_dead {
            processes = self.wait(processes);
        }
        let own = &mut processes[process];
        own.stopped -= 1;
        if own.is_dead {
            drop(processes);
            resume_unwind(Box::new(Killed));
        }
        own.is_let_on = false;
        own.is_at_work = true;
        drop(processes);
        self.note(format!("{process} {operation} {name}"));
        Some(Turn { turns: self, process })
    }

    /// Waits until every process has stopped or ended; those that have stopped.
    pub(super) fn settle(&self) -> Vec<usize> {
        let mut processes = self.processes();
        let is_settled = |process: &Process| {
            let has_stopped = process.stopped > 0 && !process.is_let_on && !process.is_at_work;
            process.has_ended || (has_stopped && !process.is_dead)
        };
        while !processes.iter().all(is_settled) {
            processes = self.wait(processes);
        }
        let stopped = processes.iter().enumerate().filter(|(_, process)| !process.has_ended);
        stopped.map(|(number, _)| number).collect()
    }

    /// The operation that a process has stopped before; one of them, where it has several threads.
    pub(super) fn next(&self, process: usize) -> &'static str {
        self.processes()[process].next
    }

    /// Gives a process that has stopped a turn.
    pub(super) fn let_on(&self, process: usize) {
        self.processes()[process].is_let_on = true;
        self.changed.notify_all();
    }

    /// Kills a process: none of its threads does another operation.
    pub(super) fn kill(&self, process: usize) {
        self.processes()[process].is_dead = true;
        self.changed.notify_all();
    }

    /// Notes that a process has no threads any more.
    pub(super) fn end(&self, process: usize) {
        self.processes()[process].has_ended = true;
        self.changed.notify_all();
    }

    pub(super) fn note(&self, line: String) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The last lines of what has happened.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let lines = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// How many operations there were.
    pub(super) fn operations(&self) -> usize {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
