//! Checks of a part of the packs, and what is remembered from one to the next.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, noise};

/// A repository with as many jobs, each with two packs of its own.
fn sandbox(jobs: u32) -> Sandbox {
    let sandbox = Sandbox::with_projects("  app:\n    include: [files]\n");
    for job in 0..jobs {
        sandbox.write(&format!("files/{job}"), &noise(20_000, job));
        sandbox.run("runup backup").succeeds();
    }
    sandbox
}

fn packs(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(sandbox.path(".runup/packs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn check(sandbox: &Sandbox, date: &str, options: &str) -> Ran {
    sandbox.run(&format!("RUNUP_DATE={date} runup check --json {options}"))
}

fn summary(ran: &Ran) -> Value {
    ran.records().pop().unwrap()
}

/// Flips a bit of the bytes of a frame.
fn damage(pack: &PathBuf) {
    let file = fs::OpenOptions::new().write(true).read(true).open(pack).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 120).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 120).unwrap();
}

#[test]
fn a_check_tells_what_was_verified_and_when() {
    let sandbox = sandbox(2);
    let told = summary(&check(&sandbox, "2026-11-01T00:00:00Z", "").succeeds());
    assert_eq!(
        [&told["packs_verified"], &told["packs_never_verified"], &told["packs_read"]],
        [0, 4, 0]
    );
    assert_eq!(told["oldest_verification"], Value::Null);
    check(&sandbox, "2026-11-02T00:00:00Z", "--read-data").succeeds();
    sandbox.write("files/new", b"new");
    sandbox.run("runup backup").succeeds();
    let told = summary(&check(&sandbox, "2026-11-03T00:00:00Z", "").succeeds());
    assert_eq!([&told["packs_verified"], &told["packs_never_verified"]], [4, 2]);
    assert_eq!(told["oldest_verification"], "2026-11-02T00:00:00+00:00");
    let text = sandbox.run("runup check").succeeds().stdout();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("  4 of 6 packs, "), "{last}");
    assert!(last.ends_with(", were verified since 2026-11-02 00:00:00; 2 never"), "{last}");
    // What is verified by the plumbing counts as well.
    sandbox.run("RUNUP_DATE=2026-11-04T00:00:00Z runup-fsck --plain").succeeds();
    let last = sandbox.run("runup check | tail -n 1").succeeds().stdout();
    assert!(last.starts_with("  all 6 of 6 packs, "), "{last}");
    assert!(last.ends_with(", were verified since 2026-11-04 00:00:00\n"), "{last}");
    fs::remove_dir_all(sandbox.path("../cache")).unwrap();
    let last = sandbox.run("runup check | tail -n 1").succeeds().stdout();
    assert_eq!(last, "  no pack was verified so far\n");
}

#[test]
fn shares_come_round_and_parts_are_all() {
    let sandbox = sandbox(3);
    let mut read = 0;
    for day in 1..=6 {
        let ran = check(&sandbox, &format!("2026-11-0{day}T00:00:00Z"), "--read-data=30%");
        let told = summary(&ran.succeeds());
        assert_eq!(told["has_read_data"], false);
        read += told["packs_read"].as_u64().unwrap();
    }
    let told = summary(&check(&sandbox, "2026-11-07T00:00:00Z", "").succeeds());
    assert_eq!(told["packs_never_verified"], 0);
    assert!(read >= 6 && told["oldest_verification"].as_str() > Some("2026-11-02"), "{told}");
    let of = |part: u32| {
        let ran = check(&sandbox, "2026-11-08T00:00:00Z", &format!("--read-data={part}/3"));
        summary(&ran.succeeds())["packs_read"].as_u64().unwrap()
    };
    assert_eq!((1..=3).map(of).sum::<u64>(), 6);
    let told = summary(&check(&sandbox, "2026-11-09T00:00:00Z", "").succeeds());
    assert_eq!(told["oldest_verification"], "2026-11-08T00:00:00+00:00");
    let told = summary(&check(&sandbox, "2026-11-10T00:00:00Z", "--read-data=1h").succeeds());
    assert_eq!(told["packs_read"], 6);
}

#[test]
fn a_damaged_pack_is_forgotten_and_read_again_until_it_is_good() {
    let sandbox = sandbox(2);
    check(&sandbox, "2026-11-01T00:00:00Z", "--read-data").succeeds();
    let pack = packs(&sandbox).into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len());
    let pack = pack.unwrap();
    let good = fs::read(&pack).unwrap();
    damage(&pack);
    check(&sandbox, "2026-11-02T00:00:00Z", "").succeeds();
    let ran = check(&sandbox, "2026-11-03T00:00:00Z", "--read-data").exits(4);
    let told = summary(&ran);
    assert_eq!([&told["packs_verified"], &told["packs_never_verified"]], [3, 1]);
    let frame = ran.records().into_iter().find(|record| record["code"] == "damaged_frame").unwrap();
    assert_eq!(frame["object_count"], 1);
    assert_eq!(frame["objects"][0]["kind"], "blob");
    assert_eq!(frame["affected"][0]["path"].as_str().map(|path| &path[..6]), Some("files/"));
    // Known from then on, also to a check that reads no data.
    let told = check(&sandbox, "2026-11-04T00:00:00Z", "").exits(4);
    assert_eq!(summary(&told)["packs_read"], 1);
    let text = sandbox.run("runup check").exits(4).stdout();
    assert!(text.contains("  1 object, the first is blob "), "{text}");
    fs::write(&pack, good).unwrap();
    let told = summary(&check(&sandbox, "2026-11-05T00:00:00Z", "").succeeds());
    assert_eq!([&told["packs_verified"], &told["packs_read"]], [4, 1]);
    let told = summary(&check(&sandbox, "2026-11-06T00:00:00Z", "").succeeds());
    assert_eq!([&told["packs_verified"], &told["packs_read"]], [4, 0]);
}

#[test]
fn damage_outside_of_frames_is_remembered_too() {
    let sandbox = sandbox(1);
    let pack = packs(&sandbox).into_iter().next().unwrap();
    let file = fs::OpenOptions::new().write(true).open(pack).unwrap();
    // The salt, which nothing but the name covers.
    file.write_all_at(b"x", 0x20).unwrap();
    check(&sandbox, "2026-11-01T00:00:00Z", "").succeeds();
    check(&sandbox, "2026-11-02T00:00:00Z", "--read-data").exits(4);
    check(&sandbox, "2026-11-03T00:00:00Z", "").exits(4);
}

#[test]
fn amounts_that_are_none_are_refused_and_a_cache_that_cannot_be_written_is_told() {
    let sandbox = sandbox(1);
    for bad in ["0%", "101%", "3/2", "0/2", "10", "s", "", "-1s", "1.5h"] {
        sandbox.run(&format!("runup check --read-data={bad}")).exits(2);
    }
    fs::remove_dir_all(sandbox.path("../cache")).unwrap();
    sandbox.write("../cache", b"not a directory");
    let ran = check(&sandbox, "2026-11-02T00:00:00Z", "--read-data").succeeds();
    assert!(ran.records().iter().any(|record| record["code"] == "not_remembered"));
}

#[test]
fn lists_that_a_prune_left_behind_without_their_chunks_are_not_missed() {
    let (pruned, other) = (sandbox(1), sandbox(1));
    other.write("files/long", &noise(3_000_000, 1));
    other.run("runup backup").succeeds();
    for pack in packs(&other) {
        let record = other.run(&format!("runup-verify-pack --json {}", pack.display())).succeeds();
        if record.record()["class"] == "metadata" {
            let name = pack.file_name().unwrap().to_str().unwrap();
            pruned.write(&format!(".runup/packs/{name}"), &fs::read(&pack).unwrap());
        }
    }
    let ran = pruned.run("runup check --read-data").succeeds();
    assert!(ran.stdout().contains("no index covers it"), "{}", ran.stdout());
}
