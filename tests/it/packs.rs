//! Packs on their own: made from loose objects, verified, indexed anew, counted; and every object
//! listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use runup::base::hash::object_id;
use runup::base::id::Id;
use runup::base::kind::Kind;
use runup::format::compress::Compression;
use runup::format::control;
use runup::format::tree::{self, Entry, Metadata, Node};
use runup::repository::Repository;
use runup::store::{InsertOptions, Inserter, Worker, WriteError};
use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, noise};

const PROJECT: &str = "  app:\n    include: [src]\n";

fn summary(ran: &Ran) -> Value {
    let summary = ran.records().pop().unwrap();
    assert_eq!(summary["message_type"], "summary", "{}", ran.stdout());
    summary
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn files(sandbox: &Sandbox, directory: &str) -> BTreeSet<PathBuf> {
    let listed = fs::read_dir(sandbox.path(".runup").join(directory));
    listed.map_or_else(|_| BTreeSet::new(), |l| l.map(|entry| entry.unwrap().path()).collect())
}

fn names(paths: &BTreeSet<PathBuf>) -> BTreeSet<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Two jobs: small files in several frames, a long one, a tree that is shared.
fn backed_up() -> Sandbox {
    let sandbox = Sandbox::with_projects(PROJECT);
    for number in 0..40_u32 {
        let length = 150_000 + 1000 * number as usize;
        sandbox.write(&format!("src/{}/{number}", number % 4), &noise(length, number));
    }
    sandbox.write("src/long", &noise(7_000_000, 99));
    sandbox.write("src/empty", b"");
    sandbox.run("runup backup").succeeds();
    sandbox.write("src/1/new", b"of the second job\n");
    sandbox.run("runup backup").succeeds();
    sandbox
}

/// Restores the newest job elsewhere and compares every file.
fn restores_exactly(sandbox: &Sandbox) {
    sandbox.run("rm -rf ../out && runup restore --force --location ../out").succeeds();
    assert_eq!(sandbox.look("../out/src"), sandbox.look("src"));
    sandbox.run("rm -rf ../out && runup restore --force --job 1 --location ../out").succeeds();
    assert_eq!(sandbox.look("../out/src").len() + 1, sandbox.look("src").len());
}

/// Findings of a check as codes, and the objects that it says are missing.
fn checked(sandbox: &Sandbox, code: i32) -> (BTreeSet<String>, BTreeSet<String>) {
    let found = sandbox.run("runup-fsck").exits(code).records();
    let findings = || found.iter().filter(|record| record["message_type"] == "finding");
    let missing = findings().filter(|finding| finding["code"] == "missing_object");
    let missing = missing.map(|finding| text(&finding["object"])).collect();
    (findings().map(|finding| text(&finding["code"])).collect(), missing)
}

/// What `verify-pack -v` says of a pack: of each object, and of the pack itself.
fn verified(sandbox: &Sandbox, pack: &str, code: i32) -> (Vec<Value>, Value) {
    let mut found = sandbox.run(&format!("runup-verify-pack -v {pack}")).exits(code).records();
    let pack = found.pop().unwrap();
    assert_eq!(pack["is_sound"], code == 0, "{pack}");
    (found, pack)
}

fn footer_offset(bytes: &[u8]) -> usize {
    let trailer = &bytes[bytes.len() - 64..];
    u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize
}

fn class_of(path: &Path) -> u8 {
    fs::read(path).unwrap()[10]
}

fn largest(paths: BTreeSet<PathBuf>) -> PathBuf {
    paths.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn a_lost_index_is_made_again_from_footers() {
    let sandbox = backed_up();
    let packs = files(&sandbox, "packs");
    sandbox.run("rm .runup/index/*").succeeds();
    let dry = sandbox.run("runup-index-pack --dry-run").succeeds();
    assert_eq!(files(&sandbox, "index").len(), 0, "a dry run writes nothing");
    let ran = sandbox.run("runup-index-pack").succeeds();
    let indexed = ran.records();
    assert_eq!(indexed.len(), packs.len() + 1);
    for record in &indexed[..packs.len()] {
        assert_eq!((&record["how"], &record["error"]), (&"footer".into(), &Value::Null));
        assert_eq!((&record["dropped"], &record["salvaged_to"]), (&0.into(), &json!([])));
    }
    let (summary, dry) = (summary(&ran), summary_of_dry(&dry));
    assert_eq!(summary["objects"], dry["objects"]);
    assert_eq!(summary["index_segments"], dry["index_segments"]);
    assert_eq!(checked(&sandbox, 0).0, BTreeSet::new(), "nothing is left to say");
    restores_exactly(&sandbox);
    let again = sandbox.run("runup-index-pack").succeeds();
    assert_eq!(again.records().len(), 1, "all is covered");
    let name = packs.first().unwrap().display().to_string();
    let named = sandbox.run(&format!("runup-index-pack {name}")).succeeds();
    assert_eq!(named.record()["how"], "covered");
    let stored = sandbox.run("runup backup --json").succeeds().record();
    assert!(stored["data_added"].as_u64().unwrap() < 10_000, "{stored}");
}

fn summary_of_dry(ran: &Ran) -> Value {
    let summary = summary(ran);
    assert_eq!(summary["is_dry_run"], true);
    summary
}

#[test]
fn packs_without_footers_are_replaced_by_packs_of_their_frames() {
    for keeps_index in [false, true] {
        let sandbox = backed_up();
        let packs = files(&sandbox, "packs");
        for pack in &packs {
            let bytes = fs::read(pack).unwrap();
            fs::write(pack, &bytes[..footer_offset(&bytes)]).unwrap();
        }
        if !keeps_index {
            sandbox.run("rm .runup/index/*").succeeds();
        }
        sandbox.run("runup-fsck --plain").exits(4);
        sandbox.run("runup-index-pack -n").succeeds();
        assert_eq!(files(&sandbox, "packs"), packs, "a dry run writes nothing");
        let ran = sandbox.run("runup-index-pack").succeeds();
        for record in ran.records().iter().filter(|record| record["message_type"] == "pack") {
            assert_eq!(record["how"], "scan");
            assert_eq!(record["salvaged_to"].as_array().unwrap().len(), 1);
        }
        assert_eq!(names(&files(&sandbox, "lost")), names(&packs));
        assert!(packs.is_disjoint(&files(&sandbox, "packs")));
        let notes = checked(&sandbox, 0).0;
        assert_eq!(notes, BTreeSet::from(["lost_file".to_owned()]), "index kept: {keeps_index}");
        restores_exactly(&sandbox);
        sandbox.run("runup-verify-pack --plain .runup/packs/*.pack").succeeds();
    }
}

#[test]
fn a_pack_cut_in_its_last_frame_costs_the_objects_of_that_frame() {
    let sandbox = backed_up();
    let pack = largest(files(&sandbox, "packs"));
    let (objects, _) = verified(&sandbox, &pack.display().to_string(), 0);
    let last = objects.iter().map(|object| object["frame_offset"].as_u64().unwrap()).max().unwrap();
    let lost: BTreeSet<String> = objects
        .iter()
        .filter(|object| object["frame_offset"] == last)
        .map(|object| text(&object["id"]))
        .collect();
    assert!(lost.len() < objects.len());
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[..last as usize + 50]).unwrap();
    sandbox.run("rm .runup/index/*").succeeds();
    let ran = sandbox.run("runup-index-pack").exits(4);
    let record = ran.records().into_iter().find(|record| record["how"] == "scan").unwrap();
    assert_eq!(record["error"]["code"], "damaged_frame");
    assert_eq!(record["objects"], objects.len() - lost.len());
    assert_eq!(summary(&ran)["dropped"], 0, "jobs lead to all that is incomplete now");
    let (codes, missing) = checked(&sandbox, 4);
    assert_eq!(codes, ["lost_file", "missing_object"].map(str::to_owned).into());
    assert_eq!(missing, lost);
    // What is still in the sources is stored again, and completes the earlier jobs too.
    sandbox.run("rm -rf ../cache && runup-write-tree src > /dev/null").succeeds();
    checked(&sandbox, 0);
    restores_exactly(&sandbox);
}

#[test]
fn a_flipped_frame_of_a_named_pack_is_left_behind() {
    let sandbox = backed_up();
    let pack = largest(files(&sandbox, "packs"));
    let mut bytes = fs::read(&pack).unwrap();
    bytes[64 + 40] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let digits = &pack.file_name().unwrap().to_str().unwrap()[..12];
    sandbox.run("runup-index-pack").succeeds();
    assert!(pack.exists(), "its index and footer agree, and nobody asked for more");
    let ran = sandbox.run(&format!("runup-index-pack {digits}")).exits(4);
    let record = ran.record();
    assert_eq!(
        (&record["how"], &record["error"]["code"]),
        (&"scan".into(), &"damaged_frame".into())
    );
    assert!(record["objects"].as_u64().unwrap() > 10);
    assert!(!pack.exists());
    let (codes, missing) = checked(&sandbox, 4);
    assert_eq!(codes, ["lost_file", "missing_object"].map(str::to_owned).into());
    assert!(!missing.is_empty());
}

#[test]
fn a_damaged_index_is_replaced_and_set_aside() {
    let sandbox = backed_up();
    let index = largest(files(&sandbox, "index"));
    let mut bytes = fs::read(&index).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&index, &bytes).unwrap();
    let ran = sandbox.run("runup-index-pack").succeeds();
    let name = index.file_name().unwrap().to_str().unwrap();
    assert_eq!(summary(&ran)["set_aside"], json!([format!("lost/{name}")]));
    assert_eq!(checked(&sandbox, 0).0, BTreeSet::from(["lost_file".to_owned()]));
    restores_exactly(&sandbox);
}

/// Stores objects in packs of their own that no index covers, as a writer does that is killed.
fn left_behind(sandbox: &Sandbox, put: impl Fn(&mut Worker<'_>) -> Result<(), WriteError>) {
    let before = files(sandbox, "index");
    let repository = Repository::open(&sandbox.path(".runup")).unwrap();
    let session = repository.write_session().unwrap();
    let options = InsertOptions::new(1, Compression::default());
    Inserter::new(repository.store(), session.id(), options).run_one(put).unwrap();
    for index in files(sandbox, "index").difference(&before) {
        fs::remove_file(index).unwrap();
    }
}

fn tree_of(name: &str, node: Node) -> Vec<u8> {
    let name = name.as_bytes().into();
    tree::encode(&[Entry { name, metadata: Metadata::default(), node }])
}

#[test]
fn what_a_killed_writer_left_incomplete_is_not_indexed() {
    let sandbox = backed_up();
    let missing = Node::File { size_bytes: 5, id: object_id(Kind::Blob, b"late\n") };
    let broken = tree_of("missing", missing);
    let above = tree_of("above", Node::Directory { tree: object_id(Kind::Tree, &broken) });
    let whole =
        tree_of("whole", Node::File { size_bytes: 5, id: object_id(Kind::Blob, b"blob\n") });
    let whole_above = tree_of("above", Node::Directory { tree: object_id(Kind::Tree, &whole) });
    // The one above comes in a pack of its own, and so do two that are complete.
    for bytes in [&broken, &above, &whole_above, &whole] {
        left_behind(&sandbox, |worker| worker.put(Kind::Tree, bytes).map(drop));
    }
    left_behind(&sandbox, |worker| worker.put(Kind::Blob, b"blob\n").map(drop));
    let ran = sandbox.run("runup-index-pack").succeeds();
    let dropped: Vec<_> = ran.records().iter().map(|record| record["dropped"].clone()).collect();
    assert_eq!(dropped.iter().filter(|dropped| **dropped == 1).count(), 2, "{dropped:?}");
    assert_eq!(summary(&ran)["dropped"], 2);
    for (bytes, code) in [(&broken, 1), (&above, 1), (&whole, 0), (&whole_above, 0)] {
        let id = object_id(Kind::Tree, bytes);
        sandbox.run(&format!("runup-cat-object -e {id}")).exits(code);
    }
    assert_eq!(checked(&sandbox, 0).0, BTreeSet::from(["unindexed_pack".to_owned()]));
    restores_exactly(&sandbox);
    // Once it is there, so may all be that waited for it.
    sandbox.run("echo late > f; runup-hash-object -w --pack f").succeeds();
    let again = sandbox.run("runup-index-pack").succeeds();
    assert_eq!((&summary(&again)["objects"], &summary(&again)["dropped"]), (&2.into(), &0.into()));
    assert_eq!(checked(&sandbox, 0).0, BTreeSet::new());
}

fn condemn(sandbox: &Sandbox, packs: &[String], loose: &[Id]) {
    let generation = json!({
        "condemned_loose": loose, "condemned_packs": packs, "highest_job": 2, "number": 1
    });
    fs::write(sandbox.path(".runup/gc/00000001"), control::encode(&generation)).unwrap();
}

#[test]
fn condemned_packs_are_neither_indexed_nor_relied_on() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let blob = sandbox.run("printf only-there > f; runup-hash-object -w --pack --plain f");
    let blob = blob.succeeds().stdout().trim().to_owned();
    let pack = names(&files(&sandbox, "packs")).pop_first().unwrap();
    let pack = pack.strip_suffix(".pack").unwrap().to_owned();
    let bytes = tree_of("f", Node::File { size_bytes: 10, id: blob.parse().unwrap() });
    let tree = object_id(Kind::Tree, &bytes);
    let loose = sandbox.path(".runup/objects").join(&tree.to_hex()[..2]);
    fs::create_dir_all(&loose).unwrap();
    let stored = runup::format::loose::encode(Kind::Tree, false, &bytes, 6);
    fs::write(loose.join(&tree.to_hex()[2..]), stored).unwrap();
    condemn(&sandbox, std::slice::from_ref(&pack), &[]);
    let ran = sandbox.run("runup-pack-objects").exits(1);
    assert_eq!(ran.record()["error"]["code"], "incomplete_object");
    assert_eq!(summary(&ran)["objects"], 0);
    // Named before the tree, what it refers to is stored again first.
    let ran = sandbox.run(&format!("printf '{blob}\\n{tree}\\n' | runup-pack-objects --stdin"));
    assert_eq!(summary(&ran.succeeds())["objects"], 2);
    condemn(&sandbox, &[pack], &[tree]);
    let ran = sandbox.run("runup-pack-objects").succeeds();
    assert_eq!(summary(&ran)["already_packed"], 1);
    let ran = sandbox.run("rm .runup/index/*; runup-index-pack").succeeds();
    assert_eq!((&summary(&ran)["packs"], &summary(&ran)["condemned"]), (&2.into(), &1.into()));
}

#[test]
fn indexing_waits_for_nobody() {
    let sandbox = backed_up();
    let ran = sandbox.run("flock .runup/maintenance.lock runup-index-pack").exits(1);
    assert!(ran.stderr().contains("\"busy\""), "{}", ran.stderr());
}

#[test]
fn loose_objects_go_into_packs_that_are_sound() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let mut ids = BTreeSet::new();
    for number in 0..20_u32 {
        sandbox.write(&format!("f{number}"), &noise(1000 + number as usize, number));
    }
    sandbox.write("long", &noise(3_000_000, 50));
    let stored = sandbox.run("runup-hash-object -w f* long").succeeds();
    ids.extend(stored.records().iter().map(|record| text(&record["id"])));
    let ran = sandbox.run("runup-pack-objects -v").succeeds();
    let packed = ran.records();
    let (lists, whole): (Vec<_>, Vec<_>) = packed
        .iter()
        .filter(|record| record["message_type"] == "object")
        .partition(|record| record["is_list"] == true);
    assert_eq!((lists.len(), &lists[0]["size_bytes"]), (1, &3_000_000.into()));
    assert!(whole.len() >= 22, "the chunks of the long file too");
    let ends = summary(&ran);
    assert_eq!(ends["objects"], lists.len() + whole.len());
    assert_eq!((&ends["packs"], &ends["errors"]), (&2.into(), &0.into()), "content and metadata");
    let script = "runup-verify-pack -v $(cd .runup/packs; ls | cut -c 1-20)";
    let found = sandbox.run(script).succeeds().records();
    let in_packs: BTreeSet<_> = found.iter().filter_map(|r| r["id"].as_str()).collect();
    assert!(ids.iter().all(|id| in_packs.contains(id.as_str())));
    let classes: BTreeSet<_> = found.iter().filter_map(|r| r["class"].as_str()).collect();
    assert_eq!(classes, ["content", "metadata"].into());
    // Nothing was deleted, and nothing is left to do.
    assert!(files(&sandbox, "objects").len() > 10);
    let again = summary(&sandbox.run("runup-pack-objects").succeeds());
    assert_eq!((&again["objects"], &again["packs"]), (&0.into(), &0.into()));
    assert_eq!(again["already_packed"], ends["objects"]);
    sandbox.run("rm -r .runup/objects/*").succeeds();
    for id in &ids {
        sandbox
            .run(&format!("test $(runup-cat-object -p {id} | b3sum --no-names) = {id}"))
            .succeeds();
    }
    checked(&sandbox, 0);
}

#[test]
fn a_damaged_loose_object_keeps_no_other_from_its_pack() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.run("printf a > a; printf b > b; runup-hash-object -w a b > /dev/null").succeeds();
    let id = object_id(Kind::Blob, b"a").to_hex();
    let path = format!(".runup/objects/{}/{}", &id[..2], &id[2..]);
    sandbox.run(&format!("chmod u+w {path}; printf damaged > {path}")).succeeds();
    let ran = sandbox.run("runup-pack-objects").exits(4);
    assert_eq!(
        (&ran.record()["id"], &ran.record()["error"]["code"]),
        (&id.into(), &"damaged_object".into())
    );
    assert_eq!((&summary(&ran)["objects"], &summary(&ran)["errors"]), (&1.into(), &1.into()));
    let absent = "0".repeat(64);
    let ran = sandbox.run(&format!("echo {absent} | runup-pack-objects --stdin")).exits(1);
    assert_eq!(ran.record()["error"]["code"], "missing_object");
    sandbox.run("echo nothing | runup-pack-objects --stdin").exits(2);
}

#[test]
fn a_higher_level_makes_smaller_packs_in_the_order_asked_for() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let words: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_761) >> 20).into_bytes())
        .collect();
    for part in 0..10 {
        sandbox.write(&format!("src/{part}"), &words[part * 100_000..(part + 1) * 100_000]);
    }
    sandbox.run("runup backup").succeeds();
    let before: u64 = files(&sandbox, "packs")
        .iter()
        .filter(|path| class_of(path) == 0)
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let script = "runup-ls-tree -r app | tac | runup-pack-objects --stdin --level 19 -v";
    let ran = sandbox.run(script).succeeds();
    let ends = summary(&ran);
    assert_eq!((&ends["objects"], &ends["already_packed"]), (&10.into(), &10.into()));
    assert!(ends["packed_bytes"].as_u64().unwrap() < before * 95 / 100, "{ends} {before}");
    let asked: Vec<_> =
        ran.records().iter().filter_map(|r| r["id"].as_str().map(str::to_owned)).collect();
    let pack = text(&ends["pack_names"][0]);
    let (objects, _) = verified(&sandbox, &pack, 0);
    let lie: Vec<_> = objects.iter().map(|object| text(&object["id"])).collect();
    assert_eq!(lie, asked);
    let counts = sandbox.run("runup-count-objects").succeeds().record();
    assert_eq!(counts["duplicate_copies"], 10);
    // Named twice, an object is stored once more only.
    let twice = format!("for n in 1 2; do echo {}; done | runup-pack-objects --stdin", asked[0]);
    assert_eq!(summary(&sandbox.run(&twice).succeeds())["objects"], 1);
    sandbox.run("runup-pack-objects --level 20").exits(2);
    sandbox.run("runup-pack-objects --level 3 --compression none").exits(2);
    checked(&sandbox, 0);
}

#[test]
fn all_objects_are_those_that_jobs_reach() {
    let sandbox = Sandbox::with_projects(PROJECT);
    for number in 0..30_u32 {
        let path = format!("src/{}/{number}", number % 3);
        sandbox.write(&path, &noise(3000 * number as usize, number));
    }
    sandbox.run("runup backup").succeeds();
    sandbox.write("src/0/new", b"new");
    sandbox.run("runup backup").succeeds();
    let mut expected = BTreeMap::new();
    for revision in ["app@1", "app@2"] {
        let script =
            format!("runup-rev-parse {revision} {revision}: && runup-ls-tree -r -t {revision}");
        for record in sandbox.run(&script).succeeds().records() {
            expected.insert(text(&record["id"]), record["size_bytes"].as_u64());
        }
    }
    let check = |options: &str| -> Vec<Value> {
        let script = format!("runup-cat-object --batch-all-objects {options}");
        let found = sandbox.run(&script).succeeds().records();
        for record in &found {
            assert_eq!((&record["status"], &record["copies"]), (&"found".into(), &1.into()));
            let size_bytes = expected[&text(&record["id"])];
            assert!(size_bytes.is_none_or(|bytes| record["size_bytes"] == bytes), "{record}");
        }
        found
    };
    let in_order: Vec<_> = check("").iter().map(|record| text(&record["id"])).collect();
    assert_eq!(in_order, expected.keys().cloned().collect::<Vec<_>>());
    let by_pack = check("--unordered");
    let by_pack: BTreeSet<_> = by_pack.iter().map(|record| text(&record["id"])).collect();
    assert_eq!(by_pack.into_iter().collect::<Vec<_>>(), in_order);
    let script = "runup-cat-object --batch-all-objects \
                  | jq -s -r 'sort_by(-.size_bytes) | .[:10] | .[] | .size_bytes'";
    let biggest: Vec<u64> =
        sandbox.run(script).succeeds().stdout().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(biggest, (20..30).rev().map(|number| 3000 * number).collect::<Vec<u64>>());
    // A second copy changes how often it is there and nothing else.
    let id = &in_order[0];
    sandbox.run(&format!("echo {id} | runup-pack-objects --stdin")).succeeds();
    for options in ["", "--unordered"] {
        let script =
            format!("runup-cat-object --batch-all-objects {options} | jq -c [.id,.copies]");
        let found = sandbox.run(&script).succeeds().stdout();
        assert_eq!(found.lines().count(), in_order.len());
        assert_eq!(found.matches(",2]").count(), 1);
        assert!(found.contains(&format!("[\"{id}\",2]")));
    }
}

#[test]
fn lists_and_loose_objects_are_among_all_with_the_size_of_the_object() {
    let sandbox = Sandbox::with_projects(PROJECT);
    sandbox.write("long", &noise(5_000_000, 1));
    let id = sandbox.run("runup-hash-object -w --plain long").succeeds().stdout();
    let check = |packs: u64| {
        let script = "runup-cat-object --batch-all-objects | jq -c 'select(.is_list)'";
        let list = sandbox.run(script).succeeds().record();
        assert_eq!((text(&list["id"]), &list["size_bytes"]), (id.trim().into(), &5_000_000.into()));
        assert_eq!((list["pack"].is_string(), &list["copies"]), (packs > 0, &(packs + 1).into()));
    };
    check(0);
    sandbox.run("runup-pack-objects").succeeds();
    check(1);
    let script =
        "runup-cat-object --batch-all-objects --batch --unordered -z | tr '\\0' '\\n' | wc -c";
    let bytes: usize = sandbox.run(script).succeeds().stdout().trim().parse().unwrap();
    assert!(bytes > 10_000_000, "the chunks, and the whole");
    sandbox.run("runup-cat-object").exits(2);
    sandbox.run("runup-cat-object --unordered --batch").exits(2);
    sandbox.run(&format!("runup-cat-object {}", id.trim())).exits(2);
    sandbox.run(&format!("runup-cat-object --batch-all-objects {}", id.trim())).exits(2);
}

#[test]
fn a_program_that_waits_for_questions_sees_what_was_stored_meanwhile() {
    let sandbox = Sandbox::with_projects(PROJECT);
    let mut command = sandbox.shell("exec runup-cat-object --batch-check");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ask = |question: &str| -> Value {
        writeln!(questions, "{question}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    for number in 0..12_u32 {
        let bytes = noise(100, number);
        let id = object_id(Kind::Blob, &bytes).to_hex();
        let question = if number % 3 == 2 { &id[..16] } else { &id };
        sandbox.write("f", &bytes);
        // Asked twice, so that the second answer comes from what the first one looked up.
        assert_eq!(ask(question)["status"], "missing", "{number}");
        assert_eq!(ask(question)["status"], "missing", "{number}");
        let option = if number % 2 == 0 { "--pack" } else { "--loose" };
        sandbox.run(&format!("runup-hash-object -w {option} f")).succeeds();
        let answer = ask(question);
        assert_eq!((&answer["status"], text(&answer["id"])), (&"found".into(), id), "{number}");
    }
    drop(questions);
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_flip_in_a_pack_is_found_and_placed() {
    let sandbox = backed_up();
    for class in [0, 1] {
        let packs = files(&sandbox, "packs").into_iter().filter(|path| class_of(path) == class);
        let pack = largest(packs.collect());
        let bytes = fs::read(&pack).unwrap();
        let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
        let (footer, length) = (footer_offset(&bytes), bytes.len());
        let (trailer, copy) = (length - 64, sandbox.path(&format!("../{name}")));
        let stored = u32::from_le_bytes(bytes[72..76].try_into().unwrap()) as usize;
        let copied = copy.display().to_string();
        fs::write(&copy, &bytes).unwrap();
        let (objects, whole) = verified(&sandbox, &copied, 0);
        assert_eq!(whole["objects"], objects.len());
        assert_eq!(whole["class"], ["content", "metadata"][class as usize]);
        let cases = [
            ("damaged_header", 3, 0),
            ("damaged_header", 8, 0),
            ("damaged_pack", 30, 0),
            ("damaged_frame", 64, 64),
            ("damaged_frame", 70, 64),
            ("damaged_frame", 82, 64),
            ("damaged_frame", 96, 96),
            ("damaged_frame", 96 + stored - 1, 96),
            ("damaged_footer", footer, footer),
            ("damaged_footer", trailer - 1, footer),
            ("damaged_trailer", trailer + 1, trailer),
            ("damaged_footer", trailer + 20, footer),
            ("damaged_trailer", length - 1, trailer),
        ];
        for (code, at, offset) in cases {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&copy, &flipped).unwrap();
            let (found, pack) = verified(&sandbox, &copied, 4);
            let first = &pack["findings"][0];
            assert_eq!(
                (&first["code"], &first["offset"]),
                (&code.into(), &offset.into()),
                "{at}: {pack}"
            );
            if !code.contains("frame") {
                assert_eq!(found.len(), objects.len(), "all objects are still there: {at}");
            }
        }
        for cut in [0, 10, 64, 100, footer, length - 1] {
            fs::write(&copy, &bytes[..cut]).unwrap();
            verified(&sandbox, &copied, 4);
        }
        fs::write(&copy, [&bytes[..], b"x"].concat()).unwrap();
        verified(&sandbox, &copied, 4);
    }
    // By another name a file is verified as what it is; a path needs no repository.
    let pack = largest(files(&sandbox, "packs")).display().to_string();
    let script =
        format!("mkdir ../else && cp {pack} ../else/copy && cd ../else && runup-verify-pack copy");
    let record = sandbox.run(&script).succeeds().record();
    assert!(pack.contains(&text(&record["pack"])));
    let absent = "0".repeat(64);
    let record = sandbox.run(&format!("runup-verify-pack {absent}")).exits(4).record();
    assert_eq!(record["findings"][0]["code"], "missing_pack");
    sandbox.run("runup-verify-pack 0000").exits(2);
    let script = "runup-pack-objects --plain | runup-verify-pack --stdin; ls .runup/packs/*.pack \
                  | runup-verify-pack --stdin --plain | grep -c sound";
    let count = sandbox.run(script).succeeds().stdout();
    assert_eq!(count.trim(), files(&sandbox, "packs").len().to_string());
}

#[test]
fn figures_are_those_of_the_files() {
    let sandbox = backed_up();
    sandbox.run("printf loose | runup-hash-object -w --stdin").succeeds();
    left_behind(&sandbox, |worker| worker.put(Kind::Blob, b"left").map(drop));
    fs::write(sandbox.path(".runup/tmp/x"), b"12345").unwrap();
    let counts = sandbox.run("runup-count-objects").succeeds().record();
    let all = sandbox.run("runup-cat-object --batch-all-objects").succeeds().records();
    assert_eq!(counts["objects"], all.len());
    for kind in ["blob", "tree", "snapshot", "page", "part", "links"] {
        let count = all.iter().filter(|record| record["kind"] == kind).count();
        assert_eq!(counts["objects_by_kind"][kind]["objects"], count, "{kind}");
    }
    let bytes = |directory: &str| -> u64 {
        files(&sandbox, directory).iter().map(|path| path.metadata().unwrap().len()).sum()
    };
    let expected = json!({
        "loose": 1, "packs": files(&sandbox, "packs").len(), "pack_bytes": bytes("packs"),
        "unindexed_packs": 1, "missing_packs": 0, "unknown_packs": 0, "lists": 1,
        "index_segments": files(&sandbox, "index").len(), "index_bytes": bytes("index"),
        "duplicate_copies": 0, "temporary_files": 1, "temporary_bytes": 5, "lost_files": 0,
        "sessions": 0, "jobs": 2, "snapshots": 2,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&counts[field], value, "{field}");
    }
    let content = files(&sandbox, "packs").iter().filter(|path| class_of(path) == 0).count();
    assert_eq!(counts["content_packs"], content);
    let plain = sandbox.run("runup-count-objects --plain").succeeds().stdout();
    assert!(plain.lines().any(|line| line == "jobs: 2"), "{plain}");
    assert!(plain.lines().any(|line| line == "snapshot_objects: 2"), "{plain}");
}
