//! What an earlier backup holds for a directory: as the stat index saw it, or as its tree.

use crate::base::monitor::Action;
use crate::format::codec::Reader;
use crate::format::tree::Entry;
use crate::source::stat_index::{SeenDirectory, SeenEntry, Stamp};

/// What is known of a directory from before.
#[derive(Debug)]
pub(super) enum Before {
    /// Nothing: it is new, or there was no backup.
    Nothing,
    /// What the stat index saw, and where its record is.
    Seen(SeenDirectory, u64),
    /// Its encoded tree.
    Tree(Vec<u8>),
}

/// What is known of one entry from before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'b> {
    pub(super) name: &'b [u8],
    /// The entry as its tree holds it, encoded.
    pub(super) encoded: &'b [u8],
    /// What tells it from a changed one, where that is known.
    pub(super) stamp: Option<Stamp>,
    /// Where the record of the directory is that it names; 0 where that is not known.
    pub(super) record: u64,
    /// Where it stands in the record of its directory.
    pub(super) place: usize,
}

impl<'b> From<SeenEntry<'b>> for Known<'b> {
    fn from(seen: SeenEntry<'b>) -> Self {
        let SeenEntry { name, encoded, stamp, record, place } = seen;
        Self { name, encoded, stamp: Some(stamp), record, place }
    }
}

impl Before {
    /// The entries, in order of names.
    pub(super) fn entries(&self) -> Box<dyn Iterator<Item = Known<'_>> + '_> {
        match self {
            Self::Nothing => Box::new(std::iter::empty()),
            Self::Seen(seen, _) => Box::new(seen.entries().map(Known::from)),
            Self::Tree(bytes) => {
                let mut reader = Reader::new(bytes);
                Box::new(std::iter::from_fn(move || {
                    let from = reader.offset();
                    Entry::decode(&mut reader).ok()?;
                    let encoded = bytes.get(from..reader.offset())?;
                    let name = Reader::new(encoded).bytes(usize::MAX, "").ok()?;
                    Some(Known { name, encoded, stamp: None, record: 0, place: from })
                }))
            }
        }
    }

    /// The entry that stands at this place.
    pub(super) fn at(&self, place: usize) -> Option<Known<'_>> {
        match self {
            Self::Seen(seen, _) => seen.entries_from(place).next().map(Known::from),
            _ => None,
        }
    }
}

/// What became of an entry, given how it was encoded before.
pub(super) fn compare(before: Option<&[u8]>, encoded: &[u8]) -> Action {
    match before {
        None => Action::New,
        Some(before) if before == encoded => Action::Unchanged,
        Some(_) => Action::Changed,
    }
}

/// The entry that was encoded so.
pub(super) fn decoded(encoded: &[u8]) -> Option<Entry> {
    Entry::decode(&mut Reader::new(encoded)).ok()
}

pub(super) fn encoded(entry: &Entry) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(entry.name.len() + 64);
    entry.encode(&mut bytes);
    bytes.into()
}
