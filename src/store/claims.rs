//! Which objects are on their way into a pack, and how many those were.
//!
//! Invariant: of all threads that come with an object, one stores it.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::inserter::InsertReport;
use crate::base::id::Id;

const CLAIM_SHARDS: usize = 64;

/// Ids whose objects are on their way into a pack.
#[derive(Debug)]
pub(super) struct Claims {
    shards: Vec<Mutex<HashSet<Id>>>,
    packs: Mutex<BTreeSet<Id>>,
    round: AtomicU64,
    objects: AtomicU64,
    object_bytes: AtomicU64,
    content_bytes: AtomicU64,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..CLAIM_SHARDS).map(|_| Mutex::default()).collect(),
            packs: Mutex::default(),
            round: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            object_bytes: AtomicU64::new(0),
            content_bytes: AtomicU64::new(0),
        }
    }

    fn shard(&self, id: &Id) -> MutexGuard<'_, HashSet<Id>> {
        let number = usize::from(id.as_bytes()[0]) % CLAIM_SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is the first, and now the one who stores the object.
    pub(super) fn claim(&self, id: &Id) -> bool {
        self.shard(id).insert(*id)
    }

    pub(super) fn is_claimed(&self, id: &Id) -> bool {
        self.shard(id).contains(id)
    }

    /// Packs that were published by this insertion.
    pub(super) fn packs(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a pack that was published. Comes before the claims on its objects are released.
    pub(super) fn note_pack(&self, pack: Id) {
        self.packs().insert(pack);
    }

    pub(super) fn release<'a>(&self, ids: impl Iterator<Item = &'a Id>) {
        for id in ids {
            self.shard(id).remove(id);
        }
    }

    pub(super) fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    pub(super) fn start_round(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }
    /// Counts an object that was claimed.
    pub(super) fn count(&self, length: usize, is_metadata: bool) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.object_bytes.fetch_add(length as u64, Ordering::Relaxed);
        if !is_metadata {
            self.content_bytes.fetch_add(length as u64, Ordering::Relaxed);
        }
    }

    /// The report, with what was counted.
    pub(super) fn complete(&self, report: InsertReport) -> InsertReport {
        InsertReport {
            objects: self.objects.load(Ordering::Relaxed),
            object_bytes: self.object_bytes.load(Ordering::Relaxed),
            content_bytes: self.content_bytes.load(Ordering::Relaxed),
            ..report
        }
    }
}
