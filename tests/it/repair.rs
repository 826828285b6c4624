//! Repairs: what is sound stays, what is lost is told, and a backup after it heals what it can.
//!
//! Invariant: no byte of a repository is ever deleted by a repair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::heal::{Kept, damage, of_class};
use crate::sandbox::noise;

/// The files of a repository, but for those that come and go with every program.
fn files(kept: &Kept) -> BTreeMap<PathBuf, [u8; 32]> {
    fn below(directory: &Path, out: &mut BTreeMap<PathBuf, [u8; 32]>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, out);
            } else {
                out.insert(path.clone(), *blake3::hash(&fs::read(&path).unwrap()).as_bytes());
            }
        }
    }
    let mut out = BTreeMap::new();
    below(&kept.sandbox.path(".runup"), &mut out);
    out
}

fn actions(records: &[Value]) -> BTreeSet<&str> {
    records.iter().filter_map(|record| record["action"].as_str()).collect()
}

/// From damage to soundness: check, repair, backup, check.
fn heals(mut kept: Kept, what: &str) {
    let damaged = files(&kept);
    kept.sandbox.run("runup check --read-data").exits(4);
    let repaired = kept.sandbox.run("runup repair --json");
    assert!(matches!(repaired.exit_code(), Some(0 | 4)), "{what}: {}", repaired.stderr());
    let hashes: BTreeSet<[u8; 32]> = files(&kept).into_values().collect();
    let deleted = damaged.iter().filter(|(path, hash)| {
        // Segments are derived, and replaced by such that name other packs.
        !path.to_string_lossy().ends_with(".idx") && !hashes.contains(*hash)
    });
    assert_eq!(deleted.count(), 0, "{what}");
    kept.backup();
    let checked = kept.sandbox.run("runup check --read-data");
    assert_eq!(checked.exit_code(), Some(0), "{what}:\n{}", checked.stdout());
    for job in 1..=kept.looks.len() {
        assert!(kept.restores(job), "{what}: job {job}");
    }
    let again = kept.sandbox.run("runup repair --json").succeeds();
    let mut left = again.records();
    // A salvaged pack is complete only now.
    left.retain(|record| record["action"] != "indexed");
    assert_eq!(actions(&left), BTreeSet::new(), "{what}: nothing is left to do");
    let unchanged = kept.backup();
    assert_eq!((unchanged.tree.bytes_read, unchanged.tree.healed), (0, 0), "{what}");
}

#[test]
fn a_damaged_pack_of_content_heals() {
    let kept = Kept::new();
    damage(&of_class(&kept.packs(), true)[0]);
    heals(kept, "content");
}

#[test]
fn a_damaged_pack_of_trees_heals() {
    let kept = Kept::new();
    damage(&of_class(&kept.packs(), false)[0]);
    heals(kept, "trees");
}

#[test]
fn packs_that_are_gone_heal() {
    for is_content in [true, false] {
        let kept = Kept::new();
        for pack in of_class(&kept.packs(), is_content) {
            fs::remove_file(pack).unwrap();
        }
        let told = kept.sandbox.run("runup repair --dry-run").exits(4).stdout();
        assert!(told.contains("gone, would be left out of indexes"), "{told}");
        heals(kept, "gone");
    }
}

#[test]
fn packs_whose_index_is_gone_as_well_heal() {
    let kept = Kept::new();
    damage(&of_class(&kept.packs(), true)[0]);
    for index in fs::read_dir(kept.sandbox.path(".runup/index")).unwrap() {
        fs::remove_file(index.unwrap().path()).unwrap();
    }
    heals(kept, "index");
}

#[test]
fn of_any_one_pack_without_trailer_or_index_all_is_found() {
    let mut kept = Kept::new();
    let changed = |seed| {
        let mut bytes = noise(200_000, seed);
        bytes[100_000] ^= 1;
        bytes
    };
    // A pack of differences and of what is none, and one of what differs from that.
    kept.change("version", &changed(1001));
    kept.change("new", &noise(200_000, 1002));
    kept.backup();
    kept.change("new", &changed(1002));
    assert!(kept.backup().tree.inserted.packed_bytes < 20_000);
    let at = kept.sandbox.path(".runup");
    kept.sandbox.run("cp -a .runup whole").succeeds();
    let names: Vec<_> =
        kept.packs().iter().map(|pack| pack.file_name().unwrap().to_owned()).collect();
    for name in names {
        fs::remove_dir_all(&at).unwrap();
        kept.sandbox.run("cp -a whole .runup").succeeds();
        for index in fs::read_dir(at.join("index")).unwrap() {
            fs::remove_file(index.unwrap().path()).unwrap();
        }
        let pack = fs::OpenOptions::new().write(true).open(at.join("packs").join(&name)).unwrap();
        pack.set_len(pack.metadata().unwrap().len() - 8).unwrap();
        kept.sandbox.run("runup repair");
        kept.sandbox.run("runup check --read-data").succeeds();
    }
}

#[test]
fn a_damaged_loose_object_heals() {
    let kept = Kept::new();
    kept.change("loose", &noise(5000, 5));
    let id = kept.sandbox.run("runup-hash-object -w --plain tree/loose").succeeds().stdout();
    let mut kept = kept;
    kept.backup();
    let file = kept.sandbox.path(&format!(".runup/objects/{}/{}", &id[..2], id[2..].trim()));
    let mut bytes = fs::read(&file).unwrap();
    bytes[2000] ^= 1;
    fs::write(file, bytes).unwrap();
    heals(kept, "loose");
}

#[test]
fn a_pack_that_holds_bases_of_deltas_heals() {
    for is_gone in [true, false] {
        let mut kept = Kept::new();
        let packs = kept.packs();
        // The first version stays in the source under another name.
        kept.change("first", &noise(200_000, 1001));
        let mut changed = noise(200_000, 1001);
        changed[100_000] ^= 1;
        kept.change("version", &changed);
        kept.looks.clear();
        let stored = kept.backup();
        assert!(stored.tree.inserted.packed_bytes < 20_000);
        kept.looks.insert(0, Vec::new());
        for pack in of_class(&packs, true) {
            if is_gone {
                fs::remove_file(pack).unwrap();
            } else {
                damage_all(&pack);
            }
        }
        // Job 1 needs what it was made of, which the source has too.
        kept.looks.remove(0);
        kept.sandbox.run("runup check --read-data").exits(4);
        kept.sandbox.run("runup repair").exits(4);
        kept.backup();
        kept.sandbox.run("runup check --read-data").succeeds();
        for (job, look) in [(2, &kept.looks[0]), (3, &kept.looks[1])] {
            let to = format!("out{job}");
            kept.sandbox.run(&format!("runup-checkout --plain app@{job} --to {to}")).succeeds();
            assert_eq!(&kept.sandbox.look(&to), look, "{is_gone}");
        }
        kept.sandbox.run("runup-checkout --plain app@1 --to out1").succeeds();
        assert_eq!(kept.sandbox.read("out1/version"), noise(200_000, 1001));
    }
}

/// Backs up; the packs that came of it.
fn packs_of_backup(kept: &mut Kept) -> BTreeSet<PathBuf> {
    let before = kept.packs();
    kept.backup();
    kept.packs().difference(&before).cloned().collect()
}

/// Flips a bit in each KiB before the footer.
fn damage_all(pack: &Path) {
    let mut bytes = fs::read(pack).unwrap();
    let end = bytes.len() - 64;
    let footer = u64::from_le_bytes(bytes[end..end + 8].try_into().unwrap()) as usize;
    (100..footer).step_by(1024).for_each(|at| bytes[at] ^= 4);
    fs::write(pack, bytes).unwrap();
}

#[test]
fn a_dry_run_changes_nothing() {
    let kept = Kept::new();
    damage(&of_class(&kept.packs(), true)[0]);
    kept.sandbox.run("runup check --read-data").exits(4);
    let before = files(&kept);
    let told = kept.sandbox.run("runup repair --dry-run --rewrite --json").exits(4).records();
    assert_eq!(files(&kept), before);
    assert!(actions(&told).contains("salvaged") && actions(&told).contains("rewritten"));
    let summary = told.last().unwrap();
    assert_eq!([&summary["is_dry_run"], &summary["is_sound"]], [true, false]);
}

#[test]
fn what_nobody_has_any_more_can_be_left_out() {
    let mut kept = Kept::new();
    kept.change("gone", &noise(3000, 6000));
    kept.backup();
    fs::remove_file(kept.sandbox.path("tree/gone")).unwrap();
    let newest = kept.backup().snapshot;
    // In the one pack of content that the second job has made.
    let pack = of_class(&kept.packs(), true).into_iter();
    damage_all(&pack.min_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap());
    kept.sandbox.run("runup check --read-data").exits(4);
    let told = kept.sandbox.run("runup repair").exits(4).stdout();
    assert!(told.contains("  job 2, app: gone\n"), "{told}");
    assert!(told.contains("\n1 path cannot be restored. The next `runup backup` stores"), "{told}");
    assert!(kept.restores(1) && kept.restores(3) && !kept.restores(2));
    let records = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    let of = |action: &str| records.iter().find(|record| record["action"] == action).unwrap();
    let rewritten = of("rewritten");
    assert_eq!([&rewritten["from_job"], &rewritten["job"], &rewritten["left_out"]], [2, 4, 1]);
    assert_eq!(of("published_again")["job"], 5);
    let latest = kept.sandbox.run("runup-rev-parse --plain app").succeeds().stdout();
    assert_eq!(latest.trim(), newest.to_hex(), "the newest state is what it was");
    let snapshot = kept.sandbox.run("runup-cat-snapshot app@4").succeeds().record();
    assert_eq!(snapshot["parent"], rewritten["from_snapshot"]);
    assert_eq!(snapshot["time"], "2026-11-22T05:00:01+00:00");
    assert_eq!(snapshot["skipped"][0]["path"], "gone");
    assert!(snapshot["skipped"][0]["reason"].as_str().unwrap().starts_with("lost: "));
    // The rest of it is there.
    let mut expected = kept.looks[1].clone();
    expected.retain(|line| !line.starts_with("gone "));
    kept.sandbox.run("runup-checkout --plain app@4 --to out").succeeds();
    assert_eq!(kept.sandbox.look("out"), expected);
    let again = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    assert_eq!(actions(&again), BTreeSet::new(), "once is enough");
    // As if it had been killed before it published the newest state again.
    fs::remove_file(kept.sandbox.path(".runup/jobs/00000005")).unwrap();
    let again = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    assert_eq!(actions(&again), BTreeSet::from(["published_again"]));
    let latest = kept.sandbox.run("runup-rev-parse --plain app").succeeds().stdout();
    assert_eq!(latest.trim(), newest.to_hex());
    kept.sandbox.run("runup forget app --job 2").succeeds();
    kept.sandbox.run("runup check --read-data").succeeds();
    kept.sandbox.run("runup repair").succeeds();
}

#[test]
fn of_a_delta_frame_is_kept_what_can_be_decoded() {
    for has_footer in [false, true] {
        let mut kept = Kept::new();
        let add = |kept: &mut Kept, name: &str, bytes: &[u8]| {
            let before = kept.packs();
            kept.change(name, bytes);
            kept.backup();
            let new: BTreeSet<PathBuf> = kept.packs().difference(&before).cloned().collect();
            of_class(&new, true)
        };
        let base = add(&mut kept, "a", &noise(100_000, 50));
        add(&mut kept, "b", &noise(100_000, 51));
        let changed = |seed| {
            let mut bytes = noise(100_000, seed);
            bytes[5] ^= 1;
            bytes
        };
        kept.change("a", &changed(50));
        let [deltas] = &add(&mut kept, "b", &changed(51))[..] else { panic!("one pack") };
        assert!(fs::metadata(deltas).unwrap().len() < 10_000, "both are differences");
        fs::remove_file(&base[0]).unwrap();
        let file = fs::OpenOptions::new().write(true).open(deltas).unwrap();
        let length = fs::metadata(deltas).unwrap().len();
        // The salt, or the footer.
        file.write_all_at(b"damaged", if has_footer { 0x20 } else { length - 80 }).unwrap();
        kept.sandbox.run("runup check --read-data").exits(4);
        kept.sandbox.run("runup repair").exits(4);
        assert!(!deltas.exists());
        let cat = |name: &str| kept.sandbox.run(&format!("runup-cat-object -p app@4:{name}"));
        let b = kept.sandbox.run("runup-cat-object -p app@4:b >b").succeeds();
        drop(b);
        assert_eq!(kept.sandbox.read("b"), changed(51));
        assert_ne!(cat("a").exit_code(), Some(0));
        if has_footer {
            // Its base comes back.
            kept.sandbox.write("base", &noise(100_000, 50));
            kept.sandbox.run("runup-hash-object -w base").succeeds();
            kept.sandbox.run("runup-cat-object -p app@4:a >a").succeeds();
            assert_eq!(kept.sandbox.read("a"), changed(50));
        }
    }
}

#[test]
fn control_files_are_set_aside_where_others_stand_for_them_or_on_request() {
    let mut kept = Kept::new();
    kept.backup();
    let run = |script: &str| kept.sandbox.run(script);
    run("runup-update-ref tag/one app").succeeds();
    run("runup-update-ref tag/two app").succeeds();
    run("runup check").succeeds();
    // One that does not count any more.
    kept.sandbox.write(".runup/refs/00000001", b"damaged");
    run("runup repair").succeeds();
    assert!(kept.sandbox.exists(".runup/lost/00000001"));
    assert!(run("runup-for-each-ref").succeeds().stdout().contains("tag/two"));
    // The one that counts.
    run("runup-update-ref tag/three app").succeeds();
    kept.sandbox.write(".runup/refs/00000003", b"damaged");
    run("runup repair").exits(4);
    assert!(kept.sandbox.exists(".runup/refs/00000003"));
    run("runup repair --drop-control").succeeds();
    let refs = run("runup-for-each-ref").succeeds().stdout();
    assert!(refs.contains("tag/two") && !refs.contains("tag/three"), "{refs}");
    // A job, whose number must not come again.
    kept.sandbox.write(".runup/jobs/00000002", b"damaged");
    run("runup repair").exits(4);
    assert!(kept.sandbox.exists(".runup/jobs/00000002"));
    let told = run("runup repair --drop-control").succeeds().stdout();
    assert!(told.contains("jobs/00000002: moved to lost/00000002\n"), "{told}");
    kept.backup();
    let jobs = kept.sandbox.run("runup snapshots --json").succeeds().records();
    let jobs: Vec<&Value> = jobs.iter().map(|record| &record["job"]).collect();
    assert_eq!(jobs, [1, 3]);
    kept.sandbox.run("runup check").succeeds();
    // One that is missing.
    kept.backup();
    fs::remove_file(kept.sandbox.path(".runup/jobs/00000003")).unwrap();
    kept.sandbox.run("runup repair").exits(4);
    let told = kept.sandbox.run("runup repair --drop-control").succeeds().stdout();
    assert!(told.contains("jobs/00000003: missing, counted as pruned\n"), "{told}");
    kept.sandbox.run("runup check").succeeds();
    // A generation, without which nothing can be stored.
    kept.sandbox.write(".runup/gc/00000009", b"damaged");
    kept.sandbox.run("echo x | runup-hash-object -w --stdin").exits(4);
    kept.sandbox.run("runup repair").exits(4);
    kept.sandbox.run("runup repair --drop-control").succeeds();
    kept.backup();
    kept.sandbox.run("runup check --read-data").succeeds();
}

#[test]
fn what_a_prune_had_begun_to_delete_does_not_pass_for_complete_where_its_list_is_lost() {
    let kept = Kept::new();
    let run = |script: &str| kept.sandbox.run(script);
    kept.sandbox.write("long", &noise(5 << 20, 7100));
    let store = "runup-hash-object -w --loose --plain long";
    let long = run(store).succeeds().stdout();
    let whole =
        run("echo whole | runup-hash-object -w --loose --stdin --plain").succeeds().stdout();
    // A prune was killed when it had deleted a chunk.
    let loose = run("cd .runup/objects && find -type f | tr -d ./").succeeds().stdout();
    let chunk = loose.lines().find(|id| ![long.trim(), whole.trim()].contains(id)).unwrap();
    let file = format!(".runup/objects/{}/{}", &chunk[..2], &chunk[2..]);
    fs::remove_file(kept.sandbox.path(&file)).unwrap();
    kept.sandbox.write(".runup/gc/00000009", b"damaged");
    run("runup repair --drop-control").succeeds();
    let generation = run("cat .runup/gc/00000010").succeeds().stdout();
    assert!(generation.contains(long.trim()), "{generation}");
    assert!(!generation.contains(whole.trim()), "{generation}");
    let tree = "b3sum long | runup-mktree --plain";
    run(tree).exits(1);
    // Its list is stored again, and so is the chunk.
    run(store).succeeds();
    run(tree).succeeds();
    run("runup-cat-object -p $(runup-hash-object --plain long) | cmp - long").succeeds();
    run("runup prune --max-unused 0% && runup check --read-data").succeeds();
}

#[test]
fn directories_and_locks_that_are_missing_are_made() {
    let names = ["objects", "index", "forgotten", "pruned", "sessions", "gc", "fenced", "refs"];
    for name in names.into_iter().chain(["maintenance.lock", "publication.lock"]) {
        let mut kept = Kept::new();
        let path = kept.sandbox.path(&format!(".runup/{name}"));
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        let told = kept.sandbox.run("runup check").exits(4).stdout();
        assert!(told.contains(&format!("damage: {name}: it is missing")), "{name}: {told}");
        assert!(kept.restores(1), "{name}");
        let told = kept.sandbox.run("runup repair --dry-run").exits(4).stdout();
        assert!(told.contains(&format!("{name}: missing, would be made\n")), "{name}: {told}");
        let told = kept.sandbox.run("runup repair").succeeds().stdout();
        assert!(told.contains(&format!("{name}: missing, made\n")), "{name}: {told}");
        kept.change("another", &noise(3000, 6001));
        kept.backup();
        kept.sandbox.run("runup forget --job 1").succeeds();
        kept.sandbox.run("runup prune").succeeds();
        kept.sandbox.run("runup check --read-data").succeeds();
        assert!(kept.restores(kept.looks.len()), "{name}");
    }
}

#[test]
fn a_job_that_is_gone_stops_a_prune_and_its_number_stays_taken() {
    let mut kept = Kept::new();
    kept.change("version", &noise(3000, 6003));
    kept.backup();
    kept.change("version", &noise(3000, 6004));
    kept.backup();
    let job = |number: u32| kept.sandbox.path(&format!(".runup/jobs/{number:08}"));
    let away = kept.sandbox.path("away");
    fs::rename(job(2), &away).unwrap();
    let told = kept.sandbox.run("runup prune").exits(4).stderr();
    assert!(told.contains("jobs/00000002 is missing"), "{told}");
    fs::rename(&away, job(2)).unwrap();
    kept.sandbox.run("runup prune --max-unused 0%").succeeds();
    assert!((1..=3).all(|job| kept.restores(job)));
    // The number of one that was given up does not come again, whatever a prune publishes.
    fs::write(job(3), b"damaged").unwrap();
    kept.sandbox.run("runup repair --drop-control").succeeds();
    kept.sandbox.run("runup prune --max-unused 0%").succeeds();
    kept.sandbox.run("runup backup").succeeds();
    assert!(job(4).exists() && !job(3).exists());
    kept.sandbox.run("runup check --read-data").succeeds();
}

#[test]
fn jobs_that_are_all_gone_are_missed_before_anything_else_goes() {
    let mut kept = Kept::new();
    kept.change("another", &noise(3000, 6002));
    kept.backup();
    let jobs = kept.sandbox.path(".runup/jobs");
    let away = kept.sandbox.path("jobs");
    fs::rename(&jobs, &away).unwrap();
    let run = |script: &str| kept.sandbox.run(script);
    // With the directory, and with its files alone.
    let commands = ["check", "backup", "restore -f", "snapshots", "prune", "repair"];
    run("runup check").exits(4);
    for command in commands {
        run(&format!("runup {command}")).exits(4);
    }
    fs::create_dir(&jobs).unwrap();
    for command in commands {
        run(&format!("runup {command}")).exits(4);
    }
    let told = run("runup backup").exits(4).stderr();
    assert!(told.contains("put copies of the files") && told.contains("--drop-control"), "{told}");
    // They come back.
    fs::remove_dir(&jobs).unwrap();
    fs::rename(&away, &jobs).unwrap();
    run("runup check").succeeds();
    assert!((1..=kept.looks.len()).all(|job| kept.restores(job)));
    // They are given up, and their numbers too.
    for job in fs::read_dir(&jobs).unwrap() {
        fs::remove_file(job.unwrap().path()).unwrap();
    }
    let told = run("runup repair --drop-control --dry-run").exits(4).stdout();
    assert!(told.contains("jobs: all missing, would be counted as pruned\n"), "{told}");
    let told = run("runup repair --drop-control").succeeds().stdout();
    assert!(told.contains("jobs: all missing, counted as pruned\n"), "{told}");
    run("runup check").succeeds();
    run("runup backup").succeeds();
    let listed = run("runup snapshots --json").succeeds().records();
    assert_eq!(listed.len(), 1);
    assert!(listed[0]["job"].as_u64().unwrap() as usize > kept.looks.len(), "{listed:?}");
    run("runup prune").succeeds();
    run("runup check --read-data").succeeds();
}

#[test]
fn the_newest_refs_and_generation_are_missed_once_a_job_knows_of_them() {
    let kept = Kept::new();
    let run = |script: &str| kept.sandbox.run(script);
    let newest = |directory: &str| {
        let files = fs::read_dir(kept.sandbox.path(&format!(".runup/{directory}"))).unwrap();
        files.map(|file| file.unwrap().path()).max().unwrap()
    };
    run("runup-update-ref tag/two app").succeeds();
    run("runup-update-ref tag/three app").succeeds();
    run("runup backup").succeeds();
    fs::remove_file(newest("refs")).unwrap();
    assert!(run("runup check").exits(4).stdout().contains("it is missing"));
    run("runup-update-ref tag/four app").exits(4);
    run("runup prune").exits(4);
    assert!(run("runup repair").exits(4).stdout().contains("`runup repair --drop-control`"));
    let told = run("runup repair --drop-control").succeeds().stdout();
    assert!(told.contains(": missing, replaced by the one before\n"), "{told}");
    let refs = run("runup-for-each-ref").succeeds().stdout();
    assert!(refs.contains("tag/two") && !refs.contains("tag/three"), "{refs}");
    run("runup check").succeeds();
    run("runup-update-ref tag/four app").succeeds();
    run("echo unneeded | runup-hash-object -w --stdin").succeeds();
    run("runup prune").succeeds();
    // The newest generation.
    run("runup backup").succeeds();
    fs::remove_file(newest("gc")).unwrap();
    assert!(run("runup check").exits(4).stdout().contains("it is missing"));
    run("runup repair --drop-control").succeeds();
    run("runup check").succeeds();
}

#[test]
fn nothing_is_written_anew_behind_a_newest_snapshot_that_is_lost() {
    let mut kept = Kept::new();
    kept.change("gone", &noise(3000, 6000));
    let new = packs_of_backup(&mut kept);
    fs::remove_file(&of_class(&new, true)[0]).unwrap();
    kept.change("gone", b"other");
    let new = packs_of_backup(&mut kept);
    fs::remove_file(&of_class(&new, false)[0]).unwrap();
    let records = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    assert!(actions(&records).contains("not_rewritten"));
    kept.sandbox.run("runup forget app --job 3").succeeds();
    let records = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    assert!(actions(&records).contains("rewritten"));
}

#[test]
fn nothing_is_written_anew_behind_a_job_that_cannot_be_read() {
    let mut kept = Kept::new();
    kept.change("gone", &noise(3000, 6000));
    let new = packs_of_backup(&mut kept);
    fs::remove_file(&of_class(&new, true)[0]).unwrap();
    fs::remove_file(kept.sandbox.path("tree/gone")).unwrap();
    kept.backup();
    fs::write(kept.sandbox.path(".runup/jobs/00000003"), "damaged").unwrap();
    let records = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    let not = records.iter().find(|record| record["action"] == "not_rewritten").unwrap();
    assert_eq!(not["from_job"], 3);
    assert!(!actions(&records).contains("rewritten"));
    kept.sandbox.run("runup-rev-parse app").exits(4);
    let text = kept.sandbox.run("runup repair --rewrite").exits(4).stdout();
    assert!(text.contains("give it up with --drop-control"), "{text}");
    let records = kept.sandbox.run("runup repair --rewrite --drop-control --json").exits(4);
    assert!(actions(&records.records()).contains("rewritten"));
}

#[test]
fn a_newest_state_that_was_forgotten_meanwhile_comes_back_in_front() {
    let mut kept = Kept::new();
    kept.change("gone", &noise(3000, 6000));
    let new = packs_of_backup(&mut kept);
    fs::remove_file(kept.sandbox.path("tree/gone")).unwrap();
    kept.backup();
    kept.change("later", b"later");
    let newest = kept.backup().snapshot;
    fs::remove_file(&of_class(&new, true)[0]).unwrap();
    kept.sandbox.run("runup forget app --job 4").succeeds();
    kept.sandbox.run("runup repair --rewrite").exits(4);
    kept.sandbox.run("runup forget --undo").succeeds();
    let records = kept.sandbox.run("runup repair --rewrite --json").exits(4).records();
    assert_eq!(actions(&records), BTreeSet::from(["published_again"]));
    let latest = kept.sandbox.run("runup-rev-parse --plain app").succeeds().stdout();
    assert_eq!(latest.trim(), newest.to_hex());
}
