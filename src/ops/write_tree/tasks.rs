//! What is still to be done in a scan, shared by its threads.
//!
//! Invariant: what was found last is done first, so that few directories are open at a time; a thread
//! ends only when nothing is left and nobody can add to it.

use std::fmt::Debug;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::{ShareFrames, SharedFrame};

/// Tasks that wait when one more is not taken, so that a directory of any length needs no more memory
/// than its entries.
const OFFERED_MAX: usize = 256;

/// A stack of tasks, and frames that wait to be compressed.
#[derive(Debug)]
pub(super) struct Tasks<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    frames: Vec<SharedFrame>,
    /// Threads that are at work, and may add to the stack.
    busy: usize,
    /// Threads that wait.
    idle: usize,
}

/// What a thread is to do next.
#[derive(Debug)]
pub(super) enum Work<T> {
    /// A task.
    Task(T),
    /// To compress a frame of another thread.
    Frame(SharedFrame),
}

impl<T> Tasks<T> {
    pub(super) fn new(first: T) -> Self {
        let state = State { waiting: vec![first], frames: Vec::new(), busy: 0, idle: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tasks, the first of which is to be done first.
    pub(super) fn add(&self, tasks: Vec<T>) {
        let mut state = self.state();
        state.waiting.extend(tasks.into_iter().rev());
        drop(state);
        self.changed.notify_all();
    }

    /// Adds a task, unless enough of them wait already: then it is given back.
    pub(super) fn offer(&self, task: T) -> Option<T> {
        let mut state = self.state();
        if state.waiting.len() >= OFFERED_MAX {
            return Some(task);
        }
        state.waiting.push(task);
        drop(state);
        self.changed.notify_one();
        None
    }

    /// Does what there is to do until nothing is left.
    pub(super) fn work(&self, mut each: impl FnMut(Work<T>)) {
        let mut state = self.state();
        loop {
            let frame = state.frames.pop().map(Work::Frame);
            let work = frame.or_else(|| state.waiting.pop().map(Work::Task));
            if let Some(work) = work {
                state.busy += 1;
                drop(state);
                each(work);
                state = self.state();
                state.busy -= 1;
            } else if state.busy == 0 {
                self.changed.notify_all();
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl<T: Debug + Send> ShareFrames for Tasks<T> {
    fn offer(&self, frame: SharedFrame) -> Option<SharedFrame> {
        let mut state = self.state();
        if state.frames.len() >= state.idle {
            return Some(frame);
        }
        state.frames.push(frame);
        drop(state);
        self.changed.notify_one();
        None
    }

    fn take_back(&self) -> Option<SharedFrame> {
        self.state().frames.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn all_that_is_added_is_done_once() {
        let tasks = Tasks::new(0_u32);
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    tasks.work(|work| {
                        let Work::Task(depth) = work else { return };
                        done.fetch_add(1, Ordering::Relaxed);
                        if depth < 12 {
                            tasks.add(vec![depth + 1; 2]);
                        }
                    });
                });
            }
        });
        assert_eq!(done.into_inner(), (1 << 13) - 1);
    }

    #[test]
    fn one_thread_goes_down_first_and_keeps_the_order() {
        let tasks = Tasks::new(vec![0_u8; 0]);
        let mut seen = Vec::new();
        tasks.work(|work| {
            let Work::Task(path) = work else { return };
            if path.len() < 2 {
                let below = (0..2).map(|next| [&path[..], &[next]].concat());
                tasks.add(below.collect());
            }
            seen.push(path);
        });
        assert!(seen.is_sorted());
        assert_eq!(seen.len(), 7);
    }
}
