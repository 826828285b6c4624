//! Which packs go, and why.
//!
//! Invariant: a pack goes if nothing in it is needed, or if it may not stay as it is; others go only
//! where that saves room or files, and what is needed of them is stored again.

use std::collections::BTreeSet;

use super::census::{Census, PackTally};
use super::report::Unused;
use crate::base::id::Id;
use crate::base::limits::PACK_BYTES_TARGET;
use crate::format::pack::PackClass;

/// Packs shorter than this are put together, once there are many.
const SMALL_PACK_BYTES: u64 = PACK_BYTES_TARGET / 4;
/// How many that is. What is put together is seldom small again, so that each byte is stored again a
/// few times at most.
const SMALL_PACKS_MIN: usize = 16;
/// Of the bytes of a frame that is copied as it is, so much is unneeded at most.
const UNNEEDED_SHARE_MAX: u64 = MILLION / 4;
/// Shares are parts in so many.
const MILLION: u64 = 1_000_000;

/// What becomes of the packs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Nothing in them is needed.
    pub(super) dead: Vec<Id>,
    /// No index covers them: a writer that died left them, or one that is at work.
    pub(super) unindexed: Vec<Id>,
    /// What is needed of them is stored again.
    pub(super) repacked: Vec<Id>,
    /// Bytes of that, about.
    pub(super) copied_bytes: u64,
    /// Bytes of unneeded objects that stay, about.
    pub(super) unused_bytes: u64,
    /// Of a million bytes of a frame that is copied as it is, so many may be unneeded.
    pub(super) unneeded_share: u64,
}

impl Choice {
    /// All packs that go.
    pub(super) fn packs(&self) -> BTreeSet<Id> {
        self.dead.iter().chain(&self.unindexed).chain(&self.repacked).copied().collect()
    }
}

/// So many parts in a million of a number of bytes.
pub(super) fn part_of(bytes: u64, parts: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(parts) / u128::from(MILLION)).unwrap_or(u64::MAX)
}

/// Chooses what goes, so that unneeded objects take no more room than `unused` allows.
pub(super) fn choose(census: &Census, unused: Unused) -> Choice {
    choose_packs(census.packs.iter().map(|(name, pack)| (*name, *pack)), unused)
}

fn choose_packs(packs: impl Iterator<Item = (Id, PackTally)>, unused: Unused) -> Choice {
    let mut choice = Choice::default();
    let mut kept: Vec<(Id, PackTally)> = Vec::new();
    for (name, pack) in packs {
        if !pack.is_indexed {
            choice.unindexed.push(name);
        } else if pack.live_objects == 0 {
            choice.dead.push(name);
        } else if pack.must_go {
            choice.repack(name, &pack);
        } else {
            kept.push((name, pack));
        }
    }
    let kept_bytes: u64 = kept.iter().map(|(_, pack)| pack.length_bytes).sum();
    let allowed = match unused {
        // Of the packs there will be.
        Unused::Share(parts) => part_of(kept_bytes + choice.copied_bytes, parts),
        Unused::Bytes(bytes) => bytes,
        Unused::Unlimited => u64::MAX,
    };
    let share = u128::from(allowed) * u128::from(MILLION) / u128::from(kept_bytes.max(1));
    choice.unneeded_share = u64::try_from(share).unwrap_or(u64::MAX).min(UNNEEDED_SHARE_MAX);
    choice.unused_bytes = kept.iter().map(|(_, pack)| pack.unused_bytes()).sum();
    // Where most is unneeded, most room comes for each byte that is stored again.
    let unneeded = |pack: &PackTally| {
        u128::from(pack.unused_bytes()) * (1 << 32) / u128::from(pack.length_bytes.max(1))
    };
    kept.sort_by_key(|(name, pack)| (unneeded(pack), *name));
    while choice.unused_bytes > allowed
        && let Some((name, pack)) = kept.pop()
    {
        choice.unused_bytes -= pack.unused_bytes();
        choice.repack(name, &pack);
    }
    for class in [PackClass::Content, PackClass::Metadata] {
        let is_small =
            |pack: &PackTally| pack.class == class && pack.length_bytes < SMALL_PACK_BYTES;
        let small: Vec<_> = kept.iter().filter(|(_, pack)| is_small(pack)).copied().collect();
        if small.len() >= SMALL_PACKS_MIN {
            for (name, pack) in small {
                choice.unused_bytes -= pack.unused_bytes();
                choice.repack(name, &pack);
            }
        }
    }
    choice.repacked.sort_unstable();
    choice
}

impl Choice {
    fn repack(&mut self, name: Id, pack: &PackTally) {
        self.copied_bytes += pack.length_bytes - pack.unused_bytes().min(pack.length_bytes);
        self.repacked.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 32])
    }

    fn pack(length_bytes: u64, live_bytes: u64, dead_bytes: u64) -> PackTally {
        PackTally {
            length_bytes,
            live_objects: live_bytes,
            live_bytes,
            dead_bytes,
            must_go: false,
            holds_needed: true,
            class: PackClass::Content,
            is_indexed: true,
        }
    }

    #[test]
    fn the_emptiest_packs_go_until_little_is_unused() {
        let packs = || {
            [
                (id(1), pack(64 * MIB, 100, 0)),
                (id(2), pack(64 * MIB, 0, 100)),
                (id(3), pack(64 * MIB, 50, 50)),
                (id(4), pack(64 * MIB, 90, 10)),
                (id(5), PackTally { must_go: true, ..pack(64 * MIB, 99, 1) }),
                (id(6), PackTally { is_indexed: false, ..pack(64 * MIB, 0, 0) }),
            ]
            .into_iter()
        };
        let choice = choose_packs(packs(), Unused::Share(50_000));
        assert_eq!((choice.dead, choice.unindexed), (vec![id(2)], vec![id(6)]));
        assert_eq!(choice.repacked, [id(3), id(5)], "ten percent of one pack are four of all");
        let none = choose_packs(packs(), Unused::Bytes(0));
        assert_eq!(none.repacked, [id(3), id(4), id(5)]);
        assert_eq!(none.unused_bytes, 0);
        let any = choose_packs(packs(), Unused::Unlimited);
        assert_eq!(any.repacked, [id(5)]);
        assert_eq!(any.unused_bytes, 32 * MIB + 64 * MIB / 10);
    }

    #[test]
    fn small_packs_are_put_together_once_there_are_many() {
        let small = |count: u8| (0..count).map(|number| (id(number), pack(MIB, 1, 0)));
        assert_eq!(choose_packs(small(15), Unused::default()).repacked, []);
        assert_eq!(choose_packs(small(16), Unused::default()).repacked.len(), 16);
    }
}
