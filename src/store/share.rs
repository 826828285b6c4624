//! Frames that workers with nothing to do compress for the others, so that one long file keeps every
//! processor busy.
//!
//! Invariant: a worker that says it holds nothing waits before for its frames that others compress,
//! and does itself what nobody has begun; a frame that was lost on the way is never said to be stored.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::open_frame::RawFrame;
use crate::format::pack::PackClass;

/// Brings frames to workers that have nothing to do.
pub trait ShareFrames: std::fmt::Debug + Send + Sync {
    /// Takes a frame if a worker has nothing to do; else gives it back.
    fn offer(&self, frame: SharedFrame) -> Option<SharedFrame>;

    /// Gives back a frame that was taken and that nobody has begun.
    fn take_back(&self) -> Option<SharedFrame>;
}

/// A frame that is full, and whose worker leaves it to another one.
#[derive(Debug)]
pub struct SharedFrame {
    pub(super) class: PackClass,
    pub(super) raw: RawFrame,
    /// The round that its worker had joined.
    pub(super) round: u64,
    /// Of its worker; taken when it has been handed over.
    pending: Option<Arc<Pending>>,
}

/// The frames of one worker that are with others.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    frames: usize,
    was_lost: bool,
}

impl SharedFrame {
    pub(super) fn new(class: PackClass, raw: RawFrame, round: u64, pending: &Arc<Pending>) -> Self {
        pending.state().frames += 1;
        Self { class, raw, round, pending: Some(Arc::clone(pending)) }
    }

    /// Notes that the frame is on its way into a pack, or again with its worker.
    pub(super) fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.end(false);
        }
    }
}

impl Drop for SharedFrame {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.end(true);
        }
    }
}

impl Pending {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, is_lost: bool) {
        let mut state = self.state();
        state.frames -= 1;
        state.was_lost |= is_lost;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether no frame is with others.
    pub(super) fn is_empty(&self) -> bool {
        self.state().frames == 0
    }

    /// Waits until no frame is with others; whether none was lost.
    pub(super) fn wait(&self) -> bool {
        let state = self.state();
        let ended = self.changed.wait_while(state, |state| state.frames > 0);
        !ended.unwrap_or_else(PoisonError::into_inner).was_lost
    }
}
