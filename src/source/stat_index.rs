//! What the last backup saw of each entry, so that an unchanged one is neither opened nor read.
//!
//! Client-side and disposable. Invariant: an entry counts as unchanged only if inode, size, mtime
//! and ctime are what they were, and neither time is so close to the last scan that a later change
//! could hide behind it.
//!
//! The file: one record for each directory; a table of (hash of the path, offset), sorted by hash;
//! what the index is bound to; where table and binding begin. A record: the path, then for each
//! entry its encoding in the tree, inode, device, and ctime.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::format::codec::{DecodeError, Reader, put_bytes, put_signed, put_varint};
use crate::format::tree::{Entry, Node};
use crate::os::{FileIdentity, FileKind, Mapped, Status, status_of};

const MAGIC: &[u8; 8] = b"RunUpSt1";
/// Where table and binding begin.
const TAIL_BYTES: usize = 16;
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

/// What was seen of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The entry as its tree holds it, encoded.
    pub encoded: Box<[u8]>,
    /// Its inode, device and ctime; `None` where only the tree is known.
    pub stamp: Option<Stamp>,
}

/// What tells a changed file from an unchanged one, beyond what trees hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Time of the last change of anything.
    pub ctime: FileTime,
}

impl From<&Status> for Stamp {
    fn from(status: &Status) -> Self {
        Self { ino: status.ino, dev: status.dev, ctime: status.ctime }
    }
}

/// The stat index of an earlier scan.
#[derive(Debug)]
pub struct StatIndex {
    bytes: Mapped,
    table: std::ops::Range<usize>,
    /// When that scan began.
    scanned: FileTime,
}

impl StatIndex {
    /// Opens the stat index, if it is there, whole in its outline, and bound to the same things.
    pub fn open(path: &Path, binding: &Binding) -> Option<Self> {
        let bytes = Mapped::file(&File::open(path).ok()?).ok()?;
        let tail = bytes.len().checked_sub(TAIL_BYTES)?;
        let mut reader = Reader::new(bytes.get(tail..)?);
        let mut place = || reader.u64().ok().and_then(|place| usize::try_from(place).ok());
        let table = place()?..place()?;
        let (bound_to, scanned) =
            decode_binding(&mut Reader::new(bytes.get(table.end..tail)?)).ok()?;
        let is_whole = bytes.get(table.clone())?.len() % 16 == 0 && bytes.starts_with(MAGIC);
        (is_whole && bound_to == *binding).then_some(Self { bytes, table, scanned })
    }

    /// What was seen in a directory, in order of names; empty if it was not there.
    pub fn directory(&self, path: &[u8]) -> Vec<Seen> {
        self.find(path).unwrap_or_default()
    }

    fn find(&self, path: &[u8]) -> Option<Vec<Seen>> {
        let wanted = path_hash(path);
        let table = self.bytes.get(self.table.clone())?;
        let (rows, _) = table.as_chunks::<16>();
        let mut at = rows.partition_point(|row| row_of(row).0 < wanted);
        while let Some((hash, offset)) = rows.get(at).map(row_of) {
            if hash != wanted {
                return None;
            }
            let record = self.bytes.get(usize::try_from(offset).ok()?..self.table.start)?;
            let mut reader = Reader::new(record);
            if reader.bytes(usize::MAX, "path").ok()? == path {
                return decode_directory(&mut reader).ok();
            }
            at += 1;
        }
        None
    }

    /// The entry of a file that needs not be read, because nothing about it has changed.
    pub fn unchanged(&self, seen: &Seen, status: &Status) -> Option<Entry> {
        if seen.stamp != Some(Stamp::from(status)) || status.kind == FileKind::Directory {
            return None;
        }
        let settled = self.scanned.seconds.saturating_sub(RACY_SECONDS);
        if status.mtime.seconds >= settled || status.ctime.seconds >= settled {
            return None;
        }
        let entry = Entry::decode(&mut Reader::new(&seen.encoded)).ok()?;
        let size_agrees = match &entry.node {
            Node::File { size_bytes, .. } => *size_bytes == status.size_bytes,
            _ => true,
        };
        let same_kind = match status.kind {
            FileKind::File => matches!(entry.node, Node::File { .. }),
            FileKind::Symlink => matches!(entry.node, Node::Symlink { .. }),
            _ => false,
        };
        (same_kind && size_agrees && entry.metadata.mtime == status.mtime).then_some(entry)
    }
}

fn row_of(row: &[u8; 16]) -> (u64, u64) {
    let mut reader = Reader::new(row);
    (reader.u64().unwrap_or(0), reader.u64().unwrap_or(0))
}

fn path_hash(path: &[u8]) -> u64 {
    Reader::new(&plain(path)).u64().unwrap_or(0)
}

fn decode_binding(reader: &mut Reader<'_>) -> Result<(Binding, FileTime), DecodeError> {
    let repository_id = String::from_utf8_lossy(reader.bytes(64, "repository id")?).into_owned();
    let snapshot = reader.id()?;
    let context = reader.bytes(usize::MAX, "context")?.to_vec();
    let scanned = decode_time(reader)?;
    Ok((Binding { repository_id, snapshot, context }, scanned))
}

fn decode_time(reader: &mut Reader<'_>) -> Result<FileTime, DecodeError> {
    let seconds = reader.signed()?;
    let nanoseconds = reader.varint_to(999_999_999, "nanoseconds")?;
    Ok(FileTime { seconds, nanoseconds: nanoseconds as u32 })
}

fn decode_directory(reader: &mut Reader<'_>) -> Result<Vec<Seen>, DecodeError> {
    let count = reader.count(6)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let encoded = reader.bytes(usize::MAX, "entry")?.into();
        let (ino, dev) = (reader.varint()?, reader.varint()?);
        let ctime = decode_time(reader)?;
        entries.push(Seen { encoded, stamp: Some(Stamp { ino, dev, ctime }) });
    }
    Ok(entries)
}

fn put_time(out: &mut Vec<u8>, time: FileTime) {
    put_signed(out, time.seconds);
    put_varint(out, u64::from(time.nanoseconds));
}

/// Collects a new stat index during a scan, in a file beside the one it is to replace.
#[derive(Debug)]
pub struct StatIndexWriter {
    path: PathBuf,
    state: Mutex<State>,
    scanned: FileTime,
}

#[derive(Debug)]
struct State {
    file: BufWriter<File>,
    offset: u64,
    table: Vec<(u64, u64)>,
    failed: Option<io::Error>,
}

impl StatIndexWriter {
    /// Starts a stat index that is to stand at `path`; `scanned` is when the scan begins.
    ///
    /// # Errors
    ///
    /// The file beside it cannot be made.
    pub fn create(path: &Path, scanned: FileTime) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&name)?);
        file.write_all(MAGIC)?;
        let offset = MAGIC.len() as u64;
        let state = State { file, offset, table: Vec::new(), failed: None };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), scanned })
    }

    /// The directory that it is written to.
    pub fn directory(&self) -> Option<FileIdentity> {
        let directory = File::open(self.path.parent()?).ok()?;
        status_of(&directory).ok().map(|status| status.identity())
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        name.into()
    }

    /// Adds what was seen in a directory, in order of names.
    pub fn add<'a>(&self, path: &[u8], entries: impl Iterator<Item = (&'a [u8], Stamp)>) {
        let mut records = Vec::new();
        let mut count = 0_u64;
        for (encoded, stamp) in entries {
            put_bytes(&mut records, encoded);
            put_varint(&mut records, stamp.ino);
            put_varint(&mut records, stamp.dev);
            put_time(&mut records, stamp.ctime);
            count += 1;
        }
        let mut head = Vec::new();
        put_bytes(&mut head, path);
        put_varint(&mut head, count);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = state.file.write_all(&head).and_then(|()| state.file.write_all(&records));
        match written {
            Ok(()) => {
                let offset = state.offset;
                state.table.push((path_hash(path), offset));
                state.offset += (head.len() + records.len()) as u64;
            }
            // A stat index that could not be written only costs time at the next backup.
            Err(error) => state.failed = Some(error),
        }
    }

    /// Binds the stat index to the snapshot that the scan led to, and puts it in its place.
    ///
    /// # Errors
    ///
    /// It could not be written; the old one is left, and void.
    pub fn finish(self, binding: &Binding) -> io::Result<()> {
        let temporary = self.temporary();
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { mut file, offset, mut table, failed } = state;
        if let Some(error) = failed {
            return Err(error);
        }
        table.sort_unstable();
        for (hash, offset) in &table {
            file.write_all(&hash.to_le_bytes())?;
            file.write_all(&offset.to_le_bytes())?;
        }
        let mut tail = Vec::new();
        put_bytes(&mut tail, binding.repository_id.as_bytes());
        tail.extend_from_slice(binding.snapshot.as_bytes());
        put_bytes(&mut tail, &binding.context);
        put_time(&mut tail, self.scanned);
        tail.extend_from_slice(&offset.to_le_bytes());
        tail.extend_from_slice(&(offset + table.len() as u64 * 16).to_le_bytes());
        file.write_all(&tail)?;
        file.flush()?;
        std::fs::rename(&temporary, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::Metadata;

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

    #[test]
    fn only_what_is_settled_and_the_same_counts_as_unchanged() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cache/stat");
        let binding = Binding {
            repository_id: "ab".into(),
            snapshot: Id::from_bytes([1; 32]),
            context: b"/c".to_vec(),
        };
        let scanned = FileTime { seconds: 1000, nanoseconds: 0 };
        let writer = StatIndexWriter::create(&path, scanned).expect("writer");
        let of = |size: u64, mtime: i64, ctime: i64| -> (Vec<u8>, Stamp) {
            let status = status(size, mtime, ctime);
            let metadata = Metadata { mtime: status.mtime, ..Metadata::default() };
            let node = Node::File { size_bytes: size, id: Id::from_bytes([2; 32]) };
            let mut encoded = Vec::new();
            Entry { name: b"f"[..].into(), metadata, node }.encode(&mut encoded);
            (encoded, Stamp::from(&status))
        };
        let (settled, racy) = (of(5, 900, 900), of(5, 900, 999));
        for (name, (encoded, stamp)) in [("a", &settled), ("b", &racy)] {
            writer.add(name.as_bytes(), [(&encoded[..], *stamp)].into_iter());
        }
        writer.finish(&binding).expect("finish");
        let index = StatIndex::open(&path, &binding).expect("index");
        let [seen] = &index.directory(b"a")[..] else { panic!("one entry") };
        assert!(index.unchanged(seen, &status(5, 900, 900)).is_some());
        for other in [status(6, 900, 900), status(5, 901, 900), status(5, 900, 901)] {
            assert!(index.unchanged(seen, &other).is_none());
        }
        let [seen] = &index.directory(b"b")[..] else { panic!("one entry") };
        assert!(index.unchanged(seen, &status(5, 900, 999)).is_none(), "too close to the scan");
        assert!(index.directory(b"c").is_empty());
        let other = Binding { snapshot: Id::from_bytes([3; 32]), ..binding };
        assert!(StatIndex::open(&path, &other).is_none());
    }
}
