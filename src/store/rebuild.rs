//! What it takes to make a lost index again, for whoever holds the maintenance lock.
//!
//! Invariant: a segment whose bytes are not those of its name is never used.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::segments::Segment;
use super::{ReadError, Store};
use crate::backend::Mapped;
use crate::base::id::Id;
use crate::format::index::IndexBuilder;

impl Store {
    /// Looks again at loose objects and at the segments, reading all of each segment; the files of
    /// those that are not sound, which are not used any more.
    ///
    /// # Errors
    ///
    /// They cannot be listed, or a segment is of a later version.
    pub fn reload_sound(&self) -> Result<Vec<String>, ReadError> {
        self.loose.reload(&*self.backend)?;
        self.segments.reload_sound(&*self.backend)
    }

    /// The packs that segments cover, and the bytes that each has as they say. 40 bytes a pack.
    pub fn covered_packs(&self) -> BTreeMap<Id, u64> {
        let segments = self.segments.list();
        let records = segments.iter().flat_map(|segment| segment.packs());
        records.map(|record| (record.name, record.length_bytes)).collect()
    }

    /// Whether a prune has condemned the pack.
    pub fn is_condemned_pack(&self, name: &Id) -> bool {
        self.segments.is_condemned_pack(name)
    }

    /// A store that finds these objects too, for reading only.
    ///
    /// # Errors
    ///
    /// The repository cannot be listed.
    pub fn with_unpublished(&self, unpublished: Vec<IndexBuilder>) -> Result<Self, ReadError> {
        let store = Self::open(Arc::clone(&self.backend), self.config.clone())?;
        store.segments.set(self.segments.list());
        for builder in unpublished {
            let bytes = Mapped::memory(builder.encode([0; 16]));
            store.segments.add(Segment::new(None, bytes, "an index in memory".into())?);
        }
        Ok(store)
    }
}
