//! Every stored object once: the ids of all index segments and loose directories, merged.
//!
//! Invariant: nothing is loaded as a whole. Segments are passed through where they are mapped, 48
//! bytes an object; of loose objects the names in one of the 256 directories are held. In the order
//! of packs, the names of all packs and the footer of one are.

use std::collections::{BTreeMap, BTreeSet};

use super::frames::pack_file;
use super::locate::Found;
use super::loose::loose_file;
use super::merge::Merge;
use super::pack_writer::read_footer;
use super::segments::{Segment, parse_file_name};
use super::{ReadError, Store};
use crate::base::id::{Id, unhex};
use crate::format::index::{Index, PackRecord, Place};
use crate::format::loose;
use crate::format::pack::PackClass;

/// Bytes from the front of a loose file that hold its header, whatever the compressor did.
const LOOSE_HEAD_BYTES: u64 = 1024;

/// An object that is stored.
#[derive(Debug)]
pub struct StoredObject {
    /// Its id.
    pub id: Id,
    /// What is known of it, as [`Store::find`] tells it; or why its loose file cannot be used.
    pub found: Result<Found, ReadError>,
    /// How many places hold it.
    pub copies: u64,
}

/// The places of one object, each once.
#[derive(Debug, Default)]
struct Places {
    /// The one that a look-up finds first.
    first: Option<(PackRecord, Place)>,
    packed: Vec<(Id, u64, u32)>,
    loose_bytes: Option<u64>,
}

impl Places {
    fn add(&mut self, pack: PackRecord, place: Place) {
        // Two segments may cover one pack.
        let key = (pack.name, place.frame.offset, place.offset);
        if !self.packed.contains(&key) {
            self.packed.push(key);
            // As a look-up does, which goes by the places that need no base.
            if self.first.is_none_or(|(_, first)| first.base.is_some() && place.base.is_none()) {
                self.first = Some((pack, place));
            }
        }
    }

    fn copies(&self) -> u64 {
        self.packed.len() as u64 + u64::from(self.loose_bytes.is_some())
    }
}

/// One sorted sequence of ids, each with its number in a segment or the bytes of its loose file.
enum Ids<'a> {
    Segment(Index<'a>, u64),
    Loose(LooseIds<'a>),
}

impl Iterator for Ids<'_> {
    type Item = (Id, u64);

    fn next(&mut self) -> Option<(Id, u64)> {
        match self {
            Self::Segment(index, next) => {
                let number = *next;
                *next += 1;
                index.id(number).map(|id| (id, number))
            }
            Self::Loose(ids) => ids.next(),
        }
    }
}

/// The ids of all loose objects, in order, with the bytes of their files.
struct LooseIds<'s> {
    store: &'s Store,
    heads: std::vec::IntoIter<String>,
    head: std::vec::IntoIter<(Id, u64)>,
    /// Why the sequence ended early.
    failed: &'s std::cell::Cell<Option<ReadError>>,
}

impl<'s> LooseIds<'s> {
    fn new(
        store: &'s Store,
        failed: &'s std::cell::Cell<Option<ReadError>>,
    ) -> Result<Self, ReadError> {
        let heads = store.backend.list("objects")?.into_iter().map(|listed| listed.name);
        let heads: Vec<String> =
            heads.filter(|name| unhex(name).is_some_and(|bytes| bytes.len() == 1)).collect();
        Ok(Self { store, heads: heads.into_iter(), head: Vec::new().into_iter(), failed })
    }
}

impl Iterator for LooseIds<'_> {
    type Item = (Id, u64);

    fn next(&mut self) -> Option<(Id, u64)> {
        loop {
            if let Some(next) = self.head.next() {
                return Some(next);
            }
            let head = self.heads.next()?;
            match self.store.backend.list(&format!("objects/{head}")) {
                Ok(listed) => {
                    let id = |name: &str| parse_file_name(&format!("{head}{name}"), "");
                    let ids = listed.iter().filter(|listed| !listed.is_directory);
                    let ids: Vec<_> = ids
                        .filter_map(|listed| Some((id(&listed.name)?, listed.length_bytes)))
                        .collect();
                    self.head = ids.into_iter();
                }
                Err(error) => {
                    self.failed.set(Some(error.into()));
                    return None;
                }
            }
        }
    }
}

impl Store {
    /// Calls `each` with every stored object once, in the order of their ids.
    ///
    /// # Errors
    ///
    /// A directory of loose objects cannot be listed; or what `each` returned.
    pub fn for_each_object<E: From<ReadError>>(
        &self,
        mut each: impl FnMut(StoredObject) -> Result<(), E>,
    ) -> Result<(), E> {
        let segments = self.segments.list();
        let failed = std::cell::Cell::new(None);
        // The newest first, as in a look-up; loose objects last.
        let indexes: Vec<_> = segments.iter().rev().filter_map(|segment| segment.index()).collect();
        let mut sequences: Vec<Ids<'_>> =
            indexes.iter().map(|index| Ids::Segment(*index, 0)).collect();
        sequences.push(Ids::Loose(LooseIds::new(self, &failed)?));
        let mut merge = Merge::new(sequences);
        let mut holders = Vec::new();
        while let Some(id) = merge.next_into(&mut holders) {
            let mut places = Places::default();
            for (sequence, value) in &holders {
                match indexes.get(*sequence) {
                    Some(index) => {
                        let place = index.place(*value);
                        if let Ok((pack, place)) =
                            place.and_then(|place| Ok((index.pack(place.pack)?, place)))
                        {
                            places.add(pack, place);
                        }
                    }
                    None => places.loose_bytes = Some(*value),
                }
            }
            if let Some(object) = self.stored_object(id, &places) {
                each(object)?;
            }
        }
        failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Calls `each` with every stored object once, pack by pack in the order in which they lie
    /// there, loose ones last: so whoever goes on to read them reads each frame once.
    ///
    /// # Errors
    ///
    /// As [`Store::for_each_object`].
    pub fn for_each_object_by_pack<E: From<ReadError>>(
        &self,
        mut each: impl FnMut(StoredObject) -> Result<(), E>,
    ) -> Result<(), E> {
        let segments = self.segments.list();
        let packs: BTreeSet<Id> =
            segments.iter().flat_map(|segment| segment.packs()).map(|record| record.name).collect();
        for pack in packs {
            let mut visit = |id: Id, place: (u64, u32)| {
                let places = self.places_of(id, None);
                let is_first = places.first.is_some_and(|(first, found)| {
                    first.name == pack && (found.frame.offset, found.offset) == place
                });
                match self.stored_object(id, &places).filter(|_| is_first) {
                    Some(object) => each(object),
                    None => Ok(()),
                }
            };
            let file = pack_file(&pack);
            let opened = self.frames.open_pack(&pack).map_err(ReadError::from);
            match opened.and_then(|opened| read_footer(&*opened, &file)) {
                Ok((_, frames)) => {
                    for frame in frames {
                        for (offset, object) in frame.object_offsets() {
                            visit(object.id, (frame.place.offset, offset))?;
                        }
                    }
                }
                // The index tells as well what lies there, only not in which order.
                Err(_) => {
                    for_each_of_pack(&segments, &pack, |id, place| {
                        visit(id, (place.frame.offset, place.offset))
                    })?;
                }
            }
        }
        self.for_each_loose(|id, stored_bytes| {
            let places = self.places_of(id, Some(stored_bytes));
            match self.stored_object(id, &places).filter(|_| places.first.is_none()) {
                Some(object) => each(object),
                None => Ok(()),
            }
        })
    }

    /// Calls `each` with every loose object and the bytes of its file, in the order of their ids.
    ///
    /// # Errors
    ///
    /// As [`Store::for_each_object`].
    pub fn for_each_loose<E: From<ReadError>>(
        &self,
        mut each: impl FnMut(Id, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = std::cell::Cell::new(None);
        for (id, stored_bytes) in LooseIds::new(self, &failed)? {
            each(id, stored_bytes)?;
        }
        failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// What each pack that an index covers is for, as far as its objects tell. 40 bytes a pack.
    pub fn pack_classes(&self) -> BTreeMap<Id, PackClass> {
        let mut classes = BTreeMap::new();
        for segment in self.segments.list() {
            let Some(index) = segment.index() else { continue };
            let packs = segment.packs();
            let mut of_segment = vec![PackClass::Content; packs.len()];
            for place in (0..index.object_count()).filter_map(|number| index.place(number).ok()) {
                if place.kind.is_metadata() || place.is_list {
                    let class = of_segment.get_mut(place.pack as usize);
                    class.into_iter().for_each(|class| *class = PackClass::Metadata);
                }
            }
            classes.extend(packs.into_iter().map(|pack| pack.name).zip(of_segment));
        }
        classes
    }

    fn places_of(&self, id: Id, loose_bytes: Option<u64>) -> Places {
        let mut places = Places { loose_bytes, ..Places::default() };
        for (pack, place) in self.segments.places(&id) {
            places.add(pack, place);
        }
        if loose_bytes.is_none() && self.has_loose(&id).unwrap_or(false) {
            places.loose_bytes = Some(0);
        }
        places
    }

    /// `None` if it has vanished, or its segment is damaged there.
    fn stored_object(&self, id: Id, places: &Places) -> Option<StoredObject> {
        let found = match places.first {
            Some((pack, place)) => Ok(Found::packed(pack, place)),
            None => self.peek_loose(&id, places.loose_bytes?).transpose()?,
        };
        Some(StoredObject { id, found, copies: places.copies() })
    }

    /// What the header of a loose file says; `None` if it has vanished.
    fn peek_loose(&self, id: &Id, stored_bytes: u64) -> Result<Option<Found>, ReadError> {
        let name = loose_file(id);
        let opened = match self.backend.open(&name) {
            Err(error) if error.is_missing() => return Ok(None),
            other => other?,
        };
        let mut head = vec![0; opened.length_bytes().min(LOOSE_HEAD_BYTES) as usize];
        opened.read_exact_at(&mut head, 0)?;
        let (kind, is_list, length_bytes) = loose::decode_head(&head)
            .map_err(|source| ReadError::File { file: self.backend.describe(&name), source })?;
        Ok(Some(Found { kind, is_list, pack: None, stored_bytes, length_bytes }))
    }
}

/// Calls `each` with what segments say lies in a pack. Passes through all of each such segment.
fn for_each_of_pack<E>(
    segments: &[std::sync::Arc<Segment>],
    pack: &Id,
    mut each: impl FnMut(Id, &Place) -> Result<(), E>,
) -> Result<(), E> {
    for segment in segments {
        let Some(index) = segment.index() else { continue };
        let is_it = |number: u32| index.pack(number).is_ok_and(|record| record.name == *pack);
        let Some(number) = (0..index.pack_count()).find(|number| is_it(*number)) else { continue };
        for object in 0..index.object_count() {
            let (Some(id), Ok(place)) = (index.id(object), index.place(object)) else { continue };
            if place.pack == number {
                each(id, &place)?;
            }
        }
    }
    Ok(())
}
