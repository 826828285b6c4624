//! Several stored copies of one object, of which some are damaged, condemned, or differences from others: a prune
//! keeps those that are needed.

use std::collections::BTreeSet;
use std::fs;

use runup::base::hash::object_id;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::base::monitor::Problems;
use runup::base::time::FileTime;
use runup::format::snapshot::RootRecord;
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::ops::prune::{PruneError, PruneOptions, Unused, prune};
use runup::ops::write_snapshot::{SnapshotLabels, write_snapshot};
use runup::repository::Repository;
use runup::store::{Condemned, InsertOptions, Inserter, WriteError, put_any, put_any_like};

use crate::heal::damage;
use crate::sandbox::{Sandbox, noise};

const LENGTH: usize = 200_000;

/// A version of a file that others resemble.
fn version(number: u8) -> Vec<u8> {
    let mut bytes = noise(LENGTH, 1);
    bytes[100] ^= number;
    bytes
}

fn id(number: u8) -> Id {
    object_id(Kind::Blob, &version(number))
}

/// A repository into which objects are put one by one.
struct Shelf {
    sandbox: Sandbox,
}

impl Shelf {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.run("runup --repository .runup init").succeeds();
        Self { sandbox }
    }

    fn repository(&self) -> Repository {
        Repository::open(&self.sandbox.path(".runup")).unwrap()
    }

    /// Stores versions in a pack of their own, whatever there is of them already, whole or as a
    /// difference from another version; that pack.
    fn put(&self, versions: &[(u8, Option<u8>)]) -> Id {
        let repository = self.repository();
        let session = repository.write_session().unwrap();
        let compression = repository.config().compression();
        let options = InsertOptions { workers: 1, compression, again: true };
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let put = inserter.run_one(|worker| {
            for (number, like) in versions {
                let like = like.map(id);
                put_any_like(worker, Kind::Blob, &version(*number), like.as_ref())?;
            }
            Ok::<_, WriteError>(())
        });
        put.unwrap();
        let packs = inserter.packs();
        assert_eq!(packs.len(), 1);
        packs[0]
    }

    /// Publishes a job of these versions.
    fn publish(&self, versions: &[u8]) {
        let entry = |number: &u8| Entry {
            name: number.to_string().into_bytes().into(),
            metadata: Metadata { mode: 0o644, mtime: FileTime::default(), ..Metadata::default() },
            node: Node::File { size_bytes: LENGTH as u64, id: id(*number) },
        };
        let entries: Vec<Entry> = versions.iter().map(entry).collect();
        let repository = self.repository();
        let session = repository.write_session().unwrap();
        let options = InsertOptions::new(1, repository.config().compression());
        let inserter = Inserter::new(repository.store(), session.id(), options);
        let bytes = tree::encode(&entries);
        let root = inserter.run_one(|worker| put_any(worker, Kind::Tree, &bytes)).unwrap().0;
        drop(session);
        let labels = SnapshotLabels {
            project: "app".to_owned(),
            time: "2026-01-02T03:04:05+00:00".to_owned(),
            host: "here".to_owned(),
            user: "me".to_owned(),
            description: None,
            tags: Vec::new(),
        };
        write_snapshot(&self.repository(), RootRecord::of_tree(root), &labels).unwrap();
    }

    fn damage(&self, pack: Id) {
        damage(&self.sandbox.path(&format!(".runup/packs/{pack}.pack")));
    }

    fn prune(&self) -> Result<(), PruneError> {
        let options = PruneOptions { unused: Unused::Bytes(0), ..PruneOptions::default() };
        prune(&self.repository(), &options, &Problems::default(), &mut |_| ()).map(drop)
    }

    /// Whether a version can be read.
    fn reads(&self, number: u8) -> bool {
        let read = self.repository().store().read(&id(number), Kind::Blob);
        read.is_ok_and(|bytes| bytes == version(number))
    }

    fn files(&self) -> usize {
        let count = |name| fs::read_dir(self.sandbox.path(name)).unwrap().count();
        count(".runup/packs") + count(".runup/objects")
    }
}

#[test]
fn a_base_is_kept_whole_whatever_other_copies_of_it_are_like() {
    let shelf = Shelf::new();
    shelf.sandbox.write("base", &version(1));
    shelf.sandbox.run("runup-hash-object -w base").succeeds();
    let whole = shelf.put(&[(1, None)]);
    shelf.put(&[(2, Some(1))]);
    shelf.put(&[(3, None)]);
    shelf.put(&[(1, Some(3))]);
    shelf.publish(&[1, 2, 3]);
    // What is left of the base is a loose copy, and one that is a difference itself.
    shelf.damage(whole);
    assert!([1, 2, 3].iter().all(|number| shelf.reads(*number)));
    shelf.prune().unwrap();
    assert!([1, 2, 3].iter().all(|number| shelf.reads(*number)));
}

#[test]
fn where_no_sound_copy_can_be_a_base_nothing_is_deleted() {
    let shelf = Shelf::new();
    let whole = shelf.put(&[(1, None)]);
    shelf.put(&[(2, Some(1)), (4, None)]);
    shelf.put(&[(3, None)]);
    shelf.put(&[(1, Some(3))]);
    shelf.publish(&[1, 2, 3]);
    shelf.damage(whole);
    assert!(shelf.reads(1) && !shelf.reads(2) && shelf.reads(3));
    let files = shelf.files();
    assert!(matches!(shelf.prune(), Err(PruneError::Needed(_))));
    assert_eq!(shelf.files(), files);
    assert!(shelf.reads(1) && shelf.reads(3));
    // A whole copy mends both.
    shelf.put(&[(1, None)]);
    shelf.prune().unwrap();
    assert!([1, 2, 3].iter().all(|number| shelf.reads(*number)) && !shelf.reads(4));
}

#[test]
fn what_is_stored_again_is_a_difference_from_nothing_that_goes() {
    let shelf = Shelf::new();
    let whole = shelf.put(&[(1, None)]);
    // Something unneeded beside it, so that it is stored again.
    shelf.put(&[(2, Some(1)), (4, Some(1))]);
    shelf.put(&[(3, None)]);
    shelf.put(&[(1, Some(3))]);
    shelf.publish(&[2]);
    // As by a prune that was killed right then. The other copy of the base is a difference from what
    // nothing needs.
    let repository = shelf.repository();
    let condemned = Condemned { packs: BTreeSet::from([whole]), ..Condemned::default() };
    repository.write_session().unwrap().condemn(&condemned).unwrap();
    shelf.prune().unwrap();
    assert!(shelf.reads(2));
    shelf.sandbox.run("runup --repository .runup check --read-data").succeeds();
    shelf.prune().unwrap();
    assert!(shelf.reads(2));
}

#[test]
fn a_difference_from_what_is_lost_is_not_kept_in_the_place_of_another_copy() {
    for is_loose in [true, false] {
        let shelf = Shelf::new();
        let whole = shelf.put(&[(1, None)]);
        shelf.put(&[(2, Some(1))]);
        fs::remove_file(shelf.sandbox.path(&format!(".runup/packs/{whole}.pack"))).unwrap();
        if is_loose {
            shelf.sandbox.write("again", &version(2));
            shelf.sandbox.run("runup-hash-object -w again").succeeds();
        } else {
            shelf.put(&[(3, None)]);
            shelf.put(&[(2, Some(3))]);
        }
        shelf.publish(&[2]);
        for _ in 0..2 {
            shelf.prune().unwrap();
            assert!(shelf.reads(2), "{is_loose}");
        }
        shelf.sandbox.run("runup --repository .runup check --read-data").succeeds();
    }
}

/// Jobs of a small tree, of which every other one has its files in loose objects, and what it looked like last.
fn many_jobs(count: u32) -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::with_projects("  app:\n    include: [src]\n");
    for job in 0..count {
        for number in 0..12 {
            sandbox.write(&format!("src/{}/{number}", number % 3), &noise(900, job * 7 + number));
        }
        let script = match job % 2 {
            0 => "runup backup",
            _ => {
                "find src -type f -print0 | runup-hash-object -w --loose -z --stdin-paths |
                 runup-mktree -z --recursive --plain | runup-write-snapshot --project app"
            }
        };
        sandbox.run(script).succeeds();
    }
    let look = sandbox.look("src");
    (sandbox, look)
}

/// Prunes with room for so many names in a generation until nothing is left; how often.
fn prune_in_parts(sandbox: &Sandbox, look: &[String], condemned_max: usize) -> usize {
    for round in 1.. {
        let repository = Repository::open(&sandbox.path(".runup")).unwrap();
        let options =
            PruneOptions { unused: Unused::Bytes(0), condemned_max, ..PruneOptions::default() };
        let report = prune(&repository, &options, &Problems::default(), &mut |_| ()).unwrap();
        // What is left is complete.
        sandbox.run("runup check --read-data").succeeds();
        sandbox.run("rm -rf out; runup-checkout --plain app --to out").succeeds();
        assert_eq!(sandbox.look("out/src"), look);
        if report.postponed == 0 {
            return round;
        }
        let deleted = report.deleted_packs + report.deleted_loose;
        assert!(deleted > 0, "each gets on with it");
    }
    0
}

#[test]
fn what_one_generation_cannot_name_goes_with_the_next_ones() {
    for condemned_max in [2, 7] {
        let (sandbox, look) = many_jobs(7);
        sandbox.run("runup forget --keep-last 1").succeeds();
        let rounds = prune_in_parts(&sandbox, &look, condemned_max);
        assert!(rounds >= 3, "{rounds}");
        assert_eq!(prune_in_parts(&sandbox, &look, usize::MAX), 1);
    }
}

#[test]
fn what_nobody_can_meet_is_in_no_ones_way() {
    let (sandbox, look) = many_jobs(3);
    let (other, _) = many_jobs(5);
    let packs = fs::read_dir(sandbox.path(".runup/packs")).unwrap().map(|pack| pack.unwrap());
    let is_content = |pack: &fs::DirEntry| fs::read(pack.path()).unwrap()[10] == 0;
    let contents = packs.filter(is_content).map(|pack| pack.path());
    let first =
        contents.min_by_key(|pack| fs::metadata(pack).unwrap().modified().unwrap()).unwrap();
    // A disk has lost a pack that nothing needs.
    fs::remove_file(first).unwrap();
    // A writer that died has left packs that refer to what is not there.
    for pack in fs::read_dir(other.path(".runup/packs")).unwrap() {
        let pack = pack.unwrap();
        let is_metadata = fs::read(pack.path()).unwrap()[10] != 0;
        if is_metadata {
            let name = format!(".runup/packs/{}", pack.file_name().to_str().unwrap());
            fs::copy(pack.path(), sandbox.path(&name)).unwrap();
        }
    }
    sandbox.run("runup forget --keep-last 1").succeeds();
    let rounds = prune_in_parts(&sandbox, &look, 2);
    assert!(rounds >= 3, "{rounds}");
}

#[test]
fn what_a_killed_prune_condemned_goes_first() {
    let (sandbox, look) = many_jobs(9);
    let packs = fs::read_dir(sandbox.path(".runup/packs")).unwrap().map(|pack| pack.unwrap());
    let is_metadata = |pack: &fs::DirEntry| fs::read(pack.path()).unwrap()[10] != 0;
    let modified = |pack: &fs::DirEntry| pack.metadata().unwrap().modified().unwrap();
    let first = packs.filter(is_metadata).min_by_key(modified).unwrap();
    let name = first.file_name().into_string().unwrap();
    sandbox.run("runup forget --keep-last 1").succeeds();
    // It may have deleted what this refers to.
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let name = name.strip_suffix(".pack").unwrap().parse().unwrap();
    let condemned = Condemned { packs: [name].into(), ..Condemned::default() };
    repository.write_session().unwrap().condemn(&condemned).unwrap();
    let options =
        PruneOptions { unused: Unused::Bytes(0), condemned_max: 1, ..PruneOptions::default() };
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let report = prune(&repository, &options, &Problems::default(), &mut |_| ()).unwrap();
    assert!(report.postponed > 8, "{report:?}");
    assert!(!first.path().exists());
    assert!(prune_in_parts(&sandbox, &look, 7) > 1);
}
