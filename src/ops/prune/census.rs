//! The first mark: what is needed, and how much of each pack that is.
//!
//! Invariant: of each object that is needed one stored copy is chosen, whole where there is a whole
//! one, and in any case where another one is a difference from it; all others are unneeded, and no pack that is
//! kept as it is refers to what is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::PruneError;
use super::choose::Choice;
use super::roots::Roots;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::monitor::Monitor;
use crate::format::delta::Base;
use crate::format::index::{PackRecord, Place};
use crate::format::pack::PackClass;
use crate::ops::closure::{Reached, Walk};
use crate::store::{Found, ObjectSet, ReadError, Store};

/// Index entries that are passed through between two looks whether to stop.
const LOOK_EVERY: u64 = 1 << 16;

/// What is in a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackTally {
    /// Its bytes.
    pub(super) length_bytes: u64,
    /// Chosen copies of needed objects.
    pub(super) live_objects: u64,
    /// Their share of the frames.
    pub(super) live_bytes: u64,
    /// The share of all else.
    pub(super) dead_bytes: u64,
    /// Whether it cannot stay as it is: it holds something unneeded that refers to what may go, or
    /// something needed that is stored as a difference from what may go.
    pub(super) must_go: bool,
    /// Whether it has any copy of a needed object, chosen or not.
    pub(super) holds_needed: bool,
    /// Whether any of its objects is metadata.
    pub(super) class: PackClass,
    /// Whether an index covers it.
    pub(super) is_indexed: bool,
}

impl PackTally {
    /// Bytes that nobody needs, about.
    pub(super) fn unused_bytes(&self) -> u64 {
        let all = u128::from(self.live_bytes + self.dead_bytes).max(1);
        (u128::from(self.length_bytes) * u128::from(self.dead_bytes) / all) as u64
    }
}

/// What is needed of a repository.
#[derive(Debug)]
pub(super) struct Census {
    /// All packs that are there.
    pub(super) packs: BTreeMap<Id, PackTally>,
    /// Loose objects that are not needed, or are in a pack too.
    pub(super) dead_loose: BTreeSet<Id>,
    /// Bytes of their files.
    pub(super) dead_loose_bytes: u64,
    /// Objects that are needed.
    pub(super) live_objects: u64,
    /// Copies in packs that are not.
    pub(super) dead_copies: u64,
    /// What jobs and refs lead to.
    reached: ObjectSet,
    /// That, and what it is stored as a difference from.
    met: ObjectSet,
    /// What any of that is stored as a difference from.
    bases: ObjectSet,
    /// Of the latter, what is let go.
    lone: LoneBases,
    /// Whether the frames are sound that hold one of several copies of an object.
    sound: Mutex<BTreeMap<(Id, u64), bool>>,
}

/// Bases that nobody leads to, of which one object alone is stored as a difference.
#[derive(Debug)]
struct LoneBases {
    bases: ObjectSet,
    /// Those of them that are kept all the same.
    kept: ObjectSet,
}

impl LoneBases {
    fn new(store: &Store) -> Self {
        Self { bases: store.object_set(), kept: store.object_set() }
    }

    fn contains(&self, id: &Id) -> bool {
        self.bases.contains(id) && !self.kept.contains(id)
    }
}

impl Census {
    /// Marks all that is needed, and counts.
    pub(super) fn take(
        store: &Store,
        roots: &Roots,
        monitor: &dyn Monitor,
    ) -> Result<Self, PruneError> {
        // Packs come before the index, so that a pack which the index does not name had not been
        // published when it was listed.
        let packs = list_packs(store)?;
        if let Some(file) = store.reload_sound()?.into_iter().next() {
            return Err(PruneError::Index { file: store.backend().describe(&file) });
        }
        let mut census = Self {
            packs,
            dead_loose: BTreeSet::new(),
            dead_loose_bytes: 0,
            live_objects: 0,
            dead_copies: 0,
            reached: store.object_set(),
            met: store.object_set(),
            bases: store.object_set(),
            lone: LoneBases::new(store),
            sound: Mutex::default(),
        };
        census.note_indexed(store);
        census.mark(store, roots, monitor)?;
        // Reading what was damaged can have brought in packs that no index covers.
        if store.segments().list().iter().any(|segment| segment.name.is_none()) {
            return Err(PruneError::Index { file: store.backend().describe("index") });
        }
        census.count(store, monitor)?;
        census.count_loose(store)?;
        Ok(census)
    }

    fn note_indexed(&mut self, store: &Store) {
        for record in store.segments().list().iter().flat_map(|segment| segment.packs()) {
            if let Some(pack) = self.packs.get_mut(&record.name)
                && pack.length_bytes == record.length_bytes
            {
                pack.is_indexed = true;
            }
        }
    }

    /// Whether a pack is there as the index says.
    pub(super) fn has(&self, record: &PackRecord) -> bool {
        self.packs.get(&record.name).is_some_and(|pack| pack.length_bytes == record.length_bytes)
    }

    /// The copy of an object that is chosen, if it is needed.
    fn chosen(&self, store: &Store, id: &Id) -> Result<Option<Found>, ReadError> {
        self.copy(store, id, self.bases.contains(id))
    }

    /// The best copy of an object; as a base, of those that can serve as one.
    fn copy(&self, store: &Store, id: &Id, as_base: bool) -> Result<Option<Found>, ReadError> {
        let is_there = |record: &PackRecord| self.has(record);
        // A copy that is a difference from what is lost is of no use, however sound it is.
        let is_usable = |record: &PackRecord, place: &Place, is_alone: bool| {
            place.base.is_none_or(|base| self.has_base(store, &base))
                && (is_alone || self.is_sound(store, record, place))
        };
        match as_base {
            true => store.find_base_where(id, is_there, is_usable),
            false => store.find_where(id, is_there, is_usable),
        }
    }

    /// Whether there is a copy of an object that can be a base.
    fn has_base(&self, store: &Store, base: &Base) -> bool {
        self.copy(store, &base.id, true).is_ok_and(|found| found.is_some())
    }

    /// Whether the frame at a place is as it was written. Asked where there is another copy, so that the
    /// damaged one is not kept in the place of the sound one; reads each frame once.
    fn is_sound(&self, store: &Store, pack: &PackRecord, place: &Place) -> bool {
        let mut known = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = (pack.name, place.frame.offset);
        *known
            .entry(frame)
            .or_insert_with(|| store.frames().stored(&pack.name, &place.frame).is_ok())
    }

    fn mark(
        &mut self,
        store: &Store,
        roots: &Roots,
        monitor: &dyn Monitor,
    ) -> Result<(), PruneError> {
        let mut walk = Walk::new(store);
        let (mut met, mut bases) = (store.object_set(), store.object_set());
        for (id, kind) in &roots.objects {
            let root = Reached { id: *id, kind: *kind, path: None };
            walk.run::<PruneError>(&root, &mut |reached| {
                if monitor.is_cancelled() {
                    return Err(PruneError::Cancelled);
                }
                let Reached { id, kind, .. } = *reached;
                let found = self.copy(store, &id, bases.contains(&id))?;
                let Some(found) = found else {
                    return Err(PruneError::Needed(ReadError::Missing { id, kind }));
                };
                met.insert(&id);
                if let Some(base) = found.base()
                    && bases.insert(&base.id)
                    && self.copy(store, &base.id, true)?.is_none()
                {
                    // Other copies of it may be sound, and are of no use to what is a difference from it.
                    let missing = ReadError::Missing { id: base.id, kind: base.kind };
                    let error = store.load_base(&base).err().unwrap_or(missing);
                    return Err(PruneError::Needed(error));
                }
                Ok(Some(found))
            })?;
        }
        self.met = met;
        self.bases = bases;
        self.reached = walk.into_reached();
        Ok(())
    }

    /// Whether an object of this kind is needed. A tree that is needed only because something is
    /// stored as a difference from it is not: what it refers to may be gone.
    fn needs(&self, id: &Id, kind: Kind) -> bool {
        match kind {
            Kind::Tree | Kind::Snapshot => self.reached.contains(id),
            _ => self.met.contains(id) && !self.lone.contains(id),
        }
    }

    /// Lets bases go that nobody leads to and that one object alone is stored as a difference from, where
    /// both are in packs that are stored again: that object is stored whole, in about the room of the two,
    /// and read without a base from then on.
    pub(super) fn release_lone_bases(
        &mut self,
        store: &Store,
        choice: &Choice,
        monitor: &dyn Monitor,
    ) -> Result<(), PruneError> {
        let repacked: BTreeSet<&Id> = choice.repacked.iter().collect();
        if repacked.is_empty() {
            return Ok(());
        }
        let gone: BTreeSet<&Id> = choice.dead.iter().chain(&choice.unindexed).collect();
        let is_stored_again = |id: &Id| {
            let found = self.chosen(store, id).ok().flatten().and_then(|found| found.pack);
            found.is_some_and(|found| repacked.contains(&found.pack.name))
        };
        let mut lone = LoneBases::new(store);
        self.for_each_copy(store, monitor, |pack, id, place| {
            let Some(base) = place.base else { return };
            if gone.contains(pack) || self.reached.contains(&base.id) {
                return;
            }
            let is_stored_whole = match repacked.contains(pack) {
                false => false,
                true if !self.is_live(store, id, pack, place) => return,
                true => lone.bases.insert(&base.id) && is_stored_again(&base.id),
            };
            if !is_stored_whole {
                lone.kept.insert(&base.id);
            }
        })?;
        self.lone = lone;
        Ok(())
    }

    /// Whether a stored copy is the chosen one of an object that is needed.
    pub(super) fn is_live(&self, store: &Store, id: &Id, pack: &Id, place: &Place) -> bool {
        let is_it = |found: Found| {
            found.pack.is_some_and(|chosen| {
                chosen.pack.name == *pack
                    && chosen.place.frame.offset == place.frame.offset
                    && chosen.place.offset == place.offset
            })
        };
        self.needs(id, place.kind) && self.chosen(store, id).ok().flatten().is_some_and(is_it)
    }

    /// Whether all that a stored copy refers to is needed, and so is what it is stored as a difference from, in a
    /// copy that can be a base.
    ///
    /// What an unneeded tree, snapshot or list refers to is not looked at; mostly some of it is not.
    pub(super) fn may_stay(&self, store: &Store, place: &Place, is_live: bool) -> bool {
        let refers = matches!(place.kind, Kind::Tree | Kind::Snapshot) || place.is_list;
        let is_whole = |found: Found| !found.is_list && found.base().is_none();
        let keeps_base = |base: Base| {
            self.needs(&base.id, base.kind)
                && (self.bases.contains(&base.id)
                    || self.chosen(store, &base.id).ok().flatten().is_some_and(is_whole))
        };
        (is_live || !refers) && place.base.is_none_or(keeps_base)
    }

    /// Calls `each` with every copy in the packs that are there: each pack once, though several
    /// segments may cover it.
    pub(super) fn for_each_copy(
        &self,
        store: &Store,
        monitor: &dyn Monitor,
        mut each: impl FnMut(&Id, &Id, &Place),
    ) -> Result<(), PruneError> {
        let mut passed: BTreeSet<Id> = BTreeSet::new();
        for segment in store.segments().list() {
            let Some(index) = segment.index() else { continue };
            let records = segment.packs();
            let wanted: Vec<Option<Id>> = records
                .iter()
                .map(|record| {
                    (self.has(record) && passed.insert(record.name)).then_some(record.name)
                })
                .collect();
            if wanted.iter().all(Option::is_none) {
                continue;
            }
            let file = || match segment.name {
                Some(name) => store.backend().describe(&format!("index/{name}.idx")),
                None => store.backend().describe("index"),
            };
            for number in 0..index.object_count() {
                if number % LOOK_EVERY == 0 && monitor.is_cancelled() {
                    return Err(PruneError::Cancelled);
                }
                let (Some(id), Ok(place)) = (index.id(number), index.place(number)) else {
                    return Err(PruneError::Index { file: file() });
                };
                if let Some(Some(pack)) = wanted.get(place.pack as usize) {
                    each(pack, &id, &place);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, store: &Store, monitor: &dyn Monitor) -> Result<(), PruneError> {
        let mut packs = self.packs.clone();
        let (mut live_objects, mut dead_copies) = (0, 0);
        self.for_each_copy(store, monitor, |pack, id, place| {
            let Some(tally) = packs.get_mut(pack) else { return };
            let is_live = self.is_live(store, id, pack, place);
            let share = u64::from(place.length) * u64::from(place.frame.stored_length)
                / u64::from(place.frame.raw_length.max(1));
            if is_live {
                live_objects += 1;
                tally.live_objects += 1;
                tally.live_bytes += share;
            } else {
                dead_copies += 1;
                tally.dead_bytes += share;
            }
            tally.holds_needed |= self.met.contains(id);
            tally.must_go |= !self.may_stay(store, place, is_live);
            if place.kind.is_metadata() || place.is_list {
                tally.class = PackClass::Metadata;
            }
        })?;
        self.packs = packs;
        self.live_objects = live_objects;
        self.dead_copies = dead_copies;
        Ok(())
    }

    fn count_loose(&mut self, store: &Store) -> Result<(), PruneError> {
        let mut dead = BTreeSet::new();
        let (mut dead_bytes, mut live) = (0, 0);
        store.for_each_loose(|id, length_bytes| {
            let is_needed = self.met.contains(&id);
            let chosen = if is_needed { self.chosen(store, &id)? } else { None };
            // One that is in a pack too is kept if that copy is damaged.
            let is_better = |found: Found| match found.pack {
                Some(copy) => !self.is_sound(store, &copy.pack, &copy.place),
                None => true,
            };
            let is_kept = |found: Found| self.needs(&id, found.kind) && is_better(found);
            if chosen.is_some_and(is_kept) {
                live += 1;
            } else {
                dead_bytes += length_bytes;
                dead.insert(id);
            }
            Ok::<(), ReadError>(())
        })?;
        self.dead_loose = dead;
        self.dead_loose_bytes = dead_bytes;
        self.live_objects += live;
        Ok(())
    }

    /// Whether jobs or refs lead to a loose object, or something that is needed is a difference from it.
    pub(super) fn is_met(&self, id: &Id) -> bool {
        self.met.contains(id)
    }
}

/// All packs that are there.
fn list_packs(store: &Store) -> Result<BTreeMap<Id, PackTally>, PruneError> {
    let listed = store.backend().list("packs")?;
    let pack = |listed: crate::backend::Listed| {
        let name = listed.name.strip_suffix(".pack")?.parse().ok()?;
        let tally = PackTally {
            length_bytes: listed.length_bytes,
            live_objects: 0,
            live_bytes: 0,
            dead_bytes: 0,
            must_go: false,
            holds_needed: false,
            class: PackClass::Content,
            is_indexed: false,
        };
        Some((name, tally))
    };
    Ok(listed.into_iter().filter_map(pack).collect())
}
