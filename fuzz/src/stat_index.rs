//! The stat index of a client: its records, with their checksums put right.
//!
//! The bytes are what stands in the file of the records behind its magic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use runup::base::id::Id;
use runup::base::time::FileTime;
use runup::source::stat_index::{
    Binding, NewEntry, SeenDirectory, Stamp, StatIndex, StatIndexWriter,
};

const MAGIC: &[u8] = b"RunUpSt3";
/// Length and checksum before a record.
const HEAD_BYTES: usize = 12;
/// Bytes of records that the binding tells of.
const RECORDS_BYTES: usize = 16 << 10;

/// Whether the bytes are the record of a directory.
pub fn check(bytes: &[u8]) -> bool {
    let (folder, records) = FILES.get_or_init(build);
    // Each replay of its own: tests run side by side.
    let own = tempfile::tempdir_in(folder.path()).expect("a directory");
    let name = records.file_name().expect("a name");
    fs::copy(folder.path().join("stat"), own.path().join("stat")).expect("copied");
    let is_taken = is_record(own.path(), name, bytes);
    let mut sealed = bytes.to_vec();
    if sealed.len() > HEAD_BYTES {
        let length = sealed.len() - HEAD_BYTES;
        sealed[..4].copy_from_slice(&(length as u32).to_le_bytes());
        let sum = blake3::hash(&sealed[HEAD_BYTES..]);
        sealed[4..HEAD_BYTES].copy_from_slice(&sum.as_bytes()[..8]);
    }
    let _damaged = StatIndex::open(&own.path().join(name), &binding());
    is_record(own.path(), name, &sealed) | is_taken
}

fn is_record(folder: &Path, name: &std::ffi::OsStr, bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(RECORDS_BYTES)];
    let mut records = [MAGIC, bytes].concat();
    records.resize(MAGIC.len() + 2 * RECORDS_BYTES, 0);
    fs::write(folder.join(name), &records).expect("written");
    let index = StatIndex::open(&folder.join("stat"), &binding()).expect("bound");
    let Some(directory) = index.directory(MAGIC.len() as u64) else { return false };
    read_through(&directory);
    for record in [0, 1, MAGIC.len() as u64 + 3, RECORDS_BYTES as u64, u64::MAX] {
        let _damaged = index.directory(record).map(|directory| read_through(&directory));
    }
    true
}

fn read_through(directory: &SeenDirectory) {
    let _tree = (directory.tree(), directory.is_whole(), directory.is_empty());
    let entries: Vec<_> = directory.entries().collect();
    assert!(entries.len() <= directory.len().max(RECORDS_BYTES));
    for (number, entry) in entries.iter().enumerate() {
        let from: Vec<_> = directory.entries_from(entry.place).collect();
        assert_eq!(from, entries[number..]);
    }
    for place in [1, RECORDS_BYTES, usize::MAX] {
        let _elsewhere = directory.entries_from(place).count();
    }
}

static FILES: OnceLock<(TempDir, PathBuf)> = OnceLock::new();

fn binding() -> Binding {
    let snapshot = Id::from_bytes([1; 32]);
    Binding { repository_id: "ab".into(), snapshot, context: b"/context".to_vec() }
}

/// A stat index with room, and the file of its records.
fn build() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a directory");
    let path = folder.path().join("stat");
    let scanned = FileTime { seconds: 1000, nanoseconds: 0 };
    let writer = StatIndexWriter::create(&path, None, scanned).expect("a writer");
    let encoded = vec![b'x'; RECORDS_BYTES];
    let entry = NewEntry { encoded: &encoded, stamp: Some(Stamp::default()), record: 0 };
    let root = writer.add(&Id::from_bytes([3; 32]), true, [entry].into_iter());
    writer.finish(&binding(), root, [4; 32]).expect("finished");
    let files = fs::read_dir(folder.path()).expect("listed").flatten().map(|entry| entry.path());
    let records = files.into_iter().find(|file| *file != path).expect("the file of the records");
    (folder, records)
}
