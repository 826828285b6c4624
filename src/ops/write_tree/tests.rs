//! A scan with what the one before saw finds what a scan without it finds.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::base::monitor::Problems;
use crate::base::time::FileTime;
use crate::source::stat_index::Binding;

/// When scans seem to begin: so late that all that is there counts as settled.
const FUTURE: FileTime = FileTime { seconds: i64::MAX / 2, nanoseconds: 0 };

/// A tree that is scanned again and again, each time with what the scan before saw.
struct Scanned {
    folder: tempfile::TempDir,
    excludes: Vec<Vec<u8>>,
    is_same_selection: bool,
    own: Vec<(FileIdentity, &'static str)>,
}

impl Scanned {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self { folder, excludes: Vec::new(), is_same_selection: true, own: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("cache/p.stat")
    }

    fn binding() -> Binding {
        let snapshot = Id::from_bytes([7; 32]);
        Binding { repository_id: "ab".to_owned(), snapshot, context: Vec::new() }
    }

    fn scan(&self, index: Option<&StatIndex>, writer: Option<&StatIndexWriter>) -> TreeReport {
        let context = self.path("");
        let includes = vec![b".".to_vec()];
        let text = context.as_os_str().as_encoded_bytes();
        let source = TreeSource {
            selection: &Selection::new(text, &includes, &self.excludes).unwrap(),
            context,
            includes,
            excludes: self.excludes.clone(),
            one_file_system: false,
            own: self.own.clone(),
            stat_index: index,
            doubted: None,
            is_same_selection: self.is_same_selection,
            stat_index_writer: writer,
            previous: None,
        };
        let nowhere = Destination::Nowhere(3);
        write_tree(&source, nowhere, &|_, _| Ok(()), &Problems::default()).unwrap()
    }

    /// Scans with what was seen before. All that is there by now counts as settled.
    fn again(&self) -> TreeReport {
        // Changes from here on have other times than those before.
        std::thread::sleep(Duration::from_millis(25));
        let index = StatIndex::open(&self.index(), &Self::binding());
        let writer = StatIndexWriter::create(&self.index(), index.as_ref(), FUTURE).unwrap();
        let report = self.scan(index.as_ref(), Some(&writer));
        writer.finish(&Self::binding(), report.root_seen, [0; 32]).unwrap();
        std::thread::sleep(Duration::from_millis(25));
        report
    }
}

#[test]
fn what_has_not_changed_is_neither_read_nor_listed() {
    let mut scanned = Scanned::new();
    fs::create_dir(scanned.path("dir")).unwrap();
    for name in ["file", "dir/file", "dir/hidden"] {
        fs::write(scanned.path(name), name).unwrap();
    }
    scanned.excludes = vec![b"dir/hidden".to_vec()];
    let first = scanned.again();
    assert_eq!((first.files_new, first.dirs_new), (2, 1));
    let second = scanned.again();
    assert_eq!(second.record.tree, first.record.tree);
    assert_eq!((second.files_unmodified, second.dirs_unmodified, second.bytes_read), (2, 1, 0));
    // A name that no scan saw shows whether the directory is listed.
    scanned.excludes.clear();
    assert_eq!(scanned.again().record.tree, first.record.tree);
    scanned.is_same_selection = false;
    let listed = scanned.again();
    assert_eq!((listed.files_new, listed.files_unmodified), (1, 2));
    assert_eq!(listed.bytes_read, "dir/hidden".len() as u64);
    scanned.is_same_selection = true;
    fs::write(scanned.path("dir/new"), b"new").unwrap();
    let more = scanned.again();
    assert_eq!((more.files_new, more.files_unmodified, more.bytes_read), (1, 3, 3));
    assert_eq!((more.dirs_changed, more.dirs_unmodified), (1, 0));
}

#[test]
fn what_was_left_out_is_looked_for_again() {
    let mut scanned = Scanned::new();
    fs::create_dir(scanned.path("dir")).unwrap();
    fs::write(scanned.path("dir/file"), b"1").unwrap();
    // A file that stops being one between the listing and the reading cannot be made here; a
    // directory of RunUp's own is left out in the same way.
    let own = scanned.path("dir/own");
    fs::create_dir(&own).unwrap();
    let identity = crate::os::status_of(fs::File::open(&own).unwrap()).unwrap().identity();
    scanned.own = vec![(identity, "its own")];
    for _ in 0..3 {
        let report = scanned.again();
        let skipped: Vec<_> = report.record.skipped.iter().map(|skipped| &skipped.reason).collect();
        assert_eq!(skipped, ["its own"]);
    }
}

/// A few pseudo-random numbers (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn name(&mut self) -> String {
        let mut parts = Vec::new();
        for _ in 0..=self.roll(3) {
            parts.push(["a", "b", "cc", "d d"][self.roll(4) as usize]);
        }
        parts.join("/")
    }
}

/// Changes something below `root`; what cannot be done is left.
fn change(root: &Path, dice: &mut Dice) {
    let (path, other) = (root.join(dice.name()), root.join(dice.name()));
    let content = vec![dice.roll(256) as u8; dice.roll(3) as usize * 10];
    let done = match dice.roll(10) {
        0 | 1 => fs::write(&path, content),
        2 => fs::create_dir_all(&path),
        3 => fs::rename(&path, &other),
        4 => fs::remove_file(&path),
        5 => fs::remove_dir_all(&path),
        6 => symlink(dice.name(), &path),
        7 => fs::hard_link(&path, &other),
        8 => fs::set_permissions(&path, fs::Permissions::from_mode(0o700 + dice.roll(8) as u32)),
        _ => fs::File::options().write(true).open(&path).and_then(|file| {
            // As long as before, and as old.
            let old = file.metadata()?.modified()?;
            let length = file.metadata()?.len() as usize;
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![b'x'; length], 0)?;
            file.set_modified(old)
        }),
    };
    drop(done);
}

#[test]
fn whatever_changes_a_scan_finds_what_one_without_memory_finds() {
    let mut dice = Dice(0x5eed_5eed_5eed_5eed);
    for _ in 0..6 {
        let scanned = Scanned::new();
        let mut unread = 0;
        for round in 0..25 {
            for _ in 0..dice.roll(if round == 0 { 60 } else { 8 }) {
                change(&scanned.path(""), &mut dice);
            }
            let found = scanned.again();
            let expected = scanned.scan(None, None);
            let (found_record, expected_record) = (&found.record, &expected.record);
            assert_eq!(found_record.tree, expected_record.tree);
            assert_eq!(found_record.links, expected_record.links);
            assert_eq!(found_record.counts, expected_record.counts);
            unread += expected.bytes_read - found.bytes_read;
        }
        assert!(unread > 0, "unchanged files are not read");
    }
}
