//! One directory of a stat index: its tree, and each entry with what tells it from a changed one.
//!
//! Invariant: a record is handed out only if its checksum is right; what a power cut left of a cache
//! file must never pass for what was seen.

use super::Stamp;
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::format::codec::{DecodeError, Reader, put_bytes, put_signed, put_varint};

const CHECKSUM_BYTES: usize = 8;
/// Length and checksum.
pub(super) const HEAD_BYTES: usize = 4 + CHECKSUM_BYTES;
const WHOLE: u8 = 1;

/// One entry to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct NewEntry<'a> {
    /// The entry as its tree holds it, encoded.
    pub encoded: &'a [u8],
    /// What tells it from a changed one; `None` if it must never pass for unchanged.
    pub stamp: Option<Stamp>,
    /// Where the record of the directory is that the entry names; 0 if it names none.
    pub record: u64,
}

/// What was seen in one directory.
#[derive(Debug, Clone)]
pub struct SeenDirectory {
    tree: Id,
    is_whole: bool,
    count: usize,
    record: Box<[u8]>,
    /// Where the entries begin.
    entries: usize,
}

/// What was seen of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenEntry<'i> {
    /// Where it stands in the record, for [`SeenDirectory::entries_from`].
    pub place: usize,
    /// Its name.
    pub name: &'i [u8],
    /// The entry as its tree holds it, encoded.
    pub encoded: &'i [u8],
    /// Its inode, device and times; no inode has the number 0.
    pub stamp: Stamp,
    /// Where the record of the directory is that the entry names; 0 if it names none.
    pub record: u64,
}

/// Encodes the record of a directory. `is_whole` says that nothing in it was left out but by the
/// selection, so that the directory need not be listed again while its own times stand.
pub(super) fn encode<'a>(
    tree: &Id,
    is_whole: bool,
    entries: impl ExactSizeIterator<Item = NewEntry<'a>>,
) -> Vec<u8> {
    let mut out = vec![0; HEAD_BYTES];
    out.push(if is_whole { WHOLE } else { 0 });
    out.extend_from_slice(tree.as_bytes());
    put_varint(&mut out, entries.len() as u64);
    for entry in entries {
        put_bytes(&mut out, entry.encoded);
        let stamp = entry.stamp.unwrap_or_default();
        put_varint(&mut out, stamp.ino);
        put_varint(&mut out, stamp.dev);
        put_time(&mut out, stamp.ctime);
        put_time(&mut out, stamp.mtime);
        put_varint(&mut out, stamp.size_bytes);
        put_varint(&mut out, entry.record);
    }
    let (head, body) = out.split_at_mut(HEAD_BYTES);
    let (length, sum) = head.split_at_mut(4);
    length.copy_from_slice(&(body.len() as u32).to_le_bytes());
    sum.copy_from_slice(&plain(body)[..CHECKSUM_BYTES]);
    out
}

pub(super) fn put_time(out: &mut Vec<u8>, time: FileTime) {
    put_signed(out, time.seconds);
    put_varint(out, u64::from(time.nanoseconds));
}

pub(super) fn decode_time(reader: &mut Reader<'_>) -> Result<FileTime, DecodeError> {
    let seconds = reader.signed()?;
    let nanoseconds = reader.varint_to(999_999_999, "nanoseconds")?;
    Ok(FileTime { seconds, nanoseconds: nanoseconds as u32 })
}

/// Bytes of the record that begins so; `None` if these are too few to tell.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(HEAD_BYTES)
}

impl SeenDirectory {
    /// Reads a record; `None` if it is not one, or damaged.
    pub(super) fn decode(record: Box<[u8]>) -> Option<Self> {
        let (head, body) = record.split_at_checked(HEAD_BYTES)?;
        if !head.ends_with(&plain(body)[..CHECKSUM_BYTES]) {
            return None;
        }
        let mut reader = Reader::new(body);
        let is_whole = reader.u8().ok()? == WHOLE;
        let tree = reader.id().ok()?;
        let count = reader.count(8).ok()?;
        let entries = HEAD_BYTES + reader.offset();
        Some(Self { tree, is_whole, count, record, entries })
    }

    /// The tree of the directory.
    pub fn tree(&self) -> Id {
        self.tree
    }

    /// Whether nothing in it was left out but by the selection.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it was empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the record.
    pub(super) fn record_bytes(&self) -> usize {
        self.record.len()
    }

    /// The entries, in order of names.
    pub fn entries(&self) -> SeenEntries<'_> {
        self.entries_from(0)
    }

    /// The entries from the one on that stands at this place; see [`SeenEntry::place`].
    pub fn entries_from(&self, place: usize) -> SeenEntries<'_> {
        let entries = self.record.get(self.entries..).unwrap_or_default();
        SeenEntries { reader: Reader::new(entries.get(place..).unwrap_or_default()), from: place }
    }
}

/// The entries of a directory that was seen.
#[derive(Debug, Clone)]
pub struct SeenEntries<'i> {
    reader: Reader<'i>,
    from: usize,
}

impl<'i> Iterator for SeenEntries<'i> {
    type Item = SeenEntry<'i>;

    fn next(&mut self) -> Option<SeenEntry<'i>> {
        // What does not decode ends the entries: a sound checksum rules that out.
        let place = self.from + self.reader.offset();
        decode_entry(&mut self.reader, place).ok()
    }
}

fn decode_entry<'i>(reader: &mut Reader<'i>, place: usize) -> Result<SeenEntry<'i>, DecodeError> {
    let encoded = reader.bytes(usize::MAX, "entry")?;
    let name = Reader::new(encoded).bytes(usize::MAX, "name")?;
    let (ino, dev) = (reader.varint()?, reader.varint()?);
    let (ctime, mtime) = (decode_time(reader)?, decode_time(reader)?);
    let stamp = Stamp { ino, dev, ctime, mtime, size_bytes: reader.varint()? };
    Ok(SeenEntry { place, name, encoded, stamp, record: reader.varint()? })
}
