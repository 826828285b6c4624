//! Doing without an index: footers of packs that no sound segment covers.
//!
//! Invariant: a damaged or lost index costs a reader time, never data. What is found this way is
//! used for reading only, since the packs of a killed writer may refer to what never came.

use std::collections::BTreeSet;

use super::frames::pack_file;
use super::pack_writer::read_footer;
use super::segments::{Segment, parse_file_name};
use super::{ReadError, Store};
use crate::backend::Mapped;
use crate::format::index::{IndexBuilder, PackRecord};

impl Store {
    /// Checks all segments, drops damaged ones, and reads the footers of packs not covered.
    ///
    /// Returns whether anything was found that was not known before.
    ///
    /// # Errors
    ///
    /// The repository cannot be listed.
    pub(super) fn recover_index(&self) -> Result<bool, ReadError> {
        let before: BTreeSet<_> = self.segments.list().iter().map(|segment| segment.name).collect();
        self.segments.reload(&*self.backend)?;
        self.segments.retain(Segment::is_whole);
        let mut covered = BTreeSet::new();
        for segment in self.segments.list() {
            covered.extend(segment.packs().into_iter().map(|pack| pack.name));
        }
        let mut builder = IndexBuilder::default();
        for listed in self.backend.list("packs")? {
            let Some(name) = parse_file_name(&listed.name, ".pack") else { continue };
            if covered.contains(&name) {
                continue;
            }
            let Ok(pack) = self.frames.open_pack(&name) else { continue };
            let file = self.backend.describe(&pack_file(&name));
            // A pack that is damaged itself cannot help, and what it held is reported as missing.
            if let Ok((_, frames)) = read_footer(&*pack, &file) {
                let record = PackRecord { name, length_bytes: pack.length_bytes() };
                builder.add_pack(record, &frames);
            }
        }
        let found_footers = !builder.is_empty();
        if found_footers {
            let bytes = Mapped::memory(builder.encode([0; 16]));
            self.segments.add(Segment::new(None, bytes, "index from footers".into())?);
        }
        let after: BTreeSet<_> = self.segments.list().iter().map(|segment| segment.name).collect();
        Ok(found_footers || !after.is_subset(&before))
    }
}
