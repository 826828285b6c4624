//! The threads of a checkout: one walks, one hands out jobs, the others write files.
//!
//! Invariant: at most two batches of files are held, one being gathered and one being written.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::files::Writer;
use super::plan::{Batch, Job};
use super::report::first_failure;
use super::walk::{Walk, Walked};
use super::{Checkout, CheckoutError};

/// A tree may be 4,096 levels deep, and the walk goes down by calls.
const WALK_STACK_BYTES: usize = 256 << 20;

/// Walks the tree and writes its files; what is left to do at the end.
pub(super) fn run(checkout: &Checkout<'_>) -> Result<Walked, CheckoutError> {
    // Without room: the walk goes on to the next batch once this one is taken.
    let (batches, taken) = bounded::<Batch>(0);
    let (jobs, work) = bounded::<Job>(checkout.request.workers.max(1) * 2);
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
        let walk = walker.spawn_scoped(scope, move || Walk::new(checkout, batches).run());
        let walk = walk.map_err(CheckoutError::Thread)?;
        hand_out(checkout, &taken, &jobs, &is_stopped);
        drop((taken, jobs));
        walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => walked,
    }
}

fn hand_out(
    checkout: &Checkout<'_>,
    batches: &Receiver<Batch>,
    jobs: &Sender<Job>,
    is_stopped: &AtomicBool,
) {
    for job in batches.iter().flat_map(Batch::jobs) {
        if let Some(frame) = &job.frame {
            checkout.store.frames().will_need(&frame.pack, &frame.place);
        }
        if is_stopped.load(Ordering::Relaxed) || jobs.send(job).is_err() {
            return;
        }
    }
}
