//! Storing many objects: workers that look up, claim and compress, and one publisher behind them.
//!
//! Invariant: within a process no object is stored twice; every queue is bounded; metadata is
//! published only if all workers ended well.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::bounded;

use super::claims::Claims;
use super::publisher::Publisher;
use super::worker::Worker;
use super::{Store, WriteError};
use crate::base::id::Id;
use crate::format::compress::Compression;
use crate::format::index::{PackRecord, Place};

/// Frames that wait for the publisher, at most.
const QUEUE_FRAMES: usize = 8;

/// How objects are to be stored.
#[derive(Debug, Clone, Copy)]
pub struct InsertOptions {
    /// Threads that put objects.
    pub workers: usize,
    /// How frames are compressed.
    pub compression: Compression,
    /// Whether objects that are stored already are stored again, each once. A copy that a prune has
    /// condemned is none in either case.
    pub again: bool,
}

impl InsertOptions {
    /// So many threads, and compression; what is stored already is not stored again.
    pub fn new(workers: usize, compression: Compression) -> Self {
        Self { workers, compression, again: false }
    }
}

/// What an insertion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InsertReport {
    /// Packs written.
    pub packs: u64,
    /// Bytes of compressed frames written.
    pub packed_bytes: u64,
    /// Objects that were new.
    pub objects: u64,
    /// Their bytes, uncompressed.
    pub object_bytes: u64,
    /// Of `object_bytes`, those of file data.
    pub content_bytes: u64,
}

/// Stores objects on behalf of one session.
#[derive(Debug)]
pub struct Inserter<'s> {
    pub(super) store: &'s Store,
    session: &'s str,
    pub(super) options: InsertOptions,
    pub(super) claims: Claims,
    pub(super) failed: AtomicBool,
}

impl<'s> Inserter<'s> {
    /// Prepares to store objects on behalf of a session.
    pub fn new(store: &'s Store, session: &'s str, options: InsertOptions) -> Self {
        Self { store, session, options, claims: Claims::new(), failed: AtomicBool::new(false) }
    }

    /// Runs `work` with as many workers as the options say, and publishes what they put.
    ///
    /// `work` spreads the workers over its threads, and says by its result whether all of them did
    /// what they should. On return everything is durable.
    ///
    /// # Errors
    ///
    /// What `work` returns, or the publisher; content already published stays, for the next run.
    pub fn run<T, E: From<WriteError>>(
        &self,
        work: impl FnOnce(Vec<Worker<'_>>) -> Result<T, E>,
    ) -> Result<(T, InsertReport), E> {
        let (sender, receiver) = bounded(QUEUE_FRAMES);
        let workers = (0..self.options.workers.max(1))
            .map(|number| Worker::new(self, number, sender.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        drop(sender);
        let publisher = Publisher::new(self.store, self.session, &self.claims, workers.len());
        std::thread::scope(|scope| {
            let whole = || !self.failed.load(Ordering::Acquire);
            let publisher = scope.spawn(move || publisher.run(&receiver, whole));
            let done = work(workers);
            let published = match publisher.join() {
                Ok(published) => published,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            // A publisher that failed makes workers stop; its own reason is the one to tell.
            match (done, published) {
                (_, Err(error)) => Err(error.into()),
                (Err(error), _) => Err(error),
                (Ok(value), Ok(report)) => Ok((value, self.claims.complete(report))),
            }
        })
    }

    /// Names of the packs that were published so far, sorted.
    pub fn packs(&self) -> Vec<Id> {
        self.claims.packs().iter().copied().collect()
    }

    /// Whether an object need not be stored.
    pub(super) fn is_stored(&self, id: &Id) -> Result<bool, WriteError> {
        if !self.options.again {
            return Ok(self.store.is_present(id)?);
        }
        let own = self.claims.packs();
        let is_own = |pack: &PackRecord, _: &Place| own.contains(&pack.name);
        Ok(!own.is_empty() && self.store.segments().is_present(id, is_own))
    }

    /// Runs `work` with one worker on this thread.
    ///
    /// # Errors
    ///
    /// As [`Inserter::run`].
    pub fn run_one<T, E: From<WriteError>>(
        &self,
        work: impl FnOnce(&mut Worker<'_>) -> Result<T, E>,
    ) -> Result<(T, InsertReport), E> {
        self.run(|mut workers| {
            let Some(mut worker) = workers.pop() else { return Err(WriteError::Stopped.into()) };
            workers.drain(..).try_for_each(Worker::finish)?;
            let value = work(&mut worker)?;
            worker.finish()?;
            Ok(value)
        })
    }
}
