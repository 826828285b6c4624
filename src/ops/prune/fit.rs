//! What goes first where there is more to delete than one generation can name.
//!
//! Invariant: what is left for the next prune refers to nothing that goes.

use std::collections::BTreeSet;

use super::PruneError;
use super::again::{Name, in_order, keep};
use crate::repository::RepositoryError;
use crate::store::{Condemned, Store};

/// Takes names off the list until it has at most `most`; how many it took.
///
/// Where it has to, it looks at all that is on the list: about a million packs and loose objects.
pub(super) fn fit(
    condemned: &mut Condemned,
    most: usize,
    store: &Store,
) -> Result<u64, PruneError> {
    let before = condemned.packs.len() + condemned.loose.len();
    if before <= most {
        return Ok(0);
    }
    let (mut packs, mut loose) = (BTreeSet::new(), BTreeSet::new());
    for name in in_order(condemned, store)?.into_iter().take(most) {
        match name {
            Name::Pack(name) => packs.extend(condemned.packs.take(&name)),
            Name::Loose(id) => loose.extend(condemned.loose.take(&id)),
        }
    }
    let first = Condemned { packs, loose };
    let rest = std::mem::replace(condemned, first);
    keep(rest.packs, &rest.loose, store, condemned)?;
    match condemned.packs.len() + condemned.loose.len() {
        0 => Err(RepositoryError::TooManyCondemned.into()),
        left => Ok((before - left) as u64),
    }
}
