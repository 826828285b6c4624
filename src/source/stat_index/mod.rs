//! What the last backup saw of each entry, so that an unchanged one is neither opened nor read, and an
//! unchanged directory not even listed.
//!
//! Client-side and disposable. Invariant: an entry counts as unchanged only if inode, size, mtime
//! and ctime are what they were, and neither time is so close to the last scan that a later change
//! could hide behind it.
//!
//! Two files. The records, one for each directory, named by those of the directories above: later
//! scans append what has changed. And the binding, replaced by each scan, which says what the index belongs
//! to, where the root's record is, and where the records end. It also has the snapshot, should the
//! repository lose that, and tells what the repository had lost already: where it has lost more since,
//! what was seen need not be stored any more.

mod record;
mod writer;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use record::{NewEntry, SeenDirectory, SeenEntries, SeenEntry};
pub use writer::StatIndexWriter;

use self::record::{decode_time, put_time};
use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::format::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::os::{FileKind, Status};

const MAGIC: &[u8; 8] = b"RunUpSt3";
const RECORDS_SUFFIX: &str = ".seen";
/// As much of a record is read at once; most are shorter.
const FIRST_READ_BYTES: u64 = 4 << 10;
/// Coarsest time stamps of file systems still in use (FAT).
const RACY_SECONDS: i64 = 2;

/// What the stat index belongs to; with another one it is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The repository.
    pub repository_id: String,
    /// The snapshot that the scan made.
    pub snapshot: Id,
    /// The context directory.
    pub context: Vec<u8>,
}

/// What tells a changed file from an unchanged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Time of the last change of anything.
    pub ctime: FileTime,
    /// Time of the last change of the content.
    pub mtime: FileTime,
    /// Bytes of the content; 0 for a directory, whose length says nothing.
    pub size_bytes: u64,
}

impl From<&Status> for Stamp {
    fn from(status: &Status) -> Self {
        let &Status { ino, dev, ctime, mtime, kind, .. } = status;
        let size_bytes = if kind == FileKind::Directory { 0 } else { status.size_bytes };
        Self { ino, dev, ctime, mtime, size_bytes }
    }
}

/// What the binding says beside what the index belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    /// Names the file of the records.
    name: String,
    /// Bytes of records that were written when it was bound.
    end: u64,
    /// Of those, bytes that the root leads to.
    live: u64,
    /// Where the record of the root is.
    root: u64,
    /// A hash of what was selected.
    selection: [u8; 32],
    /// What had been lost of the repository by then, as a hash.
    losses: [u8; 32],
    /// The bytes of the snapshot that the scan made.
    made: Vec<u8>,
    /// When the scan began.
    scanned: FileTime,
}

impl Bound {
    fn encode(&self, binding: &Binding) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_bytes(&mut out, binding.repository_id.as_bytes());
        out.extend_from_slice(binding.snapshot.as_bytes());
        put_bytes(&mut out, &binding.context);
        put_bytes(&mut out, self.name.as_bytes());
        for number in [self.end, self.live, self.root] {
            put_varint(&mut out, number);
        }
        out.extend_from_slice(&self.selection);
        out.extend_from_slice(&self.losses);
        put_bytes(&mut out, &self.made);
        put_time(&mut out, self.scanned);
        let sum = plain(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<(Binding, Self), DecodeError> {
        let mut reader = Reader::new(bytes);
        let damaged = reader.error("not a stat index");
        let body = bytes.len().checked_sub(32).ok_or_else(|| damaged.clone())?;
        let is_sound = bytes.get(..body).is_some_and(|body| bytes.ends_with(&plain(body)));
        if !is_sound || &reader.array::<8>()? != MAGIC {
            return Err(damaged);
        }
        let repository_id =
            String::from_utf8_lossy(reader.bytes(64, "repository id")?).into_owned();
        let snapshot = reader.id()?;
        let context = reader.bytes(usize::MAX, "context")?.to_vec();
        let name = String::from_utf8_lossy(reader.bytes(64, "name")?).into_owned();
        let (end, live, root) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let (selection, losses) = (reader.array()?, reader.array()?);
        let made = reader.bytes(usize::MAX, "snapshot")?.to_vec();
        let scanned = decode_time(&mut reader)?;
        let bound = Self { name, end, live, root, selection, losses, made, scanned };
        Ok((Binding { repository_id, snapshot, context }, bound))
    }
}

/// The file of the records, beside the binding.
fn records_path(binding: &Path, name: &str) -> PathBuf {
    let mut path = binding.as_os_str().to_owned();
    path.push(format!(".{name}{RECORDS_SUFFIX}"));
    path.into()
}

/// The stat index of an earlier scan.
#[derive(Debug)]
pub struct StatIndex {
    records: File,
    bound: Bound,
}

impl StatIndex {
    /// Opens the stat index, if it is there, whole in its outline, and bound to the same things.
    pub fn open(path: &Path, binding: &Binding) -> Option<Self> {
        let (bound_to, bound) = Bound::decode(&std::fs::read(path).ok()?).ok()?;
        if bound_to != *binding {
            return None;
        }
        let records = File::open(records_path(path, &bound.name)).ok()?;
        let mut magic = [0; MAGIC.len()];
        records.read_exact_at(&mut magic, 0).ok()?;
        let is_whole = magic == *MAGIC && records.metadata().ok()?.len() >= bound.end;
        is_whole.then_some(Self { records, bound })
    }

    /// Whether what was selected then has this hash.
    pub fn has_selection(&self, selection: &[u8; 32]) -> bool {
        self.bound.selection == *selection
    }

    /// Whether nothing has been lost of the repository since then, so that what was seen is stored
    /// still.
    pub fn has_losses(&self, losses: &[u8; 32]) -> bool {
        self.bound.losses == *losses
    }

    /// The bytes of the snapshot that the scan made; empty if they were not kept.
    pub fn made(&self) -> &[u8] {
        &self.bound.made
    }

    /// Where the record of the root directory is.
    pub fn root(&self) -> u64 {
        self.bound.root
    }

    /// What was seen in the directory whose record is here; `None` if it is damaged, or 0.
    pub fn directory(&self, record: u64) -> Option<SeenDirectory> {
        let rest = self.bound.end.checked_sub(record).filter(|_| record >= MAGIC.len() as u64)?;
        let mut bytes = vec![0; rest.min(FIRST_READ_BYTES) as usize];
        self.records.read_exact_at(&mut bytes, record).ok()?;
        let length = record::length(&bytes).filter(|length| *length as u64 <= rest)?;
        let read = bytes.len().min(length);
        bytes.resize(length, 0);
        self.records.read_exact_at(bytes.get_mut(read..)?, record + read as u64).ok()?;
        SeenDirectory::decode(bytes.into())
    }

    /// Whether the entry is as it was: nothing about it has changed, nor could have unseen.
    pub fn is_unchanged(&self, seen: &Stamp, status: &Status) -> bool {
        let settled = self.bound.scanned.seconds.saturating_sub(RACY_SECONDS);
        *seen == Stamp::from(status)
            && status.mtime.seconds < settled
            && status.ctime.seconds < settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::{Entry, Metadata, Node};

    fn status(size_bytes: u64, mtime: i64, ctime: i64) -> Status {
        let time = |seconds| FileTime { seconds, nanoseconds: 5 };
        Status {
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size_bytes,
            mtime: time(mtime),
            ctime: time(ctime),
            ino: 7,
            dev: 8,
            nlink: 1,
            rdev_major: 0,
            rdev_minor: 0,
            blocks: 0,
        }
    }

    fn encoded(name: &str) -> Vec<u8> {
        let node = Node::File { size_bytes: 5, id: Id::from_bytes([2; 32]) };
        let mut out = Vec::new();
        let entry = Entry { name: name.as_bytes().into(), metadata: Metadata::default(), node };
        entry.encode(&mut out);
        out
    }

    fn binding() -> Binding {
        let snapshot = Id::from_bytes([1; 32]);
        Binding { repository_id: "ab".into(), snapshot, context: b"/c".to_vec() }
    }

    const SCANNED: FileTime = FileTime { seconds: 1000, nanoseconds: 0 };

    fn add(writer: &StatIndexWriter, name: &str, stamp: Stamp, record: u64) -> u64 {
        let encoded = encoded(name);
        let entry = NewEntry { encoded: &encoded, stamp: Some(stamp), record };
        writer.add(&Id::from_bytes([3; 32]), true, [entry].into_iter())
    }

    #[test]
    fn only_what_is_settled_and_the_same_counts_as_unchanged() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cache/p.stat");
        let writer = StatIndexWriter::create(&path, None, SCANNED).expect("writer");
        let child = add(&writer, "b", Stamp::from(&status(5, 900, 999)), 0);
        let root = add(&writer, "a", Stamp::from(&status(5, 900, 900)), child);
        writer.finish(&binding(), root, [4; 32]).expect("finish");
        let index = StatIndex::open(&path, &binding()).expect("index");
        assert!(index.has_selection(&[4; 32]) && !index.has_selection(&[5; 32]));
        let root = index.directory(index.root()).expect("record");
        assert!(root.is_whole() && root.tree() == Id::from_bytes([3; 32]));
        let [seen] = &root.entries().collect::<Vec<_>>()[..] else { panic!("one entry") };
        assert_eq!((seen.name, seen.encoded), (&b"a"[..], &encoded("a")[..]));
        assert!(index.is_unchanged(&seen.stamp, &status(5, 900, 900)));
        for other in [status(6, 900, 900), status(5, 901, 900), status(5, 900, 901)] {
            assert!(!index.is_unchanged(&seen.stamp, &other));
        }
        let child = index.directory(seen.record).expect("record");
        let [seen] = &child.entries().collect::<Vec<_>>()[..] else { panic!("one entry") };
        let racy = status(5, 900, 999);
        assert!(!index.is_unchanged(&seen.stamp, &racy), "too close to the scan");
        assert!(index.directory(seen.record).is_none(), "no directory");
        assert!(index.has_losses(&[0; 32]) && index.made().is_empty());
        let writer = StatIndexWriter::create(&path, Some(&index), SCANNED).expect("writer");
        let writer = writer.with_losses([9; 32], b"{}".to_vec());
        writer.finish(&binding(), index.root(), [4; 32]).expect("finish");
        let index = StatIndex::open(&path, &binding()).expect("index");
        assert!(index.has_losses(&[9; 32]) && !index.has_losses(&[0; 32]));
        assert_eq!(index.made(), b"{}");
        let other = Binding { snapshot: Id::from_bytes([3; 32]), ..binding() };
        assert!(StatIndex::open(&path, &other).is_none());
    }

    #[test]
    fn later_scans_append_until_half_is_idle_and_damage_is_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("p.stat");
        let stamp = Stamp::from(&status(5, 900, 900));
        let writer = StatIndexWriter::create(&path, None, SCANNED).expect("writer");
        let child = add(&writer, &"b".repeat(200), stamp, 0);
        let root = add(&writer, "a", stamp, child);
        writer.finish(&binding(), root, [0; 32]).expect("finish");
        for scan in 0..3000 {
            let index = StatIndex::open(&path, &binding()).expect("index");
            let seen = index.directory(index.root()).expect("root");
            let child = seen.entries().next().expect("entry").record;
            let kept = index.directory(child).expect("child");
            let writer = StatIndexWriter::create(&path, Some(&index), SCANNED).expect("writer");
            let child = match writer.keep(&kept) {
                true => child,
                false => add(&writer, &"b".repeat(200), stamp, 0),
            };
            let root = add(&writer, &format!("{scan:0200}"), stamp, child);
            writer.finish(&binding(), root, [0; 32]).expect("finish");
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).expect("list").flatten().collect();
        assert_eq!(files.len(), 2, "the binding and one file of records");
        let records = files.iter().map(|file| file.path()).find(|file| *file != path);
        let records = records.expect("records");
        let length = std::fs::metadata(&records).expect("length").len();
        assert!(length < 2 << 20, "{length} bytes, of which 600 are live");
        let mut bytes = std::fs::read(&records).expect("read");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&records, bytes).expect("write");
        let index = StatIndex::open(&path, &binding()).expect("index");
        assert!(index.directory(index.root()).is_none());
    }
}
