//! Which packs a check reads whole, in which order, and what it keeps of that.
//!
//! Invariant: what an earlier check found damaged is always read; and a check that is killed has kept
//! what it had learnt a minute before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::report::Verification;
use super::{Amount, Depth};
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::ops::verified::{Learnt, Verified};

/// How often what was learnt is kept while a check goes on.
const KEPT_EACH: Duration = Duration::from_secs(60);

/// What earlier checks have learnt, and where it is kept.
pub struct Memory<'m> {
    /// The repository that it is of.
    pub repository_id: String,
    /// The file; `None` if nothing is known, and nothing kept.
    pub path: Option<PathBuf>,
    /// The time now, which packs that are found good get.
    pub now: FileTime,
    /// The time since then.
    pub elapsed: &'m (dyn Fn() -> Duration + Sync),
}

impl std::fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Memory<'_> {
    /// One that knows nothing and keeps nothing.
    pub fn none() -> Self {
        Self {
            repository_id: String::new(),
            path: None,
            now: FileTime::default(),
            elapsed: &|| Duration::ZERO,
        }
    }

    /// What is known.
    pub fn load(&self) -> Verified {
        let load = |path: &PathBuf| Verified::load(path, &self.repository_id);
        self.path.as_ref().map(load).unwrap_or_default()
    }

    /// Adds what was learnt to what is known by now, also from others; all of it.
    fn keep(&self, learnt: &Learnt) -> (Verified, io::Result<()>) {
        let mut verified = self.load();
        verified.learn(learnt, self.now);
        let saved = self.path.as_ref().map(|path| verified.save(path, &self.repository_id));
        (verified, saved.unwrap_or(Ok(())))
    }
}

/// What is read of packs in one check.
pub(super) struct Reading<'m> {
    memory: &'m Memory<'m>,
    depth: Depth,
    /// Packs, and the bytes of each.
    packs: BTreeMap<Id, u64>,
    /// Packs that are read whatever was asked for.
    doubted: BTreeSet<Id>,
    /// Packs that are read for their share.
    chosen: BTreeSet<Id>,
    order: Vec<Id>,
    learnt: Mutex<Learnt>,
    /// Seconds after which it was kept last.
    kept: AtomicU64,
}

impl<'m> Reading<'m> {
    /// Chooses among the packs that are listed, with their bytes.
    pub(super) fn new(memory: &'m Memory<'m>, depth: Depth, packs: BTreeMap<Id, u64>) -> Self {
        let known = memory.load();
        let mut order: Vec<Id> = packs.keys().copied().collect();
        if matches!(depth, Depth::ReadSome(Amount::Share(_) | Amount::Seconds(_))) {
            order.sort_by_key(|name| known.packs.get(name));
        }
        let mut chosen = BTreeSet::new();
        if let Depth::ReadSome(Amount::Share(millionths)) = depth {
            let all: u128 = packs.values().map(|bytes| u128::from(*bytes)).sum();
            let mut rest = (all * u128::from(millionths)).div_ceil(1_000_000);
            for name in &order {
                if rest == 0 {
                    break;
                }
                chosen.insert(*name);
                rest = rest.saturating_sub(packs.get(name).copied().unwrap_or(0).into());
            }
        }
        let doubted = known.damaged.frames.keys().copied().collect::<BTreeSet<_>>();
        // What is known to be damaged is looked at first, whatever time there is.
        order.sort_by_key(|name| Reverse(doubted.contains(name)));
        let (learnt, kept) = (Mutex::default(), AtomicU64::new(0));
        Self { memory, depth, packs, doubted, chosen, order, learnt, kept }
    }

    /// Listed packs, in the order in which they are to be read.
    pub(super) fn order(&self) -> impl Iterator<Item = Id> {
        self.order.iter().copied()
    }

    /// Whether a pack that is about to be opened is to be read whole.
    pub(super) fn wants(&self, name: &Id) -> bool {
        if self.doubted.contains(name) {
            return true;
        }
        match self.depth {
            Depth::Structure => false,
            Depth::ReadData => true,
            Depth::ReadSome(Amount::Share(_)) => self.chosen.contains(name),
            Depth::ReadSome(Amount::Part { number, of }) => part_of(name, of) == number,
            Depth::ReadSome(Amount::Seconds(seconds)) => {
                (self.memory.elapsed)() < Duration::from_secs(seconds)
            }
        }
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a frame of a pack that is read whole is damaged.
    pub(super) fn damaged(&self, name: Id, frame_offset: u64) {
        self.learnt().packs.entry(name).or_default().0.insert(frame_offset);
    }

    /// Notes that a pack was read whole, and whether all of it is as its name says.
    pub(super) fn read(&self, name: Id, is_good: bool) {
        let mut learnt = self.learnt();
        learnt.packs.entry(name).or_default().1 = is_good;
        let elapsed = (self.memory.elapsed)().as_secs();
        if elapsed >= self.kept.load(Ordering::Relaxed) + KEPT_EACH.as_secs() {
            self.kept.store(elapsed, Ordering::Relaxed);
            // What cannot be kept is told at the end.
            let (_, _ignored) = self.memory.keep(&learnt);
        }
    }

    /// Keeps all that was learnt; what is known now, and why it could not be kept.
    pub(super) fn finish(self, more: Learnt) -> (Verification, Option<io::Error>) {
        let learnt = self.learnt.into_inner().unwrap_or_else(PoisonError::into_inner);
        let packs = learnt.packs;
        let (packs_read, bytes_read) = packs.keys().fold((0, 0_u64), |(count, sum), name| {
            (count + 1, sum.saturating_add(self.packs.get(name).copied().unwrap_or(0)))
        });
        let (known, kept) = self.memory.keep(&Learnt { packs, ..more });
        let verified = |name: &Id| known.packs.get(name).copied();
        let there = self.packs.iter().filter_map(|(name, bytes)| Some((verified(name)?, *bytes)));
        let verification = Verification {
            packs: there.clone().count() as u64,
            bytes: there.clone().map(|(_, bytes)| bytes).sum(),
            oldest: there.clone().map(|(seconds, _)| seconds).min(),
            never: self.packs.keys().filter(|name| verified(name).is_none()).count() as u64,
            packs_read,
            bytes_read,
        };
        (verification, kept.err())
    }
}

/// In which part of so many a pack is, from 1.
fn part_of(name: &Id, of: u32) -> u32 {
    let head = name.as_bytes().first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
    // Names are evenly spread, since they are hashes.
    let part = (u128::from(head) * u128::from(of)) >> 64;
    part as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::object_id;
    use crate::base::kind::Kind;

    fn packs(count: u64) -> BTreeMap<Id, u64> {
        (0..count).map(|n| (object_id(Kind::Blob, &n.to_le_bytes()), 100)).collect()
    }

    #[test]
    fn parts_are_all_packs_once_and_a_pack_stays_in_its_part() {
        for of in [1, 2, 7, 100] {
            let mut sizes = vec![0; of as usize];
            for name in packs(1000).keys() {
                sizes[part_of(name, of) as usize - 1] += 1;
            }
            assert_eq!(sizes.iter().sum::<usize>(), 1000);
            assert!(sizes.iter().all(|size| *size <= 2 * 1000 / of as usize + 20), "{sizes:?}");
        }
        assert_eq!(part_of(&Id::from_bytes([255; 32]), u32::MAX), u32::MAX);
    }

    #[test]
    fn a_share_takes_what_was_never_verified_and_then_what_was_longest_ago() {
        let folder = tempfile::tempdir().expect("folder");
        let path = Some(folder.path().join("verified"));
        let memory = |seconds| Memory {
            path: path.clone(),
            now: FileTime { seconds, nanoseconds: 0 },
            ..Memory::none()
        };
        let depth = Depth::ReadSome(Amount::Share(300_000));
        let mut seen: Vec<BTreeSet<Id>> = Vec::new();
        for round in 0..8 {
            let memory = memory(round);
            let reading = Reading::new(&memory, depth, packs(10));
            let wanted: BTreeSet<Id> = reading.order().filter(|name| reading.wants(name)).collect();
            wanted.iter().for_each(|name| reading.read(*name, true));
            let (verification, kept) = reading.finish(Learnt::default());
            assert!(kept.is_none() && wanted.len() == 3);
            assert_eq!(verification.never, 10_u64.saturating_sub(3 * (round.cast_unsigned() + 1)));
            assert_eq!(verification.bytes_read, 300);
            seen.push(wanted);
        }
        let union =
            |rounds: &[BTreeSet<Id>]| rounds.iter().flatten().collect::<BTreeSet<_>>().len();
        assert_eq!([union(&seen[..3]), union(&seen[..4]), union(&seen[4..])], [9, 10, 10]);
    }

    #[test]
    fn packs_are_begun_until_time_is_up_those_known_to_be_damaged_always() {
        let folder = tempfile::tempdir().expect("folder");
        let elapsed = AtomicU64::new(0);
        let memory = Memory {
            path: Some(folder.path().join("verified")),
            elapsed: &|| Duration::from_secs(elapsed.load(Ordering::Relaxed)),
            ..Memory::none()
        };
        let depth = Depth::ReadSome(Amount::Seconds(3));
        let reading = Reading::new(&memory, depth, packs(10));
        let wanted: Vec<Id> = reading
            .order()
            .filter(|name| {
                let wants = reading.wants(name);
                elapsed.fetch_add(1, Ordering::Relaxed);
                wants
            })
            .collect();
        assert_eq!(wanted.len(), 3);
        reading.damaged(wanted[0], 64);
        reading.read(wanted[0], false);
        reading.read(wanted[1], true);
        let (verification, _) = reading.finish(Learnt::default());
        assert_eq!((verification.packs, verification.never, verification.packs_read), (1, 9, 2));
        let reading = Reading::new(&memory, Depth::Structure, packs(10));
        assert_eq!(reading.order().next(), Some(wanted[0]));
        assert!(reading.wants(&wanted[0]) && !reading.wants(&wanted[1]));
        let reading = Reading::new(&memory, depth, packs(10));
        assert_eq!(reading.order().last(), Some(wanted[1]), "verified last");
    }
}
