//! Whether a writer may rely on what is stored, or has to store it again.
//!
//! Invariant: an object is present only if a copy of it can be decoded as far as is known: its pack is
//! there, nothing in the way is condemned or was found damaged, and what it is a difference from is
//! there too. To know less never means more than to store something twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::frames::pack_file;
use super::segments::parse_file_name;
use super::{ReadError, Store, Stored};
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::codec::{put_bytes, put_length, put_signed, put_varint};
use crate::format::delta::Base;
use crate::format::index::{PackRecord, Place};
use crate::format::list::{List, Section, Segment};

/// Stored data that a check has found damaged: it is still there, and not to be relied on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distrusted {
    /// Packs, and the bytes at which the damaged frames of each begin; none where the damage is in no
    /// frame.
    pub frames: BTreeMap<Id, BTreeSet<u64>>,
    /// Loose objects.
    pub loose: BTreeSet<Id>,
}

impl Distrusted {
    /// Whether nothing was found damaged.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.loose.is_empty()
    }
}

impl Store {
    /// Sets what must not be relied on because it is damaged.
    pub fn distrust(&self, distrusted: Distrusted) {
        *self.distrusted.write().unwrap_or_else(PoisonError::into_inner) = distrusted;
    }

    /// Whether the object is stored, not condemned, and not known to be damaged.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn is_present(&self, id: &Id) -> Result<bool, ReadError> {
        if self.is_packed(id) {
            return Ok(true);
        }
        if !self.may_use_loose(id) || !self.has_loose(id)? {
            return Ok(false);
        }
        // Whoever relies on the name must make it durable before publishing what refers to it.
        self.note_loose_unsynced(id);
        Ok(true)
    }

    /// Whether a pack holds the object that is there and not condemned, nor known to be damaged where
    /// that stands; with what it is a difference from.
    pub fn is_packed(&self, id: &Id) -> bool {
        let mut base = None;
        let is_found = self.segments.is_present(id, |pack, place| {
            base = place.base;
            self.may_use(pack, place)
        });
        match base {
            Some(base) if is_found => self.has_base(&base) || self.is_packed_otherwise(id),
            _ => is_found,
        }
    }

    /// Whether any copy will do, where the first one lacks what it is a difference from.
    fn is_packed_otherwise(&self, id: &Id) -> bool {
        let mut bases = Vec::new();
        let is_whole = self.segments.is_present(id, |pack, place| {
            let may_use = self.may_use(pack, place);
            bases.extend(place.base.filter(|_| may_use));
            may_use && place.base.is_none()
        });
        is_whole || bases.iter().any(|base| self.has_base(base))
    }

    fn has_base(&self, base: &Base) -> bool {
        let place = self.segments.place_of_base(&base.id, |pack, place| self.may_use(pack, place));
        place.is_some_and(|place| place.kind == base.kind)
            || self.may_use_loose(&base.id) && self.has_loose(&base.id).unwrap_or(false)
    }

    /// Whether what stands at a place of a pack is there, as far as is known.
    pub(super) fn may_use(&self, pack: &PackRecord, place: &Place) -> bool {
        let distrusted = self.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        let frames = &distrusted.frames;
        let is_damaged = !frames.is_empty()
            && frames.get(&pack.name).is_some_and(|frames| frames.contains(&place.frame.offset));
        drop(distrusted);
        !is_damaged && self.has_pack(pack)
    }

    /// Whether the loose file of the object may be relied on, if there is one.
    pub(super) fn may_use_loose(&self, id: &Id) -> bool {
        let distrusted = self.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        !distrusted.loose.contains(id) && !self.segments.is_condemned_loose(id)
    }

    /// Whether the pack is there with the length that its index says: an index alone is no reason
    /// not to store an object. Asked once for each pack.
    pub(super) fn has_pack(&self, pack: &PackRecord) -> bool {
        let known = self.packs_there.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(is_there) = known.get(&pack.name) {
            return *is_there;
        }
        drop(known);
        let length = self.backend.length(&pack_file(&pack.name));
        let is_there = length.is_ok_and(|length| length == Some(pack.length_bytes));
        let mut known = self.packs_there.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(pack.name, is_there);
        is_there
    }

    /// Whether the object is present, and so is every page and chunk of a long one. Only lists are
    /// read, and their pages.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn is_intact(&self, id: &Id, kind: Kind) -> Result<bool, ReadError> {
        if !self.is_present(id)? {
            return Ok(false);
        }
        let places = self.segments.places(id);
        let is_whole = |place: &Place| place.kind == kind && !place.is_list;
        let is_short = !kind.may_be_list()
            || !places.is_empty() && places.iter().all(|(_, place)| is_whole(place));
        if is_short {
            return Ok(true);
        }
        match self.load_from_known_places(id, kind) {
            Ok(Stored::Whole(_)) => Ok(true),
            Ok(Stored::List(list)) => self.has_parts(kind, &list),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_parts(&self, kind: Kind, list: &List) -> Result<bool, ReadError> {
        for pages in [paged(&list.segments), paged(&list.values)] {
            for page in pages {
                if !self.is_present(page)? {
                    return Ok(false);
                }
            }
        }
        let mut is_intact = true;
        let walked = self.for_each_segment(list, |segment| {
            if let Segment::Chunk { id, .. } = segment {
                is_intact = is_intact && self.is_intact(&id, kind.chunk_kind())?;
            }
            Ok(())
        });
        match walked {
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(is_intact),
        }
    }

    /// Names of packs that segments cover and that are not there with the length that these say.
    ///
    /// # Errors
    ///
    /// The packs cannot be listed.
    pub fn vanished_packs(&self) -> Result<BTreeSet<Id>, ReadError> {
        let listed = self.backend.list("packs")?;
        let packs = listed.iter().filter_map(|listed| {
            Some((parse_file_name(&listed.name, ".pack")?, listed.length_bytes))
        });
        let there: BTreeMap<Id, u64> = packs.collect();
        let covered = self.covered_packs().into_iter();
        let gone = covered.filter(|(name, length_bytes)| there.get(name) != Some(length_bytes));
        Ok(gone.map(|(name, _)| name).collect())
    }

    /// A hash that changes whenever something may have been lost that was stored: with every pack that
    /// vanishes, with what is known to be damaged or was set aside, with loose objects that come or go.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn losses(&self) -> Result<[u8; 32], ReadError> {
        let mut text = Vec::new();
        let vanished = self.vanished_packs()?;
        put_length(&mut text, vanished.len());
        vanished.iter().for_each(|name| text.extend_from_slice(name.as_bytes()));
        let lost = self.backend.list(crate::backend::LOST_DIRECTORY)?;
        put_length(&mut text, lost.len());
        lost.iter().for_each(|listed| put_bytes(&mut text, listed.name.as_bytes()));
        for listed in self.backend.list("objects")? {
            put_bytes(&mut text, listed.name.as_bytes());
            if let Some(changed) = self.backend.changed(&format!("objects/{}", listed.name))? {
                put_signed(&mut text, changed.seconds);
                put_varint(&mut text, u64::from(changed.nanoseconds));
            }
        }
        let distrusted = self.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        for (name, frames) in &distrusted.frames {
            text.extend_from_slice(name.as_bytes());
            frames.iter().for_each(|offset| put_varint(&mut text, *offset));
        }
        put_length(&mut text, distrusted.loose.len());
        distrusted.loose.iter().for_each(|id| text.extend_from_slice(id.as_bytes()));
        Ok(plain(&text))
    }
}

fn paged<T>(section: &Section<T>) -> &[Id] {
    match section {
        Section::Inline(_) => &[],
        Section::Paged(pages) => pages,
    }
}
