//! The second mark: what was condemned and is needed after all comes off the list.
//!
//! Invariant: what the first mark let stay refers to nothing that was condemned. So only what came
//! since is looked at, the jobs and refs there are now, and whatever comes off the list. What came
//! since is new in name: a pack is never changed, and no name comes again.

use std::collections::{BTreeMap, BTreeSet};

use super::PruneError;
use super::census::Census;
use super::repack::places;
use super::roots::Roots;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::delta::Base;
use crate::format::index::PackRecord;
use crate::ops::closure;
use crate::repository::Repository;
use crate::store::{Condemned, ReadError, Store, Stored, read_footer};

/// Takes off the list what jobs, refs and what was stored since the first mark need.
pub(super) fn mark_again(
    repository: &Repository,
    census: &Census,
    repacked: &BTreeSet<Id>,
    condemned: &mut Condemned,
) -> Result<(), PruneError> {
    let store = repository.store();
    let roots = Roots::read(repository, false)?;
    let mut rescue = Rescue::new(store, condemned)?;
    for (id, kind) in &roots.objects {
        rescue.need(id, *kind, false)?;
    }
    let is_new = |name: &Id| {
        let was_kept = census.packs.get(name).is_some_and(|pack| pack.is_indexed);
        !was_kept && !repacked.contains(name)
    };
    let new: Vec<Id> = rescue.kept_packs().filter(is_new).collect();
    rescue.packs.extend(new);
    rescue.run()?;
    let mut loose = Vec::new();
    store.for_each_loose(|id, _| {
        if !rescue.condemned.loose.contains(&id) && !census.is_met(&id) {
            loose.push(id);
        }
        Ok::<(), ReadError>(())
    })?;
    // Some of them are left over, and nothing needs them.
    rescue.is_unneeded = true;
    rescue.loose = loose;
    rescue.run()
}

/// Takes off the list what packs and loose objects refer to that stay and were not looked at before. What jobs and
/// refs lead to was.
pub(super) fn keep(
    packs: BTreeSet<Id>,
    loose: &BTreeSet<Id>,
    store: &Store,
    condemned: &mut Condemned,
) -> Result<(), PruneError> {
    if packs.is_empty() && loose.is_empty() {
        return Ok(());
    }
    let mut rescue = Rescue::new(store, condemned)?;
    rescue.is_unneeded = true;
    rescue.packs.extend(packs);
    rescue.loose.extend(loose);
    rescue.run()
}

/// A name on the list. Packs go before loose objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Loose(Id),
    Pack(Id),
}

/// All names on a list.
pub(super) fn names(condemned: &Condemned) -> impl Iterator<Item = Name> {
    let packs = condemned.packs.iter().copied().map(Name::Pack);
    packs.chain(condemned.loose.iter().copied().map(Name::Loose))
}

/// The names on a list, each after all of them that refer to it: so whatever is left of them, when not all are
/// deleted, is complete. Those that refer to each other, and what these refer to, are left out.
///
/// Holds a number for each name, and looks at each twice.
pub(super) fn in_order(condemned: &Condemned, store: &Store) -> Result<Vec<Name>, PruneError> {
    let mut others = condemned.clone();
    let mut rescue = Rescue::new(store, &mut others)?;
    rescue.is_unneeded = true;
    let mut referrers: BTreeMap<Name, u32> = names(condemned).map(|name| (name, 0)).collect();
    for name in names(condemned) {
        match rescue.references(name)? {
            Some(referred) => {
                for other in referred {
                    referrers.entry(other).and_modify(|count| *count += 1);
                }
            }
            // What it refers to cannot be told: it may be any of the others.
            None => referrers
                .iter_mut()
                .filter(|(other, _)| **other != name)
                .for_each(|(_, count)| *count += 1),
        }
    }
    let is_free = |(_, count): &(&Name, &u32)| **count == 0;
    let mut free: Vec<Name> = referrers.iter().filter(is_free).map(|(name, _)| *name).collect();
    let mut order = Vec::new();
    while let Some(name) = free.pop() {
        order.push(name);
        let referred = match rescue.references(name)? {
            Some(referred) => referred,
            None => referrers.keys().filter(|other| **other != name).copied().collect(),
        };
        for other in referred {
            if let Some(count) = referrers.get_mut(&other) {
                *count = count.saturating_sub(1);
                free.extend((*count == 0).then_some(other));
            }
        }
    }
    Ok(order)
}

/// Follows what is needed through what was condemned.
struct Rescue<'p> {
    store: &'p Store,
    condemned: &'p mut Condemned,
    /// Packs that are there, and their bytes.
    there: BTreeMap<Id, u64>,
    /// Packs that stay and are to be looked at.
    packs: Vec<Id>,
    /// Loose objects that stay and are to be looked at.
    loose: Vec<Id>,
    /// Whether what stays is not needed: what it refers to and is lost, or cannot be read of it, changes
    /// nothing then.
    is_unneeded: bool,
}

impl<'p> Rescue<'p> {
    fn new(store: &'p Store, condemned: &'p mut Condemned) -> Result<Self, PruneError> {
        let mut rescue = Self {
            store,
            condemned,
            there: BTreeMap::new(),
            packs: Vec::new(),
            loose: Vec::new(),
            is_unneeded: false,
        };
        rescue.look()?;
        Ok(rescue)
    }

    /// Looks at the index, and then at which packs there are: what the index names was there before.
    fn look(&mut self) -> Result<(), PruneError> {
        if let Some(file) = self.store.reload_sound()?.into_iter().next() {
            return Err(PruneError::Index { file: self.store.backend().describe(&file) });
        }
        let listed = self.store.backend().list("packs")?.into_iter();
        self.there = listed
            .filter_map(|listed| {
                let name = listed.name.strip_suffix(".pack")?.parse().ok()?;
                Some((name, listed.length_bytes))
            })
            .collect();
        Ok(())
    }

    /// Packs that an index names, that are there and not condemned.
    fn kept_packs(&self) -> impl Iterator<Item = Id> {
        let covered = self.store.covered_packs().into_iter();
        covered
            .filter(|(name, bytes)| self.there.get(name) == Some(bytes))
            .map(|(name, _)| name)
            .filter(|name| !self.condemned.packs.contains(name))
    }

    fn run(&mut self) -> Result<(), PruneError> {
        loop {
            if let Some(pack) = self.packs.pop() {
                self.pack(&pack)?;
            } else if let Some(id) = self.loose.pop() {
                self.loose(&id)?;
            } else {
                return Ok(());
            }
        }
    }

    /// What a name on the list refers to that is on it, too; `None` if that cannot be told. The list is as before
    /// afterwards.
    fn references(&mut self, name: Name) -> Result<Option<Vec<Name>>, PruneError> {
        let looked_at = match name {
            Name::Pack(pack) => {
                self.condemned.packs.remove(&pack);
                self.pack(&pack)
            }
            Name::Loose(id) => {
                self.condemned.loose.remove(&id);
                self.loose(&id)
            }
        };
        let (packs, loose) = (std::mem::take(&mut self.packs), std::mem::take(&mut self.loose));
        self.condemned.packs.extend(&packs);
        self.condemned.loose.extend(&loose);
        match name {
            Name::Pack(pack) => drop(self.condemned.packs.insert(pack)),
            Name::Loose(id) => drop(self.condemned.loose.insert(id)),
        }
        let packs = packs.into_iter().map(Name::Pack);
        match looked_at {
            Ok(()) => Ok(Some(packs.chain(loose.into_iter().map(Name::Loose)).collect())),
            Err(PruneError::Needed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a pack is there as an index says.
    fn has(&self, record: &PackRecord) -> bool {
        self.there.get(&record.name) == Some(&record.length_bytes)
    }

    /// Sees to it that a copy of an object stays; with `as_base`, a whole one.
    fn need(&mut self, id: &Id, kind: Kind, as_base: bool) -> Result<(), PruneError> {
        if self.find(id, as_base)? || self.is_unneeded {
            return Ok(());
        }
        // It may have been published since the index was listed.
        self.look()?;
        if self.find(id, as_base)? {
            return Ok(());
        }
        Err(PruneError::Needed(ReadError::Missing { id: *id, kind }))
    }

    /// Whether a copy of the object stays, if need be since it came off the list.
    fn find(&mut self, id: &Id, as_base: bool) -> Result<bool, PruneError> {
        let mut places = self.store.segments().places(id);
        places.retain(|(pack, place)| self.has(pack) && (place.is_whole() || !as_base));
        let is_condemned = |pack: &PackRecord| self.condemned.packs.contains(&pack.name);
        if places.iter().any(|(pack, _)| !is_condemned(pack)) {
            return Ok(true);
        }
        let is_loose = self.store.is_loose(id)?;
        if is_loose && !self.condemned.loose.contains(id) {
            return Ok(true);
        }
        if let Some((pack, _)) = places.first() {
            self.condemned.packs.remove(&pack.name);
            self.packs.push(pack.name);
            return Ok(true);
        }
        if is_loose {
            self.condemned.loose.remove(id);
            self.loose.push(*id);
        }
        Ok(is_loose)
    }

    /// What everything in a pack refers to has to stay.
    fn pack(&mut self, name: &Id) -> Result<(), PruneError> {
        if !self.there.contains_key(name) {
            return Ok(());
        }
        let file = format!("packs/{name}.pack");
        let opened = self.store.backend().open(&file)?;
        let record = PackRecord { name: *name, length_bytes: opened.length_bytes() };
        let (_, frames) = read_footer(&*opened, &file)?;
        for frame in &frames {
            for (number, place) in places(frame) {
                if let Some(Base { id, kind }) = place.base {
                    self.need(&id, kind, true)?;
                }
                let id = frame.objects[number].id;
                if !place.is_list && !matches!(place.kind, Kind::Tree | Kind::Snapshot) {
                    continue;
                }
                // Of two lists of one object, each has chunks of its own.
                let stored = self.store.load_copy(&id, place.kind, &record, &place);
                let referred = stored
                    .map_err(PruneError::from)
                    .and_then(|stored| self.refers(&id, place.kind, &stored));
                self.or_unneeded(referred)?;
            }
        }
        Ok(())
    }

    fn loose(&mut self, id: &Id) -> Result<(), PruneError> {
        let loaded = self.store.load_loose_copy(id).map_err(PruneError::from);
        let referred = loaded.and_then(|loaded| match loaded {
            Some((kind, stored)) => self.refers(id, kind, &stored),
            None => Ok(()),
        });
        self.or_unneeded(referred)
    }

    /// What came of looking at something that stays; that it cannot be read is no matter if nothing needs it.
    fn or_unneeded(&self, looked_at: Result<(), PruneError>) -> Result<(), PruneError> {
        match looked_at {
            Err(PruneError::Needed(_)) if self.is_unneeded => Ok(()),
            other => other,
        }
    }

    /// What an object refers to has to stay.
    fn refers(&mut self, id: &Id, kind: Kind, stored: &Stored) -> Result<(), PruneError> {
        let mut references = match kind {
            Kind::Tree => closure::of_tree(self.store, id)?,
            Kind::Snapshot => closure::of_snapshot(self.store, id)?,
            _ => closure::References::new(),
        };
        if let Stored::List(list) = stored {
            references.extend(closure::of_list(self.store, kind, list)?);
        }
        for (id, kind) in references {
            self.need(&id, kind, false)?;
        }
        Ok(())
    }
}
