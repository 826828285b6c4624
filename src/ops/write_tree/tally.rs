//! What one thread of a scan, and in the end all of them, counted.

use std::collections::BTreeMap;

use crate::format::snapshot::Counts;
use crate::os::FileIdentity;
use crate::source::owners::Owners;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// New, changed, unchanged.
    pub(super) files: [u64; 3],
    /// The same.
    pub(super) directories: [u64; 3],
    pub(super) bytes_read: u64,
    /// Unchanged entries of which something was lost.
    pub(super) healed: u64,
    pub(super) missing_includes: u64,
    pub(super) includes: u64,
    /// Paths of everything with more than one name, by what they name.
    pub(super) links: BTreeMap<FileIdentity, Vec<Box<[u8]>>>,
    pub(super) owners: Owners,
}

impl Tally {
    /// Takes over what another thread counted.
    pub(super) fn join(&mut self, other: Self) {
        self.counts.join(&other.counts);
        for (sum, more) in self.files.iter_mut().zip(other.files) {
            *sum += more;
        }
        for (sum, more) in self.directories.iter_mut().zip(other.directories) {
            *sum += more;
        }
        self.bytes_read += other.bytes_read;
        self.healed += other.healed;
        self.missing_includes += other.missing_includes;
        self.includes += other.includes;
        for (identity, mut paths) in other.links {
            self.links.entry(identity).or_default().append(&mut paths);
        }
        self.owners.join(other.owners);
    }
}
