//! The index segments of a repository, and which of their packs may be relied on.
//!
//! Invariant: what a segment says is never trusted as content; a reader checks the bytes it leads to.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{Condemned, ReadError};
use crate::backend::{Backend, Mapped};
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::format::index::{Index, PackRecord, Place};
use crate::format::pack::FormatError;

/// Segments smaller than this many bytes are merged with others of their size, so that 100 million
/// objects are in some ten segments and a few dozen small ones, and no merge writes more than a GiB.
const MERGED_BYTES_MAX: usize = 128 << 20;
/// Segments of about one size that are merged into one.
const MERGE_COUNT: usize = 8;

/// One index segment.
#[derive(Debug)]
pub struct Segment {
    /// Its name: the BLAKE3 hash of its bytes; `None` for one made from footers, in memory only.
    pub name: Option<Id>,
    bytes: Mapped,
    is_whole: OnceLock<bool>,
}

impl Segment {
    /// Opens a segment from its bytes.
    ///
    /// # Errors
    ///
    /// Not an index, or one of a later version.
    pub fn new(name: Option<Id>, bytes: Mapped, file: String) -> Result<Self, ReadError> {
        match Index::open(&bytes) {
            Ok(_) => Ok(Self { name, bytes, is_whole: OnceLock::new() }),
            Err(error) => Err(ReadError::file(file, error)),
        }
    }

    /// The segment's tables; `None` cannot happen to one that was opened before.
    pub fn index(&self) -> Option<Index<'_>> {
        Index::open(&self.bytes).ok()
    }

    /// Whether the bytes are those that the name stands for. Reads all of them, once.
    pub fn is_whole(&self) -> bool {
        let matches = |name: Id| plain(&self.bytes) == *name.as_bytes();
        *self.is_whole.get_or_init(|| self.name.is_none_or(matches))
    }

    /// The packs that the segment covers.
    pub fn packs(&self) -> Vec<PackRecord> {
        let index = self.index();
        index.map_or_else(Vec::new, |index| {
            (0..index.pack_count()).filter_map(|number| index.pack(number).ok()).collect()
        })
    }

    /// Bytes of the segment.
    pub fn length_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The file name of a segment.
pub(super) fn segment_file(name: &Id) -> String {
    format!("index/{name}.idx")
}

/// The name in `name`, such as `<64 digits>.idx`.
pub(super) fn parse_file_name(name: &str, suffix: &str) -> Option<Id> {
    name.strip_suffix(suffix)?.parse().ok()
}

/// Drops those that others replace.
///
/// A segment and those it replaces can be seen together while they are being removed, and a listing
/// may show some of them only: what the new one says stands for all.
fn without_replaced(mut list: Vec<Arc<Segment>>) -> Vec<Arc<Segment>> {
    let indexes = list.iter().filter_map(|segment| segment.index());
    let replaced: BTreeSet<Id> = indexes.flat_map(|index| index.replaced()).collect();
    list.retain(|segment| segment.name.is_none_or(|name| !replaced.contains(&name)));
    list
}

/// How often segments are listed at most while others go.
const LOOKS_MAX: usize = 16;

/// All index segments, as of the last look.
#[derive(Debug, Default)]
pub struct Segments {
    list: RwLock<Vec<Arc<Segment>>>,
    condemned: RwLock<Condemned>,
}

impl Segments {
    pub(super) fn load(backend: &dyn Backend) -> Result<Self, ReadError> {
        let segments = Self::default();
        segments.reload(backend)?;
        Ok(segments)
    }

    /// Looks again at which segments there are. Those made from footers stay.
    pub(super) fn reload(&self, backend: &dyn Backend) -> Result<(), ReadError> {
        // What a segment said that has gone since it was listed, one says that came meanwhile.
        for _ in 0..LOOKS_MAX {
            if self.look(backend)? {
                break;
            }
        }
        Ok(())
    }

    /// Looks at which segments there are; whether all that were listed were still there.
    fn look(&self, backend: &dyn Backend) -> Result<bool, ReadError> {
        let known = self.list();
        let mut are_all_there = true;
        let mut list: Vec<Arc<Segment>> =
            known.iter().filter(|segment| segment.name.is_none()).cloned().collect();
        for listed in backend.list("index")? {
            let Some(name) = parse_file_name(&listed.name, ".idx") else { continue };
            if let Some(segment) = known.iter().find(|segment| segment.name == Some(name)) {
                list.push(Arc::clone(segment));
                continue;
            }
            let file = segment_file(&name);
            let bytes = match backend.map(&file) {
                Ok(bytes) => bytes,
                // One that cannot be used is as if it were not there: its packs are read by footer.
                Err(error) => {
                    are_all_there &= !error.is_missing();
                    continue;
                }
            };
            // A flipped bit must not pass for a later version.
            let is_later = matches!(Index::open(&bytes), Err(FormatError::Unsupported(_)))
                && plain(&bytes) == *name.as_bytes();
            match Segment::new(Some(name), bytes, file) {
                Ok(segment) => list.push(Arc::new(segment)),
                Err(error) if is_later => return Err(error),
                Err(_) => {}
            }
        }
        self.set(without_replaced(list));
        Ok(are_all_there)
    }

    /// As [`Self::reload`], and reads all of each segment; the files of those that are not sound,
    /// which are left out.
    pub(super) fn reload_sound(&self, backend: &dyn Backend) -> Result<Vec<String>, ReadError> {
        let (mut sound, mut unsound) = (Vec::new(), Vec::new());
        for listed in backend.list("index")? {
            let Some(name) = parse_file_name(&listed.name, ".idx") else { continue };
            let file = segment_file(&name);
            let bytes = match backend.map(&file) {
                Err(error) if error.is_missing() => continue,
                other => other.ok(),
            };
            let Some(bytes) = bytes.filter(|bytes| plain(bytes) == *name.as_bytes()) else {
                unsound.push(file);
                continue;
            };
            match Segment::new(Some(name), bytes, file.clone()) {
                Ok(segment) => sound.push(Arc::new(segment)),
                Err(error @ ReadError::Unsupported { .. }) => return Err(error),
                Err(_) => unsound.push(file),
            }
        }
        self.set(without_replaced(sound));
        Ok(unsound)
    }

    /// The segments.
    pub fn list(&self) -> Vec<Arc<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, list: Vec<Arc<Segment>>) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
    }

    pub(super) fn set_condemned(&self, condemned: Condemned) {
        *self.condemned.write().unwrap_or_else(PoisonError::into_inner) = condemned;
    }

    pub(super) fn condemned(&self) -> Condemned {
        self.condemned.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_condemned_loose(&self, id: &Id) -> bool {
        self.condemned.read().unwrap_or_else(PoisonError::into_inner).loose.contains(id)
    }

    pub(super) fn has_condemned(&self) -> bool {
        let condemned = self.condemned.read().unwrap_or_else(PoisonError::into_inner);
        !condemned.packs.is_empty() || !condemned.loose.is_empty()
    }

    pub(super) fn is_condemned_pack(&self, name: &Id) -> bool {
        self.condemned.read().unwrap_or_else(PoisonError::into_inner).packs.contains(name)
    }

    pub(super) fn add(&self, segment: Segment) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(segment));
    }

    /// Drops segments for which `keep` is false.
    pub(super) fn retain(&self, keep: impl Fn(&Segment) -> bool) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|segment| keep(segment));
    }

    /// All places of an object that are in whole records, with the names of their packs: first those
    /// that are not condemned, and among these the ones that need no base.
    pub fn places(&self, id: &Id) -> Vec<(PackRecord, Place)> {
        let mut places = Vec::new();
        self.visit(id, |pack, place| {
            places.push((pack, place));
            false
        });
        if places.len() > 1 {
            let condemned = self.condemned.read().unwrap_or_else(PoisonError::into_inner);
            let is_condemned = |pack: &PackRecord| condemned.packs.contains(&pack.name);
            places.sort_by_key(|(pack, place)| (is_condemned(pack), place.base.is_some()));
        }
        places
    }

    /// The place of an object that a look-up finds first.
    ///
    /// One that is condemned comes last: what its list refers to may be gone before it.
    pub fn first_place(&self, id: &Id) -> Option<(PackRecord, Place)> {
        if self.has_condemned() {
            return self.places(id).into_iter().next();
        }
        let mut first = None;
        self.visit(id, |pack, place| {
            first = Some((pack, place));
            true
        });
        first
    }

    /// Whether the object is stored in a place that is not in a condemned pack, and of which `is_there`
    /// holds. That must not ask for places itself. What only footers tell of is not relied on: a pack
    /// that no segment names may refer to what never came.
    pub(super) fn is_present(
        &self,
        id: &Id,
        mut is_there: impl FnMut(&PackRecord, &Place) -> bool,
    ) -> bool {
        let condemned = self.condemned.read().unwrap_or_else(PoisonError::into_inner);
        self.visit_published(id, |pack, place| {
            (condemned.packs.is_empty() || !condemned.packs.contains(&pack.name))
                && is_there(&pack, &place)
        })
    }

    /// Where the object is stored whole, outside of delta frames, in a pack that is not condemned, and
    /// in a place of which `is_there` holds.
    pub(super) fn place_of_base(
        &self,
        id: &Id,
        is_there: impl Fn(&PackRecord, &Place) -> bool,
    ) -> Option<Place> {
        let condemned = self.condemned.read().unwrap_or_else(PoisonError::into_inner);
        let mut base = None;
        self.visit_published(id, |pack, place| {
            let is_base = place.is_whole() && !condemned.packs.contains(&pack.name);
            base = Some(place).filter(|place| is_base && is_there(&pack, place));
            base.is_some()
        });
        base
    }

    /// Calls `found` for each place until it returns true; whether it did.
    fn visit(&self, id: &Id, found: impl FnMut(PackRecord, Place) -> bool) -> bool {
        self.visit_in(id, |_| true, found)
    }

    /// As [`Self::visit`], for places that segments tell which are files of the repository.
    fn visit_published(&self, id: &Id, found: impl FnMut(PackRecord, Place) -> bool) -> bool {
        self.visit_in(id, |segment| segment.name.is_some(), found)
    }

    fn visit_in(
        &self,
        id: &Id,
        is_asked: impl Fn(&Segment) -> bool,
        mut found: impl FnMut(PackRecord, Place) -> bool,
    ) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let asked = list.iter().rev().filter(|segment| is_asked(segment));
        asked.filter_map(|segment| segment.index()).any(|index| {
            index.find(id).any(|number| {
                let place = index.place(number);
                let pack = place.and_then(|place| index.pack(place.pack).map(|pack| (pack, place)));
                pack.is_ok_and(|(pack, place)| found(pack, place))
            })
        })
    }

    /// Segments of about one size, if there are enough of them to be merged into one.
    pub(super) fn to_merge(&self) -> Vec<Arc<Segment>> {
        let mut by_size: std::collections::BTreeMap<u32, Vec<Arc<Segment>>> =
            std::collections::BTreeMap::new();
        for segment in self.list() {
            if segment.name.is_some() && segment.length_bytes() < MERGED_BYTES_MAX {
                let size_class = segment.length_bytes().max(4096).ilog2() / MERGE_COUNT.ilog2();
                by_size.entry(size_class).or_default().push(segment);
            }
        }
        by_size.into_values().find(|group| group.len() >= MERGE_COUNT).unwrap_or_default()
    }
}
