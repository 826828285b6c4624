//! What it takes to make a lost index again, for whoever holds the maintenance lock.
//!
//! Invariant: a segment that names a pack which is to go is replaced by one that does not, durably,
//! before it is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::segments::{Segment, segment_file};
use super::{ReadError, Store, WriteError};
use crate::backend::Mapped;
use crate::base::id::Id;
use crate::format::index::IndexBuilder;

impl Store {
    /// Looks again at the segments, reading all of each; the files of those that are not sound,
    /// which are not used any more.
    ///
    /// # Errors
    ///
    /// They cannot be listed, or one is of a later version.
    pub fn reload_sound_segments(&self) -> Result<Vec<String>, ReadError> {
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

    /// Replaces every segment that names one of these packs by one that does not. Durable on return.
    ///
    /// # Errors
    ///
    /// A segment is damaged, the backend refuses, or the session was fenced.
    pub fn leave_out_packs(&self, session: &str, packs: &BTreeSet<Id>) -> Result<(), WriteError> {
        for segment in self.segments.list() {
            let (Some(name), Some(index)) = (segment.name, segment.index()) else { continue };
            if !segment.packs().iter().any(|record| packs.contains(&record.name)) {
                continue;
            }
            let mut builder = IndexBuilder::default();
            builder.replace_without(name, &index, packs).map_err(|source| {
                let file = self.backend.describe(&segment_file(&name));
                ReadError::File { file, source }
            })?;
            self.publish_segment(session, builder)?;
            self.backend.sync("index")?;
            self.segments.retain(|other| other.name != Some(name));
            self.backend.remove(&segment_file(&name))?;
        }
        Ok(())
    }
}
