//! A backup stores again what the repository has lost, where the source still has it.
//!
//! Invariant: with or without a check or a repair in between, earlier jobs restore exactly as before
//! then, and files that have not changed are no exception.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use runup::base::monitor::Problems;
use runup::base::time::FileTime;
use runup::ops::backup::{BackupOptions, BackupReport, ProjectReport, ProjectSource, backup};
use runup::ops::write_snapshot::SnapshotLabels;
use runup::repository::Repository;
use runup::source::selection::Selection;

use crate::sandbox::{Sandbox, noise};

/// When backups seem to begin: so late that all that is there counts as settled.
const FUTURE: FileTime = FileTime { seconds: i64::MAX / 2, nanoseconds: 0 };

/// A tree that is backed up again and again, each time with what the backup before saw.
pub(crate) struct Kept {
    pub(crate) sandbox: Sandbox,
    /// What each job holds.
    pub(crate) looks: Vec<Vec<String>>,
}

impl Kept {
    /// A tree of short and long files, directories of all sizes and a link, and its first job.
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.run("mkdir tree && runup --repository .runup init").succeeds();
        for number in 0..40 {
            sandbox.write(&format!("tree/dir/{}/{number}", number % 4), &noise(3000, number));
        }
        sandbox.write("tree/long", &noise(9 << 20, 1000));
        sandbox.write("tree/same", &noise(9 << 20, 1000));
        sandbox.write("tree/version", &noise(200_000, 1001));
        sandbox.write("tree/empty", b"");
        for number in 0..3000 {
            let name = format!("tree/large/{number:04}");
            fs::create_dir_all(sandbox.path("tree/large")).unwrap();
            symlink("x".repeat(900), sandbox.path(&name)).unwrap();
        }
        let mut kept = Self { sandbox, looks: Vec::new() };
        kept.backup();
        kept
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(&self.sandbox.path(".runup")).unwrap()
    }

    fn cache(&self, repository: &Repository) -> PathBuf {
        self.sandbox.path("../cache").join(&repository.config().repository_id)
    }

    /// Backs up, and remembers what the job holds.
    pub(crate) fn backup(&mut self) -> ProjectReport {
        std::thread::sleep(std::time::Duration::from_millis(25));
        let repository = self.repository();
        let context = self.sandbox.path("tree");
        let includes = vec![b".".to_vec()];
        let text = context.as_os_str().as_encoded_bytes();
        let cache = self.cache(&repository);
        let source = ProjectSource {
            labels: SnapshotLabels {
                project: "app".into(),
                time: format!("2026-11-22T05:00:{:02}+00:00", self.looks.len()),
                host: "host".into(),
                user: "user".into(),
                description: None,
                tags: Vec::new(),
            },
            selection: Selection::new::<_, Vec<u8>>(text, &includes, &[]).unwrap(),
            context,
            includes,
            excludes: Vec::new(),
            one_file_system: false,
            stat_index: Some(cache.join("app.stat")),
        };
        let verified = Some(cache.join("packs.verified"));
        let options = BackupOptions { workers: 2, repository: None, now: FUTURE, verified };
        let problems = Problems::default();
        let BackupReport { mut projects, is_complete, .. } =
            backup(&repository, &[source], &options, &problems).unwrap();
        assert!(is_complete, "{:?}", problems.take());
        self.looks.push(self.sandbox.look("tree"));
        projects.pop().unwrap()
    }

    /// Writes new contents to a file.
    pub(crate) fn change(&self, name: &str, bytes: &[u8]) {
        self.sandbox.write(&format!("tree/{name}"), bytes);
    }

    pub(crate) fn packs(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.sandbox.path(".runup/packs")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Whether a job restores exactly as it was.
    pub(crate) fn restores(&self, job: usize) -> bool {
        let to = format!("out{job}");
        let script = format!("rm -rf {to}; runup-checkout --plain app@{job} --to {to}");
        let ran = self.sandbox.run(&script);
        let root = |line: &String| !line.starts_with(' ');
        ran.exit_code() == Some(0)
            && self.sandbox.look(&to).iter().filter(|line| root(line)).eq(&self.looks[job - 1])
    }
}

/// Packs of file data, else of metadata.
pub(crate) fn of_class(packs: &BTreeSet<PathBuf>, is_content: bool) -> Vec<PathBuf> {
    let is_of = |pack: &&PathBuf| (fs::read(pack).unwrap()[10] == 0) == is_content;
    packs.iter().filter(is_of).cloned().collect()
}

/// Flips a bit in the middle of what is before the footer.
pub(crate) fn damage(pack: &Path) {
    let bytes = fs::read(pack).unwrap();
    let trailer = bytes.len() - 64;
    let footer = u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().unwrap());
    let file = fs::OpenOptions::new().write(true).open(pack).unwrap();
    let at = 64 + (footer - 64) / 2;
    file.write_all_at(&[bytes[at as usize] ^ 1], at).unwrap();
}

#[test]
fn nothing_is_looked_for_while_nothing_was_lost() {
    let mut kept = Kept::new();
    let again = kept.backup();
    assert_eq!((again.tree.bytes_read, again.tree.healed), (0, 0));
    assert!(kept.restores(1) && kept.restores(2));
}

#[test]
fn a_pack_that_is_gone_is_made_up_for_by_the_next_backup() {
    for is_content in [true, false] {
        let mut kept = Kept::new();
        for pack in of_class(&kept.packs(), is_content) {
            fs::remove_file(pack).unwrap();
        }
        assert!(!kept.restores(1));
        let healed = kept.backup();
        assert!(healed.tree.healed > 0);
        assert_eq!(healed.tree.files_unmodified, 44 + 3000, "they are as they were");
        if !is_content {
            // Trees are known without reading anything, lists of long files are not.
            assert_eq!(healed.tree.bytes_read, 2 * (9 << 20));
        }
        assert!(kept.restores(1) && kept.restores(2), "{is_content}");
        let again = kept.backup();
        assert_eq!((again.tree.bytes_read, again.tree.healed), (0, 0), "once is enough");
    }
}

#[test]
fn so_is_one_that_was_cut_short() {
    let mut kept = Kept::new();
    let pack = of_class(&kept.packs(), true).remove(0);
    let length = fs::metadata(&pack).unwrap().len();
    fs::OpenOptions::new().write(true).open(pack).unwrap().set_len(length / 2).unwrap();
    assert!(kept.backup().tree.healed > 0);
    assert!(kept.restores(1) && kept.restores(2));
}

#[test]
fn what_a_check_finds_damaged_is_stored_again() {
    for is_content in [true, false] {
        let mut kept = Kept::new();
        damage(&of_class(&kept.packs(), is_content)[0]);
        assert!(!kept.restores(1));
        assert_eq!(kept.backup().tree.healed, 0, "nobody knows yet");
        kept.sandbox.run("runup-fsck --plain").exits(4);
        assert!(kept.backup().tree.healed > 0);
        assert!(kept.restores(1) && kept.restores(2) && kept.restores(3), "{is_content}");
        assert_eq!(kept.backup().tree.healed, 0);
    }
}

#[test]
fn of_a_damaged_and_a_sound_copy_a_prune_keeps_the_sound_one() {
    // Which one comes first is chance.
    for round in 0..8 {
        let mut kept = Kept::new();
        damage(&of_class(&kept.packs(), round % 2 == 0)[0]);
        kept.sandbox.run("runup-fsck --plain").exits(4);
        assert!(kept.backup().tree.healed > 0);
        kept.sandbox.run("runup prune --max-unused 0%");
        assert!(kept.restores(1) && kept.restores(2), "{round}");
    }
}

#[test]
fn what_is_a_difference_from_something_lost_is_stored_again() {
    let mut kept = Kept::new();
    let first = kept.packs();
    let mut changed = noise(200_000, 1001);
    changed[100_000] ^= 1;
    kept.change("version", &changed);
    kept.change("dir/0/0", &noise(3000, 77));
    let stored = kept.backup();
    assert!(stored.tree.inserted.packed_bytes < 20_000, "{:?}", stored.tree.inserted);
    for pack in first {
        fs::remove_file(pack).unwrap();
    }
    kept.backup();
    assert!(kept.restores(2) && kept.restores(3));
    assert!(!kept.restores(1), "nobody has what has changed since");
    let run = |script: &str| kept.sandbox.run(script);
    run("runup repair").exits(4);
    run("runup forget app --job 1").succeeds();
    let checked = run("runup check --read-data --json").succeeds().records();
    let note = checked.iter().find(|record| record["code"] == "missing_base");
    assert!(note.is_some(), "the difference is of no use any more, and not needed");
}

#[test]
fn a_loose_object_that_is_gone_or_damaged_is_stored_again() {
    for is_gone in [true, false] {
        let sandbox = Sandbox::new();
        sandbox.run("mkdir tree && runup --repository .runup init").succeeds();
        sandbox.write("tree/loose", &noise(5000, 1));
        let id = sandbox.run("runup-hash-object -w --plain tree/loose").succeeds().stdout();
        let mut kept = Kept { sandbox, looks: Vec::new() };
        kept.backup();
        let file = kept.sandbox.path(&format!(".runup/objects/{}/{}", &id[..2], id[2..].trim()));
        if is_gone {
            fs::remove_file(file).unwrap();
        } else {
            let mut bytes = fs::read(&file).unwrap();
            bytes[2000] ^= 1;
            fs::write(file, bytes).unwrap();
            kept.sandbox.run("runup check").exits(4);
        }
        assert!(!kept.restores(1));
        assert_eq!(kept.backup().tree.healed, 1);
        assert!(kept.restores(1) && kept.restores(2), "{is_gone}");
    }
}
