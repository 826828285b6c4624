//! Where objects are: questions that need no object bytes.

use std::collections::BTreeSet;

use super::segments::parse_file_name;
use super::{ReadError, Store};
use crate::base::id::{Id, unhex};
use crate::base::kind::Kind;
use crate::format::delta::Base;
use crate::format::index::{PackRecord, Place};

/// A place in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackPlace {
    /// The pack.
    pub pack: PackRecord,
    /// Where in it.
    pub place: Place,
}

/// What is known of a stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// Whether it is stored as a list.
    pub is_list: bool,
    /// Its place in a pack; `None` for a loose object.
    pub pack: Option<PackPlace>,
    /// The bytes stored for it: of its loose file, or its share of its frame.
    pub stored_bytes: u64,
    /// Its stored bytes, uncompressed; of the list, where it is one.
    pub length_bytes: u64,
}

impl Found {
    pub(super) fn packed(pack: PackRecord, place: Place) -> Self {
        let stored = u128::from(place.length) * u128::from(place.frame.stored_length)
            / u128::from(place.frame.raw_length.max(1));
        Self {
            kind: place.kind,
            is_list: place.is_list,
            pack: Some(PackPlace { pack, place }),
            stored_bytes: u64::try_from(stored).unwrap_or(u64::MAX),
            length_bytes: u64::from(place.length),
        }
    }
}

impl Found {
    /// What it is stored as a difference from; `None` if it needs no other object.
    pub fn base(&self) -> Option<Base> {
        self.pack.and_then(|pack| pack.place.base)
    }
}

impl Store {
    /// What is known of an object; `None` if it is not stored.
    ///
    /// # Errors
    ///
    /// The backend fails, or a loose file is damaged.
    pub fn find(&self, id: &Id) -> Result<Option<Found>, ReadError> {
        if let Some((pack, place)) = self.segments.first_place(id) {
            return Ok(Some(Found::packed(pack, place)));
        }
        self.find_loose(id)
    }

    fn find_loose(&self, id: &Id) -> Result<Option<Found>, ReadError> {
        Ok(self.read_loose(id)?.map(|(loose, stored_bytes)| Found {
            kind: loose.kind,
            is_list: loose.is_list,
            pack: None,
            stored_bytes,
            length_bytes: loose.bytes.len() as u64,
        }))
    }

    /// As [`Store::find`], but in packs of which `is_there` holds; of several copies, one that needs no base
    /// where there is one, and of which `is_usable` holds, which is told whether there is no other in a pack. If
    /// that holds of none, a loose copy.
    ///
    /// # Errors
    ///
    /// As [`Store::find`].
    pub fn find_where(
        &self,
        id: &Id,
        is_there: impl Fn(&PackRecord) -> bool,
        is_usable: impl Fn(&PackRecord, &Place, bool) -> bool,
    ) -> Result<Option<Found>, ReadError> {
        let mut places = self.segments.places(id);
        places.retain(|(pack, _)| is_there(pack));
        // What is stored as a difference from the object wants a copy that is none, condemned or not.
        places.sort_by_key(|(_, place)| !place.is_list && place.base.is_some());
        let is_alone = places.len() == 1;
        let usable = places.iter().find(|(pack, place)| is_usable(pack, place, is_alone));
        if let Some((pack, place)) = usable {
            return Ok(Some(Found::packed(*pack, *place)));
        }
        match (self.find_loose(id), places.first()) {
            (Ok(None) | Err(_), Some((pack, place))) => Ok(Some(Found::packed(*pack, *place))),
            (loose, _) => loose,
        }
    }

    /// The copy of an object from which others can be decoded that are stored as a difference from it: as
    /// [`Store::find_where`], but only one that is whole.
    ///
    /// # Errors
    ///
    /// As [`Store::find`].
    pub fn find_base_where(
        &self,
        id: &Id,
        is_there: impl Fn(&PackRecord) -> bool,
        is_usable: impl Fn(&PackRecord, &Place, bool) -> bool,
    ) -> Result<Option<Found>, ReadError> {
        let mut places = self.segments.places(id);
        places.retain(|(pack, _)| is_there(pack));
        let is_alone = places.len() == 1;
        let whole = places.into_iter().filter(|(_, place)| place.is_whole());
        let mut usable = whole.filter(|(pack, place)| is_usable(pack, place, is_alone));
        match usable.next() {
            Some((pack, place)) => Ok(Some(Found::packed(pack, place))),
            None => Ok(self.find_loose(id)?.filter(|found| !found.is_list)),
        }
    }

    /// As [`Store::find`]; where no index knows the object, footers of packs that no sound index
    /// covers are read too.
    ///
    /// # Errors
    ///
    /// As [`Store::find`].
    pub fn find_anywhere(&self, id: &Id) -> Result<Option<Found>, ReadError> {
        match self.find(id)? {
            None if self.recover_index()? => self.find(id),
            found => Ok(found),
        }
    }

    /// Whether a prune has condemned the loose file of the object.
    pub fn is_condemned_loose(&self, id: &Id) -> bool {
        self.segments.is_condemned_loose(id)
    }

    /// Whether a prune has condemned anything.
    pub fn has_condemned(&self) -> bool {
        self.segments.has_condemned()
    }

    /// The place in a pack where a look-up finds the object first; `None` if it is loose or absent.
    pub fn first_place(&self, id: &Id) -> Option<PackPlace> {
        self.segments.first_place(id).map(|(pack, place)| PackPlace { pack, place })
    }

    /// The bytes of the object itself, also where a list is stored; reads that list.
    ///
    /// # Errors
    ///
    /// As [`Store::load`].
    pub fn size_bytes(&self, id: &Id, found: &Found) -> Result<u64, ReadError> {
        if !found.is_list {
            return Ok(found.length_bytes);
        }
        self.load(id, found.kind).map(|stored| stored.length_bytes())
    }

    /// Ids that begin with these digits, at most `limit` of them, in order.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn ids_with_prefix(&self, digits: &str, limit: usize) -> Result<Vec<Id>, ReadError> {
        let first = digits.to_owned() + &"0".repeat(64_usize.saturating_sub(digits.len()));
        let Some(first) = unhex(&first).and_then(|bytes| Id::from_slice(&bytes)) else {
            return Ok(Vec::new());
        };
        let mut ids = BTreeSet::new();
        for segment in self.segments.list() {
            let Some(index) = segment.index() else { continue };
            let mut number = index.from_prefix(&first);
            while let Some(id) = index.id(number).filter(|id| id.to_hex().starts_with(digits)) {
                ids.insert(id);
                if ids.len() > limit.saturating_mul(2) {
                    break;
                }
                number += 1;
            }
        }
        if let Some(head) = digits.get(..2) {
            for listed in self.backend.list(&format!("objects/{head}"))? {
                let id = parse_file_name(&format!("{head}{}", listed.name), "");
                ids.extend(id.filter(|_| format!("{head}{}", listed.name).starts_with(digits)));
            }
        }
        Ok(ids.into_iter().take(limit).collect())
    }
}
