//! Loose objects of which something that they refer to is gone.
//!
//! Invariant: nobody takes a tree for complete that a prune had begun to delete, also where the list of
//! what it condemned is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::Id;
use crate::ops::closure::of_object;
use crate::store::{ReadError, Store};

/// Loose objects that refer to something that is nowhere, or to such a loose object. What is in a pack that
/// an index covers is complete. Holds an id for each reference from one loose object to another.
pub(super) fn incomplete_loose(store: &Store) -> Result<BTreeSet<Id>, ReadError> {
    let mut loose = Vec::new();
    store.for_each_loose(|id, _| {
        if !store.is_packed(&id) {
            loose.push(id);
        }
        Ok::<(), ReadError>(())
    })?;
    let mut referrers: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    let mut incomplete = BTreeSet::new();
    let mut waiting = Vec::new();
    for id in loose {
        let loaded = store.load_loose_copy(&id);
        let references = loaded.and_then(|loaded| {
            loaded.map_or(Ok(Vec::new()), |(kind, _)| {
                Ok(of_object(store, &id, kind)?.into_iter().collect::<Vec<_>>())
            })
        });
        match references {
            Ok(references) => {
                for (referred, _) in references {
                    if store.is_packed(&referred) {
                        continue;
                    }
                    match store.is_loose(&referred)? {
                        true => referrers.entry(referred).or_default().push(id),
                        false => waiting.push(id),
                    }
                }
            }
            // A page of its list.
            Err(ReadError::Missing { .. }) => waiting.push(id),
            // It is set aside as damaged.
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    while let Some(id) = waiting.pop() {
        if incomplete.insert(id) {
            waiting.extend(referrers.get(&id).into_iter().flatten());
        }
    }
    Ok(incomplete)
}
