//! How the library tells what happens, without printing anything.

use std::fmt;

/// What became of one path in a backup or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The path is new since the previous snapshot, or new in the target.
    New,
    /// The path differs from the previous snapshot, or from what the target held.
    Changed,
    /// Nothing about it had to be read or written.
    Unchanged,
    /// The path was removed from the target.
    Deleted,
}

/// A problem that did not end the operation: the rest goes on, and the exit code becomes 3 or 4.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Stable word for programs, such as `unreadable` or `not_restored`.
    pub code: &'static str,
    /// The path, object or file it is about, as bytes.
    pub subject: Vec<u8>,
    /// One line for people, without the subject.
    pub message: String,
}

/// Receives what an operation has to say. Called from several threads.
pub trait Monitor: Sync {
    /// One path is done.
    fn path(&self, _action: Action, _path: &[u8], _bytes: u64) {}

    /// Whether [`Monitor::path`] is to be told of paths of which nothing had to be read or written.
    fn wants_unchanged(&self) -> bool {
        true
    }

    /// So many paths are done of which it does not want to be told.
    fn unchanged(&self, _paths: u64) {}

    /// Bytes of content were read or written.
    fn bytes(&self, _count: u64) {}

    /// Something went wrong with one path or object.
    fn problem(&self, problem: Problem);

    /// Something worth knowing happened; nothing went wrong.
    fn note(&self, _message: fmt::Arguments<'_>) {}

    /// Whether the operation should stop soon (the user interrupted it).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Collects problems and drops everything else.
#[derive(Debug, Default)]
pub struct Problems(std::sync::Mutex<Vec<Problem>>);

impl Problems {
    /// The problems so far, in the order they came.
    pub fn take(&self) -> Vec<Problem> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Monitor for Problems {
    fn problem(&self, problem: Problem) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
    }
}
