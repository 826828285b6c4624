//! Objects that are stored as a difference from others: made, read, damaged, repacked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use runup::base::hash::object_id;
use runup::base::kind::Kind;
use runup::format::compress::{Codec, Compression, Compressor};
use runup::format::delta::{Base, encode_delta_frame};
use runup::format::index::IndexBuilder;
use runup::format::pack::{FrameObject, PackClass, encode_frame};
use runup::repository::Repository;
use runup::store::{PackPart, PackWriter, ReadError};
use serde_json::Value;

use crate::sandbox::{Sandbox, noise};

const PROJECT: &str = "  app:\n    include: [src]\n";

fn packs(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
    let listed = fs::read_dir(sandbox.path(".runup/packs")).unwrap();
    listed.map(|entry| entry.unwrap().path()).collect()
}

/// Every stored object by its id.
fn stored(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let ran = sandbox.run("runup-cat-object --batch-all-objects --batch-check").succeeds();
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    ran.records().into_iter().map(|record| (id(&record), record)).collect()
}

/// The ids of what is stored as a difference, and of their bases.
fn deltas(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let base = |record: &Value| record["delta_base"].as_str().map(str::to_owned);
    stored(sandbox).iter().filter_map(|(id, record)| Some((id.clone(), base(record)?))).collect()
}

fn id_of(sandbox: &Sandbox, name: &str) -> String {
    object_id(Kind::Blob, &sandbox.read(name)).to_hex()
}

fn write_changed(sandbox: &Sandbox, version: u32) {
    let mut long = noise(7 << 20, 1);
    long[3 << 20..][..200].copy_from_slice(&noise(200, 100 + version));
    sandbox.write("src/long", &long);
    let line = format!("line {version} of many\n");
    sandbox.write("src/note", &[&noise(20_000, 2), line.as_bytes()].concat());
    sandbox.write("src/many/7", line.as_bytes());
}

/// Three jobs, each with a changed long file, a changed small one and a changed directory.
fn changed() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECT);
    for number in 0..60_u32 {
        sandbox.write(&format!("src/many/{number}"), &noise(100, 1000 + number));
    }
    for version in 0..3 {
        write_changed(&sandbox, version);
        sandbox.run("runup backup").succeeds();
        sandbox.run(&format!("cp -a src ../was-{version}")).succeeds();
    }
    sandbox
}

fn restores_exactly(sandbox: &Sandbox) {
    for version in 0..3 {
        let job = version + 1;
        let script = format!("rm -rf ../out; runup restore --force --job {job} --location ../out");
        sandbox.run(&script).succeeds();
        assert_eq!(sandbox.look("../out/src"), sandbox.look(&format!("../was-{version}")));
    }
}

/// The findings of a check: code, object, paths with their jobs.
fn checked(sandbox: &Sandbox, options: &str, code: i32) -> Vec<(String, String, Vec<String>)> {
    let ran = sandbox.run(&format!("runup-fsck {options}")).exits(code);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = |value: &Value| format!("{} {}", value["job"], text(&value["path"]));
    let findings = ran.records().into_iter().filter(|record| record["message_type"] == "finding");
    findings
        .map(|finding| {
            let affected = finding["affected"].as_array().unwrap().iter().map(path).collect();
            (text(&finding["code"]), text(&finding["object"]), affected)
        })
        .collect()
}

fn paths(findings: &[(String, String, Vec<String>)]) -> BTreeSet<&str> {
    findings.iter().flat_map(|(_, _, paths)| paths).map(String::as_str).collect()
}

#[test]
fn what_changed_a_little_is_stored_as_what_differs() {
    let sandbox = changed();
    let deltas = deltas(&sandbox);
    // A chunk, a file and a tree in the second job, and the same in the third.
    assert_eq!(deltas.len(), 6, "{deltas:?}");
    assert!(deltas.contains_key(&id_of(&sandbox, "src/note")));
    let stored = stored(&sandbox);
    for base in deltas.values() {
        assert_eq!(stored[base]["delta_base"], Value::Null, "a base is whole");
    }
    let bases: BTreeSet<_> = deltas.values().collect();
    assert_eq!(bases.len(), 3, "later versions keep their base");
    assert!(bases.contains(&id_of(&sandbox, "../was-0/note")));
    let counts = sandbox.run("runup-count-objects").succeeds().record();
    assert_eq!(counts["deltas"], 6);
    let bytes = counts["delta_stored_bytes"].as_u64().unwrap();
    assert!((100..10_000).contains(&bytes), "{bytes}");
    restores_exactly(&sandbox);
    assert_eq!(checked(&sandbox, "", 0), []);
    let verified = sandbox.run("runup-verify-pack .runup/packs/*").succeeds();
    assert!(verified.records().iter().all(|pack| pack["unproved_objects"] == 0));
    // Elsewhere the bases are not at hand, and the hash of each pack has to do.
    let alone = "cp .runup/packs/* ../out && cd ../out && runup-verify-pack ./*.pack";
    let verified = sandbox.run(&format!("mkdir -p ../out; {alone}")).succeeds().records();
    let unproved = verified.iter().map(|pack| pack["unproved_objects"].as_u64().unwrap());
    assert_eq!(unproved.sum::<u64>(), 6);
}

#[test]
fn without_zstd_everything_is_stored_whole() {
    let sandbox = Sandbox::new();
    sandbox.write("runup.yaml", format!("version: '1'\nproject:\n{PROJECT}").as_bytes());
    sandbox.run("runup init --compression deflate").succeeds();
    for version in 0..2 {
        write_changed(&sandbox, version);
        sandbox.run("runup backup").succeeds();
    }
    assert_eq!(deltas(&sandbox), BTreeMap::new());
}

#[test]
fn a_damaged_base_names_all_that_is_decoded_from_it() {
    let sandbox = changed();
    let base = id_of(&sandbox, "../was-0/note");
    let record = &stored(&sandbox)[&base];
    let pack = sandbox.path(&format!(".runup/packs/{}.pack", record["pack"].as_str().unwrap()));
    let mut bytes = fs::read(&pack).unwrap();
    bytes[record["frame_offset"].as_u64().unwrap() as usize + 60] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let ran = sandbox.run("runup-cat-object -p app:src/note > /dev/null").exits(4);
    assert!(ran.stderr().contains(&format!("needs {base}")), "{}", ran.stderr());
    let found = checked(&sandbox, "", 4);
    for job in 1..=3 {
        let path = format!("{job} src/note");
        assert!(paths(&found).contains(path.as_str()), "{path}: {found:?}");
    }
    let dependent = found.iter().find(|(_, object, _)| *object == id_of(&sandbox, "src/note"));
    assert_eq!(dependent.unwrap().0, "damaged_object");
}

/// Jobs of one file, each version of which is in a pack of its own; the pack of the first.
fn one_file() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::with_projects(PROJECT);
    let mut content = Vec::new();
    for line in [&b""[..], b"one more line\n"] {
        let before = if content.is_empty() { BTreeSet::new() } else { packs(&sandbox) };
        sandbox.write("src/note", &[&noise(20_000, 2), line].concat());
        sandbox.run("runup backup").succeeds();
        let class = |pack: &PathBuf| fs::read(pack).unwrap()[10];
        content.extend(packs(&sandbox).difference(&before).find(|pack| class(pack) == 0).cloned());
    }
    assert_eq!(content.len(), 2);
    (sandbox, content.remove(0))
}

#[test]
fn a_missing_base_is_found_without_reading_data_and_refuses_a_snapshot() {
    let (sandbox, pack) = one_file();
    let tree = sandbox.run("runup-rev-parse --plain app:").succeeds().stdout();
    let listed = sandbox.run("runup-rev-list --objects app").succeeds().records();
    let base = object_id(Kind::Blob, &noise(20_000, 2)).to_hex();
    let of_base: Vec<_> = listed.iter().filter(|record| record["id"] == base.as_str()).collect();
    assert_eq!(of_base.len(), 1, "what is needed is listed: {listed:?}");
    // It is not the first job's alone, though only that one has its path.
    let alone = sandbox.run("runup-rev-list --objects app@1 --not app@2").succeeds().records();
    assert!(!alone.is_empty());
    assert!(alone.iter().all(|record| record["id"] != base.as_str()), "{alone:?}");
    fs::remove_file(&pack).unwrap();
    let found = checked(&sandbox, "--structure", 4);
    for job in 1..=2 {
        let path = format!("{job} src/note");
        assert!(paths(&found).contains(path.as_str()), "{path}: {found:?}");
    }
    let write = format!("echo {} | runup-write-snapshot --project other", tree.trim());
    let ran = sandbox.run(&write).exits(1);
    assert!(ran.stderr().contains(&base), "{}", ran.stderr());
    // Once it is there again, all is well.
    sandbox.write("again", &noise(20_000, 2));
    sandbox.run("runup-hash-object -w again").succeeds();
    sandbox.run(&write).succeeds();
    sandbox.run("runup-cat-object -p app:src/note | cmp - src/note").succeeds();
}

#[test]
fn lost_footers_and_indexes_cost_no_delta() {
    for keeps_footers in [true, false] {
        let sandbox = changed();
        let expected = deltas(&sandbox);
        for pack in packs(&sandbox).iter().filter(|_| !keeps_footers) {
            let bytes = fs::read(pack).unwrap();
            let trailer = &bytes[bytes.len() - 64..];
            let footer = u64::from_le_bytes(trailer[..8].try_into().unwrap());
            fs::write(pack, &bytes[..footer as usize]).unwrap();
        }
        sandbox.run("rm .runup/index/*").succeeds();
        sandbox.run("runup-index-pack").succeeds();
        assert_eq!(deltas(&sandbox), expected, "footers kept: {keeps_footers}");
        assert!(checked(&sandbox, "", 0).iter().all(|(code, ..)| code == "lost_file"));
        restores_exactly(&sandbox);
    }
}

#[test]
fn packing_again_keeps_deltas_or_does_without() {
    for (option, expected) in [("", 6), ("--no-deltas", 0)] {
        let sandbox = changed();
        let old = packs(&sandbox);
        let script =
            format!("runup-rev-list --objects --all | runup-pack-objects --stdin {option}");
        sandbox.run(&script).succeeds();
        for pack in &old {
            fs::remove_file(pack).unwrap();
        }
        sandbox.run("rm .runup/index/* && runup-index-pack").succeeds();
        assert_eq!(deltas(&sandbox).len(), expected, "{option}");
        assert_eq!(checked(&sandbox, "", 0), []);
        restores_exactly(&sandbox);
    }
}

/// Publishes objects one by one, each as a difference from another one if one is given.
fn publish(repository: &Repository, objects: &[(&[u8], Option<&[u8]>)]) {
    let session = repository.write_session().unwrap();
    let store = repository.store();
    let mut pack = PackWriter::new(store.backend(), session.id(), PackClass::Content).unwrap();
    for (bytes, base) in objects {
        let id = object_id(Kind::Blob, bytes);
        let length = bytes.len() as u32;
        let objects = vec![FrameObject { id, kind: Kind::Blob, is_list: false, length }];
        let raw = encode_frame(&objects, bytes);
        let (raw_length, class) = (raw.len(), PackClass::Content);
        let part = match base {
            None => PackPart {
                class,
                codec: Codec::None,
                stored: raw,
                raw_length,
                objects,
                bases: vec![],
            },
            Some(base) => {
                let mut delta = Vec::new();
                let mut compressor = Compressor::new(Compression::default()).unwrap();
                assert!(compressor.compress_delta(base, bytes, &mut delta).unwrap());
                let base = Base { id: object_id(Kind::Blob, base), kind: Kind::Blob };
                let parts = [(base, delta.len() as u32)];
                let stored = encode_delta_frame(&objects, &parts, &delta);
                PackPart {
                    class,
                    codec: Codec::Delta,
                    stored,
                    raw_length,
                    objects,
                    bases: vec![base],
                }
            }
        };
        pack.add(part).unwrap();
    }
    let (record, frames) = pack.finish().unwrap();
    let mut builder = IndexBuilder::default();
    builder.add_pack(record, &frames);
    store.publish_segment(session.id(), builder).unwrap();
    store.backend().sync_all().unwrap();
}

#[test]
fn a_base_that_is_a_difference_itself_is_damage() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let [one, two, three] = [1, 2, 3].map(|last| [noise(5000, 1), vec![last]].concat());
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    publish(&repository, &[(&one, None), (&two, Some(&one)), (&three, Some(&two))]);
    let id = |bytes: &[u8]| object_id(Kind::Blob, bytes);
    let load = |bytes: &[u8]| repository.store().stream(&id(bytes), Kind::Blob, &mut |_| Ok(()));
    assert_eq!(load(&two).unwrap(), 5001);
    let error = load(&three).unwrap_err();
    assert!(error.is_damage());
    assert!(matches!(&error, ReadError::Base { base, .. } if base.id == id(&two)), "{error:?}");
    let found = checked(&sandbox, "--structure", 4);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].0, &found[0].1), ("missing_object", &id(&two).to_hex()));
    // A copy that is whole mends that, and is preferred.
    publish(&repository, &[(&two, None)]);
    assert_eq!(load(&three).unwrap(), 5001);
    let found = repository.store().find(&id(&two)).unwrap().unwrap();
    assert_eq!(found.base(), None);
}

#[test]
fn each_place_of_a_base_is_tried() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let [one, two] = [1, 2].map(|last| [noise(5000, 1), vec![last]].concat());
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    publish(&repository, &[(&one, None)]);
    publish(&repository, &[(&one, None)]);
    let bases = packs(&sandbox);
    publish(&repository, &[(&two, Some(&one))]);
    let load = || {
        let repository = Repository::open(&sandbox.path(".runup")).unwrap();
        let id = object_id(Kind::Blob, &two);
        repository.store().stream(&id, Kind::Blob, &mut |_| Ok(()))
    };
    for pack in &bases {
        assert_eq!(load().unwrap(), 5001);
        let mut bytes = fs::read(pack).unwrap();
        bytes[200] ^= 1;
        fs::write(pack, &bytes).unwrap();
    }
    assert!(load().unwrap_err().is_damage());
}
