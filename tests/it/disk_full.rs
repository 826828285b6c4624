//! A full disk: no bytes left, or no inodes, at every stage of a command.
//!
//! Invariant: a command that finds no room says so with the exit code 14, loses nothing, and succeeds
//! once there is room; and what only reads needs none.
//!
//! `RUNUP_FULL_SIZES` asks for more sizes than the ordinary run has.

use std::path::{Path, PathBuf};

use crate::mounts::{Tmpfs, privately, say};
use crate::patience::{Ended, Running};
use crate::sandbox::{Sandbox, look_at, noise};

const PAGE: u64 = 4096;
/// Sizes of each sort in the ordinary run.
const SIZES: u64 = 5;
const PLENTY: &str = "size=64m,nr_inodes=10000";

/// What is left of a file system.
#[derive(Debug, Clone, Copy)]
enum Left {
    Pages(u64),
    Inodes(u64),
}

impl Left {
    /// Leaves so much beside what a file system holds.
    fn of(self, tmpfs: &Tmpfs) {
        let used = rustix::fs::statvfs(tmpfs.path()).unwrap();
        let options = match self {
            // At least a page, since 0 means no limit.
            Self::Pages(pages) => {
                let used = (used.f_blocks - used.f_bfree) * used.f_bsize;
                format!("size={}", (used + pages * PAGE).max(PAGE))
            }
            Self::Inodes(inodes) => {
                format!("nr_inodes={}", (used.f_files - used.f_ffree + inodes).max(1))
            }
        };
        tmpfs.remount(&options);
    }

    /// Sizes up to one at which a command has room.
    fn spread(pages: u64, inodes: u64) -> Vec<Self> {
        let wanted = std::env::var("RUNUP_FULL_SIZES").ok().and_then(|text| text.parse().ok());
        let wanted: u64 = wanted.unwrap_or(SIZES);
        let some = |most: u64| {
            let count = wanted.min(most + 1);
            (0..count).map(move |number| number * most / (count - 1).max(1))
        };
        some(pages).map(Self::Pages).chain(some(inodes).map(Self::Inodes)).collect()
    }
}

/// A source, a repository with a job of it, and a place for file systems.
struct Ground<'a> {
    folder: &'a Path,
    sandbox: Sandbox,
    repository: PathBuf,
    first: Vec<String>,
}

impl<'a> Ground<'a> {
    fn new(folder: &'a Path) -> Self {
        let sandbox = Sandbox::within(folder);
        sandbox.write("runup.yaml", b"version: '1'\nproject:\n  app:\n    include: [src]\n");
        for number in 0..10_u32 {
            sandbox.write(&format!("src/{number}"), &noise(9000, number));
        }
        let repository = folder.join("repository");
        let ground = Self { folder, sandbox, repository, first: Vec::new() };
        ground.run(&ground.repository, "exec runup init").exits(&[0]).unwrap();
        ground.run(&ground.repository, "exec runup backup").exits(&[0]).unwrap();
        let first = look_at(&ground.sandbox.path("src"));
        for number in 8..20_u32 {
            ground.sandbox.write(&format!("src/{number}"), &noise(9000, 100 + number));
        }
        Self { first, ..ground }
    }

    fn run(&self, repository: &Path, script: &str) -> Ended {
        let mut command = self.sandbox.shell(script);
        command.env("RUNUP_REPOSITORY", repository);
        Running::start(command, self.folder).end().unwrap()
    }

    /// A copy of the repository on a file system that is then limited.
    fn limited(&self, left: Left) -> (Tmpfs, PathBuf) {
        let tmpfs = Tmpfs::at(&self.folder.join("full"), PLENTY);
        let copy = tmpfs.path().join("repository");
        let mut command = std::process::Command::new("cp");
        let copied = command.arg("-r").args([&self.repository, &copy]).status();
        assert!(copied.unwrap().success());
        left.of(&tmpfs);
        (tmpfs, copy)
    }

    /// Asserts that a job restores exactly, or the latest one.
    fn restores(&self, repository: &Path, job: &str, expected: &[String], when: &str) {
        let out = self.folder.join("out");
        let script =
            format!("exec runup restore --json --force {job} --location {}", out.display());
        let ended = self.run(repository, &script);
        ended.exits(&[0]).unwrap_or_else(|why| panic!("{when}: {why}"));
        assert_eq!(look_at(&out.join("src")), expected, "{when}");
        std::fs::remove_dir_all(out).unwrap();
    }

    fn is_sound(&self, repository: &Path, when: &str) {
        let ended = self.run(repository, "exec runup check --read-data --json");
        ended.exits(&[0]).unwrap_or_else(|why| panic!("{when}: {why}"));
    }
}

/// Whether a command had room; it must have told if not.
fn had_room(ended: Ended, when: &str) -> bool {
    let ended = ended.exits(&[0, 14]).unwrap_or_else(|why| panic!("{when}: {why}"));
    let code = ended.told().unwrap_or_else(|why| panic!("{when}: {why}"));
    let had_room = ended.code() == Some(0);
    assert_eq!(code, if had_room { "" } else { "no_space" }, "{when}: {ended}");
    had_room
}

fn tell(what: &str, rooms: &[bool]) {
    let enough = rooms.iter().filter(|room| **room).count();
    assert!(enough > 0 && enough < rooms.len(), "{what}: the sizes miss the point: {rooms:?}");
    say(&format!("disk full, {what}: {} sizes survived, {enough} were enough", rooms.len()));
}

#[test]
fn init_and_backup_need_room_and_lose_nothing_without() {
    privately("disk full, init and backup", |folder| {
        let ground = Ground::new(folder);
        let now = look_at(&ground.sandbox.path("src"));
        let mut rooms = Vec::new();
        for left in Left::spread(3, 18) {
            let when = format!("init with {left:?}");
            let tmpfs = Tmpfs::at(&folder.join("full"), PLENTY);
            left.of(&tmpfs);
            let repository = tmpfs.path().join("repository");
            rooms.push(had_room(ground.run(&repository, "exec runup init --json"), &when));
            tmpfs.remount(PLENTY);
            let again = ground.run(&repository, "exec runup init --json");
            let codes: &[i32] = if rooms.ends_with(&[true]) { &[1] } else { &[0] };
            again.exits(codes).unwrap_or_else(|why| panic!("{when}: {why}"));
            ground.run(&repository, "exec runup backup").exits(&[0]).unwrap();
            ground.restores(&repository, "", &now, &when);
        }
        tell("init", &rooms);
        rooms.clear();
        for left in Left::spread(45, 6) {
            let when = format!("backup with {left:?}");
            let (tmpfs, repository) = ground.limited(left);
            let cache = tempfile::tempdir_in(folder).unwrap();
            let cached = format!("export RUNUP_CACHE_DIR={}; ", cache.path().display());
            let backup = format!("{cached} exec runup backup --json");
            rooms.push(had_room(ground.run(&repository, &backup), &when));
            // What only reads needs no room.
            ground.restores(&repository, "--job 1", &ground.first, &when);
            ground.is_sound(&repository, &when);
            if rooms.ends_with(&[true]) {
                ground.restores(&repository, "", &now, &when);
            }
            tmpfs.remount(PLENTY);
            let again = ground.run(&repository, &backup);
            again.exits(&[0]).unwrap_or_else(|why| panic!("{when}, with room again: {why}"));
            ground.restores(&repository, "--job 1", &ground.first, &when);
            ground.restores(&repository, "", &now, &when);
            ground.is_sound(&repository, &when);
            let left = std::fs::read_dir(repository.join("tmp")).unwrap().count();
            assert_eq!(left, 0, "{when}: temporary files are left");
        }
        tell("backup", &rooms);
    });
}

#[test]
fn forget_needs_room_and_loses_nothing_without() {
    privately("disk full, forget", |folder| {
        let ground = Ground::new(folder);
        ground.run(&ground.repository, "exec runup backup").exits(&[0]).unwrap();
        let now = look_at(&ground.sandbox.path("src"));
        let forget = "exec runup forget app --job 1 --json";
        let mut rooms = Vec::new();
        for left in Left::spread(2, 5) {
            let when = format!("forget with {left:?}");
            let (tmpfs, repository) = ground.limited(left);
            rooms.push(had_room(ground.run(&repository, forget), &when));
            ground.restores(&repository, "--job 2", &now, &when);
            if rooms.ends_with(&[false]) {
                ground.restores(&repository, "--job 1", &ground.first, &when);
            }
            tmpfs.remount(PLENTY);
            let again = ground.run(&repository, forget);
            again.exits(&[0]).unwrap_or_else(|why| panic!("{when}, with room again: {why}"));
            ground.is_sound(&repository, &when);
            ground.run(&repository, "exec runup forget app --undo").exits(&[0]).unwrap();
            ground.restores(&repository, "--job 1", &ground.first, &when);
        }
        tell("forget", &rooms);
    });
}

#[test]
fn prune_works_on_a_full_disk() {
    privately("disk full, prune", |folder| {
        let ground = Ground::new(folder);
        ground.run(&ground.repository, "exec runup backup").exits(&[0]).unwrap();
        ground.run(&ground.repository, "exec runup forget app --job 1").exits(&[0]).unwrap();
        let now = look_at(&ground.sandbox.path("src"));
        let prune = "exec runup prune --max-unused 0% --json";
        let mut rooms = Vec::new();
        for left in Left::spread(60, 12) {
            let when = format!("prune with {left:?}");
            let (tmpfs, repository) = ground.limited(left);
            rooms.push(had_room(ground.run(&repository, prune), &when));
            // The room that it needs is kept for it; what is kept are bytes, in one file.
            assert!(matches!(left, Left::Inodes(_)) || rooms.ends_with(&[true]), "{when}");
            ground.restores(&repository, "", &now, &when);
            ground.is_sound(&repository, &when);
            tmpfs.remount(PLENTY);
            let again = ground.run(&repository, prune);
            again.exits(&[0]).unwrap_or_else(|why| panic!("{when}, with room again: {why}"));
            ground.restores(&repository, "", &now, &when);
            ground.is_sound(&repository, &when);
            assert!(
                repository.join("reserve").exists(),
                "{when}: nothing is kept for the next one"
            );
        }
        tell("prune", &rooms);
    });
}

#[test]
fn restore_needs_room_and_leaves_no_half_file_without() {
    privately("disk full, restore", |folder| {
        let ground = Ground::new(folder);
        let source = ground.sandbox.path("src");
        let mut rooms = Vec::new();
        for left in Left::spread(40, 14) {
            let when = format!("restore to {left:?}");
            let tmpfs = Tmpfs::at(&folder.join("full"), PLENTY);
            left.of(&tmpfs);
            let target = tmpfs.path().display();
            let restore = format!("exec runup restore --json --force --job 1 --location {target}");
            rooms.push(had_room(ground.run(&ground.repository, &restore), &when));
            let out = tmpfs.path().join("src");
            for number in (0..10).filter(|number| out.join(number.to_string()).exists()) {
                let name = number.to_string();
                let restored = std::fs::read(out.join(&name)).unwrap();
                let is_first = restored == noise(9000, number);
                assert!(is_first, "{when}: {name} is not as it was in {}", source.display());
            }
            tmpfs.remount(PLENTY);
            let again = ground.run(&ground.repository, &restore);
            again.exits(&[0]).unwrap_or_else(|why| panic!("{when}, with room again: {why}"));
            assert_eq!(look_at(&out), ground.first, "{when}");
        }
        tell("restore", &rooms);
    });
}
