//! Work that several threads share, and to which they add.
//!
//! Invariant: a thread goes home only once nothing waits and nobody could add anything any more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Parts of work: those that were added come before those that were there at first.
pub(super) struct Queue<T, I> {
    state: Mutex<State<T, I>>,
    changed: Condvar,
}

struct State<T, I> {
    first: I,
    added: VecDeque<T>,
    /// Parts that are being worked on.
    busy: usize,
}

impl<T, I: Iterator<Item = T>> Queue<T, I> {
    pub(super) fn new(first: I) -> Self {
        let state = State { first, added: VecDeque::new(), busy: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T, I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part; `None` once all is done. Whoever takes one calls [`Self::done`] after it.
    pub(super) fn next(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(part) = state.added.pop_front().or_else(|| state.first.next()) {
                state.busy += 1;
                return Some(part);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds parts, which come before those that were there at first.
    pub(super) fn add(&self, parts: impl Iterator<Item = T>) {
        self.state().added.extend(parts);
        self.changed.notify_all();
    }

    /// Notes that a part that was taken is done.
    pub(super) fn done(&self) {
        let mut state = self.state();
        state.busy -= 1;
        if state.busy == 0 {
            self.changed.notify_all();
        }
    }

    /// Whether a thread that looked for work would find none now.
    pub(super) fn is_dry(&self) -> bool {
        self.state().added.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn nobody_goes_home_while_somebody_may_add_work() {
        // Each part n adds the parts n-1, n-2, … 0: 2^n of them in all.
        let queue = Queue::new([10_u64, 3].into_iter());
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(part) = queue.next() {
                        count.fetch_add(1, Ordering::Relaxed);
                        queue.add(0..part);
                        queue.done();
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), (1 << 10) + (1 << 3));
        assert_eq!(queue.next(), None);
    }
}
