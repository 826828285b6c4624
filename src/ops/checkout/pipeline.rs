//! The threads of a checkout: one walks, plans and hands out jobs, the others write files.
//!
//! Invariant: no more files are held than are planned together and are in a few jobs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, bounded};

use super::files::Writer;
use super::plan::{Batch, Job};
use super::report::first_failure;
use super::walk::{Walk, Walked};
use super::{Checkout, CheckoutError};

/// A tree may be 4,096 levels deep, and the walk goes down by calls.
const WALK_STACK_BYTES: usize = 256 << 20;

/// Walks the tree and writes its files; what is left to do at the end.
pub(super) fn run(checkout: &Checkout<'_>) -> Result<Walked, CheckoutError> {
    let (sender, work) = bounded::<Job>(checkout.request.workers.max(1) * 2);
    let is_stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let walked = std::thread::scope(|scope| {
        for _ in 0..checkout.request.workers.max(1) {
            let work = work.clone();
            scope.spawn(|| {
                let mut writer = Writer::new(checkout);
                for job in work {
                    if is_stopped.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Err(error) = writer.run(job) {
                        is_stopped.store(true, Ordering::Relaxed);
                        first_failure(&failure, error);
                    }
                }
            });
        }
        drop(work);
        let walker = std::thread::Builder::new().stack_size(WALK_STACK_BYTES);
        let jobs = Jobs { checkout, sender, is_stopped: &is_stopped };
        let walk = walker.spawn_scoped(scope, move || Walk::new(checkout, jobs).run());
        let walk = walk.map_err(CheckoutError::Thread)?;
        walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => walked,
    }
}

/// Where the walk leaves work for the threads that write.
pub(super) struct Jobs<'c, 'a> {
    checkout: &'c Checkout<'a>,
    sender: Sender<Job>,
    is_stopped: &'c AtomicBool,
}

impl Jobs<'_, '_> {
    /// Whether threads have taken all that was handed out.
    pub(super) fn are_wanted(&self) -> bool {
        self.sender.is_empty()
    }

    /// Hands out the jobs of a batch, as threads get to them.
    ///
    /// # Errors
    ///
    /// [`CheckoutError::Cancelled`] once a thread has failed, whose failure is told in its place.
    pub(super) fn hand_out(&self, batch: Batch) -> Result<(), CheckoutError> {
        for job in batch.jobs() {
            if let Some(frame) = &job.frame {
                self.checkout.store.frames().will_need(&frame.pack, &frame.place);
            }
            if self.is_stopped.load(Ordering::Relaxed) || self.sender.send(job).is_err() {
                return Err(CheckoutError::Cancelled);
            }
        }
        Ok(())
    }
}
