//! What goes first where there is more to delete than one generation can name.
//!
//! Invariant: what is left for the next prune refers to nothing that goes.

use std::collections::BTreeSet;

use super::PruneError;
use super::again::{Name, in_order, keep, names};
use crate::base::id::Id;
use crate::repository::RepositoryError;
use crate::store::{Condemned, Store};

/// Takes names off the list until a generation can name all of them, which can name `most`; how many it took.
///
/// What a prune has condemned that was killed then goes first, and by itself: some of it may be deleted
/// already, so that the rest is not complete. Where it has to, this looks at all that is on the list: about
/// a million packs and loose objects.
pub(super) fn fit(
    condemned: &mut Condemned,
    most: usize,
    before: &Condemned,
    store: &Store,
) -> Result<u64, PruneError> {
    let count = count_of(condemned);
    if count <= most {
        return Ok(0);
    }
    let mut first = both(condemned, before);
    // Nobody can meet what is in packs that are gone, which a check tells as damage until then, or that no
    // index covers.
    let covered = store.covered_packs();
    let listed = store.backend().list("packs")?.into_iter();
    let there: BTreeSet<Id> =
        listed.filter_map(|listed| listed.name.strip_suffix(".pack")?.parse().ok()).collect();
    let is_met = |name: &Id| covered.contains_key(name) && there.contains(name);
    let (met, unmet): (BTreeSet<Id>, BTreeSet<Id>) =
        condemned.packs.iter().partition(|name| is_met(name));
    condemned.packs = met;
    let mut unmet: Vec<Id> = unmet.into_iter().collect();
    unmet.sort_by_key(|name| there.contains(name));
    let room = most.saturating_sub(count_of(&first));
    let goes_on = count_of(&first) > 0;
    first.packs.extend(unmet.into_iter().take(room));
    if !goes_on {
        let room = most - first.packs.len();
        let ordered = in_order(condemned, store)?;
        // What refers to each other goes at once, or not at all.
        let known: BTreeSet<Name> = ordered.iter().copied().collect();
        let others: Vec<Name> = names(condemned).filter(|name| !known.contains(name)).collect();
        for name in ordered.into_iter().chain(others).take(room) {
            match name {
                Name::Pack(name) => drop(first.packs.insert(name)),
                Name::Loose(id) => drop(first.loose.insert(id)),
            }
        }
    }
    let packs: BTreeSet<Id> = condemned.packs.difference(&first.packs).copied().collect();
    let loose: BTreeSet<Id> = condemned.loose.difference(&first.loose).copied().collect();
    *condemned = first;
    keep(packs, &loose, store, condemned)?;
    match count_of(condemned) {
        0 => Err(RepositoryError::TooManyCondemned.into()),
        left => Ok((count - left) as u64),
    }
}

fn count_of(condemned: &Condemned) -> usize {
    condemned.packs.len() + condemned.loose.len()
}

/// What is on both lists.
fn both(one: &Condemned, other: &Condemned) -> Condemned {
    Condemned {
        packs: one.packs.intersection(&other.packs).copied().collect(),
        loose: one.loose.intersection(&other.loose).copied().collect(),
    }
}
